//! Letters and digits of any script, by a table: the tables of the standard library are small rather than fast.
//!
//! ```
//! use bartizan_rules::letters::is_alphanumeric;
//!
//! assert!(is_alphanumeric('ж') && is_alphanumeric('略') && is_alphanumeric('½') && !is_alphanumeric('،'));
//! ```

use crate::invariant::sure;

include!(concat!(env!("OUT_DIR"), "/letters.rs"));

/// What [`char::is_alphanumeric`] says.
#[inline]
pub fn is_alphanumeric(c: char) -> bool {
    let Ok(code) = u16::try_from(u32::from(c)) else { return c.is_alphanumeric() };
    let page = sure(PAGES.get(usize::from(code >> 8))).map_or(0, |page| *page);
    let units = sure(BITS.get(usize::from(page))).and_then(|bits| sure(bits.get(usize::from(code >> 5 & 7))));
    units.is_some_and(|bits| bits >> (code & 31) & 1 == 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_says_what_the_standard_library_says() {
        for c in '\0'..=char::MAX {
            assert_eq!(super::is_alphanumeric(c), c.is_alphanumeric(), "{c:?}");
        }
    }
}
