"""Text to features: the tokeniser and the hashes, bit for bit those of rules/engine/src/scorer.rs and its tokens.rs.

Input is text as the scan engine normalises it. A token is one character of a script without
spaces (Han, Kana, Hangul, Thai, Lao, Khmer, Burmese), a run of word characters, or a run of one
repeated punctuation mark. Digits hash as 0, apostrophes inside a word are passed over. Features
are the 1-, 2- and 3-grams of tokens and, on top of them, the grams of concepts: terms of the
vocabulary, mapped to one number whatever the language they stand in.
"""

from __future__ import annotations

MASK = 0xFFFFFFFF
FNV_OFFSET = 0x811C9DC5
FNV_PRIME = 0x01000193

SPACE, WORD, SINGLE, MARK, SKIP = range(5)

_SINGLE = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3041, 0x30FA), (0x30FC, 0x312F),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7AF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)
_MARKS = {0xD7, 0xF7, 0x37E, 0x387, 0x589, 0x5BE, 0x5C0, 0x5C3, 0x60C, 0x61B, 0x61F, 0x66A, 0x66B,
          0x66C, 0x66D, 0x6D4, 0x964, 0x965}
_WORD = ((0xC0, 0x0DFF), (0x0F00, 0x0FFF), (0x10A0, 0x177F), (0x1800, 0x1FFF), (0x2C00, 0x2DFF),
         (0xA000, 0xABFF))


def char_class(c: int) -> int:
    """The class of a code point."""
    if c < 0x80:
        if 0x30 <= c <= 0x39 or 0x41 <= c <= 0x5A or 0x61 <= c <= 0x7A or c == 0x5F:
            return WORD
        return SPACE if c <= 0x20 or c == 0x7F else MARK
    if c <= 0xA0 or c in (0x1680, 0x3000) or 0x2000 <= c <= 0x200A or 0x2028 <= c <= 0x202F or c == 0x205F:
        return SPACE
    if c == 0xAD or 0x200B <= c <= 0x200F or 0x2060 <= c <= 0x206F or 0xFE00 <= c <= 0xFE0F or c == 0xFEFF:
        return SKIP
    if c in (0xAA, 0xB5, 0xBA):
        return WORD
    for lo, hi in _SINGLE:
        if lo <= c <= hi:
            return SINGLE
    if c in _MARKS:
        return MARK
    for lo, hi in _WORD:
        if lo <= c <= hi:
            return WORD
    return MARK


_CLASS: dict[str, int] = {}


