//! Metric names. The name holds its labels as `.key.value` pairs; Envoy's `stats_tags`, shipped in
//! `envoy/`, turn them into Prometheus labels.
//!
//! Fixed labels only: verdict, reason, protocol, role, rule, action, direction, and models and tenants that the policy
//! lists ([`super::Labels`]). Never a subject, never a free model name. The edge bounds the series at [`MAX_SERIES`].
//!
//! ```
//! use bartizan::audit::{Record, metrics};
//! use bartizan::reason::Reason;
//!
//! let mut record = Record::new("small", "0123456789ab", "ba9876543210");
//! record.refused(Reason::JwtExpired);
//! let counters = metrics::of(&record);
//! assert_eq!(counters[0].name, "bartizan.requests.verdict.block.reason.jwt_expired.protocol.none.role.none");
//! ```

use super::Record;
use crate::authn::Fetched;

/// More series than this are not defined: the value goes to `bartizan.series.dropped`.
pub const MAX_SERIES: usize = 2000;

/// Counts values that found no place among the series.
pub const DROPPED: &str = "bartizan.series.dropped";

/// A histogram: time spent in the filter per request, microseconds.
pub const LATENCY: &str = "bartizan.filter.latency_us";

/// A histogram: the highest score of each request's texts, 0 to 100.
pub const SCORE: &str = "bartizan.score";

/// A histogram: of streamed replies, milliseconds from when the request went on to the first bytes of the body.
pub const FIRST_CHUNK: &str = "bartizan.first_chunk_ms";

/// A histogram: milliseconds from the request's headers to the end of the exchange.
pub const DURATION: &str = "bartizan.duration_ms";

/// The counter of seconds in which a worker was there. `is_ready`: with all keys that its policy needs.
pub fn heartbeats(is_ready: bool) -> String {
    format!("bartizan.heartbeats.state.{}", if is_ready { "ready" } else { "not_ready" })
}

/// The counter that holds how much of something there is, summed over the seconds: its rate is the mean.
///
/// A gauge would be one for all workers of a proxy, and what a dead one had told would stay in it for ever.
pub fn load(of: &str) -> String {
    format!("bartizan.load_seconds.of.{of}")
}

