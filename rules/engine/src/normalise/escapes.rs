//! One escape at a time: `&#73;`, `\u0049`, `%49`, and markup inside a word.

use std::ops::Range;

use super::offsets::Marks;
use crate::invariant::{between, onwards, sure};

/// Longest tag that is left out of a word.
const LONGEST_TAG: usize = 64;
/// Longest tag of a piece of SVG's text, which has its place and its look.
const LONGEST_PIECE: usize = 192;
/// Tags side by side that are left out of a word.
const MOST_TAGS: usize = 4;

const NAMED: [(&str, char); 26] = [
    ("lt", '<'),
    ("gt", '>'),
    ("amp", '&'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("tab", ' '),
    ("newline", ' '),
    ("shy", '\u{ad}'),
    ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'),
    ("zerowidthspace", '\u{200b}'),
    ("nobreak", '\u{2060}'),
    ("period", '.'),
    ("comma", ','),
    ("colon", ':'),
    ("semi", ';'),
    ("excl", '!'),
    ("quest", '?'),
    ("lpar", '('),
    ("rpar", ')'),
    ("num", '#'),
    ("sol", '/'),
    ("lowbar", '_'),
    ("hyphen", '-'),
    ("dash", '-'),
];

const INLINE: [&str; 24] = [
    "a", "abbr", "b", "bdi", "bdo", "big", "code", "del", "em", "font", "i", "ins", "kbd", "mark", "q", "s", "small",
    "span", "strong", "sub", "sup", "tt", "u", "wbr",
];

/// What an escape stands for.
pub(super) enum Read {
    /// One character in place of this number of bytes.
    Char(char, usize, Marks),
    /// Nothing in place of this number of bytes.
    Nothing(usize),
    /// This number of bytes like the first, none of which begins an escape.
    Kept(usize),
}

/// Reads the escape that starts at `at`, if there is one. `joins`: the byte before is a letter's.
pub(super) fn read(text: &str, at: usize, joins: bool) -> Option<Read> {
    let rest = onwards(text.as_bytes(), at);
    match sure(rest.first())? {
        b'&' => entity(rest).map(|(c, used)| Read::Char(c, used, Marks::ENTITY)),
        b'\\' => backslashes(rest),
        b'%' => percent(rest).map(|(c, used)| Read::Char(c, used, Marks::PERCENT)),
        b'<' => piece(rest).or_else(|| tags(rest).filter(|_| joins)).map(Read::Nothing),
        first @ (b'*' | b'`' | b'~') => Some(emphasis(*first, rest, joins)),
        _ => None,
    }
}

/// What there is of a range: an escape may be cut off.
fn slice(bytes: &[u8], range: Range<usize>) -> &[u8] {
    let end = range.end.min(bytes.len());
    between(bytes, range.start.min(end)..end)
}

fn entity(rest: &[u8]) -> Option<(char, usize)> {
    if rest.get(1) == Some(&b'#') {
        let hex = matches!(rest.get(2), Some(b'x' | b'X'));
        let start = if hex { 3 } else { 2 };
        let (value, digits) = number(slice(rest, start..(start + 10).min(rest.len())), if hex { 16 } else { 10 });
        let end = start + digits;
        let used = end + usize::from(rest.get(end) == Some(&b';'));
        return (digits > 0).then(|| Some((char::from_u32(value)?, used)))?;
    }
    let length = rest.iter().skip(1).take(16).take_while(|b| b.is_ascii_alphabetic()).count();
    let name = slice(rest, 1..1 + length);
    if rest.get(1 + length) != Some(&b';') {
        return None;
    }
    NAMED.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|(_, c)| (*c, length + 2))
}

fn number(digits: &[u8], radix: u32) -> (u32, usize) {
    let mut value = 0u32;
    let mut used = 0;
    for digit in digits.iter().map_while(|b| char::from(*b).to_digit(radix)) {
        value = value.saturating_mul(radix).saturating_add(digit);
        used += 1;
    }
    (value, used)
}

fn hex(rest: &[u8], start: usize, length: usize) -> Option<u32> {
    let (value, used) = number(slice(rest, start..(start + length).min(rest.len())), 16);
    (used == length).then_some(value)
}

/// A run of backslashes, which is looked at once: before a quote or a slash all of it goes, whatever the number of
/// times that the text was quoted; elsewhere only the last one can begin an escape.
fn backslashes(rest: &[u8]) -> Option<Read> {
    let run = rest.iter().take_while(|byte| **byte == b'\\').count();
    match rest.get(run) {
        Some(c @ (b'"' | b'\'' | b'/')) => Some(Read::Char(char::from(*c), run + 1, Marks::ESCAPE)),
        _ if run > 1 => Some(Read::Kept(run - 1)),
        _ => backslash(rest).map(|(c, used)| Read::Char(c, used, Marks::ESCAPE)),
    }
}

