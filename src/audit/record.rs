//! The audit record: one JSON line a request.
//!
//! Names follow the Elastic Common Schema and OpenTelemetry's GenAI conventions where they have one;
//! ours are under `bartizan.`. Absent values are absent keys.

use serde::Serialize;

use super::entries::{Coverage, CrossedEntry, FindingEntry, OpinionEntry, TextEntry, Verdict};
use super::time::rfc3339;
use crate::host::Timestamp;
use crate::protocol::reply::Usage;
use crate::protocol::{Finish, RefusedBy};
use crate::quota::Crossed;
use crate::quota::price::decimal;
use crate::reason::Reason;
use crate::script::Script;
use crate::sorted;

/// Everything the record holds. Built up while the request passes.
///
/// Outside this room it is only written: what a later stage needs to know is state of the exchange.
///
/// ```
/// use bartizan::audit::{Coverage, Record, Verdict};
/// use bartizan::host::Timestamp;
///
/// let mut record = Record::new("small", "0123456789ab", "ba9876543210");
/// record.set_verdict(Verdict::Allow);
/// record.set_coverage(Coverage::Full);
/// assert!(record.to_json(Timestamp::from_secs(0)).contains(r#""bartizan.verdict":"allow""#));
/// ```
///
/// To read it back does not compile:
///
/// ```compile_fail,E0616
/// use bartizan::audit::{Record, Verdict};
///
/// fn is_allowed(record: &Record) -> bool {
///     record.verdict == Verdict::Allow
/// }
/// ```
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Record {
    /// When the record was written: UTC, RFC 3339, milliseconds.
    #[serde(rename = "@timestamp")]
    timestamp: String,
    /// `event`.
    #[serde(rename = "event.kind")]
    kind: &'static str,
    /// `bartizan.audit`.
    #[serde(rename = "event.dataset")]
    dataset: &'static str,
    /// `success`, `failure` (it was refused), or `unknown` (the filter did not see its end).
    #[serde(rename = "event.outcome")]
    outcome: &'static str,
    /// The version of this form: 1. A field that is added does not change it.
    #[serde(rename = "bartizan.record")]
    version: u8,
    /// `x-request-id`, when it is a UUID; else the worker's name and a number. A refusal quotes it.
    #[serde(rename = "http.request.id", skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
    /// Method, when it is one of HTTP's own.
    #[serde(rename = "http.request.method", skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<&'static str>,
    /// The status that the caller got.
    #[serde(rename = "http.response.status_code", skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// The path of the matching route, as the policy writes it.
    #[serde(rename = "url.path", skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<String>,
    /// The kind of a path that no route matches: a path that a wire format knows, the first part of an address that probes
    /// ask for, or `other`.
    #[serde(rename = "bartizan.path_class", skip_serializing_if = "Option::is_none")]
    pub(super) path_class: Option<&'static str>,
    /// Keyed hash of the identity.
    #[serde(rename = "user.hash", skip_serializing_if = "Option::is_none")]
    pub(super) user_hash: Option<String>,
    /// The subject, where the policy wants it plain.
    #[serde(rename = "user.id", skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<String>,
    /// Roles that granted the request, or that the caller has when none did.
    #[serde(rename = "user.roles", skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<String>,
    /// The tenant, in the form the subject has.
    #[serde(rename = "organization.id", skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
    /// Operation.
    #[serde(rename = "gen_ai.operation.name", skip_serializing_if = "Option::is_none")]
    pub(super) operation: Option<&'static str>,
    /// The model, or its keyed hash when the policy does not name it.
    #[serde(rename = "gen_ai.request.model", skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    /// The model that it goes on with, where the one asked for is an alias of the policy's.
    #[serde(rename = "bartizan.model.pinned", skip_serializing_if = "Option::is_none")]
    pub(super) pinned_model: Option<String>,
    /// The model will go (`models.deprecated`).
    #[serde(rename = "bartizan.model.deprecated", skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_deprecated: bool,
    /// The reply names another model than the one that the request went on with.
    #[serde(rename = "bartizan.model.mismatch", skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_mismatch: bool,
    /// The versions of its system prompts, as the policy names them, each once.
    #[serde(rename = "bartizan.prompt.version", skip_serializing_if = "Vec::is_empty")]
    pub(super) prompt_versions: Vec<String>,
    /// What counters call the model.
    #[serde(skip)]
    pub(super) model_label: Option<String>,
    /// What counters call the tenant.
    #[serde(skip)]
    pub(super) tenant_label: Option<String>,
    /// The cap on output tokens that went to the upstream.
    #[serde(rename = "gen_ai.request.max_tokens", skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u64>,
    /// Input tokens as the upstream counted them.
    #[serde(rename = "gen_ai.usage.input_tokens", skip_serializing_if = "Option::is_none")]
    pub(super) input_tokens: Option<u64>,
    /// Output tokens as the upstream counted them.
    #[serde(rename = "gen_ai.usage.output_tokens", skip_serializing_if = "Option::is_none")]
    pub(super) output_tokens: Option<u64>,
    /// Input tokens that came from the upstream's cache.
    #[serde(rename = "gen_ai.usage.cache_read.input_tokens", skip_serializing_if = "Option::is_none")]
    pub(super) cached_tokens: Option<u64>,
    /// Output tokens that are reasoning.
    #[serde(rename = "gen_ai.usage.reasoning.output_tokens", skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_tokens: Option<u64>,
    /// The model that the reply names, where that is another one, or its keyed hash.
    #[serde(rename = "gen_ai.response.model", skip_serializing_if = "Option::is_none")]
    pub(super) billed_model: Option<String>,
    /// Why the reply ended: the provider's own words of all its choices, sorted. A word that is not of the closed list
    /// is `other`.
    #[serde(rename = "gen_ai.response.finish_reasons", skip_serializing_if = "Vec::is_empty")]
    pub(super) finish_reasons: Vec<&'static str>,
    /// Who refused to answer, by a signal of the protocol: `model`, or `provider` (its filter or guardrail).
    #[serde(rename = "bartizan.refusal", skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<&'static str>,
    /// The script that most letters of the caller's texts have, a coarse class: `latin`, `cyrillic`, `han`, `none`, ...
    #[serde(rename = "bartizan.script", skip_serializing_if = "Option::is_none")]
    pub(super) script: Option<&'static str>,
    /// Bytes of the request's texts.
    #[serde(rename = "bartizan.request.text_bytes", skip_serializing_if = "Option::is_none")]
    pub(super) request_text_bytes: Option<u64>,
    /// Bytes of the model's texts, thoughts and arguments of tools among them, as far as they were read.
    #[serde(rename = "bartizan.reply.text_bytes", skip_serializing_if = "Option::is_none")]
    pub(super) reply_text_bytes: Option<u64>,
    /// The caller's group: one of `audit.group.values`, or `other`. Absent: the token names none.
    #[serde(rename = "bartizan.group", skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<String>,
    /// Tokens of its texts, estimated without any model's vocabulary.
    #[serde(rename = "bartizan.tokens.estimated_input", skip_serializing_if = "Option::is_none")]
    pub(super) estimated_input: Option<u64>,
    /// Input tokens that were held for it: the estimate, calibrated by what the model was seen to count.
    #[serde(rename = "bartizan.tokens.reserved_input", skip_serializing_if = "Option::is_none")]
    pub(super) reserved_input: Option<u64>,
    /// Output tokens that were held for it, the cap.
    #[serde(rename = "bartizan.tokens.reserved_output", skip_serializing_if = "Option::is_none")]
    pub(super) reserved_output: Option<u64>,
    /// Tokens that were charged when it ended.
    #[serde(rename = "bartizan.tokens.charged", skip_serializing_if = "Option::is_none")]
    pub(super) charged_tokens: Option<u64>,
    /// How that is known: `usage`, `counted`, `reserved` or `refunded`; `unsettled` when the store failed.
    #[serde(rename = "bartizan.tokens.basis", skip_serializing_if = "Option::is_none")]
    pub(super) charged_basis: Option<&'static str>,
    /// What it cost: a decimal text of 6 decimals.
    #[serde(rename = "bartizan.cost.amount", skip_serializing_if = "Option::is_none")]
    pub(super) cost: Option<String>,
    /// The same in millionths.
    #[serde(skip)]
    pub(super) cost_micros: u64,
    /// What it was expected to cost at most, and what was held of budgets for it.
    #[serde(rename = "bartizan.cost.reserved", skip_serializing_if = "Option::is_none")]
    pub(super) reserved_cost: Option<String>,
    /// The currency of both.
    #[serde(rename = "bartizan.cost.currency", skip_serializing_if = "Option::is_none")]
    pub(super) currency: Option<String>,
    /// How that is known, in the words of `bartizan.tokens.basis`, or `unpriced`.
    #[serde(rename = "bartizan.cost.basis", skip_serializing_if = "Option::is_none")]
    pub(super) cost_basis: Option<&'static str>,
    /// Pictures that it is charged for.
    #[serde(rename = "bartizan.cost.images", skip_serializing_if = "is_zero")]
    pub(super) images: u64,
    /// Shares of limits that its charge has reached.
    #[serde(rename = "bartizan.budget.crossed", skip_serializing_if = "Vec::is_empty")]
    pub(super) crossed: Vec<CrossedEntry>,
    /// `sealed`, or why the request was not captured: `tooLarge`, `tooMany`.
    #[serde(rename = "bartizan.capture", skip_serializing_if = "Option::is_none")]
    pub(super) capture: Option<&'static str>,
    /// `unchecked`: nobody knows whether the token is revoked, and the policy let it in.
    #[serde(rename = "bartizan.revocation", skip_serializing_if = "Option::is_none")]
    pub(super) revocation: Option<&'static str>,
    /// `proxy`: this proxy counted by itself what a service should have counted for the fleet.
    #[serde(rename = "bartizan.quota.counted_by", skip_serializing_if = "Option::is_none")]
    pub(super) counted_by: Option<&'static str>,
    /// Who was not asked because it hangs: `quota` or `introspection`.
    #[serde(rename = "bartizan.call.skipped", skip_serializing_if = "Option::is_none")]
    pub(super) skipped_call: Option<&'static str>,
    /// The request was refused by a strong sign of an attack: a strike against its caller. The same text is one strike, however often
    /// it comes.
    #[serde(rename = "bartizan.abuse.strike", skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_strike: bool,
    /// Seconds of the cool-down that this request began for its caller.
    #[serde(rename = "bartizan.abuse.cooldown_s", skip_serializing_if = "Option::is_none")]
    pub(super) cooldown_secs: Option<u64>,
    /// Cool-downs that began as it ended, of strikes that the store had not taken before.
    #[serde(rename = "bartizan.abuse.late_cooldowns", skip_serializing_if = "is_zero")]
    pub(super) late_cooldowns: u64,
    /// What became of the request.
    #[serde(rename = "bartizan.verdict")]
    pub(super) verdict: Verdict,
    /// Why it was refused.
    #[serde(rename = "bartizan.reason", skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    /// What the caller, or its issuer, probably did: `providerKey`, `tokenTooLong`, `groupsOverage`.
    #[serde(rename = "bartizan.hint", skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<&'static str>,
    /// What shadow mode did not carry out: reasons of refusals and changes, `canary`, `spotlight`.
    #[serde(rename = "bartizan.shadow", skip_serializing_if = "Vec::is_empty")]
    pub(super) shadow: Vec<&'static str>,
    /// What outside judges thought.
    #[serde(rename = "bartizan.opinions", skip_serializing_if = "Vec::is_empty")]
    pub(super) opinions: Vec<OpinionEntry>,
    /// What the operator's policy engine decided: `allow`, `deny`, `unavailable`, or `unreadable`.
    #[serde(rename = "bartizan.authz.decision", skip_serializing_if = "Option::is_none")]
    pub(super) authz: Option<&'static str>,
    /// The engine's own reason, where it is short and plain.
    #[serde(rename = "bartizan.authz.reason", skip_serializing_if = "Option::is_none")]
    pub(super) authz_reason: Option<String>,
    /// The engine's answer was one of a moment ago.
    #[serde(rename = "bartizan.authz.cached", skip_serializing_if = "Option::is_none")]
    pub(super) authz_remembered: Option<bool>,
    /// The wire format.
    #[serde(rename = "bartizan.protocol", skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<&'static str>,
    /// The issuer's name in the policy.
    #[serde(rename = "bartizan.issuer", skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<String>,
    /// The highest score of any text, 0 to 100.
    #[serde(rename = "bartizan.score", skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<u8>,
    /// `full`, `partial` (something was not scanned, see `bartizan.unscanned`) or `none`.
    #[serde(rename = "bartizan.coverage", skip_serializing_if = "Option::is_none")]
    pub(super) coverage: Option<Coverage>,
    /// Kinds of content that were not scanned.
    #[serde(rename = "bartizan.unscanned", skip_serializing_if = "Vec::is_empty")]
    pub(super) unscanned: Vec<&'static str>,
    /// Types of parts that the format does not know; their text was scanned. One of more than three short words is `*`.
    #[serde(rename = "bartizan.unknown", skip_serializing_if = "Vec::is_empty")]
    pub(super) unknown: Vec<String>,
    /// Texts whose score reached a threshold, at most 8.
    #[serde(rename = "bartizan.texts", skip_serializing_if = "Vec::is_empty")]
    pub(super) texts: Vec<TextEntry>,
    /// What was found; at most 32, the rest is counted.
    #[serde(rename = "bartizan.findings", skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<FindingEntry>,
    /// How many findings there were in all.
    #[serde(rename = "bartizan.findings_total", skip_serializing_if = "is_zero")]
    pub(super) findings_total: u64,
    /// How many values were masked.
    #[serde(rename = "bartizan.masked", skip_serializing_if = "is_zero")]
    pub(super) masked: u64,
    /// How many tools were taken out of the request.
    #[serde(rename = "bartizan.tools_removed", skip_serializing_if = "is_zero")]
    pub(super) tools_removed: u64,
    /// How many records were taken out of a store's answer.
    #[serde(rename = "bartizan.chunks_removed", skip_serializing_if = "is_zero")]
    pub(super) chunks_removed: u64,
    /// Tools that the request goes on with, at most 16: names that the policy's roles allow, as they are where the role writes
    /// them out or they have a tool name's form and nothing is found in them, else as their keyed hash.
    #[serde(rename = "bartizan.tools", skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<String>,
    /// Bytes of the request's body.
    #[serde(rename = "http.request.body.bytes", skip_serializing_if = "Option::is_none")]
    pub(super) body_bytes: Option<u64>,
    /// Keyed fingerprint of the request's body: equal bodies of one identity key stay equal.
    #[serde(rename = "bartizan.fingerprint", skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<String>,
    /// Policy name.
    #[serde(rename = "bartizan.policy.name")]
    pub(super) policy: String,
    /// First 12 hex digits of the policy document's SHA-256.
    #[serde(rename = "bartizan.policy.digest")]
    pub(super) policy_digest: String,
    /// First 12 hex digits of the ruleset's SHA-256.
    #[serde(rename = "bartizan.rules.digest")]
    pub(super) rules_digest: String,
    /// From the request's headers to the end of the exchange, nanoseconds.
    #[serde(rename = "event.duration", skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<u64>,
    /// Of a streamed reply: from when the request went on to the first bytes of the body, milliseconds.
    #[serde(rename = "bartizan.first_chunk_ms", skip_serializing_if = "Option::is_none")]
    pub(super) first_chunk_ms: Option<u64>,
    /// The trace that the request belongs to: 32 hex digits of a valid `traceparent` (W3C Trace Context).
    #[serde(rename = "trace.id", skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
    /// The span that the request was sent in: 16 hex digits of the same header.
    #[serde(rename = "span.id", skip_serializing_if = "Option::is_none")]
    pub(super) span: Option<String>,
    /// What counters call its first role.
    #[serde(skip)]
    pub(super) role_label: Option<String>,
    /// Time spent in the filter, microseconds.
    #[serde(rename = "bartizan.latency_us", skip_serializing_if = "Option::is_none")]
    pub(super) latency_us: Option<u64>,
    /// The VM that wrote this: a random name.
    #[serde(rename = "bartizan.worker")]
    pub(super) worker: String,
    /// Counts the records of one worker: a gap is a lost record.
    #[serde(rename = "bartizan.sequence")]
    pub(super) sequence: u64,
}

