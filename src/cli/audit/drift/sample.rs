//! What of a record is counted. The names are those of `audit::Record`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;

/// A text that is borrowed where it has no escapes.
#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub(super) struct Word<'l>(#[serde(borrow)] pub(super) Cow<'l, str>);

/// Other keys are passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Sample<'l> {
    #[serde(rename = "event.dataset", borrow)]
    pub(super) dataset: Option<Word<'l>>,
    #[serde(rename = "@timestamp", borrow)]
    pub(super) timestamp: Option<Word<'l>>,
    #[serde(rename = "http.request.id", borrow)]
    pub(super) request_id: Option<Word<'l>>,
    #[serde(rename = "bartizan.worker", borrow)]
    pub(super) worker: Option<Word<'l>>,
    #[serde(rename = "bartizan.sequence")]
    pub(super) sequence: Option<u64>,
    #[serde(rename = "user.roles", borrow, default)]
    roles: Vec<Word<'l>>,
    #[serde(rename = "bartizan.group", borrow)]
    group: Option<Word<'l>>,
    #[serde(rename = "gen_ai.request.model", borrow)]
    model: Option<Word<'l>>,
    #[serde(rename = "bartizan.verdict", borrow)]
    verdict: Word<'l>,
    #[serde(rename = "bartizan.reason", borrow)]
    reason: Option<Word<'l>>,
    #[serde(rename = "bartizan.script", borrow)]
    script: Option<Word<'l>>,
    #[serde(rename = "gen_ai.response.finish_reasons", borrow, default)]
    finish: Vec<Word<'l>>,
    #[serde(rename = "bartizan.refusal", borrow)]
    refusal: Option<Word<'l>>,
    #[serde(rename = "bartizan.findings", borrow, default)]
    findings: Vec<Finding<'l>>,
    #[serde(rename = "bartizan.request.text_bytes")]
    request_bytes: Option<u64>,
    #[serde(rename = "bartizan.reply.text_bytes")]
    reply_bytes: Option<u64>,
    #[serde(rename = "gen_ai.usage.input_tokens")]
    input_tokens: Option<u64>,
    #[serde(rename = "gen_ai.usage.output_tokens")]
    output_tokens: Option<u64>,
    #[serde(rename = "bartizan.score")]
    score: Option<u64>,
    #[serde(rename = "event.duration")]
    duration: Option<u64>,
    #[serde(rename = "bartizan.first_chunk_ms")]
    first_chunk: Option<u64>,
    #[serde(rename = "bartizan.latency_us")]
    latency: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Finding<'l> {
    #[serde(borrow)]
    rule: Word<'l>,
}

/// Rules, or reasons of an end, of one record that are told apart.
const MAX_WORDS: usize = 3;

impl Sample<'_> {
    /// The record's place in each dimension.
    pub(super) fn name(&self, by: super::By) -> Option<&str> {
        let word = match by {
            super::By::Model => self.model.as_ref(),
            super::By::Role => self.roles.first(),
            super::By::Group => self.group.as_ref(),
        };
        word.map(|word| &*word.0)
    }

    /// The numbers that it has.
    pub(super) fn numbers(&self) -> [(&'static str, Option<u64>); 8] {
        [
            ("requestBytes", self.request_bytes),
            ("replyBytes", self.reply_bytes),
            ("inputTokens", self.input_tokens),
            ("outputTokens", self.output_tokens),
            ("score", self.score),
            ("durationMs", self.duration.map(|nanos| nanos / 1_000_000)),
            ("firstChunkMs", self.first_chunk),
            ("filterUs", self.latency),
        ]
    }

    /// The words that it has: one of each kind, so that a record is one observation.
    pub(super) fn words(&self) -> [(&'static str, Option<Cow<'_, str>>); 7] {
        let own = |word: &'_ Option<Word<'_>>| word.as_ref().map(|word| word.0.to_string().into());
        let is_block = self.is_blocked();
        [
            ("verdict", Some(Cow::Borrowed(&*self.verdict.0))),
            ("reason", own(&self.reason).filter(|_| is_block)),
            ("script", own(&self.script)),
            ("finish", joined(self.finish.iter().map(|word| &*word.0), MAX_WORDS)),
            ("refusal", self.is_answered().then(|| own(&self.refusal).unwrap_or(Cow::Borrowed("none")))),
            ("findings", self.score.map(|_| Cow::Borrowed(if self.findings.is_empty() { "none" } else { "some" }))),
            ("rules", joined(self.findings.iter().map(|one| &*one.rule.0), MAX_WORDS)),
        ]
    }

    /// True where something of a model's reply is known.
    pub(super) fn is_answered(&self) -> bool {
        self.refusal.is_some() || !self.finish.is_empty() || self.reply_bytes.is_some()
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    pub(super) fn is_blocked(&self) -> bool {
        &*self.verdict.0 == "block"
    }

    /// Refused for what was found in its text.
    pub(super) fn is_blocked_for_content(&self) -> bool {
        self.is_blocked() && self.reason.as_ref().is_some_and(|reason| reason.0.starts_with("scan."))
    }

    pub(super) fn is_changed(&self) -> bool {
        matches!(&*self.verdict.0, "mask" | "replace")
    }
}

/// Words of one record as one word, in an order that does not depend on theirs.
fn joined<'w>(words: impl Iterator<Item = &'w str>, most: usize) -> Option<Cow<'w, str>> {
    let words: BTreeSet<&str> = words.collect();
    let shown: Vec<&str> = words.iter().copied().take(most).collect();
    let rest = if words.len() > shown.len() { "+.." } else { "" };
    match shown.as_slice() {
        [] => None,
        [one] if rest.is_empty() => Some(Cow::Borrowed(one)),
        several => Some(format!("{}{rest}", several.join("+")).into()),
    }
}
