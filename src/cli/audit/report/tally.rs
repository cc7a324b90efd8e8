//! What records add up to, in memory that does not grow with their number.

use std::collections::BTreeMap;

use serde::Serialize;

use super::entry::{Entry, Response, Word};
use super::sketch::{Histogram, Names, Percentiles, Ranked, Sum, Timeline};
use crate::audit::Verdict;
use crate::cli::audit::drift::Drift;
use crate::cli::cost;
use crate::cli::records::{self, Seen};
use crate::quota::price::is_currency;

/// The verdicts, in the order of columns; another word is counted as the last.
pub(super) const VERDICTS: [&str; 7] = [
    Verdict::Allow.name(),
    Verdict::Mask.name(),
    Verdict::Replace.name(),
    Verdict::Block.name(),
    Verdict::Pass.name(),
    Verdict::Incomplete.name(),
    "unknown",
];
/// Currencies whose costs are added up; records in others are counted.
const MAX_CURRENCIES: usize = 8;
/// The first second of the year 10000.
const MAX_TIME: u64 = 253_402_300_800;

/// Requests of one name.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Traffic {
    pub(super) requests: u64,
    pub(super) blocked: u64,
    /// Masked or replaced.
    pub(super) changed: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

impl Sum for Traffic {
    fn weight(&self) -> u128 {
        self.requests.into()
    }

    fn add(&mut self, other: &Traffic) {
        self.requests += other.requests;
        self.blocked += other.blocked;
        self.changed += other.changed;
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
    }
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Count {
    pub(super) count: u64,
}

impl Sum for Count {
    fn weight(&self) -> u128 {
        self.count.into()
    }

    fn add(&mut self, other: &Count) {
        self.count += other.count;
    }
}

/// Findings of one rule by what followed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Actions {
    pub(super) findings: u64,
    pub(super) block: u64,
    /// Masked, hashed or replaced.
    pub(super) change: u64,
    pub(super) flag: u64,
    /// Shadow mode, and exceptions.
    pub(super) none: u64,
}

impl Sum for Actions {
    fn weight(&self) -> u128 {
        self.findings.into()
    }

    fn add(&mut self, other: &Actions) {
        self.findings += other.findings;
        self.block += other.block;
        self.change += other.change;
        self.flag += other.flag;
        self.none += other.none;
    }
}

/// Records of one name and the time between the first and the last, in seconds since 1970.
#[derive(Debug, Default, Serialize)]
pub(super) struct Period {
    pub(super) count: u64,
    #[serde(serialize_with = "rfc3339")]
    pub(super) first: Option<u64>,
    #[serde(serialize_with = "rfc3339")]
    pub(super) last: Option<u64>,
}

impl Period {
    fn note(&mut self, at: Option<u64>) {
        self.add(&Period { count: 1, first: at, last: at });
    }
}

impl Sum for Period {
    fn weight(&self) -> u128 {
        self.count.into()
    }

    fn add(&mut self, other: &Period) {
        self.count += other.count;
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.max(other.last);
    }
}

/// Records of one worker. A number between the first and the last that has no record is one that is lost.
#[derive(Debug, Default, Serialize)]
pub(super) struct Worker {
    #[serde(flatten)]
    pub(super) period: Period,
    pub(super) missing: u64,
    #[serde(skip)]
    numbered: u64,
    #[serde(skip)]
    range: Option<(u64, u64)>,
}

impl Sum for Worker {
    fn weight(&self) -> u128 {
        self.period.count.into()
    }

    fn add(&mut self, other: &Worker) {
        self.period.add(&other.period);
        self.missing = self.missing.saturating_add(other.missing);
    }
}

impl Worker {
    fn number(&mut self, sequence: u64) {
        self.numbered += 1;
        let (least, most) = self.range.unwrap_or((sequence, sequence));
        let (least, most) = (least.min(sequence), most.max(sequence));
        self.range = Some((least, most));
        self.missing = (most - least).saturating_sub(self.numbered - 1);
    }
}

/// Millionths of a currency.
#[derive(Debug, Default, Serialize)]
pub(super) struct Money {
    pub(super) requests: u64,
    #[serde(serialize_with = "amount")]
    pub(super) amount: u128,
}

