//! Quotas that all proxies share: another service counts, over Envoy's rate-limit-service protocol.
//!
//! This room writes the question ([`Inquiry`]), reads the answer, and says what follows when there is none.
//! The service keeps the counters; its own windows count (fixed ones, in the servers that are known).
//!
//! A quota's descriptor, in this order:
//!
//! | entry | value |
//! |---|---|
//! | `quota` | `ROLE.COUNTS.PER.WINDOW`, for example `analyst.tokens.tenant.3600s`; `.2` and so on behind it for a twin |
//! | the quota's `per` | `subject`, `tenant`, `issuer`, `claim`, `workload`, `session`: 32 hex digits, keyed by `audit.hashKey`; `model`, `tool`, `operation`: its name; `role`: the role |
//!
//! (A caller's strikes have one more: see `ban.rs`.)
//!
//! Money is counted in millionths of the currency (`cost`). The counters are 32 bits wide: a budget that does not fit is
//! counted in tens of them (`cost10`), hundreds, and so on. A request is rounded up to such units once.
//!
//! Requests add 1 as they come. Of tokens, with `refunds` all that a request may use is added before the call
//! and the rest given back after it (`is_negative_hits`); without it the estimated input is added before, and
//! what was used beyond that after. Of money what it is likely to cost is added before (`purse.rs`). What is given back late, in the next window of the wall clock, is dropped:
//! it would make that one larger.

mod ban;
mod message;
mod protobuf;
mod purse;
mod settle;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

pub(super) use ban::Ban;
pub use settle::{Batch, Settled, Settlement, Settlements};

use super::bucket::Charge;
use super::charge::{Debit, Refusal};
use super::headers::{Limits, Tightest};
use super::key::SharedKey;
use super::reserve::{Alerts, Crossed, Reservation};
use super::tokens::{Measure, Tokens, unit};
use super::{Bill, Quota, Quotas, ROWS, Whose, nanos};
use crate::authn::RoleIndex;
use crate::callout::{Answer, Call, GrpcCall};
use crate::document::{Counts, OnUnavailable, Per, Reach};
use crate::enums::Mode;
use crate::host::{Host, Timestamp};
use crate::keyed::HashKey;
use crate::quota::{QuotaPolicy, RateLimitService};
use crate::reason::{Denial, Reason};
use message::{Descriptor, Response, Status, Unit};
use purse::Kept;

const SERVICE: &str = "envoy.service.ratelimit.v3.RateLimitService";
const METHOD: &str = "ShouldRateLimit";

/// The longest answer that is taken, in bytes.
const MOST: usize = 64 * 1024;

/// The service of a policy.
#[derive(Debug)]
pub(super) struct Service {
    policy: RateLimitService,
    /// The same on all proxies.
    key: HashKey,
}

