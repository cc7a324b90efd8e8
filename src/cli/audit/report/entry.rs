//! An audit record as it is read back, borrowed from its line. The names are those of `audit::Record`.

use std::borrow::Cow;

use serde::Deserialize;

/// A text that is borrowed where it has no escapes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Word<'l>(#[serde(borrow)] Cow<'l, str>);

impl Word<'_> {
    pub(super) fn get(&self) -> &str {
        &self.0
    }
}

/// Only what is summed up. Other keys are passed over: a later version may write more.
#[derive(Debug, Deserialize)]
pub(super) struct Entry<'l> {
    #[serde(rename = "event.dataset", borrow)]
    pub(super) dataset: Option<Word<'l>>,
    #[serde(rename = "@timestamp", borrow)]
    pub(super) timestamp: Option<Word<'l>>,
    #[serde(rename = "http.request.id", borrow)]
    pub(super) request_id: Option<Word<'l>>,
    #[serde(rename = "http.response.status_code")]
    pub(super) status: Option<u64>,
    #[serde(rename = "url.path", borrow)]
    pub(super) route: Option<Word<'l>>,
    #[serde(rename = "user.hash", borrow)]
    pub(super) user_hash: Option<Word<'l>>,
    #[serde(rename = "user.roles", borrow, default)]
    pub(super) roles: Vec<Word<'l>>,
    #[serde(rename = "organization.id", borrow)]
    pub(super) tenant: Option<Word<'l>>,
    #[serde(rename = "gen_ai.request.model", borrow)]
    pub(super) model: Option<Word<'l>>,
    #[serde(rename = "gen_ai.response.model", borrow)]
    pub(super) response_model: Option<Word<'l>>,
    #[serde(rename = "gen_ai.usage.input_tokens")]
    pub(super) input_tokens: Option<u64>,
    #[serde(rename = "gen_ai.usage.output_tokens")]
    pub(super) output_tokens: Option<u64>,
    #[serde(rename = "bartizan.tokens.basis", borrow)]
    pub(super) basis: Option<Word<'l>>,
    #[serde(rename = "bartizan.cost.amount", borrow)]
    pub(super) cost: Option<Word<'l>>,
    #[serde(rename = "bartizan.cost.currency", borrow)]
    pub(super) currency: Option<Word<'l>>,
    #[serde(rename = "bartizan.cost.basis", borrow)]
    pub(super) cost_basis: Option<Word<'l>>,
    #[serde(rename = "bartizan.budget.crossed", borrow, default)]
    pub(super) crossed: Vec<Crossed<'l>>,
    #[serde(rename = "bartizan.capture", borrow)]
    pub(super) capture: Option<Word<'l>>,
    #[serde(rename = "bartizan.quota.counted_by", borrow)]
    pub(super) counted_by: Option<Word<'l>>,
    #[serde(rename = "bartizan.call.skipped", borrow)]
    pub(super) skipped: Option<Word<'l>>,
    #[serde(rename = "bartizan.revocation", borrow)]
    pub(super) revocation: Option<Word<'l>>,
    #[serde(rename = "bartizan.abuse.strike", default)]
    pub(super) is_strike: bool,
    #[serde(rename = "bartizan.abuse.cooldown_s")]
    pub(super) cooldown: Option<u64>,
    #[serde(rename = "bartizan.abuse.late_cooldowns", default)]
    pub(super) late_cooldowns: u64,
    #[serde(rename = "bartizan.verdict", borrow)]
    pub(super) verdict: Word<'l>,
    #[serde(rename = "bartizan.reason", borrow)]
    pub(super) reason: Option<Word<'l>>,
    #[serde(rename = "bartizan.shadow", borrow, default)]
    pub(super) shadow: Vec<Word<'l>>,
    #[serde(rename = "bartizan.opinions", borrow, default)]
    pub(super) opinions: Vec<Opinion<'l>>,
    #[serde(rename = "bartizan.authz.decision", borrow)]
    pub(super) authz: Option<Word<'l>>,
    #[serde(rename = "bartizan.protocol", borrow)]
    pub(super) protocol: Option<Word<'l>>,
    #[serde(rename = "bartizan.score")]
    pub(super) score: Option<u64>,
    #[serde(rename = "bartizan.coverage", borrow)]
    pub(super) coverage: Option<Word<'l>>,
    #[serde(rename = "bartizan.unscanned", borrow, default)]
    pub(super) unscanned: Vec<Word<'l>>,
    #[serde(rename = "bartizan.findings", borrow, default)]
    pub(super) findings: Vec<Finding<'l>>,
    #[serde(rename = "bartizan.findings_total", default)]
    pub(super) findings_total: u64,
    #[serde(rename = "bartizan.masked", default)]
    pub(super) masked: u64,
    #[serde(rename = "bartizan.policy.digest", borrow)]
    pub(super) policy_digest: Option<Word<'l>>,
    #[serde(rename = "bartizan.rules.digest", borrow)]
    pub(super) rules_digest: Option<Word<'l>>,
    #[serde(rename = "bartizan.latency_us")]
    pub(super) latency: Option<u64>,
    #[serde(rename = "bartizan.worker", borrow)]
    pub(super) worker: Option<Word<'l>>,
    #[serde(rename = "bartizan.sequence")]
    pub(super) sequence: Option<u64>,
}

/// A line that is no record: of the responder, a ban, its end, or that there is none; or a tombstone.
#[derive(Debug, Deserialize)]
pub(super) struct Response<'l> {
    #[serde(rename = "event.dataset", borrow)]
    pub(super) dataset: Word<'l>,
    #[serde(rename = "@timestamp", borrow)]
    pub(super) timestamp: Option<Word<'l>>,
    #[serde(rename = "event.action", borrow)]
    pub(super) action: Option<Word<'l>>,
    #[serde(rename = "bartizan.worker", borrow)]
    pub(super) worker: Option<Word<'l>>,
    #[serde(rename = "bartizan.sequence")]
    pub(super) sequence: Option<u64>,
    #[serde(rename = "event.reason", borrow)]
    pub(super) reason: Option<Word<'l>>,
    #[serde(rename = "bartizan.ban.id", borrow)]
    pub(super) ban: Option<Word<'l>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Crossed<'l> {
    #[serde(borrow)]
    pub(super) role: Word<'l>,
    #[serde(borrow)]
    pub(super) per: Word<'l>,
    #[serde(borrow)]
    pub(super) counts: Word<'l>,
    pub(super) share: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Opinion<'l> {
    #[serde(borrow)]
    pub(super) name: Word<'l>,
    #[serde(borrow)]
    pub(super) outcome: Word<'l>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Finding<'l> {
    #[serde(borrow)]
    pub(super) rule: Word<'l>,
    #[serde(borrow)]
    pub(super) action: Word<'l>,
}
