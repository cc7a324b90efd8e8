//! `bartizan check`: would the filter take this policy, and does what stands around it fit?

use std::path::PathBuf;

use serde::Serialize;

use super::output::{Outcome, print, print_json, read_text};
use super::source::{self, Envoy, Source, Surroundings, Vm};
use crate::config::document::{Document, UnscannedAction};
use crate::config::{ConfigError, KeyPath, Policy};
use crate::host::Timestamp;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files to check; - is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    files: Vec<FileReport>,
}

#[derive(Debug, Serialize)]
struct FileReport {
    file: String,
    policies: Vec<PolicyCard>,
    errors: Vec<ErrorCard>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyCard {
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<usize>,
    path: String,
    name: String,
    digest: String,
    rules_digest: String,
    hold_headers: bool,
    roles: usize,
    guards: usize,
    routes: usize,
    rules: usize,
}

#[derive(Debug, Serialize)]
struct ErrorCard {
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<usize>,
    path: String,
    message: String,
}

/// Checks the files, in the order of their names.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut files = arguments.files.clone();
    files.sort();
    files.dedup();
    let mut reports = Vec::new();
    for file in &files {
        let is_json = file.extension().is_some_and(|extension| extension == "json");
        reports.push(check_text(file.display().to_string(), &read_text(file)?, is_json));
    }
    let ok = reports.iter().all(|report| report.errors.is_empty());
    if arguments.json {
        print_json(&Report { ok, files: reports })?;
    } else {
        print(&lines(&reports))?;
    }
    Ok(if ok { Outcome::Fine } else { Outcome::Findings })
}

fn lines(reports: &[FileReport]) -> String {
    let mut text = String::new();
    for FileReport { file, policies, errors, notes } in reports {
        for policy in policies {
            let short = policy.digest.get(..12).unwrap_or_default();
            let PolicyCard { name, roles, guards, routes, rules, .. } = policy;
            text.push_str(&format!(
                "{file}: ok: policy {name}, digest {short}, roles {roles}, guards {guards}, routes {routes}, rules {rules}\n"
            ));
        }
        for ErrorCard { part, path, message } in errors {
            let part = part.map(|part| format!(" (part {part})")).unwrap_or_default();
            text.push_str(&format!("{file}{part}: {path}: {message}\n"));
        }
        for note in notes {
            text.push_str(&format!("{file}: note: {note}\n"));
        }
    }
    text
}

fn check_text(file: String, text: &str, is_json: bool) -> FileReport {
    let found = source::find(text, is_json);
    let errors = found.errors.into_iter().map(|error| card(None, &KeyPath::root(), &error)).collect();
    let mut report = FileReport { file, policies: Vec::new(), errors, notes: found.notes };
    for source in found.sources {
        check_source(source, &mut report);
    }
    report.notes.extend(same_names(&report.policies));
    report
}

fn card(part: Option<usize>, at: &KeyPath, error: &ConfigError) -> ErrorCard {
    let path: KeyPath = at.steps().iter().chain(error.path.steps()).cloned().collect();
    ErrorCard { part, path: path.to_string(), message: error.message.clone() }
}

fn check_source(source: Source, report: &mut FileReport) {
    let Source { at, part, parsed, surroundings } = source;
    // Of a document that could not be read nothing follows.
    let held = (!parsed.digest.is_empty()).then(|| parsed.document.hold_headers.unwrap_or(false));
    report.notes.extend(unknown_parts(&parsed.document, &at));
    let mut errors = around(held, &at, &surroundings, &mut report.notes);
    let missing = std::cell::RefCell::new(Vec::new());
    let result = Policy::compile(parsed, &|name| {
        let (value, note) = variable(name, &surroundings);
        missing.borrow_mut().extend(note);
        value
    });
    report.notes.extend(missing.into_inner());
    if let Ok(policy) = &result {
        report.notes.extend(ended(policy, &at));
    }
    match result {
        Ok(policy) if errors.is_empty() => report.policies.push(PolicyCard {
            part,
            path: at.to_string(),
            digest: policy.digest.clone(),
            rules_digest: policy.scanner.digest().to_owned(),
            hold_headers: policy.hold_headers,
            roles: policy.roles.len(),
            guards: policy.guards.len(),
            routes: policy.routes.len(),
            rules: policy.scanner.cards().len(),
            name: policy.name,
        }),
        Ok(_) => {}
        Err(faults) => {
            let faults = faults.into_iter().map(|fault| card(part, &at, &fault));
            errors = faults.chain(errors).collect();
        }
    }
    report.errors.extend(errors.into_iter().map(|error| ErrorCard { part, ..error }));
}

