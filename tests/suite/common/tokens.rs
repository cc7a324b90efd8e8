//! Issuers and tokens, for the tests of `authn`.

use std::path::PathBuf;

use bartizan::authn::{Authenticator, Principal};
use bartizan::document::{self, Errors, KeyPath};
use bartizan::host::{MemoryHost, Timestamp};
use bartizan::reason::Denial;
use base64::Engine as _;
use serde_json::{Value, json};

use super::hosts::LaxHost;

pub use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

/// When these tests are.
pub const NOW: u64 = 1_800_000_000;
pub const ISS: &str = "https://idp.test/realms/llm";

pub fn lax() -> LaxHost {
    LaxHost { inner: MemoryHost::at(Timestamp::from_secs(NOW)), calls: 0 }
}

pub fn plain() -> MemoryHost {
    MemoryHost::at(Timestamp::from_secs(NOW))
}

pub fn try_compile(authn: &Value, roles: &[&str]) -> Result<Authenticator, Vec<String>> {
    let section: document::Authn = serde_json::from_value(authn.clone()).unwrap();
    let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    let mut errors = Errors::default();
    let compiled = Authenticator::compile(&section, &KeyPath::root().key("authn"), &roles, &mut errors);
    let errors: Vec<String> = errors.into_vec().iter().map(ToString::to_string).collect();
    assert_eq!(compiled.is_none(), !errors.is_empty(), "{errors:?}");
    compiled.ok_or(errors)
}

pub const ROLES: [&str; 3] = ["analyst", "intern", "owner"];

pub fn compile(authn: &Value) -> Authenticator {
    try_compile(authn, &ROLES).unwrap()
}

/// Both ways to the same verdict.
pub fn verify(authn: &Authenticator, token: &str) -> Result<Principal, Denial> {
    let now = Timestamp::from_secs(NOW);
    let by_host = authn.verify(token.as_bytes(), now, &mut lax());
    let in_rust = authn.verify(token.as_bytes(), now, &mut plain());
    assert_eq!(by_host, in_rust, "{token}");
    in_rust
}

pub fn code(verdict: &Result<Principal, Denial>) -> &'static str {
    verdict.as_ref().map_or_else(|denial| denial.reason.code(), |_| "ok")
}

pub fn vectors() -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/jws/vectors.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A signer whose key is made anew: claims are what these tests are about.
pub struct Signer(ed25519_compact::KeyPair);

impl Signer {
    pub fn new() -> Signer {
        Signer(ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([7; 32])))
    }

    pub fn issuer(&self, more: &Value) -> Value {
        let mut issuer = json!({
            "name": "corp", "issuer": ISS, "audiences": ["llm", "llm2"], "algorithms": ["EdDSA"],
            "jwks": {"inline": {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": B64.encode(*self.0.pk)}]}},
        });
        issuer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        issuer
    }

    pub fn authn(&self, more: &Value) -> Authenticator {
        compile(&json!({"issuers": [self.issuer(more)]}))
    }

    pub fn sign(&self, claims: &Value) -> String {
        let signed = format!("{}.{}", B64.encode(r#"{"alg":"EdDSA","kid":"k1"}"#), B64.encode(claims.to_string()));
        let signature = self.0.sk.sign(&signed, None);
        format!("{signed}.{}", B64.encode(*signature))
    }
}

/// Good claims, some of them changed; null takes a claim away.
pub fn claims(changes: Value) -> Value {
    let mut claims =
        json!({"iss": ISS, "aud": "llm", "sub": "alice", "iat": NOW, "exp": NOW + 600, "roles": ["analyst"]});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}
