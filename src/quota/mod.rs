//! How much: limits per window, exact across all workers of one proxy.
//!
//! This room decides whether a request fits the quotas of the caller's roles, and says so in the
//! limit headers. Requests are counted as they come. Tokens, and requests in flight, are reserved before
//! the call ([`Quotas::reserve`]) and settled with what was really used after it ([`Quotas::settle`]).
//! A quota of `scope: proxy` knows nothing of other proxies: with `n` of them behind one load balancer, a caller
//! can use up to `n` times such a quota. One of `scope: fleet` is counted by a service that all of them ask; see
//! [`fleet`].
//!
//! Each quota is a bucket kept by GCRA (ITU-T I.371): one number, the theoretical arrival time, and beside
//! it what is held for requests in flight. A reservation that nobody settles, because the VM died, counts
//! as used when its time has come, and drains: none leaks.
//! Buckets live in the store that the proxy's workers share, in a table of fixed size (see
//! [`Quotas::prepare`]): memory does not grow with callers, an entry is dropped only when its bucket
//! is full again, and when a row has no place left, newcomers share a bucket. No verdict loosens.
//!
//! ```
//! use bartizan::estimate::Estimate;
//!
//! // No vocabulary: words, digits, punctuation and scripts are counted and weighed.
//! let tokens = Estimate::of("The bartizan juts out of the wall.").tokens();
//! assert!((7..=12).contains(&tokens));
//! ```

mod abuse;
mod bucket;
mod calibrate;
mod charge;
pub mod fleet;
mod headers;
mod key;
mod policy;
pub mod price;
mod reserve;
mod row;
mod scope;
mod tokens;

use std::time::Duration;

use sha2::{Digest, Sha256};

pub use abuse::{Cooldown, Strike};
pub use calibrate::{Gauge, Ratios};
pub use charge::Refusal;
pub use headers::{LONG_WAIT_SECS, Limits, Tightest};
pub use key::SharedKey;
pub(crate) use policy::bound_sessions;
pub use policy::{AbusePolicy, QuotaPolicy, RateLimitService};
pub use reserve::{Crossed, Reservation};
pub use scope::{Bill, MAX_TOOLS, Scope, Session};
pub use tokens::{Tokens, Weights};

use crate::authn::RoleIndex;
use crate::condition::Condition;
use crate::document::{Counts, Kind, OnUnavailable, Per, Reach};
use crate::enums::Mode;
use abuse::Abuse;
use bucket::Rate;
use reserve::Alerts;
use tokens::Measure;

/// Rows of a policy's table. With `row::ENTRIES` a row this is room for 65,536 buckets that are not
/// full at the same time, in about 2 MiB; what is held for requests in flight takes 33 bytes a bucket more.
pub const ROWS: u64 = 4096;

/// The quotas of a policy's roles.
#[derive(Debug)]
pub struct Quotas {
    /// The prefix of every key in the shared store.
    policy: String,
    /// By [`RoleIndex`].
    roles: Vec<Vec<Quota>>,
    abuse: Option<Abuse>,
    service: Option<fleet::Service>,
}

/// One quota of one role.
#[derive(Debug)]
struct Quota {
    per: Per,
    /// The claim, where it is counted by one: a JSON Pointer.
    claim: Option<String>,
    /// The header that names the session, where it is counted by one that the protocol does not know.
    header: Option<String>,
    counts: Counts,
    weights: Weights,
    /// What is told of it; `None`: nothing.
    alerts: Option<std::sync::Arc<Alerts>>,
    rate: Rate,
    /// The policy's number, for the headers.
    limit: u64,
    mode: Mode,
    /// Who counts.
    reach: Reach,
    on_unavailable: OnUnavailable,
    window: Duration,
    /// Which requests are counted; `None`: all.
    when: Option<Condition>,
    /// The role's name.
    role: String,
    /// The quota's name in the descriptors that the fleet's service is asked with.
    fleet_id: String,
    /// Policy, role and definition: a quota that changes starts with new buckets.
    digest: [u8; 32],
}

/// Whose quotas count: those of these roles, but for some that do not count this request.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    roles: &'a [RoleIndex],
    idle: &'a [Idle],
}

/// A quota that does not count a request: its role, and its place there.
pub type Idle = (RoleIndex, usize);

impl<'a> Whose<'a> {
    /// The quotas of these roles, but for the idle ones.
    pub fn new(roles: &'a [RoleIndex], idle: &'a [Idle]) -> Whose<'a> {
        Whose { roles, idle }
    }
}

