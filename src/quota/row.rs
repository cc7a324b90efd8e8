//! A row of the table: a few buckets in one value of the shared store, changed as one.
//!
//! Within a row time never runs backwards, whatever worker writes: a worker that is late takes the
//! time of the one before it, and when the clock was set back, the row goes back with it.

use super::bucket::{Answer, Rate};
use super::key::SharedKey;

/// The most buckets of one row.
pub(super) const ENTRIES: usize = 16;

/// Shared buckets for newcomers to a full row, one for each class of window.
const OVERFLOWS: usize = 4;

const VERSION: u8 = 1;

/// A clock that goes back by more than this was set; by less, another worker was late.
const LATE: u64 = 60_000_000_000;

const SECOND: u64 = 1_000_000_000;

/// A row's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// The latest time that anybody wrote.
    latest: u64,
    /// When the row's content was lost. Every bucket counts as empty (spent) at that time.
    lost: u64,
    /// Arrival times of the shared buckets.
    overflow: [u64; OVERFLOWS],
    /// Buckets that were not full when last seen: name and arrival time.
    entries: Vec<([u8; 16], u64)>,
}

/// Where a request was charged, to give it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// In its own bucket.
    Own,
    /// In the shared bucket of its class.
    Shared(usize),
}

/// A row's answer to one more request.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    pub(super) slot: Slot,
    /// The row's time at which it was asked.
    pub(super) at: u64,
    /// The row must be written.
    pub(super) changed: bool,
}

impl Row {
    /// A row whose content was lost just now.
    pub(super) fn lost(now: u64) -> Row {
        Row { latest: now, lost: now, ..Row::default() }
    }

    /// Reads a row; `None` for anything that this key did not seal at this place.
    pub(super) fn open(key: &SharedKey, place: &str, sealed: &[u8]) -> Option<Row> {
        let bytes = key.open(place, sealed)?;
        let (version, mut rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let mut number = || {
            let (head, tail) = rest.split_first_chunk::<8>()?;
            rest = tail;
            Some(u64::from_le_bytes(*head))
        };
        let mut row = Row { latest: number()?, lost: number()?, ..Row::default() };
        for shared in &mut row.overflow {
            *shared = number()?;
        }
        let (chunks, odd) = rest.as_chunks::<24>();
        if !odd.is_empty() || chunks.len() > ENTRIES {
            return None;
        }
        for chunk in chunks {
            let (name, arrival) = (chunk.first_chunk()?, chunk.last_chunk()?);
            row.entries.push((*name, u64::from_le_bytes(*arrival)));
        }
        Some(row)
    }

    /// The row as it is stored.
    pub(super) fn seal(&self, key: &SharedKey, place: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 8 * (2 + OVERFLOWS) + 24 * self.entries.len() + 16);
        bytes.push(VERSION);
        for number in [self.latest, self.lost].iter().chain(&self.overflow) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (name, arrival) in &self.entries {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(&arrival.to_le_bytes());
        }
        key.seal(place, bytes)
    }

    /// Charges one request to a bucket, if it fits.
    pub(super) fn charge(&mut self, name: &[u8; 16], rate: &Rate, now: u64) -> Outcome {
        let (now, moved) = self.advance(now);
        if let Some((_, arrival)) = self.entries.iter_mut().find(|(known, _)| known == name) {
            let answer = rate.ask(*arrival, now);
            *arrival = answer.arrival.unwrap_or(*arrival);
            return Outcome::new(answer, Slot::Own, now, moved);
        }
        // What a newcomer spent while the row was full stands in the shared bucket, together with
        // what others spent there: it starts from that.
        let class = class(rate);
        let shared = self.overflow.get(class).copied().unwrap_or(u64::MAX);
        let spent = if self.lost == 0 { 0 } else { self.lost.saturating_add(rate.depth()) };
        let answer = rate.ask(shared.max(spent), now);
        let Some(arrival) = answer.arrival else {
            return Outcome::new(answer, Slot::Own, now, moved);
        };
        self.entries.retain(|(_, arrival)| *arrival > now);
        if self.entries.len() < ENTRIES {
            self.entries.push((*name, arrival));
            return Outcome::new(answer, Slot::Own, now, moved);
        }
        if let Some(shared) = self.overflow.get_mut(class) {
            *shared = arrival;
        }
        Outcome::new(answer, Slot::Shared(class), now, moved)
    }

