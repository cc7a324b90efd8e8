//! Any bytes as a token, as a header, and as the signed claims of a token.
//!
//! Nothing may panic, a token that nobody signed is refused, and a caller that comes out of signed
//! claims is one that the claims check may let in.

#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use bartizan::authn::{Authenticator, MAX_NAME_BYTES};
use bartizan::document::{self, Errors, KeyPath};
use bartizan::host::{MemoryHost, Timestamp};
use ed25519_compact::{KeyPair, Seed};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

static KEYS: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::from_seed(Seed::new([7; 32])));

static AUTHN: LazyLock<Authenticator> = LazyLock::new(|| {
    let section = serde_json::json!({
        "issuers": [{
            "issuer": "i", "audiences": ["a"], "algorithms": ["EdDSA", "RS256"],
            "jwks": {"inline": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": B64.encode(*KEYS.pk)}]}},
            "claims": {"tenant": "/t", "roles": "/r/0"}, "grants": {"tenants": ["a*"]},
        }],
        "tokenFrom": ["authorization", "x-api-key"],
    });
    let section: document::Authn = serde_json::from_value(section).expect("a good section");
    let roles = ["one".to_owned(), "two".to_owned()];
    Authenticator::compile(&section, &KeyPath::root(), &roles, &mut Errors::default()).expect("a good section")
});

fuzz_target!(|data: &[u8]| {
    let mut host = MemoryHost::at(NOW);
    assert!(AUTHN.verify(data, NOW, &mut host).is_err());
    let _ = AUTHN.credential([(&b"authorization"[..], data), (data, &b"x"[..]), (&b"X-Api-Key"[..], data)]);

    let signed = format!("{}.{}", B64.encode(r#"{"alg":"EdDSA"}"#), B64.encode(data));
    let token = format!("{signed}.{}", B64.encode(*KEYS.sk.sign(&signed, None)));
    if let Ok(caller) = AUTHN.verify(token.as_bytes(), NOW, &mut host) {
        assert!((1..=MAX_NAME_BYTES).contains(&caller.subject().len()));
        assert!(caller.tenant().is_none_or(|tenant| tenant.starts_with('a')));
        assert!(caller.roles().len() <= 2 && !caller.is_anonymous());
        assert!(caller.expires().as_secs() + 60 >= NOW.as_secs());
    }
});
