//! Quotas through their public face: exact under every interleaving of workers, bounded, and never
//! loosened by a full table, foreign writes or a clock that was set back.

use crate::common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bartizan::authn::{Authenticator, Principal, RoleIndex};
use bartizan::document::{Authn, Counts, Kind, OnUnavailable, Per, Reach};
use bartizan::document::{Errors, KeyPath};
use bartizan::enums::{Mode, Operation};
use bartizan::host::{Fault, HashFunction, Host, SetOutcome, Shared, Timestamp};
use bartizan::quota::QuotaPolicy;
use bartizan::quota::{Bill, Limits, Quotas, ROWS, Refusal, Reservation, Scope, SharedKey, Tokens, Weights};
use bartizan::reason::Reason;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use common::hosts::Broken;
use proptest::prelude::*;
use serde_json::json;

const START: u64 = 1_800_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// The proxy's store as Envoy keeps it: a version of 0 is not compared with anything.
#[derive(Clone, Debug, Default)]
struct Store {
    values: BTreeMap<String, (Vec<u8>, u32)>,
    version: u32,
    /// The proxy's clock, once somebody has moved it.
    clock: u64,
}

impl Store {
    fn get(&self, key: &str) -> Shared {
        self.values.get(key).map_or_else(Shared::default, |(value, cas)| Shared { value: value.clone(), cas: *cas })
    }

    fn set(&mut self, key: &str, value: &[u8], cas: u32) -> SetOutcome {
        if cas != 0 && self.values.get(key).is_some_and(|(_, current)| *current != cas) {
            return SetOutcome::Conflict;
        }
        self.version += 1;
        self.values.insert(key.to_owned(), (value.to_vec(), self.version));
        SetOutcome::Stored
    }

    fn rows(&self) -> Vec<String> {
        self.values.keys().filter(|key| key.contains("/q/")).cloned().collect()
    }
}

/// A worker's host. With a schedule it waits for its turn before every access to the store.
struct Worker {
    now: u64,
    store: Arc<Mutex<Store>>,
    turn: Option<Turn>,
    seed: u64,
}

struct Turn {
    id: usize,
    asks: Sender<(usize, bool)>,
    granted: Receiver<()>,
}

impl Worker {
    fn new(store: &Arc<Mutex<Store>>) -> Worker {
        Worker { now: START, store: Arc::clone(store), turn: None, seed: 1 }
    }

    /// The key never changes here: reading it is no step.
    fn wait(&self, key: &str) {
        if let Some(turn) = self.turn.as_ref().filter(|_| key.contains("/q/")) {
            turn.asks.send((turn.id, true)).unwrap();
            turn.granted.recv().unwrap();
        }
    }
}

impl Host for Worker {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.max(self.store.lock().unwrap().clock))
    }

    fn shared_get(&mut self, key: &str) -> Result<Shared, Fault> {
        self.wait(key);
        Ok(self.store.lock().unwrap().get(key))
    }

    fn shared_set(&mut self, key: &str, value: &[u8], cas: u32) -> Result<SetOutcome, Fault> {
        self.wait(key);
        Ok(self.store.lock().unwrap().set(key, value, cas))
    }

    fn verify_signature(&mut self, _: HashFunction, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), Fault> {
        for byte in out {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (self.seed >> 40) as u8;
        }
        Ok(())
    }
}

fn quota(per: Per, requests: u64, window_secs: u64, burst: u64) -> QuotaPolicy {
    QuotaPolicy {
        when: None,
        per,
        counts: Counts::Requests,
        limit: requests,
        weights: Weights::EVEN,
        alert_at: Vec::new(),
        window: Duration::from_secs(window_secs),
        burst,
        mode: Mode::Enforce,
        reach: Reach::Proxy,
        on_unavailable: OnUnavailable::Deny,
        claim: None,
        header: None,
        kind: Kind::Sliding,
    }
}

fn quotas(of_role: &[QuotaPolicy]) -> Quotas {
    Quotas::new("test", [("role", of_role)])
}

const ROLE: [RoleIndex; 1] = [RoleIndex(0)];

/// A prepared proxy: its store, its key and one worker.
fn proxy(quotas: &Quotas) -> (Worker, SharedKey) {
    let mut worker = Worker::new(&Arc::default());
    let key = SharedKey::obtain("test", &mut worker).unwrap();
    quotas.prepare(&key, &mut worker).unwrap();
    (worker, key)
}

