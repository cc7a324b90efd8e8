//! Second opinions: an outside judge is shown texts that the guards are in doubt about.
//!
//! A judge may raise any score. It may lower only what the scorer alone found in a text of the band that it is asked about:
//! never what a rule found, and never a secret. What it marks is masked beside what the guard masks. Without an answer
//! `onUnavailable` decides; an answer of another form than its protocol's is none.
//!
//! A judge is shown texts without credentials and personal data, unless the policy says `raw`.
//!
//! ```
//! use bartizan::consult::opinion::Shown;
//!
//! let shown = Shown::raw("a text");
//! assert_eq!(shown.originals(&(2..6)), [2..6]);
//! ```

mod kinds;
mod shown;

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use bartizan_rules::words::Kind as Found;
use serde_json::Value;

use super::Memory;
use crate::callout::{Answer, Breaker, Call, HttpCall};
use crate::document::{
    self, ClassifierFormat, Environment, Errors, KeyPath, OnNoOpinion, OpinionKind, OpinionText, shortened,
};
use crate::enums::Mode;
use crate::guard::OpinionIndex;
use crate::host::Timestamp;
use crate::keyed::HashKey;
use crate::reason::Reason;
use kinds::{Kind, View};
pub use shown::Shown;

/// The longest answer that is taken, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// An opinion with more marks than these is not remembered.
const MOST_REMEMBERED: usize = 64;

/// From this score on a change is worth a word in the record.
const EVEN: u8 = 50;

/// Opinions of one policy, at most.
pub const MAX_OPINIONS: usize = 8;

/// One judge, as the document means it.
#[derive(Clone, PartialEq, Eq)]
pub struct OpinionPolicy {
    /// Its name.
    pub name: String,
    kind: Kind,
    cluster: Box<str>,
    authority: Box<str>,
    path: Box<str>,
    timeout: Duration,
    credential: Option<(&'static str, String)>,
    /// The scores of a text about which it is asked.
    pub when: RangeInclusive<u8>,
    /// Which texts it is shown.
    pub text: OpinionText,
    /// Of these only such as score higher.
    pub above: Option<u8>,
    /// Without an answer.
    pub on_unavailable: OnNoOpinion,
    /// It is shown what would be masked.
    pub raw: bool,
    mode: Mode,
    max_bytes: usize,
    max_in_flight: u32,
    per_second: u32,
    /// Nanoseconds; 0: nothing is remembered.
    keep: u64,
}

impl std::fmt::Debug for OpinionPolicy {
    /// Without the credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpinionPolicy").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What a worker knows of one judge.
#[derive(Debug, Default)]
pub struct Desk {
    /// Whether it is asked.
    pub breaker: Breaker,
    memory: Memory<View>,
    in_flight: u32,
    /// The second in which it was asked last, and how often.
    asked: (u64, u32),
}

/// A text that a judge is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhibit {
    /// Its place among the texts of the request, or of the reply.
    pub index: usize,
    /// What is shown of it.
    pub shown: Shown,
    /// Its own score.
    pub score: u8,
    /// The judge may lower it: the scorer alone found something, and the score is one that the judge is asked about.
    pub may_lower: bool,
}

/// A question in flight.
#[derive(Debug)]
pub struct Question {
    /// Who is asked.
    pub opinion: OpinionIndex,
    exhibits: Vec<Exhibit>,
    tag: Option<[u8; 16]>,
    /// The call; its answer goes to [`OpinionPolicy::answered`].
    pub call: Call,
    /// When it was asked.
    pub since: Timestamp,
}

/// What asking comes to.
#[derive(Debug)]
pub enum Asked {
    /// It was answered a moment ago, or can't be asked now.
    Known(Opinion),
    /// It must be asked.
    Ask(Box<Question>),
}

/// What became of an opinion, for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing changed.
    Same,
    /// A score of 50 and more is higher than the scanner's.
    Raised,
    /// A score is lower than the scorer's, which is 50 and more.
    Lowered,
    /// It marked something to be masked.
    Marked,
    /// There was no answer.
    Unavailable,
    /// Its answer has another form than its protocol's.
    Unreadable,
    /// It was not asked: too many questions at a time, or in a second.
    Busy,
    /// It was not asked: the texts are longer than `maxBytes`, or were not scanned whole.
    TooLong,
    /// It was not asked: the policy says so of streams.
    Skipped,
}