/// The version of the record's form. A field that goes or changes its meaning raises it.
pub const VERSION: u8 = 1;

/// More findings than this are counted and not listed.
pub const MAX_FINDINGS: usize = 32;

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this form")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Record {
    /// An empty record that names the policy and the ruleset.
    pub fn new(policy: &str, policy_digest: &str, rules_digest: &str) -> Record {
        Record {
            policy: policy.to_owned(),
            policy_digest: policy_digest.to_owned(),
            rules_digest: rules_digest.to_owned(),
            ..Record::default()
        }
    }

    /// The line, as of `now`.
    pub fn to_json(&mut self, now: Timestamp) -> String {
        self.timestamp = rfc3339(now);
        self.kind = "event";
        self.dataset = "bartizan.audit";
        self.version = VERSION;
        self.outcome = match self.verdict {
            Verdict::Block => "failure",
            Verdict::Incomplete => "unknown",
            _ => "success",
        };
        // A struct of strings and numbers always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Notes a refusal.
    pub fn refused(&mut self, reason: Reason) {
        self.verdict = Verdict::Block;
        self.reason = Some(reason.code());
    }

    /// What the caller, or its issuer, probably did.
    pub fn set_hint(&mut self, hint: Option<&'static str>) {
        self.hint = hint;
    }

    /// What became of the request.
    pub fn set_verdict(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }

    /// How much of it was scanned.
    pub fn set_coverage(&mut self, coverage: Coverage) {
        self.coverage = Some(coverage);
    }

    /// A kind of content that was not scanned; each is listed once.
    pub fn add_unscanned(&mut self, kind: &'static str) {
        if !self.unscanned.contains(&kind) {
            self.unscanned.push(kind);
        }
    }

    /// Types of parts that the format does not know, in words that may be shown.
    pub fn set_unknown(&mut self, mut kinds: Vec<String>) {
        sorted::once(&mut kinds);
        self.unknown = kinds;
    }

    /// The highest score of any text, 0 to 100.
    pub fn set_score(&mut self, score: u8) {
        self.score = Some(score);
    }

    /// What shadow mode did not carry out, each code once.
    pub fn add_shadow(&mut self, codes: impl IntoIterator<Item = &'static str>) {
        for code in codes {
            if !self.shadow.contains(&code) {
                self.shadow.push(code);
            }
        }
    }

    /// The id that a refusal quotes.
    pub fn set_request_id(&mut self, id: String) {
        self.request_id = Some(id);
    }

    /// The method, where it is one of HTTP's own.
    pub fn set_method(&mut self, method: Option<&'static str>) {
        self.method = method;
    }

    /// The status that the caller gets.
    pub fn set_status(&mut self, status: Option<u16>) {
        self.status = status;
    }

    /// The path of the matching route, as the policy writes it.
    pub fn set_route(&mut self, path: &str) {
        self.route = Some(path.to_owned());
    }

    /// The kind of a path that no route matches.
    pub fn set_path_class(&mut self, class: &'static str) {
        self.path_class = Some(class);
    }

    /// The wire format and the operation.
    pub fn set_operation(&mut self, protocol: &'static str, operation: &'static str) {
        self.protocol = Some(protocol);
        self.operation = Some(operation);
    }

    /// The issuer's name in the policy, and what counters call the tenant.
    pub fn set_caller(&mut self, issuer: &str, tenant_label: Option<String>) {
        self.issuer = Some(issuer.to_owned());
        self.tenant_label = tenant_label;
    }

    /// The subject, hashed or, where the policy wants it so, plain; and the tenant in the same form.
    pub fn set_subject(&mut self, subject: String, is_hashed: bool, tenant: Option<String>) {
        let place = if is_hashed { &mut self.user_hash } else { &mut self.user_id };
        *place = Some(subject);
        self.tenant = tenant;
    }

    /// Roles that granted the request, or that the caller has, and what counters call the first.
    pub fn set_roles(&mut self, roles: Vec<String>, label: Option<&str>) {
        self.role_label = label.map(str::to_owned);
        self.roles = roles;
    }

    /// The model or its keyed hash, and what counters call it.
    pub fn set_model(&mut self, model: String, label: &str) {
        self.model = Some(model);
        self.model_label = Some(label.to_owned());
    }

    /// The model that an alias means.
    pub fn set_pinned(&mut self, model: Option<String>) {
        self.pinned_model = model;
    }

    /// The model will go.
    pub fn set_deprecated(&mut self, is_deprecated: bool) {
        self.is_deprecated = is_deprecated;
    }

    /// The reply names another model.
    pub fn set_mismatch(&mut self, is_mismatch: bool) {
        self.is_mismatch = is_mismatch;
    }

    /// The versions of its system prompts.
    pub fn set_prompt_versions(&mut self, mut names: Vec<String>) {
        sorted::once(&mut names);
        self.prompt_versions = names;
    }

    /// The cap on output tokens that goes to the upstream.
    pub fn set_max_tokens(&mut self, cap: Option<u64>) {
        self.max_tokens = cap;
    }

    /// The body's length in bytes, and its keyed fingerprint.
    pub fn set_body(&mut self, bytes: usize, fingerprint: String) {
        self.body_bytes = Some(bytes as u64);
        self.fingerprint = Some(fingerprint);
    }

    /// Tokens as the upstream counted them.
    pub fn set_usage(&mut self, usage: Usage) {
        let Usage { input, output, cached, reasoning } = usage;
        (self.input_tokens, self.output_tokens) = (input, output);
        (self.cached_tokens, self.reasoning_tokens) = (cached, reasoning);
    }

    /// Why the reply ended, and who refused.
    pub fn set_finish(&mut self, finish: Finish) {
        self.finish_reasons = finish.words().collect();
        self.refusal = finish.refusal().map(RefusedBy::name);
    }

    /// The script and the bytes of the request's texts.
    pub fn set_texts(&mut self, script: Script, bytes: u64) {
        self.script = Some(script.name());
        self.request_text_bytes = Some(bytes);
    }

    /// Bytes of the model's texts.
    pub fn set_reply_text(&mut self, bytes: u64) {
        self.reply_text_bytes = Some(bytes);
    }

    /// The caller's group.
    pub fn set_group(&mut self, group: Option<String>) {
        self.group = group;
    }

    /// What it is expected to cost at most: a decimal text, and the currency.
    pub fn set_reserved_cost(&mut self, cost: String, currency: &str) {
        self.reserved_cost = Some(cost);
        self.currency = Some(currency.to_owned());
    }

    /// What it cost, in millionths of the currency, and how that is known.
    pub fn set_cost(&mut self, micros: u64, currency: &str, basis: &'static str) {
        self.cost = Some(decimal(micros));
        (self.cost_micros, self.cost_basis) = (micros, Some(basis));
        self.currency = Some(currency.to_owned());
    }

    /// Its model has no price.
    pub fn set_unpriced(&mut self) {
        self.cost_basis = Some("unpriced");
    }

    /// Pictures that it is charged for.
    pub fn set_images(&mut self, images: u64) {
        self.images = images;
    }

    /// The model that the reply names or its keyed hash, and what counters call it where that is another word. One that is
    /// the same is not noted.
    pub fn set_billed_model(&mut self, model: String, label: Option<&str>) {
        if self.model.as_ref() != Some(&model) {
            self.billed_model = Some(model);
            self.model_label = label.map(str::to_owned).or(self.model_label.take());
        }
    }

    /// The shares of limits that its charge has reached.
    pub fn set_crossed(&mut self, crossed: &[Crossed]) {
        let entry = |one: &Crossed| CrossedEntry {
            role: one.role.clone(),
            per: one.per.as_str(),
            counts: one.counts.as_str(),
            share: one.share,
        };
        self.crossed = crossed.iter().map(entry).collect();
    }

    /// Tokens of the texts as estimated, and the input and output tokens that are held.
    pub fn set_reserved(&mut self, estimated: Option<u64>, input: u64, output: u64) {
        self.estimated_input = estimated;
        (self.reserved_input, self.reserved_output) = (Some(input), Some(output));
    }

    /// Tokens that were charged.
    pub fn set_charged(&mut self, tokens: u64) {
        self.charged_tokens = Some(tokens);
    }

    /// How it is known what to charge.
    pub fn set_basis(&mut self, basis: &'static str) {
        self.charged_basis = Some(basis);
    }

    /// Whether the request was captured.
    pub fn set_capture(&mut self, outcome: &'static str) {
        self.capture = Some(outcome);
    }

    /// Nobody knows whether the token is revoked.
    pub fn set_unchecked(&mut self) {
        self.revocation = Some("unchecked");
    }

    /// This proxy counted by itself.
    pub fn set_counted_alone(&mut self) {
        self.counted_by = Some("proxy");
    }

    /// What the operator's policy engine said, in which words, and whether it was asked now.
    pub fn set_authz(&mut self, decision: &'static str, reason: Option<String>, is_remembered: bool) {
        self.authz = Some(decision);
        self.authz_reason = reason;
        self.authz_remembered = is_remembered.then_some(true);
    }

    /// What outside judges thought of the request.
    pub fn set_opinions(&mut self, opinions: Vec<OpinionEntry>) {
        self.opinions = opinions;
    }

    /// What outside judges thought of the reply.
    pub fn add_opinions(&mut self, opinions: impl IntoIterator<Item = OpinionEntry>) {
        self.opinions.extend(opinions);
    }

    /// A text whose score reached a threshold.
    pub fn add_text(&mut self, entry: TextEntry) {
        const MOST: usize = 8;
        if self.texts.len() < MOST {
            self.texts.push(entry);
        }
    }

    /// The request is judged once more: what was found before does not count.
    pub fn forget_findings(&mut self) {
        self.texts.clear();
        self.findings.clear();
        self.findings_total = 0;
    }

    /// Who was not asked because it hangs.
    pub fn set_skipped_call(&mut self, service: &'static str) {
        self.skipped_call = Some(service);
    }

    /// The request was a strike.
    pub fn set_strike(&mut self) {
        self.is_strike = true;
    }

    /// Seconds of the cool-down that this request began.
    pub fn set_cooldown(&mut self, secs: Option<u64>) {
        self.cooldown_secs = secs;
    }

    /// Tools that were taken out of the request.
    pub fn set_tools_removed(&mut self, count: u64) {
        self.tools_removed = count;
    }

    /// Records that were taken out of a store's answer.
    pub fn set_chunks_removed(&mut self, count: u64) {
        self.chunks_removed = count;
    }

    /// Names of the tools that the request goes on with, or their keyed hashes.
    pub fn set_tools(&mut self, mut names: Vec<String>) {
        sorted::once(&mut names);
        self.tools = names;
    }

    /// Adds to the number of masked values.
    pub fn add_masked(&mut self, values: u64) {
        self.masked = self.masked.saturating_add(values);
    }

    /// The end of the exchange: the time spent in the filter in microseconds, the worker, its count of records, and the
    /// cool-downs that began late.
    pub fn set_end(&mut self, latency_us: u64, worker: &str, sequence: u64, late_cooldowns: u64) {
        self.latency_us = Some(latency_us);
        worker.clone_into(&mut self.worker);
        (self.sequence, self.late_cooldowns) = (sequence, late_cooldowns);
    }

    /// Nanoseconds from its beginning to its end, and milliseconds to the first bytes of a stream.
    pub fn set_times(&mut self, duration: Option<u64>, first_chunk_ms: Option<u64>) {
        (self.duration, self.first_chunk_ms) = (duration, first_chunk_ms);
    }

    /// The trace and the span that a valid `traceparent` names.
    pub fn set_trace(&mut self, traceparent: &str) {
        if let Some((trace, span)) = trace_of(traceparent) {
            (self.trace, self.span) = (Some(trace.to_owned()), Some(span.to_owned()));
        }
    }

    /// Lists a finding, or only counts it when there are too many.
    pub fn finding(&mut self, entry: FindingEntry) {
        self.count_finding();
        if self.lists_findings() {
            self.findings.push(entry);
        }
    }

    /// True while a finding is listed.
    pub fn lists_findings(&self) -> bool {
        self.findings.len() < MAX_FINDINGS
    }

    /// Counts a finding.
    pub fn count_finding(&mut self) {
        self.findings_total += 1;
    }
}

