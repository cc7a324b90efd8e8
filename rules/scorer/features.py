"""Text to features: the tokeniser and the hashes, bit for bit those of src/scan/scorer.rs.

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
MAX_TOKENS = 4000

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
