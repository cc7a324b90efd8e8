//! `bartizan explain --record`: why a request of the past was decided as it was, from its record alone.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;
use serde::Serialize;
use serde_json::Value;

use super::shown;
use crate::cli::records::{objects, read_log};
use crate::policy::Policy;

/// Records that are explained in one run.
const MOST: usize = 20;

/// One record in words: titles, and lines below them.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    id: String,
    verdict: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    headline: String,
    sections: Vec<Section>,
}

#[derive(Debug, Serialize)]
struct Section {
    title: &'static str,
    lines: Vec<String>,
}

/// Explains the records in a log, or those of one request.
///
/// # Errors
/// The file can't be read, or holds no such record.
pub(super) fn explain(file: &Path, id: Option<&str>, policy: &Policy) -> anyhow::Result<Vec<Told>> {
    let text = read_log(file)?;
    let mut records: Vec<Value> = objects(&text)
        .into_iter()
        .filter(|record| text_of(record, "event.dataset") == Some("bartizan.audit"))
        .filter(|record| id.is_none_or(|id| text_of(record, "http.request.id") == Some(id)))
        .collect();
    // An access log and the proxy's own log hold the same records.
    records.dedup();
    match (records.len(), id) {
        (0, Some(id)) => bail!("{}: no record of request {id}", file.display()),
        (0, None) => bail!("{}: no audit record in it", file.display()),
        (many, None) if many > MOST => bail!("{}: {many} records; choose one by --id", file.display()),
        _ => Ok(records.iter().map(|record| told(record, policy)).collect()),
    }
}

fn text_of<'r>(record: &'r Value, key: &str) -> Option<&'r str> {
    record.get(key).and_then(Value::as_str)
}

/// A value as a reader takes it: texts without quotes, lists with commas.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn told(record: &Value, policy: &Policy) -> Told {
    let verdict = text_of(record, "bartizan.verdict").unwrap_or("unknown").to_owned();
    let reason = text_of(record, "bartizan.reason").map(str::to_owned);
    let status = record.get("http.response.status_code").map(plain).unwrap_or_default();
    let headline = match (verdict.as_str(), &reason) {
        ("block", Some(reason)) => format!("refused: {reason} ({status})"),
        ("block", None) => format!("refused ({status})"),
        ("mask", _) => "went on with values masked".to_owned(),
        ("replace", _) => "went on with something cut out of its history".to_owned(),
        ("pass", _) => "no route matched, and unmatched is pass: nothing was checked".to_owned(),
        ("incomplete", _) => "the filter did not see its end: the connection broke, or the VM did".to_owned(),
        ("allow", _) => "went on as it came".to_owned(),
        (other, _) => other.to_owned(),
    };
    let mut sections = Vec::new();
    let mut add = |title, lines: Vec<String>| {
        if !lines.is_empty() {
            sections.push(Section { title, lines });
        }
    };
    let meaning = reason.as_deref().and_then(meaning).map(str::to_owned);
    let hint = text_of(record, "bartizan.hint").map(|hint| format!("what the caller probably did: {hint}"));
    add("Why", meaning.into_iter().chain(hint).chain(causes(record)).collect());
    add("Texts whose score reached a threshold", texts(record));
    add("What was found", findings(record, policy));
    add("What outside judges and engines said", opinions(record));
    add("What was not scanned", unscanned(record));
    add("What shadow mode did not carry out", list(record, "bartizan.shadow"));
    add(
        "Who",
        labelled(
            record,
            &[
                ("user.hash", "user (keyed hash)"),
                ("user.id", "user"),
                ("user.roles", "roles"),
                ("organization.id", "tenant"),
                ("bartizan.issuer", "issuer"),
                ("bartizan.abuse.cooldown_s", "cool-down that this began, seconds"),
            ],
        ),
    );
    add(
        "What",
        labelled(
            record,
            &[
                ("@timestamp", "ended"),
                ("http.request.method", "method"),
                ("url.path", "route"),
                ("bartizan.path_class", "path"),
                ("bartizan.protocol", "protocol"),
                ("gen_ai.operation.name", "operation"),
                ("gen_ai.request.model", "model"),
                ("gen_ai.response.model", "model that answered"),
                ("bartizan.tools", "tools"),
                ("bartizan.tools_removed", "tools taken out"),
                ("bartizan.masked", "values masked"),
                ("http.request.body.bytes", "bytes"),
                ("bartizan.fingerprint", "fingerprint"),
            ],
        ),
    );
    add(
        "What it used",
        labelled(
            record,
            &[
                ("gen_ai.usage.input_tokens", "input tokens"),
                ("gen_ai.usage.output_tokens", "output tokens"),
                ("bartizan.tokens.reserved_input", "input tokens held"),
                ("bartizan.tokens.reserved_output", "output tokens held"),
                ("bartizan.tokens.charged", "tokens charged"),
                ("bartizan.tokens.basis", "known by"),
                ("bartizan.cost.amount", "cost"),
                ("bartizan.cost.currency", "currency"),
                ("bartizan.cost.basis", "cost known by"),
                ("bartizan.quota.counted_by", "counted by"),
                ("bartizan.latency_us", "time in the filter, microseconds"),
            ],
        ),
    );
    add("Judged by", judged_by(record, policy));
    let id = text_of(record, "http.request.id").unwrap_or("without an id").to_owned();
    Told { id, verdict, reason, headline, sections }
}

/// What the table of reasons says.
fn meaning(reason: &str) -> Option<&'static str> {
    const PAGE: &str = include_str!("../../manual/reasons.md");
    let row = PAGE.lines().find(|line| line.starts_with(&format!("| `{reason}` |")))?;
    row.trim_end_matches('|').rsplit_once(" | ").map(|(_, words)| words.trim())
}

