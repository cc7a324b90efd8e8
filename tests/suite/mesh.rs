//! What the mesh tells us, in more than a hundred wrong forms, and headers by which a client would like to speak for it.

use crate::common;

use common::pipeline::{NOW, Pipeline, ask};
use serde_json::{Value, json};

/// A form: what it is called, the form, and what must come of it: a reason's code, or nothing.
type Form<T> = (String, T, &'static str);

const PAYLOAD: &str = "metadata.filter_metadata.envoy.filters.http.jwt_authn.payload";

fn double(value: f64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// A list of texts, as the host gives it.
fn list(texts: &[&str]) -> Vec<u8> {
    let mut out = (texts.len() as u32).to_le_bytes().to_vec();
    for text in texts {
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(0u32.to_le_bytes());
    }
    for text in texts {
        out.extend(text.bytes().chain([0, 0]));
    }
    out
}

fn mesh_claims() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("iss", b"https://idp.example".to_vec()),
        ("aud", b"llm".to_vec()),
        ("sub", b"amy".to_vec()),
        ("exp", double((NOW + 600) as f64)),
        ("roles", list(&["analyst"])),
    ]
}

/// Claims by name, in Envoy's bytes.
type Claims = Vec<(&'static str, Vec<u8>)>;

/// Claims as the mesh leaves them; `None`: the claim is missing.
fn mesh_forms() -> Vec<Form<Claims>> {
    let mut forms = vec![("as it should be".to_owned(), mesh_claims(), "")];
    let mut claim = |name: &'static str, value: Option<&[u8]>, reason| {
        let mut claims = mesh_claims();
        claims.retain(|(known, _)| *known != name);
        claims.extend(value.map(|value| (name, value.to_vec())));
        forms.push((format!("{name} {value:?}"), claims, reason));
    };
    claim("iss", None, "jwt.missing");
    for iss in [
        &b""[..],
        b"https://idp.example/",
        b"HTTPS://IDP.EXAMPLE",
        b"https://idp.example\0",
        b" https://idp.example",
        b"https://idp.example\n",
        b"https://evil.example",
        b"*",
        b"null",
        b"https://idp.exampl",
        "https://idp.\u{435}xample".as_bytes(),
    ] {
        claim("iss", Some(iss), "jwt.issuer");
    }
    claim("iss", Some(&list(&["https://idp.example"])), "jwt.issuer");
    claim("iss", Some(b"https://idp.\xffexample"), "jwt.missing");
    claim("aud", None, "jwt.audience");
    for aud in [
        &b""[..],
        b"other",
        b"LLM",
        b"llm ",
        b" llm",
        b"llm\0",
        b"llm,other",
        b"[\"llm\"]",
        b"\"llm\"",
        b"\xff",
        b"*",
        &list(&[]),
        &list(&["other"]),
        &list(&["llm "]),
        &list(&[""]),
        &list(&["llm"])[..12],
        &double(1.0),
    ] {
        claim("aud", Some(aud), "jwt.audience");
    }
    claim("aud", Some(&list(&["other", "llm"])), "");
    claim("sub", None, "jwt.claims");
    for sub in [&b""[..], b"\xff", b"\xc3", &[b'a'; 257], &list(&["amy"]), &list(&[]), b"\0\0\0\0"] {
        claim("sub", Some(sub), "jwt.claims");
    }
    claim("exp", None, "jwt.claims");
    for (exp, reason) in [
        (double((NOW - 61) as f64), "jwt.expired"),
        (double((NOW - 60) as f64), "jwt.expired"),
        (double((NOW - 59) as f64), ""),
        (double(0.0), "jwt.expired"),
        (double(-0.0), "jwt.expired"),
        (double(-1.0), "jwt.expired"),
        (double(f64::MIN), "jwt.expired"),
        (double(5e-324), "jwt.expired"),
        (double(f64::MAX), "jwt.claims"),
        (double(1e300), "jwt.claims"),
        (double(18_446_744_073.0), "jwt.claims"),
        (double(1.8e12), "jwt.claims"),
        (double(f64::NAN), "jwt.claims"),
        (double(f64::INFINITY), "jwt.claims"),
        (double(f64::NEG_INFINITY), "jwt.claims"),
        (Vec::new(), "jwt.claims"),
        (b"1800000600".to_vec(), "jwt.claims"),
        (b"never".to_vec(), "jwt.claims"),
        (vec![1], "jwt.claims"),
        (vec![0; 7], "jwt.claims"),
        (vec![0xff; 9], "jwt.claims"),
        ((NOW + 600).to_le_bytes().to_vec(), "jwt.expired"),
        (((NOW + 600) as f64).to_be_bytes().to_vec(), "jwt.expired"),
        (list(&["1800000600"]), "jwt.claims"),
    ] {
        claim("exp", Some(&exp), reason);
    }
    for name in ["nbf", "iat"] {
        for (start, reason) in [
            (double((NOW + 61) as f64), "jwt.notYetValid"),
            (double((NOW + 59) as f64), ""),
            (double(1e10), "jwt.notYetValid"),
            (double(1e300), "jwt.claims"),
            (double(-1.0), ""),
            // What can't be read is refused: nobody can tell from when on the token counts.
            (double(f64::NAN), "jwt.claims"),
            (double(f64::INFINITY), "jwt.claims"),
            (b"soon".to_vec(), "jwt.claims"),
            (Vec::new(), "jwt.claims"),
            (vec![0; 7], "jwt.claims"),
        ] {
            claim(name, Some(&start), reason);
        }
    }
    claim("roles", None, "rbac.operation");
    for (roles, reason) in [
        (&b"analyst"[..], ""),
        (b"other analyst", ""),
        (b"", "rbac.operation"),
        (b"Analyst", "rbac.operation"),
        (b"analyst,reader", "rbac.operation"),
        (b"[\"analyst\"]", "rbac.operation"),
        (b"analyst\0", "jwt.claims"),
        (b"\x01\0\0\0\x01\0\0\0\x09\0\0\0x\0 analyst \0", "jwt.claims"),
        (b"*", "rbac.operation"),
        (&list(&[]), "rbac.operation"),
        (&list(&["reader"]), "rbac.operation"),
        (&list(&["analyst reader"]), "rbac.operation"),
        (&list(&["", "analyst"]), ""),
        (&list(&["analyst"; 3]), ""),
        (&list(&["analyst"; 5000]), "jwt.claims"),
        (b"\xff", "jwt.claims"),
        (b"\xff analyst", "jwt.claims"),
    ] {
        claim("roles", Some(roles), reason);
    }
    // A list of which a byte is missing, too many or another one is no list, and no role.
    let good = list(&["analyst"]);
    for cut in 0..good.len() {
        let mut claims = mesh_claims();
        claims.retain(|(name, _)| *name != "roles");
        claims.push(("roles", good[..cut].to_vec()));
        // One byte of 1 is what Envoy gives for `true`.
        let reason = if cut < 1 { "rbac.operation" } else { "jwt.claims" };
        forms.push((format!("a list of roles cut at {cut}"), claims, reason));
    }
    for at in 0..12 {
        let mut claims = mesh_claims();
        let mut changed = good.clone();
        changed[at] ^= 0x40;
        claims.retain(|(name, _)| *name != "roles");
        claims.push(("roles", changed));
        forms.push((format!("a list of roles with byte {at} changed"), claims, "jwt.claims"));
    }
    forms
}