/// The values of one finished request for the histograms.
pub fn samples(record: &Record) -> Vec<(&'static str, u64)> {
    let duration = record.duration.map(|nanos| nanos / 1_000_000);
    [
        (LATENCY, record.latency_us),
        (SCORE, record.score.map(u64::from)),
        (FIRST_CHUNK, record.first_chunk_ms),
        (DURATION, duration),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

/// A gauge: the most linear memory that one worker's VM has had, in bytes. Such memory never shrinks.
pub const MEMORY: &str = "bartizan.vm_memory_bytes";

/// A counter and what to add to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Increment {
    /// The metric's name.
    pub name: String,
    /// What to add.
    pub by: u64,
}

/// The counters of one finished request.
pub fn of(record: &Record) -> Vec<Increment> {
    let role = record.role_label.as_deref().or(record.roles.first().map(String::as_str)).unwrap_or("none");
    let mut out = vec![Increment {
        name: [
            "bartizan.requests.verdict.",
            record.verdict.name(),
            ".reason.",
            &record.reason.map_or_else(|| "none".to_owned(), label),
            ".protocol.",
            record.protocol.unwrap_or("none"),
            ".role.",
            &label(role),
        ]
        .concat(),
        by: 1,
    }];
    for entry in &record.findings {
        let name = format!("bartizan.findings.rule.{}.action.{}", label(&entry.rule), entry.action);
        match out.iter_mut().find(|known| known.name == name) {
            Some(known) => known.by += 1,
            None => out.push(Increment { name, by: 1 }),
        }
    }
    for reason in &record.shadow {
        out.push(Increment { name: format!("bartizan.shadow.reason.{}", label(reason)), by: 1 });
    }
    for kind in &record.unscanned {
        out.push(Increment { name: format!("bartizan.unscanned.kind.{kind}"), by: 1 });
    }
    for (direction, tokens) in [("input", record.input_tokens), ("output", record.output_tokens)] {
        if let Some(by) = tokens.filter(|&by| by > 0) {
            out.push(Increment { name: ["bartizan.tokens.direction.", direction].concat(), by });
            if let Some(model) = record.model_label.as_deref().map(label) {
                let name = ["bartizan.model_tokens.direction.", direction, ".model.", &model].concat();
                out.push(Increment { name, by });
            }
            if let Some(tenant) = record.tenant_label.as_deref().map(label) {
                let name = ["bartizan.tenant_tokens.direction.", direction, ".tenant.", &tenant].concat();
                out.push(Increment { name, by });
            }
        }
    }
    if record.cost_micros > 0 {
        let by = record.cost_micros;
        out.push(Increment { name: "bartizan.cost_micros".to_owned(), by });
        if let Some(model) = record.model_label.as_deref().map(label) {
            out.push(Increment { name: format!("bartizan.model_cost_micros.model.{model}"), by });
        }
        if let Some(tenant) = record.tenant_label.as_deref().map(label) {
            out.push(Increment { name: format!("bartizan.tenant_cost_micros.tenant.{tenant}"), by });
        }
    }
    if record.cost_basis == Some("unpriced") {
        out.push(Increment { name: "bartizan.unpriced".to_owned(), by: 1 });
    }
    for (is_so, kind) in [(record.is_deprecated, "deprecated"), (record.is_mismatch, "mismatch")] {
        if is_so {
            out.push(Increment { name: format!("bartizan.models.kind.{kind}"), by: 1 });
        }
    }
    for one in &record.crossed {
        out.push(Increment { name: crossed(&one.role, one.share), by: 1 });
    }
    if record.counted_by.is_some() {
        out.push(Increment { name: "bartizan.fleet.alone".to_owned(), by: 1 });
    }
    if record.is_strike {
        out.push(Increment { name: "bartizan.abuse.strikes".to_owned(), by: 1 });
    }
    let cooldowns = record.late_cooldowns.saturating_add(u64::from(record.cooldown_secs.is_some()));
    if cooldowns > 0 {
        out.push(Increment { name: "bartizan.abuse.cooldowns".to_owned(), by: cooldowns });
    }
    if let Some(decision) = record.authz {
        out.push(Increment { name: format!("bartizan.authz.outcome.{decision}"), by: 1 });
    }
    for opinion in &record.opinions {
        out.push(Increment { name: format!("bartizan.opinions.outcome.{}", label(opinion.outcome)), by: 1 });
    }
    if let Some(kind) = record.skipped_call {
        out.push(Increment { name: format!("bartizan.skipped_calls.kind.{kind}"), by: 1 });
    }
    if record.masked > 0 {
        out.push(Increment { name: "bartizan.masked".to_owned(), by: record.masked });
    }
    out
}

/// The counter of fetches of what issuers publish: `keys`, or `revocations`.
pub fn fetches(what: &str, outcome: Fetched) -> String {
    match what {
        "revocations" => format!("bartizan.revocations.outcome.{}", outcome.name()),
        _ => format!("bartizan.keys.outcome.{}", outcome.name()),
    }
}

/// The counter of calls that tell the fleet's rate-limit service what was used, and of settlements given up.
pub fn settlements(outcome: &str) -> String {
    format!("bartizan.settlements.outcome.{outcome}")
}

/// The counter of checkpoints of the chain of records: copied to the second sink, or not.
pub fn checkpoints(is_stored: bool) -> String {
    format!("bartizan.checkpoints.outcome.{}", if is_stored { "stored" } else { "failed" })
}

/// The counter of shares of limits that charges have reached.
pub fn crossed(role: &str, share: u8) -> String {
    format!("bartizan.budget_alerts.share.{share}.role.{}", label(role))
}

/// The counter of documents that were loaded, or refused: the last good one stays.
pub fn policies(is_good: bool) -> String {
    format!("bartizan.policies.outcome.{}", if is_good { "loaded" } else { "refused" })
}

/// A label's value: only `[a-z0-9_-]`, capitals as `_` and the small letter.
pub fn label(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    for (at, c) in text.chars().enumerate() {
        match c {
            'a'..='z' | '0'..='9' | '_' | '-' => out.push(c),
            // `jwt.notYetValid` reads jwt_not_yet_valid, `PI-1010` reads pi-1010.
            'A'..='Z' => {
                if at > 0 && out.ends_with(|last: char| last.is_ascii_lowercase()) && !text.contains('-') {
                    out.push('_');
                }
                out.push(c.to_ascii_lowercase());
            }
            _ => out.push('_'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Verdict;
    use crate::reason::Reason;

    #[test]
    fn labels_hold_nothing_that_envoy_splits_at() {
        assert_eq!(label("jwt.notYetValid"), "jwt_not_yet_valid");
        assert_eq!(label("PI-1010"), "pi-1010");
        assert_eq!(label("a role/ä"), "a_role__");
        for reason in Reason::ALL {
            assert!(label(reason.code()).bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{reason}");
        }
    }

    #[test]
    fn tokens_are_counted_by_model_and_tenant() {
        let mut record = Record::default();
        (record.input_tokens, record.output_tokens) = (Some(7), Some(0));
        (record.model_label, record.tenant_label) = (Some("llama-3*".into()), Some("Acme".into()));
        let counted: Vec<(String, u64)> = of(&record).into_iter().skip(1).map(|one| (one.name, one.by)).collect();
        assert_eq!(
            counted,
            [
                ("bartizan.tokens.direction.input".to_owned(), 7),
                ("bartizan.model_tokens.direction.input.model.llama-3_".to_owned(), 7),
                ("bartizan.tenant_tokens.direction.input.tenant.acme".to_owned(), 7),
            ]
        );
    }

    #[test]
    fn a_refusal_is_counted_by_its_reason() {
        let mut record = Record::default();
        record.roles = vec!["analyst".into()];
        record.protocol = Some("openai");
        record.refused(Reason::RbacModel);
        assert_eq!(record.verdict, Verdict::Block);
        assert_eq!(
            of(&record),
            [Increment {
                name: "bartizan.requests.verdict.block.reason.rbac_model.protocol.openai.role.analyst".into(),
                by: 1
            }]
        );
    }
}