impl Sum for Money {
    fn weight(&self) -> u128 {
        self.amount
    }

    fn add(&mut self, other: &Money) {
        self.requests += other.requests;
        self.amount += other.amount;
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this form")]
fn amount<S: serde::Serializer>(sum: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&cost::amount(*sum))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this form")]
fn rfc3339<S: serde::Serializer>(time: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(written).serialize(serializer)
}

/// A time as records have it, without the part of a second.
pub(super) fn written(secs: u64) -> String {
    crate::audit::rfc3339(crate::host::Timestamp::from_secs(secs)).replace(".000Z", "Z")
}

/// What the lines were.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lines {
    pub(super) all: u64,
    pub(super) records: u64,
    /// A record that was read before: an access log and the proxy's own log have the same ones.
    pub(super) duplicates: u64,
    /// A record outside `--since` and `--until`, or without a time where one of them is given.
    pub(super) outside: u64,
    /// A line of the responder.
    pub(super) responses: u64,
    /// What an erasure left of a record.
    pub(super) erased: u64,
    /// No record.
    pub(super) foreign: u64,
    /// A record that can't be read.
    pub(super) broken: u64,
}

#[derive(Default)]
struct Currency {
    total: Money,
    models: Names<Money>,
    tenants: Names<Money>,
    roles: Names<Money>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cost {
    pub(super) total: Money,
    pub(super) by_model: Ranked<Money>,
    pub(super) by_tenant: Ranked<Money>,
    pub(super) by_role: Ranked<Money>,
}

pub(super) struct Tally {
    seen: Seen,
    lines: Lines,
    period: Period,
    verdicts: [u64; VERDICTS.len()],
    timeline: Timeline<{ VERDICTS.len() }>,
    latency: Histogram,
    scores: [u64; 10],
    currencies: BTreeMap<String, Currency>,
    sums: Numbers,
    names: BTreeMap<&'static str, Names<Count>>,
    traffic: BTreeMap<&'static str, Names<Traffic>>,
    periods: BTreeMap<&'static str, Names<Period>>,
    rules: Names<Actions>,
    workers: Names<Worker>,
}

/// Single numbers.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Numbers {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) findings: u64,
    pub(super) masked: u64,
    pub(super) strikes: u64,
    pub(super) cooldowns: u64,
    pub(super) cooldown_secs: u64,
    pub(super) unsettled: u64,
    pub(super) unpriced: u64,
    pub(super) other_currencies: u64,
    pub(super) without_time: u64,
    pub(super) without_latency: u64,
}

/// One column of the timeline.
#[derive(Debug, Serialize)]
pub(super) struct Column {
    pub(super) at: String,
    #[serde(serialize_with = "by_verdict")]
    pub(super) verdicts: [u64; VERDICTS.len()],
}

fn by_verdict<S: serde::Serializer>(counts: &[u64; VERDICTS.len()], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(VERDICTS.iter().zip(counts))
}

/// All there is to say. The page and the JSON are both made of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) lines: Lines,
    pub(super) period: Period,
    #[serde(serialize_with = "by_verdict")]
    pub(super) verdicts: [u64; VERDICTS.len()],
    pub(super) column_secs: u64,
    pub(super) timeline: Vec<Column>,
    pub(super) latency_us: Option<Percentiles>,
    /// Records by score, in steps of ten: 0 to 9, ..., 90 to 100.
    pub(super) scores: [u64; 10],
    pub(super) sums: Numbers,
    pub(super) traffic: BTreeMap<&'static str, Ranked<Traffic>>,
    pub(super) counts: BTreeMap<&'static str, Ranked<Count>>,
    pub(super) versions: BTreeMap<&'static str, Ranked<Period>>,
    pub(super) rules: Ranked<Actions>,
    pub(super) workers: Ranked<Worker>,
    pub(super) cost: BTreeMap<String, Cost>,
    /// Against a baseline, where one is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) drift: Option<Drift>,
}

/// Groups are in the report though nothing was counted in them, so that a program need not ask.
const COUNTS: [&str; 19] = [
    "reasons",
    "statuses",
    "shadow",
    "opinions",
    "capture",
    "authz",
    "coverage",
    "unscanned",
    "basis",
    "crossed",
    "quotaRefusals",
    "countedBy",
    "skippedCalls",
    "revocation",
    "cooldownCallers",
    "responses",
    "responseModels",
    "costBasis",
    "incomplete",
];
const TRAFFIC: [&str; 6] = ["roles", "tenants", "models", "callers", "routes", "protocols"];
const VERSIONS: [&str; 2] = ["policies", "rulesets"];

