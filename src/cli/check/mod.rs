//! `bartizan check`: would the filter accept this policy, and do its surroundings fit?

mod fit;
mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::marks::{Inside, Marks};
use super::output::{Exit, print, print_json, read_text};
use super::samples;
use super::source::{self, Found, Remark, Severity, Source, WITHOUT};
use crate::document::{ConfigError, KeyPath};
use crate::policy::Policy;
use report::{Card, FileReport, PolicyCard, Report};

/// The most files that are read of the folders of one call.
const MAX_FILES: usize = 10_000;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 fine (warnings and notes too), 1 an error in a policy or in the file around it, \
                        2 wrong usage or a file that can't be read."
)]
pub(super) struct Arguments {
    /// Files to check, or folders of them (YAML and JSON; files without a policy are skipped there); - is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to print the result: github writes annotations for a workflow
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Github,
}

/// Checks the files, in the order of their names.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut files: Vec<(PathBuf, bool)> = Vec::new();
    let mut unreadable = Vec::new();
    for path in &arguments.files {
        if path.is_dir() {
            let mut below = Vec::new();
            walk(path, &mut below, &mut unreadable);
            files.extend(below.into_iter().map(|file| (file, true)));
        } else {
            files.push((path.clone(), false));
        }
    }
    files.sort();
    files.dedup_by(|(later, _), (file, _)| later == file);
    let (mut reports, mut skipped) = (Vec::new(), 0);
    for (path, in_folder) in &files {
        match read_text(path) {
            Ok(text) => match check_text(path, &text, *in_folder) {
                Some(report) => reports.push(report),
                None => skipped += 1,
            },
            Err(error) => unreadable.push((path.clone(), format!("{error:#}"))),
        }
    }
    without_policy(&mut reports);
    let ok = unreadable.is_empty() && reports.iter().all(FileReport::is_fine);
    let format = if arguments.json { Format::Json } else { arguments.format };
    match format {
        Format::Json => print_json(&Report { ok, files: &reports, unreadable: &unreadable, skipped })?,
        Format::Text => print(&report::text(&reports, skipped))?,
        Format::Github => print(&report::github(&reports, &unreadable))?,
    }
    for (_, message) in &unreadable {
        eprintln!("bartizan: {message}");
    }
    Ok(match (unreadable.is_empty(), ok) {
        (false, _) => Exit::Unreadable,
        (true, true) => Exit::Fine,
        (true, false) => Exit::Findings,
    })
}

/// The YAML and JSON files below a folder. Hidden folders, links and the templates of Helm charts are left out.
fn walk(folder: &Path, files: &mut Vec<PathBuf>, unreadable: &mut Vec<(PathBuf, String)>) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return unreadable.push((folder.to_owned(), format!("{}: {error}", folder.display()))),
    };
    let is_chart = folder.join("Chart.yaml").exists();
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        let is_hidden = name.to_string_lossy().starts_with('.');
        if kind.is_dir() && !is_hidden && !(is_chart && name == "templates") {
            walk(&path, files, unreadable);
        } else if kind.is_file()
            && path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|e| end == *e))
        {
            if files.len() >= MAX_FILES {
                let message = format!("{}: more than {MAX_FILES} files", folder.display());
                return unreadable.push((folder.to_owned(), message));
            }
            files.push(path);
        }
    }
}

/// Files of a glob may hold no policy as long as one of them does: a file that was named and found wanting is an error.
fn without_policy(reports: &mut [FileReport]) {
    let any = reports.iter().any(|report| !report.policies.is_empty() || !report.errors.is_empty());
    for report in reports.iter_mut().filter(|report| report.policies.is_empty() && report.errors.is_empty()) {
        let card = Card::of_file(WITHOUT);
        if any { report.notes.push(card) } else { report.errors.push(card) }
    }
}

