//! `bartizan eval`: recall and false-positive rate of a policy on labelled text, with 95 % intervals.
//!
//! A row is judged as the filter judges a request that holds this text: `user` and `system` text as the newest turn,
//! `system` from a role that may write it; `tool` and `document` text as history, which the guard replaces. It counts as
//! blocked when the request is refused or changed for any reason: an attack, a secret, personal data, a text that could
//! not be scanned. With `--claim` every row claims one zone, from a role that may not write it. Scores are shown side by
//! side: rules and scorer, only the rules, only the scorer.

mod conversation;
mod data;
mod stage;
mod tables;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::output::{Exit, print, print_json, read_text};
use super::source;
use crate::document::Parsed;
use crate::enums::Zone;
use crate::policy::Policy;
use crate::scan::scorer::Voice;
use crate::scan::{Kind, Report, Scanner, Text, TextReport, normalise};
use conversation::{Conversations, Harmless};
use data::{DataReport, Span};
use stage::{Stage, Turn};
use tables::{SweepLine, Tally, sweep, tables, tallies};

/// The guard of roles that name none.
const STANDARD: &str = "standard";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files of rows {"id", "text", "label", "zone"?}, one JSON object a line
    #[arg(value_name = "DATA.jsonl", required_unless_present = "normalise")]
    files: Vec<PathBuf>,
    /// The policy; absent: the shipped guard, rules and scorer
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The guard to judge by; the guards of the policy's roles do not count
    #[arg(long, default_value = STANDARD)]
    guard: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Add to the JSON: figures by zone, reasons, a role without mayWrite, a sweep of thresholds, rules and scorer apart,
    /// secrets and personal data
    #[arg(long, requires = "json")]
    details: bool,
    /// Also write one line a row, with score, rule ids and why it is blocked: to FILE, or before the result. Two runs over
    /// the same files write lines that `diff` can compare
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    rows: Option<Option<PathBuf>>,
    /// Also judge conversations of 40 harmless texts of all files: with --json the figures are in the details
    #[arg(long, conflicts_with = "claim")]
    conversations: bool,
    /// Judge every row as if it claimed this zone, from a role that may not write it: shows what an attacker gains by moving a text
    #[arg(long, value_name = "ZONE")]
    claim: Option<String>,
    /// Probabilities that take the scorer's place, rows {"id", "file", "said", "read"}: for leave-source-out figures
    #[arg(long, value_name = "FILE")]
    learned: Option<PathBuf>,
    /// Read one JSON string a line from stdin and print its normalised form: what the trainer reads
    #[arg(long)]
    normalise: bool,
}

const SHIPPED: &str = r#"{"version": 1, "name": "eval", "authn": {"unsafeAnonymous": true},
    "roles": {"anonymous": {"operations": ["chat"], "models": ["*"], "mayWrite": ["system"]}},
    "routes": [{"match": {"path": "/v1/chat/completions"}, "protocol": "openai"}]}"#;

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
    /// As text that somebody says.
    said: f32,
    /// As text that is read.
    read: f32,
}

impl LearnedRow {
    fn of(&self, zone: Zone) -> f32 {
        match Voice::of(zone) {
            Voice::Said => self.said,
            Voice::Read => self.read,
        }
    }
}

/// What was made of one row.
#[derive(Debug)]
struct Judged {
    label: String,
    zone: Zone,
    scores: Scores,
    threshold: u8,
    flagged: bool,
    /// What became of the request.
    outcome: stage::Judged,
    /// Blocked when a role without `mayWrite` sends it.
    untrusted: bool,
}

/// Scores of one text, 0 to 100.
#[derive(Clone, Copy, Debug, Default)]
struct Scores {
    both: u8,
    rules: u8,
    scorer: u8,
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
    guard: String,
    /// Over all files, by label.
    all: BTreeMap<String, Tally>,
    by_zone: BTreeMap<String, BTreeMap<String, Tally>>,
    sweep: BTreeMap<String, Vec<SweepLine>>,
    /// Of the harmless texts of all files; absent where there are too few, or nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversations: Option<Conversations>,
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RowLine<'a> {
    file: &'a str,
    id: &'a serde_json::Value,
    label: &'a str,
    zone: &'static str,
    threshold: u8,
    score: u8,
    rules_score: u8,
    scorer_score: u8,
    flagged: bool,
    blocked: bool,
    /// The code of the refusal.
    reason: Option<&'a str>,
    /// `replace` or `mask`.
    changed: Option<&'a str>,
    unscanned: &'a [String],
    /// Blocked when a role without `mayWrite` sends it.
    blocked_untrusted: bool,
    rules: Vec<&'a str>,
}

