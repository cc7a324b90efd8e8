//! Strikes and cool-downs: an end user who is refused for attacks again and again is refused everything for a while.
//!
//! Both are in the rows of the quotas' table, so that every worker of the proxy sees them at once. A
//! cool-down ends by itself. One that begins again within as long as the last one took, after that had
//! ended, takes twice as long. A row that has no place left counts no strikes of newcomers.
//!
//! A request is one strike at most, and none when every text of it that is an attack was a strike of its caller
//! within the window: so that a conversation which is sent again with each turn counts an attack in it once. The
//! texts are in the same table, as keyed hashes.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::bucket::{Charge, Held, Level, Rate};
use super::fleet::Ban;
use super::key::SharedKey;
use super::row::Row;
use super::{Quotas, ROWS, nanos};
use crate::authn::Principal;
use crate::document::Reach;
use crate::enums::Mode;
use crate::host::{Fault, Host};
use crate::quota::AbusePolicy;

/// The `abuse` section, ready to count.
#[derive(Debug)]
pub(super) struct Abuse {
    rate: Rate,
    cooldown: u64,
    max_cooldown: u64,
    pub(super) mode: Mode,
    window: Rate,
    /// What the fleet is told, where it is.
    pub(super) fleet: Option<Ban>,
    lift: Vec<(String, Option<String>, String)>,
}

/// Names of a caller's two entries, which are in one row.
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
            window: Rate::new(1, nanos(policy.window), 1),
            fleet: (policy.reach == Reach::Fleet).then(|| Ban::new(policy)),
            lift: policy.lift.clone(),
        }
    }

    /// The end user whose strikes count, as bytes; `None`: there is none, or an operator has lifted the cool-down.
    pub(super) fn counted_identity(&self, principal: &Principal) -> Option<Vec<u8>> {
        let is_lifted = self.lift.iter().any(|(issuer, tenant, end_user)| {
            issuer == principal.issuer_name()
                && tenant.as_deref() == principal.tenant()
                && Some(end_user.as_str()) == principal.end_user()
        });
        if is_lifted { None } else { principal.end_user_identity() }
    }

    fn names(identity: &[u8], key: &SharedKey) -> Names {
        let strikes = key.bucket(b"strikes of an abusive caller    ", identity);
        let cooldown = key.bucket(b"cool-down of an abusive caller  ", identity);
        Names { strikes, cooldown, row: row_of(&strikes) }
    }
}

fn row_of(name: &[u8; 16]) -> u64 {
    name.first_chunk().map_or(0, |head| u64::from_le_bytes(*head)) % ROWS
}

/// A request with an attack in it, as far as it is not counted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    identity: Vec<u8>,
    /// Hashes of the texts that are still to be looked up.
    texts: Vec<[u8; 32]>,
    /// One of them was new.
    is_new: bool,
}

/// More texts of one request are not looked at: one that is new is enough.
const MAX_TEXTS: usize = 16;

impl Strike {
    /// Whose it is, once it is counted and was none that had been counted before.
    pub(super) fn counted(&self) -> Option<&[u8]> {
        (self.is_new && self.texts.is_empty()).then_some(&self.identity)
    }

    /// Of a request by this caller with these attacks. `None` where no end user is known: behind an application or no
    /// credential at all there are many, and none of them pays for another.
    pub fn new<'t>(principal: &Principal, texts: impl Iterator<Item = &'t str>) -> Option<Strike> {
        let identity = principal.end_user_identity()?;
        let texts = texts.take(MAX_TEXTS).map(|text| Sha256::digest(text).into()).collect();
        Some(Strike { identity, texts, is_new: false })
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
        let Some(abuse) = self.abuse.as_ref() else { return Ok(None) };
        let Some(identity) = abuse.counted_identity(principal) else { return Ok(None) };
        let key = key.current(&self.policy, host)?;
        let names = Abuse::names(&identity, &key);
        let now = host.now().0;
        let ends = self.teller(&key, host).look(names.row, &mut |row| row.cooldown_ends(&names.cooldown))?;
        let left = ends.saturating_sub(now);
        Ok((left > 0).then_some(Cooldown { left: Duration::from_nanos(left), mode: abuse.mode }))
    }

    /// Counts a strike, unless all its texts were counted before. What it gives is the cool-down that it began.
    ///
    /// Costs one host call, and two for each text and for the strike.
    ///
    /// # Errors
    /// A [`Fault`] when the store fails or is too busy: call it again with the same `strike`, which knows how far
    /// it came.
    pub fn strike(&self, strike: &mut Strike, key: &SharedKey, host: &mut dyn Host) -> Result<Option<Cooldown>, Fault> {
        let Some(abuse) = self.abuse.as_ref() else { return Ok(None) };
        let key = key.current(&self.policy, host)?;
        while let Some(text) = strike.texts.last() {
            let name = key.bucket(b"attack of an abusive caller     ", &[&strike.identity[..], text].concat());
            let mut is_new = false;
            self.teller(&key, host).change(row_of(&name), &mut |row, now| is_new = abuse.is_new(row, &name, now))?;
            strike.is_new |= is_new;
            strike.texts.pop();
        }
        if !strike.is_new {
            return Ok(None);
        }
        let names = Abuse::names(&strike.identity, &key);
        let mut begun = None;
        self.teller(&key, host).change(names.row, &mut |row, now| begun = abuse.strike(row, &names, now))?;
        Ok(begun.map(|nanos| Cooldown { left: Duration::from_nanos(nanos), mode: abuse.mode }))
    }
}