impl Outcome {
    /// The word in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Same => "same",
            Outcome::Raised => "raised",
            Outcome::Lowered => "lowered",
            Outcome::Marked => "marked",
            Outcome::Unavailable => "unavailable",
            Outcome::Unreadable => "unreadable",
            Outcome::Busy => "busy",
            Outcome::TooLong => "tooLong",
            Outcome::Skipped => "skipped",
        }
    }

    /// True where there is no opinion.
    pub const fn is_none(self) -> bool {
        matches!(self, Outcome::Unavailable | Outcome::Unreadable | Outcome::Busy | Outcome::TooLong | Outcome::Skipped)
    }

    /// The one of two that says more, for a stream whose parts were shown one after the other.
    #[must_use]
    pub const fn and(self, other: Outcome) -> Outcome {
        if self.rank() < other.rank() { other } else { self }
    }

    const fn rank(self) -> u8 {
        match self {
            Outcome::Skipped => 0,
            Outcome::Same => 1,
            Outcome::Lowered => 2,
            Outcome::Marked => 3,
            Outcome::Busy => 4,
            Outcome::TooLong => 5,
            Outcome::Unreadable => 6,
            Outcome::Unavailable => 7,
            Outcome::Raised => 8,
        }
    }
}

/// What a judge thinks of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextView {
    /// Its score, where it gives one.
    pub score: Option<u8>,
    /// The score may be lower than the scorer's.
    pub may_lower: bool,
    /// What is to be masked, in bytes of the text.
    pub marked: Vec<(Range<usize>, Found)>,
}

/// What a judge thinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// Whose it is.
    pub of: OpinionIndex,
    /// What became of it.
    pub outcome: Outcome,
    /// The highest score that it gave.
    pub score: Option<u8>,
    /// By the place of the text.
    pub texts: Vec<(usize, TextView)>,
    /// It was one of a moment ago.
    pub remembered: bool,
    /// How long it took, milliseconds.
    pub millis: u64,
    /// Why the request is refused without it.
    pub refusal: Option<Reason>,
}

/// All opinions of one request.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    opinions: Vec<Opinion>,
}

impl Heard {
    /// True when this one was asked.
    pub fn has(&self, index: OpinionIndex) -> bool {
        self.opinions.iter().any(|opinion| opinion.of == index)
    }

    /// Adds one.
    pub fn add(&mut self, opinion: Opinion) {
        self.opinions.push(opinion);
    }

    /// All, in the order in which they came.
    pub fn all(&self) -> &[Opinion] {
        &self.opinions
    }

    /// Why the request is refused: an opinion that the policy wants is missing.
    pub fn refusal(&self) -> Option<Reason> {
        self.opinions.iter().find_map(|opinion| opinion.refusal)
    }

    /// What is thought of each text, and by whom.
    pub fn by_text(&self) -> BTreeMap<usize, Vec<(OpinionIndex, &TextView)>> {
        let mut found: BTreeMap<usize, Vec<(OpinionIndex, &TextView)>> = BTreeMap::new();
        for opinion in &self.opinions {
            for (index, view) in &opinion.texts {
                found.entry(*index).or_default().push((opinion.of, view));
            }
        }
        found
    }
}

