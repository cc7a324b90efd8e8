//! Tokens as issuers send them: audiences, roles and keys in the forms that are met in the field.

use crate::common;

use bartizan::authn::Authenticator;
use bartizan::document::{self, Errors, KeyPath};
use bartizan::host::{MemoryHost, Timestamp};
use common::pipeline::{NOW, Pipeline, ask, base64};
use jwt_simple::algorithms::EdDSAKeyPairLike as _;
use jwt_simple::prelude::*;
use serde_json::{Value, json};

fn post(pipeline: &mut Pipeline, token: &str) -> (String, Value, Value) {
    let bearer = format!("Bearer {token}");
    let body = ask("hi").to_string();
    let run = pipeline.post("/v1/chat/completions", &[("authorization", &bearer)], body.as_bytes());
    let told = run.outcome.as_ref().err().map_or(Value::Null, |reply| serde_json::from_slice(&reply.body).unwrap());
    (run.reason().to_owned(), run.record(), told)
}

fn claims(more: Value) -> Value {
    let mut claims =
        json!({ "iss": "https://idp.example", "aud": "llm", "sub": "alice", "roles": ["analyst"], "exp": NOW + 600 });
    for (key, value) in more.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(key),
            value => claims.as_object_mut().unwrap().insert(key.clone(), value.clone()),
        };
    }
    claims
}

#[test]
fn an_audience_stands_where_the_issuer_puts_it() {
    for (set, more, reason) in [
        (json!(["client_id"]), json!({ "aud": null, "client_id": "llm", "token_use": "access" }), ""),
        (json!(["client_id"]), json!({ "aud": null, "client_id": "llm" }), ""),
        (json!(["cid", "client_id"]), json!({ "aud": null, "client_id": "llm" }), ""),
        (json!(["client_id"]), json!({ "aud": null, "client_id": "other", "token_use": "access" }), "jwt.audience"),
        (json!(["client_id"]), json!({ "aud": null, "client_id": ["llm"] }), "jwt.audience"),
        (json!(["client_id"]), json!({ "aud": null }), "jwt.audience"),
        // An ID token of the same client is no access token.
        (json!(["client_id"]), json!({ "aud": "llm", "token_use": "id" }), "jwt.audience"),
        (json!(["client_id"]), json!({ "aud": null, "client_id": "llm", "token_use": "id" }), "jwt.audience"),
        // What `aud` says counts where it is there.
        (json!(["client_id"]), json!({ "aud": "other", "client_id": "llm" }), "jwt.audience"),
        (Value::Null, json!({ "aud": null, "client_id": "llm", "token_use": "access" }), "jwt.audience"),
        (Value::Null, json!({ "token_use": "id" }), ""),
    ] {
        let mut pipeline = Pipeline::new(|document| {
            if !set.is_null() {
                document["authn"]["issuers"][0]["audienceClaims"] = set.clone();
            }
        });
        let token = pipeline.sign(&claims(more.clone()));
        assert_eq!(post(&mut pipeline, &token).0, reason, "{set} {more}");
    }
}

#[test]
fn a_role_counts_for_its_own_organisation() {
    const CLAIM: &str = "urn:zitadel:iam:org:project:roles";
    const ORG: &str = "urn:zitadel:iam:user:resourceowner:id";
    let given = |org: &str| json!({ "analyst": { org: format!("{org}.example") }, "unknown": { "1": "x" } });
    for (by_tenant, roles, org, reason) in [
        (false, given("17"), json!(null), ""),
        (false, json!({ "analyst": {} }), json!(null), "rbac.operation"),
        (true, given("17"), json!("17"), ""),
        (true, given("17"), json!("17.example"), ""),
        (true, given("17"), json!("18"), "rbac.operation"),
        (true, given("17"), json!(null), "rbac.operation"),
        (false, json!({ "analyst": true }), json!(null), "jwt.claims"),
        (false, json!({ "analyst": ["17"] }), json!(null), "jwt.claims"),
    ] {
        let mut pipeline = Pipeline::new(|document| {
            let places = &mut document["authn"]["issuers"][0]["claims"];
            *places = json!({ "roles": format!("/{CLAIM}") });
            if by_tenant {
                places["tenant"] = format!("/{ORG}").into();
            }
        });
        let token = pipeline.sign(&claims(json!({ CLAIM: roles, ORG: org })));
        assert_eq!(post(&mut pipeline, &token).0, reason, "{roles} {org}");
    }
}

