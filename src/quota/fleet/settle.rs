//! What the service must still be told: settlements of requests that have ended, put together and sent in
//! batches, so that a thousand short requests of one caller cost one call.
//!
//! A worker keeps them in memory: those of a worker that dies are lost. Lost additions loosen by what those
//! requests used beyond their reservation, lost refunds tighten until the window ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::purse::{Kept, Purses};
use super::{Entries, Inquiry, message, window_of};
use crate::callout::{Answer, Call};
use crate::host::Timestamp;
use crate::quota::reserve::{Alerts, Crossed};
use crate::quota::{Quotas, nanos};

/// More descriptors than this do not wait; newcomers are dropped and counted.
const MAX_WAITING: usize = 4096;

/// Descriptors in one call.
const BATCH: usize = 64;

/// Calls that are in flight at a time.
const MAX_CALLS: usize = 4;

/// How often a settlement is tried, and for how long it waits.
const MAX_TRIES: u32 = 8;
const MAX_AGE: u64 = 60_000_000_000;

/// What one counter must still be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub(super) entries: Entries,
    /// The shares of the limit that are told.
    pub(super) alerts: Option<Arc<Alerts>>,
    /// What one hit is, of the quota's own units.
    pub(super) unit: u64,
    pub(super) limit: u64,
    pub(super) window: Duration,
    /// When the request was counted.
    pub(super) at: Timestamp,
    /// To add; negative: to give back.
    pub(super) hits: i128,
    /// The worker keeps what is to be given back.
    pub(super) kept: Option<Kept>,
}

/// The settlements of one worker that wait, and how many calls are in flight.
#[derive(Debug, Default)]
pub struct Settlements {
    waiting: HashMap<(Entries, u64), Waiting>,
    calls: usize,
    dropped: u64,
    crossed: Vec<Crossed>,
    purses: Purses,
}

#[derive(Clone, Debug)]
struct Waiting {
    settlement: Settlement,
    since: Timestamp,
    tries: u32,
}

/// Settlements whose call is in flight.
#[derive(Debug)]
pub struct Batch(Vec<Waiting>);

/// What came of a batch, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All of it counts.
    Counted,
    /// Some of it found no room: callers have used more than the limit.
    Over,
    /// The service did not answer; it is told again.
    Unanswered,
}

impl Settled {
    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Settled::Counted => "counted",
            Settled::Over => "over",
            Settled::Unanswered => "unanswered",
        }
    }
}

impl Settlements {
    /// Takes one more.
    pub fn push(&mut self, mut settlement: Settlement, now: Timestamp) {
        if let Some(kept) = settlement.kept {
            let window = window_of(settlement.at, settlement.window);
            self.purses.learn(&settlement.entries, kept);
            let units = u64::try_from(settlement.hits.unsigned_abs()).unwrap_or(u64::MAX);
            if settlement.hits <= 0 {
                let ends = Timestamp(nanos(settlement.window).saturating_mul(window.saturating_add(1)));
                self.purses.put(&settlement.entries, (window, ends), units, now);
                return;
            }
            settlement.hits = i128::from(units - self.purses.take(&settlement.entries, window, units));
            if settlement.hits == 0 {
                return;
            }
        }
        self.add(Waiting { settlement, since: now, tries: 0 });
    }

    /// What a request is likely to cost is asked, and first taken from what earlier ones have left. True when nothing is
    /// left to ask.
    pub fn draw(&mut self, quotas: &Quotas, inquiry: &mut Inquiry) -> bool {
        let asked = inquiry.asked;
        for part in &mut inquiry.parts {
            let (Some(most), Some(quota)) = (part.most, quotas.quota_at(part.quota)) else { continue };
            let likely = self.purses.likely(&part.entries, part.hits, most);
            part.drawn = self.purses.take(&part.entries, window_of(asked, quota.window), likely);
            part.hits = likely - part.drawn;
        }
        let covered = inquiry.parts.extract_if(.., |part| part.hits == 0);
        inquiry.covered.extend(covered);
        inquiry.parts.is_empty() && !inquiry.looks()
    }

    /// How many counters wait to be told.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// True while something waits.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Settlements that were given up since this was last asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// The shares of limits that settlements have reached since this was last asked.
    pub fn take_crossed(&mut self) -> Vec<Crossed> {
        std::mem::take(&mut self.crossed)
    }

    /// The next call to make, if one is to be made now. Its answer goes to [`Settlements::settled`].
    pub fn due(&mut self, quotas: &Quotas, now: Timestamp) -> Option<(Call, Batch)> {
        if self.calls >= MAX_CALLS {
            return None;
        }
        // A refund of a window that is over would make the next one larger; nobody misses it.
        self.waiting.retain(|_, one| {
            let Settlement { hits, at, window, .. } = one.settlement;
            hits != 0 && (hits > 0 || window_of(at, window) == window_of(now, window))
        });
        let before = self.waiting.len();
        self.waiting.retain(|_, one| now.0.saturating_sub(one.since.0) <= MAX_AGE && one.tries < MAX_TRIES);
        self.dropped += (before - self.waiting.len()) as u64;
        let keys: Vec<_> = self.waiting.keys().take(BATCH).cloned().collect();
        let batch: Vec<Waiting> = keys.iter().filter_map(|key| self.waiting.remove(key)).collect();
        if batch.is_empty() {
            return None;
        }
        let settlements: Vec<_> = batch.iter().map(|one| one.settlement.clone()).collect();
        let call = quotas.settling(&settlements)?;
        self.calls += 1;
        Some((call, Batch(batch)))
    }

    /// Takes the answer to a batch.
    pub fn settled(&mut self, batch: Batch, answer: &Answer) -> Settled {
        self.calls = self.calls.saturating_sub(1);
        let response = if let Answer::Grpc(bytes) = answer { message::response(bytes) } else { None };
        let Some(response) = response else {
            for one in batch.0 {
                self.add(Waiting { tries: one.tries + 1, ..one });
            }
            return Settled::Unanswered;
        };
        // A service that counts only what fits: what is left is taken, so that the counter says "spent".
        for (one, status) in batch.0.into_iter().zip(response.statuses) {
            if let Ok(hits @ 1..) = u64::try_from(one.settlement.hits) {
                let Settlement { alerts, unit, .. } = &one.settlement;
                self.crossed.extend(super::crossed(alerts.as_ref(), *unit, &status, hits));
            }
            let rest = i128::from(status.remaining);
            if status.over && rest > 0 && rest < one.settlement.hits {
                let settlement = Settlement { hits: rest, ..one.settlement };
                self.add(Waiting { settlement, tries: one.tries + 1, ..one });
            }
        }
        if response.over { Settled::Over } else { Settled::Counted }
    }

    fn add(&mut self, one: Waiting) {
        let window = window_of(one.settlement.at, one.settlement.window);
        let key = (one.settlement.entries.clone(), window);
        if let Some(known) = self.waiting.get_mut(&key) {
            known.settlement.hits = known.settlement.hits.saturating_add(one.settlement.hits);
            known.tries = known.tries.max(one.tries);
        } else if self.waiting.len() < MAX_WAITING {
            self.waiting.insert(key, one);
        } else {
            self.dropped += 1;
        }
    }
}
