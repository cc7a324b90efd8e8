//! What others tell us, in hundreds of wrong forms each: a token's issuer, and the service that counts for the fleet.
//! Every form has its expected result; what nobody can read opens nothing. The mesh has `mesh.rs`.

use crate::common;

use bartizan::authn::{Authentication, Authenticator, KeyRing, TokenCache};
use bartizan::callout::{Answer, Call, CallFailure};
use bartizan::document::{self, Errors, KeyPath};
use bartizan::host::{MemoryHost, Timestamp};
use bartizan::transaction::{Event, Step, Wait};
use common::pipeline::{NOW, Pipeline, ask};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A form: what it is called, the form, and what must come of it: a reason's code, or nothing.
type Form<T> = (String, T, &'static str);

fn failures() -> Vec<CallFailure> {
    let status = (0..=17).chain([99, u32::MAX]).map(CallFailure::Status);
    status
        .chain([
            CallFailure::NotMade,
            CallFailure::TooLong,
            CallFailure::Late,
            CallFailure::Unreadable,
            CallFailure::Skipped,
        ])
        .collect()
}

// Introspection.

struct Issuer {
    authn: Authenticator,
    host: MemoryHost,
}

/// The caller that an answer makes, or the reason.
type Told = Result<(String, usize), &'static str>;

impl Issuer {
    fn new() -> Issuer {
        let section = json!({ "issuers": [{ "name": "corp", "issuer": "https://idp.test", "audiences": ["llm"],
            "introspection": { "cluster": "idp", "authority": "idp.test", "path": "/introspect", "clientId": "us",
                "clientSecret": { "fromEnv": "SECRET" }, "keepFor": "30s", "keepRefusedFor": "5s" } }] });
        let section: document::Authn = serde_json::from_value(section).unwrap();
        let environment = |name: &str| (name == "SECRET").then(|| "a secret of sixteen and more".to_owned());
        let mut errors = Errors::default();
        let roles = ["a".to_owned(), "b".to_owned()];
        let authn = Authenticator::compile_in(&section, &KeyPath::root(), &roles, &environment, &mut errors).unwrap();
        Issuer { authn, host: MemoryHost::at(Timestamp::from_secs(NOW)) }
    }

    /// What comes of an answer, for a worker that knows nothing yet.
    fn told(&mut self, answer: &Answer) -> Told {
        let mut cache = TokenCache::new(&mut self.host).unwrap();
        let mut ring = KeyRing::empty();
        let headers = [(&b"authorization"[..], &b"Bearer opaque"[..])];
        let asked = self.authn.authenticate(headers, &mut cache, &mut ring, &mut self.host);
        let Ok(Authentication::Ask(inquiry)) = asked else { panic!("an opaque token is asked about") };
        match self.authn.introspected(&inquiry, answer, &mut cache, &mut ring, &mut self.host) {
            Ok(Authentication::Known(caller)) => Ok((caller.subject().to_owned(), caller.roles().len())),
            Ok(_) => panic!("an answer is not asked about"),
            Err(denial) => {
                assert!(cache.is_empty(), "a refused token is not kept: {answer:?}");
                Err(denial.reason.code())
            }
        }
    }
}

fn good() -> Value {
    json!({ "active": true, "sub": "amy", "aud": "llm", "iss": "https://idp.test", "roles": ["a"], "exp": NOW + 1000 })
}

/// The good answer with another value in one place; a JSON text, so that it may be one that JSON does not have.
fn with(key: &str, value: &str) -> String {
    let mut body = good();
    body.as_object_mut().unwrap().remove(key);
    let rest = body.to_string();
    format!("{{\"{key}\":{value},{}", &rest[1..])
}

fn without(key: &str) -> String {
    let mut body = good();
    body.as_object_mut().unwrap().remove(key);
    body.to_string()
}

/// Answers of an introspection endpoint. Only those without a reason make a caller: `amy`, with the role `a` at most.
fn introspections() -> Vec<Form<Answer>> {
    const NONE: &str = "jwt.unavailable";
    let mut forms: Vec<Form<Answer>> = Vec::new();
    let mut body =
        |name: &str, body: Vec<u8>, reason| forms.push((name.to_owned(), Answer::Http { status: 200, body }, reason));
    for value in [
        "\"true\"",
        "\"True\"",
        "\"false\"",
        "\"\"",
        "1",
        "0",
        "-1",
        "1.0",
        "null",
        "[]",
        "{}",
        "[true]",
        "{\"active\":true}",
        "\"yes\"",
        "\"active\"",
        "1e0",
        "\"\\u0001\"",
    ] {
        body(&format!("active {value}"), with("active", value).into(), NONE);
    }
    body("active", good().to_string().into(), "");
    body("an escape in the key", with("\\u0061ctive", "true").replace(",\"active\":true", "").into(), "");
    body("not active", with("active", "false").into(), "jwt.inactive");
    body("not active, and nothing else", b"{\"active\":false}".to_vec(), "jwt.inactive");
    body("active is missing", without("active").into(), NONE);
    for key in ["Active", "ACTIVE", "active ", " active", "active\\u0000", "act\\u0131ve", "is_active", "$.active"] {
        body(&format!("the key {key}"), without("active").replacen('{', &format!("{{\"{key}\":true,"), 1).into(), NONE);
    }
    for (key, twin) in [
        ("active", "false"),
        ("active", "true"),
        ("sub", "\"root\""),
        ("aud", "\"llm\""),
        ("iss", "\"https://idp.test\""),
        ("exp", "1"),
        ("roles", "[\"b\"]"),
        ("x", "1"),
        ("\\u0061ctive", "false"),
        ("\\u0073ub", "\"root\""),
    ] {
        let good = if key == "x" { with("x", "2") } else { good().to_string() };
        body(&format!("{key} twice"), good.replacen('{', &format!("{{\"{key}\":{twin},"), 1).into(), NONE);
        let behind = format!("{},\"{key}\":{twin}}}", &good[..good.len() - 1]);
        body(&format!("{key} twice, behind"), behind.into(), NONE);
    }
    body("a key twice, deep", with("x", "{\"a\":[{\"b\":1,\"b\":2}]}").into(), NONE);
    let good_text = good().to_string();
    for (name, text) in [
        ("nothing", String::new()),
        ("white space", " \n".to_owned()),
        ("a word", "true".to_owned()),
        ("a list", format!("[{good_text}]")),
        ("a text", Value::from(good_text.clone()).to_string()),
        ("two objects", format!("{good_text}{good_text}")),
        ("two lines", format!("{good_text}\n{good_text}")),
        ("rubbish behind", format!("{good_text}x")),
        ("NUL behind", format!("{good_text}\0")),
        ("rubbish before", format!(")]}}',\n{good_text}")),
        ("a callback", format!("call({good_text})")),
        ("BOM", format!("\u{feff}{good_text}")),
        ("HTML", format!("<html><body>{good_text}</body></html>")),
        ("XML", "<active>true</active>".to_owned()),
        ("a form", "active=true&sub=amy&aud=llm".to_owned()),
        ("YAML", "active: true\nsub: amy\naud: llm".to_owned()),
        ("an event", format!("data: {good_text}\n\n")),
        ("single quotes", good_text.replace('"', "'")),
        ("a comma behind", good_text.replacen('}', ",}", 1)),
        ("a comment", good_text.replacen('{', "{/* */", 1)),
        ("not closed", good_text[..good_text.len() - 1].to_owned()),
        ("NaN", with("x", "NaN")),
        ("Infinity", with("exp", "Infinity")),
        ("too large a number", with("exp", "1e999")),
        ("hexadecimal", with("exp", "0x7fffffff")),
        ("leading zero", with("exp", "01800000900")),
        ("a plus", with("exp", "+1800000900")),
        ("a lone surrogate", with("x", "\"\\ud800\"")),
        ("a bad escape", with("x", "\"\\x41\"")),
        ("a raw line feed in a text", with("x", "\"a\nb\"")),
        ("too deep", with("x", &format!("{}1{}", "[".repeat(5000), "]".repeat(5000)))),
        ("a JWT", "eyJhbGciOiJub25lIn0.eyJhY3RpdmUiOnRydWV9.".to_owned()),
        ("wrapped", format!("{{\"result\":{good_text}}}")),
        ("wrapped in data", format!("{{\"data\":{good_text},\"success\":true}}")),
        ("an error", "{\"error\":\"invalid_client\",\"sub\":\"amy\",\"aud\":\"llm\"}".to_owned()),
    ] {
        body(name, text.into(), NONE);
    }
    body("not UTF-8", good_text.replace("amy", "\u{e9}my").bytes().filter(|byte| *byte != 0xc3).collect(), NONE);
    body("UTF-16", good_text.encode_utf16().flat_map(u16::to_le_bytes).collect(), NONE);
    body("gzip", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0], NONE);
    for value in [
        "\"other\"",
        "[\"other\"]",
        "[]",
        "null",
        "1",
        "true",
        "{}",
        "{\"llm\":1}",
        "\"LLM\"",
        "\"llm \"",
        "\" llm\"",
        "\"llm\\u0000\"",
        "[\"llm\",1]",
        "[[\"llm\"]]",
        "\"llm,other\"",
        "\"llm other\"",
        "\"\"",
        "[\"\"]",
        "\"*\"",
        "[null,\"llm\"]",
        "\"ll\"",
        "\"llmx\"",
    ] {
        body(&format!("aud {value}"), with("aud", value).into(), "jwt.audience");
    }
    body("no aud", without("aud").into(), "jwt.audience");
    body("one aud of several", with("aud", "[\"other\",\"llm\"]").into(), "");
    for value in [
        "\"https://other.test\"",
        "\"https://idp.test/\"",
        "\"HTTPS://idp.test\"",
        "\"http://idp.test\"",
        "null",
        "1",
        "[\"https://idp.test\"]",
        "\"\"",
        "\"https://idp.test\\u0000\"",
        "\"https://idp.test.evil\"",
        "{}",
        "true",
    ] {
        body(&format!("iss {value}"), with("iss", value).into(), "jwt.issuer");
    }
    body("no iss", without("iss").into(), "");
    for (value, reason) in [
        ("0", "jwt.expired"),
        ("-1", "jwt.expired"),
        ("-1e300", "jwt.expired"),
        ("1", "jwt.expired"),
        ("1799999940", "jwt.expired"),
        ("1799999939.99", "jwt.expired"),
        ("1799999941", ""),
        ("1800000000.5", ""),
        ("1.8000009e9", ""),
        ("18446744072", ""),
        ("18446744073", "jwt.claims"),
        ("18446744073709551615", "jwt.claims"),
        ("18446744073709551616", "jwt.claims"),
        ("1e300", "jwt.claims"),
        ("null", "jwt.claims"),
        ("true", "jwt.claims"),
        ("\"1800000900\"", "jwt.claims"),
        ("[1800000900]", "jwt.claims"),
        ("{}", "jwt.claims"),
        ("\"2030-01-01T00:00:00Z\"", "jwt.claims"),
        ("1800000900000", "jwt.claims"),
    ] {
        body(&format!("exp {value}"), with("exp", value).into(), reason);
    }
    body("no exp", without("exp").into(), "");
    for key in ["nbf", "iat"] {
        for (value, reason) in [
            ("1800000061", "jwt.notYetValid"),
            ("1800000060", ""),
            ("0", ""),
            ("-5", ""),
            ("1e10", "jwt.notYetValid"),
            ("1e300", "jwt.claims"),
            ("\"0\"", "jwt.claims"),
            ("null", "jwt.claims"),
            ("[]", "jwt.claims"),
            ("false", "jwt.claims"),
        ] {
            body(&format!("{key} {value}"), with(key, value).into(), reason);
        }
    }
    let long = format!("\"{}\"", "a".repeat(257));
    for value in ["null", "\"\"", "1", "true", "[]", "[\"amy\"]", "{}", "{\"sub\":\"amy\"}", &long] {
        body(&format!("sub {value}"), with("sub", value).into(), "jwt.claims");
    }
    body("no sub", without("sub").into(), "jwt.claims");
    body("a username is no sub", without("sub").replacen('{', "{\"username\":\"amy\",", 1).into(), "jwt.claims");
    for value in ["1", "true", "{\"a\":1}", "[1]", "[[\"a\"]]", "[\"a\",null]", "[{\"a\":1}]"] {
        body(&format!("roles {value}"), with("roles", value).into(), "jwt.claims");
    }
    let many = json!(vec!["x"; 5000]).to_string();
    body("too many roles", with("roles", &many).into(), "jwt.claims");
    for value in
        ["\"a\"", "[]", "{}", "[\"A\"]", "[\"a \"]", "[\"root\"]", "\"a,b\"", "[\"a b\"]", "[\"*\"]", "\"x a\""]
    {
        body(&format!("roles {value}"), with("roles", value).into(), "");
    }
    let mut other = |name: String, answer, reason| forms.push((name, answer, reason));
    for status in [
        0, 100, 199, 201, 202, 203, 204, 206, 207, 226, 300, 301, 302, 303, 304, 307, 400, 401, 403, 404, 429, 500,
        502, 503, 504, 999,
    ] {
        other(format!("status {status}"), Answer::Http { status, body: good_text.clone().into() }, NONE);
    }
    for failure in failures() {
        other(format!("{failure:?}"), Answer::Failed(failure), NONE);
    }
    other("an answer of another kind".to_owned(), Answer::Grpc(good_text.into()), NONE);
    forms
}

