//! Charging a request to all its buckets, or to none.

use std::time::Duration;

use super::bucket::Answer;
use super::headers::{Limits, Tightest};
use super::key::SharedKey;
use super::row::{Outcome, Row, Slot};
use super::{Quota, Quotas, ROWS, Scope};
use crate::authn::RoleIndex;
use crate::config::document::Mode;
use crate::host::{Fault, Host, SetOutcome, Shared};
use crate::reason::{Denial, Reason};

/// How often a row is tried again when another worker wrote first. Each failure is another worker's
/// success, so that this many would need as many workers on one row.
const ATTEMPTS: usize = 64;

/// A request that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `quota.requests` with the seconds to wait, or `internal` when the store failed.
    pub denial: Denial,
    /// The state of the quota that refused and makes the caller wait longest.
    pub limits: Limits,
}

impl Refusal {
    /// The headers for the reply.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        self.limits.refusal_headers(&self.denial)
    }
}

impl From<Fault> for Refusal {
    fn from(_: Fault) -> Refusal {
        Refusal { denial: Reason::Internal.into(), limits: Limits::default() }
    }
}

/// A bucket that a request is charged to.
struct Bucket<'q> {
    quota: &'q Quota,
    name: [u8; 16],
    place: String,
}

/// A charge that may have to be given back.
struct Receipt<'b, 'q> {
    bucket: &'b Bucket<'q>,
    slot: Slot,
    at: u64,
}

impl Quotas {
    /// Writes the empty rows of the table, those that are not there yet.
    ///
    /// Call it while a VM starts, before any request: Envoy does not compare a first write with
    /// anything, so a row that two workers both create would lose a count. Envoy's main thread loads
    /// a policy before the workers do, and finds nobody to race with.
    ///
    /// # Errors
    /// A [`Fault`] when the store fails.
    pub fn prepare(&self, key: &SharedKey, host: &mut dyn Host) -> Result<(), Fault> {
        if self.is_empty() {
            return Ok(());
        }
        for row in 0..ROWS {
            let place = self.place(row);
            if is_new(&host.shared_get(&place)?) {
                host.shared_set(&place, &Row::default().seal(key, &place), 0)?;
            }
        }
        Ok(())
    }

    /// Charges one request to every quota of `roles` in `scope`.
    ///
    /// All or nothing: every bucket is asked before any is charged, and when another worker takes the
    /// last place in between, what was charged is given back. For that moment the earlier buckets
    /// hold one less: a race can refuse a request that would just have fitted, and never pass one that
    /// does not. A request that an enforced quota refuses is charged to no quota. Quotas in shadow
    /// mode are charged when they can be, and never refuse.
    ///
    /// Costs one host call, and two a quota.
    ///
    /// # Errors
    /// A [`Refusal`]; for `internal`, nothing is known about what was charged.
    pub fn charge(
        &self,
        scope: Scope<'_>,
        roles: &[RoleIndex],
        key: &SharedKey,
        host: &mut dyn Host,
    ) -> Result<Limits, Refusal> {
        let named = self.in_scope(scope, roles);
        if named.is_empty() {
            return Ok(Limits::default());
        }
        let key = key.current(&self.policy, host)?;
        let buckets = self.buckets(&named, &key);
        Teller { key: &key, host }.charge(&buckets)
    }

    fn buckets<'q>(&self, named: &[(&'q Quota, Vec<u8>)], key: &SharedKey) -> Vec<Bucket<'q>> {
        let bucket = |(quota, caller): &(&'q Quota, Vec<u8>)| {
            let name = key.bucket(&quota.digest, caller);
            let row = name.first_chunk().map_or(0, |head| u64::from_le_bytes(*head)) % ROWS;
            Bucket { quota, name, place: self.place(row) }
        };
        named.iter().map(bucket).collect()
    }

    fn place(&self, row: u64) -> String {
        format!("{}/q/{row:x}", self.policy)
    }
}

const NO_REST: Fault = Fault("a quota's row never came to rest");

/// A bucket's answer, and the row to write for it to hold.
struct Asked {
    row: Row,
    cas: u32,
    outcome: Outcome,
}

/// One call's way to the store.
struct Teller<'k, 'h> {
    key: &'k SharedKey,
    host: &'h mut dyn Host,
}