/// Trace id and parent id of a `traceparent` (W3C Trace Context, section 3.2.2): of version 00, or of a later one that begins
/// like it.
fn trace_of(text: &str) -> Option<(&str, &str)> {
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_form = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    let is_known = version != "ff" && (version != "00" || parts.next().is_none());
    let is_null = |part: &str| part.bytes().all(|byte| byte == b'0');
    (is_form && is_known && !is_null(trace) && !is_null(span)).then_some((trace, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_with_what_is_known() {
        let mut record = Record { policy: "p".into(), ..Record::default() };
        record.refused(Reason::JwtExpired);
        let line = record.to_json(Timestamp::from_secs(0));
        assert!(!line.contains('\n'));
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["@timestamp"], "1970-01-01T00:00:00.000Z");
        assert_eq!(json["event.outcome"], "failure");
        assert_eq!(json["bartizan.reason"], "jwt.expired");
        assert!(json.get("bartizan.score").is_none());
    }

    #[test]
    fn only_a_valid_traceparent_names_a_trace() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for text in [format!("00-{trace}-{span}-01"), format!("01-{trace}-{span}-01-more")] {
            assert_eq!(trace_of(&text), Some((trace, span)), "{text}");
        }
        for wrong in [
            String::new(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}-{span}-1"),
        ] {
            assert_eq!(trace_of(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn findings_are_bounded_and_counted() {
        let mut record = Record::default();
        for _ in 0..100 {
            record.finding(FindingEntry {
                rule: "PI-1010".into(),
                zone: "user",
                path: "/messages/0/content".into(),
                start: 0,
                end: 1,
                transforms: Vec::new(),
                action: "block",
            });
        }
        assert_eq!((record.findings.len(), record.findings_total), (MAX_FINDINGS, 100));
    }
}
