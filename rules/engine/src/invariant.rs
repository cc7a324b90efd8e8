//! What cannot happen, and what is done if it does: it is recorded, and the text counts as not scanned whole.
//!
//! An index of the tables that leads nowhere would mean that a word or a pattern is not looked for, and a slice outside
//! its text that bytes are not read: nobody would know. So both go through this module. Debug builds panic at once.
//! Release builds record it for the thread. The scanner then reports its text as not scanned whole, and the filter refuses
//! at the end of the step. It is not passed from call to call, so that no caller can drop it.
//!
//! The compiler lays the tables out, and a test of the filter follows every index of the shipped ones
//! (`every_index_of_the_tables_leads_somewhere`).
//!
//! ```
//! use bartizan_rules::invariant;
//!
//! let table = [1, 2, 3];
//! assert_eq!(invariant::sure(table.get(1)), Some(&2));
//! assert_eq!(invariant::onwards(&table, 2), [3]);
//! assert!(!invariant::is_broken());
//! ```

use std::cell::Cell;
use std::ops::Range;

thread_local! {
    static BROKEN: Cell<bool> = const { Cell::new(false) };
}

/// Records on this thread that something happened that cannot happen.
///
/// # Panics
/// In debug builds.
#[cold]
pub fn broken(what: &str) {
    BROKEN.set(true);
    debug_assert!(false, "{what}");
}

/// Whether anything was recorded on this thread since the last call of [`take_broken`].
pub fn is_broken() -> bool {
    BROKEN.get()
}

/// The same, and forgets it.
pub fn take_broken() -> bool {
    BROKEN.replace(false)
}

/// What an index leads to; `None` is recorded.
#[inline]
pub fn sure<T>(found: Option<T>) -> Option<T> {
    if found.is_none() {
        broken("an index leads nowhere");
    }
    found
}

/// Records it where a condition does not hold.
#[inline]
pub fn holds(condition: bool, what: &str) {
    if !condition {
        broken(what);
    }
}

/// What a table has for a byte: there is an entry for each.
#[inline]
#[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
pub const fn of_byte<T: Copy>(table: &[T; 256], byte: u8) -> T {
    table[byte as usize]
}

/// The rest of a slice. A beginning past the end is recorded, and nothing is left.
#[inline]
pub fn onwards<T>(slice: &[T], from: usize) -> &[T] {
    sure(slice.get(from..)).unwrap_or_default()
}

/// A range of a slice. A range that is not inside is recorded, and what of it lies inside is left.
#[inline]
pub fn between<T>(slice: &[T], range: Range<usize>) -> &[T] {
    slice.get(range.clone()).unwrap_or_else(|| {
        broken("a range outside its slice");
        slice.get(range.start..range.end.min(slice.len())).unwrap_or_default()
    })
}

/// A part of a text, whose borders lie between characters. A border past the end is the end. A border within a character
/// is recorded. It widens the part to the whole character, so that nothing is left unread.
///
/// ```
/// use bartizan_rules::invariant::part;
///
/// assert_eq!(part("naïve", 2..4), "ï");
/// assert_eq!(part("naïve", 4..99), "ve");
/// assert_eq!(part("naïve", 9..99), "");
/// ```
#[inline]
pub fn part(text: &str, range: Range<usize>) -> &str {
    let end = range.end.min(text.len());
    if range.start >= end {
        return "";
    }
    text.get(range.start..end).unwrap_or_else(|| {
        broken("a border within a character");
        text.get(text.floor_char_boundary(range.start)..text.ceil_char_boundary(end)).unwrap_or(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is recorded, and debug builds panic.
    fn records(happens: impl FnOnce() + std::panic::UnwindSafe) -> bool {
        let panics = std::panic::catch_unwind(happens).is_err();
        take_broken() && panics == cfg!(debug_assertions)
    }

    #[test]
    fn whatever_cannot_happen_is_recorded_once() {
        assert!(records(|| assert_eq!(sure(None::<u8>), None)));
        assert!(records(|| holds(false, "no")));
        assert!(records(|| assert_eq!(onwards(&[1, 2], 3), [0; 0])));
        assert!(records(|| assert_eq!(between(&[1, 2], 1..3), [2])));
        assert!(records(|| assert_eq!(between(&[1, 2], 3..4), [0; 0])));
        assert!(records(|| assert_eq!(part("é", 1..2), "é")));
        assert!(!take_broken());
        assert_eq!((onwards(&[1, 2], 2), between(&[1, 2], 0..2), part("é", 0..2)), (&[][..], &[1, 2][..], "é"));
        assert!(!take_broken());
    }
}
