//! Strikes that all proxies see: whoever has as many as begin a cool-down, over the whole fleet, is refused by each.
//!
//! The service keeps the number under a descriptor of two entries: `quota`, with the value
//! `abuse.strikes.subject.WINDOW`, and `subject`, 32 hex digits keyed by `audit.hashKey`. A strike adds 1 as a
//! settlement does. A request looks, with `hits_addend` 0, in the call that it makes anyway; one that makes none makes
//! one for this. A caller is refused while nothing is left, until the service's window ends: cool-downs that grow are
//! each proxy's own.
//!
//! A service that reads 0 as 1, or one number a request, would count each look as a strike: it can't be used.

use std::sync::Arc;
use std::time::Duration;

use super::{Entries, Inquiry, Settlement, Status};
use crate::document::{OnUnavailable, Per};
use crate::enums::Mode;
use crate::host::Timestamp;
use crate::quota::AbusePolicy;
use crate::quota::{Quota, Quotas, Scope, Strike};

/// What is told and looked up.
#[derive(Debug)]
pub(in crate::quota) struct Ban {
    id: String,
    pub(super) strikes: u64,
    pub(super) window: Duration,
    on_unavailable: OnUnavailable,
}

impl Ban {
    pub(in crate::quota) fn new(policy: &AbusePolicy) -> Ban {
        Ban {
            id: Quota::fleet_id("abuse", "strikes", Per::Subject, policy.window, 0),
            strikes: policy.strikes,
            window: policy.window,
            on_unavailable: policy.on_unavailable,
        }
    }
}

impl Inquiry {
    /// True if the caller's strikes are asked for.
    pub fn looks(&self) -> bool {
        self.look.is_some()
    }
}

impl Quotas {
    pub(super) fn ban(&self) -> Option<&Ban> {
        self.abuse.as_ref()?.fleet.as_ref()
    }

    fn strikes_of(&self, identity: &[u8]) -> Option<Entries> {
        let value = self.service.as_ref()?.key.hex(&[b"strikes", identity]);
        Some(Arc::new([("quota", self.ban()?.id.clone()), (Per::Subject.as_str(), value)]))
    }

    /// What to look up for this caller, where strikes are the fleet's.
    pub(super) fn look(&self, scope: Scope<'_>) -> Option<Entries> {
        let (Scope::Call(principal, _) | Scope::Whole(principal, ..)) = scope else { return None };
        let abuse = self.abuse.as_ref()?;
        abuse.fleet.as_ref()?;
        self.strikes_of(&abuse.counted_identity(principal)?)
    }

    /// What the fleet must be told of a strike that was counted here.
    pub fn strike_to_tell(&self, strike: &Strike, now: Timestamp) -> Option<Settlement> {
        let ban = self.ban()?;
        let entries = self.strikes_of(strike.counted()?)?;
        Some(Settlement {
            entries,
            alerts: None,
            unit: 1,
            limit: ban.strikes,
            window: ban.window,
            at: now,
            hits: 1,
            kept: None,
        })
    }

    /// The whole seconds until a caller is let in again; `None`: they are.
    pub(super) fn banned(&self, status: &Status) -> Option<u64> {
        let ban = self.ban()?;
        // A service that knows no limit for it tells no number.
        let is_spent = status.over || (status.limit > 0 && status.remaining == 0);
        let wait = status.reset.unwrap_or(ban.window).as_nanos().div_ceil(1_000_000_000).max(1);
        is_spent.then(|| u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// False for a ban in shadow.
    pub(super) fn enforces_bans(&self) -> bool {
        self.abuse.as_ref().is_some_and(|abuse| abuse.mode == Mode::Enforce)
    }

    /// True if a caller whose strikes nobody can tell is refused.
    pub(super) fn denies_unknown(&self) -> bool {
        self.enforces_bans() && self.ban().is_some_and(|ban| ban.on_unavailable == OnUnavailable::Deny)
    }
}