impl Teller<'_, '_> {
    fn charge(&mut self, buckets: &[Bucket<'_>]) -> Result<Limits, Refusal> {
        let mut seen = Vec::with_capacity(buckets.len());
        let mut refusals = Limits::default();
        let mut wait = None;
        for bucket in buckets {
            let asked = self.ask(bucket)?;
            if asked.outcome.answer.arrival.is_none() && bucket.quota.mode == Mode::Enforce {
                refusals = refusals.and(bucket.quota.limits(&asked.outcome.answer));
                wait = wait.max(Some(asked.outcome.answer.wait));
            }
            seen.push((bucket, asked));
        }
        if let Some(wait) = wait {
            for (bucket, asked) in seen {
                // A clock that was set back is noted, whatever the answer.
                if asked.outcome.changed && asked.outcome.answer.arrival.is_none() {
                    self.write(&bucket.place, &asked.row, asked.cas)?;
                }
            }
            return Err(refusal(wait, refusals));
        }
        let mut receipts = Vec::with_capacity(buckets.len());
        let mut limits = Limits::default();
        for (bucket, asked) in seen {
            let outcome = match self.settle(bucket, asked) {
                Ok(outcome) => outcome,
                Err(fault) => {
                    self.give_back(&receipts)?;
                    return Err(fault.into());
                }
            };
            let charged = outcome.answer.arrival.is_some();
            match bucket.quota.mode {
                Mode::Shadow => limits.shadow |= !charged,
                Mode::Enforce => limits = limits.and(bucket.quota.limits(&outcome.answer)),
            }
            if charged {
                receipts.push(Receipt { bucket, slot: outcome.slot, at: outcome.at });
            } else if bucket.quota.mode == Mode::Enforce {
                self.give_back(&receipts)?;
                let refused = bucket.quota.limits(&outcome.answer);
                return Err(refusal(outcome.answer.wait, refused));
            }
        }
        Ok(limits)
    }

    /// Asks a bucket for one request, without writing.
    fn ask(&mut self, bucket: &Bucket<'_>) -> Result<Asked, Fault> {
        let (mut row, cas) = self.read(&bucket.place)?;
        let outcome = row.charge(&bucket.name, &bucket.quota.rate, self.host.now().0);
        Ok(Asked { row, cas, outcome })
    }

    /// Writes what a bucket was asked for; asks again as often as another worker was faster.
    fn settle(&mut self, bucket: &Bucket<'_>, mut asked: Asked) -> Result<Outcome, Fault> {
        for _ in 0..ATTEMPTS {
            if !asked.outcome.changed || self.write(&bucket.place, &asked.row, asked.cas)? {
                return Ok(asked.outcome);
            }
            asked = self.ask(bucket)?;
        }
        Err(NO_REST)
    }

    fn give_back(&mut self, receipts: &[Receipt<'_, '_>]) -> Result<(), Fault> {
        for Receipt { bucket, slot, at } in receipts {
            let mut written = false;
            for _ in 0..ATTEMPTS {
                let (mut row, cas) = self.read(&bucket.place)?;
                row.give_back(&bucket.name, *slot, &bucket.quota.rate, *at, self.host.now().0);
                written = self.write(&bucket.place, &row, cas)?;
                if written {
                    break;
                }
            }
            if !written {
                return Err(NO_REST);
            }
        }
        Ok(())
    }

    /// Reads a row with its version; writes one first where there is none, or none that is ours.
    fn read(&mut self, place: &str) -> Result<(Row, u32), Fault> {
        for _ in 0..ATTEMPTS {
            let shared = self.host.shared_get(place)?;
            if let Some(row) = Row::open(self.key, place, &shared.value) {
                return Ok((row, shared.cas));
            }
            let row = if is_new(&shared) { Row::default() } else { Row::lost(self.host.now().0) };
            self.write(place, &row, shared.cas)?;
        }
        Err(NO_REST)
    }

    fn write(&mut self, place: &str, row: &Row, cas: u32) -> Result<bool, Fault> {
        Ok(self.host.shared_set(place, &row.seal(self.key, place), cas)? == SetOutcome::Stored)
    }
}

impl Quota {
    fn limits(&self, answer: &Answer) -> Limits {
        let reset = Duration::from_nanos(answer.reset);
        let tightest = Tightest { limit: self.limit, remaining: answer.remaining, reset };
        Limits { tightest: Some(tightest), shadow: false }
    }
}

fn refusal(wait: u64, limits: Limits) -> Refusal {
    let retry_after = Some(wait.div_ceil(1_000_000_000).max(1));
    Refusal { denial: Denial { retry_after, ..Denial::new(Reason::QuotaRequests) }, limits }
}

/// Never written. What was written once is never new again, however empty somebody left it.
fn is_new(shared: &Shared) -> bool {
    shared.cas == 0 && shared.value.is_empty()
}