fn backslash(rest: &[u8]) -> Option<(char, usize)> {
    match rest.get(1)? {
        // Either case: `\N` would be an escape once it is folded.
        b'n' | b'N' | b'r' | b'R' | b't' | b'T' => Some((' ', 2)),
        b'x' | b'X' => Some((char::from_u32(hex(rest, 2, 2)?)?, 4)),
        b'u' | b'U' if rest.get(2) == Some(&b'{') => {
            let (value, digits) = number(slice(rest, 3..9.min(rest.len())), 16);
            (digits > 0 && rest.get(3 + digits) == Some(&b'}')).then(|| Some((char::from_u32(value)?, digits + 4)))?
        }
        b'U' if hex(rest, 2, 8).and_then(char::from_u32).is_some() => Some((char::from_u32(hex(rest, 2, 8)?)?, 10)),
        b'u' | b'U' => {
            let high = hex(rest, 2, 4)?;
            if let Some(c) = char::from_u32(high) {
                return Some((c, 6));
            }
            let paired = slice(rest, 6..8).eq_ignore_ascii_case(b"\\u");
            let low = hex(rest, 8, 4).filter(|_| paired)?;
            ((0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low))
                .then(|| Some((char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?, 12)))?
        }
        _ => None,
    }
}

/// One character's worth of `%XX`; controls are left as they are.
fn percent(rest: &[u8]) -> Option<(char, usize)> {
    let mut bytes = [0u8; 4];
    let first = u8::try_from(hex(rest, 1, 2)?).ok()?;
    let length = match first {
        b'\t' | b'\n' | b'\r' | 0x20..=0x7e => return Some((char::from(first), 3)),
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    for (i, slot) in bytes.iter_mut().take(length).enumerate() {
        if rest.get(i * 3) != Some(&b'%') {
            return None;
        }
        *slot = u8::try_from(hex(rest, i * 3 + 1, 2)?).ok()?;
    }
    let c = std::str::from_utf8(slice(&bytes, 0..length)).ok()?.chars().next()?;
    Some((c, length * 3))
}

/// Runs of `*`, backquote or `~` that touch a word. What does not go stays as a whole: within a run no byte touches a
/// word but the last one, which does so together with the others.
fn emphasis(first: u8, rest: &[u8], joins: bool) -> Read {
    let run = rest.iter().take_while(|b| **b == first).count();
    let follows = rest.get(run).is_some_and(is_wordy);
    let goes = match (first, run) {
        (b'*', _) => joins || follows,
        (b'~', 2..) => joins || follows,
        (b'`', _) => joins && follows,
        _ => false,
    };
    if goes { Read::Nothing(run) } else { Read::Kept(run) }
}

fn is_wordy(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte >= 0x80
}

/// Inline tags and empty comments side by side, with a letter on either side.
fn tags(rest: &[u8]) -> Option<usize> {
    let mut used = 0;
    for _ in 0..MOST_TAGS {
        used += tag(onwards(rest, used))?;
        match rest.get(used) {
            Some(b'<') => {}
            Some(byte) if is_wordy(byte) => return Some(used),
            _ => return None,
        }
    }
    None
}

/// A tag around a piece of SVG's text: it says where the piece is drawn.
fn piece(rest: &[u8]) -> Option<usize> {
    let inner = rest.strip_prefix(b"<")?;
    let name = inner.strip_prefix(b"/").unwrap_or(inner);
    let ends = matches!(name.get(5), Some(b' ' | b'>' | b'/' | b'\n' | b'\t' | b'\r'));
    if !ends || !name.get(..5)?.eq_ignore_ascii_case(b"tspan") {
        return None;
    }
    rest.iter().take(LONGEST_PIECE).position(|byte| *byte == b'>').map(|close| close + 1)
}

/// An inline tag, or an empty comment.
fn tag(rest: &[u8]) -> Option<usize> {
    if rest.first() != Some(&b'<') {
        return None;
    }
    let close = rest.iter().take(LONGEST_TAG).position(|b| *b == b'>')?;
    let inner = slice(rest, 1..close);
    if let Some(comment) = inner.strip_prefix(b"!--") {
        return comment.ends_with(b"--").then(|| !comment.trim_ascii().contains(&b' '))?.then_some(close + 1);
    }
    let inner = inner.strip_prefix(b"/").unwrap_or(inner);
    let length = inner.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let name = slice(inner, 0..length);
    INLINE.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())).then_some(close + 1)
}
