//! `bartizan eval`: recall and false-positive rate of a policy on labelled text, with 95 % intervals.
//!
//! A row is judged as the filter judges a request that holds this text alone: `user` and `system` text as
//! the newest turn, `system` from a role that may write it; `tool` and `document` text as history, which the
//! guard replaces. With `--claim` every row claims one zone, from a role that may not write it. Three figures
//! stand side by side: rules and scorer, rules alone, scorer alone.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::eval_data::{self, DataReport, Span};
use super::output::{Outcome, print, print_json, read_text};
use super::source;
use crate::config::document::Zone;
use crate::config::{GuardPolicy, Policy, RouteIndex};
use crate::host::Timestamp;
use crate::protocol::Position;
use crate::scan::verdict::{Outcome as Verdict, Place, judge};
use crate::scan::{Kind, Report, Scanner, Text, TextReport, normalise};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files of rows {"id", "text", "label", "zone"?}, one JSON object a line
    #[arg(value_name = "DATA.jsonl", required_unless_present = "normalise")]
    files: Vec<PathBuf>,
    /// The policy; absent: the shipped guard, rules and scorer
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The guard to judge by
    #[arg(long, default_value = "standard")]
    guard: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// In the JSON also figures by zone, a sweep of thresholds, rules and scorer apart, secrets and personal data
    #[arg(long, requires = "json")]
    details: bool,
    /// One line a row as well, with score and rule ids: to FILE, or before the result
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    rows: Option<Option<PathBuf>>,
    /// Judge every row as if it claimed this zone, from a role that may not write it: what moving a text gains
    #[arg(long, value_name = "ZONE")]
    claim: Option<String>,
    /// Probabilities that take the scorer's place, rows {"id", "file", "p"}: for leave-source-out figures
    #[arg(long, value_name = "FILE")]
    learned: Option<PathBuf>,
    /// Read one JSON string a line from stdin and print its normalised form: what the trainer reads
    #[arg(long)]
    normalise: bool,
}

const SHIPPED: &str = r#"{"version": 1, "name": "eval", "authn": {"unsafeAnonymous": true},
    "roles": {"anonymous": {"operations": ["chat"], "models": ["*"], "mayWrite": ["system"]}},
    "routes": [{"match": {"path": "/v1/chat/completions"}, "protocol": "openai"}]}"#;

/// Scores from which the sweep counts, besides the policy's own.
const SWEEP: [u8; 12] = [5, 10, 20, 30, 40, 45, 50, 55, 60, 70, 80, 90];

/// What a row may be labelled: `harmful-plain` is a harmful question without any technique, no attack on the model.
const LABELS: [&str; 3] = ["attack", "benign", "harmful-plain"];

#[derive(Debug, Deserialize)]
struct Row {
    #[serde(default)]
    id: serde_json::Value,
    text: String,
    label: String,
    zone: Option<String>,
    #[serde(default)]
    spans: Vec<Span>,
}

#[derive(Debug, Deserialize)]
struct LearnedRow {
    id: serde_json::Value,
    file: String,
    p: f32,
}

/// What was made of one row.
#[derive(Debug)]
struct Judged {
    label: String,
    zone: Zone,
    /// Rules and scorer; rules alone; scorer alone.
    scores: [u8; 3],
    threshold: u8,
    flagged: bool,
    blocked: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Evaluation {
    files: Vec<FileReport>,
    thresholds: BTreeMap<String, u8>,
    rules_digest: String,
    #[serde(flatten)]
    details: Option<Details>,
}

/// Beside the form that the command promises.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    by_zone: BTreeMap<String, BTreeMap<String, Tally>>,
    sweep: BTreeMap<String, Vec<SweepLine>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FileReport {
    file: String,
    n: usize,
    by_label: BTreeMap<String, Tally>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<DataReport>,
}

/// Counts, the share that was blocked, and its Wilson interval.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tally {
    n: usize,
    flagged: usize,
    blocked: usize,
    rate: f64,
    ci95: [f64; 2],
    /// Rows at or above the threshold by the rules alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<usize>,
    /// Rows at or above the threshold by the scorer alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    scorer: Option<usize>,
}

/// Shares at or above a score, over all rows of a label.
#[derive(Debug, Serialize)]
struct SweepLine {
    score: u8,
    both: f64,
    rules: f64,
    scorer: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RowLine<'a> {
    file: &'a str,
    id: &'a serde_json::Value,
    label: &'a str,
    zone: &'static str,
    score: u8,
    rules_score: u8,
    learned: Option<f32>,
    flagged: bool,
    blocked: bool,
    rules: Vec<&'a str>,
}

