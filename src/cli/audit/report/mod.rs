//! `bartizan audit report`: what past requests add up to, as text, as one page or as JSON.

mod chart;
mod entry;
mod html;
mod sketch;
mod tally;

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use self::sketch::{Ranked, Sum};
use self::tally::{Report, Tally, VERDICTS};
use super::drift::{Counting, Drift, Settings};
use crate::cli::explain::shown;
use crate::cli::output::{Exit, print, print_json};
use crate::cli::records;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Logs with audit records; - is stdin
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Write a self-contained page to FILE; - is stdout
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    html: Option<PathBuf>,
    /// Print the same numbers as JSON
    #[arg(long)]
    json: bool,
    /// Only records from this time on, in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    since: Option<u64>,
    /// Only records before this time
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    until: Option<u64>,
    #[command(flatten)]
    drift: Settings,
    /// Rows of each table; what is below is summed up as one
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    top: u16,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut tally = Tally::new();
    let mut progress = Progress::new(&arguments.logs);
    let range = (arguments.since, arguments.until);
    let mut counting = (!arguments.drift.baseline.is_empty()).then(Counting::new);
    for log in &arguments.logs {
        records::lines(log, &mut |line, bytes| {
            tally.line(line, range);
            if let Some(counting) = &mut counting {
                counting.line(line, range);
            }
            progress.step(bytes as u64);
        })?;
    }
    progress.end();
    let mut report = tally.report(usize::from(arguments.top));
    if let Some(counting) = counting {
        report.drift = Some(Drift::of(&counting.profile(), &arguments.drift)?);
    }
    let lines = &report.lines;
    for (count, what) in [(lines.foreign, "are no audit records"), (lines.broken, "are records that can't be read")] {
        if count > 0 {
            eprintln!("bartizan: {count} of {} lines {what}", lines.all);
        }
    }
    match &arguments.html {
        Some(file) if file.as_os_str() == "-" => print(&html::page(&report))?,
        Some(file) => std::fs::write(file, html::page(&report)).with_context(|| file.display().to_string())?,
        None if arguments.json => print_json(&report)?,
        None => print(&terminal(&report))?,
    }
    if report.lines.records + report.lines.responses == 0 {
        bail!("no audit record was counted");
    }
    Ok(Exit::Fine)
}

/// How far it is, on a terminal only.
struct Progress {
    total: u64,
    done: u64,
    lines: u64,
    is_shown: bool,
    last: Instant,
}

impl Progress {
    fn new(logs: &[PathBuf]) -> Progress {
        let length = |log: &PathBuf| std::fs::metadata(log).map_or(0, |data| data.len());
        let total = logs.iter().map(length).sum();
        Progress { total, done: 0, lines: 0, is_shown: std::io::stderr().is_terminal(), last: Instant::now() }
    }

    fn step(&mut self, bytes: u64) {
        self.done += bytes;
        self.lines += 1;
        // The clock is asked seldom.
        if self.is_shown && self.lines.is_multiple_of(4_096) && self.last.elapsed() > Duration::from_millis(200) {
            self.last = Instant::now();
            let percent = (self.done * 100).checked_div(self.total).unwrap_or(0).min(100);
            eprint!("\r\x1b[K{} lines, {percent} %", self.lines);
        }
    }

    fn end(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}

/// The heads of all groups, for a terminal.
fn terminal(report: &Report) -> String {
    let mut out = format!("{} requests", report.lines.records);
    if let (Some(first), Some(last)) = (report.period.first, report.period.last) {
        let _infallible = write!(out, ", {} to {}", tally::written(first), tally::written(last));
    }
    out.push('\n');
    for (verdict, count) in VERDICTS.iter().zip(report.verdicts).filter(|(_, count)| *count > 0) {
        let _infallible = writeln!(out, "  {count:>12}  {verdict}");
    }
    if let Some(latency) = &report.latency_us {
        let _infallible =
            writeln!(out, "latency  p50 {} us, p95 {} us, p99 {} us", latency.p50, latency.p95, latency.p99);
    }
    for (currency, cost) in &report.cost {
        let _infallible = writeln!(out, "cost  {} {currency}", crate::cli::cost::amount(cost.total.amount));
    }
    list(&mut out, "rules", &report.rules);
    for (group, names) in &report.counts {
        list(&mut out, group, names);
    }
    for (group, names) in &report.traffic {
        list(&mut out, group, names);
    }
    if let Some(drift) = &report.drift {
        let _infallible = write!(out, "\n{}", super::drift::terminal(drift));
    }
    out
}

fn list<T: Sum>(out: &mut String, title: &str, names: &Ranked<T>) {
    if names.top.is_empty() {
        return;
    }
    let _infallible = writeln!(out, "\n{title}");
    for row in &names.top {
        let name: String = row.name.chars().map(shown).collect();
        let _infallible = writeln!(out, "  {:>12}  {name}", row.sum.weight());
    }
    if let Some(other) = &names.other {
        let _infallible = writeln!(out, "  {:>12}  (others)", other.weight());
    }
}
