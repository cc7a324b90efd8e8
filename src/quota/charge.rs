//! Charging a request to all its buckets, or to none.

use std::time::Duration;

use super::bucket::{Answer, Charge};
use super::headers::{Limits, Tightest};
use super::key::SharedKey;
use super::row::{Row, RowAnswer, Slot};
use super::tokens::Measure;
use super::{Bill, Quota, Quotas, ROWS, Whose};
use crate::document::Counts;
use crate::enums::Mode;
use crate::host::{Fault, Host, SetOutcome, Shared};
use crate::reason::{Denial, Reason};

/// How often a row is tried again when another worker wrote first. Each failure is another worker's
/// success, so that this many would need as many workers on one row.
const ATTEMPTS: usize = 64;

/// A request that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A reason `quota.*` with the seconds to wait, or `internal` when the store failed.
    pub denial: Denial,
    /// The state of the quota that refused and makes the caller wait longest.
    pub limits: Box<Limits>,
}

impl Refusal {
    /// The headers for the reply.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        self.limits.refusal_headers(&self.denial)
    }
}

impl From<Fault> for Refusal {
    fn from(_: Fault) -> Refusal {
        Refusal { denial: Reason::Internal.into(), limits: Box::default() }
    }
}

/// A bucket that a request is charged to, and with how much.
pub(super) struct Debit<'q> {
    pub(super) quota: &'q Quota,
    pub(super) name: [u8; 16],
    pub(super) row: u64,
    pub(super) charge: Charge,
}

/// A debit that was granted.
pub(super) struct Paid<'c, 'q> {
    pub(super) debit: &'c Debit<'q>,
    pub(super) slot: Slot,
    pub(super) mark: u64,
    /// When.
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

    /// Charges one request to every quota of `whose` in `scope` that counts requests.
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
    pub fn charge<'a, 'w>(
        &self,
        bill: impl Into<Bill<'a>>,
        whose: impl Into<Whose<'w>>,
        key: &SharedKey,
        host: &mut dyn Host,
    ) -> Result<Limits, Refusal> {
        let (bill, whose) = (bill.into(), whose.into());
        let swamped = self.swamped(&bill, whose)?;
        let one = |measure: Measure| (measure.counts == Counts::Requests).then_some(Charge::Use(1));
        if self.own(whose).all(|quota| one(quota.measure()).is_none() || quota.buckets(&bill).is_empty()) {
            return Ok(swamped);
        }
        let key = key.current(&self.policy, host)?;
        let debits = self.debits(&bill, whose, &key, one);
        let (limits, _) = self.teller(&key, host).charge(&debits)?;
        Ok(limits.and(swamped))
    }

    /// Refuses a request with more tools than a quota counts, whatever that counts; where it is in shadow, notes it.
    ///
    /// # Errors
    /// A [`Refusal`] as [`Reason::QuotaTooLarge`].
    fn swamped(&self, bill: &Bill<'_>, whose: Whose<'_>) -> Result<Limits, Refusal> {
        let mut limits = Limits::default();
        for quota in self.of(whose).filter(|quota| quota.is_swamped(bill)) {
            match quota.mode {
                Mode::Enforce => {
                    return Err(Refusal { denial: Reason::QuotaTooLarge.into(), limits: Box::default() });
                }
                Mode::Shadow => limits.shadow.push(Reason::QuotaTooLarge),
            }
        }
        Ok(limits)
    }

    /// What a request in this scope is charged of each quota; `None` of `charge`: nothing.
    pub(super) fn debits<'q>(
        &'q self,
        bill: &Bill<'_>,
        whose: Whose<'q>,
        key: &SharedKey,
        charge: impl Fn(Measure) -> Option<Charge>,
    ) -> Vec<Debit<'q>> {
        let mut debits = Vec::new();
        for quota in self.own(whose) {
            let Some(charge) = charge(quota.measure()) else { continue };
            for bucket in quota.buckets(bill) {
                let name = key.bucket(&quota.digest, &bucket);
                let row = name.first_chunk().map_or(0, |head| u64::from_le_bytes(*head)) % ROWS;
                debits.push(Debit { quota, name, row, charge });
            }
        }
        debits
    }

    pub(super) fn teller<'t>(&'t self, key: &'t SharedKey, host: &'t mut dyn Host) -> Teller<'t> {
        Teller { quotas: self, key, host }
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
    outcome: RowAnswer,
}

/// One call's way to the store.
pub(super) struct Teller<'t> {
    quotas: &'t Quotas,
    key: &'t SharedKey,
    host: &'t mut dyn Host,
}