/// Evaluates the files in the order given.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    if arguments.normalise {
        return normalise_lines();
    }
    let policy = policy(arguments.config.as_deref())?;
    let guard = policy.guards.iter().find(|guard| guard.name == arguments.guard);
    let guard = guard.with_context(|| format!("the policy has no guard {}", arguments.guard))?;
    let learned = arguments.learned.as_deref().map(learned_rows).transpose()?;
    let claim = arguments.claim.as_deref().map(|name| zone_named(name).context("--claim")).transpose()?;
    let job = Job { policy: &policy, guard, learned, claim };
    let mut rows: Option<Box<dyn Write>> = match &arguments.rows {
        None => None,
        Some(None) => Some(Box::new(std::io::stdout().lock())),
        Some(Some(path)) => Some(Box::new(std::fs::File::create(path).with_context(|| path.display().to_string())?)),
    };
    let mut files = Vec::new();
    let mut all = Vec::new();
    for path in &arguments.files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (judged, data) = file(path, &name, &job, rows.as_deref_mut())?;
        let by_label = tallies(&judged, |row| row.label.clone());
        files.push(FileReport { file: name, n: judged.len(), by_label, data });
        all.extend(judged);
    }
    drop(rows);
    let mut by_zone: BTreeMap<String, BTreeMap<String, Tally>> = BTreeMap::new();
    for zone in Zone::ALL.iter().copied() {
        let rows: Vec<&Judged> = all.iter().filter(|row| row.zone == zone).collect();
        if !rows.is_empty() {
            by_zone.insert(zone.as_str().into(), tallies(rows, |row| row.label.clone()));
        }
    }
    let mut evaluation = Evaluation {
        files,
        thresholds: Zone::ALL.iter().map(|zone| (zone.as_str().into(), guard.injection.threshold(*zone))).collect(),
        rules_digest: policy.scanner.digest().to_owned(),
        details: Some(Details { by_zone, sweep: sweep(&all) }),
    };
    if arguments.json && !arguments.details {
        evaluation.promised();
    }
    match (arguments.json, &arguments.rows) {
        (true, Some(None)) => print(&format!("{}\n", serde_json::to_string(&evaluation)?))?,
        (true, _) => print_json(&evaluation)?,
        (false, _) => print(&tables(&evaluation))?,
    }
    Ok(Outcome::Fine)
}

impl Evaluation {
    /// Leaves what the command promises and nothing else.
    fn promised(&mut self) {
        self.details = None;
        for file in &mut self.files {
            file.data = None;
            file.by_label.values_mut().for_each(|tally| (tally.rules, tally.scorer) = (None, None));
        }
    }
}

fn normalise_lines() -> anyhow::Result<Outcome> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lines() {
        let text: String = serde_json::from_str(&line?).context("stdin: expected one JSON string a line")?;
        writeln!(out, "{}", serde_json::to_string(&normalise::to_string(&text))?)?;
    }
    Ok(Outcome::Fine)
}

/// The policy in a file, or the shipped one.
pub(super) fn policy(config: Option<&Path>) -> anyhow::Result<Policy> {
    let text = match config {
        Some(path) => read_text(path)?,
        None => SHIPPED.to_owned(),
    };
    let found = source::find(&text, false);
    let Some(source) = found.sources.into_iter().next() else { bail!("no policy in the file: see `bartizan check`") };
    Policy::compile(source.parsed, &|name| std::env::var(name).ok()).map_err(|errors| {
        let first = errors.first().map(|error| format!("{}: {}", error.path, error.message)).unwrap_or_default();
        anyhow::anyhow!("{first} ({} errors; see `bartizan check`)", errors.len())
    })
}

fn learned_rows(path: &Path) -> anyhow::Result<BTreeMap<(String, String), f32>> {
    let mut out = BTreeMap::new();
    for line in read_text(path)?.lines() {
        let row: LearnedRow = serde_json::from_str(line).with_context(|| path.display().to_string())?;
        out.insert((row.file, row.id.to_string()), row.p);
    }
    Ok(out)
}

/// What every file is judged by.
struct Job<'j> {
    policy: &'j Policy,
    guard: &'j GuardPolicy,
    /// By file and id.
    learned: Option<BTreeMap<(String, String), f32>>,
    claim: Option<Zone>,
}

fn zone_named(name: &str) -> anyhow::Result<Zone> {
    Zone::ALL.iter().copied().find(|zone| zone.as_str() == name).with_context(|| {
        let known: Vec<&str> = Zone::ALL.iter().map(|zone| zone.as_str()).collect();
        format!("unknown zone {name:?}, expected one of {}", known.join(", "))
    })
}