/// The place in the policy where the decision is written.
fn causes(record: &Value) -> Vec<String> {
    let roles = record.get("user.roles").map(plain).unwrap_or_default();
    let reason = text_of(record, "bartizan.reason").unwrap_or_default();
    let (family, _) = reason.split_once('.').unwrap_or((reason, ""));
    let places = match family {
        "rbac" => format!("the caller's roles: {roles}; what they grant is under roles in the policy"),
        "quota" => format!("a quota of the roles {roles}"),
        "abuse" => "abuse in the policy: how many refusals begin a cool-down, and how long it is".to_owned(),
        "jwt" => "authn in the policy; nothing of the token is in the record".to_owned(),
        _ => return Vec::new(),
    };
    vec![places]
}

fn texts(record: &Value) -> Vec<String> {
    let entries = record.get("bartizan.texts").and_then(Value::as_array).into_iter().flatten();
    let line = |entry: &Value| {
        let of = |key: &str| entry.get(key).map(plain).unwrap_or_default();
        let number = |key: &str| entry.get(key).and_then(Value::as_u64).unwrap_or_default();
        let by = match (number("rules_score"), number("score"), number("threshold")) {
            (rules, score, threshold) if rules < threshold && score > rules => {
                ", the scorer or an outside judge made the difference"
            }
            (rules, score, _) if score > rules => ", raised by the scorer or an outside judge",
            _ => "",
        };
        format!(
            "{} {}: score {} (rules alone {}{by}), guard {} acts from {}: {}",
            of("zone"),
            of("path"),
            of("score"),
            of("rules_score"),
            of("guard"),
            of("threshold"),
            of("action")
        )
    };
    entries.map(line).collect()
}

fn findings(record: &Value, policy: &Policy) -> Vec<String> {
    let entries = record.get("bartizan.findings").and_then(Value::as_array).into_iter().flatten();
    let mut lines: Vec<String> = entries
        .map(|entry| {
            let of = |key: &str| entry.get(key).map(plain).unwrap_or_default();
            let rule = of("rule");
            let card = policy.scanner.cards().iter().find(|card| card.id == rule);
            let title = card.map(|card| format!(" ({}, {}, {})", card.title, card.pack.as_str(), card.level.as_str()));
            let through =
                entry.get("transforms").map(|steps| format!(", read through {}", plain(steps))).unwrap_or_default();
            let place = if of("zone") == "assistant" { "of the reply or an earlier answer" } else { "of the request" };
            format!(
                "{rule}{}: {} text {place} {} bytes {} to {}{through}: {}",
                title.unwrap_or_default(),
                of("zone"),
                of("path"),
                of("start"),
                of("end"),
                of("action")
            )
        })
        .collect();
    let total = record.get("bartizan.findings_total").and_then(Value::as_u64).unwrap_or_default();
    if let more @ 1.. = total.saturating_sub(lines.len() as u64) {
        lines.push(format!("and {more} more that are not listed"));
    }
    lines
}

fn opinions(record: &Value) -> Vec<String> {
    let entries = record.get("bartizan.opinions").and_then(Value::as_array).into_iter().flatten();
    let mut lines: Vec<String> = entries
        .map(|entry| {
            let of = |key: &str| entry.get(key).map(plain).unwrap_or_default();
            let score = entry.get("score").map(|score| format!(", score {score}")).unwrap_or_default();
            let about = if of("of") == "reply" { " about the reply" } else { "" };
            format!("{}{about}: {}{score}, {} ms", of("name"), of("outcome"), of("ms"))
        })
        .collect();
    if let Some(decision) = text_of(record, "bartizan.authz.decision") {
        let why = text_of(record, "bartizan.authz.reason").map(|why| format!(": {why}")).unwrap_or_default();
        lines.push(format!("policy engine: {decision}{why}"));
    }
    lines
}

fn unscanned(record: &Value) -> Vec<String> {
    let mut lines = list(record, "bartizan.unscanned");
    if !lines.is_empty() {
        lines.push("what happens to each kind is under unscanned in the policy".to_owned());
    }
    lines
}

fn list(record: &Value, key: &str) -> Vec<String> {
    record.get(key).and_then(Value::as_array).into_iter().flatten().map(plain).collect()
}

fn labelled(record: &Value, keys: &[(&str, &str)]) -> Vec<String> {
    keys.iter().filter_map(|(key, label)| Some(format!("{label}: {}", plain(record.get(*key)?)))).collect()
}

fn judged_by(record: &Value, policy: &Policy) -> Vec<String> {
    let of = |key: &str| text_of(record, key).unwrap_or("unknown").to_owned();
    let rules = of("bartizan.rules.digest");
    let mut lines = vec![
        format!("policy {} {}", of("bartizan.policy.name"), of("bartizan.policy.digest")),
        format!("rules {rules}"),
        format!(
            "worker {}, record {}",
            of("bartizan.worker"),
            record.get("bartizan.sequence").map(plain).unwrap_or_default()
        ),
    ];
    if policy.scanner.digest().get(..12) != Some(rules.as_str()) {
        lines.push(
            "these are not the rules of this command line (or of --config): a rule's title may be another one"
                .to_owned(),
        );
    }
    lines
}

/// For a terminal.
pub(super) fn page(all: &[Told]) -> String {
    let clean = |text: &str| text.chars().map(shown).collect::<String>();
    let mut out = String::new();
    for told in all {
        let _infallible = writeln!(out, "Request {}: {}", clean(&told.id), clean(&told.headline));
        for section in &told.sections {
            let _infallible = writeln!(out, "\n{}", section.title);
            for line in &section.lines {
                let _infallible = writeln!(out, "  {}", clean(line));
            }
        }
        out.push('\n');
    }
    out
}
