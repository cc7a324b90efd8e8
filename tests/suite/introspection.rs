//! Opaque tokens: what is asked, what an answer is worth, and for how long.
use bartizan::authn::{Authentication, Authenticator, Inquiry, KeyRing, TokenCache};
use bartizan::callout::{Answer, Call, CallFailure};
use bartizan::document::{self, Errors, KeyPath};
use bartizan::host::{MemoryHost, Timestamp};
use serde_json::{Value, json};

const START: u64 = 1_800_000_000;

fn section(more: Value) -> Value {
    let mut introspection = json!({"cluster": "idp", "authority": "idp.test", "path": "/introspect", "clientId": "us",
        "clientSecret": {"fromEnv": "SECRET"}, "keepFor": "30s", "keepRefusedFor": "5s"});
    introspection.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"name": "corp", "issuer": "https://idp.test", "audiences": ["llm"], "introspection": introspection})
}

fn compile(issuers: Value) -> Result<Authenticator, Vec<String>> {
    let section: document::Authn = serde_json::from_value(json!({ "issuers": issuers })).unwrap();
    let mut errors = Errors::default();
    let environment = |name: &str| (name == "SECRET").then(|| "a secret of sixteen and more".to_owned());
    let path = KeyPath::root().key("authn");
    let authn = Authenticator::compile_in(&section, &path, &["a".to_owned()], &environment, &mut errors);
    authn.ok_or_else(|| errors.into_vec().iter().map(ToString::to_string).collect())
}

struct Worker {
    authn: Authenticator,
    host: MemoryHost,
    cache: TokenCache,
    ring: KeyRing,
}

impl Worker {
    fn new() -> Worker {
        let mut host = MemoryHost::at(Timestamp::from_secs(START));
        let cache = TokenCache::new(&mut host).unwrap();
        Worker { authn: compile(json!([section(json!({}))])).unwrap(), host, cache, ring: KeyRing::empty() }
    }

    fn pass(&mut self, secs: u64) {
        self.host.now.0 += secs * 1_000_000_000;
    }

    fn say(outcome: Result<Authentication, bartizan::reason::Denial>) -> Result<&'static str, Box<Inquiry>> {
        match outcome {
            Ok(Authentication::Known(_)) => Ok("ok"),
            Ok(Authentication::Ask(inquiry)) => Err(inquiry),
            Ok(_) => Ok("else"),
            Err(denial) => Ok(denial.reason.code()),
        }
    }

    fn ask(&mut self, token: &str) -> Result<&'static str, Box<Inquiry>> {
        let header = format!("Bearer {token}");
        let headers = [(&b"authorization"[..], header.as_bytes())];
        Worker::say(self.authn.authenticate(headers, &mut self.cache, &mut self.ring, &mut self.host))
    }

    fn answer(&mut self, inquiry: &Inquiry, answer: &Answer) -> &'static str {
        Worker::say(self.authn.introspected(inquiry, answer, &mut self.cache, &mut self.ring, &mut self.host)).unwrap()
    }
}

fn active(change: impl FnOnce(&mut Value)) -> Answer {
    let mut body = json!({"active": true, "sub": "amy", "aud": "llm", "iss": "https://idp.test", "roles": ["a"],
        "exp": START + 1000});
    change(&mut body);
    Answer::Http { status: 200, body: body.to_string().into_bytes() }
}

