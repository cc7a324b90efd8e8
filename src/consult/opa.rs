//! Open Policy Agent: an operator's own policy decides about each request, after the roles and the guards.
//!
//! The request is described, without its text unless the policy says so. [`INPUT_VERSION`] says in which form; `src/manual/opa.md` has the fields. It is
//! posted to OPA's data API (`POST /v1/data/PATH` with `{"input": ...}`, after OPA's REST API reference), and the answer's
//! `result` is a boolean, or an object:
//!
//! ```json
//! {"allow": true, "reason": "office-hours", "obligations": {"guard": "strict", "max_output_tokens": 256, "quotas": "trial", "model": "small"}}
//! ```
//!
//! An obligation only tightens. One that is not known or can't be met refuses the request, and so does an answer that is none
//! of these, such as the undefined result of a wrong path: `onUnavailable` decides only where OPA gave no answer.
//!
//! A [`Permit`] is the witness that the policy engine was asked, or that there is none. It can't be made up:
//!
//! ```compile_fail
//! use bartizan::consult::opa::Permit;
//!
//! let allowed = Permit::default();
//! ```

use std::time::Duration;

use serde_json::{Value, json};

use super::Memory;
use crate::authn::RoleIndex;
use crate::callout::{Answer, Call, HttpCall};
use crate::document::{self, Errors, KeyPath, OnNoAnswer, OpinionText};
use crate::enums::Mode;
use crate::guard::GuardIndex;
use crate::host::Timestamp;
use crate::keyed::HashKey;
use crate::reason::{Denial, Reason};

/// The form of the input.
pub const INPUT_VERSION: u32 = 1;

/// The longest answer that is taken, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The longest reason that is told and recorded, in bytes.
const MAX_REASON: usize = 128;

/// What has these names in the policy.
type Named<T> = Vec<(Box<str>, T)>;

/// The engine of a policy, as the document means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    cluster: Box<str>,
    authority: Box<str>,
    path: Box<str>,
    timeout: Duration,
    on_unavailable: OnNoAnswer,
    /// Nanoseconds; 0: nothing is remembered.
    keep: u64,
    mode: Mode,
    /// The texts that it is told.
    text: Option<OpinionText>,
    /// What obligations may name.
    guards: Named<GuardIndex>,
    roles: Named<RoleIndex>,
}

/// What OPA wants of a request that it allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Obligations {
    guard: Option<GuardIndex>,
    output_cap: Option<u64>,
    quotas: Option<RoleIndex>,
    model: Option<String>,
}

/// How OPA decided, for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It allows the request.
    Allow,
    /// It refuses it.
    Deny,
    /// It gave no answer in time.
    Unavailable,
    /// Its answer has not the form that is read here.
    Unreadable,
}

impl Decision {
    /// The word in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
            Decision::Unavailable => "unavailable",
            Decision::Unreadable => "unreadable",
        }
    }
}

/// The policy engine was asked and allows the request, or there is none. Only this file makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    obligations: Obligations,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// How it decided.
    pub decision: Decision,
    /// Its own reason: a short plain text.
    pub reason: Option<String>,
    /// The answer is one of a moment ago.
    pub remembered: bool,
    /// What follows from it.
    pub permit: Result<Permit, Denial>,
    /// A refusal that was not carried out.
    pub shadow: Option<Reason>,
}

/// A question in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    tag: Option<[u8; 16]>,
    /// The call; its answer goes to [`Engine::answered`].
    pub call: Call,
}

/// What asking comes to.
#[derive(Clone, Debug)]
pub enum Asked {
    /// It was answered a moment ago.
    Known(Box<Said>),
    /// It must be asked.
    Ask(Question),
}

impl Permit {
    /// The permit of a policy without an engine; `None`: there is one, and it must be asked.
    pub fn without(engine: Option<&Engine>) -> Option<Permit> {
        engine.is_none().then(|| Permit { obligations: Obligations::default() })
    }

    /// For a rehearsal: nobody is asked about a past request.
    #[cfg(feature = "cli")]
    pub(crate) fn recorded() -> Permit {
        Permit { obligations: Obligations::default() }
    }

