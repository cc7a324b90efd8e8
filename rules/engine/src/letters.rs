//! Letters and digits of any script, by a table: the tables of the standard library are small rather than fast.
//!
//! ```
//! use bartizan_rules::letters::is_alphanumeric;
//!
//! assert!(is_alphanumeric('ж') && is_alphanumeric('略') && is_alphanumeric('½') && !is_alphanumeric('،'));
//! ```

use crate::invariant::{of_byte, sure};

include!(concat!(env!("OUT_DIR"), "/letters.rs"));

/// What [`char::is_alphanumeric`] says.
#[inline]
pub fn is_alphanumeric(c: char) -> bool {
    let Ok(code) = u16::try_from(u32::from(c)) else { return c.is_alphanumeric() };
    let page = sure(PAGES.get(usize::from(code >> 8))).map_or(0, |page| *page);
    let units = sure(BITS.get(usize::from(page))).and_then(|bits| sure(bits.get(usize::from(code >> 5 & 7))));
    units.is_some_and(|bits| bits >> (code & 31) & 1 == 1)
}

/// By the first byte of a letter of two bytes: the second byte of the first such letter, and how many follow each other.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not build")]
static SHORT: [(u8, u8); 256] = {
    let mut table = [(0, 0); 256];
    // Greek, Cyrillic, Hebrew, Arabic.
    table[0xce] = (0xb1, 0x0f);
    table[0xcf] = (0x80, 0x0a);
    table[0xd0] = (0x90, 0x30);
    table[0xd1] = (0x80, 0x40);
    table[0xd7] = (0x90, 0x1b);
    table[0xd8] = (0xa0, 0x20);
    table[0xd9] = (0x80, 0x0b);
    table
};

/// True where these bytes begin with a letter of two bytes, of much text: Greek, Cyrillic, Hebrew, Arabic.
#[inline]
pub fn is_short(bytes: &[u8]) -> bool {
    let [lead, second, ..] = *bytes else { return false };
    let (first, count) = of_byte(&SHORT, lead);
    second.wrapping_sub(first) < count
}

#[cfg(test)]
mod tests {
    #[test]
    fn short_letters_are_letters() {
        let is_short = |c: char| super::is_short(c.encode_utf8(&mut [0; 4]).as_bytes());
        let letters = ('\0'..=char::MAX).filter(|c| is_short(*c));
        assert!(letters.clone().all(|c| c.is_alphabetic() && c.len_utf8() == 2));
        assert!("αωапѿабקаيتש".chars().all(is_short), "{}", letters.count());
    }

    #[test]
    fn the_table_says_what_the_standard_library_says() {
        for c in '\0'..=char::MAX {
            assert_eq!(super::is_alphanumeric(c), c.is_alphanumeric(), "{c:?}");
        }
    }
}