impl OpinionPolicy {
    /// Compiles one section of `opinions`; `None`: something that it needs is missing, and an error says what.
    pub(crate) fn compile(
        name: &str,
        written: &document::Opinion,
        at: &KeyPath,
        environment: Environment<'_>,
        errors: &mut Errors,
    ) -> Option<OpinionPolicy> {
        let kind = errors.require(at, "kind", written.kind);
        let cluster = errors.filled(at, "cluster", written.cluster.as_deref());
        let (kind, path) = (kind.and_then(|kind| compile_kind(kind, written, at, errors)), kind.map(default_path));
        let path = match (written.path.as_deref(), path) {
            (Some(path), _) => Some(path),
            (None, Some(Some(path))) => Some(path),
            (None, Some(None)) => errors.require(at, "path", None),
            (None, None) => None,
        };
        if path.is_some_and(|path| !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic())) {
            errors.push(&at.key("path"), "not a path such as /v1/moderations");
        }
        let credential =
            written.credential.as_ref().and_then(|raw| credential(raw, &at.key("credential"), environment, errors));
        let on_unavailable = match written.on_unavailable {
            None if written.kind.is_some_and(needs_fallback) => errors.require(at, "onUnavailable", None),
            written => Some(written.unwrap_or(OnNoOpinion::LocalVerdict)),
        };
        let when = band(written.when.as_ref(), &at.key("when"), errors);
        let (text, above) = text(written, at, errors);
        let timeout = errors.span(at, "timeout", written.timeout, (2000, 10..=30_000), "10ms to 30s");
        let keep = errors.span(at, "cacheFor", written.cache_for, (0, 0..=3_600_000), "at most 1h");
        let max_bytes = errors.range(at, "maxBytes", written.max_bytes, 65_536, 256..=1_048_576);
        let in_flight = errors.range(at, "maxInFlight", written.max_in_flight, 64, 1..=1024);
        let per_second = errors.range(at, "perSecond", written.per_second, 200, 1..=10_000);
        Some(OpinionPolicy {
            name: name.to_owned(),
            kind: kind?,
            cluster: cluster?.into(),
            authority: written.authority.as_deref().unwrap_or(name).into(),
            path: path?.into(),
            timeout,
            credential,
            when,
            text,
            above,
            on_unavailable: on_unavailable?,
            raw: written.raw.unwrap_or(false),
            mode: written.mode.unwrap_or(Mode::Enforce),
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            max_in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            per_second: u32::try_from(per_second).unwrap_or(u32::MAX),
            keep: u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX),
        })
    }

    /// Asks about these texts. `is_reply`: they are the model's. `policy` is the policy's digest: under another one nothing that
    /// is remembered counts.
    pub fn ask(
        &self,
        index: OpinionIndex,
        exhibits: Vec<Exhibit>,
        is_reply: bool,
        desk: &mut Desk,
        (policy, key, now): (&str, &HashKey, Timestamp),
    ) -> Asked {
        let texts: Vec<&str> = exhibits.iter().map(|exhibit| exhibit.shown.text.as_str()).collect();
        let none = |outcome| Asked::Known(self.without(index, &exhibits, outcome, 0));
        if texts.iter().fold(0_usize, |sum, text| sum.saturating_add(text.len())) > self.max_bytes {
            return none(Outcome::TooLong);
        }
        let tag = (self.keep > 0).then(|| {
            let what: &[u8] = if is_reply { b"reply" } else { b"request" };
            let mut parts: Vec<&[u8]> = vec![b"opinion", policy.as_bytes(), self.name.as_bytes(), what];
            parts.extend(texts.iter().map(|text| text.as_bytes()));
            key.hash(&parts)
        });
        if let Some(view) = tag.and_then(|tag| desk.memory.find(&tag, now)) {
            return Asked::Known(Opinion { remembered: true, ..self.with(index, &exhibits, view, 0) });
        }
        if desk.in_flight >= self.max_in_flight || !desk.may_ask(self.per_second, now) {
            return none(Outcome::Busy);
        }
        if !desk.breaker.admits(now) {
            return none(Outcome::Unavailable);
        }
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("accept", "application/json".to_owned())];
        headers.extend(self.credential.clone());
        let call = HttpCall {
            cluster: self.cluster.to_string(),
            method: "POST",
            authority: self.authority.to_string(),
            path: self.path.to_string(),
            headers,
            body: self.kind.body(&texts, is_reply).to_string().into_bytes(),
            timeout: self.timeout,
            most: MAX_ANSWER_BYTES,
        };
        desk.in_flight = desk.in_flight.saturating_add(1);
        Asked::Ask(Box::new(Question { opinion: index, exhibits, tag, call: Call::Http(call), since: now }))
    }

    /// The most bytes of a question's texts.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// It can't be shown these texts: they were not scanned whole, so that nobody knows what is to be masked.
    pub fn not_shown(&self, index: OpinionIndex, exhibits: &[Exhibit]) -> Opinion {
        self.without(index, exhibits, Outcome::TooLong, 0)
    }

    /// Takes the answer.
    pub fn answered(&self, question: &Question, answer: &Answer, desk: &mut Desk, now: Timestamp) -> Opinion {
        let Question { opinion, exhibits, tag, since, .. } = question;
        let millis = now.0.saturating_sub(since.0) / 1_000_000;
        let waited = u64::try_from(self.timeout.as_nanos() / 2).unwrap_or(u64::MAX);
        desk.breaker.note(answer.is_failure() && now.0.saturating_sub(since.0) >= waited, now);
        let texts: Vec<&str> = exhibits.iter().map(|exhibit| exhibit.shown.text.as_str()).collect();
        let view = match answer {
            Answer::Http { status: 200, body } => {
                serde_json::from_slice::<Value>(body).ok().and_then(|answer| self.kind.read(&answer, &texts))
            }
            answer if answer.is_failure() => return self.without(*opinion, exhibits, Outcome::Unavailable, millis),
            _ => None,
        };
        let Some(view) = view else { return self.without(*opinion, exhibits, Outcome::Unreadable, millis) };
        if let Some(tag) = tag.as_ref().filter(|_| view.marked.len() <= MOST_REMEMBERED) {
            desk.memory.keep(*tag, view.clone(), Timestamp(now.0.saturating_add(self.keep)), now);
        }
        self.with(*opinion, exhibits, view, millis)
    }

    fn with(&self, of: OpinionIndex, exhibits: &[Exhibit], view: View, millis: u64) -> Opinion {
        let text = |(at, exhibit): (usize, &Exhibit)| {
            let own = view.marked.iter().filter(|(text, ..)| *text == at);
            let marked = own.flat_map(|(_, span, kind)| {
                exhibit.shown.originals(span).into_iter().map(|original| (original, *kind))
            });
            let view = TextView {
                score: view.scores.get(at).copied(),
                may_lower: exhibit.may_lower,
                marked: marked.collect(),
            };
            (exhibit.index, view)
        };
        let texts: Vec<(usize, TextView)> = exhibits.iter().enumerate().map(text).collect();
        let scores = || exhibits.iter().zip(&texts).filter_map(|(exhibit, (_, view))| Some((exhibit, view.score?)));
        let outcome = if scores().any(|(exhibit, score)| score > exhibit.score && score >= EVEN) {
            Outcome::Raised
        } else if scores().any(|(exhibit, score)| exhibit.may_lower && score < exhibit.score && exhibit.score >= EVEN) {
            Outcome::Lowered
        } else if texts.iter().any(|(_, view)| !view.marked.is_empty()) {
            Outcome::Marked
        } else {
            Outcome::Same
        };
        let score = scores().map(|(_, score)| score).max();
        let texts = if self.mode == Mode::Shadow { Vec::new() } else { texts };
        Opinion { of, outcome, score, texts, remembered: false, millis, refusal: None }
    }

    /// No opinion: `onUnavailable` decides.
    fn without(&self, of: OpinionIndex, exhibits: &[Exhibit], outcome: Outcome, millis: u64) -> Opinion {
        let harmless = |exhibit: &Exhibit| {
            (exhibit.index, TextView { score: Some(0), may_lower: exhibit.may_lower, marked: Vec::new() })
        };
        let texts = match self.on_unavailable {
            _ if self.mode == Mode::Shadow => Vec::new(),
            // What a caller can bring about lets nothing go.
            _ if matches!(outcome, Outcome::Busy | Outcome::TooLong) => Vec::new(),
            OnNoOpinion::Allow if self.kind.has_scores() => exhibits.iter().map(harmless).collect(),
            // A judge that gives no scores lets nothing go while it is well.
            OnNoOpinion::Allow | OnNoOpinion::LocalVerdict | OnNoOpinion::Deny => Vec::new(),
        };
        let denies = self.on_unavailable == OnNoOpinion::Deny && self.mode == Mode::Enforce;
        let refusal = denies.then_some(Reason::OpinionUnavailable);
        Opinion { of, outcome, score: None, texts, remembered: false, millis, refusal }
    }
}

