//! Credentials and tokens, through the public face of `authn`. Every vector is judged twice: by a host
//! that checks signatures as Envoy does, and without one. Both must say the same.

use crate::common;

use bartizan::host::{Host as _, Timestamp};
use bartizan::reason::Reason;
use base64::Engine as _;
use common::tokens::*;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn every_vector_comes_to_what_it_must_on_both_ways() {
    let data = vectors();
    assert_eq!(data["now"], NOW);
    let authn = compile(&data["authn"]);
    let mut wrong = Vec::new();
    for vector in data["vectors"].as_array().unwrap() {
        let verdict = verify(&authn, vector["token"].as_str().unwrap());
        if code(&verdict) != vector["expect"] {
            wrong.push(format!("{}: expected {}, got {}", vector["name"], vector["expect"], code(&verdict)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_host_is_asked_where_it_can_answer_and_nowhere_else() {
    let data = vectors();
    let authn = compile(&data["authn"]);
    for vector in data["vectors"].as_array().unwrap() {
        let mut host = lax();
        let _ = authn.verify(vector["token"].as_str().unwrap().as_bytes(), host.now(), &mut host);
        let alg = vector["name"].as_str().unwrap().split(' ').next().unwrap();
        if vector["expect"] == "ok" && vector["name"].as_str().unwrap().starts_with(&format!("{alg} by ")) {
            assert_eq!(host.calls, usize::from(alg.starts_with("RS") || alg.starts_with("ES")), "{}", vector["name"]);
        }
        if !["ok", "jwt.signature"].iter().any(|expect| vector["expect"] == *expect) {
            assert_eq!(host.calls, 0, "{}", vector["name"]);
        }
    }
}

/// RFC 7515 appendices A.2 and A.3: right signatures over claims without an audience.
#[test]
fn the_examples_of_rfc_7515_verify() {
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rs256 = format!(
        "eyJhbGciOiJSUzI1NiJ9.{payload}.{}",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZ\
         cAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-e\
         OkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    let es256 = format!(
        "eyJhbGciOiJFUzI1NiJ9.{payload}.\
         DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    let authn = compile(&json!({"issuers": [{
        "issuer": "joe", "audiences": ["llm"], "algorithms": ["RS256", "ES256"],
        "jwks": {"inline": {"keys": [
            {"kty": "RSA", "e": "AQAB", "n": concat!(
                "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNM",
                "sD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtd",
                "VMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ")},
            {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
             "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
        ]}},
    }]}));
    // The audience is looked at behind the signature.
    assert_eq!(code(&verify(&authn, &rs256)), "jwt.audience");
    assert_eq!(code(&verify(&authn, &es256)), "jwt.audience");
    assert_eq!(code(&verify(&authn, &rs256.replace(".cC4h", ".cC4i"))), "jwt.signature");
    assert_eq!(code(&verify(&authn, &es256.replace(".DtEh", ".DtEi"))), "jwt.signature");
    // RFC 7519 sections 3.1 (HS256) and 6.1 (alg none).
    let hs256 = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl\
                 LmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert_eq!(code(&verify(&authn, hs256)), "jwt.algorithm");
    assert_eq!(code(&verify(&authn, &format!("eyJhbGciOiJub25lIn0.{payload}."))), "jwt.algorithm");
}

#[test]
fn claims_come_to_what_they_must() {
    let signer = Signer::new();
    let authn = signer.authn(&json!({"claims": {"tenant": "/org"}, "grants": {"tenants": ["acme", "team-*"]}}));
    let long = |len: usize| "x".repeat(len);
    let table = [
        (json!({}), "ok"),
        // Times. The skew is 60 s; on the very second of exp + skew it is over.
        (json!({"exp": null}), "jwt.claims"),
        (json!({"exp": "1900000000"}), "jwt.claims"),
        (json!({"exp": true}), "jwt.claims"),
        (json!({"exp": [NOW + 600]}), "jwt.claims"),
        (json!({"exp": 1e30}), "jwt.claims"),
        (json!({"exp": u64::MAX}), "jwt.claims"),
        (json!({"exp": 18_446_744_073_u64}), "jwt.claims"),
        (json!({"exp": 18_446_744_072_u64}), "ok"),
        (json!({"exp": -1}), "jwt.expired"),
        (json!({"exp": i64::MIN}), "jwt.expired"),
        (json!({"exp": -1e300}), "jwt.expired"),
        (json!({"exp": 0}), "jwt.expired"),
        (json!({"exp": NOW - 60}), "jwt.expired"),
        (json!({"exp": NOW - 59}), "ok"),
        (json!({"exp": NOW as f64 - 59.5}), "ok"),
        (json!({"exp": NOW as f64 + 0.5}), "ok"),
        (json!({"nbf": NOW + 60}), "ok"),
        (json!({"nbf": NOW + 61}), "jwt.notYetValid"),
        (json!({"nbf": NOW as f64 + 60.5}), "jwt.notYetValid"),
        (json!({"nbf": -5}), "ok"),
        (json!({"nbf": "0"}), "jwt.claims"),
        (json!({"nbf": 1e40}), "jwt.claims"),
        (json!({"iat": null}), "ok"),
        (json!({"iat": NOW + 60}), "ok"),
        (json!({"iat": NOW + 61}), "jwt.notYetValid"),
        (json!({"iat": "now"}), "jwt.claims"),
        // Issuer and audience.
        (json!({"iss": null}), "jwt.issuer"),
        (json!({"iss": 1}), "jwt.issuer"),
        (json!({"iss": [ISS]}), "jwt.issuer"),
        (json!({"iss": format!("{ISS}/")}), "jwt.issuer"),
        (json!({"iss": ISS.to_uppercase()}), "jwt.issuer"),
        (json!({"iss": "https://evil.test"}), "jwt.issuer"),
        (json!({"aud": null}), "jwt.audience"),
        (json!({"aud": 1}), "jwt.audience"),
        (json!({"aud": ""}), "jwt.audience"),
        (json!({"aud": "llm3"}), "jwt.audience"),
        (json!({"aud": "LLM"}), "jwt.audience"),
        (json!({"aud": "llm llm2"}), "jwt.audience"),
        (json!({"aud": []}), "jwt.audience"),
        (json!({"aud": ["account"]}), "jwt.audience"),
        (json!({"aud": ["llm", 1]}), "jwt.audience"),
        (json!({"aud": [["llm"]]}), "jwt.audience"),
        (json!({"aud": {"llm": true}}), "jwt.audience"),
        (json!({"aud": ["account", "llm2"]}), "ok"),
        // Subject.
        (json!({"sub": null}), "jwt.claims"),
        (json!({"sub": ""}), "jwt.claims"),
        (json!({"sub": 42}), "jwt.claims"),
        (json!({"sub": ["alice"]}), "jwt.claims"),
        (json!({"sub": long(256)}), "ok"),
        (json!({"sub": long(257)}), "jwt.claims"),
        (json!({"sub": "é".repeat(129)}), "jwt.claims"),
        // Tenant.
        (json!({"org": "acme"}), "ok"),
        (json!({"org": "team-a"}), "ok"),
        (json!({"org": "other"}), "jwt.claims"),
        (json!({"org": "ACME"}), "jwt.claims"),
        (json!({"org": ""}), "jwt.claims"),
        (json!({"org": 7}), "jwt.claims"),
        (json!({"org": ["acme"]}), "jwt.claims"),
        (json!({"org": format!("team-{}", long(252))}), "jwt.claims"),
        // Roles.
        (json!({"roles": null}), "ok"),
        (json!({"roles": []}), "ok"),
        (json!({"roles": ""}), "ok"),
        (json!({"roles": ["analyst", 1]}), "jwt.claims"),
        (json!({"roles": {"analyst": true}}), "jwt.claims"),
        (json!({"roles": 1}), "jwt.claims"),
        (json!({"roles": vec!["analyst"; 400]}), "ok"),
        (json!({"roles": vec!["a"; 1025]}), "jwt.claims"),
    ];
    for (changes, expected) in table {
        assert_eq!(code(&verify(&authn, &signer.sign(&claims(changes.clone())))), expected, "{changes}");
    }
}

#[test]
fn a_principal_is_what_the_issuer_says_and_may_say() {
    let signer = Signer::new();
    let keycloak = json!({
        "claims": {"roles": "/realm_access/roles", "tenant": "/https:~1~1idp.test~1tenant", "subject": "/preferred"},
        "grants": {"roles": ["owner", "analyst"]},
    });
    let authn = signer.authn(&keycloak);
    let token = signer.sign(&claims(json!({
        "preferred": "alice@corp", "realm_access": {"roles": ["offline_access", "owner", "intern", "analyst", "owner"]},
        "https://idp.test/tenant": "acme", "exp": NOW as f64 + 1.25,
    })));
    let alice = verify(&authn, &token).unwrap();
    assert_eq!((alice.subject(), alice.tenant()), ("alice@corp", Some("acme")));
    // Sorted, each once; `intern` is a role that this issuer may not give.
    assert_eq!(alice.roles().iter().map(|role| ROLES[usize::from(role.0)]).collect::<Vec<_>>(), ["analyst", "owner"]);
    assert_eq!((alice.issuer_name(), alice.issuer_index(), alice.key_id()), ("corp", Some(0), Some("k1")));
    assert_eq!(alice.expires(), Timestamp(NOW * 1_000_000_000 + 1_250_000_000));
    assert!(!alice.is_anonymous());

    let text = signer.authn(&json!({"claims": {"roles": "/scope"}}));
    let spaced = verify(&text, &signer.sign(&claims(json!({"scope": " openid  intern analyst "})))).unwrap();
    assert_eq!(spaced.roles().len(), 2);
    assert_eq!(spaced.tenant(), None);
    let none = signer.authn(&json!({"grants": {"roles": []}}));
    assert!(verify(&none, &signer.sign(&claims(json!({})))).unwrap().roles().is_empty());
}

#[test]
fn required_claims_are_required() {
    let signer = Signer::new();
    let authn = signer.authn(&json!({"requiredClaims": [
        {"pointer": "/email_verified", "oneOf": [true]},
        {"pointer": "/amr/0"},
        {"pointer": "/level", "oneOf": [2, "high"]},
    ]}));
    let good = json!({"email_verified": true, "amr": ["otp"], "level": "high"});
    let with = |name: &str, value: Value| {
        let mut changes = good.clone();
        changes[name] = value;
        code(&verify(&authn, &signer.sign(&claims(changes))))
    };
    assert_eq!(with("level", json!(2)), "ok");
    for (name, value) in [
        ("email_verified", json!("true")),
        ("email_verified", json!(false)),
        ("amr", json!([])),
        ("amr", json!([null])),
        ("level", json!(["high"])),
        ("level", json!(3)),
    ] {
        assert_eq!(with(name, value.clone()), "jwt.claims", "{name} {value}");
    }
}

/// One `iss`, two audiences: the audience picks the entry, and with it what the token may do.
#[test]
fn issuers_with_one_iss_are_told_apart_by_audience() {
    let signer = Signer::new();
    let apps = signer.issuer(&json!({"name": "apps", "audiences": ["apps"], "grants": {"roles": ["intern"]}}));
    let people = signer.issuer(&json!({"name": "people", "audiences": ["people"], "grants": {"roles": ["owner"]}}));
    let authn = compile(&json!({"issuers": [apps, people]}));
    let of = |aud: Value| verify(&authn, &signer.sign(&claims(json!({"aud": aud, "roles": ["owner", "intern"]}))));
    assert_eq!(of(json!("people")).unwrap().issuer_name(), "people");
    assert_eq!(of(json!("people")).unwrap().roles().len(), 1);
    assert_eq!(of(json!(["people", "apps"])).unwrap().issuer_name(), "apps");
    assert_eq!(code(&of(json!("others"))), "jwt.audience");
    // Still one person: the identity is the issuer's, not the entry's.
    assert_eq!(of(json!("people")).unwrap().identity(), of(json!("apps")).unwrap().identity());
}

#[test]
fn a_broken_section_says_what_is_wrong_and_where() {
    let data = vectors();
    let all = data["authn"]["issuers"][0]["jwks"]["inline"]["keys"].as_array().unwrap();
    let (rsa, p256, ed) = (&all[0], &all[3], &all[5]);
    let keys = |keys: Value| json!({"algorithms": ["RS256", "ES256", "EdDSA"], "jwks": {"inline": {"keys": keys}}});
    let with = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        keys(json!([key]))
    };
    let table = [
        (json!({"issuer": null}), "issuer: missing, but required"),
        (json!({"issuer": ""}), "issuer: empty"),
        (json!({"name": ""}), "name: empty"),
        (json!({"audiences": null}), "audiences: missing, but required"),
        (json!({"audiences": []}), "audiences: empty, so no token of this issuer could be accepted"),
        (json!({"audiences": ["llm", ""]}), "audiences[1]: empty"),
        (json!({"jwks": null}), "jwks: missing, but required"),
        (json!({"jwks": {}}), "jwks: neither inline nor cluster, expected one of them"),
        (
            json!({"algorithms": ["ES256"], "jwks": {"inline": keys(json!([p256]))["jwks"]["inline"], "refresh": "1m"}}),
            "jwks.refresh: only with cluster, but the keys are inline",
        ),
        (json!({"jwks": {"cluster": "idp", "authority": "idp"}}), "jwks.path: missing, but required"),
        (
            json!({"jwks": {"cluster": "idp", "authority": "idp", "path": "jwks"}}),
            "jwks.path: not a path such as /.well-known/jwks.json",
        ),
        (
            json!({"jwks": {"cluster": "idp", "authority": "idp", "path": "/jwks", "refresh": "1s"}}),
            "jwks.refresh: out of bounds, expected 10s to 24h",
        ),
        (json!({"jwks": {"inline": {}}}), "jwks.inline.keys: missing, but required"),
        (keys(json!([])), "jwks.inline.keys: empty, so no token of this issuer could be accepted"),
        (keys(json!([rsa, p256, rsa])), "jwks.inline.keys[2].kid: the same kid as key 0 of this set"),
        (keys(json!([{}])), "KEY.kty: missing, but required"),
        (with(rsa, "kty", json!(1)), "KEY.kty: expected a string"),
        (with(rsa, "kty", json!("oct")), "KEY.kty: key type \"oct\" is not one of RSA, EC, OKP"),
        (keys(json!([{"kty": "oct", "k": "AAAA"}])), "KEY.k: PRIVATE"),
        (with(rsa, "d", json!("AAAA")), "KEY.d: PRIVATE"),
        (with(ed, "d", json!("")), "KEY.d: PRIVATE"),
        (with(rsa, "n", json!("AQAB")), "KEY.n: an RSA key of 17 bits, expected 2048 to 4096"),
        (with(rsa, "n", json!("A B")), "KEY.n: expected base64url"),
        (with(rsa, "e", json!("Aw")), "KEY.e: expected AQAB (65537)"),
        (with(rsa, "use", json!("enc")), "KEY.use: expected \"sig\": this key is not for signatures"),
        (with(rsa, "key_ops", json!(["sign"])), "KEY.key_ops: expected a list that holds \"verify\""),
        (with(rsa, "kid", json!(7)), "KEY.kid: expected a string of 1 to 256 bytes"),
        (with(rsa, "alg", json!("RS512")), "KEY.alg: \"RS512\" is not one of the issuer's algorithms"),
        (with(rsa, "alg", json!("HS256")), "KEY.alg: \"HS256\" is not one of the issuer's algorithms"),
        (with(rsa, "alg", json!("ES256")), "KEY.alg: ES256 does not fit a key of this type and curve"),
        (keys(json!([data["p521"]])), "KEY.crv: curve \"P-521\" is not one of P-256, P-384"),
        (with(p256, "crv", json!("P-384")), "KEY.x: 32 bytes, expected 48"),
        (with(p256, "y", p256["x"].clone()), "KEY.x: x and y are not a point on P-256"),
        (with(ed, "crv", json!("X25519")), "KEY.crv: curve \"X25519\" is not Ed25519"),
        (with(ed, "x", json!("AAAA")), "KEY.x: not an Ed25519 key"),
        (json!({"algorithms": ["RS256"]}), "KEY: none of the issuer's algorithms fits a key of this type and curve"),
        (json!({"claims": {"subject": "sub"}}), "claims.subject: \"sub\" is not POINTER"),
        (json!({"claims": {"roles": "/a~2"}}), "claims.roles: \"/a~2\" is not POINTER"),
        (json!({"claims": {"tenant": ""}}), "claims.tenant: \"\" is not POINTER"),
        (
            json!({"grants": {"roles": ["analyst", "analist"]}}),
            "grants.roles[1]: role \"analist\" does not exist in roles, expected one of analyst, intern, owner",
        ),
        (json!({"grants": {"tenants": ["*"]}}), "grants.tenants: without claims.tenant no token has a tenant"),
        (json!({"requiredClaims": [{}]}), "requiredClaims[0].pointer: missing, but required"),
        (json!({"requiredClaims": [{"pointer": "x"}]}), "requiredClaims[0].pointer: \"x\" is not POINTER"),
        (
            json!({"requiredClaims": [{"pointer": "/x", "oneOf": []}]}),
            "requiredClaims[0].oneOf: empty, so no token of this issuer could be accepted",
        ),
    ];
    let signer = Signer::new();
    let written_out = |short: &str| {
        let long = short
            .replace("KEY", "jwks.inline.keys[0]")
            .replace("POINTER", "a JSON Pointer such as /realm_access/roles (RFC 6901)")
            .replace("PRIVATE", "private or symmetric key material, expected the public members only");
        format!("authn.issuers[0].{long}")
    };
    for (changes, expected) in table {
        let found = try_compile(&json!({"issuers": [signer.issuer(&changes)]}), &ROLES).unwrap_err();
        assert_eq!(found, [written_out(expected)], "{changes}");
    }
    assert_eq!(
        try_compile(&data["weakAuthn"], &ROLES).unwrap_err(),
        [written_out("KEY.n: an RSA key of 1024 bits, expected 2048 to 4096")]
    );
    // All at once.
    let changes = json!({"audiences": [], "algorithms": [], "claims": {"roles": "x"}, "grants": {"roles": ["nobody"]}});
    assert_eq!(try_compile(&json!({"issuers": [signer.issuer(&changes)]}), &ROLES).unwrap_err().len(), 5);
}

#[test]
fn a_broken_frame_says_what_is_wrong_and_where() {
    let issuer = Signer::new().issuer(&json!({}));
    let mut other = Signer::new().issuer(&json!({"name": "other", "audiences": ["llm2", "llm3"]}));
    for (section, expected) in [
        (
            json!({}),
            "authn.issuers: missing, but required unless there are apiKeys or workloads, or unsafeAnonymous is true",
        ),
        (json!({"issuers": [], "clockSkew": "301s"}), "authn.clockSkew: too long, expected at most 5m"),
        (json!({"issuers": [], "tokenFrom": []}), "authn.tokenFrom: empty, expected at least one header"),
        (
            json!({"issuers": [], "tokenFrom": ["x-api-key", "Authorization"]}),
            "authn.tokenFrom[1]: \"Authorization\" is not a header name in lower case",
        ),
        (json!({"issuers": [], "tokenFrom": ["a", "a"]}), "authn.tokenFrom[1]: \"a\" is in the list twice"),
        (
            json!({"issuers": [issuer, other]}),
            "authn.issuers[1].issuer: the same issuer as authn.issuers[0], with an audience in common",
        ),
    ] {
        assert_eq!(try_compile(&section, &ROLES).unwrap_err(), [expected]);
    }
    assert!(try_compile(&json!({"unsafeAnonymous": true}), &["anonymous"]).is_ok());
    other["audiences"] = json!(["llm3"]);
    assert!(try_compile(&json!({"issuers": [issuer, other]}), &ROLES).is_ok());
    other["name"] = json!("corp");
    assert_eq!(
        try_compile(&json!({"issuers": [issuer, other]}), &ROLES).unwrap_err(),
        ["authn.issuers[1].name: the same name as authn.issuers[0]"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_panic(token in prop::collection::vec(any::<u8>(), 0..300)) {
        let authn = Signer::new().authn(&json!({}));
        prop_assert!(authn.verify(&token, Timestamp::from_secs(NOW), &mut plain()).is_err());
        let _ = authn.credential([(&b"authorization"[..], &token[..]), (&token[..], &b"x"[..])]);
    }

    #[test]
    fn no_parts_panic(header in ".{0,60}", payload in ".{0,60}", signature in prop::collection::vec(any::<u8>(), 0..80)) {
        let authn = Signer::new().authn(&json!({}));
        let token = format!("{}.{}.{}", B64.encode(header), B64.encode(payload), B64.encode(signature));
        prop_assert!(authn.verify(token.as_bytes(), Timestamp::from_secs(NOW), &mut plain()).is_err());
    }

    #[test]
    fn a_flipped_bit_is_refused(place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let signer = Signer::new();
        let authn = signer.authn(&json!({}));
        let mut token = signer.sign(&claims(json!({}))).into_bytes();
        let place = place.index(token.len());
        token[place] ^= 1 << bit;
        prop_assert!(authn.verify(&token, Timestamp::from_secs(NOW), &mut plain()).is_err());
    }

    #[test]
    fn any_cut_is_refused(from in any::<prop::sample::Index>(), len in 1usize..40) {
        let signer = Signer::new();
        let authn = signer.authn(&json!({}));
        let token = signer.sign(&claims(json!({})));
        let from = from.index(token.len());
        let to = (from + len).min(token.len());
        let cut = [&token[..from], &token[to..]].concat();
        prop_assert!(authn.verify(cut.as_bytes(), Timestamp::from_secs(NOW), &mut plain()).is_err());
    }

    #[test]
    fn claims_of_any_shape_never_panic(claims in shapes()) {
        let signer = Signer::new();
        let authn = signer.authn(&json!({"claims": {"tenant": "/org"}, "grants": {"tenants": ["a*"]}}));
        let mut claims = claims;
        claims.insert("iss".to_owned(), json!(ISS));
        let verdict = authn.verify(signer.sign(&Value::Object(claims)).as_bytes(), Timestamp::from_secs(NOW), &mut plain());
        if let Err(denial) = verdict {
            prop_assert_ne!(denial.reason, Reason::Internal);
        }
    }
}

/// Objects with the names that matter and values of every type.
fn shapes() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z]{0,8}".prop_map(Value::from),
        Just(json!("llm")),
        Just(json!(NOW + 5)),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let name = prop::sample::select(vec!["aud", "exp", "nbf", "iat", "sub", "roles", "org"]);
    prop::collection::btree_map(name.prop_map(str::to_owned), value, 0..7).prop_map(|map| map.into_iter().collect())
}
