//! Words of several groups close together: one step for each word found, no matter how long the text is.
//!
//! ```
//! use bartizan_rules::near::{Near, Places};
//!
//! // "ignore" and then "instructions", within 30 bytes.
//! let near = Near { within: 30, ordered: true, groups: 2, base: 0 };
//! let mut places = Places::new(2, 1);
//! places.begin();
//! assert_eq!(places.step(&near, 0, 0, 0..6, false), None);
//! assert_eq!(places.step(&near, 0, 1, 11..23, false), Some(0..23));
//! ```

use std::ops::Range;

use crate::invariant::sure;

/// Bytes before the first word in which an `unless` word forbids the match.
const UNLESS: usize = 24;

/// A co-occurrence as the engine holds it.
#[derive(Clone, Copy, Debug)]
pub struct Near {
    /// Largest extent in bytes.
    pub within: usize,
    /// Groups in order.
    pub ordered: bool,
    /// How many groups.
    pub groups: u8,
    /// Where its places begin in [`Places`].
    pub base: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Occurrence {
    /// The text that this belongs to: places of earlier texts count as empty.
    epoch: u32,
    start: usize,
    end: usize,
}

/// The state of all co-occurrences over one text.
#[derive(Debug, Default)]
pub struct Places {
    epoch: u32,
    places: Vec<Occurrence>,
    forbidden: Vec<Occurrence>,
    /// One bit for each co-occurrence whose first group has been seen in this text.
    begun: Vec<u64>,
}

impl Places {
    /// State for `nears` co-occurrences with `places` places in all.
    pub fn new(places: usize, nears: usize) -> Self {
        Places {
            epoch: 0,
            places: vec![Occurrence::default(); places],
            forbidden: vec![Occurrence::default(); nears],
            begun: vec![0; nears.div_ceil(64)],
        }
    }

    /// Forgets the last text.
    pub fn begin(&mut self) {
        self.epoch += 1;
        self.begun.fill(0);
    }

    /// True when a word of the first group has come before: without one, no later group of an ordered one counts.
    pub fn has_begun(&self, at: usize) -> bool {
        sure(self.begun.get(at / 64)).is_none_or(|bits| bits >> (at % 64) & 1 == 1)
    }

    /// A word that forbids the co-occurrence `at`.
    pub fn forbid(&mut self, at: usize, word: Range<usize>) {
        // Without its place nothing is forbidden: that finds too much, not too little.
        if let Some(slot) = sure(self.forbidden.get_mut(at)) {
            *slot = Occurrence { epoch: self.epoch, start: word.start, end: word.end };
        }
    }

    /// A word of a group; gives the whole extent when it completes the co-occurrence. `wide`: distances count half.
    pub fn step(&mut self, near: &Near, at: usize, group: u8, word: Range<usize>, wide: bool) -> Option<Range<usize>> {
        let forbidden = sure(self.forbidden.get(at)).filter(|f| f.epoch == self.epoch).map(|f| f.end);
        let epoch = self.epoch;
        let places = sure(self.places.get_mut(near.base..near.base + usize::from(near.groups)))?;
        let fits = |from: usize, to: usize| (to - from) >> u32::from(wide) <= near.within;
        let group = usize::from(group);
        if near.ordered {
            let mut start = word.start;
            if group > 0 {
                let last = sure(places.get(group - 1))?;
                if last.epoch != epoch {
                    return None;
                }
                if last.end > word.start || !fits(last.start, word.end) {
                    return None;
                }
                start = last.start;
            } else if forbidden.is_some_and(|end| end <= start && start - end <= UNLESS) {
                return None;
            }
            *sure(places.get_mut(group))? = Occurrence { epoch, start, end: word.end };
            if group == 0
                && let Some(bits) = sure(self.begun.get_mut(at / 64))
            {
                *bits |= 1 << (at % 64);
            }
            if group + 1 < places.len() {
                return None;
            }
            places.iter_mut().for_each(|place| place.epoch = 0);
            return Some(start..word.end);
        }
        *sure(places.get_mut(group))? = Occurrence { epoch, start: word.start, end: word.end };
        let first = sure(places.iter().map(|p| p.start).min())?;
        let last = sure(places.iter().map(|p| p.end).max())?;
        if places.iter().any(|p| p.epoch != epoch) || !fits(first, last) || overlap(places) {
            return None;
        }
        if forbidden.is_some_and(|end| end <= first && first - end <= UNLESS) {
            return None;
        }
        places.iter_mut().for_each(|place| place.epoch = 0);
        Some(first..last)
    }
}

fn overlap(places: &[Occurrence]) -> bool {
    let pairs = || places.iter().enumerate().flat_map(|(i, a)| places.iter().skip(i + 1).map(move |b| (a, b)));
    pairs().any(|(a, b)| a.start < b.end && b.start < a.end)
}