/// What there is to say of a file; `None` for one of a folder that holds no policy.
fn check_text(path: &Path, text: &str, in_folder: bool) -> Option<FileReport> {
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let found = source::find(text, is_json);
    let is_foreign = found.sources.is_empty() && !["bartizan", "authn"].iter().any(|word| text.contains(word));
    if in_folder && (found.is_without() || is_foreign) {
        return None;
    }
    let mut report = FileReport::new(path.display().to_string());
    let Found { sources, remarks, parts } = found;
    let shown = Shown { text, marks: Marks::read(text), several: parts > 1 };
    // A policy is not fine whose surroundings keep it from working.
    let is_error = |remark: &&Remark| remark.severity == Severity::Error;
    let faulty: BTreeSet<usize> = remarks.iter().filter(is_error).map(|remark| remark.part).collect();
    for remark in remarks {
        report.put(remark.severity, shown.card(&remark, None));
    }
    for source in sources {
        let is_around_fine = !faulty.contains(&source.part);
        check_source(source, is_around_fine, &shown, &mut report);
    }
    let twice = same_names(&report.policies);
    report.notes.extend(twice);
    Some(report)
}

/// A file's text and its places.
struct Shown<'t> {
    text: &'t str,
    marks: Marks,
    several: bool,
}

impl Shown<'_> {
    fn card(&self, remark: &Remark, inside: Option<(&KeyPath, &Inside, &str)>) -> Card {
        let mut card = Card::new(remark, self.several);
        card.place(self.text, &self.marks, remark, inside);
        card
    }
}

fn check_source(source: Source, is_around_fine: bool, shown: &Shown<'_>, report: &mut FileReport) {
    let Source { at, part, parsed, text, surroundings } = source;
    let inside = text.as_deref().and_then(|text| Some((shown.marks.inside(shown.text, part, &at, text)?, text)));
    let mut remarks = fit::form(&parsed, &at, part, &surroundings);
    let document = parsed.document.clone();
    let missing = std::cell::RefCell::new(Vec::new());
    let result = Policy::compile(parsed, &|name| {
        let (value, note) = fit::variable(name, &surroundings);
        missing.borrow_mut().extend(note);
        value
    });
    let mut faults = Vec::new();
    match &result {
        Ok(policy) => {
            remarks.extend(fit::meaning(policy, &document, &at, part, &surroundings));
            let judged = samples::judge(&document, policy, &at, part);
            remarks.extend(judged.remarks);
        }
        Err(errors) => faults.extend(errors.iter().map(|ConfigError { path, message }| Remark {
            severity: Severity::Error,
            part,
            path: at.steps().iter().chain(path.steps()).cloned().collect(),
            message: message.clone(),
        })),
    }
    let notes = missing.into_inner().into_iter();
    remarks.extend(notes.map(|message| Remark { severity: Severity::Note, part, path: at.clone(), message }));
    let is_fine =
        is_around_fine && faults.is_empty() && remarks.iter().all(|remark| remark.severity != Severity::Error);
    for remark in faults.into_iter().chain(remarks) {
        let inside = inside.as_ref().map(|(inside, text)| (&at, inside, *text));
        report.put(remark.severity, shown.card(&remark, inside));
    }
    if let Ok(policy) = result
        && is_fine
    {
        report.policies.push(PolicyCard::new(policy, &at, shown.several.then_some(part + 1)));
    }
}

/// Two policies of one name share their counters and remembered verdicts in one proxy.
fn same_names(policies: &[PolicyCard]) -> Vec<Card> {
    let twice = |(place, card): &(usize, &PolicyCard)| {
        let mut others = policies.iter().take(*place);
        others.any(|other| other.name == card.name && other.digest != card.digest)
    };
    let names = policies.iter().enumerate().filter(twice).map(|(_, card)| card.name.as_str());
    let said =
        names.map(|name| format!("two different policies are called {name}: in one proxy they would share state"));
    said.map(|message| Card::of_file(&message)).collect()
}

/// What is wrong with a text that holds a policy, in lines; empty when nothing is.
pub(super) fn faults(path: &Path, text: &str) -> Vec<String> {
    let Some(report) = check_text(path, text, false) else { return Vec::new() };
    let mut reports = [report];
    without_policy(&mut reports);
    let [report] = reports;
    report.errors.iter().map(|card| format!("{}: {}", card.path, card.message)).collect()
}