impl Abuse {
    /// Notes a text. One that finds no place counts as new each time.
    fn is_new(&self, row: &mut Row, name: &[u8; 16], now: u64) -> bool {
        let (now, _) = row.advance(now);
        row.own(name, now).is_none_or(|level| level.ask(&self.window, Charge::Use(1), now).fits)
    }

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
    use crate::document::OnUnavailable;
    use crate::host::{MemoryHost, Timestamp};

    const MINUTE: u64 = 60_000_000_000;

    fn strike(quotas: &Quotas, who: &Principal, text: &str, key: &SharedKey, host: &mut MemoryHost) -> Option<u64> {
        let mut strike = Strike::new(who, [text].into_iter())?;
        quotas.strike(&mut strike, key, host).unwrap().map(|begun| begun.left.as_secs())
    }

    fn quotas(mode: Mode, lift: &[(&str, Option<&str>, &str)]) -> Quotas {
        let policy = AbusePolicy {
            strikes: 3,
            window: Duration::from_secs(600),
            cooldown: Duration::from_secs(60),
            max_cooldown: Duration::from_secs(200),
            reach: Reach::Proxy,
            on_unavailable: OnUnavailable::Deny,
            mode,
            claim: None,
            lift: lift
                .iter()
                .map(|(issuer, tenant, subject)| {
                    ((*issuer).to_owned(), tenant.map(str::to_owned), (*subject).to_owned())
                })
                .collect(),
        };
        Quotas::new("p", []).with_abuse(Some(&policy))
    }

    #[test]
    fn the_third_strike_counts_and_cooldowns_grow_and_end() {
        let quotas = quotas(Mode::Enforce, &[]);
        let mut host = MemoryHost::at(Timestamp(1_000_000 * MINUTE));
        let key = SharedKey::obtain("p", &mut host).unwrap();
        quotas.prepare(&key, &mut host).unwrap();
        let alice = Principal::user_for_tests("alice");
        let bob = Principal::user_for_tests("bob");
        let mut texts = (0..).map(|number| format!("attack {number}"));
        let mut hit = |who: &Principal, host: &mut MemoryHost| strike(&quotas, who, &texts.next().unwrap(), &key, host);
        for expected in [60, 120, 200, 200] {
            for _ in 0..2 {
                assert_eq!(hit(&alice, &mut host), None);
                assert_eq!(quotas.cooldown(&alice, &key, &mut host).unwrap(), None);
            }
            assert_eq!(hit(&alice, &mut host), Some(expected));
            assert_eq!(quotas.cooldown(&alice, &key, &mut host).unwrap().unwrap().left.as_secs(), expected);
            assert_eq!(quotas.cooldown(&bob, &key, &mut host).unwrap(), None);
            host.now.0 += expected * 1_000_000_000;
            assert_eq!(quotas.cooldown(&alice, &key, &mut host).unwrap(), None);
        }
        // After as long again all is forgotten, and strikes far apart never add up.
        host.now.0 += 4 * MINUTE;
        for _ in 0..20 {
            assert_eq!(hit(&alice, &mut host), None);
            host.now.0 += 4 * MINUTE;
        }
        for _ in 0..2 {
            hit(&bob, &mut host);
        }
        assert_eq!(hit(&bob, &mut host), Some(60));
    }

