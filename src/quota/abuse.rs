//! Strikes and cool-downs: who is refused for attacks again and again is refused everything for a while.
//!
//! Both stand in the rows of the quotas' table, so that every worker of the proxy sees them at once. A
//! cool-down ends by itself. One that begins again within as long as the last one took, after that had
//! ended, takes twice as long. A row that has no place left counts no strikes of newcomers.

use std::time::Duration;

use super::bucket::{Charge, Held, Level, Rate};
use super::key::SharedKey;
use super::row::Row;
use super::{Quotas, ROWS, nanos};
use crate::authn::Principal;
use crate::config::AbusePolicy;
use crate::config::document::Mode;
use crate::host::{Fault, Host};

/// The `abuse` section, ready to count.
#[derive(Debug)]
pub(super) struct Abuse {
    rate: Rate,
    cooldown: u64,
    max_cooldown: u64,
    mode: Mode,
    lift: Vec<String>,
}

/// Names of a caller's two entries, which stand in one row.
struct Names {
    strikes: [u8; 16],
    cooldown: [u8; 16],
    row: u64,
}

impl Abuse {
    pub(super) fn new(policy: &AbusePolicy) -> Abuse {
        Abuse {
            rate: Rate::new(policy.strikes, nanos(policy.window), policy.strikes),
            cooldown: nanos(policy.cooldown),
            max_cooldown: nanos(policy.max_cooldown),
            mode: policy.mode,
            lift: policy.lift.clone(),
        }
    }

    /// Callers without a credential are all one, and none of them pays for another.
    fn is_counted(&self, principal: &Principal) -> bool {
        !principal.is_anonymous()
    }

    fn is_lifted(&self, principal: &Principal) -> bool {
        self.lift.iter().any(|subject| subject == principal.subject())
    }

    fn names(principal: &Principal, key: &SharedKey) -> Names {
        let identity = principal.identity();
        let strikes = key.bucket(b"strikes of an abusive caller    ", &identity);
        let cooldown = key.bucket(b"cool-down of an abusive caller  ", &identity);
        let row = strikes.first_chunk().map_or(0, |head| u64::from_le_bytes(*head)) % ROWS;
        Names { strikes, cooldown, row }
    }
}

/// What is left of a caller's cool-down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// Until it ends.
    pub left: Duration,
    /// In shadow it is noted and nobody is refused.
    pub mode: Mode,
}

impl Quotas {
    /// The caller's cool-down, if one is running.
    ///
    /// Costs two host calls, none without an `abuse` section.
    ///
    /// # Errors
    /// A [`Fault`] when the store fails.
    pub fn cooldown(
        &self,
        principal: &Principal,
        key: &SharedKey,
        host: &mut dyn Host,
    ) -> Result<Option<Cooldown>, Fault> {
        let Some(abuse) = self.abuse.as_ref().filter(|abuse| abuse.is_counted(principal)) else { return Ok(None) };
        if abuse.is_lifted(principal) {
            return Ok(None);
        }
        let key = key.current(&self.policy, host)?;
        let names = Abuse::names(principal, &key);
        let now = host.now().0;
        let ends = self.teller(&key, host).look(names.row, &mut |row| row.cooldown_ends(&names.cooldown))?;
        let left = ends.saturating_sub(now);
        Ok((left > 0).then_some(Cooldown { left: Duration::from_nanos(left), mode: abuse.mode }))
    }

    /// Counts a strike. What it gives is the cool-down that this one began.
    ///
    /// # Errors
    /// A [`Fault`] when the store fails.
    pub fn strike(
        &self,
        principal: &Principal,
        key: &SharedKey,
        host: &mut dyn Host,
    ) -> Result<Option<Cooldown>, Fault> {
        let Some(abuse) = self.abuse.as_ref().filter(|abuse| abuse.is_counted(principal)) else { return Ok(None) };
        let key = key.current(&self.policy, host)?;
        let names = Abuse::names(principal, &key);
        let mut begun = None;
        self.teller(&key, host).change(names.row, &mut |row, now| begun = abuse.strike(row, &names, now))?;
        Ok(begun.map(|nanos| Cooldown { left: Duration::from_nanos(nanos), mode: abuse.mode }))
    }
}