impl<'a> From<&'a [RoleIndex]> for Whose<'a> {
    fn from(roles: &'a [RoleIndex]) -> Whose<'a> {
        Whose { roles, idle: &[] }
    }
}

impl<'a, const N: usize> From<&'a [RoleIndex; N]> for Whose<'a> {
    fn from(roles: &'a [RoleIndex; N]) -> Whose<'a> {
        Whose { roles, idle: &[] }
    }
}

impl Quotas {
    /// The quotas of a policy: each role's name with its quotas, in the order that [`RoleIndex`] counts.
    pub fn new<'r>(policy: &str, roles: impl IntoIterator<Item = (&'r str, &'r [QuotaPolicy])>) -> Quotas {
        let of_role = |(role, quotas): (&str, &[QuotaPolicy])| {
            let twins = |place: usize, quota: &QuotaPolicy| {
                quotas.iter().take(place).filter(|other| same_bucket(other, quota)).count()
            };
            let compile = |(place, quota)| Quota::new(policy, role, quota, twins(place, quota));
            quotas.iter().enumerate().map(compile).collect()
        };
        Quotas {
            policy: policy.to_owned(),
            roles: roles.into_iter().map(of_role).collect(),
            abuse: None,
            service: None,
        }
    }

    /// The same, with strikes and cool-downs.
    #[must_use]
    pub fn with_abuse(self, policy: Option<&AbusePolicy>) -> Quotas {
        Quotas { abuse: policy.map(Abuse::new), ..self }
    }

    /// True where the policy counts strikes.
    pub fn counts_strikes(&self) -> bool {
        self.abuse.is_some()
    }

    /// The same, with the service that counts for all proxies. `hash_key`: what keys the callers' names there.
    #[must_use]
    pub fn with_service(self, service: Option<&RateLimitService>, hash_key: Option<&[u8]>) -> Quotas {
        Quotas { service: service.map(|policy| fleet::Service::new(policy, hash_key)), ..self }
    }

    /// The same, where one proxy stands for the fleet and asks no service.
    #[cfg(feature = "cli")]
    #[must_use]
    pub(crate) fn counted_here(mut self) -> Quotas {
        self.service = None;
        self.roles.iter_mut().flatten().for_each(|quota| quota.reach = Reach::Proxy);
        self
    }

    /// True if nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.roles.iter().all(Vec::is_empty) && self.abuse.is_none()
    }

    /// True if one of these roles has a quota whose condition is like this.
    pub fn has_condition(&self, roles: &[RoleIndex], is_wanted: impl Fn(&Condition) -> bool) -> bool {
        self.of(roles.into()).any(|quota| quota.when.as_ref().is_some_and(&is_wanted))
    }

    /// True if some quota counts by the connection's peer.
    pub(crate) fn by_workload(&self) -> bool {
        self.roles.iter().flatten().any(|quota| quota.per == Per::Workload)
    }

    /// The headers that name sessions, each once; `None`: the protocol's own.
    pub(crate) fn session_headers(&self) -> Vec<Option<&str>> {
        let mut headers: Vec<Option<&str>> = Vec::new();
        for quota in self.roles.iter().flatten().filter(|quota| quota.per == Per::Session) {
            let header = quota.header.as_deref();
            if !headers.contains(&header) {
                headers.push(header);
            }
        }
        headers
    }

    /// The quotas of these roles that do not count a request, because their conditions fail for it.
    pub fn idle(&self, roles: &[RoleIndex], fails: impl Fn(&Condition) -> bool) -> Vec<Idle> {
        let idle = self.placed(roles).filter(|(quota, _)| quota.when.as_ref().is_some_and(&fails));
        idle.map(|(_, place)| place).collect()
    }

    /// The places of these quotas.
    pub fn places<'q>(&'q self, whose: Whose<'q>) -> impl Iterator<Item = Idle> {
        self.counting(whose).map(|(_, place)| place)
    }

    /// The places of those that count by tool.
    pub fn places_by_tool<'q>(&'q self, whose: Whose<'q>) -> impl Iterator<Item = Idle> {
        self.counting(whose).filter(|(quota, _)| quota.per == Per::Tool).map(|(_, place)| place)
    }

    /// True if one of these quotas counts output tokens.
    pub fn count_output<'w>(&self, whose: impl Into<Whose<'w>>) -> bool {
        self.of(whose.into()).any(|quota| matches!(quota.counts, Counts::Tokens | Counts::OutputTokens | Counts::Cost))
    }

    /// True if one of these quotas counts tokens or what they cost, and `expected` has some.
    pub fn counts_tokens<'w>(&self, whose: impl Into<Whose<'w>>, expected: Tokens) -> bool {
        let has = |quota: &Quota| quota.counts == Counts::Cost || quota.measure().of(&expected) > 0;
        expected.total() > 0 && self.of(whose.into()).any(has)
    }

    /// What a quota of money among these says: [`Mode::Enforce`] where one does. `None`: there is none.
    pub fn counts_cost(&self, whose: Whose<'_>) -> Option<Mode> {
        let mut modes = self.of(whose).filter(|quota| quota.counts == Counts::Cost).map(|quota| quota.mode).peekable();
        let first = *modes.peek()?;
        Some(if modes.any(|mode| mode == Mode::Enforce) { Mode::Enforce } else { first })
    }

    /// The quotas that this proxy counts by itself.
    fn own<'q>(&'q self, whose: Whose<'q>) -> impl Iterator<Item = &'q Quota> {
        self.of(whose).filter(|quota| quota.reach == Reach::Proxy)
    }

    fn of<'q>(&'q self, whose: Whose<'q>) -> impl Iterator<Item = &'q Quota> {
        self.counting(whose).map(|(quota, _)| quota)
    }

    /// The quotas that count, each with its place.
    fn counting<'q>(&'q self, whose: Whose<'q>) -> impl Iterator<Item = (&'q Quota, Idle)> {
        self.placed(whose.roles).filter(move |(_, place)| !whose.idle.contains(place))
    }

    fn placed<'q>(&'q self, roles: &'q [RoleIndex]) -> impl Iterator<Item = (&'q Quota, Idle)> {
        roles.iter().flat_map(|role| {
            let quotas = self.roles.get(usize::from(role.0)).map(Vec::as_slice).unwrap_or_default();
            quotas.iter().enumerate().map(|(place, quota)| (quota, (*role, place)))
        })
    }
}