/// What the range of times leaves.
pub(super) type Range = (Option<u64>, Option<u64>);

fn is_outside(at: Option<u64>, (since, until): Range) -> bool {
    since.is_some_and(|since| at.is_none_or(|at| at < since))
        || until.is_some_and(|until| at.is_none_or(|at| at >= until))
}

fn time_of(time: Option<&Word<'_>>) -> Option<u64> {
    time.and_then(|time| crate::cli::replay::seconds(time.get())).filter(|at| *at < MAX_TIME)
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            seen: Seen::new(),
            lines: Lines::default(),
            period: Period::default(),
            verdicts: [0; VERDICTS.len()],
            timeline: Timeline::default(),
            latency: Histogram::default(),
            scores: [0; 10],
            currencies: BTreeMap::new(),
            sums: Numbers::default(),
            names: COUNTS.into_iter().map(|name| (name, Names::default())).collect(),
            traffic: TRAFFIC.into_iter().map(|name| (name, Names::default())).collect(),
            periods: VERSIONS.into_iter().map(|name| (name, Names::default())).collect(),
            rules: Names::default(),
            workers: Names::default(),
        }
    }

    /// A line of a log; `None` is one that is no text.
    pub(super) fn line(&mut self, line: Option<&[u8]>, range: Range) {
        self.lines.all += 1;
        let line = line.and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
        let mut is_broken = false;
        let mut take = |json: &str| {
            // What is behind the object is none of the record's.
            let mut entries = serde_json::Deserializer::from_str(json).into_iter::<Entry>();
            match entries.next() {
                Some(Ok(entry)) if entry.dataset.as_ref().map(Word::get) == Some("bartizan.audit") => {
                    self.entry(&entry, range);
                    return Some(entries.byte_offset());
                }
                Some(Err(_)) => is_broken |= json.contains("\"bartizan.audit\""),
                _ => {}
            }
            let (other, length) = records::first::<Response<'_>>(json)?;
            match other.dataset.get() {
                "bartizan.response" => self.response(&other, range),
                "bartizan.erased" => self.erased(&other),
                _ => return None,
            }
            Some(length)
        };
        if !records::open(line, &mut take) {
            self.lines.broken += u64::from(is_broken);
            self.lines.foreign += u64::from(!is_broken);
        }
    }

    fn entry(&mut self, entry: &Entry<'_>, range: Range) {
        let at = time_of(entry.timestamp.as_ref());
        if is_outside(at, range) {
            self.lines.outside += 1;
        } else if self.is_new(entry) {
            self.lines.records += 1;
            self.record(entry, at);
        } else {
            self.lines.duplicates += 1;
        }
    }

    /// A ban is no request: it is counted apart.
    fn response(&mut self, response: &Response<'_>, range: Range) {
        let action = response.action.as_ref().map_or("(none)", Word::get);
        let (action, time) = (action, response.timestamp.as_ref().map(Word::get));
        if is_outside(time_of(response.timestamp.as_ref()), range) {
            self.lines.outside += 1;
        } else if !self.seen.is_new((action, response.ban.as_ref().map(Word::get), time)) {
            self.lines.duplicates += 1;
        } else {
            self.lines.responses += 1;
            let why = response.reason.as_ref().map_or("(none)", Word::get);
            if let Some(names) = self.names.get_mut("responses") {
                names.of(&format!("{action}: {why}")).count += 1;
            }
        }
    }

    /// What an erasure left: the number is not lost.
    fn erased(&mut self, tombstone: &Response<'_>) {
        self.lines.erased += 1;
        if let (Some(worker), Some(sequence)) = (&tombstone.worker, tombstone.sequence) {
            self.workers.of(worker.get()).number(sequence);
        }
    }

    /// Worker, sequence and time name a record.
    fn is_new(&mut self, entry: &Entry<'_>) -> bool {
        let [time, worker, request] = [&entry.timestamp, &entry.worker, &entry.request_id];
        let [time, worker, request] = [time, worker, request].map(|word| word.as_ref().map(Word::get));
        let place = worker.filter(|worker| !worker.is_empty()).zip(entry.sequence);
        self.seen.is_new_record(place, request, time)
    }

    fn record(&mut self, entry: &Entry<'_>, at: Option<u64>) {
        let verdict = VERDICTS.iter().position(|known| *known == entry.verdict.get()).unwrap_or(VERDICTS.len() - 1);
        self.period.note(at);
        if let Some(count) = self.verdicts.get_mut(verdict) {
            *count += 1;
        }
        match at {
            Some(at) => self.timeline.add(at, verdict),
            None => self.sums.without_time += 1,
        }
        match entry.latency {
            Some(latency) => self.latency.add(latency),
            None => self.sums.without_latency += 1,
        }
        if let Some(score) = entry.score
            && let Some(count) = self.scores.get_mut(usize::try_from(score.min(99) / 10).unwrap_or(9))
        {
            *count += 1;
        }
        let get = |word: &'_ Option<Word<'_>>| word.as_ref().map(|word| word.get().to_owned());
        let (input, output) = (entry.input_tokens.unwrap_or(0), entry.output_tokens.unwrap_or(0));
        let traffic = Traffic {
            requests: 1,
            blocked: u64::from(VERDICTS.get(verdict) == Some(&"block")),
            changed: u64::from(matches!(VERDICTS.get(verdict), Some(&("mask" | "replace")))),
            input_tokens: input,
            output_tokens: output,
        };
        let role = entry.roles.first().map(Word::get);
        for (group, name) in TRAFFIC.into_iter().zip([
            role,
            entry.tenant.as_ref().map(Word::get),
            entry.model.as_ref().map(Word::get),
            entry.user_hash.as_ref().map(Word::get),
            entry.route.as_ref().map(Word::get),
            entry.protocol.as_ref().map(Word::get),
        ]) {
            if let Some(names) = self.traffic.get_mut(group) {
                names.of(name.unwrap_or("(none)")).add(&traffic);
            }
        }
        self.counted(entry, verdict, role.unwrap_or("(none)"));
        for (group, digest) in VERSIONS.into_iter().zip([&entry.policy_digest, &entry.rules_digest]) {
            if let (Some(names), Some(digest)) = (self.periods.get_mut(group), digest) {
                names.of(digest.get()).note(at);
            }
        }
        for finding in &entry.findings {
            let actions = self.rules.of(finding.rule.get());
            actions.findings += 1;
            *match finding.action.get() {
                "block" => &mut actions.block,
                "mask" | "hash" | "replace" | "restore" => &mut actions.change,
                "flag" => &mut actions.flag,
                _ => &mut actions.none,
            } += 1;
        }
        if let (Some(worker), Some(sequence)) = (get(&entry.worker).filter(|one| !one.is_empty()), entry.sequence) {
            let worker = self.workers.of(&worker);
            worker.period.note(at);
            worker.number(sequence);
        }
        self.priced(entry, role.unwrap_or("(none)"));
        let sums = &mut self.sums;
        sums.input_tokens = sums.input_tokens.saturating_add(input);
        sums.output_tokens = sums.output_tokens.saturating_add(output);
        sums.findings = sums.findings.saturating_add(entry.findings_total);
        sums.masked = sums.masked.saturating_add(entry.masked);
        let begun = u64::from(entry.cooldown.is_some()).saturating_add(entry.late_cooldowns);
        sums.strikes = sums.strikes.saturating_add(u64::from(entry.is_strike));
        sums.cooldowns = sums.cooldowns.saturating_add(begun);
        sums.cooldown_secs = sums.cooldown_secs.saturating_add(entry.cooldown.unwrap_or(0));
    }

    /// Groups of which there is only a count.
    fn counted(&mut self, entry: &Entry<'_>, verdict: usize, role: &str) {
        let mut count = |group: &str, name: &str| {
            if let Some(names) = self.names.get_mut(group) {
                names.of(name).count += 1;
            }
        };
        let singles = [
            ("capture", &entry.capture),
            ("authz", &entry.authz),
            ("coverage", &entry.coverage),
            ("basis", &entry.basis),
            ("countedBy", &entry.counted_by),
            ("skippedCalls", &entry.skipped),
            ("revocation", &entry.revocation),
            ("costBasis", &entry.cost_basis),
        ];
        for (group, word) in singles {
            if let Some(word) = word {
                count(group, word.get());
            }
        }
        entry.shadow.iter().for_each(|code| count("shadow", code.get()));
        entry.unscanned.iter().for_each(|kind| count("unscanned", kind.get()));
        for opinion in &entry.opinions {
            count("opinions", &format!("{}: {}", opinion.name.get(), opinion.outcome.get()));
        }
        for crossed in &entry.crossed {
            let (role, per, counts) = (crossed.role.get(), crossed.per.get(), crossed.counts.get());
            count("crossed", &format!("{role}: {counts} per {per}, {} %", crossed.share));
        }
        if let Some(status) = entry.status {
            count("statuses", &status.to_string());
        }
        if let (Some(asked), Some(told)) = (&entry.model, &entry.response_model)
            && asked.get() != told.get()
        {
            count("responseModels", &format!("{} → {}", asked.get(), told.get()));
        }
        if VERDICTS.get(verdict) == Some(&"block") {
            let reason = entry.reason.as_ref().map_or("(none)", Word::get);
            count("reasons", reason);
            if reason.starts_with("quota.") {
                count("quotaRefusals", &format!("{role}: {reason}"));
            }
        }
        if entry.cooldown.is_some() {
            count("cooldownCallers", entry.user_hash.as_ref().map_or("(none)", Word::get));
        }
        if VERDICTS.get(verdict) == Some(&"incomplete") {
            count("incomplete", entry.route.as_ref().map_or("(none)", Word::get));
        }
        self.sums.unsettled += u64::from(entry.basis.as_ref().is_some_and(|basis| basis.get() == "unsettled"));
        self.sums.unpriced += u64::from(entry.cost_basis.as_ref().is_some_and(|basis| basis.get() == "unpriced"));
    }

    fn priced(&mut self, entry: &Entry<'_>, role: &str) {
        let Some((amount, currency)) = entry.cost.as_ref().zip(entry.currency.as_ref()) else { return };
        let currency = currency.get();
        let Some(amount) = cost::read(amount.get()).filter(|_| is_currency(currency)) else { return };
        if !self.currencies.contains_key(currency) && self.currencies.len() >= MAX_CURRENCIES {
            self.sums.other_currencies += 1;
            return;
        }
        let money = Money { requests: 1, amount: amount.into() };
        let sums = self.currencies.entry(currency.to_owned()).or_default();
        sums.total.add(&money);
        let billed = entry.response_model.as_ref().map(Word::get).filter(|name| !is_hash(name));
        let model = billed.or(entry.model.as_ref().map(Word::get));
        sums.models.of(model.unwrap_or("(none)")).add(&money);
        sums.tenants.of(entry.tenant.as_ref().map_or("(none)", Word::get)).add(&money);
        sums.roles.of(role).add(&money);
    }

    pub(super) fn report(self, top: usize) -> Report {
        let (column_secs, columns) = self.timeline.shown();
        let cost = |sums: Currency| Cost {
            total: sums.total,
            by_model: sums.models.ranked(top),
            by_tenant: sums.tenants.ranked(top),
            by_role: sums.roles.ranked(top),
        };
        Report {
            lines: self.lines,
            period: self.period,
            verdicts: self.verdicts,
            column_secs,
            timeline: columns.into_iter().map(|(at, verdicts)| Column { at: written(at), verdicts }).collect(),
            latency_us: self.latency.summary(),
            scores: self.scores,
            sums: self.sums,
            traffic: self.traffic.into_iter().map(|(group, names)| (group, names.ranked(top))).collect(),
            counts: self.names.into_iter().map(|(group, names)| (group, names.ranked(top))).collect(),
            versions: self.periods.into_iter().map(|(group, names)| (group, names.ranked(top))).collect(),
            rules: self.rules.ranked(top),
            workers: self.workers.ranked(top),
            cost: self.currencies.into_iter().map(|(currency, sums)| (currency, cost(sums))).collect(),
            drift: None,
        }
    }
}

fn is_hash(model: &str) -> bool {
    crate::cli::replay::is_hash(model)
}