impl Desk {
    /// A question has been answered, or its request is gone.
    pub fn close(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn may_ask(&mut self, per_second: u32, now: Timestamp) -> bool {
        if self.asked.0 != now.as_secs() {
            self.asked = (now.as_secs(), 0);
        }
        self.asked.1 = self.asked.1.saturating_add(1);
        self.asked.1 <= per_second
    }
}

/// True where no detector of this filter covers what the judge looks for.
const fn needs_fallback(kind: OpinionKind) -> bool {
    matches!(kind, OpinionKind::Moderation | OpinionKind::Presidio | OpinionKind::Http)
}

const fn default_path(kind: OpinionKind) -> Option<&'static str> {
    match kind {
        OpinionKind::Moderation => Some("/v1/moderations"),
        OpinionKind::ChatJudge => Some("/v1/chat/completions"),
        OpinionKind::Presidio => Some("/analyze"),
        OpinionKind::Http => Some("/beta/litellm_basic_guardrail_api"),
        OpinionKind::Classifier => None,
    }
}

fn compile_kind(kind: OpinionKind, written: &document::Opinion, at: &KeyPath, errors: &mut Errors) -> Option<Kind> {
    let word = |written: &Option<String>| -> Box<str> { written.as_deref().unwrap_or_default().into() };
    let words = |written: &Option<Vec<String>>| -> Vec<Box<str>> {
        written.iter().flatten().map(|word| word.as_str().into()).collect()
    };
    let only = |has: bool, key: &str, of: &str, errors: &mut Errors| {
        if has {
            errors.push(&at.key(key), format!("has a meaning for kind {of} only"));
        }
    };
    let is = |other: OpinionKind| kind == other;
    only(written.instructions.is_some() && !is(OpinionKind::ChatJudge), "instructions", "chatJudge", errors);
    only(written.structured.is_some() && !is(OpinionKind::ChatJudge), "structured", "chatJudge", errors);
    only(written.threshold.is_some() && !is(OpinionKind::Presidio), "threshold", "presidio", errors);
    only(written.format.is_some() && !is(OpinionKind::Classifier), "format", "classifier", errors);
    only(written.labels.is_some() && !is(OpinionKind::Classifier), "labels", "classifier", errors);
    only(written.classes.is_some() && !is(OpinionKind::Classifier), "classes", "classifier", errors);
    only(written.language.is_some() && !is(OpinionKind::Presidio), "language", "presidio", errors);
    only(written.entities.is_some() && !is(OpinionKind::Presidio), "entities", "presidio", errors);
    Some(match kind {
        OpinionKind::Moderation => Kind::Moderation { model: word(&written.model) },
        OpinionKind::ChatJudge => Kind::ChatJudge {
            model: errors.filled(at, "model", written.model.as_deref())?.into(),
            instructions: written.instructions.as_deref().map(Into::into),
            is_structured: written.structured.unwrap_or(true),
        },
        OpinionKind::Classifier => {
            let labels = words(&written.labels);
            let usual = || ["INJECTION", "JAILBREAK", "MALICIOUS", "UNSAFE", "LABEL_1"].map(Into::into).to_vec();
            let labels: Vec<Box<str>> = if labels.is_empty() { usual() } else { labels };
            let classes = words(&written.classes);
            if !classes.is_empty()
                && !classes.iter().any(|class| labels.iter().any(|one| one.eq_ignore_ascii_case(class)))
            {
                errors.push(&at.key("classes"), "none of them is one of labels, so that nothing would be an attack");
            }
            Kind::Classifier {
                format: written.format.unwrap_or(ClassifierFormat::Tei),
                input: written.model.as_deref().unwrap_or("text").into(),
                labels,
                classes,
            }
        }
        OpinionKind::Presidio => Kind::Presidio {
            language: written.language.as_deref().unwrap_or("en").into(),
            entities: words(&written.entities),
            threshold: u8::try_from(errors.range(at, "threshold", written.threshold, 50, 0..=100)).unwrap_or(50),
        },
        OpinionKind::Http => Kind::Http,
    })
}