/// A descriptor's entries.
type Entries = Arc<[(&'static str, String)]>;

/// What one request asks of the service, until it is answered.
#[derive(Clone, Debug)]
pub struct Inquiry {
    parts: Vec<Part>,
    /// Of these nothing is asked: what earlier requests have left is enough.
    covered: Vec<Part>,
    /// The caller's strikes, to be looked at.
    look: Option<Entries>,
    /// What the request may use.
    expected: Tokens,
    /// How often it may still be tried again.
    retries: u64,
    asked: Timestamp,
}

/// What is asked of one quota.
#[derive(Clone, Debug)]
struct Part {
    /// Of the role and in its list.
    quota: (RoleIndex, usize),
    /// What names the caller's bucket, for the time that this proxy counts by itself.
    bucket: Vec<u8>,
    entries: Entries,
    hits: u64,
    /// What it comes to at most, where the worker keeps what is left of it.
    most: Option<u64>,
    /// What earlier requests have left for it.
    drawn: u64,
}

/// What the service counted for a request in flight.
#[derive(Debug)]
pub(super) struct FleetHold {
    measure: Measure,
    alerts: Option<Arc<Alerts>>,
    limit: u64,
    window: Duration,
    entries: Entries,
    reserved: u64,
    at: Timestamp,
    /// The worker keeps what is left of it: what the prompt costs, and all of it at most.
    kept: Option<(u64, u64)>,
    /// It was held in vain: all of it is left.
    is_void: bool,
}

/// What the service is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// The request itself, before its body is read.
    Requests,
    /// What is left, as the last stage: these tokens, and `calls`: the request too, because it was not known before
    /// which of the caller's roles grant it. `looked`: the caller's strikes are known.
    Rest { tokens: Tokens, calls: bool, looked: bool },
}

/// What an answer came to.
#[derive(Debug)]
pub(crate) enum Told {
    /// It fits.
    Fits(Limits),
    /// Ask once more.
    Again,
}

impl Service {
    pub(super) fn new(policy: &RateLimitService, hash_key: Option<&[u8]>) -> Service {
        Service { policy: policy.clone(), key: HashKey::new(hash_key.unwrap_or(b"bartizan fleet")) }
    }

    fn call(&self, message: Vec<u8>) -> Call {
        Call::Grpc(GrpcCall {
            cluster: self.policy.cluster.clone(),
            service: SERVICE,
            method: METHOD,
            message,
            timeout: self.policy.timeout,
            most: MOST,
        })
    }
}

impl Quotas {
    /// True if a service counts for some quota.
    pub fn has_fleet(&self) -> bool {
        self.service.is_some()
    }

    /// What this request must ask the service. `None`: nothing.
    pub(crate) fn inquire<'a>(
        &self,
        bill: impl Into<Bill<'a>>,
        whose: Whose<'_>,
        ask: Ask,
        now: Timestamp,
    ) -> Option<Inquiry> {
        let bill = bill.into();
        let service = self.service.as_ref()?;
        let refunds = service.policy.refunds;
        let hits = |quota: &Quota| match (quota.counts, ask) {
            (Counts::Concurrent, _) => 0,
            (Counts::Requests, Ask::Requests) => 1,
            // A model's or a tool's requests are never counted before it is known.
            (Counts::Requests, Ask::Rest { calls, .. }) => u64::from(calls || quota.needs_body()),
            (_, Ask::Requests) => 0,
            (counts, Ask::Rest { tokens, .. }) if refunds && counts != Counts::Cost => {
                quota.fleet_measure().of(&tokens)
            }
            // Low: what was written is known only afterwards. At least one, to hear whether anything is left.
            (_, Ask::Rest { tokens, .. }) => {
                let measure = quota.fleet_measure();
                measure.of(&tokens.of_prompt()).max(measure.of(&tokens).min(1))
            }
        };
        let most = |quota: &Quota| match ask {
            Ask::Rest { tokens, .. } if quota.counts == Counts::Cost => Some(quota.fleet_measure().of(&tokens)),
            _ => None,
        };
        let of_quota = |(quota, place): (&Quota, (RoleIndex, usize))| -> Vec<Part> {
            let hits = hits(quota);
            let buckets = if hits > 0 { quota.buckets(&bill) } else { Vec::new() };
            let part = |bucket: Vec<u8>| {
                let entries = quota.entries(&bucket, &service.key);
                Part { quota: place, bucket, entries, hits, most: most(quota), drawn: 0 }
            };
            buckets.into_iter().map(part).collect()
        };
        let fleet = self.counting(whose).filter(|(quota, _)| quota.reach == Reach::Fleet);
        let (mut parts, mut calls_later) = (Vec::new(), false);
        for one in fleet {
            let asked = of_quota(one);
            calls_later |= asked.is_empty();
            parts.extend(asked);
        }
        let (expected, looks) = match ask {
            Ask::Rest { tokens, looked, .. } => (tokens, !looked),
            // A call that comes later anyway takes it along.
            Ask::Requests => (Tokens::default(), !parts.is_empty() || !calls_later),
        };
        let look = if looks { self.look(bill.scope) } else { None };
        let retries = service.policy.retries;
        let covered = Vec::new();
        (!parts.is_empty() || look.is_some()).then_some(Inquiry { parts, covered, look, expected, retries, asked: now })
    }

    /// The call that asks it.
    pub(crate) fn fleet_call(&self, inquiry: &Inquiry) -> Option<Call> {
        let service = self.service.as_ref()?;
        let parts: Vec<_> = inquiry.parts.iter().filter_map(|part| Some((part, self.quota_at(part.quota)?))).collect();
        let look = inquiry.look.as_ref().zip(self.ban());
        let look = look.map(|(entries, ban)| Descriptor {
            entries,
            limit: limit(ban.strikes, ban.window),
            hits: 0,
            negative: false,
        });
        let descriptors: Vec<_> = parts
            .iter()
            .map(|(part, quota)| Descriptor {
                entries: &part.entries,
                limit: limit(quota.fleet_limit(), quota.window),
                hits: part.hits,
                negative: false,
            })
            .chain(look)
            .collect();
        Some(service.call(message::request(&service.policy.domain, &descriptors)))
    }

    /// A quota that the request never fits in, by the policy's own number: nobody needs to be asked.
    pub(crate) fn never_fits(&self, inquiry: &Inquiry) -> Option<Refusal> {
        let too_large = |part: &&Part| {
            let quota = self.quota_at(part.quota);
            let exceeds = |quota: &Quota| quota.fleet_measure().of(&inquiry.expected) > quota.fleet_limit();
            quota.is_some_and(|quota| quota.mode == Mode::Enforce && exceeds(quota))
        };
        let found = inquiry.parts.iter().find(too_large)?;
        let limits = self.quota_at(found.quota).map(|quota| quota.told(&Status::default())).unwrap_or_default();
        Some(Refusal { denial: Reason::QuotaTooLarge.into(), limits: Box::new(limits) })
    }

    /// What follows from an answer. What was counted is added to `reserved`, also with a refusal: another quota
    /// may have been the one that refused.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub(crate) fn told(
        &self,
        inquiry: &mut Inquiry,
        answer: &Answer,
        reserved: &mut Reservation,
        key: &SharedKey,
        host: &mut dyn Host,
    ) -> Result<Told, Refusal> {
        let response = match answer {
            Answer::Grpc(bytes) => message::response(bytes),
            _ => None,
        };
        if let Some(response) = response {
            return self.counted(inquiry, &response, reserved);
        }
        // What may have been counted is not asked again: a late answer is one, a refused connection is not.
        if answer.may_be_tried_again() && inquiry.retries > 0 {
            inquiry.retries -= 1;
            return Ok(Told::Again);
        }
        self.unavailable(inquiry, reserved, key, host)
    }

    fn counted(&self, inquiry: &Inquiry, response: &Response, reserved: &mut Reservation) -> Result<Told, Refusal> {
        let Response { over, statuses } = response;
        let asked = inquiry.parts.len() + usize::from(inquiry.looks());
        let one_over = statuses.iter().any(|status| status.over);
        let told_apart = statuses.len() == asked && (!over || one_over);
        // Statuses of which nobody can tell which is whose: the strictest is everybody's.
        let any = *over || one_over;
        let (mut limits, mut worst) = (Limits::default(), None);
        for (place, part) in inquiry.parts.iter().enumerate() {
            let Some(quota) = self.quota_at(part.quota) else { continue };
            // Where the service does not say which, every one of them is.
            let status = match told_apart {
                true => statuses.get(place).copied().unwrap_or_default(),
                false => Status { over: any, ..Status::default() },
            };
            match quota.mode {
                Mode::Shadow if status.over => limits.shadow.push(quota.over()),
                Mode::Shadow => {}
                Mode::Enforce => {
                    limits = limits.and(quota.told(&status));
                    if status.over {
                        let wait =
                            status.reset.unwrap_or(quota.window).as_nanos().div_ceil(1_000_000_000).max(1) as u64;
                        worst = worst.max(Some((wait, quota.over())));
                    }
                }
            }
            if quota.counts != Counts::Requests && !status.over {
                reserved.crossed.extend(crossed(quota.alerts.as_ref(), quota.fleet_measure().unit, &status, part.hits));
                let units = part.hits.saturating_add(part.drawn);
                reserved.fleet.push(FleetHold::new(quota, part, units, inquiry));
            } else if part.drawn > 0 {
                let hold = FleetHold::new(quota, part, part.drawn, inquiry);
                reserved.fleet.push(FleetHold { is_void: true, ..hold });
            }
        }
        self.hold_covered(inquiry, reserved);
        let look = inquiry.look.as_ref().and_then(|_| match told_apart {
            true => statuses.last().copied(),
            false => Some(Status { over: any, ..Status::default() }),
        });
        if let Some(wait) = look.and_then(|status| self.banned(&status)) {
            match self.enforces_bans() {
                true => worst = worst.max(Some((wait, Reason::AbuseCooldown))),
                false => limits.shadow.push(Reason::AbuseCooldown),
            }
        }
        match worst {
            None => Ok(Told::Fits(limits)),
            Some((wait, reason)) => {
                let denial = Denial { retry_after: Some(wait), ..Denial::new(reason) };
                Err(Refusal { denial, limits: Box::new(limits) })
            }
        }
    }

    /// What needs no answer of the service: earlier requests have left enough.
    pub(crate) fn hold_covered(&self, inquiry: &Inquiry, reserved: &mut Reservation) {
        for part in &inquiry.covered {
            if let Some(quota) = self.quota_at(part.quota) {
                reserved.fleet.push(FleetHold::new(quota, part, part.drawn, inquiry));
            }
        }
    }

    /// Nobody counts for the fleet: every quota says what follows.
    fn unavailable(
        &self,
        inquiry: &Inquiry,
        reserved: &mut Reservation,
        key: &SharedKey,
        host: &mut dyn Host,
    ) -> Result<Told, Refusal> {
        let quotas = || inquiry.parts.iter().filter_map(|part| Some((part, self.quota_at(part.quota)?)));
        let drawn = quotas().filter(|(part, _)| part.drawn > 0);
        let void =
            drawn.map(|(part, quota)| FleetHold { is_void: true, ..FleetHold::new(quota, part, part.drawn, inquiry) });
        reserved.fleet.extend(void);
        self.hold_covered(inquiry, reserved);
        let denies = |quota: &Quota| quota.mode == Mode::Enforce && quota.on_unavailable == OnUnavailable::Deny;
        if quotas().any(|(_, quota)| denies(quota)) || (inquiry.looks() && self.denies_unknown()) {
            return Err(Refusal { denial: Reason::QuotaUnavailable.into(), limits: Box::default() });
        }
        let key = key.current(&self.policy, host)?;
        let local = quotas().filter(|(_, quota)| quota.on_unavailable == OnUnavailable::Local);
        let debits: Vec<Debit<'_>> = local
            .filter_map(|(part, quota)| {
                let charge = match quota.counts {
                    Counts::Requests => Charge::Use(1),
                    _ => Charge::Hold(quota.measure().of(&inquiry.expected)),
                };
                let name = key.bucket(&quota.digest, &part.bucket);
                let row = name.first_chunk().map_or(0, |head| u64::from_le_bytes(*head)) % ROWS;
                (charge != Charge::Hold(0)).then_some(Debit { quota, name, row, charge })
            })
            .collect();
        let (mut limits, paid) = self.teller(&key, host).charge(&debits)?;
        limits.alone = true;
        reserved.join(Reservation::paid(inquiry.expected, &paid));
        Ok(Told::Fits(limits))
    }

    fn quota_at(&self, (role, place): (RoleIndex, usize)) -> Option<&Quota> {
        self.roles.get(usize::from(role.0))?.get(place)
    }

    /// What the service must be told now that a request has ended.
    pub fn settlements(&self, reservation: &Reservation, used: Tokens) -> Vec<Settlement> {
        let refunds = self.service.as_ref().is_some_and(|service| service.policy.refunds);
        let settle = |hold: &FleetHold| {
            let used = if hold.is_void { 0 } else { hold.measure.of(&used) };
            let hits = i128::from(used) - i128::from(hold.reserved);
            let is_told = hits > 0 || hits < 0 && refunds || hold.kept.is_some();
            is_told.then(|| Settlement {
                entries: Arc::clone(&hold.entries),
                alerts: hold.alerts.clone(),
                unit: hold.measure.unit,
                limit: hold.limit,
                window: hold.window,
                at: hold.at,
                hits,
                kept: hold.kept.map(|(prompt, most)| Kept::of(used, prompt, most)),
            })
        };
        reservation.fleet.iter().filter_map(settle).collect()
    }

    /// The call that carries these out.
    fn settling(&self, batch: &[Settlement]) -> Option<Call> {
        let service = self.service.as_ref()?;
        let descriptors: Vec<_> = batch
            .iter()
            .map(|one| Descriptor {
                entries: &one.entries,
                limit: limit(one.limit, one.window),
                hits: u64::try_from(one.hits.unsigned_abs()).unwrap_or(u64::MAX),
                negative: one.hits < 0,
            })
            .collect();
        Some(service.call(message::request(&service.policy.domain, &descriptors)))
    }
}