    /// A guard that judges the request and its reply beside the roles'.
    pub fn guard(&self) -> Option<GuardIndex> {
        self.obligations.guard
    }

    /// A cap on output tokens.
    pub fn output_cap(&self) -> Option<u64> {
        self.obligations.output_cap
    }

    /// A role whose quotas count the request besides.
    pub fn quotas(&self) -> Option<RoleIndex> {
        self.obligations.quotas
    }

    /// The model that is asked instead.
    pub fn model(&self) -> Option<&str> {
        self.obligations.model.as_deref()
    }
}

impl Engine {
    /// Compiles `authz.opa`; `None`: something that it needs is missing, and an error says what.
    pub(crate) fn compile(
        written: &document::Opa,
        at: &KeyPath,
        (guards, roles): (Named<GuardIndex>, Named<RoleIndex>),
        errors: &mut Errors,
    ) -> Option<Engine> {
        let cluster = errors.filled(at, "cluster", written.cluster.as_deref());
        let path = errors.filled(at, "path", written.path.as_deref());
        if path.is_some_and(|path| !path.starts_with("/v1/data/") || !path.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            errors.push(
                &at.key("path"),
                "not a path of OPA's data API, expected /v1/data/ and a document, such as /v1/data/bartizan/authz",
            );
        }
        let on_unavailable = errors.require(at, "onUnavailable", written.on_unavailable);
        let timeout = errors.span(at, "timeout", written.timeout, (500, 10..=30_000), "10ms to 30s");
        let keep = errors.span(at, "cacheFor", written.cache_for, (0, 0..=300_000), "at most 5m");
        Some(Engine {
            cluster: cluster?.into(),
            authority: written.authority.as_deref().unwrap_or("opa").into(),
            path: path?.into(),
            timeout,
            on_unavailable: on_unavailable?,
            keep: u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX),
            mode: written.mode.unwrap_or(Mode::Enforce),
            text: written.text,
            guards,
            roles,
        })
    }

    /// Which texts of the caller's it is told. `None`: none.
    pub fn text(&self) -> Option<OpinionText> {
        self.text
    }

    /// Asks about a request. `input` holds only the texts that [`Engine::text`] says.
    pub fn ask(&self, input: &Value, memory: &Memory<Said>, key: &HashKey, now: Timestamp) -> Asked {
        let body = json!({ "input": input }).to_string().into_bytes();
        let tag = (self.keep > 0).then(|| key.hash(&[b"opa", self.path.as_bytes(), &body]));
        if let Some(said) = tag.and_then(|tag| memory.find(&tag, now)) {
            return Asked::Known(Box::new(Said { remembered: true, ..said }));
        }
        let call = Call::Http(HttpCall {
            cluster: self.cluster.to_string(),
            method: "POST",
            authority: self.authority.to_string(),
            path: self.path.to_string(),
            headers: vec![("content-type", "application/json".to_owned()), ("accept", "application/json".to_owned())],
            body,
            timeout: self.timeout,
            most: MAX_ANSWER_BYTES,
        });
        Asked::Ask(Question { tag, call })
    }

    /// Takes the answer. What was decided is remembered; that there was no answer is not.
    pub fn answered(&self, question: &Question, answer: &Answer, memory: &mut Memory<Said>, now: Timestamp) -> Said {
        let said = self.said(answer);
        if let (Some(tag), Decision::Allow | Decision::Deny) = (question.tag, said.decision) {
            memory.keep(tag, said.clone(), Timestamp(now.0.saturating_add(self.keep)), now);
        }
        said
    }

    fn said(&self, answer: &Answer) -> Said {
        let (decision, reason, result) = match answer {
            Answer::Http { status: 200, body } => match read(body).map(|written| self.meant(written)) {
                Some(Some((decision, reason, obligations))) => (decision, reason, obligations),
                _ => (Decision::Unreadable, None, Obligations::default()),
            },
            Answer::Http { status: 500.., .. } | Answer::Failed(_) => {
                (Decision::Unavailable, None, Obligations::default())
            }
            _ => (Decision::Unreadable, None, Obligations::default()),
        };
        let refusal = match decision {
            Decision::Allow => None,
            Decision::Deny => Some(Reason::AuthzDenied),
            Decision::Unreadable => Some(Reason::AuthzUnavailable),
            Decision::Unavailable => (self.on_unavailable == OnNoAnswer::Deny).then_some(Reason::AuthzUnavailable),
        };
        let is_shadow = self.mode == Mode::Shadow;
        let obligations = if is_shadow { Obligations::default() } else { result };
        let permit = match refusal {
            Some(refusal) if !is_shadow => Err(Denial::new(refusal).with_detail(reason.as_deref())),
            _ => Ok(Permit { obligations }),
        };
        let shadow = refusal.filter(|_| is_shadow);
        Said { decision, reason, remembered: false, permit, shadow }
    }

    /// What an answer means here; `None`: an obligation that is not known.
    fn meant(&self, written: Written) -> Option<(Decision, Option<String>, Obligations)> {
        let Written { allow, reason, obligations } = written;
        if !allow {
            return Some((Decision::Deny, reason, Obligations::default()));
        }
        let mut meant = Obligations::default();
        for (name, value) in obligations {
            match name.as_str() {
                "guard" => meant.guard = Some(named(&self.guards, &value)?),
                "quotas" => meant.quotas = Some(named(&self.roles, &value)?),
                "max_output_tokens" => meant.output_cap = Some(value.as_u64().filter(|tokens| *tokens > 0)?),
                "model" => {
                    let model = value.as_str().filter(|model| (1..=256).contains(&model.len()))?;
                    meant.model = Some(model.to_owned());
                }
                _ => return None,
            }
        }
        Some((Decision::Allow, reason, meant))
    }
}

