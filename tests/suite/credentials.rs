//! Where credentials are found, and the cache of verified tokens.

use crate::common;

use bartizan::authn::{Authentication, Authenticator, KeyRing, Principal, TokenCache};
use bartizan::host::{MemoryHost, Timestamp};
use bartizan::reason::Denial;
use common::hosts::{Broken, LaxHost};
use common::tokens::*;
use serde_json::{Value, json};

fn authenticate(authn: &Authenticator, headers: &[(&str, &[u8])]) -> Result<Principal, Denial> {
    let mut host = plain();
    let mut cache = TokenCache::new(&mut host).unwrap();
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), *value));
    match authn.authenticate(headers, &mut cache, &mut KeyRing::empty(), &mut host)? {
        Authentication::Known(principal) | Authentication::Unchecked(principal) => Ok((*principal).clone()),
        Authentication::NeedKeys | Authentication::Ask(_) => panic!("no issuer here publishes its keys"),
    }
}

#[test]
fn credentials_are_found_where_the_policy_says() {
    let signer = Signer::new();
    let of = |more: Value| {
        let mut section = json!({"issuers": [signer.issuer(&json!({}))], "tokenFrom": ["authorization", "x-api-key"]});
        section.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        try_compile(&section, &["analyst", "anonymous"]).unwrap()
    };
    let (strict, open) = (of(json!({})), of(json!({"unsafeAnonymous": true})));
    let (alice, bob) = (signer.sign(&claims(json!({}))), signer.sign(&claims(json!({"sub": "bob"}))));
    let bearer = format!("Bearer {alice}");
    let odd = format!("bEARER   {alice} ");
    let joined = format!("{bearer}, {bearer}");
    let mixed = format!("{bearer},Bearer {bob}");
    let huge = format!("Bearer {}", "a".repeat(8193));
    let (alice, bob, bearer) = (alice.as_bytes(), bob.as_bytes(), bearer.as_bytes());
    type Headers<'a> = &'a [(&'a str, &'a [u8])];
    let table: &[(&str, Headers<'_>, &str)] = &[
        ("bearer", &[("authorization", bearer)], "ok"),
        ("scheme without case", &[("Authorization", odd.as_bytes())], "ok"),
        ("bare token", &[("x-api-key", alice)], "ok"),
        ("the same twice", &[("authorization", bearer), ("x-api-key", alice)], "ok"),
        ("the same repeated", &[("authorization", bearer), ("authorization", bearer)], "ok"),
        ("the same joined", &[("authorization", joined.as_bytes())], "ok"),
        ("two", &[("authorization", bearer), ("x-api-key", bob)], "jwt.ambiguous"),
        ("two in repeated headers", &[("x-api-key", alice), ("x-api-key", bob)], "jwt.ambiguous"),
        ("two joined", &[("authorization", mixed.as_bytes())], "jwt.ambiguous"),
        ("one good, one bad", &[("authorization", bearer), ("x-api-key", b"sk-123")], "jwt.ambiguous"),
        ("another scheme", &[("authorization", b"Basic YTpi")], "jwt.malformed"),
        ("another scheme beside", &[("authorization", b"Basic YTpi"), ("x-api-key", alice)], "jwt.malformed"),
        ("bearer in a bare header", &[("x-api-key", bearer)], "jwt.malformed"),
        ("bare in authorization", &[("authorization", alice)], "jwt.malformed"),
        ("no token", &[("authorization", b"Bearer ")], "jwt.malformed"),
        ("scheme alone", &[("authorization", b"Bearer")], "jwt.malformed"),
        ("empty", &[("x-api-key", b"")], "jwt.malformed"),
        ("comma alone", &[("x-api-key", b",")], "jwt.malformed"),
        ("too long", &[("authorization", huge.as_bytes())], "jwt.malformed"),
        ("not UTF-8", &[("authorization", b"Bearer \xff\xfe.\x80.\xc3")], "jwt.malformed"),
        ("not UTF-8 scheme", &[("authorization", b"\xff\xff\xff\xff\xff\xff\xff\xff")], "jwt.malformed"),
        ("zero bytes", &[("x-api-key", b"\0\0\0")], "jwt.malformed"),
        ("elsewhere", &[("cookie", bearer), ("x-goog-api-key", alice)], "jwt.missing"),
        ("a name that looks alike", &[("x_api_key", alice)], "jwt.missing"),
        ("none", &[], "jwt.missing"),
    ];
    for (name, headers, expected) in table {
        assert_eq!(code(&authenticate(&strict, headers)), *expected, "{name}");
        // Without a credential an open policy lets in; a bad one is refused all the same.
        let expected = if *expected == "jwt.missing" { "ok" } else { expected };
        assert_eq!(code(&authenticate(&open, headers)), expected, "{name}, open");
    }
    let nobody = authenticate(&open, &[]).unwrap();
    assert!(nobody.is_anonymous());
    assert_eq!((nobody.subject(), nobody.issuer_index(), nobody.roles().len()), ("anonymous", None, 1));
    let default = compile(&json!({"issuers": [signer.issuer(&json!({}))]}));
    assert_eq!(code(&authenticate(&default, &[("x-api-key", alice)])), "jwt.missing");
    assert_eq!(code(&authenticate(&compile(&json!({"issuers": []})), &[("authorization", bearer)])), "jwt.issuer");
}

/// A host that counts signatures without ever checking one wrongly.
fn signatures(authn: &Authenticator, cache: &mut TokenCache, token: &str, at: Timestamp) -> (&'static str, usize) {
    let mut host = LaxHost { inner: MemoryHost::at(at), calls: 0 };
    let header = format!("Bearer {token}");
    let verdict =
        authn.authenticate([(&b"authorization"[..], header.as_bytes())], cache, &mut KeyRing::empty(), &mut host);
    (verdict.map_or_else(|denial| denial.reason.code(), |_| "ok"), host.calls)
}

#[test]
fn the_cache_saves_signatures_and_outlives_nothing() {
    let data = vectors();
    let find = |name: &str| {
        let all = data["vectors"].as_array().unwrap();
        all.iter().find(|vector| vector["name"] == name).unwrap()["token"].as_str().unwrap()
    };
    let (good, forged) = (find("ES256 by p256"), find("ES256 forged"));
    let authn = compile(&data["authn"]);
    let mut cache = TokenCache::new(&mut plain()).unwrap();
    let at = |secs: u64| Timestamp::from_secs(NOW + secs);
    assert_eq!(signatures(&authn, &mut cache, good, at(0)), ("ok", 1));
    assert_eq!(signatures(&authn, &mut cache, good, at(1)), ("ok", 0));
    assert_eq!(signatures(&authn, &mut cache, good, at(599)), ("ok", 0));
    // Past exp the cache is silent; the claims check may still allow for the skew.
    assert_eq!(signatures(&authn, &mut cache, good, at(600)), ("ok", 1));
    assert_eq!(signatures(&authn, &mut cache, good, at(659)), ("ok", 1));
    assert_eq!(signatures(&authn, &mut cache, good, at(660)), ("jwt.expired", 1));
    // A refusal is not remembered, and a neighbour of a good token is not that token.
    assert_eq!(signatures(&authn, &mut cache, forged, at(0)), ("jwt.signature", 1));
    assert_eq!(signatures(&authn, &mut cache, forged, at(0)), ("jwt.signature", 1));
    let neighbour = good.replacen('.', "..", 1);
    assert_eq!(signatures(&authn, &mut cache, &neighbour, at(1)), ("jwt.malformed", 0));
    // Another policy never finds what this one verified.
    let mut section = data["authn"].clone();
    section["issuers"][0]["audiences"] = json!(["llm", "more"]);
    let changed = compile(&section);
    assert_eq!(signatures(&changed, &mut cache, good, at(1)), ("ok", 1));
    let other_roles = try_compile(&data["authn"], &["intern", "analyst"]).unwrap();
    assert_eq!(signatures(&other_roles, &mut cache, good, at(1)), ("ok", 1));
    cache.clear();
    assert!(cache.is_empty());
    assert_eq!(signatures(&authn, &mut cache, good, at(1)), ("ok", 1));
}

#[test]
fn a_host_without_randomness_makes_no_cache() {
    assert!(TokenCache::new(&mut Broken { now: Timestamp::default(), has_randomness: false }).is_err());
}