/// The issuers of the manual's example for Microsoft Entra, with the keys of this policy.
fn entra(document: &mut Value) {
    let page = include_str!("../../src/manual/identity.md");
    let (_, example) = page.split_once("<!-- entra -->").expect("the mark before the example");
    let yaml = example.split("```").nth(1).and_then(|block| block.strip_prefix("yaml\n")).expect("an example");
    let authn: Value = serde_norway::from_str(yaml).unwrap();
    let keys = document["authn"]["issuers"][0]["jwks"].clone();
    document["authn"]["issuers"] = authn["authn"]["issuers"].clone();
    for issuer in document["authn"]["issuers"].as_array_mut().unwrap() {
        issuer["jwks"] = keys.clone();
        issuer["algorithms"] = json!(["EdDSA"]);
    }
}

#[test]
fn entra_tokens_of_both_versions_say_who_calls() {
    const TENANT: &str = "11111111-2222-3333-4444-555555555555";
    const CLIENT: &str = "66666666-7777-8888-9999-000000000000";
    let (v1, v2) =
        (format!("https://sts.windows.net/{TENANT}/"), format!("https://login.microsoftonline.com/{TENANT}/v2.0"));
    let api = format!("api://{CLIENT}");
    for (iss, aud, more, reason) in [
        (v2.as_str(), CLIENT, json!({ "roles": ["analyst"], "ver": "2.0" }), ""),
        (&v1, &api, json!({ "roles": ["analyst"], "ver": "1.0" }), ""),
        // A scope is what the user let the application do, and no role.
        (&v2, CLIENT, json!({ "scp": "analyst", "roles": null }), "rbac.operation"),
        // Application roles that the policy does not know grant nothing.
        (&v2, CLIENT, json!({ "roles": ["Admin.All"] }), "rbac.operation"),
        // Each version has an audience of its own.
        (&v2, "https://cognitiveservices.azure.com", json!({ "roles": ["analyst"] }), "jwt.audience"),
        (&v1, CLIENT, json!({ "roles": ["analyst"] }), "jwt.audience"),
        (&v2, &api, json!({ "roles": ["analyst"] }), "jwt.audience"),
        // Another tenant's token, and one without the slash that version 1 ends with.
        ("https://sts.windows.net/99999999-2222-3333-4444-555555555555/", &api, json!({}), "jwt.issuer"),
        (v1.trim_end_matches('/'), &api, json!({}), "jwt.issuer"),
    ] {
        let mut pipeline = Pipeline::new(entra);
        let mut claims = claims(more.clone());
        (claims["iss"], claims["aud"]) = (iss.into(), aud.into());
        (claims["tid"], claims["oid"]) = (TENANT.into(), "alice".into());
        let token = pipeline.sign(&claims);
        let (found, record, _) = post(&mut pipeline, &token);
        assert_eq!(found, reason, "{iss} {aud} {more}");
        assert!(!reason.is_empty() || record["organization.id"].is_string(), "{record}");
    }
}

#[test]
fn an_overage_of_groups_is_named() {
    for (more, named) in [
        (json!({ "roles": null, "_claim_names": { "groups": "src1" }, "_claim_sources": { "src1": {} } }), true),
        (json!({ "roles": null, "hasgroups": true }), true),
        (json!({ "roles": null }), false),
    ] {
        let mut pipeline =
            Pipeline::new(|document| document["authn"]["issuers"][0]["claims"] = json!({ "roles": "/groups" }));
        let token = pipeline.sign(&claims(more));
        let (reason, record, told) = post(&mut pipeline, &token);
        assert_eq!(reason, if named { "jwt.claims" } else { "rbac.operation" });
        assert_eq!(record.get("bartizan.hint").is_some_and(|hint| hint == "groupsOverage"), named);
        assert_eq!(told["error"]["message"].as_str().unwrap().contains("too many"), named);
    }
}