fn charge(quotas: &Quotas, name: &str, key: &SharedKey, host: &mut dyn Host) -> Result<Limits, Refusal> {
    quotas.charge(Scope::Model(name), &ROLE, key, host)
}

fn tokens(limit: u64) -> QuotaPolicy {
    QuotaPolicy { counts: Counts::Tokens, ..quota(Per::Model, limit, 864_000, limit) }
}

fn hold(quotas: &Quotas, units: u64, key: &SharedKey, host: &mut dyn Host) -> Result<(Limits, Reservation), Refusal> {
    let expected = Tokens::of(units, 0);
    static CALLER: LazyLock<Principal> = LazyLock::new(|| principal("i", "acme", "alice"));
    quotas.reserve(Scope::Whole(&CALLER, Operation::Chat, Some("m")), &ROLE, expected, key, host)
}

/// One act of a worker: `hold 5`, `settle 2` (the oldest that is held), `die` (all that is held is
/// forgotten), `wait 60` (for everybody, seconds), or the model to charge one request to.
fn act(quotas: &Quotas, what: &str, key: &SharedKey, worker: &mut Worker, held: &mut Vec<Reservation>) -> bool {
    let (verb, number) = what.split_once(' ').unwrap_or((what, ""));
    let number: u64 = number.parse().unwrap_or(0);
    match verb {
        "hold" => hold(quotas, number, key, worker).map(|(_, reservation)| held.push(reservation)).is_ok(),
        "settle" if held.is_empty() => false,
        "settle" => {
            let used = Tokens::of(number, 0);
            quotas.settle(held.remove(0), used, key, worker).is_ok()
        }
        "die" => {
            held.clear();
            true
        }
        "wait" => {
            worker.wait("test/q/clock");
            worker.store.lock().unwrap().clock = START + number * SECOND;
            true
        }
        _ => charge(quotas, what, key, worker).is_ok(),
    }
}