def tokens(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Hashes of the tokens, and their spans in characters."""
    hashes: list[int] = []
    spans: list[tuple[int, int]] = []
    i, n = 0, len(text)
    cls = _CLASS
    while i < n:
        ch = text[i]
        k = cls.get(ch)
        if k is None:
            k = cls[ch] = char_class(ord(ch))
        if k == SPACE or k == SKIP:
            i += 1
            continue
        start = i
        h = FNV_OFFSET
        if k == WORD:
            while i < n:
                ch = text[i]
                k = cls.get(ch)
                if k is None:
                    k = cls[ch] = char_class(ord(ch))
                if k == WORD:
                    if "0" <= ch <= "9":
                        h = ((h ^ 0x30) * FNV_PRIME) & MASK
                    else:
                        for b in ch.encode("utf-8", "surrogatepass"):
                            h = ((h ^ b) * FNV_PRIME) & MASK
                elif k != SKIP and not (ch in "'\u2019" and i + 1 < n and char_class(ord(text[i + 1])) == WORD):
                    break
                i += 1
        elif k == SINGLE:
            for b in ch.encode("utf-8", "surrogatepass"):
                h = ((h ^ b) * FNV_PRIME) & MASK
            i += 1
        else:
            for b in ch.encode("utf-8", "surrogatepass"):
                h = ((h ^ b) * FNV_PRIME) & MASK
            while i < n and text[i] == ch:
                i += 1
        hashes.append(h)
        spans.append((start, i))
    return hashes, spans


def mix(h: int) -> int:
    """The finaliser of MurmurHash3: every input bit reaches every output bit."""
    h ^= h >> 16
    h = (h * 0x85EBCA6B) & MASK
    h ^= h >> 13
    h = (h * 0xC2B2AE35) & MASK
    return h ^ (h >> 16)


def gram1(a: int) -> int:
    return mix(a)


def gram2(a: int, b: int) -> int:
    return mix(((a * 0x9E3779B1) & MASK) ^ ((b * 0x85EBCA77) & MASK) ^ 0x2)


def gram3(a: int, b: int, c: int) -> int:
    return mix(((a * 0xC2B2AE3D) & MASK) ^ ((b * 0x27D4EB2F) & MASK) ^ ((c * 0x165667B1) & MASK) ^ 0x3)


# A term of the vocabulary has at most so many tokens; a stem so many bytes.
MAX_TERM = 8
MIN_STEM, MAX_STEM = 4, 19
# Concepts make a pair, and pairs a triple, when they start so many tokens apart.
REACH = 8
REACH_TRIPLE = 12
LOOK_BACK = 4


def term_key(hashes: list[int]) -> int:
    """The key of a term in the concept table; that of one token is the token's hash."""
    key = hashes[0]
    for h in hashes[1:]:
        key = mix(((key * 0x9E3779B1) & MASK) ^ h)
    return key


def stem_key(state: int) -> int:
    """The key of a stem, from the hash state after its last byte."""
    return mix(state ^ 0x5754454D)


def stem_lengths_key(state: int) -> int:
    """The key of the set of stem lengths, from the hash state after four bytes."""
    return mix(state ^ 0x4D455453)


def fnv(data: bytes) -> int:
    h = FNV_OFFSET
    for b in data:
        h = ((h ^ (0x30 if 0x30 <= b <= 0x39 else b)) * FNV_PRIME) & MASK
    return h


class Concepts:
    """Terms by key: `table[key] = concept | longest << 8`, stems and sets of stem lengths beside them."""

    def __init__(self) -> None:
        self.table: dict[int, int] = {}

    def add_term(self, hashes: list[int], concept: int) -> None:
        hashes = hashes[:MAX_TERM]
        key = term_key(hashes)
        if self.table.get(key, 0) & 0xFF == 0:
            self.table[key] = self.table.get(key, 0) & 0xFF00 | concept
        first = self.table.get(hashes[0], 0)
        self.table[hashes[0]] = first & 0xFF | max(first >> 8, len(hashes)) << 8

    def add_stem(self, stem: bytes, concept: int) -> None:
        stem = stem[:MAX_STEM]
        while stem and stem[-1] & 0xC0 == 0x80 and len(stem.decode("utf-8", "ignore").encode()) != len(stem):
            stem = stem[:-1]
        stem = stem.decode("utf-8", "ignore").encode()
        self.table.setdefault(stem_key(fnv(stem)), concept)
        key = stem_lengths_key(fnv(stem[:MIN_STEM]))
        self.table[key] = self.table.get(key, 0) | 1 << (len(stem) - MIN_STEM)

    def stem(self, token: bytes) -> int:
        """The concept of the longest stem that a word token begins with, or 0."""
        if len(token) < MIN_STEM:
            return 0
        lengths = self.table.get(stem_lengths_key(fnv(token[:MIN_STEM])), 0)
        for length in range(min(len(token), MAX_STEM), MIN_STEM - 1, -1):
            if lengths >> (length - MIN_STEM) & 1:
                concept = self.table.get(stem_key(fnv(token[:length])), 0)
                if concept:
                    return concept & 0xFF
        return 0

    def sequence(self, text: str, hashes: list[int], spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """(token position, concept), longest term first, without overlap."""
        out = []
        i, n = 0, len(hashes)
        while i < n:
            length, concept = 1, 0
            longest = min(self.table.get(hashes[i], 0) >> 8, n - i)
            for k in range(longest, 0, -1):
                concept = self.table.get(term_key(hashes[i:i + k]), 0) & 0xFF
                if concept:
                    length = k
                    break
            if not concept:
                start, end = spans[i]
                if char_class(ord(text[start])) == WORD:
                    concept = self.stem(word_bytes(text[start:end]))
            if concept:
                out.append((i, concept))
            i += length
        return out


def word_bytes(word: str) -> bytes:
    """The bytes of a word token that enter its hash."""
    return "".join(c for c in word if char_class(ord(c)) == WORD).encode("utf-8", "surrogatepass")


def concept_grams(sequence: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(position where it ends, hash) of concepts, ordered pairs and ordered triples."""
    out = []
    for i, (at, c) in enumerate(sequence):
        out.append((at, mix(0xC0000000 ^ c)))
        for j in range(i - 1, max(i - 1 - LOOK_BACK, -1), -1):
            at_b, b = sequence[j]
            if at - at_b > REACH:
                break
            if b == c:
                continue
            out.append((at, mix(0xC1000000 ^ (b << 8) ^ c)))
            for k in range(j - 1, max(j - LOOK_BACK, -1), -1):
                at_a, a = sequence[k]
                if at_b - at_a > REACH or at - at_a > REACH_TRIPLE:
                    break
                if a == b or a == c:
                    continue
                out.append((at, mix(0xC2000000 ^ (a << 16) ^ (b << 8) ^ c)))
    return out
