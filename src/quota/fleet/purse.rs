//! What a worker has told the fleet's service of a budget, and its requests did not use: the next requests of the same
//! counter use it up first.
//!
//! Budgets alone are counted so, whether the service takes back or not. A request is counted with what it is likely to cost: its prompt, and of the answer the share
//! that the counter's answers had lately. What it costs beyond that is told afterwards. What it costs less stays here, so that
//! the service's number is never less than what was spent, but for requests in flight. What is here when the process ends is
//! not spent in this window.

use std::collections::HashMap;

use super::Entries;
use crate::host::Timestamp;

/// More counters than this at a time are not kept apart: the first come, first served.
const MAX_PURSES: usize = 4096;

/// The share of the most that an answer may cost, in millionths, of which nothing is known yet.
const FIRST_SHARE: u64 = 250_000;

/// The last answer is at least one part in this many of what is known.
const MEMORY: u64 = 32;

/// How much of the most that its answer might have cost a request has cost, in millionths; `None`: nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept(Option<u64>);

impl Kept {
    /// Of a request that cost `used` units.
    pub(super) fn of(used: u64, prompt: u64, most: u64) -> Kept {
        let answer = u128::from(used.saturating_sub(prompt)) * 1_000_000;
        let known = (used > 0).then(|| answer.checked_div(u128::from(most.saturating_sub(prompt)))).flatten();
        Kept(known.map(|share| u64::try_from(share).unwrap_or(u64::MAX)))
    }
}

/// By counter, and the number of its window.
#[derive(Debug, Default)]
pub(super) struct Purses {
    rests: HashMap<(Entries, u64), Rest>,
    /// The mean share of late, in millionths, and how many answers it is of.
    shares: HashMap<Entries, (u64, u64)>,
}

/// What is left in one window of a counter.
#[derive(Debug)]
struct Rest {
    units: u64,
    /// When the window ends: from then on it is worth nothing.
    ends: Timestamp,
}

impl Purses {
    /// What a request is likely to cost of `most` units, of which its prompt costs `prompt`, and an eighth more for the
    /// answer: what is too much is left for others, and what is too little is spent. At least 1.
    pub(super) fn likely(&self, counter: &Entries, prompt: u64, most: u64) -> u64 {
        let mean = self.shares.get(counter).map_or(FIRST_SHARE, |(mean, _)| *mean);
        let share = (mean + mean / 8).min(1_000_000);
        let answer = u128::from(most.saturating_sub(prompt)) * u128::from(share) / 1_000_000;
        prompt.saturating_add(u64::try_from(answer).unwrap_or(u64::MAX)).max(1)
    }

    /// Takes up to this many units out.
    pub(super) fn take(&mut self, counter: &Entries, window: u64, most: u64) -> u64 {
        let key = (Entries::clone(counter), window);
        let Some(rest) = self.rests.get_mut(&key) else { return 0 };
        let taken = most.min(rest.units);
        rest.units -= taken;
        if rest.units == 0 {
            self.rests.remove(&key);
        }
        taken
    }

    /// Puts units in. Those of windows that are over make room.
    pub(super) fn put(&mut self, counter: &Entries, (window, ends): (u64, Timestamp), units: u64, now: Timestamp) {
        if units == 0 || ends <= now {
            return;
        }
        let key = (Entries::clone(counter), window);
        if self.rests.len() >= MAX_PURSES && !self.rests.contains_key(&key) {
            self.rests.retain(|_, rest| rest.ends > now);
            if self.rests.len() >= MAX_PURSES {
                return;
            }
        }
        let rest = self.rests.entry(key).or_insert(Rest { units: 0, ends });
        rest.units = rest.units.saturating_add(units);
    }

    /// Notes what an answer has cost.
    pub(super) fn learn(&mut self, counter: &Entries, Kept(share): Kept) {
        let Some(share) = share.map(|share| share.min(1_000_000)) else { return };
        if let Some((mean, count)) = self.shares.get_mut(counter) {
            *count = MEMORY.min(*count + 1);
            *mean = (*mean * (*count - 1) + share).div_ceil(*count);
        } else {
            // Counters come and go. All begin anew, so that those of today find room.
            if self.shares.len() >= MAX_PURSES {
                self.shares.clear();
            }
            self.shares.insert(Entries::clone(counter), (share, 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(name: usize) -> Entries {
        std::sync::Arc::new([("quota", "a".to_owned()), ("subject", name.to_string())])
    }

    /// A window of an hour.
    fn hour(window: u64) -> (u64, Timestamp) {
        (window, Timestamp::from_secs((window + 1) * 3600))
    }

    #[test]
    fn what_was_put_in_is_taken_out_once_and_in_its_window() {
        let (counter, seven, eight) =
            (counter(0), Timestamp::from_secs(7 * 3600 + 1), Timestamp::from_secs(8 * 3600 + 1));
        let mut purses = Purses::default();
        assert_eq!(purses.take(&counter, 7, 10), 0);
        purses.put(&counter, hour(7), 15, seven);
        assert_eq!((purses.take(&counter, 8, 10), purses.take(&counter, 7, 10)), (0, 10));
        assert_eq!((purses.take(&counter, 7, 10), purses.take(&counter, 7, 10)), (5, 0));
        purses.put(&counter, hour(7), 3, seven);
        purses.put(&counter, hour(8), 4, eight);
        assert_eq!((purses.take(&counter, 8, 10), purses.take(&counter, 7, 10)), (4, 3), "each window has its own");
        purses.put(&counter, hour(7), 3, eight);
        assert_eq!(purses.take(&counter, 7, 10), 0, "it is over");
    }

    #[test]
    fn counters_of_yesterday_leave_room_for_those_of_today() {
        let mut purses = Purses::default();
        let (then, now) = (Timestamp::from_secs(7 * 3600 + 1), Timestamp::from_secs(8 * 3600 + 1));
        for name in 0..MAX_PURSES + 1 {
            purses.learn(&counter(name), Kept(Some(0)));
            purses.put(&counter(name), hour(7), 5, then);
        }
        assert_eq!(purses.take(&counter(MAX_PURSES), 7, 10), 0, "there is no room for one more");
        let newcomer = counter(MAX_PURSES + 1);
        purses.put(&newcomer, hour(8), 5, now);
        assert_eq!(purses.take(&newcomer, 8, 10), 5);
        purses.learn(&newcomer, Kept(Some(0)));
        assert_eq!(purses.likely(&newcomer, 100, 1100), 100, "its answers are known");
    }

    #[test]
    fn a_request_is_counted_as_those_before_it() {
        let counter: Entries = std::sync::Arc::new([("quota", "a".to_owned()), ("role", "b".to_owned())]);
        let mut purses = Purses::default();
        assert_eq!(purses.likely(&counter, 100, 1100), 381);
        assert_eq!((purses.likely(&counter, 0, 0), purses.likely(&counter, u64::MAX, 1)), (1, u64::MAX));
        for _ in 0..40 {
            purses.learn(&counter, Kept(Some(20_000)));
        }
        assert_eq!(purses.likely(&counter, 100, 1100), 122);
        for _ in 0..400 {
            purses.learn(&counter, Kept(Some(5_000_000)));
        }
        assert_eq!(purses.likely(&counter, 100, 1100), 1100);
    }
}