impl Abuse {
    fn strike(&self, row: &mut Row, names: &Names, now: u64) -> Option<u64> {
        let (now, _) = row.advance(now);
        let strikes = row.own(&names.strikes, now)?;
        let answer = strikes.ask(&self.rate, Charge::Use(1), now);
        if answer.fits && answer.remaining > 0 {
            return None;
        }
        // The next strikes are counted from here.
        *strikes = Level::default();
        let level = row.own(&names.cooldown, now)?;
        let [last, _] = level.held;
        let soon = last.cost > 0 && now < last.until.saturating_add(last.cost);
        let span = if soon { last.cost.saturating_mul(2).min(self.max_cooldown) } else { self.cooldown };
        let until = now.saturating_add(span);
        // The entry keeps its place as long after the end as it took: see `Level::is_full`.
        *level = Level { arrival: until, held: [Held { cost: span, until }, Held::default()] };
        Some(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::RoleIndex;
    use crate::host::{MemoryHost, Timestamp};

    const MINUTE: u64 = 60_000_000_000;

    fn quotas(mode: Mode, lift: &[&str]) -> Quotas {
        let policy = AbusePolicy {
            strikes: 3,
            window: Duration::from_secs(600),
            cooldown: Duration::from_secs(60),
            max_cooldown: Duration::from_secs(200),
            mode,
            lift: lift.iter().map(|name| (*name).to_owned()).collect(),
        };
        Quotas::new("p", []).with_abuse(Some(&policy))
    }

    #[test]
    fn the_third_strike_counts_and_cooldowns_grow_and_end() {
        let quotas = quotas(Mode::Enforce, &[]);
        let mut host = MemoryHost::at(Timestamp(1_000_000 * MINUTE));
        let key = SharedKey::obtain("p", &mut host).unwrap();
        quotas.prepare(&key, &mut host).unwrap();
        let alice = Principal::for_tests("alice", vec![RoleIndex(0)]);
        let bob = Principal::for_tests("bob", vec![RoleIndex(0)]);
        for expected in [60, 120, 200, 200] {
            for _ in 0..2 {
                assert_eq!(quotas.strike(&alice, &key, &mut host).unwrap(), None);
                assert_eq!(quotas.cooldown(&alice, &key, &mut host).unwrap(), None);
            }
            let begun = quotas.strike(&alice, &key, &mut host).unwrap().unwrap();
            assert_eq!(begun.left.as_secs(), expected);
            assert_eq!(quotas.cooldown(&alice, &key, &mut host).unwrap(), Some(begun));
            assert_eq!(quotas.cooldown(&bob, &key, &mut host).unwrap(), None);
            host.now.0 += expected * 1_000_000_000;
            assert_eq!(quotas.cooldown(&alice, &key, &mut host).unwrap(), None);
        }
        // After as long again all is forgotten, and strikes far apart never add up.
        host.now.0 += 4 * MINUTE;
        for _ in 0..20 {
            assert_eq!(quotas.strike(&alice, &key, &mut host).unwrap(), None);
            host.now.0 += 4 * MINUTE;
        }
        for _ in 0..2 {
            quotas.strike(&bob, &key, &mut host).unwrap();
        }
        assert_eq!(quotas.strike(&bob, &key, &mut host).unwrap().unwrap().left.as_secs(), 60);
    }

    #[test]
    fn an_operator_lifts_and_anonymous_callers_do_not_pay_for_each_other() {
        let mut host = MemoryHost::at(Timestamp(1_000_000 * MINUTE));
        let key = SharedKey::obtain("p", &mut host).unwrap();
        let alice = Principal::for_tests("alice", vec![RoleIndex(0)]);
        let strict = quotas(Mode::Enforce, &[]);
        strict.prepare(&key, &mut host).unwrap();
        let nobody = Principal::anonymous(RoleIndex(0));
        for _ in 0..3 {
            strict.strike(&alice, &key, &mut host).unwrap();
            strict.strike(&nobody, &key, &mut host).unwrap();
        }
        assert!(strict.cooldown(&alice, &key, &mut host).unwrap().is_some());
        assert!(strict.cooldown(&nobody, &key, &mut host).unwrap().is_none());
        assert!(quotas(Mode::Enforce, &["alice"]).cooldown(&alice, &key, &mut host).unwrap().is_none());
        assert_eq!(quotas(Mode::Shadow, &[]).cooldown(&alice, &key, &mut host).unwrap().unwrap().mode, Mode::Shadow);
        assert!(Quotas::new("p", []).cooldown(&alice, &key, &mut host).unwrap().is_none());
    }
}
