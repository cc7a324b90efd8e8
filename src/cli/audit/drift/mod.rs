//! `bartizan audit drift`: whether records look like those of a baseline, and whether groups are treated alike.

mod compare;
mod parity;
mod profile;
mod sample;
mod statistics;

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub(super) use self::compare::{Comparison, Moved};
use self::compare::{Limits, Lone, State, compare, lone};
pub(super) use self::parity::Parity;
use self::parity::parity;
pub(super) use self::profile::{Counting, Profile};
use self::profile::{Lines, MAX_FILE};
use self::statistics::adjusted;
use crate::cli::explain::shown;
use crate::cli::output::{Exit, print, print_json, write_private};
use crate::cli::records;

/// A dimension by which records are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum By {
    /// `gen_ai.request.model`
    Model,
    /// The first of `user.roles`
    Role,
    /// `bartizan.group`
    Group,
}

impl By {
    pub(super) const ALL: [By; 3] = [By::Model, By::Role, By::Group];

    pub(super) const fn name(self) -> &'static str {
        match self {
            By::Model => "model",
            By::Role => "role",
            By::Group => "group",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Logs with audit records; - is stdin
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Write what the records add up to as a baseline
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
    /// Only records from this time on, in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    since: Option<u64>,
    /// Only records before this time
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    until: Option<u64>,
    /// Print all comparisons as JSON
    #[arg(long)]
    json: bool,
}

/// What is compared, and what a difference is.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Settings {
    /// Compare with this baseline; given again, with the sum of them
    #[arg(long, value_name = "FILE")]
    pub(super) baseline: Vec<PathBuf>,
    /// Dimensions that are compared beside all records
    #[arg(long, value_delimiter = ',', default_value = "model,role,group", value_name = "WHAT")]
    by: Vec<By>,
    /// The least population stability index of a finding
    #[arg(long, default_value_t = 0.2, value_parser = positive, value_name = "INDEX")]
    psi: f64,
    /// The most false findings among findings
    #[arg(long, default_value_t = 0.01, value_parser = share, value_name = "SHARE")]
    alpha: f64,
    /// The least records of a side
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(30..), value_name = "N")]
    least: u64,
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number")?;
    if number > 0.0 && number.is_finite() { Ok(number) } else { Err("expected a number above 0".to_owned()) }
}

fn share(text: &str) -> Result<f64, String> {
    let number = positive(text)?;
    if number < 1.0 { Ok(number) } else { Err("expected a number above 0 and below 1".to_owned()) }
}

/// What was compared and found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Drift {
    pub(super) records: u64,
    /// Records of the baseline; `None`: there is none.
    pub(super) baseline_records: Option<u64>,
    limits: Limits,
    /// Comparisons that are findings.
    pub(super) findings: usize,
    /// Comparisons and rates that were tested, of which there are adjusted p-values.
    pub(super) tests: usize,
    pub(super) comparisons: Vec<Comparison>,
    pub(super) parity: Vec<Parity>,
    /// Names without a baseline.
    pub(super) new: Vec<Lone>,
    /// Names of the baseline that have no record now.
    pub(super) gone: Vec<Lone>,
}

impl Drift {
    /// Compares what logs add up to with the baselines.
    pub(super) fn of(now: &Profile, settings: &Settings) -> anyhow::Result<Drift> {
        let mut baseline: Option<Profile> = None;
        for path in &settings.baseline {
            let read = read_baseline(path)?;
            match &mut baseline {
                Some(sum) => sum.add(&read),
                None => baseline = Some(read),
            }
        }
        let mut by = settings.by.clone();
        by.sort_unstable();
        by.dedup();
        let limits = Limits { psi: settings.psi, alpha: settings.alpha, least: settings.least };
        let mut comparisons = baseline.as_ref().map_or_else(Vec::new, |baseline| compare(baseline, now, &by, &limits));
        let mut parity = parity(now, &by, &limits);
        let values = comparisons.iter().map(|one| one.p).chain(parity.iter().map(|one| one.p));
        let values: Vec<f64> = values.flatten().collect();
        let mut adjusted = adjusted(&values).into_iter();
        for one in comparisons.iter_mut().filter(|one| one.p.is_some()) {
            one.conclude(adjusted.next().unwrap_or(1.0), &limits);
        }
        for one in parity.iter_mut().filter(|one| one.p.is_some()) {
            one.conclude(adjusted.next().unwrap_or(1.0), &limits);
        }
        let differing = comparisons.iter().filter(|one| one.state == State::Differs).count();
        let findings = differing + parity.iter().filter(|one| one.is_finding()).count();
        Ok(Drift {
            records: now.all.records,
            baseline_records: baseline.as_ref().map(|baseline| baseline.all.records),
            limits,
            findings,
            tests: values.len(),
            new: baseline.as_ref().map_or_else(Vec::new, |baseline| lone(now, baseline, &by)),
            gone: baseline.as_ref().map_or_else(Vec::new, |baseline| lone(baseline, now, &by)),
            comparisons,
            parity,
        })
    }