/// The scores about which it is asked.
fn band(written: Option<&document::OpinionWhen>, at: &KeyPath, errors: &mut Errors) -> RangeInclusive<u8> {
    let Some(between) = written.and_then(|when| when.score_between.as_deref()) else { return 0..=100 };
    match between {
        [low, high] if low <= high && *high <= 100 => {
            u8::try_from(*low).unwrap_or(0)..=u8::try_from(*high).unwrap_or(100)
        }
        _ => {
            errors.push(&at.key("scoreBetween"), "expected two scores from 0 to 100, the lower one first");
            0..=100
        }
    }
}

fn text(written: &document::Opinion, at: &KeyPath, errors: &mut Errors) -> (OpinionText, Option<u8>) {
    if written.text.is_some() && written.segments_above.is_some() {
        errors.push(&at.key("segmentsAbove"), "goes without text");
    }
    let above = written.segments_above.map(|above| {
        u8::try_from(above).ok().filter(|above| *above <= 100).unwrap_or_else(|| {
            errors.push(&at.key("segmentsAbove"), "expected a score from 0 to 100");
            0
        })
    });
    let usual = if above.is_some() { OpinionText::All } else { OpinionText::Newest };
    (written.text.unwrap_or(usual), above)
}

/// Headers that carry a credential of ours.
const CREDENTIALS: [&str; 5] = ["authorization", "api-key", "ocp-apim-subscription-key", "x-api-key", "x-goog-api-key"];

/// A header with a secret out of the environment.
fn credential(
    raw: &document::OpinionCredential,
    at: &KeyPath,
    environment: Environment<'_>,
    errors: &mut Errors,
) -> Option<(&'static str, String)> {
    let written = raw.header.as_deref().unwrap_or("authorization");
    let header = CREDENTIALS.into_iter().find(|known| *known == written);
    if header.is_none() {
        let known = CREDENTIALS.join(", ");
        errors.push(&at.key("header"), format!("unknown header {:?}, expected one of {known}", shortened(written)));
    }
    let from = document::FromEnv { from_env: raw.from_env.clone() };
    let secret = document::secret(&from, at, environment, errors)?;
    let is_plain = |secret: &String| secret.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    let Some(secret) = String::from_utf8(secret).ok().filter(is_plain) else {
        errors.push(&at.key("fromEnv"), "the variable holds signs that can't be in a header");
        return None;
    };
    let bearer = if header == Some("authorization") { "Bearer" } else { "" };
    let scheme = raw.scheme.as_deref().unwrap_or(bearer);
    let value = if scheme.is_empty() { secret } else { format!("{scheme} {secret}") };
    Some((header?, value))
}