/// Evaluates the files in the order given.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    if arguments.normalise {
        return normalise_lines();
    }
    let document = document(arguments.config.as_deref())?;
    let policy = compiled(parsed(&document)?)?;
    let names: Vec<&str> = policy.guards.iter().map(|guard| guard.name.as_str()).collect();
    let guard = policy.guards.iter().find(|guard| guard.name == arguments.guard);
    let guard = guard.with_context(|| {
        format!("the policy has no guard {}, expected one of {}", arguments.guard, names.join(", "))
    })?;
    let job = Job {
        trusted: Stage::new(&document, &guard.name, true)?,
        untrusted: Stage::new(&document, &guard.name, false)?,
        thresholds: Zone::ALL.iter().map(|zone| (*zone, guard.injection.threshold(*zone))).collect(),
        learned: arguments.learned.as_deref().map(learned_rows).transpose()?,
        claim: arguments.claim.as_deref().map(|name| zone_named(name).context("--claim")).transpose()?,
    };
    let mut rows: Option<Box<dyn Write>> = match &arguments.rows {
        None => None,
        Some(None) => Some(Box::new(std::io::stdout().lock())),
        Some(Some(path)) => Some(Box::new(std::fs::File::create(path).with_context(|| path.display().to_string())?)),
    };
    let (mut files, mut all, mut pool) = (Vec::new(), Vec::new(), Vec::new());
    for path in &arguments.files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut read = job.file(path, &name, rows.as_deref_mut())?;
        let by_label = tallies(&read.rows, |row| row.label.clone());
        files.push(FileReport { file: name, n: read.rows.len(), by_label, data: read.data });
        pool.append(&mut read.harmless);
        all.append(&mut read.rows);
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
        thresholds: job.thresholds.iter().map(|(zone, threshold)| (zone.as_str().into(), *threshold)).collect(),
        rules_digest: policy.scanner.digest().to_owned(),
        details: Some(Details {
            guard: guard.name.clone(),
            all: tallies(&all, |row| row.label.clone()),
            by_zone,
            sweep: sweep(&all),
            conversations: match arguments.conversations {
                true => conversation::judge(&job.trusted, &pool)?,
                false => None,
            },
        }),
    };
    if arguments.json && !arguments.details {
        evaluation.promised();
    }
    match names.as_slice() {
        [_] => eprintln!("bartizan: judged by guard {}, the only one of the policy", guard.name),
        _ => eprintln!("bartizan: judged by guard {}, one of {} (--guard)", guard.name, names.join(", ")),
    }
    match (arguments.json, &arguments.rows) {
        (true, Some(None)) => print(&format!("{}\n", serde_json::to_string(&evaluation)?))?,
        (true, _) => print_json(&evaluation)?,
        (false, _) => print(&tables(&evaluation))?,
    }
    Ok(Exit::Fine)
}

impl Evaluation {
    /// Leaves what the command promises and nothing else.
    fn promised(&mut self) {
        self.details = None;
        for file in &mut self.files {
            file.data = None;
            file.by_label.values_mut().for_each(|tally| tally.more = None);
        }
    }
}

fn normalise_lines() -> anyhow::Result<Exit> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lines() {
        let text: String = serde_json::from_str(&line?).context("stdin: expected one JSON string a line")?;
        writeln!(out, "{}", serde_json::to_string(&normalise::to_string(&text))?)?;
    }
    Ok(Exit::Fine)
}

/// The policy in a file, or the shipped one.
pub(super) fn policy(config: Option<&Path>) -> anyhow::Result<Policy> {
    compiled(parsed(&document(config)?)?)
}

/// A file, or the shipped policy.
pub(super) fn document(config: Option<&Path>) -> anyhow::Result<String> {
    config.map_or_else(|| Ok(SHIPPED.to_owned()), read_text)
}

/// The first policy of a file.
fn parsed(file: &str) -> anyhow::Result<Parsed> {
    let found = source::find(file, false);
    let source = found.sources.into_iter().next();
    Ok(source.context("no policy in the file: see `bartizan check`")?.parsed)
}

fn compiled(parsed: Parsed) -> anyhow::Result<Policy> {
    // Secrets of the proxy's environment are not needed here.
    let environment = |name: &str| std::env::var(name).ok().or_else(|| Some("-".repeat(64)));
    Policy::compile(parsed, &environment).map_err(|errors| {
        let first = errors.first().map(|error| format!("{}: {}", error.path, error.message)).unwrap_or_default();
        anyhow::anyhow!("{first} ({} errors; see `bartizan check`)", errors.len())
    })
}

fn learned_rows(path: &Path) -> anyhow::Result<BTreeMap<(String, String), LearnedRow>> {
    let mut out = BTreeMap::new();
    for line in read_text(path)?.lines() {
        let row: LearnedRow = serde_json::from_str(line).with_context(|| path.display().to_string())?;
        out.insert((row.file.clone(), row.id.to_string()), row);
    }
    Ok(out)
}

fn zone_named(name: &str) -> anyhow::Result<Zone> {
    Zone::ALL.iter().copied().find(|zone| zone.as_str() == name).with_context(|| {
        let known: Vec<&str> = Zone::ALL.iter().map(|zone| zone.as_str()).collect();
        format!("unknown zone {name:?}, expected one of {}", known.join(", "))
    })
}