#[test]
fn long_tokens_are_named_with_their_length_and_the_limit() {
    for (limit, groups, passes) in
        [(None, 100, true), (None, 2000, false), (Some(32_768), 2000, true), (Some(32_768), 4000, false)]
    {
        let mut pipeline = Pipeline::new(|document| {
            if let Some(limit) = limit {
                document["authn"]["maxTokenBytes"] = json!(limit);
            }
        });
        let groups: Vec<String> = (0..groups).map(|at| format!("grp-{at}")).collect();
        let token = pipeline.sign(&claims(json!({ "groups": groups })));
        let (reason, record, told) = post(&mut pipeline, &token);
        assert_eq!(reason, if passes { "" } else { "jwt.malformed" });
        if !passes {
            let told = told["error"]["message"].as_str().unwrap();
            assert!(told.contains(&token.len().to_string()), "{told}");
            assert!(told.contains(&limit.unwrap_or(8192).to_string()), "{told}");
            assert_eq!(record["bartizan.hint"], "tokenTooLong");
        }
    }
}

/// An authenticator whose set has these keys.
fn with_keys(keys: Value, algorithms: Value) -> Result<Authenticator, Vec<String>> {
    let section = json!({ "issuers": [{ "issuer": "https://idp.example", "audiences": ["llm"], "algorithms": algorithms,
        "jwks": { "inline": { "keys": keys } } }] });
    let section: document::Authn = serde_json::from_value(section).unwrap();
    let mut errors = Errors::default();
    let authn = Authenticator::compile(&section, &KeyPath::root().key("authn"), &["analyst".to_owned()], &mut errors);
    authn.ok_or_else(|| errors.into_vec().iter().map(ToString::to_string).collect())
}

fn signed(key: &Ed25519KeyPair, head: &Value) -> String {
    let text = format!("{}.{}", base64(head.to_string().as_bytes()), base64(claims(json!({})).to_string().as_bytes()));
    format!("{text}.{}", base64(key.key_pair().as_ref().sk.sign(text.as_bytes(), None).as_ref()))
}

#[test]
fn names_of_algorithms_types_and_keys_are_read_as_issuers_write_them() {
    let key = Ed25519KeyPair::generate();
    let x = base64(&key.public_key().to_bytes());
    let p256 = ES256KeyPair::generate().public_key().public_key().to_bytes_uncompressed();
    let other =
        json!({ "kty": "EC", "crv": "P-256", "kid": "one", "x": base64(&p256[1..33]), "y": base64(&p256[33..]) });
    let own = |more: Value| {
        let mut jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x });
        jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jwk
    };
    let now = Timestamp::from_secs(NOW);
    for keys in [
        json!([own(json!({}))]),
        json!([own(json!({ "alg": "Ed25519" }))]),
        json!([own(json!({ "x": format!("{x}=") }))]),
        // One name for two types of keys.
        json!([other, own(json!({}))]),
    ] {
        let authn = with_keys(keys.clone(), json!(["EdDSA", "ES256"])).unwrap();
        for head in [
            json!({ "alg": "EdDSA", "kid": "one" }),
            json!({ "alg": "Ed25519", "kid": "one", "typ": "JWT" }),
            json!({ "alg": "EdDSA", "kid": "one", "typ": "JOSE" }),
        ] {
            let verdict = authn.verify(signed(&key, &head).as_bytes(), now, &mut MemoryHost::at(now));
            assert!(verdict.is_ok(), "{keys} {head} {verdict:?}");
        }
        let stranger = signed(&Ed25519KeyPair::generate(), &json!({ "alg": "Ed25519", "kid": "one" }));
        assert!(authn.verify(stranger.as_bytes(), now, &mut MemoryHost::at(now)).is_err());
    }
    // Two keys of one type under one name: which of them is meant nobody knows.
    let twins =
        json!([own(json!({})), own(json!({ "x": base64(&Ed25519KeyPair::generate().public_key().to_bytes()) }))]);
    assert!(with_keys(twins, json!(["EdDSA"])).unwrap_err()[0].contains("the same kid"));
}
