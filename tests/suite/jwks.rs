//! Keys that an issuer publishes: fetched by one worker, shared by all, kept through outages.

use bartizan::authn::{Authentication, Authenticator, Fetch, Fetched, KeyRing, MAX_JWKS_BYTES, TokenCache};
use bartizan::document::{self, Errors, KeyPath};
use bartizan::host::{Host, MemoryHost, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use jwt_simple::prelude::*;
use serde_json::{Value, json};

const START: u64 = 1_800_000_000;
const SECRET: &[u8] = b"what all workers share";

/// One proxy: a policy, a store, and workers with their own rings and caches.
struct Proxy {
    authn: Authenticator,
    host: MemoryHost,
    workers: Vec<(KeyRing, TokenCache)>,
    keys: Vec<(&'static str, Ed25519KeyPair)>,
}

impl Proxy {
    fn new() -> Proxy {
        let jwks = json!({"cluster": "idp", "authority": "idp.test", "path": "/jwks",
            "refresh": "5m", "timeout": "5s", "staleFor": "1h"});
        let section = json!({"issuers": [{"issuer": "https://idp.test", "audiences": ["llm"],
            "algorithms": ["EdDSA"], "jwks": jwks}]});
        let section: document::Authn = serde_json::from_value(section).unwrap();
        let mut errors = Errors::default();
        let authn = Authenticator::compile(&section, &KeyPath::root().key("authn"), &["a".to_owned()], &mut errors);
        let mut host = MemoryHost::at(Timestamp::from_secs(START));
        let workers = (0..2).map(|_| (KeyRing::new("p", SECRET), TokenCache::new(&mut host).unwrap())).collect();
        let keys = ["k1", "k2"].map(|id| (id, Ed25519KeyPair::generate())).into();
        Proxy { authn: authn.unwrap(), host, workers, keys }
    }

    fn pass(&mut self, secs: u64) {
        self.host.now = Timestamp(self.host.now.0 + secs * 1_000_000_000);
    }

    fn token(&self, id: &str) -> String {
        let key = &self.keys.iter().find(|(own, _)| *own == id).unwrap().1;
        let head = json!({"alg": "EdDSA", "kid": id}).to_string();
        let claims = json!({"iss": "https://idp.test", "aud": "llm", "sub": "u", "exp": START + 100_000}).to_string();
        let text = format!("{}.{}", B64.encode(head), B64.encode(claims));
        let signature = jwt_simple::algorithms::EdDSAKeyPairLike::key_pair(key).as_ref().sk.sign(text.as_bytes(), None);
        format!("{text}.{}", B64.encode(signature.as_ref()))
    }

    fn jwks(&self, ids: &[&str]) -> String {
        let keys = self.keys.iter().filter(|(id, _)| ids.contains(id)).map(|(id, key)| {
            json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": B64.encode(key.public_key().to_bytes())})
        });
        json!({ "keys": keys.collect::<Vec<Value>>() }).to_string()
    }

    /// `ok`, `wait`, or the reason of the refusal.
    fn ask(&mut self, worker: usize, id: &str) -> &'static str {
        let token = format!("Bearer {}", self.token(id));
        let (ring, cache) = &mut self.workers[worker];
        match self.authn.authenticate([(&b"authorization"[..], token.as_bytes())], cache, ring, &mut self.host) {
            Ok(Authentication::Known(_) | Authentication::Unchecked(_)) => "ok",
            Ok(Authentication::NeedKeys) => "wait",
            Ok(Authentication::Ask(_)) => "ask",
            Err(denial) => denial.reason.code(),
        }
    }

    fn due(&mut self, worker: usize) -> Vec<Fetch> {
        let now = self.host.now;
        self.workers[worker].0.due(&self.authn, now, &mut self.host)
    }

    fn answer(&mut self, worker: usize, fetch: &Fetch, body: Option<&str>) -> Fetched {
        let now = self.host.now;
        self.workers[worker].0.fetched(&self.authn, fetch, body.map(str::as_bytes), now, &mut self.host).0
    }

    /// One worker fetches what it must: how many answers were taken.
    fn fetch(&mut self, worker: usize, body: Option<&str>) -> usize {
        let due = self.due(worker);
        due.iter().filter(|fetch| self.answer(worker, fetch, body) == Fetched::Stored).count()
    }
}

#[test]
fn one_worker_fetches_and_all_have_the_keys() {
    let mut proxy = Proxy::new();
    assert_eq!(proxy.ask(0, "k1"), "wait");
    assert_eq!(proxy.ask(1, "k1"), "wait");
    let due = proxy.due(0);
    assert_eq!((due.len(), &*due[0].cluster, &*due[0].authority, &*due[0].path), (1, "idp", "idp.test", "/jwks"));
    assert!(proxy.due(1).is_empty(), "the lease is taken");
    let jwks = proxy.jwks(&["k1"]);
    assert_eq!(proxy.answer(0, &due[0], Some(&jwks)), Fetched::Stored);
    assert_eq!(proxy.ask(0, "k1"), "ok");
    assert_eq!(proxy.ask(1, "k1"), "ok");
    assert!(proxy.due(0).is_empty() && proxy.due(1).is_empty());
    proxy.pass(299);
    assert!(proxy.due(1).is_empty());
    proxy.pass(2);
    assert_eq!(proxy.due(1).len(), 1);
}

#[test]
fn a_new_key_is_found_and_an_old_one_forgotten() {
    let mut proxy = Proxy::new();
    let (first, second) = (proxy.jwks(&["k1"]), proxy.jwks(&["k2"]));
    proxy.fetch(0, Some(&first));
    assert_eq!(proxy.ask(0, "k1"), "ok");
    assert_eq!(proxy.ask(0, "k2"), "jwt.unavailable", "just fetched: not again, and it may be a newer key");
    proxy.pass(11);
    assert_eq!(proxy.ask(0, "k2"), "wait");
    assert_eq!(proxy.fetch(0, Some(&second)), 1);
    assert_eq!(proxy.ask(0, "k2"), "ok");
    // The token was verified and remembered; its key is gone.
    assert_eq!(proxy.ask(0, "k1"), "jwt.unavailable");
    proxy.pass(2);
    assert_eq!(proxy.ask(1, "k2"), "ok");
}

#[test]
fn unknown_keys_do_not_make_a_flood() {
    let mut proxy = Proxy::new();
    let jwks = proxy.jwks(&["k1"]);
    proxy.fetch(0, Some(&jwks));
    let mut fetches = 0;
    for _ in 0..50 {
        proxy.pass(2);
        proxy.ask(0, "k2");
        proxy.ask(1, "k2");
        fetches += proxy.fetch(0, Some(&jwks)) + proxy.fetch(1, Some(&jwks));
    }
    assert!((5..=10).contains(&fetches), "{fetches}");
    assert_eq!(proxy.ask(1, "k1"), "ok");
}

#[test]
fn an_outage_is_survived_for_a_bounded_time() {
    let mut proxy = Proxy::new();
    let jwks = proxy.jwks(&["k1", "k2"]);
    proxy.fetch(0, Some(&jwks));
    assert_eq!(proxy.ask(0, "k1"), "ok");
    let mut tries = 0;
    for _ in 0..389 {
        proxy.pass(10);
        tries += proxy.due(0).iter().map(|fetch| proxy.answer(0, fetch, None)).count();
        // A token that no worker remembers: the keys of before still count.
        proxy.workers[0].1.clear();
        assert_eq!(proxy.ask(0, "k1"), "ok");
    }
    assert!((350..=389).contains(&tries), "{tries}");
    proxy.pass(11);
    proxy.workers[0].1.clear();
    assert_eq!(proxy.ask(0, "k1"), "wait");
    assert_eq!(proxy.fetch(0, Some(&jwks)), 1);
    assert_eq!(proxy.ask(0, "k1"), "ok");
}

#[test]
fn wrong_answers_change_nothing() {
    let mut proxy = Proxy::new();
    let good = proxy.jwks(&["k1"]);
    proxy.fetch(0, Some(&good));
    assert_eq!(proxy.ask(0, "k1"), "ok");
    let huge = good.replacen('{', &format!("{{{}", " ".repeat(MAX_JWKS_BYTES)), 1);
    let many = json!({"keys": vec![json!({"kty": "OKP"}); 65]}).to_string();
    let secret = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}"#;
    for wrong in ["", "{}", "[]", "<html>", r#"{"keys":[]}"#, r#"{"keys":[],"keys":[]}"#, secret, &huge, &many] {
        proxy.pass(301);
        let due = proxy.due(0);
        assert_eq!(proxy.answer(0, &due[0], Some(wrong)), Fetched::NoKeys, "{:.40}", wrong);
        assert_eq!(proxy.ask(0, "k1"), "ok");
    }
}

