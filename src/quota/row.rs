//! A row of the table: a few buckets in one value of the shared store, changed as one.
//!
//! Within a row time never runs backwards, whatever worker writes: a worker that is late takes the
//! time of the one before it, and when the clock was set back, the row goes back with it.

use super::bucket::{Answer, Charge, Held, Level, Rate};
use super::key::SharedKey;

/// The most buckets of one row.
pub(super) const ENTRIES: usize = 16;

/// Shared buckets for newcomers to a full row, one for each class of window.
const OVERFLOWS: usize = 4;

const VERSION: u8 = 2;

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
    /// The shared buckets.
    overflow: [Level; OVERFLOWS],
    /// Buckets that were not full when last seen, by name.
    entries: Vec<([u8; 16], Level)>,
}

/// Where a request was charged, to give it back or to settle it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// In its own bucket.
    Own,
    /// In the shared bucket of its class.
    Shared(usize),
}

/// A row's answer to one more request.
pub(super) struct RowAnswer {
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
        let mut rest = Reader(key.open(place, sealed)?);
        if rest.byte()? != VERSION {
            return None;
        }
        let count = usize::from(rest.byte()?);
        if count > ENTRIES {
            return None;
        }
        let mut row = Row { latest: rest.number()?, lost: rest.number()?, ..Row::default() };
        for shared in &mut row.overflow {
            shared.arrival = rest.number()?;
        }
        for _ in 0..count {
            let name = rest.take::<16>()?;
            row.entries.push((name, Level::at(rest.number()?)));
        }
        // What is held comes last, for those buckets only that hold something.
        while !rest.0.is_empty() {
            let place = usize::from(rest.byte()?);
            let held = [rest.held()?, rest.held()?];
            row.levels().nth(place)?.held = held;
        }
        Some(row)
    }

    /// The row as it is stored.
    pub(super) fn seal(&self, key: &SharedKey, place: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + 8 * (2 + OVERFLOWS) + 24 * self.entries.len() + 33 + 16);
        bytes.extend([VERSION, self.entries.len() as u8]);
        let mut number = |number: u64| bytes.extend_from_slice(&number.to_le_bytes());
        number(self.latest);
        number(self.lost);
        self.overflow.iter().for_each(|level| number(level.arrival));
        for (name, level) in &self.entries {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(&level.arrival.to_le_bytes());
        }
        let levels = self.overflow.iter().chain(self.entries.iter().map(|(_, level)| level));
        for (place, level) in levels.enumerate().filter(|(_, level)| level.held != [Held::default(); 2]) {
            bytes.push(place as u8);
            for number in level.held.iter().flat_map(|held| [held.cost, held.until]) {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        key.seal(place, bytes)
    }

    /// Every bucket, in the order of their numbers.
    fn levels(&mut self) -> impl Iterator<Item = &mut Level> {
        self.overflow.iter_mut().chain(self.entries.iter_mut().map(|(_, level)| level))
    }

    /// Charges one request to a bucket, if it fits.
    pub(super) fn charge(&mut self, name: &[u8; 16], rate: &Rate, charge: Charge, now: u64) -> RowAnswer {
        let (now, moved) = self.advance(now);
        if let Some((_, level)) = self.entries.iter_mut().find(|(known, _)| known == name) {
            return RowAnswer::new(level.ask(rate, charge, now), Slot::Own, now, moved);
        }
        // What a newcomer spent while the row was full is in the shared bucket, together with
        // what others spent there: it starts from that.
        let class = class(rate);
        let shared = self.overflow.get(class).map_or(u64::MAX, |level| level.drained(now));
        let spent = if self.lost == 0 { 0 } else { rate.clock(self.lost).saturating_add(rate.depth()) };
        let mut own = Level::at(shared.max(spent));
        let answer = own.ask(rate, charge, now);
        if !answer.fits {
            return RowAnswer::new(answer, Slot::Own, now, moved);
        }
        self.entries.retain(|(_, level)| !level.is_full(now));
        if self.entries.len() < ENTRIES {
            self.entries.push((*name, own));
            return RowAnswer::new(answer, Slot::Own, now, moved);
        }
        let Some(shared) = self.overflow.get_mut(class) else {
            return RowAnswer::new(Answer { fits: false, ..answer }, Slot::Own, now, moved);
        };
        shared.arrival = shared.arrival.max(spent);
        RowAnswer::new(shared.ask(rate, charge, now), Slot::Shared(class), now, moved)
    }

    /// Gives back units that were charged as used at `charged` to `slot`. A bucket that is gone is full.
    pub(super) fn give_back(&mut self, name: &[u8; 16], slot: Slot, rate: &Rate, units: u64, charged: u64, now: u64) {
        let (now, _) = self.advance(now);
        if let Some(level) = self.level(name, slot) {
            level.give_back(rate, units, charged, now);
        }
    }

    /// Settles what was held under `mark`. A bucket that is gone holds nothing any more. What it gives is the units that
    /// counted as used before and after.
    pub(super) fn settle(
        &mut self,
        name: &[u8; 16],
        slot: Slot,
        rate: &Rate,
        (mark, held, used): (u64, u64, u64),
        now: u64,
    ) -> (u64, u64) {
        let (now, _) = self.advance(now);
        self.level(name, slot).map_or((0, 0), |level| level.settle(rate, mark, held, used, now))
    }

    /// The end of the cool-down under this name; 0: there is none.
    pub(super) fn cooldown_ends(&self, name: &[u8; 16]) -> u64 {
        self.entries.iter().find(|(known, _)| known == name).map_or(0, |(_, level)| level.arrival)
    }

    /// The bucket of this name, a new one if there is none; `None` when the row has no place left.
    pub(super) fn own(&mut self, name: &[u8; 16], now: u64) -> Option<&mut Level> {
        if !self.entries.iter().any(|(known, _)| known == name) {
            self.entries.retain(|(_, level)| !level.is_full(now));
            if self.entries.len() >= ENTRIES {
                return None;
            }
            self.entries.push((*name, Level::default()));
        }
        self.entries.iter_mut().find(|(known, _)| known == name).map(|(_, level)| level)
    }

    fn level(&mut self, name: &[u8; 16], slot: Slot) -> Option<&mut Level> {
        match slot {
            Slot::Own => self.entries.iter_mut().find(|(known, _)| known == name).map(|(_, level)| level),
            Slot::Shared(class) => self.overflow.get_mut(class),
        }
    }

    /// The row's time for a worker's, and whether the row had to be moved back.
    pub(super) fn advance(&mut self, now: u64) -> (u64, bool) {
        let behind = self.latest.saturating_sub(now);
        if behind < LATE {
            self.latest = self.latest.max(now);
            return (self.latest, false);
        }
        // The clock was set back. Without this every bucket would stay as it is until the clock has
        // come this far again.
        self.latest = now;
        for time in self.levels().flat_map(Level::times) {
            *time = time.saturating_sub(behind).max(1);
        }
        if self.lost > 0 {
            self.lost = self.lost.saturating_sub(behind).max(1);
        }
        (now, true)
    }
}