    /// Comparisons with a finding, the largest index first.
    pub(super) fn differing(&self) -> Vec<&Comparison> {
        let mut found: Vec<&Comparison> = self.comparisons.iter().filter(|one| one.state == State::Differs).collect();
        found.sort_by(|one, other| other.psi.unwrap_or(0.0).total_cmp(&one.psi.unwrap_or(0.0)));
        found
    }

    /// Comparisons and rates of which there are too few records.
    pub(super) fn untested(&self) -> usize {
        let is_few = |state: State| state == State::NotEnough;
        self.comparisons.iter().filter(|one| is_few(one.state)).count()
            + self.parity.iter().filter(|one| is_few(one.state)).count()
    }
}

impl Comparison {
    /// Where it is: `all records`, `model gpt-4o`.
    pub(super) fn place(&self) -> String {
        if self.name.is_empty() { "all records".to_owned() } else { format!("{} {}", self.by, self.name) }
    }

    /// What moved most, in words.
    pub(super) fn told(&self) -> String {
        match &self.moved {
            Some(Moved::Median { baseline, now }) => format!("median {baseline} to {now}"),
            Some(Moved::Share { word, baseline, now }) => {
                format!("{word}: {} to {}", percent(*baseline), percent(*now))
            }
            None => String::new(),
        }
    }
}

impl Parity {
    /// What is said of it.
    pub(super) fn told(&self) -> &'static str {
        match self.state {
            State::Differs => "differs",
            State::Same => "alike",
            State::NotEnough => "not enough",
        }
    }
}

/// A share, to a tenth of a percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn read_baseline(path: &Path) -> anyhow::Result<Profile> {
    let name = || path.display().to_string();
    let mut text = String::new();
    let file = std::fs::File::open(path).with_context(name)?;
    file.take(MAX_FILE + 1).read_to_string(&mut text).with_context(name)?;
    if text.len() as u64 > MAX_FILE {
        bail!("{}: longer than a baseline can be", name());
    }
    Profile::from_text(&text).with_context(name)
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut counting = Counting::new();
    let range = (arguments.since, arguments.until);
    for log in &arguments.logs {
        records::lines(log, &mut |line, _| counting.line(line, range))?;
    }
    let lines = counting.lines;
    for (count, what) in [(lines.foreign, "are no audit records"), (lines.broken, "are records that can't be read")] {
        if count > 0 {
            eprintln!("bartizan: {count} of {} lines {what}", lines.all);
        }
    }
    let now = counting.profile();
    if lines.records == 0 {
        bail!("no audit record was counted");
    }
    let drift = Drift::of(&now, &arguments.settings)?;
    if let Some(path) = &arguments.write_baseline {
        write_private(path, &now.to_text()?)?;
    }
    if arguments.json {
        print_json(&Printed { lines, drift: &drift })?;
    } else {
        print(&terminal(&drift))?;
    }
    Ok(if drift.findings == 0 { Exit::Fine } else { Exit::Findings })
}

#[derive(Serialize)]
struct Printed<'d> {
    lines: Lines,
    #[serde(flatten)]
    drift: &'d Drift,
}

/// The findings, for a terminal.
pub(super) fn terminal(drift: &Drift) -> String {
    let mut out = String::new();
    let line = |out: &mut String, text: String| {
        let text: String = text.chars().map(shown).collect();
        out.push_str(text.trim_end());
        out.push('\n');
    };
    let head = match drift.baseline_records {
        Some(records) => format!("{} records against a baseline of {records}", drift.records),
        None => format!("{} records, no baseline", drift.records),
    };
    line(&mut out, format!("{head}: {} findings in {} tests", drift.findings, drift.tests));
    if drift.untested() > 0 {
        line(
            &mut out,
            format!("{} comparisons have too few records (--least {})", drift.untested(), drift.limits.least),
        );
    }
    for (list, what) in [(&drift.new, "new"), (&drift.gone, "gone")] {
        for one in list {
            line(&mut out, format!("{what}: {} {}, {} records", one.by, one.name, one.records));
        }
    }
    let found = drift.differing();
    if !found.is_empty() {
        out.push_str("\ndrift\n");
    }
    for one in found {
        let (psi, p) = (one.psi.unwrap_or(0.0), one.adjusted.unwrap_or(1.0));
        let text = format!("  {:<24} {:<13} psi {psi:.2}  p {p:.1e}  {}", one.place(), one.feature, one.told());
        line(&mut out, text);
    }
    let mut head = "";
    let is_any = |one: &&Parity| one.events > 0 || one.rest_events > 0;
    let is_told = |one: &&Parity| one.by == By::Group.name() || one.state == State::Differs;
    for one in drift.parity.iter().filter(is_any).filter(is_told) {
        if head != one.by {
            let _infallible = writeln!(out, "\nrates by {}, against all others (95 % intervals)", one.by);
            head = one.by;
        }
        let (low, high) = one.interval;
        let ratio = one.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let text = format!(
            "  {:<20} {:<17} {:>6} of {:<8} {:>7} [{}, {}]  others {:>7}  ratio {ratio:>5}  {}",
            one.name,
            one.outcome,
            one.events,
            one.of,
            percent(one.rate),
            percent(low),
            percent(high),
            percent(one.rest_rate),
            one.told()
        );
        line(&mut out, text);
    }
    out
}
