//! A scan that goes on slice by slice, of texts that it owns.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bartizan_rules::invariant::part;

use super::memory::{IsAside, VerdictMemory};
use super::pace::Pace;
use super::{Report, Text};
use crate::enums::Zone;

/// The scan of a request, which goes on slice by slice.
pub struct Slices {
    pace: Rc<Pace>,
    copies: Rc<Copies>,
    scan: Pin<Box<dyn Future<Output = Report>>>,
}

impl fmt::Debug for Slices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slices").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Slices {
    pub(super) fn new(pace: Rc<Pace>, copies: Rc<Copies>, scan: Pin<Box<dyn Future<Output = Report>>>) -> Slices {
        Slices { pace, copies, scan }
    }

    /// The texts.
    pub fn copies(&self) -> Rc<Copies> {
        Rc::clone(&self.copies)
    }

    /// Scans for about `steps` steps: where one thing that can't be parted takes longer, for longer.
    ///
    /// # Errors
    /// The rest of the scan, where it is not over.
    pub fn go_on(mut self, memory: Option<&mut VerdictMemory>, steps: usize) -> Result<Report, Slices> {
        self.pace.advance(self.scan.as_mut(), memory, steps).ok_or(self)
    }
}

/// Copies of the texts of a request.
pub struct Copies {
    /// All of them, one behind the other.
    all: String,
    /// Of each: its zone, its length, and whether it is none of the conversation's.
    each: Vec<(Zone, usize, bool)>,
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("texts", &self.each.len()).finish_non_exhaustive()
    }
}

impl Copies {
    pub(super) fn of(texts: &[Text<'_>], is_aside: &IsAside<'_>) -> Copies {
        let mut all = String::with_capacity(texts.iter().map(|text| text.text.len()).sum());
        texts.iter().for_each(|text| all.push_str(text.text));
        let each = texts.iter().enumerate().map(|(at, text)| (text.zone, text.text.len(), is_aside(at)));
        Copies { all, each: each.collect() }
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = Text<'_>> {
        self.each.iter().scan(0, |end, (zone, length, _)| {
            let start = std::mem::replace(end, *end + length);
            Some(Text { zone: *zone, text: part(&self.all, start..*end) })
        })
    }

    pub(super) fn is_aside(&self, at: usize) -> bool {
        self.each.get(at).is_some_and(|(.., is_aside)| *is_aside)
    }

    /// True if these are the same texts.
    pub fn are_of(&self, texts: &[Text<'_>], is_aside: &IsAside<'_>) -> bool {
        let is_same = |(at, (own, text)): (usize, (Text<'_>, &Text<'_>))| {
            own.zone == text.zone && own.text == text.text && self.is_aside(at) == is_aside(at)
        };
        self.each.len() == texts.len() && self.texts().zip(texts).enumerate().all(is_same)
    }
}