    #[test]
    fn a_text_is_a_strike_once_and_a_request_one_at_most() {
        let quotas = quotas(Mode::Enforce, &[]);
        let mut host = MemoryHost::at(Timestamp(1_000_000 * MINUTE));
        let key = SharedKey::obtain("p", &mut host).unwrap();
        quotas.prepare(&key, &mut host).unwrap();
        let (alice, bob) = (Principal::user_for_tests("alice"), Principal::user_for_tests("bob"));
        for _ in 0..20 {
            assert_eq!(strike(&quotas, &alice, "the same", &key, &mut host), None);
        }
        // Each turn sends all before it again, and one new attack; bob's are his own.
        for (texts, expected) in [(&["the same", "a", "b", "c", "d"][..], None), (&["a", "the same", "e"], Some(60))] {
            let mut strike = Strike::new(&alice, texts.iter().copied()).unwrap();
            let begun = quotas.strike(&mut strike, &key, &mut host).unwrap();
            assert_eq!(begun.map(|begun| begun.left.as_secs()), expected);
        }
        assert_eq!(strike(&quotas, &bob, "the same", &key, &mut host), None);
        assert_eq!(strike(&quotas, &bob, "a", &key, &mut host), None);
        assert_eq!(strike(&quotas, &bob, "b", &key, &mut host), Some(60));
        // Beyond the window it counts again.
        host.now.0 += 11 * MINUTE;
        for (text, expected) in [("a", None), ("b", None), ("a", None), ("c", Some(60))] {
            assert_eq!(strike(&quotas, &bob, text, &key, &mut host), expected, "{text}");
        }
    }

    /// A store that accepts nothing after this number of writes.
    struct Busy<'h>(&'h mut MemoryHost, usize);

    impl Host for Busy<'_> {
        fn now(&self) -> Timestamp {
            self.0.now()
        }

        fn shared_get(&mut self, key: &str) -> Result<crate::host::Shared, Fault> {
            self.0.shared_get(key)
        }

        fn shared_set(&mut self, key: &str, value: &[u8], cas: u32) -> Result<crate::host::SetOutcome, Fault> {
            self.1 = self.1.checked_sub(1).ok_or(Fault("busy"))?;
            self.0.shared_set(key, value, cas)
        }

        fn verify_signature(&mut self, _: crate::host::HashFunction, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
            None
        }

        fn random(&mut self, out: &mut [u8]) -> Result<(), Fault> {
            self.0.random(out)
        }
    }

    #[test]
    fn a_strike_that_the_store_does_not_take_is_counted_later_and_once() {
        let quotas = quotas(Mode::Enforce, &[]);
        let alice = Principal::user_for_tests("alice");
        for writes in 0..3 {
            let mut host = MemoryHost::at(Timestamp(1_000_000 * MINUTE));
            let key = SharedKey::obtain("p", &mut host).unwrap();
            quotas.prepare(&key, &mut host).unwrap();
            let mut late = Strike::new(&alice, ["a", "b"].into_iter()).unwrap();
            assert!(quotas.strike(&mut late, &key, &mut Busy(&mut host, writes)).is_err(), "{writes}");
            assert_eq!(strike(&quotas, &alice, "c", &key, &mut host), None);
            assert_eq!(quotas.strike(&mut late, &key, &mut host).unwrap(), None);
            assert_eq!(strike(&quotas, &alice, "a", &key, &mut host), None, "it was counted");
            assert_eq!(strike(&quotas, &alice, "d", &key, &mut host), Some(60));
        }
    }

    #[test]
    fn an_operator_lifts_and_anonymous_callers_do_not_pay_for_each_other() {
        let mut host = MemoryHost::at(Timestamp(1_000_000 * MINUTE));
        let key = SharedKey::obtain("p", &mut host).unwrap();
        let alice = Principal::user_for_tests("alice");
        let strict = quotas(Mode::Enforce, &[]);
        strict.prepare(&key, &mut host).unwrap();
        let nobody = Principal::anonymous(RoleIndex(0));
        // An API key: an application, with its users behind it.
        let application = Principal::for_tests("alice", vec![RoleIndex(0)]);
        for text in ["a", "b", "c"] {
            strike(&strict, &alice, text, &key, &mut host);
            for other in [&nobody, &application] {
                assert_eq!(strike(&strict, other, text, &key, &mut host), None);
                assert!(strict.cooldown(other, &key, &mut host).unwrap().is_none());
            }
        }
        assert!(strict.cooldown(&alice, &key, &mut host).unwrap().is_some());
        assert!(strict.cooldown(&nobody, &key, &mut host).unwrap().is_none());
        for (lifted, is_let_in) in [
            (("corp", None, "alice"), true),
            (("corp", Some("acme"), "alice"), false),
            (("apiKeys", None, "alice"), false),
            (("corp", None, "bob"), false),
        ] {
            let quotas = quotas(Mode::Enforce, &[lifted]);
            assert_eq!(quotas.cooldown(&alice, &key, &mut host).unwrap().is_none(), is_let_in, "{lifted:?}");
        }
        assert_eq!(quotas(Mode::Shadow, &[]).cooldown(&alice, &key, &mut host).unwrap().unwrap().mode, Mode::Shadow);
        assert!(Quotas::new("p", []).cooldown(&alice, &key, &mut host).unwrap().is_none());
    }
}