impl Quota {
    fn new(policy: &str, role: &str, quota: &QuotaPolicy, twins: usize) -> Quota {
        let mut hasher = Sha256::new();
        for part in [
            policy.as_bytes(),
            role.as_bytes(),
            &(twins as u64).to_be_bytes(),
            quota.per.as_str().as_bytes(),
            quota.counts.as_str().as_bytes(),
        ] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        if let Some(claim) = &quota.claim {
            hasher.update(claim.as_bytes());
        }
        if let Some(header) = &quota.header {
            hasher.update(header.as_bytes());
        }
        if let Some(when) = &quota.when {
            hasher.update(when.text().as_bytes());
        }
        if quota.weights != Weights::EVEN {
            hasher.update([quota.weights.cached as u8, quota.weights.reasoning as u8]);
        }
        for number in [quota.limit, nanos(quota.window), quota.burst, quota.kind as u64] {
            hasher.update(number.to_be_bytes());
        }
        Quota {
            per: quota.per,
            counts: quota.counts,
            weights: quota.weights,
            alerts: Alerts::of(role, quota),
            rate: match quota.kind {
                Kind::Sliding => Rate::new(quota.limit, nanos(quota.window), quota.burst),
                Kind::Fixed => Rate::fixed(quota.limit, nanos(quota.window), quota.burst),
            },
            claim: quota.claim.clone(),
            header: quota.header.clone(),
            when: quota.when.clone(),
            limit: quota.limit,
            mode: quota.mode,
            reach: quota.reach,
            on_unavailable: quota.on_unavailable,
            window: quota.window,
            role: role.to_owned(),
            fleet_id: Quota::fleet_id(role, &fleet::counted(quota), quota.per, quota.window, twins),
            digest: hasher.finalize().into(),
        }
    }

    /// How this proxy counts it.
    fn measure(&self) -> Measure {
        Measure { counts: self.counts, weights: self.weights, unit: 1 }
    }
}

fn nanos(window: Duration) -> u64 {
    u64::try_from(window.as_nanos()).unwrap_or(u64::MAX)
}

/// Everything but the mode and the condition: a quota that goes from shadow to enforce keeps its count, and two that differ
/// by their conditions alone are told apart by their order, here and in the fleet.
fn same_bucket(one: &QuotaPolicy, other: &QuotaPolicy) -> bool {
    let what = |quota: &QuotaPolicy| (quota.per, quota.counts, quota.limit, quota.window, quota.burst, quota.reach);
    what(one) == what(other)
        && (one.kind, &one.claim, &one.header, one.weights) == (other.kind, &other.claim, &other.header, other.weights)
}
