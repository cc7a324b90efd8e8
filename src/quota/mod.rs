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
mod tokens;

use std::time::Duration;

use sha2::{Digest, Sha256};

pub use abuse::{Cooldown, Strike};
pub use calibrate::{Gauge, Ratios};
pub use charge::Refusal;
pub use headers::{LONG_WAIT_SECS, Limits, Tightest};
pub use key::SharedKey;
pub use policy::{AbusePolicy, QuotaPolicy, RateLimitService};
pub use reserve::{Crossed, Reservation};
pub use tokens::{Tokens, Weights};

use crate::authn::{Principal, RoleIndex};
use crate::document::{Counts, Kind, OnUnavailable, Per, Reach};
use crate::enums::{Mode, Operation};
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
    /// The role's name.
    role: String,
    /// The quota's name in the descriptors that the fleet's service is asked with.
    fleet_id: String,
    /// Policy, role and definition: a quota that changes starts with new buckets.
    digest: [u8; 32],
}

/// What a request is charged for.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// The call itself, known from its headers: all but the quotas per model.
    Call(&'a Principal, Operation),
    /// The model, known from the body: quotas per model.
    Model(&'a str),
    /// All of it, after every other stage.
    Whole(&'a Principal, Operation, Option<&'a str>),
}

impl<'a> Scope<'a> {
    fn model(self) -> Option<&'a str> {
        match self {
            Scope::Call(..) => None,
            Scope::Model(model) => Some(model),
            Scope::Whole(_, _, model) => model,
        }
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

    /// True if one of these roles has a quota that counts output tokens.
    pub fn count_output(&self, roles: &[RoleIndex]) -> bool {
        self.of(roles).any(|quota| matches!(quota.counts, Counts::Tokens | Counts::OutputTokens | Counts::Cost))
    }

    /// True if one of these roles has a quota that counts tokens or what they cost, and `expected` has some.
    pub fn counts_tokens(&self, roles: &[RoleIndex], expected: Tokens) -> bool {
        let has = |quota: &Quota| quota.counts == Counts::Cost || quota.measure().of(&expected) > 0;
        expected.total() > 0 && self.of(roles).any(has)
    }

    /// What a quota of money of these roles says: [`Mode::Enforce`] where one does. `None`: there is none.
    pub fn counts_cost(&self, roles: &[RoleIndex]) -> Option<Mode> {
        let mut modes = self.of(roles).filter(|quota| quota.counts == Counts::Cost).map(|quota| quota.mode).peekable();
        let first = *modes.peek()?;
        Some(if modes.any(|mode| mode == Mode::Enforce) { Mode::Enforce } else { first })
    }

    /// The quotas that this proxy counts by itself.
    fn own<'q>(&'q self, roles: &'q [RoleIndex]) -> impl Iterator<Item = &'q Quota> {
        self.of(roles).filter(|quota| quota.reach == Reach::Proxy)
    }

    fn of<'q>(&'q self, roles: &'q [RoleIndex]) -> impl Iterator<Item = &'q Quota> {
        roles.iter().filter_map(|role| self.roles.get(usize::from(role.0))).flatten()
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

    /// The bytes that name the caller's bucket; `None` when the quota is charged in another scope.
    ///
    /// Role and quota are part of every bucket's name already.
    fn bucket(&self, scope: Scope<'_>) -> Option<Vec<u8>> {
        let (caller, model) = match scope {
            Scope::Call(principal, operation) => (Some((principal, operation)), None),
            Scope::Model(model) => (None, Some(model)),
            Scope::Whole(principal, operation, model) => (Some((principal, operation)), model),
        };
        let bytes = match (self.per, caller) {
            (Per::Model, _) => model?.as_bytes().to_vec(),
            (Per::Subject, Some((principal, _))) => principal.identity(),
            (Per::Tenant, Some((principal, _))) => principal.tenancy(),
            (Per::Issuer, Some((principal, _))) => principal.issuance(),
            (Per::Operation, Some((_, operation))) => operation.as_str().as_bytes().to_vec(),
            (Per::Role, Some(_)) => Vec::new(),
            (Per::Claim, Some((principal, _))) => principal.counted(self.claim.as_deref()?),
            (_, None) => return None,
        };
        Some(bytes)
    }
}

fn nanos(window: Duration) -> u64 {
    u64::try_from(window.as_nanos()).unwrap_or(u64::MAX)
}

/// Everything but the mode: a quota that goes from shadow to enforce keeps its count.
fn same_bucket(one: &QuotaPolicy, other: &QuotaPolicy) -> bool {
    let what = |quota: &QuotaPolicy| (quota.per, quota.counts, quota.limit, quota.window, quota.burst, quota.reach);
    what(one) == what(other) && (one.kind, &one.claim, one.weights) == (other.kind, &other.claim, other.weights)
}