impl Teller<'_> {
    /// Charges all debits, or none.
    pub(super) fn charge<'c, 'q>(&mut self, debits: &'c [Debit<'q>]) -> Result<(Limits, Vec<Paid<'c, 'q>>), Refusal> {
        let mut seen = Vec::with_capacity(debits.len());
        let mut worst: Option<Refusal> = None;
        for debit in debits {
            let asked = self.ask(debit)?;
            if !asked.outcome.answer.fits && debit.quota.mode == Mode::Enforce {
                worst = Some(worse(worst, refusal(debit.quota, &asked.outcome.answer)));
            }
            seen.push((debit, asked));
        }
        if let Some(worst) = worst {
            for (debit, asked) in seen {
                // A clock that was set back is noted, whatever the answer.
                if asked.outcome.changed && !asked.outcome.answer.fits {
                    self.write(&self.quotas.place(debit.row), &asked.row, asked.cas)?;
                }
            }
            return Err(worst);
        }
        let mut paid: Vec<Paid<'c, 'q>> = Vec::with_capacity(debits.len());
        let mut limits = Limits::default();
        for (debit, asked) in seen {
            let outcome = match self.carry_out(debit, asked) {
                Ok(outcome) => outcome,
                Err(fault) => {
                    self.give_back(&paid)?;
                    return Err(fault.into());
                }
            };
            let answer = &outcome.answer;
            match debit.quota.mode {
                Mode::Shadow if !answer.fits => limits.shadow.push(debit.quota.reason(answer)),
                Mode::Shadow => {}
                Mode::Enforce => limits = limits.and(debit.quota.limits(answer)),
            }
            if answer.fits {
                paid.push(Paid { debit, slot: outcome.slot, mark: answer.mark, at: outcome.at });
            } else if debit.quota.mode == Mode::Enforce {
                self.give_back(&paid)?;
                return Err(refusal(debit.quota, answer));
            }
        }
        Ok((limits, paid))
    }

    /// Asks a bucket, without writing.
    fn ask(&mut self, debit: &Debit<'_>) -> Result<Asked, Fault> {
        let (mut row, cas) = self.read(&self.quotas.place(debit.row))?;
        let outcome = row.charge(&debit.name, &debit.quota.rate, debit.charge, self.host.now().0);
        Ok(Asked { row, cas, outcome })
    }

    /// Writes what a bucket was asked for; asks again as often as another worker was faster.
    fn carry_out(&mut self, debit: &Debit<'_>, mut asked: Asked) -> Result<RowAnswer, Fault> {
        for _ in 0..ATTEMPTS {
            if !asked.outcome.changed || self.write(&self.quotas.place(debit.row), &asked.row, asked.cas)? {
                return Ok(asked.outcome);
            }
            asked = self.ask(debit)?;
        }
        Err(NO_REST)
    }

    fn give_back(&mut self, paid: &[Paid<'_, '_>]) -> Result<(), Fault> {
        for Paid { debit, slot, mark, at } in paid {
            let rate = debit.quota.rate;
            self.change(debit.row, &mut |row, now| match debit.charge {
                Charge::Use(units) => row.give_back(&debit.name, *slot, &rate, units, *at, now),
                Charge::Hold(units) => {
                    row.settle(&debit.name, *slot, &rate, (*mark, units, 0), now);
                }
            })?;
        }
        Ok(())
    }

    /// Looks at a row.
    pub(super) fn look<T>(&mut self, row: u64, look: &mut dyn FnMut(&Row) -> T) -> Result<T, Fault> {
        let (row, _) = self.read(&self.quotas.place(row))?;
        Ok(look(&row))
    }

    /// Changes a row as often as it takes until no other worker was faster.
    pub(super) fn change(&mut self, row: u64, change: &mut dyn FnMut(&mut Row, u64)) -> Result<(), Fault> {
        let place = self.quotas.place(row);
        for _ in 0..ATTEMPTS {
            let (mut row, cas) = self.read(&place)?;
            change(&mut row, self.host.now().0);
            if self.write(&place, &row, cas)? {
                return Ok(());
            }
        }
        Err(NO_REST)
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
        let tightest = Some(Tightest { limit: self.limit, remaining: answer.remaining, reset });
        match self.counts {
            Counts::Requests => Limits { requests: tightest, ..Limits::default() },
            Counts::Tokens | Counts::InputTokens | Counts::OutputTokens => {
                Limits { tokens: tightest, ..Limits::default() }
            }
            // No SDK has a header for money.
            Counts::Concurrent | Counts::Cost => Limits::default(),
        }
    }

    fn reason(&self, answer: &Answer) -> Reason {
        match self.counts {
            Counts::Requests => Reason::QuotaRequests,
            Counts::Concurrent => Reason::QuotaConcurrent,
            _ if answer.wait == u64::MAX => Reason::QuotaTooLarge,
            Counts::Cost => Reason::QuotaCost,
            Counts::Tokens | Counts::InputTokens | Counts::OutputTokens => Reason::QuotaTokens,
        }
    }
}

fn refusal(quota: &Quota, answer: &Answer) -> Refusal {
    let retry_after = (answer.wait != u64::MAX).then_some(answer.wait.div_ceil(1_000_000_000).max(1));
    let denial = Denial { retry_after, ..Denial::new(quota.reason(answer)) };
    Refusal { denial, limits: Box::new(quota.limits(answer)) }
}

/// The refusal that makes the caller wait longer; for ever, where the request never fits.
fn worse(one: Option<Refusal>, other: Refusal) -> Refusal {
    let Some(one) = one else { return other };
    let wait = |refusal: &Refusal| refusal.denial.retry_after.unwrap_or(u64::MAX);
    let denial = if wait(&other) > wait(&one) { other.denial } else { one.denial };
    Refusal { denial, limits: Box::new(one.limits.and(*other.limits)) }
}

/// Never written. What was written once is never new again, however empty somebody left it.
fn is_new(shared: &Shared) -> bool {
    shared.cas == 0 && shared.value.is_empty()
}