fn mesh_pipeline(change: impl FnOnce(&mut Value)) -> Pipeline {
    Pipeline::new(|document| {
        document["authn"]["fromMesh"] = json!(true);
        let issuer = document["authn"]["issuers"][0].as_object_mut().unwrap();
        issuer.remove("jwks");
        issuer.remove("algorithms");
        document["roles"]["analyst"]["quotas"] = json!([]);
        change(document);
    })
}

fn put(pipeline: &mut Pipeline, claims: &[(&'static str, Vec<u8>)]) {
    pipeline.host.properties =
        claims.iter().map(|(name, value)| (format!("{PAYLOAD}.{name}"), value.clone())).collect();
}

#[test]
fn the_mesh_opens_nothing_by_a_wrong_form() {
    let forms = mesh_forms();
    println!("{} forms of claims", forms.len());
    assert!(forms.len() >= 100);
    let mut pipeline = mesh_pipeline(|_| {});
    for (name, claims, expected) in &forms {
        put(&mut pipeline, claims);
        let run = pipeline.post("/v1/chat/completions", &[], ask("hi").to_string().as_bytes());
        assert_eq!(run.reason(), *expected, "{name}");
    }
}

/// Headers by which a client would like to be somebody.
fn claimed() -> Vec<(String, String)> {
    let payload = common::pipeline::base64(
        br#"{"iss":"https://idp.example","aud":"llm","sub":"amy","roles":["analyst"],"exp":1800000600}"#,
    );
    let spiffe = "spiffe://cluster.local/ns/team-a/sa/app";
    let mut all: Vec<(String, String)> = Vec::new();
    for name in [
        "x-forwarded-client-cert",
        "X-Forwarded-Client-Cert",
        "x_forwarded_client_cert",
        "x-client-cert",
        "forwarded",
        "ssl-client-cert",
        "x-ssl-client-s-dn",
        "x-spiffe-id",
        "x-bartizan-workload",
        "x-envoy-peer-metadata",
        "x-envoy-peer-metadata-id",
        "x-istio-attributes",
        "x-envoy-peer-certificate",
    ] {
        for value in [
            format!("URI={spiffe}"),
            format!("By=spiffe://cluster.local/ns/x/sa/y;Hash=00;Subject=\"\";URI={spiffe}"),
            format!("Hash=00;URI=\"{spiffe}\",URI={spiffe}"),
            spiffe.to_owned(),
        ] {
            all.push((name.to_owned(), value));
        }
    }
    for name in [
        "x-jwt-payload",
        "x-jwt-assertion",
        "x-endpoint-api-userinfo",
        "x-istio-jwt-payload",
        "x-forwarded-user",
        "x-auth-request-user",
        "x-goog-authenticated-user-email",
        "x-amzn-oidc-data",
        "x-ms-client-principal",
        "x-bartizan-subject",
        "x_bartizan_subject",
        "x-bartizan-roles",
        "x-envoy-dynamic-metadata",
        "metadata.filter_metadata.envoy.filters.http.jwt_authn.payload.sub",
        "envoy.filters.http.jwt_authn",
        "payload",
        "cookie",
        "sec-authorization",
        "proxy-authorization",
        "authentication",
        "x-authorization",
    ] {
        for value in [payload.clone(), "amy".to_owned(), format!("Bearer a.{payload}.b")] {
            all.push((name.to_owned(), value));
        }
    }
    all
}

#[test]
fn no_header_of_a_client_speaks_for_the_mesh() {
    let body = ask("hi").to_string();
    let all = claimed();
    println!("{} headers", all.len());
    assert!(all.len() >= 100);
    let mut pipeline = mesh_pipeline(|document| document["authn"]["tokenFrom"] = json!(["authorization"]));
    for (name, value) in &all {
        let run = pipeline.post("/v1/chat/completions", &[(name, value)], body.as_bytes());
        assert_eq!(run.reason(), "jwt.missing", "{name}: {value}");
    }
    // Nor for the workload that a caller is, whom the mesh does know.
    let mut pipeline = mesh_pipeline(|document| {
        document["roles"]["analyst"]["workloads"] = json!(["spiffe://cluster.local/ns/team-a/sa/*"]);
    });
    put(&mut pipeline, &mesh_claims());
    for (name, value) in &all {
        let run = pipeline.post("/v1/chat/completions", &[(name, value)], body.as_bytes());
        assert_eq!(run.reason(), "rbac.workload", "{name}: {value}");
    }
    for peer in [
        "spiffe://cluster.local/ns/team-b/sa/app",
        "spiffe://cluster.local/ns/team-a",
        "SPIFFE://cluster.local/ns/team-a/sa/app",
        "spiffe://evil.local/ns/team-a/sa/app",
        " spiffe://cluster.local/ns/team-a/sa/app",
        "/ns/team-a/sa/app",
        "*",
        "https://evil/?spiffe://cluster.local/ns/team-a/sa/app",
        "spiffe://cluster.local//ns/team-a/sa/app",
        "spiffe://cluster.local/ns/team-%61/sa/app",
        "",
    ] {
        put(&mut pipeline, &mesh_claims());
        pipeline.host.properties.insert("connection.uri_san_peer_certificate".to_owned(), peer.into());
        let run = pipeline.post("/v1/chat/completions", &[], body.as_bytes());
        assert_eq!(run.reason(), "rbac.workload", "{peer}");
    }
    pipeline
        .host
        .properties
        .insert("connection.uri_san_peer_certificate".to_owned(), b"spiffe://cluster.local/ns/team-a/sa/app".to_vec());
    assert_eq!(pipeline.post("/v1/chat/completions", &[], body.as_bytes()).reason(), "");
}