impl FleetHold {
    /// `units`: what is held.
    fn new(quota: &Quota, part: &Part, units: u64, inquiry: &Inquiry) -> FleetHold {
        let prompt = || quota.fleet_measure().of(&inquiry.expected.of_prompt());
        FleetHold {
            measure: quota.fleet_measure(),
            alerts: quota.alerts.clone(),
            limit: quota.fleet_limit(),
            window: quota.window,
            entries: Arc::clone(&part.entries),
            reserved: units,
            at: inquiry.asked,
            kept: part.most.map(|most| (prompt(), most)),
            is_void: false,
        }
    }
}

impl Quota {
    /// The name of this quota in descriptors: the same on every proxy of this policy.
    pub(super) fn fleet_id(role: &str, counts: &str, per: Per, window: Duration, twins: usize) -> String {
        let mut id = format!("{role}.{counts}.{}.{}s", per.as_str(), window.as_secs());
        if window.subsec_millis() > 0 {
            id.pop();
            let _ = write!(id, ".{:03}s", window.subsec_millis());
        }
        if twins > 0 {
            let _ = write!(id, ".{}", twins + 1);
        }
        id
    }

    /// How the service counts it: money in units that its counters hold.
    fn fleet_measure(&self) -> Measure {
        let unit = if self.counts == Counts::Cost { unit(self.limit) } else { 1 };
        Measure { unit, ..self.measure() }
    }

