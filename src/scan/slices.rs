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

/// Something that is scanned slice by slice.
pub(crate) struct Turns<T> {
    pace: Rc<Pace>,
    work: Pin<Box<dyn Future<Output = T>>>,
}

impl<T> fmt::Debug for Turns<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl<T> Turns<T> {
    pub(crate) fn new(pace: Rc<Pace>, work: Pin<Box<dyn Future<Output = T>>>) -> Turns<T> {
        Turns { pace, work }
    }

    /// Scans for about `steps` steps.
    ///
    /// # Errors
    /// The rest of it, where it is not over.
    pub(crate) fn go_on(mut self, memory: Option<&mut VerdictMemory>, steps: usize) -> Result<T, Turns<T>> {
        self.pace.advance(self.work.as_mut(), memory, steps).ok_or(self)
    }
}

/// The scan of a request, which goes on slice by slice.
#[derive(Debug)]
pub struct Slices {
    copies: Rc<Copies>,
    scan: Turns<Report>,
}

impl Slices {
    pub(super) fn new(pace: Rc<Pace>, copies: Rc<Copies>, scan: Pin<Box<dyn Future<Output = Report>>>) -> Slices {
        Slices { copies, scan: Turns::new(pace, scan) }
    }

    /// The texts.
    pub fn copies(&self) -> Rc<Copies> {
        Rc::clone(&self.copies)
    }

    /// Scans for about `steps` steps: where one thing that can't be parted takes longer, for longer.
    ///
    /// # Errors
    /// The rest of the scan, where it is not over.
    pub fn go_on(self, memory: Option<&mut VerdictMemory>, steps: usize) -> Result<Report, Slices> {
        let Slices { copies, scan } = self;
        scan.go_on(memory, steps).map_err(|scan| Slices { copies, scan })
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
    pub(crate) fn of(texts: &[Text<'_>], is_aside: &IsAside<'_>) -> Copies {
        let mut all = String::with_capacity(texts.iter().map(|text| text.text.len()).sum());
        texts.iter().for_each(|text| all.push_str(text.text));
        let each = texts.iter().enumerate().map(|(at, text)| (text.zone, text.text.len(), is_aside(at)));
        Copies { all, each: each.collect() }
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = Text<'_>> {
        self.each.iter().scan(0, |end, (zone, length, _)| {
            let start = std::mem::replace(end, *end + length);
            Some(Text { zone: *zone, text: part(&self.all, start..*end) })
        })
    }

    pub(crate) fn is_aside(&self, at: usize) -> bool {
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
