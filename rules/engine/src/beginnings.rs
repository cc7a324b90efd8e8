//! Which patterns are worth a try at a place of the text: one automaton over how they begin.
//!
//! Laid out at build time. At most ten bytes are looked at; with hundreds of patterns, few are left after three.
//!
//! ```
//! use bartizan_rules::beginnings::list_of;
//!
//! // Two lists of patterns, one after the other.
//! let (begins, patterns) = ([0, 2, 3], [7, 9, 8]);
//! assert_eq!(list_of(&begins, &patterns, 1), Some(&[8][..]));
//! assert_eq!(list_of(&begins, &patterns, 2), None);
//! ```

use crate::invariant::{of_byte, onwards, sure};

/// Longest first group of digits that is told apart; longer ones count as this long.
pub const FIRST_GROUP: u8 = 20;
/// The same of the second.
pub const SECOND_GROUP: u8 = 11;
/// Kinds of bytes around groups of digits.
pub const PARTS: u8 = 5;

/// The kind of a byte around groups of digits.
pub const fn parts(byte: u8) -> u8 {
    match byte {
        b' ' => 1,
        b'-' => 2,
        b'.' => 3,
        b'/' => 4,
        _ => 0,
    }
}

/// Kinds of bytes before a group of digits.
pub const GROUP_KINDS: u8 = 14;
/// Longest group of digits that is told apart; longer ones count as this long.
pub const LONGEST_GROUP: u8 = 24;

/// The kind of the byte before a group of digits; `None`: the text begins with it.
pub const fn group_kind(byte: Option<u8>) -> u8 {
    match byte {
        None => 0,
        Some(b'A'..=b'Z' | b'a'..=b'z') => 1,
        Some(b' ') => 2,
        Some(b'-') => 3,
        Some(b'.') => 4,
        Some(b'/') => 5,
        Some(b':') => 6,
        Some(b'(') => 7,
        Some(b'+') => 8,
        Some(b')') => 9,
        Some(b'_') => 10,
        Some(b'\n') => 11,
        Some(0x80..) => 12,
        Some(_) => 13,
    }
}

/// The bit of a sign that tells runs of digits apart: of phone numbers, addresses, identities; 0: none.
pub const fn sign(byte: u8) -> u8 {
    match byte {
        b'.' => 1,
        b':' => 2,
        b'-' => 4,
        b'/' => 8,
        b'(' | b')' => 16,
        b'+' => 32,
        b'A'..=b'Z' | b'a'..=b'z' => 64,
        _ => 0,
    }
}

/// A byte of keys, hashes and the like; the last five begin or end letters that are K and S in another case.
#[inline]
pub fn is_token(byte: u8) -> bool {
    of_byte(&TOKEN, byte)
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not build")]
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_token_byte(byte as u8);
        byte += 1;
    }
    table
};

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'+' | b'/' | b'=' | b'.' | b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'*' | b'$' | b'-'
        )
        || matches!(byte, 0xe2 | 0x84 | 0xaa | 0xc5 | 0xbf)
}

/// A list of rows, where each list's beginning is one row of `begins`, and its end the next.
pub fn list_of<'t, T>(begins: &[u16], rows: &'t [T], list: usize) -> Option<&'t [T]> {
    let (from, to) = (begins.get(list)?, begins.get(list + 1)?);
    rows.get(usize::from(*from)..usize::from(*to))
}

/// The automaton: a double array over classes of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Beginnings {
    /// The class of each byte; 0: no pattern begins so.
    pub classes: &'static [u8; 256],
    /// Units: class in bits 0 to 7, 8: the end is reached, and above the base, or the list at the end.
    pub units: &'static [u32],
    /// The base at the start of the text, of a line, and elsewhere.
    pub roots: [u32; 3],
    /// Where each list begins.
    pub lists: &'static [u16],
    /// Patterns.
    pub patterns: &'static [u16],
    /// Lists of numbers: by what is before, the first group's length, what follows it, the second group's length.
    pub groups: &'static [u16],
}

impl Beginnings {
    /// The patterns that may match here.
    pub fn at(&self, bytes: &[u8], start: usize) -> &'static [u16] {
        let [text, line, elsewhere] = self.roots;
        let mut base = match start.checked_sub(1).map(|before| bytes.get(before)) {
            None => text,
            Some(Some(b'\n')) => line,
            _ => elsewhere,
        };
        if base == elsewhere
            && let Some(&[before, digit]) = bytes.get(start..).and_then(|rest| rest.first_chunk::<2>())
            && digit.is_ascii_digit()
            && !before.is_ascii_alphanumeric()
        {
            return self.number(bytes, start, before);
        }
        for &byte in onwards(bytes, start) {
            let class = of_byte(self.classes, byte);
            // Past the last unit nothing begins: the table ends with its last one.
            let Some(&unit) = self.units.get((base ^ u32::from(class)) as usize) else { return &[] };
            if class == 0 || unit & 0xff != u32::from(class) {
                return &[];
            }
            base = unit >> 9;
            if unit & 0x100 != 0 {
                return self.list(base as usize);
            }
        }
        &[]
    }

    /// The patterns for a number that a byte parts from what is before.
    fn number(&self, bytes: &[u8], start: usize, before: u8) -> &'static [u16] {
        let group = |from: usize, most: u8| {
            bytes.iter().skip(from).take(usize::from(most)).take_while(|byte| byte.is_ascii_digit()).count()
        };
        let first = group(start + 1, FIRST_GROUP);
        let between = bytes.get(start + 1 + first).copied();
        let second = group(start + 2 + first, SECOND_GROUP);
        let kind = |byte: u8| usize::from(parts(byte));
        let mut at = kind(before) * usize::from(FIRST_GROUP) + (first - 1);
        at = at * usize::from(PARTS) + between.map_or(0, |byte| if byte.is_ascii_digit() { 0 } else { kind(byte) });
        at = at * (usize::from(SECOND_GROUP) + 1) + second;
        sure(self.groups.get(at)).map_or(&[], |list| self.list(usize::from(*list)))
    }

    fn list(&self, list: usize) -> &'static [u16] {
        sure(list_of(self.lists, self.patterns, list)).unwrap_or_default()
    }
}