fn file(
    path: &Path,
    name: &str,
    job: &Job<'_>,
    mut rows: Option<&mut (dyn Write + 'static)>,
) -> anyhow::Result<(Vec<Judged>, Option<DataReport>)> {
    let Job { policy, guard, .. } = *job;
    let mut out = Vec::new();
    let mut data_report: Option<DataReport> = None;
    let budget = policy.limits.budget();
    for (number, line) in read_text(path)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = || format!("{}: line {}", path.display(), number + 1);
        let row: Row = serde_json::from_str(line).with_context(place)?;
        let own = row.zone.as_deref().map_or(Ok(Zone::User), zone_named).with_context(place)?;
        let zone = job.claim.unwrap_or(own);
        if !LABELS.iter().chain(&eval_data::LABELS).any(|label| *label == row.label) {
            let known: Vec<&str> = LABELS.iter().chain(&eval_data::LABELS).copied().collect();
            bail!("{}: unknown label {:?}, expected one of {}", place(), row.label, known.join(", "));
        }
        let mut report = policy.scanner.scan(&[Text { zone, text: &row.text }], budget);
        if let Some(learned) = &job.learned
            && let Some(text) = report.texts.first_mut()
            && let Some(p) = learned.get(&(name.to_owned(), row.id.to_string()))
        {
            text.learned = Some(*p);
        }
        let scores = scores(&policy.scanner, &report, zone);
        let probability = report.texts.first().and_then(|text| text.learned);
        let rules = rule_ids(&policy.scanner, &report);
        let data = report.texts.iter().flat_map(|text| &text.findings).any(|finding| {
            policy.scanner.cards().get(usize::from(finding.rule.0)).is_some_and(|card| card.kind != Kind::Attack)
        });
        if eval_data::LABELS.contains(&row.label.as_str()) {
            let all = data_report.get_or_insert_default();
            all.add(&policy.scanner, &row.text, &row.label, &row.spans, &report);
        }
        let trusted = zone == Zone::System && job.claim.is_none();
        let past = matches!(zone, Zone::Tool | Zone::Document) || job.claim == Some(Zone::Assistant);
        let position = if past { Position::History } else { Position::Current };
        let places = [Place { zone, position, is_key: false, trusted }];
        let judgement = judge(&policy.scanner, &[guard], RouteIndex(0), &places, report, Timestamp(0));
        let own = guard.injection.threshold(zone);
        let threshold = if trusted { own } else { own.min(guard.injection.threshold(Zone::User)) };
        let judged = Judged {
            label: row.label,
            zone,
            scores,
            threshold,
            flagged: scores[0] >= threshold || data,
            blocked: judgement.denial.is_some() || judgement.outcomes.contains(&Verdict::Replace),
        };
        if let Some(rows) = rows.as_deref_mut() {
            let line = RowLine {
                file: name,
                id: &row.id,
                label: &judged.label,
                zone: zone.as_str(),
                score: scores[0],
                rules_score: scores[1],
                learned: probability,
                flagged: judged.flagged,
                blocked: judged.blocked,
                rules,
            };
            writeln!(rows, "{}", serde_json::to_string(&line)?)?;
        }
        out.push(judged);
    }
    if out.is_empty() {
        bail!("{}: no rows", path.display());
    }
    if let Some(report) = &mut data_report {
        report.close();
    }
    Ok((out, data_report))
}

fn scores(scanner: &Scanner, report: &Report, zone: Zone) -> [u8; 3] {
    let Some(text) = report.texts.first() else { return [0; 3] };
    let rules = TextReport { learned: None, ..text.clone() };
    let scorer = TextReport { findings: Vec::new(), ..text.clone() };
    [text, &rules, &scorer].map(|report| scanner.score(report, zone, &|_| false))
}

fn rule_ids<'s>(scanner: &'s Scanner, report: &Report) -> Vec<&'s str> {
    let mut ids: Vec<&str> = report
        .texts
        .iter()
        .flat_map(|text| &text.findings)
        .filter_map(|finding| scanner.cards().get(usize::from(finding.rule.0)))
        .map(|card| card.id.as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn tallies<'r>(rows: impl IntoIterator<Item = &'r Judged>, key: impl Fn(&Judged) -> String) -> BTreeMap<String, Tally> {
    let mut out: BTreeMap<String, Tally> = BTreeMap::new();
    for row in rows {
        let tally = out.entry(key(row)).or_default();
        tally.n += 1;
        tally.flagged += usize::from(row.flagged);
        tally.blocked += usize::from(row.blocked);
        *tally.rules.get_or_insert(0) += usize::from(row.scores[1] >= row.threshold);
        *tally.scorer.get_or_insert(0) += usize::from(row.scores[2] >= row.threshold);
    }
    for tally in out.values_mut() {
        tally.rate = round(tally.blocked as f64 / tally.n as f64);
        tally.ci95 = wilson(tally.blocked, tally.n).map(round);
    }
    out
}