    /// The limit in those units.
    fn fleet_limit(&self) -> u64 {
        self.limit / self.fleet_measure().unit
    }

    fn entries(&self, bucket: &[u8], key: &HashKey) -> Entries {
        let hashed = || key.hex(&[self.per.as_str().as_bytes(), bucket]);
        let value = match self.per {
            Per::Subject | Per::Tenant | Per::Issuer | Per::Claim | Per::Workload | Per::Session => hashed(),
            Per::Model | Per::Tool => self.plain_name(bucket).map_or_else(hashed, str::to_owned),
            Per::Operation => String::from_utf8_lossy(bucket).into_owned(),
            Per::Role => self.role.clone(),
        };
        Arc::new([("quota", self.fleet_id.clone()), (self.per.as_str(), value)])
    }

    /// The limit headers of what the service says.
    fn told(&self, status: &Status) -> Limits {
        if self.counts == Counts::Cost || status.limit == 0 && status.reset.is_none() {
            return Limits::default();
        }
        let limit = if status.limit == 0 { self.limit } else { status.limit };
        let reset = status.reset.unwrap_or(self.window);
        let tightest = Some(Tightest { limit, remaining: status.remaining, reset });
        match self.counts {
            Counts::Requests => Limits { requests: tightest, ..Limits::default() },
            Counts::Concurrent => Limits::default(),
            _ => Limits { tokens: tightest, ..Limits::default() },
        }
    }