#[test]
fn keys_that_are_not_ours_to_use_are_passed_over() {
    let mut proxy = Proxy::new();
    let mut jwks: Value = serde_json::from_str(&proxy.jwks(&["k1"])).unwrap();
    let list = jwks["keys"].as_array_mut().unwrap();
    let mut twin: Value = serde_json::from_str(&proxy.jwks(&["k2"])).unwrap();
    twin["keys"][0]["kid"] = json!("k1");
    list.push(twin["keys"][0].clone());
    list.insert(0, json!({"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB", "kid": "k1"}));
    list.insert(0, json!("no key at all"));
    let jwks = jwks.to_string();
    assert_eq!(proxy.fetch(0, Some(&jwks)), 1);
    assert_eq!(proxy.ask(0, "k1"), "ok", "of a kid given twice the first that fits counts");
}

#[test]
fn a_worker_that_dies_loses_its_lease() {
    let mut proxy = Proxy::new();
    assert_eq!(proxy.due(0).len(), 1);
    proxy.pass(5);
    assert!(proxy.due(1).is_empty());
    proxy.pass(2);
    assert_eq!(proxy.due(1).len(), 1);
}

#[test]
fn what_others_write_into_the_store_is_not_believed() {
    let mut proxy = Proxy::new();
    let (good, evil) = (proxy.jwks(&["k1"]), proxy.jwks(&["k2"]));
    proxy.fetch(0, Some(&good));
    assert_eq!(proxy.ask(0, "k1"), "ok");
    let names = proxy.host.names();
    let of = |part: &str| names.iter().find(|name| name.ends_with(part)).unwrap().clone();
    let (keys, state) = (of("/keys"), of("/state"));
    let old = proxy.host.shared_get(&keys).unwrap().value;
    for garbage in [&b""[..], b"garbage", &[0xff; 4096], evil.as_bytes()] {
        for name in [&keys, &state] {
            let found = proxy.host.shared_get(name).unwrap();
            proxy.host.shared_set(name, garbage, found.cas).unwrap();
        }
        proxy.pass(2);
        for worker in [0, 1] {
            assert_ne!(proxy.ask(worker, "k2"), "ok");
            proxy.workers[worker].1.clear();
        }
        assert_eq!(proxy.ask(0, "k1"), "ok", "the worker's own copy stays");
        assert_eq!(proxy.fetch(1, Some(&good)), 1, "and the store is mended");
        assert_eq!(proxy.ask(1, "k1"), "ok");
    }
    // An old set under its own good seal does not come back.
    let both = proxy.jwks(&["k2"]);
    proxy.pass(301);
    assert_eq!(proxy.fetch(0, Some(&both)), 1);
    assert_eq!(proxy.ask(0, "k2"), "ok");
    let found = proxy.host.shared_get(&keys).unwrap();
    proxy.host.shared_set(&keys, &old, found.cas).unwrap();
    proxy.pass(2);
    assert_eq!(proxy.ask(0, "k2"), "ok");
    assert_eq!(proxy.ask(0, "k1"), "jwt.unavailable");
}

#[test]
fn two_policies_of_one_proxy_do_not_meet() {
    let mut proxy = Proxy::new();
    let good = proxy.jwks(&["k1"]);
    proxy.fetch(0, Some(&good));
    proxy.workers[1].0 = KeyRing::new("q", SECRET);
    assert_eq!(proxy.ask(1, "k1"), "wait");
    assert_eq!(proxy.due(1).len(), 1);
}

#[test]
fn an_answer_of_another_status_is_named_by_it() {
    for (status, name, words) in [
        (Some(404), "bad_status", "status 404"),
        (Some(500), "bad_status", "status 500"),
        // The proxy's own words for no connection and for a timeout.
        (Some(503), "no_answer", "no_answer"),
        (Some(504), "no_answer", "no_answer"),
        (None, "no_answer", "no_answer"),
    ] {
        let fetched = Fetched::NoAnswer.with_status(status);
        assert_eq!((fetched.name(), fetched.to_string().as_str()), (name, words));
    }
    assert_eq!(Fetched::NoKeys.with_status(Some(200)), Fetched::NoKeys);
}