    /// Gives back a request that was charged at `charged` to `slot`. A bucket that is gone is full.
    pub(super) fn give_back(&mut self, name: &[u8; 16], slot: Slot, rate: &Rate, charged: u64, now: u64) {
        let (now, _) = self.advance(now);
        let arrival = match slot {
            Slot::Own => self.entries.iter_mut().find(|(known, _)| known == name).map(|(_, arrival)| arrival),
            Slot::Shared(class) => self.overflow.get_mut(class),
        };
        if let Some(arrival) = arrival {
            *arrival = rate.give_back(*arrival, charged, now);
        }
    }

    /// The row's time for a worker's, and whether the row had to be moved back.
    fn advance(&mut self, now: u64) -> (u64, bool) {
        let behind = self.latest.saturating_sub(now);
        if behind < LATE {
            self.latest = self.latest.max(now);
            return (self.latest, false);
        }
        // The clock was set back. Without this every bucket would stay as it is until the clock has
        // come this far again.
        self.latest = now;
        let times = self.entries.iter_mut().map(|(_, arrival)| arrival).chain(&mut self.overflow);
        for time in times.chain((self.lost > 0).then_some(&mut self.lost)) {
            *time = time.saturating_sub(behind).max(1);
        }
        (now, true)
    }
}

impl Outcome {
    fn new(answer: Answer, slot: Slot, at: u64, moved: bool) -> Outcome {
        Outcome { answer, slot, at, changed: moved || answer.arrival.is_some() }
    }
}

/// The class of a bucket by the time it takes to fill, so that a bucket for an hour does not keep
/// newcomers of one for a second waiting.
fn class(rate: &Rate) -> usize {
    match rate.depth() {
        depth if depth <= 60 * SECOND => 0,
        depth if depth <= 3_600 * SECOND => 1,
        depth if depth <= 86_400 * SECOND => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::MemoryHost;

    const NOW: u64 = 1_800_000_000 * SECOND;

    fn name(number: usize) -> [u8; 16] {
        (number as u128).to_le_bytes()
    }

    #[test]
    fn a_row_comes_back_as_it_was_and_only_in_its_place() {
        let key = SharedKey::obtain("policy", &mut MemoryHost::default()).unwrap();
        let mut row = Row::default();
        let rate = Rate::new(10, 60 * SECOND, 10);
        for number in 0..ENTRIES + 3 {
            row.charge(&name(number), &rate, NOW);
        }
        let sealed = row.seal(&key, "a");
        assert_eq!(Row::open(&key, "a", &sealed), Some(row));
        assert_eq!(Row::open(&key, "b", &sealed), None);
        for cut in 0..sealed.len() {
            assert_eq!(Row::open(&key, "a", &sealed[..cut]), None);
        }
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Row::open(&key, "a", &changed), None);
        }
    }

    #[test]
    fn newcomers_to_a_full_row_share_a_bucket_and_take_it_along() {
        let rate = Rate::new(3, 3 * SECOND, 3);
        let mut row = Row::default();
        for number in 0..ENTRIES {
            assert_eq!(row.charge(&name(number), &rate, NOW).slot, Slot::Own);
        }
        // Three requests of three newcomers, and the bucket that they share is spent.
        for number in 100..103 {
            let outcome = row.charge(&name(number), &rate, NOW);
            assert_eq!((outcome.slot, outcome.answer.arrival.is_some()), (Slot::Shared(0), true));
        }
        assert!(row.charge(&name(103), &rate, NOW).answer.arrival.is_none());
        // Known buckets keep what is theirs.
        assert!(row.charge(&name(0), &rate, NOW).answer.arrival.is_some());
        // Places are free again, and a newcomer who spent the shared bucket does not start afresh.
        let later = NOW + 2 * SECOND;
        let outcome = row.charge(&name(100), &rate, later);
        assert_eq!((outcome.slot, outcome.answer.remaining), (Slot::Own, 1));
        assert_eq!(row.entries.len(), 1);
        // Another class of window is not kept waiting.
        let daily = Rate::new(5, 86_400 * SECOND, 5);
        assert_eq!(row.charge(&name(200), &daily, later).answer.remaining, 4);
    }

    #[test]
    fn what_is_given_back_can_be_used_again() {
        let rate = Rate::new(2, 60 * SECOND, 2);
        let mut row = Row::default();
        let first = row.charge(&name(1), &rate, NOW);
        row.charge(&name(1), &rate, NOW);
        assert!(row.charge(&name(1), &rate, NOW).answer.arrival.is_none());
        row.give_back(&name(1), first.slot, &rate, first.at, NOW);
        assert!(row.charge(&name(1), &rate, NOW).answer.arrival.is_some());
        assert!(row.charge(&name(1), &rate, NOW).answer.arrival.is_none());
    }
}