impl RowAnswer {
    fn new(answer: Answer, slot: Slot, at: u64, moved: bool) -> RowAnswer {
        RowAnswer { answer, slot, at, changed: moved || answer.fits }
    }
}

/// Reads a row's bytes.
struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn held(&mut self) -> Option<Held> {
        Some(Held { cost: self.number()?, until: self.number()? })
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

    const ONE: Charge = Charge::Use(1);
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
            let charge = if number % 4 == 0 { Charge::Hold(2) } else { ONE };
            row.charge(&name(number), &rate, charge, NOW);
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
            assert_eq!(row.charge(&name(number), &rate, ONE, NOW).slot, Slot::Own);
        }
        // Three requests of three newcomers, and the bucket that they share is spent.
        for number in 100..103 {
            let outcome = row.charge(&name(number), &rate, ONE, NOW);
            assert_eq!((outcome.slot, outcome.answer.fits), (Slot::Shared(0), true));
        }
        assert!(!row.charge(&name(103), &rate, ONE, NOW).answer.fits);
        // Known buckets keep what is theirs.
        assert!(row.charge(&name(0), &rate, ONE, NOW).answer.fits);
        // Places are free again, and a newcomer who spent the shared bucket does not start afresh.
        let later = NOW + 2 * SECOND;
        let outcome = row.charge(&name(100), &rate, ONE, later);
        assert_eq!((outcome.slot, outcome.answer.remaining), (Slot::Own, 1));
        assert_eq!(row.entries.len(), 1);
        // Another class of window is not kept waiting.
        let daily = Rate::new(5, 86_400 * SECOND, 5);
        assert_eq!(row.charge(&name(200), &daily, ONE, later).answer.remaining, 4);
    }

    #[test]
    fn what_is_given_back_can_be_used_again() {
        let rate = Rate::new(2, 60 * SECOND, 2);
        let mut row = Row::default();
        let first = row.charge(&name(1), &rate, ONE, NOW);
        row.charge(&name(1), &rate, ONE, NOW);
        assert!(!row.charge(&name(1), &rate, ONE, NOW).answer.fits);
        row.give_back(&name(1), first.slot, &rate, 1, first.at, NOW);
        assert!(row.charge(&name(1), &rate, ONE, NOW).answer.fits);
        assert!(!row.charge(&name(1), &rate, ONE, NOW).answer.fits);
    }
}