#[test]
fn introspection_opens_nothing_by_a_wrong_form() {
    let (forms, mut issuer) = (introspections(), Issuer::new());
    println!("{} answers about a token", forms.len());
    assert!(forms.len() >= 200);
    for (name, answer, expected) in &forms {
        let told = issuer.told(answer);
        assert_eq!(told.clone().err().unwrap_or(""), *expected, "{name}: {told:?}");
        if let Ok((subject, roles)) = told {
            assert!(subject == "amy" && roles <= 1, "{name}: {subject} {roles}");
        }
    }
}

proptest! {
    /// The good answer, cut anywhere and with any byte changed: a caller comes out only of an answer that any reader
    /// takes for one about an active token, for us.
    #[test]
    fn an_answer_that_was_changed_says_what_any_reader_reads(
        at in any::<prop::sample::Index>(), byte: u8, cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut body = good().to_string().into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        let told = Issuer::new().told(&Answer::Http { status: 200, body: body.clone() });
        let read = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        if let Ok((subject, _)) = told {
            prop_assert!(read["active"] == true && read["aud"] == "llm" && read["sub"] == subject.as_str());
            prop_assert!(read.get("iss").is_none_or(|iss| iss == "https://idp.test"));
        }
    }
}

// The service that counts for the fleet.

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn block(field: u64, inner: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(inner.len() as u64), inner.to_vec()].concat()
}