fn named<T: Copy>(known: &[(Box<str>, T)], value: &Value) -> Option<T> {
    let name = value.as_str()?;
    known.iter().find(|(known, _)| &**known == name).map(|(_, index)| *index)
}

/// An answer as OPA wrote it.
struct Written {
    allow: bool,
    reason: Option<String>,
    obligations: serde_json::Map<String, Value>,
}

fn read(body: &[u8]) -> Option<Written> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    let mut result = match answer.get_mut("result")?.take() {
        Value::Bool(allow) => return Some(Written { allow, reason: None, obligations: serde_json::Map::new() }),
        Value::Object(result) => result,
        _ => return None,
    };
    let allow = result.get("allow")?.as_bool()?;
    let reason = result.get("reason").and_then(Value::as_str).and_then(plain);
    let obligations = match result.remove("obligations") {
        None | Some(Value::Null) => serde_json::Map::new(),
        Some(Value::Object(obligations)) => obligations,
        Some(_) => return None,
    };
    Some(Written { allow, reason, obligations })
}

/// A reason as it may be told and recorded: letters, digits and a few signs.
fn plain(text: &str) -> Option<String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || " .,:;-_/()'".contains(letter);
    (1..=MAX_REASON).contains(&text.len()).then_some(text).filter(|text| text.chars().all(is_plain)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(on_unavailable: OnNoAnswer, mode: Mode) -> Engine {
        Engine {
            cluster: "opa".into(),
            authority: "opa".into(),
            path: "/v1/data/bartizan/authz".into(),
            timeout: Duration::from_millis(500),
            on_unavailable,
            keep: 1_000,
            mode,
            text: None,
            guards: vec![("strict".into(), GuardIndex(1))],
            roles: vec![("trial".into(), RoleIndex(2))],
        }
    }

    fn http(status: u16, body: &str) -> Answer {
        Answer::Http { status, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn answers_are_read() {
        let engine = engine(OnNoAnswer::Deny, Mode::Enforce);
        let said = |body: &str| engine.said(&http(200, body));
        assert_eq!(said(r#"{"result": true}"#).permit, Ok(Permit { obligations: Obligations::default() }));
        let denied = said(r#"{"result": {"allow": false, "reason": "not in office hours"}}"#);
        assert_eq!((denied.decision, denied.reason.as_deref()), (Decision::Deny, Some("not in office hours")));
        assert_eq!(denied.permit.map_err(|denial| denial.reason), Err(Reason::AuthzDenied));
        let all = r#"{"result": {"allow": true, "obligations": {"guard": "strict", "max_output_tokens": 9, "quotas": "trial", "model": "m"}}}"#;
        let permit = said(all).permit.unwrap();
        assert_eq!((permit.guard(), permit.output_cap()), (Some(GuardIndex(1)), Some(9)));
        assert_eq!((permit.quotas(), permit.model()), (Some(RoleIndex(2)), Some("m")));
    }

    #[test]
    fn what_is_not_understood_is_a_refusal_whatever_is_said_of_no_answer() {
        let engine = engine(OnNoAnswer::Allow, Mode::Enforce);
        for body in [
            "",
            "{}",
            "nonsense",
            "[]",
            r#"{"result": null}"#,
            r#"{"result": "true"}"#,
            r#"{"result": {}}"#,
            r#"{"result": {"allow": 1}}"#,
            r#"{"result": {"allow": true, "obligations": []}}"#,
            r#"{"result": {"allow": true, "obligations": {"guard": "other"}}}"#,
            r#"{"result": {"allow": true, "obligations": {"max_output_tokens": 0}}}"#,
            r#"{"result": {"allow": true, "obligations": {"max_output_tokens": -1}}}"#,
            r#"{"result": {"allow": true, "obligations": {"model": ""}}}"#,
            r#"{"result": {"allow": true, "obligations": {"mask": true}}}"#,
        ] {
            let said = engine.said(&http(200, body));
            assert_eq!(said.decision, Decision::Unreadable, "{body}");
            assert_eq!(said.permit.map_err(|denial| denial.reason), Err(Reason::AuthzUnavailable), "{body}");
        }
        for status in [100, 201, 204, 302, 404, 429] {
            assert!(engine.said(&http(status, r#"{"result": true}"#)).permit.is_err(), "{status}");
        }
        assert!(engine.said(&http(503, "")).permit.is_ok());
        assert!(engine.said(&Answer::Failed(crate::callout::CallFailure::Late)).permit.is_ok());
    }

    #[test]
    fn shadow_refuses_nothing_and_asks_nothing_of_a_request() {
        let engine = engine(OnNoAnswer::Deny, Mode::Shadow);
        let said = engine.said(&http(200, r#"{"result": false}"#));
        assert_eq!((said.permit.is_ok(), said.shadow), (true, Some(Reason::AuthzDenied)));
        let said = engine.said(&http(200, r#"{"result": {"allow": true, "obligations": {"guard": "strict"}}}"#));
        assert_eq!(said.permit.unwrap().guard(), None);
    }

    #[test]
    fn an_answer_is_remembered_and_that_there_is_none_is_not() {
        let engine = engine(OnNoAnswer::Allow, Mode::Enforce);
        let (key, mut memory) = (HashKey::new(b"k"), Memory::default());
        let input = json!({ "version": INPUT_VERSION });
        for (answer, kept) in
            [(http(503, ""), false), (http(200, "{}"), false), (http(200, r#"{"result": false}"#), true)]
        {
            let Asked::Ask(question) = engine.ask(&input, &memory, &key, Timestamp(0)) else { panic!("asked once") };
            engine.answered(&question, &answer, &mut memory, Timestamp(0));
            let again = engine.ask(&input, &memory, &key, Timestamp(999));
            assert_eq!(matches!(again, Asked::Known(said) if said.remembered && said.permit.is_err()), kept);
        }
        assert!(matches!(engine.ask(&input, &memory, &key, Timestamp(1_000)), Asked::Ask(_)));
        assert!(matches!(engine.ask(&json!({}), &memory, &key, Timestamp(1)), Asked::Ask(_)));
    }

    #[test]
    fn only_a_plain_reason_is_told() {
        assert_eq!(plain("office hours: 8-18").as_deref(), Some("office hours: 8-18"));
        for text in ["", "a\nb", "<b>", "\u{e4}", &"a".repeat(129)] {
            assert_eq!(plain(text), None, "{text}");
        }
    }
}