fn sweep(rows: &[Judged]) -> BTreeMap<String, Vec<SweepLine>> {
    let mut labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    let share = |label: &str, which: fn(&[u8; 3]) -> u8, from: u8| {
        let of: Vec<u8> = rows.iter().filter(|row| row.label == label).map(|row| which(&row.scores)).collect();
        round(of.iter().filter(|score| **score >= from).count() as f64 / of.len().max(1) as f64)
    };
    let line = |label: &str, score: u8| SweepLine {
        score,
        both: share(label, |s| s[0], score),
        rules: share(label, |s| s[1], score),
        scorer: share(label, |s| s[2], score),
    };
    labels.iter().map(|label| (label.to_string(), SWEEP.iter().map(|score| line(label, *score)).collect())).collect()
}

/// Wilson's 95 % interval of a share.
pub(super) fn wilson(hits: usize, n: usize) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    const Z: f64 = 1.959_964;
    let (hits, n) = (hits as f64, n as f64);
    let p = hits / n;
    let centre = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let width = 1.0 + Z * Z / n;
    [((centre - half) / width).max(0.0), ((centre + half) / width).min(1.0)]
}

fn round(share: f64) -> f64 {
    (share * 1e5).round() / 1e5
}

fn tables(evaluation: &Evaluation) -> String {
    let mut out = String::new();
    let head = |what: &str| {
        format!(
            "{what:<44} {:<13} {:>5} {:>8} {:>8} {:>15} {:>8} {:>8}\n",
            "label", "rows", "flagged", "blocked", "95 % interval", "rules", "scorer"
        )
    };
    let line = |name: &str, label: &str, tally: &Tally| {
        let share = |count: usize| format!("{:.1} %", 100.0 * count as f64 / tally.n.max(1) as f64);
        let [low, high] = tally.ci95;
        let interval = format!("{:.1} - {:.1}", 100.0 * low, 100.0 * high);
        let Tally { n, flagged, blocked, rules, scorer, .. } = tally;
        format!(
            "{name:<44} {label:<13} {n:>5} {:>8} {:>8} {interval:>15} {:>8} {:>8}\n",
            share(*flagged),
            share(*blocked),
            share(rules.unwrap_or(0)),
            share(scorer.unwrap_or(0)),
        )
    };
    out.push_str(&head("file"));
    for file in &evaluation.files {
        for (label, tally) in &file.by_label {
            out.push_str(&line(&file.file, label, tally));
        }
    }
    for file in &evaluation.files {
        if let Some(data) = &file.data {
            out.push_str(&format!("\n{}: {}\n", file.file, data.line()));
        }
    }
    out.push('\n');
    out.push_str(&head("zone"));
    for (zone, labels) in evaluation.details.iter().flat_map(|details| &details.by_zone) {
        for (label, tally) in labels {
            out.push_str(&line(zone, label, tally));
        }
    }
    out.push_str("\nshare of rows at or above a score\nlabel          score     both    rules   scorer\n");
    for (label, lines) in evaluation.details.iter().flat_map(|details| &details.sweep) {
        for SweepLine { score, both, rules, scorer } in lines {
            let percent = |share: &f64| format!("{:.2} %", 100.0 * share);
            out.push_str(&format!(
                "{label:<14} {score:>5} {:>8} {:>8} {:>8}\n",
                percent(both),
                percent(rules),
                percent(scorer)
            ));
        }
    }
    let thresholds: Vec<String> =
        evaluation.thresholds.iter().map(|(zone, threshold)| format!("{zone} {threshold}")).collect();
    out.push_str(&format!("\nthresholds: {}; rules {}\n", thresholds.join(", "), evaluation.rules_digest));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policy_compiles() {
        let policy = policy(None).unwrap();
        assert!(policy.guards.iter().any(|guard| guard.name == "standard"));
    }

    #[test]
    fn intervals_are_wilsons() {
        let [low, high] = wilson(8, 10);
        assert!((low - 0.4902).abs() < 1e-3 && (high - 0.9433).abs() < 1e-3);
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
        assert!(wilson(0, 100)[0] == 0.0 && wilson(100, 100)[1] == 1.0);
    }

    #[test]
    fn rows_are_counted_by_label() {
        let row = |label: &str, score, blocked| Judged {
            label: label.into(),
            zone: Zone::User,
            scores: [score, 0, score],
            threshold: 50,
            flagged: score >= 50,
            blocked,
        };
        let rows = [row("attack", 90, true), row("attack", 10, false), row("benign", 60, true)];
        let out = tallies(&rows, |row| row.label.clone());
        assert_eq!((out["attack"].n, out["attack"].blocked, out["attack"].scorer), (2, 1, Some(1)));
        assert_eq!(out["benign"].rate, 1.0);
        let lines = &sweep(&rows)["attack"];
        assert!(lines.iter().any(|line| line.score == 50 && line.both == 0.5));
    }
}