/// Runs workers under one schedule: at the nth step the worker `schedule[n]`th in line goes on, the
/// first in line beyond the schedule's end. Gives back what each act came to, and how many
/// workers were in line at each step.
fn run(
    quotas: &Arc<Quotas>,
    store: &Store,
    key: &SharedKey,
    loads: &[Vec<&'static str>],
    schedule: &[usize],
) -> (Vec<bool>, Vec<usize>, Store) {
    let store = Arc::new(Mutex::new(store.clone()));
    let (asks, asked) = channel();
    let mut grants = Vec::new();
    let mut threads = Vec::new();
    for (id, load) in loads.iter().enumerate() {
        let (grant, granted) = channel();
        grants.push(grant);
        let mut worker = Worker::new(&store);
        worker.turn = Some(Turn { id, asks: asks.clone(), granted });
        let (quotas, key, load, asks) = (Arc::clone(quotas), key.clone(), load.clone(), asks.clone());
        threads.push(std::thread::spawn(move || {
            let mut held = Vec::new();
            let passed: Vec<bool> = load.iter().map(|what| act(&quotas, what, &key, &mut worker, &mut held)).collect();
            asks.send((id, false)).unwrap();
            passed
        }));
    }
    let mut line = BTreeSet::new();
    for _ in loads {
        let (id, waits) = asked.recv().unwrap();
        if waits {
            line.insert(id);
        }
    }
    let mut widths = Vec::new();
    while !line.is_empty() {
        let choice = schedule.get(widths.len()).copied().unwrap_or(0);
        widths.push(line.len());
        let id = *line.iter().nth(choice).unwrap();
        grants[id].send(()).unwrap();
        let (same, waits) = asked.recv().unwrap();
        assert_eq!(same, id);
        if !waits {
            line.remove(&id);
        }
    }
    let passed = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let store = store.lock().unwrap().clone();
    (passed, widths, store)
}

/// Every schedule there is.
fn every_schedule(
    quotas: Quotas,
    loads: &[Vec<&'static str>],
    mut check: impl FnMut(&Quotas, &[bool], &SharedKey, Store),
) -> usize {
    // The rows must exist (see `Quotas::prepare`): one request before the race makes them.
    let mut worker = Worker::new(&Arc::default());
    let key = SharedKey::obtain("test", &mut worker).unwrap();
    let mut held = Vec::new();
    for what in ["m", "hold 1", "settle 0"] {
        assert!(act(&quotas, what, &key, &mut worker, &mut held));
    }
    let store = worker.store.lock().unwrap().clone();
    let quotas = Arc::new(quotas);
    let (mut schedule, mut count) = (Vec::new(), 0);
    loop {
        let (passed, widths, after) = run(&quotas, &store, &key, loads, &schedule);
        check(&quotas, &passed, &key, after);
        count += 1;
        schedule.resize(widths.len(), 0);
        // The next schedule in order: the last step that had another choice takes it.
        let Some(step) = (0..widths.len()).rev().find(|step| schedule[*step] + 1 < widths[*step]) else {
            return count;
        };
        schedule[step] += 1;
        schedule.truncate(step + 1);
    }
}

/// The tokens that are left, by asking for one at this time.
fn left(quotas: &Quotas, key: &SharedKey, store: &Store, now: u64) -> u64 {
    let mut worker = Worker::new(&Arc::new(Mutex::new(store.clone())));
    worker.now = now;
    hold(quotas, 1, key, &mut worker).map_or(0, |(limits, _)| limits.tokens.unwrap().remaining + 1)
}

#[test]
fn no_interleaving_of_reservations_passes_the_limit_or_leaks() {
    let loads = [vec!["hold 6", "settle 2"], vec!["hold 6", "settle 5"], vec!["hold 3", "die"]];
    let mut seen = BTreeSet::new();
    let count = every_schedule(quotas(&[tokens(10)]), &loads, |quotas, passed, key, store| {
        let [a, a_settled, b, b_settled, c, _] = passed else { panic!() };
        assert_eq!((a, b), (a_settled, b_settled), "who was let in settles");
        let used = if *a { 2 } else { 0 } + if *b { 5 } else { 0 };
        let lost = if *c { 3 } else { 0 };
        assert!(*a || *b || *c, "somebody is always let in");
        assert_eq!(left(quotas, key, &store, START), 10 - used - lost, "{passed:?}");
        // What nobody settled counts as used when its time has come, and then drains like all the rest.
        assert_eq!(left(quotas, key, &store, START + 1300 * SECOND), 10 - used - lost);
        assert_eq!(left(quotas, key, &store, START + 874_000 * SECOND), 10);
        seen.insert(passed.to_vec());
    });
    assert!(count > 500 && seen.len() > 3, "{count} schedules, {} outcomes", seen.len());
}

#[test]
fn no_interleaving_with_an_expiry_passes_the_limit_or_leaks() {
    let loads = [vec!["hold 6", "settle 2"], vec!["wait 1300", "hold 6", "settle 1"]];
    let mut seen = BTreeSet::new();
    every_schedule(quotas(&[tokens(10)]), &loads, |quotas, passed, key, store| {
        let left = left(quotas, key, &store, START + 1300 * SECOND);
        // Who comes before the expiry finds less held than used; who comes after finds all of it used.
        let expected: &[u64] = match passed {
            [true, true, _, true, true] => &[10 - 2 - 1, 10 - 6 - 1],
            [true, true, _, false, false] => &[10 - 2, 10 - 6],
            [false, false, _, true, true] => &[10 - 1],
            _ => panic!("{passed:?}"),
        };
        assert!(expected.contains(&left), "{passed:?}: {left}");
        seen.insert((passed.to_vec(), left));
    });
    assert!(seen.len() >= 2, "{seen:?}");
}

/// A policy that is loaded anew knows what the old one's requests hold, and they settle in its buckets.
#[test]
fn a_reload_keeps_what_is_held() {
    let (before, after) = (quotas(&[tokens(10)]), quotas(&[tokens(10)]));
    let (mut worker, key) = proxy(&before);
    let (_, reservation) = hold(&before, 7, &key, &mut worker).unwrap();
    let reloaded = SharedKey::obtain("test", &mut worker).unwrap();
    after.prepare(&reloaded, &mut worker).unwrap();
    assert_eq!(hold(&after, 4, &reloaded, &mut worker).unwrap_err().denial.reason, Reason::QuotaTokens);
    before.settle(reservation, Tokens::of(1, 0), &key, &mut worker).unwrap();
    assert!(hold(&after, 9, &reloaded, &mut worker).is_ok());
}

fn passes(passed: &[bool]) -> usize {
    passed.iter().filter(|passed| **passed).count()
}

#[test]
fn no_interleaving_of_two_workers_passes_the_limit() {
    let two_each = [vec!["m", "m"], vec!["m", "m"]];
    let count = every_schedule(quotas(&[quota(Per::Model, 4, 3600, 4)]), &two_each, |_, passed, _, _| {
        assert_eq!(passes(passed), 3);
    });
    assert!(count > 50, "{count}");
}

#[test]
fn no_interleaving_of_three_workers_passes_the_limit() {
    let one_each = [vec!["m"], vec!["m"], vec!["m"]];
    let count = every_schedule(quotas(&[quota(Per::Model, 3, 3600, 3)]), &one_each, |_, passed, _, _| {
        assert_eq!(passes(passed), 2);
    });
    assert!(count > 50, "{count}");
}

#[test]
fn all_buckets_are_charged_or_none_under_every_interleaving() {
    let both = quotas(&[quota(Per::Model, 9, 36_000, 9), quota(Per::Model, 2, 7200, 2)]);
    let wide = quotas(&[quota(Per::Model, 9, 36_000, 9)]);
    let mut none_passed = 0;
    let count = every_schedule(both, &[vec!["m"], vec!["m", "m"]], |_, passed, key, store| {
        // A race may refuse one that would just have fitted, never pass one that does not.
        assert!(passes(passed) <= 1);
        none_passed += usize::from(passes(passed) == 0);
        // What was refused is charged nowhere: the wide bucket lost what passed, and nothing else.
        let mut worker = Worker::new(&Arc::new(Mutex::new(store)));
        let left = charge(&wide, "m", key, &mut worker).unwrap().requests.unwrap().remaining;
        assert_eq!(left, 9 - 1 - passes(passed) as u64 - 1);
    });
    println!("{count} schedules, {none_passed} of them refused all");
    assert!(count > 100, "{count}");
}

#[test]
fn a_refusal_in_one_bucket_leaves_the_others_alone() {
    let wide = quotas(&[quota(Per::Model, 5, 3600, 5)]);
    let both = [quota(Per::Model, 5, 3600, 5), quota(Per::Model, 1, 60, 1)];
    let quotas = quotas(&both);
    let (mut worker, key) = proxy(&quotas);
    assert!(charge(&quotas, "m", &key, &mut worker).is_ok());
    for _ in 0..20 {
        let refusal = charge(&quotas, "m", &key, &mut worker).unwrap_err();
        assert_eq!(refusal.denial.reason, Reason::QuotaRequests);
        assert_eq!(refusal.denial.retry_after, Some(60));
    }
    // The same policy without the narrow quota finds the same wide bucket: one request is gone.
    assert_eq!(charge(&wide, "m", &key, &mut worker).unwrap().requests.unwrap().remaining, 3);
}

#[test]
fn limits_are_told_and_shadow_refuses_nobody() {
    let shadow = QuotaPolicy { mode: Mode::Shadow, ..quota(Per::Model, 1, 3600, 1) };
    let quotas = quotas(&[quota(Per::Model, 60, 60, 3), shadow]);
    let (mut worker, key) = proxy(&quotas);
    let first = charge(&quotas, "m", &key, &mut worker).unwrap();
    assert!(first.shadow.is_empty());
    let headers: Vec<String> = first.headers().iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        headers,
        ["x-ratelimit-limit-requests: 60", "x-ratelimit-remaining-requests: 2", "x-ratelimit-reset-requests: 1s"]
    );
    assert!(charge(&quotas, "m", &key, &mut worker).unwrap().shadow == [Reason::QuotaRequests]);
    assert_eq!(charge(&quotas, "m", &key, &mut worker).unwrap().requests.unwrap().remaining, 0);
    let refusal = charge(&quotas, "m", &key, &mut worker).unwrap_err();
    assert_eq!(refusal.denial.retry_after, Some(1));
    assert!(refusal.headers().contains(&("retry-after", "1".to_owned())));
    worker.now += SECOND;
    assert!(charge(&quotas, "m", &key, &mut worker).is_ok());
    assert!(charge(&quotas, "m", &key, &mut worker).is_err());
}

fn principal(iss: &str, tenant: &str, subject: &str) -> Principal {
    let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([9; 32]));
    let keys = json!([{"kty": "OKP", "crv": "Ed25519", "x": B64.encode(*pair.pk)}]);
    let section: Authn = serde_json::from_value(json!({"issuers": [{
        "issuer": iss, "audiences": ["a"], "algorithms": ["EdDSA"], "jwks": {"inline": {"keys": keys}},
        "claims": {"tenant": "/org"},
    }]}))
    .unwrap();
    let authn = Authenticator::compile(&section, &KeyPath::root(), &[], &mut Errors::default()).unwrap();
    let claims = json!({"iss": iss, "aud": "a", "sub": subject, "org": tenant, "exp": START / SECOND + 60});
    let signed = format!("{}.{}", B64.encode(r#"{"alg":"EdDSA"}"#), B64.encode(claims.to_string()));
    let token = format!("{signed}.{}", B64.encode(*pair.sk.sign(&signed, None)));
    authn.verify(token.as_bytes(), Timestamp(START), &mut Worker::new(&Arc::default())).unwrap()
}

#[test]
fn a_bucket_belongs_to_whom_the_policy_says() {
    let callers = [
        principal("i", "acme", "alice"),
        principal("i", "acme", "bob"),
        principal("i", "umbrella", "alice"),
        principal("j", "acme", "alice"),
    ];
    for (per, expected) in [
        // Each their own; alice and bob of acme together; everybody together.
        (Per::Subject, [true, true, true, true]),
        (Per::Tenant, [true, false, true, true]),
        (Per::Role, [true, false, false, false]),
        (Per::Model, [true, true, true, true]),
    ] {
        let quotas = quotas(&[quota(per, 1, 3600, 1)]);
        let (mut worker, key) = proxy(&quotas);
        for (caller, expected) in callers.iter().zip(expected) {
            let passed = quotas.charge(Scope::Call(caller, Operation::Chat), &ROLE, &key, &mut worker).is_ok();
            assert_eq!(passed, expected, "{} per {}", caller.subject(), per.as_str());
        }
    }
}

#[test]
fn two_policies_and_two_definitions_never_meet() {
    let one = [quota(Per::Model, 1, 3600, 1)];
    let changed = [quota(Per::Model, 1, 3601, 1)];
    let (ours, theirs) = (Quotas::new("ours", [("r", &one[..])]), Quotas::new("theirs", [("r", &one[..])]));
    let mut worker = Worker::new(&Arc::default());
    let our_key = SharedKey::obtain("ours", &mut worker).unwrap();
    let their_key = SharedKey::obtain("theirs", &mut worker).unwrap();
    assert_ne!(our_key, their_key);
    assert_eq!(our_key, SharedKey::obtain("ours", &mut worker).unwrap());
    assert!(charge(&ours, "m", &our_key, &mut worker).is_ok());
    assert!(charge(&theirs, "m", &their_key, &mut worker).is_ok());
    assert!(charge(&Quotas::new("ours", [("r2", &one[..])]), "m", &our_key, &mut worker).is_ok());
    assert!(charge(&Quotas::new("ours", [("r", &changed[..])]), "m", &our_key, &mut worker).is_ok());
    // The same again, also from shadow to enforce, is the same bucket.
    assert!(charge(&ours, "m", &our_key, &mut worker).is_err());
    let shadow = [QuotaPolicy { mode: Mode::Shadow, ..one[0].clone() }];
    assert!(
        charge(&Quotas::new("ours", [("r", &shadow[..])]), "m", &our_key, &mut worker).unwrap().shadow
            == [Reason::QuotaRequests]
    );
}

#[test]
fn a_hundred_thousand_subjects_stay_bounded_and_loosen_nothing() {
    let quotas = quotas(&[quota(Per::Model, 1, 31 * 86_400, 1)]);
    let (mut worker, key) = proxy(&quotas);
    let mut passed = Vec::new();
    for number in 0..100_000 {
        let name = format!("subject {number}");
        if charge(&quotas, &name, &key, &mut worker).is_ok() {
            passed.push(name);
        }
    }
    // The table is nearly full: some rows refuse newcomers, and nobody who passed passes again.
    assert!(passed.len() > 55_000, "{}", passed.len());
    assert!(passed.iter().all(|name| charge(&quotas, name, &key, &mut worker).is_err()));
    {
        let store = worker.store.lock().unwrap();
        assert_eq!(store.rows().len() as u64, ROWS);
        let bytes: usize = store.values.iter().map(|(key, (value, _))| key.len() + value.len()).sum();
        assert!(bytes < 2_200_000, "{bytes}");
    }
    // When the buckets are full again their places are free.
    worker.now += 32 * 86_400 * SECOND;
    assert!((0..1_000).all(|number| charge(&quotas, &format!("new {number}"), &key, &mut worker).is_ok()));
}

#[test]
fn foreign_writes_loosen_nothing_and_heal() {
    let quotas = quotas(&[quota(Per::Model, 2, 60, 2)]);
    let names: Vec<String> = (0..40).map(|number| format!("subject {number}")).collect();
    type Make = dyn Fn(&Store, &str) -> Vec<u8>;
    let garbage: [&Make; 6] = [
        &|_, _| Vec::new(),
        &|_, _| vec![0; 400],
        &|_, _| b"\x01garbage".to_vec(),
        &|store, row| store.get(row).value[1..].to_vec(),
        &|store, row| {
            let mut value = store.get(row).value;
            let last = value.len() - 20;
            value[last] ^= 1;
            value
        },
        // An untouched row from another place.
        &|store, row| store.get(store.rows().iter().find(|other| *other != row).unwrap()).value,
    ];
    for (kind, make) in garbage.iter().enumerate() {
        let (mut worker, key) = proxy(&quotas);
        for name in names.iter().chain(&names) {
            assert!(charge(&quotas, name, &key, &mut worker).is_ok());
        }
        {
            let mut store = worker.store.lock().unwrap();
            for row in store.rows() {
                let value = make(&store, &row);
                store.set(&row, &value, 0);
            }
        }
        for name in &names {
            assert_eq!(
                charge(&quotas, name, &key, &mut worker).unwrap_err().denial.reason,
                Reason::QuotaRequests,
                "{kind}"
            );
        }
        worker.now += 61 * SECOND;
        assert!(names.iter().all(|name| charge(&quotas, name, &key, &mut worker).is_ok()), "{kind}");
    }
}

#[test]
fn a_key_that_is_overwritten_locks_nobody_out_for_long() {
    let quotas = quotas(&[quota(Per::Model, 2, 60, 2)]);
    let (mut worker, old) = proxy(&quotas);
    assert!(charge(&quotas, "m", &old, &mut worker).is_ok());
    worker.store.lock().unwrap().set("test/key", b"nonsense", 0);
    let new = SharedKey::obtain("test", &mut worker).unwrap();
    assert_ne!(old, new);
    assert!(charge(&quotas, "m", &new, &mut worker).is_err());
    worker.now += 61 * SECOND;
    // Workers that still hold the old key find the new one: both count in the same bucket.
    assert!(charge(&quotas, "m", &old, &mut worker).is_ok());
    assert!(charge(&quotas, "m", &new, &mut worker).is_ok());
    assert!(charge(&quotas, "m", &old, &mut worker).is_err());
    assert!(charge(&quotas, "m", &new, &mut worker).is_err());
}

#[test]
fn a_clock_that_is_set_back_changes_nothing() {
    let quotas = quotas(&[quota(Per::Model, 2, 60, 2)]);
    let (mut worker, key) = proxy(&quotas);
    assert!(charge(&quotas, "m", &key, &mut worker).is_ok());
    assert!(charge(&quotas, "m", &key, &mut worker).is_ok());
    // A worker that is a little late takes the row's time.
    worker.now -= SECOND;
    assert!(charge(&quotas, "m", &key, &mut worker).is_err());
    worker.now -= 30 * 86_400 * SECOND;
    assert!(charge(&quotas, "m", &key, &mut worker).is_err());
    worker.now += 29 * SECOND;
    assert!(charge(&quotas, "m", &key, &mut worker).is_err());
    worker.now += SECOND;
    assert!(charge(&quotas, "m", &key, &mut worker).is_ok());
    assert!(charge(&quotas, "m", &key, &mut worker).is_err());
}

#[test]
fn a_store_that_fails_refuses() {
    let mut broken = Broken { now: Timestamp(START), has_randomness: true };
    let quotas = quotas(&[quota(Per::Model, 2, 60, 2)]);
    let (_, key) = proxy(&quotas);
    assert_eq!(charge(&quotas, "m", &key, &mut broken).unwrap_err().denial.reason, Reason::Internal);
    assert!(quotas.prepare(&key, &mut broken).is_err());
    assert!(SharedKey::obtain("test", &mut broken).is_err());
    // Without a quota the store is not asked.
    assert!(quotas.charge(Scope::Model("m"), &[], &key, &mut broken).is_ok());
}

/// A store that never lets anybody win.
#[test]
fn a_row_that_never_rests_refuses() {
    struct Contended(Worker);
    impl Host for Contended {
        fn now(&self) -> Timestamp {
            self.0.now()
        }
        fn shared_get(&mut self, key: &str) -> Result<Shared, Fault> {
            self.0.shared_get(key)
        }
        fn shared_set(&mut self, _: &str, _: &[u8], _: u32) -> Result<SetOutcome, Fault> {
            Ok(SetOutcome::Conflict)
        }
        fn verify_signature(&mut self, _: HashFunction, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
            None
        }
        fn random(&mut self, out: &mut [u8]) -> Result<(), Fault> {
            self.0.random(out)
        }
    }
    let quotas = quotas(&[quota(Per::Model, 2, 60, 2)]);
    let (worker, key) = proxy(&quotas);
    let refusal = charge(&quotas, "m", &key, &mut Contended(worker)).unwrap_err();
    assert_eq!((refusal.denial.reason, refusal.denial.retry_after), (Reason::Internal, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes whenever, through one row's worth of neighbours or many: in any stretch of time
    /// no subject passes more often than the burst and the rate allow.
    #[test]
    fn no_sequence_passes_the_limit(
        requests in 1u64..20,
        burst in 1u64..20,
        steps in prop::collection::vec((0usize..6, 0u64..8), 1..150),
    ) {
        let burst = burst.min(requests);
        let window = 60;
        let quotas = quotas(&[quota(Per::Model, requests, window, burst)]);
        // Not prepared: a single worker needs no preparation.
        let mut worker = Worker::new(&Arc::default());
        let key = SharedKey::obtain("test", &mut worker).unwrap();
        let mut passed: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for (subject, gap) in steps {
            worker.now += gap * SECOND;
            if charge(&quotas, &format!("subject {subject}"), &key, &mut worker).is_ok() {
                passed.entry(subject).or_default().push(worker.now);
            }
        }
        for times in passed.values() {
            for (first, start) in times.iter().enumerate() {
                for (last, end) in times.iter().enumerate().skip(first) {
                    let over = (last - first + 1) as u128 - u128::from(burst.min((last - first + 1) as u64));
                    prop_assert!(over * u128::from(window * SECOND) <= u128::from(end - start) * u128::from(requests));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever sessions a caller makes up, no more passes than the quota of its subject alone lets through, and of one
    /// session no more than its own.
    #[test]
    fn sessions_never_loosen_the_quota_of_their_subject(
        (subjects, sessions) in (1u64..6, 1u64..6),
        calls in prop::collection::vec((0u64..40, prop::option::of(0u8..12)), 1..80),
    ) {
        let of_subject = quota(Per::Subject, subjects, 60, subjects);
        let of_session = QuotaPolicy { header: Some("x".to_owned()), ..quota(Per::Session, sessions, 60, sessions) };
        let (both, alone, each) = (
            quotas(&[of_session.clone(), of_subject.clone()]),
            quotas(&[of_subject]),
            quotas(&[of_session]),
        );
        let caller = principal("i", "acme", "alice");
        let mut proxies = [proxy(&both), proxy(&alone), proxy(&each)];
        let (mut passed, mut bound) = (0, 0);
        let mut of_each: BTreeMap<Option<u8>, (u32, u32)> = BTreeMap::new();
        for (wait, session) in calls {
            let named = session.map(|session| vec![(Some("x".to_owned()), vec![session])]).unwrap_or_default();
            let mut ask = |place: usize, quotas: &Quotas| {
                let (worker, key) = &mut proxies[place];
                worker.now += wait * SECOND;
                let bill = Bill { sessions: &named, ..Bill::from(Scope::Call(&caller, Operation::Chat)) };
                u32::from(quotas.charge(bill, &ROLE, key, worker).is_ok())
            };
            let got = ask(0, &both);
            passed += got;
            bound += ask(1, &alone);
            let own = of_each.entry(session).or_default();
            own.0 += got;
            own.1 += ask(2, &each);
            // What one quota refuses leaves room in the other for later, and never for more.
            prop_assert!(passed <= bound, "{passed} of {bound}");
            prop_assert!(own.0 <= own.1, "{own:?} of {session:?}");
        }
    }
}