/// What every file is judged by.
struct Job {
    /// Requests of a role that may write the zone `system`.
    trusted: Stage,
    /// Requests of a role that may write no zone but its own.
    untrusted: Stage,
    thresholds: BTreeMap<Zone, u8>,
    /// Probabilities that take the scorer's place, by file and id.
    learned: Option<BTreeMap<(String, String), LearnedRow>>,
    claim: Option<Zone>,
}

/// What was read of one file.
#[derive(Default)]
struct FileRows {
    rows: Vec<Judged>,
    data: Option<DataReport>,
    harmless: Vec<Harmless>,
}

impl Job {
    fn file(&self, path: &Path, name: &str, mut out: Option<&mut (dyn Write + 'static)>) -> anyhow::Result<FileRows> {
        let mut read = FileRows::default();
        for (number, line) in read_text(path)?.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let place = || format!("{}: line {}", path.display(), number + 1);
            let row: Row = serde_json::from_str(line).with_context(place)?;
            if !LABELS.iter().chain(&data::LABELS).any(|label| *label == row.label) {
                let known: Vec<&str> = LABELS.iter().chain(&data::LABELS).copied().collect();
                bail!("{}: unknown label {:?}, expected one of {}", place(), row.label, known.join(", "));
            }
            let own = row.zone.as_deref().map_or(Ok(Zone::User), zone_named).with_context(place)?;
            let zone = self.claim.unwrap_or(own);
            let report = self.scan(zone, &row.text);
            if data::LABELS.contains(&row.label.as_str()) {
                let all = read.data.get_or_insert_default();
                all.add(&self.trusted.policy().scanner, &row.text, &row.label, &row.spans, &report);
            }
            let learned = self.learned.as_ref().and_then(|all| all.get(&(name.to_owned(), row.id.to_string())));
            let of = |zone| learned.map(|row| row.of(zone));
            read.harmless.extend(Harmless::of(own, &row.label, &row.text, of(own)));
            let (judged, rules) = self.row(row.label, zone, &row.text, of(zone), report)?;
            if let Some(out) = out.as_deref_mut() {
                let line = RowLine {
                    file: name,
                    id: &row.id,
                    label: &judged.label,
                    zone: zone.as_str(),
                    threshold: judged.threshold,
                    score: judged.scores.both,
                    rules_score: judged.scores.rules,
                    scorer_score: judged.scores.scorer,
                    flagged: judged.flagged,
                    blocked: judged.outcome.blocked(),
                    reason: judged.outcome.reason.as_deref(),
                    changed: judged.outcome.changed.as_deref(),
                    unscanned: &judged.outcome.unscanned,
                    blocked_untrusted: judged.untrusted,
                    rules,
                };
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
            }
            read.rows.push(judged);
        }
        if read.rows.is_empty() {
            bail!("{}: no rows", path.display());
        }
        if let Some(data) = &mut read.data {
            data.close();
        }
        Ok(read)
    }

    fn scan(&self, zone: Zone, text: &str) -> Report {
        let policy = self.trusted.policy();
        policy.scanner.scan(&[Text { zone, text }], stage::budget(&policy.limits))
    }

    /// One row, and the rules that fire in its text.
    fn row(
        &self,
        label: String,
        zone: Zone,
        text: &str,
        learned: Option<f32>,
        mut report: Report,
    ) -> anyhow::Result<(Judged, Vec<&str>)> {
        let scanner = &self.trusted.policy().scanner;
        if let (Some(text), Some(_)) = (report.texts.first_mut(), learned) {
            text.learned = learned;
        }
        let scores = scores(scanner, &report, zone);
        let cards = report.texts.iter().flat_map(|text| &text.findings);
        let cards = cards.filter_map(|finding| scanner.cards().get(usize::from(finding.rule.0)));
        let data = cards.clone().any(|card| card.kind != Kind::Attack);
        let mut rules: Vec<&str> = cards.map(|card| card.id.as_str()).collect();
        rules.sort_unstable();
        rules.dedup();

        let of = |zone: Zone| self.thresholds.get(&zone).copied().unwrap_or_default();
        let trusted = zone == Zone::System && self.claim.is_none();
        let threshold = if trusted { of(zone) } else { of(zone).min(of(Zone::User)) };
        let turn = Turn { zone, text, learned };
        let untrusted = self.untrusted.alone(turn)?;
        let judged = Judged {
            label,
            zone,
            scores,
            threshold,
            flagged: scores.both >= threshold || data,
            untrusted: untrusted.blocked(),
            outcome: if trusted { self.trusted.alone(turn)? } else { untrusted },
        };
        Ok((judged, rules))
    }
}

fn scores(scanner: &Scanner, report: &Report, zone: Zone) -> Scores {
    let Some(text) = report.texts.first() else { return Scores::default() };
    let score = |report: &TextReport| scanner.score(report, zone, &|_| false);
    Scores {
        both: score(text),
        rules: score(&TextReport { learned: None, ..text.clone() }),
        scorer: score(&TextReport { findings: Vec::new(), ..text.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policy_compiles() {
        let policy = policy(None).unwrap();
        assert!(policy.guards.iter().any(|guard| guard.name == STANDARD));
    }
}