/// Who writes that everything is refused which can't be scanned may take a part of an unknown type for such a thing.
fn unknown_parts(document: &Document, at: &KeyPath) -> Option<String> {
    let denies = document.unscanned.as_ref()?.default == Some(UnscannedAction::Deny);
    let path: KeyPath =
        at.steps().iter().chain(KeyPath::root().key("unscanned").key("default").steps()).cloned().collect();
    (denies && document.unknown.is_none()).then(|| {
        format!(
            "{path}: deny refuses what can't be scanned; parts of an unknown type are scanned, so they pass, and only \
             bytes in them are refused; unknown: deny refuses them too, unknown: scan ends this note"
        )
    })
}

/// Exceptions whose last day has passed: they except nothing any more.
fn ended(policy: &Policy, at: &KeyPath) -> Vec<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_secs(now.as_secs());
    let mut notes = Vec::new();
    for guard in &policy.guards {
        for (place, exception) in guard.exceptions.iter().enumerate().filter(|(_, exception)| exception.until <= now) {
            let path = KeyPath::root().key("guards").key(&guard.name).key("exceptions").index(place);
            let path: KeyPath = at.steps().iter().chain(path.steps()).cloned().collect();
            notes.push(format!("{path}: its last day has passed ({})", exception.reason));
        }
    }
    notes
}

/// Two policies of one name share their counters and remembered verdicts in one proxy.
fn same_names(policies: &[PolicyCard]) -> Vec<String> {
    let twice = |(place, card): &(usize, &PolicyCard)| {
        let mut others = policies.iter().take(*place);
        others.any(|other| other.name == card.name && other.digest != card.digest)
    };
    let names = policies.iter().enumerate().filter(twice).map(|(_, card)| card.name.as_str());
    names.map(|name| format!("two different policies are called {name}: in one proxy they would share state")).collect()
}

/// What must fit between the policy and what stands around it. `held`: its `holdHeaders`, where it could be read.
fn around(held: Option<bool>, at: &KeyPath, surroundings: &Surroundings, notes: &mut Vec<String>) -> Vec<ErrorCard> {
    let mut errors = Vec::new();
    let mut error = |path: KeyPath, message: &str| {
        let error = ConfigError { path, message: message.to_owned() };
        errors.push(card(None, &KeyPath::root(), &error));
    };
    let vm = match surroundings {
        Surroundings::Plain => None,
        Surroundings::WasmPlugin(vm) => {
            if held == Some(true) {
                let message = "true, but a WasmPlugin can't set Envoy's allow_on_headers_stop_iteration: every request \
                               with a body would hang; use an EnvoyFilter, or false";
                error(at.key("holdHeaders"), message);
            }
            Some(vm)
        }
        Surroundings::Envoy(envoy) => {
            let Envoy { plugin, holds_headers, vm, unreadable } = envoy.as_ref();
            if let Some(ConfigError { path, message }) = unreadable {
                error(path.clone(), message);
            }
            let allowed = holds_headers.unwrap_or(false);
            let switch = plugin.key("allow_on_headers_stop_iteration");
            if held == Some(true) && !allowed {
                let message = "must be true, because the policy has holdHeaders: true; without it every request with \
                               a body hangs";
                error(switch, message);
            } else if held == Some(false) && allowed {
                error(switch, "true, but the policy does not have holdHeaders: true; set both or neither");
            }
            Some(vm)
        }
    };
    if vm.is_some_and(|vm| vm.fails_open) {
        notes.push(format!("{at}: FAIL_OPEN: requests pass unguarded while the VM is down"));
    }
    errors
}

/// A variable's value as far as this file tells, and what must be said about it.
fn variable(name: &str, surroundings: &Surroundings) -> (Option<String>, Option<String>) {
    // Long enough for every check; the real value is known in the proxy alone.
    let placeholder = || Some("-".repeat(64));
    let vm = |vm: &Vm| match vm.environment.get(name) {
        Some(Some(value)) => (Some(value.clone()), None),
        Some(None) => (placeholder(), Some(format!("the proxy's own environment must have {name}"))),
        None => (None, None),
    };
    match surroundings {
        Surroundings::WasmPlugin(declared) => vm(declared),
        Surroundings::Envoy(envoy) => vm(&envoy.vm),
        Surroundings::Plain => match std::env::var(name) {
            Ok(value) => (Some(value), None),
            Err(_) => (placeholder(), Some(format!("the VM's environment must have {name}; not set here"))),
        },
    }
}
