//! What cannot happen, and what is done if it does: it is noted, and the text counts as not scanned whole.
//!
//! An index of the tables that leads nowhere would mean that a word or a pattern is not looked for, and nobody would
//! know. The compiler lays the tables out, and a test of the filter follows every index of the shipped ones
//! (`every_index_of_the_tables_leads_somewhere`). Debug builds panic at once.

use std::ops::Range;

/// Whether an index of the tables led nowhere.
///
/// ```
/// use bartizan_rules::invariant::Misfit;
///
/// assert!(!Misfit::default().is_noted());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misfit(bool);

impl Misfit {
    /// Notes an index that leads nowhere.
    #[cold]
    pub fn note(&mut self) {
        debug_assert!(false, "an index of the rules' tables leads nowhere");
        self.0 = true;
    }

    /// What an index leads to; `None` is noted.
    pub fn sure<T>(&mut self, found: Option<T>) -> Option<T> {
        if found.is_none() {
            self.note();
        }
        found
    }

    /// True once one was noted.
    pub fn is_noted(self) -> bool {
        self.0
    }
}

/// A part of a text, whose borders lie between characters. A border past the end is the end. A border within a character
/// cannot happen: it widens the part to the whole character, so that nothing is left unread.
///
/// ```
/// use bartizan_rules::invariant::part;
///
/// assert_eq!(part("naïve", 2..4), "ï");
/// assert_eq!(part("naïve", 4..99), "ve");
/// assert_eq!(part("naïve", 9..99), "");
/// ```
pub fn part(text: &str, range: Range<usize>) -> &str {
    let end = range.end.min(text.len());
    if range.start >= end {
        return "";
    }
    text.get(range.start..end).unwrap_or_else(|| {
        debug_assert!(false, "a border within a character");
        text.get(text.floor_char_boundary(range.start)..text.ceil_char_boundary(end)).unwrap_or(text)
    })
}
