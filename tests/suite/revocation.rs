//! What an issuer revokes: several workers, one store, tokens that were verified before.
use bartizan::authn::{Authentication, Authenticator, Fetch, Fetched, KeyRing, TokenCache};
use bartizan::document::{self, Errors, KeyPath};
use bartizan::host::{Host, MemoryHost, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use jwt_simple::prelude::*;
use serde_json::{Value, json};

const START: u64 = 1_800_000_000;

struct Proxy {
    authn: Authenticator,
    host: MemoryHost,
    workers: Vec<(KeyRing, TokenCache)>,
    key: Ed25519KeyPair,
}

fn compile(revocation: &Value, key: &Ed25519KeyPair) -> Result<Authenticator, Vec<String>> {
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": B64.encode(key.public_key().to_bytes())});
    let section = json!({"issuers": [{"issuer": "https://idp.test", "audiences": ["llm"], "algorithms": ["EdDSA"],
        "jwks": {"inline": {"keys": [jwk]}}, "revocation": revocation}]});
    let section: document::Authn = serde_json::from_value(section).map_err(|error| vec![error.to_string()])?;
    let mut errors = Errors::default();
    let authn = Authenticator::compile(&section, &KeyPath::root().key("authn"), &["a".to_owned()], &mut errors);
    authn.ok_or_else(|| errors.into_vec().iter().map(ToString::to_string).collect())
}

impl Proxy {
    fn new(on_stale: &str) -> Proxy {
        let revocation = json!({"cluster": "idp", "authority": "idp.test", "path": "/revoked",
            "refresh": "30s", "timeout": "5s", "staleFor": "2m", "onStale": on_stale});
        let key = Ed25519KeyPair::generate();
        let authn = compile(&revocation, &key).unwrap();
        let mut host = MemoryHost::at(Timestamp::from_secs(START));
        let workers = (0..2).map(|_| (KeyRing::new("p", b"shared"), TokenCache::new(&mut host).unwrap())).collect();
        Proxy { authn, host, workers, key }
    }

    fn pass(&mut self, secs: u64) {
        self.host.now = Timestamp(self.host.now.0 + secs * 1_000_000_000);
    }

    /// `ok`, `unchecked`, `wait`, or the reason of the refusal.
    fn ask(&mut self, worker: usize, subject: &str, more: Value) -> &'static str {
        let mut claims = json!({"iss": "https://idp.test", "aud": "llm", "sub": subject, "exp": START + 100_000});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let text = format!("{}.{}", B64.encode(r#"{"alg":"EdDSA","kid":"k"}"#), B64.encode(claims.to_string()));
        let pair = jwt_simple::algorithms::EdDSAKeyPairLike::key_pair(&self.key);
        let signature = pair.as_ref().sk.sign(text.as_bytes(), None);
        let token = format!("Bearer {text}.{}", B64.encode(signature.as_ref()));
        let (ring, cache) = &mut self.workers[worker];
        match self.authn.authenticate([(&b"authorization"[..], token.as_bytes())], cache, ring, &mut self.host) {
            Ok(Authentication::Known(_)) => "ok",
            Ok(Authentication::Unchecked(_)) => "unchecked",
            Ok(Authentication::NeedKeys) => "wait",
            Ok(Authentication::Ask(_)) => "ask",
            Err(denial) => denial.reason.code(),
        }
    }

    fn due(&mut self, worker: usize) -> Vec<Fetch> {
        let now = self.host.now;
        self.workers[worker].0.due(&self.authn, now, &mut self.host)
    }

    /// One worker fetches what it must: what became of it.
    fn fetch(&mut self, worker: usize, body: Option<&str>) -> Vec<Fetched> {
        let now = self.host.now;
        let due = self.due(worker);
        let ring = &mut self.workers[worker].0;
        due.iter()
            .map(|fetch| ring.fetched(&self.authn, fetch, body.map(str::as_bytes), now, &mut self.host).0)
            .collect()
    }
}

#[test]
fn one_worker_fetches_the_list_and_all_refuse_by_it() {
    let mut proxy = Proxy::new("deny");
    let mine = || json!({"jti": "t1"});
    assert_eq!(proxy.ask(0, "amy", mine()), "wait");
    assert_eq!(proxy.fetch(0, Some(r#"{"jti":[]}"#)), [Fetched::Stored]);
    assert!(proxy.due(1).is_empty());
    for worker in [0, 1] {
        assert_eq!(proxy.ask(worker, "amy", mine()), "ok");
    }
    // Both workers have verified the token and remember it.
    proxy.pass(31);
    let list = json!({"jti": ["t1"], "sub": ["eve"], "issuedBefore": {"bob": START}}).to_string();
    assert_eq!(proxy.fetch(1, Some(&list)), [Fetched::Stored]);
    proxy.pass(1);
    for worker in [0, 1] {
        assert_eq!(proxy.ask(worker, "amy", mine()), "jwt.revoked");
        assert_eq!(proxy.ask(worker, "amy", json!({"jti": "t2"})), "ok");
        assert_eq!(proxy.ask(worker, "amy", json!({})), "ok");
        assert_eq!(proxy.ask(worker, "amy", json!({"jti": 7})), "jwt.claims");
        assert_eq!(proxy.ask(worker, "eve", json!({"iat": START})), "jwt.revoked");
        assert_eq!(proxy.ask(worker, "bob", json!({"iat": START})), "ok");
        assert_eq!(proxy.ask(worker, "bob", json!({"iat": START - 1})), "jwt.revoked");
        assert_eq!(proxy.ask(worker, "bob", json!({})), "jwt.revoked");
    }
    // And what leaves the list counts again.
    proxy.pass(31);
    assert_eq!(proxy.fetch(0, Some(r#"{"sub":[]}"#)), [Fetched::Stored]);
    proxy.pass(1);
    assert_eq!(proxy.ask(1, "amy", mine()), "ok");
}

#[test]
fn an_outage_is_survived_for_a_bounded_time_and_then_the_policy_decides() {
    for (on_stale, then) in [("deny", "wait"), ("allow", "unchecked")] {
        let mut proxy = Proxy::new(on_stale);
        assert_eq!(proxy.ask(0, "amy", json!({})), "wait", "nobody has asked yet");
        proxy.fetch(0, Some(r#"{"sub":["eve"]}"#));
        for _ in 0..14 {
            proxy.pass(10);
            for worker in [0, 1] {
                proxy.fetch(worker, None);
                assert_eq!(proxy.ask(worker, "amy", json!({})), "ok");
                assert_eq!(proxy.ask(worker, "eve", json!({})), "jwt.revoked");
            }
        }
        proxy.pass(11);
        assert_eq!(proxy.fetch(0, Some("<html>")), [Fetched::NoList]);
        for worker in [0, 1] {
            assert_eq!(proxy.ask(worker, "amy", json!({})), then);
            assert_eq!(proxy.ask(worker, "eve", json!({})), then);
        }
        proxy.pass(3);
        assert_eq!(proxy.fetch(1, Some(r#"{"sub":["eve"]}"#)), [Fetched::Stored]);
        proxy.pass(1);
        assert_eq!(proxy.ask(0, "eve", json!({})), "jwt.revoked");
        assert_eq!(proxy.ask(0, "amy", json!({})), "ok");
    }
}

#[test]
fn what_others_write_into_the_store_is_not_believed() {
    let mut proxy = Proxy::new("deny");
    proxy.fetch(0, Some(r#"{"sub":["eve"]}"#));
    assert_eq!(proxy.ask(0, "eve", json!({})), "jwt.revoked");
    for name in proxy.host.names() {
        for garbage in [&b""[..], b"{\"sub\":[]}", &[0; 72]] {
            let found = proxy.host.shared_get(&name).unwrap();
            proxy.host.shared_set(&name, garbage, found.cas).unwrap();
            proxy.pass(2);
            assert_eq!(proxy.ask(0, "eve", json!({})), "jwt.revoked", "its own copy stays");
            assert_ne!(proxy.ask(1, "eve", json!({})), "ok");
        }
    }
}

#[test]
fn a_place_must_be_whole() {
    let key = Ed25519KeyPair::generate();
    for (section, error) in [
        (json!({}), "authn.issuers[0].revocation.cluster: missing"),
        (json!({"cluster": "c", "authority": "a"}), "authn.issuers[0].revocation.path: missing"),
        (json!({"cluster": "c", "authority": "a", "path": "x"}), "revocation.path: not a path"),
        (json!({"cluster": "c", "authority": "a", "path": "/x", "refresh": "100ms"}), "revocation.refresh: out of"),
        (json!({"cluster": "c", "authority": "a", "path": "/x", "staleFor": "2d"}), "revocation.staleFor: out of"),
        (json!({"cluster": "c", "authority": "a", "path": "/x", "onStale": "maybe"}), "expected one of deny, allow"),
    ] {
        let errors = compile(&section, &key).unwrap_err();
        assert!(errors.iter().any(|one| one.contains(error)), "{section}: {errors:?}");
    }
    assert!(compile(&json!({"cluster": "c", "authority": "a", "path": "/x"}), &key).is_ok());
}