#[test]
fn a_token_is_asked_about_once_in_a_while() {
    let mut worker = Worker::new();
    let inquiry = worker.ask("opaque+1").unwrap_err();
    let Call::Http(call) = &inquiry.call else { panic!("{inquiry:?}") };
    assert_eq!(
        (&*call.cluster, call.method, &*call.authority, &*call.path),
        ("idp", "POST", "idp.test", "/introspect")
    );
    assert_eq!(call.body, b"token=opaque%2B1&token_type_hint=access_token");
    let basic = call.headers.iter().find(|(name, _)| *name == "authorization").unwrap().1.clone();
    assert_eq!(basic, "Basic dXM6YSUyMHNlY3JldCUyMG9mJTIwc2l4dGVlbiUyMGFuZCUyMG1vcmU=");
    assert!(!format!("{:?}", worker.authn).contains("dXM6"));
    assert_eq!(worker.answer(&inquiry, &active(|_| {})), "ok");
    worker.pass(29);
    assert_eq!(worker.ask("opaque+1").unwrap(), "ok");
    assert!(worker.ask("opaque+2").is_err(), "another token");
    worker.pass(2);
    assert!(worker.ask("opaque+1").is_err(), "the answer is old");
    // Not beyond the token's own time; and without one for as long as it is remembered.
    let inquiry = worker.ask("short").unwrap_err();
    let now = worker.host.now.as_secs();
    assert_eq!(worker.answer(&inquiry, &active(|body| body["exp"] = (now + 3).into())), "ok");
    worker.pass(4);
    assert!(worker.ask("short").is_err());
    let inquiry = worker.ask("endless").unwrap_err();
    assert_eq!(worker.answer(&inquiry, &active(|body| drop(body.as_object_mut().unwrap().remove("exp")))), "ok");
    worker.pass(29);
    assert_eq!(worker.ask("endless").unwrap(), "ok");
    worker.pass(2);
    assert!(worker.ask("endless").is_err());
}

#[test]
fn what_the_issuer_does_not_vouch_for_is_refused() {
    let http = |status: u16, body: &str| Answer::Http { status, body: body.as_bytes().to_vec() };
    for (answer, reason) in [
        (http(200, r#"{"active":false}"#), "jwt.inactive"),
        (http(200, r#"{"active":"true"}"#), "jwt.unavailable"),
        (http(200, "{}"), "jwt.unavailable"),
        (http(200, "<html>"), "jwt.unavailable"),
        (http(200, r#"{"active":true,"active":true}"#), "jwt.unavailable"),
        (http(401, r#"{"active":true}"#), "jwt.unavailable"),
        (http(503, ""), "jwt.unavailable"),
        (Answer::Failed(CallFailure::Late), "jwt.unavailable"),
        (Answer::Failed(CallFailure::NotMade), "jwt.unavailable"),
        (active(|body| body["aud"] = "other".into()), "jwt.audience"),
        (active(|body| drop(body.as_object_mut().unwrap().remove("aud"))), "jwt.audience"),
        (active(|body| body["iss"] = "https://other.test".into()), "jwt.issuer"),
        (active(|body| body["exp"] = (START - 100).into()), "jwt.expired"),
        (active(|body| body["nbf"] = (START + 500).into()), "jwt.notYetValid"),
        (active(|body| drop(body.as_object_mut().unwrap().remove("sub"))), "jwt.claims"),
    ] {
        let mut worker = Worker::new();
        let inquiry = worker.ask("token").unwrap_err();
        assert_eq!(worker.answer(&inquiry, &answer), reason, "{answer:?}");
        assert!(worker.cache.is_empty());
        // What is not active is remembered for a moment, faults are not.
        assert_eq!(worker.ask("token").ok(), (reason == "jwt.inactive").then_some("jwt.inactive"));
        worker.pass(6);
        assert!(worker.ask("token").is_err());
    }
}

#[test]
fn made_up_tokens_do_not_make_a_flood() {
    let mut worker = Worker::new();
    let asked = (0..1000).filter(|number| worker.ask(&format!("made-up-{number}")).is_err()).count();
    assert_eq!(asked, 200);
    assert_eq!(worker.ask("one-more").unwrap(), "jwt.unavailable");
    worker.pass(1);
    assert!(worker.ask("one-more").is_err());
    assert_eq!(worker.ask("no token").unwrap(), "jwt.malformed");
    assert_eq!(worker.ask("a&b").unwrap(), "jwt.malformed");
}

#[test]
fn the_section_must_be_whole_and_stand_once() {
    for (issuers, error) in [
        (json!([section(json!({"path": null}))]), "introspection.path: missing"),
        (json!([section(json!({"path": "x"}))]), "introspection.path: not a path"),
        (json!([section(json!({"clientSecret": {"fromEnv": "NONE"}}))]), "no variable NONE"),
        (json!([section(json!({"clientSecret": null}))]), "introspection.clientSecret: missing"),
        (json!([section(json!({"keepFor": "2h"}))]), "introspection.keepFor: out of bounds"),
        (json!([section(json!({})), section(json!({}))]), "issuers[1].introspection: a second one"),
    ] {
        let errors = compile(issuers).unwrap_err();
        assert!(errors.iter().any(|one| one.contains(error)), "{error}: {errors:?}");
    }
}