/// A status: a code, a limit and what is left of it.
fn status(code: u64, limit: u64, left: u64) -> Vec<u8> {
    [number(1, code), block(2, &number(1, limit)), number(3, left)].concat()
}

const OK: u64 = 1;
const OVER: u64 = 2;

/// Answers to a request whose one descriptor is its number of requests.
fn rate_limits() -> Vec<Form<Answer>> {
    const NONE: &str = "quota.unavailable";
    const SPENT: &str = "quota.requests";
    let mut forms: Vec<Form<Answer>> = Vec::new();
    let mut message = |name: String, bytes: Vec<u8>, reason| forms.push((name, Answer::Grpc(bytes), reason));
    let ok = number(1, OK);
    message("OK".to_owned(), ok.clone(), "");
    message("over the limit".to_owned(), number(1, OVER), SPENT);
    for code in [0, 3, 4, 5, 7, 8, 16, 127, 128, 255, 256, 257, 258, 1 << 32, (1 << 32) + 1, 1 << 63, u64::MAX] {
        message(format!("code {code}"), number(1, code), NONE);
    }
    message("no code".to_owned(), block(2, &status(OK, 10, 5)), NONE);
    message("nothing".to_owned(), Vec::new(), NONE);
    for (name, bytes) in [
        ("a code of eight bytes", [&[0x09][..], &1u64.to_le_bytes()].concat()),
        ("a code of four bytes", [&[0x0d][..], &1u32.to_le_bytes()].concat()),
        ("a code as bytes", block(1, &[1])),
        ("a code as packed numbers", block(1, &[1, 1])),
        ("a group", vec![0x0b, 0x08, 1, 0x0c]),
        ("the end of a group", [&ok[..], &[0x0c]].concat()),
        ("wire type 6", [&ok[..], &[0x1e]].concat()),
        ("wire type 7", [&ok[..], &[0x1f]].concat()),
        ("field 0", [&ok[..], &[0x00, 1]].concat()),
        ("field 2^29", [ok.clone(), number(1 << 29, 1)].concat()),
        ("field 2^61 - 1", [ok.clone(), varint(u64::MAX - 7), vec![1]].concat()),
        ("a number without an end", [&ok[..], &[0x18, 0x80]].concat()),
        ("a number of eleven bytes", [&[0x08][..], &[0x81; 10], &[0]].concat()),
        ("a number of 65 bits", [&[0x08][..], &[0x81], &[0x80; 8], &[2]].concat()),
        ("a tag without a value", [&ok[..], &[0x12]].concat()),
        ("a length beyond the end", [&ok[..], &[0x12, 9, 0x08, 1]].concat()),
        ("a length of 2^64 - 1", [&ok[..], &[0x12], &varint(u64::MAX)].concat()),
        ("a length of 2^63", [&ok[..], &[0x12], &varint(1 << 63)].concat()),
        ("a length of 2^32", [&ok[..], &[0x12], &varint(1 << 32), &[0]].concat()),
        ("four bytes of eight", [&ok[..], &[0x19, 0, 0, 0, 0]].concat()),
        ("two bytes of four", [&ok[..], &[0x1d, 0, 0]].concat()),
        ("a status that is a number", [ok.clone(), number(2, 1)].concat()),
        ("a status that is cut", [ok.clone(), block(2, &[0x08])].concat()),
        ("a limit that is a number", [ok.clone(), block(2, &number(2, 7))].concat()),
        ("a limit that is cut", [ok.clone(), block(2, &block(2, &[0x08]))].concat()),
        ("what is left as bytes", [ok.clone(), block(2, &block(3, &[1]))].concat()),
        ("a reset that is a number", [ok.clone(), block(2, &number(4, 7))].concat()),
        ("a reset of bytes", [ok.clone(), block(2, &block(4, &block(1, &[1])))].concat()),
        ("a status of a code as bytes", [ok.clone(), block(2, &block(1, &[2]))].concat()),
        ("a page", b"<html>busy</html>".to_vec()),
        ("JSON", br#"{"overallCode":"OK"}"#.to_vec()),
        ("a framed message", [&[0, 0, 0, 0, 2][..], &ok].concat()),
        ("a base64 message", b"CAE=".to_vec()),
        ("zeros", vec![0; 64]),
        ("ones", vec![0xff; 64]),
        ("257 statuses", [ok.clone(), block(2, &status(OK, 10, 5)).repeat(257)].concat()),
    ] {
        message(name.to_owned(), bytes, NONE);
    }
    for (name, more) in [
        ("an unknown number", number(9, 7)),
        ("unknown bytes", block(200, b"x")),
        ("unknown fixed numbers", [&[0x59][..], &[0; 8], &[0x65], &[0; 4]].concat()),
        ("headers to add", block(3, &block(1, b"x-evil"))),
        ("a body to send", block(5, b"<html>")),
        ("dynamic metadata", block(6, b"")),
        ("a status that says nothing", block(2, b"")),
        ("a status", block(2, &status(OK, 10, 5))),
        ("nothing left, and let in", block(2, &status(OK, 10, 0))),
        ("numbers at their end", block(2, &status(OK, u64::MAX, u64::MAX))),
        ("more left than there is", block(2, &status(OK, 1, 1_000_000))),
        ("a code twice", ok.clone()),
        ("an unknown code in a status", block(2, &status(7, 10, 5))),
        ("256 statuses", block(2, &status(OK, 10, 5)).repeat(256)),
        ("an overlong number", vec![0x18, 0x81, 0x80, 0x00]),
    ] {
        message(format!("OK and {name}"), [ok.clone(), more.clone()].concat(), "");
        message(format!("over, and {name}"), [more, number(1, OVER)].concat(), SPENT);
    }
    message("an overlong code".to_owned(), vec![0x08, 0x81, 0x80, 0x00], "");
    message("the last code counts".to_owned(), [number(1, OK), number(1, OVER)].concat(), SPENT);
    // Verdicts that contradict each other: the stricter one counts.
    for count in 1..=8 {
        for place in 0..count {
            let codes = (0..count).map(|at| if at == place { OVER } else { OK });
            let statuses: Vec<u8> = codes.flat_map(|code| block(2, &status(code, 10, 0))).collect();
            let name = format!("OK over {count} statuses, of which {place} is over");
            message(name, [ok.clone(), statuses].concat(), SPENT);
        }
        let statuses = block(2, &status(OK, 10, 5)).repeat(count);
        message(format!("over, and {count} statuses in which nothing is"), [number(1, OVER), statuses].concat(), SPENT);
    }
    // When to come back: never a time in the past, never one beyond a year, whatever is written.
    for seconds in [0, 1, 59, 366 * 86_400, 1 << 32, i64::MAX as u64, 1 << 63, u64::MAX] {
        for nanos in [0, 1, 999_999_999, 1_000_000_000, u64::MAX] {
            let reset = block(4, &[number(1, seconds), number(2, nanos)].concat());
            let statuses = block(2, &[status(OVER, 10, 0), reset].concat());
            message(format!("back in {seconds} s {nanos} ns"), [number(1, OVER), statuses].concat(), SPENT);
        }
    }
    let mut other = |name: String, answer, reason| forms.push((name, answer, reason));
    for failure in failures() {
        other(format!("{failure:?}"), Answer::Failed(failure), NONE);
    }
    for status in [0, 200, 204, 429, 503] {
        other(format!("an HTTP answer {status}"), Answer::Http { status, body: ok.clone() }, NONE);
    }
    forms
}

fn fleet_pipeline(hold: bool, on_unavailable: &str) -> Pipeline {
    Pipeline::new(|document| {
        document["holdHeaders"] = json!(hold);
        document["audit"] = json!({});
        document["rateLimitService"] =
            json!({ "cluster": "limits", "timeout": "100ms", "retries": 1, "refunds": true });
        document["roles"]["analyst"]["quotas"] = json!([{ "per": "subject", "requests": 2, "window": "1m",
            "scope": "fleet", "onUnavailable": on_unavailable }]);
    })
}

/// The reason that a request is refused for, where each of its calls is answered so; and when to come back.
fn asked(pipeline: &mut Pipeline, answer: &Answer) -> (&'static str, Option<u64>) {
    let (mut exchange, mut step) = pipeline.begin();
    let (vm, host) = (&mut pipeline.vm, &mut pipeline.host);
    let mut calls = 0;
    while let Step::Await(Wait { call: Some(Call::Grpc(_)), .. }) = step {
        calls += 1;
        step = exchange.step(Event::Answered(answer.clone()), vm, host);
    }
    assert!((1..=2).contains(&calls), "{calls} calls");
    if !matches!(step, Step::Deny(_)) {
        step = exchange.step(Event::RequestBody(ask("hi").to_string().into()), vm, host);
    }
    let (reason, wait) = match &step {
        Step::Deny(reply) => {
            let header = reply.headers.iter().find(|(name, _)| *name == "retry-after");
            (reply.reason, header.map(|(_, value)| value.parse().unwrap()))
        }
        Step::Release(_) => ("", None),
        other => panic!("{other:?}"),
    };
    exchange.finish(vm, host);
    (reason, wait)
}

#[test]
fn the_fleets_service_opens_nothing_by_a_wrong_form() {
    let forms = rate_limits();
    println!("{} answers of the service", forms.len());
    assert!(forms.len() >= 150);
    for hold in [true, false] {
        let mut pipeline = fleet_pipeline(hold, "deny");
        for (name, answer, expected) in &forms {
            // Each has a worker of its own: services that fail are not asked for a while.
            pipeline.vm = bartizan::transaction::WorkerState::new(&pipeline.policy, &mut pipeline.host).unwrap();
            let (reason, wait) = asked(&mut pipeline, answer);
            assert_eq!(reason, *expected, "{name}");
            assert!(wait.is_none_or(|secs| (1..=366 * 86_400 + 1).contains(&secs)), "{name}: {wait:?}");
        }
    }
}

#[test]
fn where_the_proxy_counts_by_itself_no_wrong_form_gives_more() {
    for (name, answer, expected) in rate_limits() {
        if expected == "quota.unavailable" {
            let mut pipeline = fleet_pipeline(true, "local");
            let reasons = [(); 4].map(|()| {
                pipeline.vm = bartizan::transaction::WorkerState::new(&pipeline.policy, &mut pipeline.host).unwrap();
                asked(&mut pipeline, &answer).0
            });
            assert_eq!(reasons, ["", "", "quota.requests", "quota.requests"], "{name}");
        }
    }
}