    fn over(&self) -> Reason {
        match self.counts {
            Counts::Requests => Reason::QuotaRequests,
            Counts::Cost => Reason::QuotaCost,
            _ => Reason::QuotaTokens,
        }
    }
}

impl Answer {
    /// The service was not reached, so that nothing was counted. Over gRPC a connection that broke is told like one that
    /// was refused: then it may have been, and counts twice, which is the strict side.
    fn may_be_tried_again(&self) -> bool {
        const UNAVAILABLE: u32 = 14;
        matches!(
            self,
            Answer::Failed(crate::callout::CallFailure::NotMade | crate::callout::CallFailure::Status(UNAVAILABLE))
        )
    }
}

/// The word in a descriptor for what a quota counts: `cost` in millionths, `cost10` in tens of them, and so on.
pub(super) fn counted(quota: &QuotaPolicy) -> String {
    let word = quota.counts.as_str();
    match (quota.counts, unit(quota.limit)) {
        (Counts::Cost, unit @ 10..) => format!("{word}{unit}"),
        _ => word.to_owned(),
    }
}

/// The shares that the counter has reached with these hits, where the service tells what is left.
fn crossed(alerts: Option<&Arc<Alerts>>, unit: u64, status: &Status, hits: u64) -> Vec<Crossed> {
    let Some(alerts) = alerts.filter(|_| status.limit > 0) else { return Vec::new() };
    // How far beyond the limit it is, and so where it was before, a service does not tell: that is the whole of it.
    let (before, after) = match status.over {
        true => (status.limit.saturating_sub(1), status.limit),
        false => {
            let after = status.limit.saturating_sub(status.remaining);
            (after.saturating_sub(hits), after)
        }
    };
    alerts.crossed(unit, before, after).collect()
}

/// The limit as a service can take it.
fn limit(units: u64, window: Duration) -> Option<(u64, Unit)> {
    Unit::of(window).map(|unit| (units, unit))
}

/// The window of the wall clock that a time lies in.
fn window_of(at: Timestamp, window: Duration) -> u64 {
    at.0 / nanos(window).max(1)
}
