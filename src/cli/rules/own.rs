//! Rules of a policy's own: one to begin with, one as it is written, and their samples.

use std::path::Path;

use anyhow::bail;
use serde_json::json;

use super::super::output::{Exit, Ordered, print, print_json, read_text};
use super::super::source::{self, Severity};
use super::super::{eval, samples};
use super::{NewPack, Show, kind, yaml_files};
use crate::document::Document;
use crate::document::Node;
use crate::enums::Pack;
use crate::policy::Policy;

const PII: &str = r#"  label: EMPLOYEE_ID                 # the placeholder: [EMPLOYEE_ID_1]
  # type: nationalId                 # guards.*.pii acts by it; without it: custom
  keywords: ["nl-"]                  # every match holds one of these, in any case
  pattern: '\bNL-[0-9]{6}\b'         # tried near a keyword, in the text as it came
  tests:                             # judged by `bartizan check` and `bartizan rules test`
    match: ["my number is NL-123456"]
    no_match: ["see NL-12 in the manual"]
"#;
const SECRETS: &str = r#"  level: high                        # low and informational are only flagged
  keywords: ["acme_"]                # every match holds one of these, in any case
  pattern: '\bacme_(?:live|test)_(?P<value>[A-Za-z0-9]{24})\b'     # the group value is what is masked
  tests:                             # judged by `bartizan check` and `bartizan rules test`
    match: ["key: acme_live_4fK2mQ9dLwX47hT2mQ9dLwX4"]
    no_match: ["acme_live_ is what our keys begin with"]
"#;
const INJECTION: &str = r#"  level: high                        # how much a match weighs: medium 35, high 60, critical 95
  zones: [user, tool, document]      # without it: all
  keywords: ["project falcon"]       # every match holds one of these; the text is lower case, its spaces are single
  pattern: 'project falcon.{0,40}(?:budget|partner)'
  tests:                             # judged by `bartizan check` and `bartizan rules test`
    match: ["Tell me who the partners of Project  Falcon are, and of project falcon the budget."]
    no_match: ["A falcon is a bird."]
"#;

/// Prints a rule to begin with, as an entry of `rules.custom`.
pub(super) fn new(pack: NewPack, config: Option<&Path>) -> anyhow::Result<Exit> {
    let number = match config {
        Some(path) => {
            let policy = eval::policy(Some(path))?;
            let numbers =
                policy.scanner.cards().iter().filter_map(|card| card.id.strip_prefix("X-")?.parse::<u64>().ok());
            numbers.max().unwrap_or(0) + 1
        }
        None => 1,
    };
    let (word, title, rest) = match pack {
        NewPack::Pii => ("pii", "Employee number", PII),
        NewPack::Secrets => ("secrets", "Key of our own service", SECRETS),
        NewPack::Injection => ("injection", "Asks for a confidential project", INJECTION),
    };
    print(&format!("- id: X-{number}\n  title: {title}\n  pack: {word}\n{rest}"))?;
    Ok(Exit::Fine)
}

/// Prints one rule: as it is written where that can be read, else what the build knows of it.
pub(super) fn show(arguments: &Show) -> anyhow::Result<Exit> {
    let policy = eval::policy(arguments.config.as_deref())?;
    let id = arguments.id.as_str();
    let Some(card) = policy.scanner.cards().iter().find(|card| card.id == id) else {
        bail!("{id}: no rule in force has this id: see bartizan rules list");
    };
    if arguments.json {
        print_json(&json!({
            "id": card.id, "title": card.title, "level": card.level.as_str(), "pack": card.pack.as_str(),
            "kind": kind(card.kind), "experimental": card.shadow,
        }))?;
        return Ok(Exit::Fine);
    }
    let written = match arguments.config.as_deref().filter(|_| id.starts_with("X-")) {
        Some(path) => custom(&read_text(path)?, id)?,
        None => Pack::ALL.iter().flat_map(|pack| yaml_files(&arguments.dir.join(pack.as_str()))).find_map(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            if name.starts_with(&format!("{id}-")) { read_text(&path).ok() } else { None }
        }),
    };
    match written {
        Some(text) => print(&text)?,
        None => print(&format!(
            "id: {id}\ntitle: {}\npack: {}\nlevel: {}\n# what it looks for: rules/{}/{id}-*.yaml of the source\n",
            card.title,
            card.pack.as_str(),
            card.level.as_str(),
            card.pack.as_str()
        ))?,
    }
    Ok(Exit::Fine)
}

/// A rule of a policy's own, as the file has it.
fn custom(text: &str, id: &str) -> anyhow::Result<Option<String>> {
    let found =
        source::read_parts(text).into_iter().filter_map(|(_, tree)| tree.root).find_map(|root| search(&root, id));
    Ok(found.map(|rule| serde_norway::to_string(&Ordered(&rule))).transpose()?)
}

fn search(node: &Node, id: &str) -> Option<Node> {
    match node {
        Node::Object(entries) => {
            if node.get("id").and_then(Node::as_str) == Some(id) && node.get("keywords").is_some() {
                return Some(node.clone());
            }
            entries.iter().find_map(|(_, below)| search(below, id))
        }
        Node::List(items) => items.iter().find_map(|(_, below)| search(below, id)),
        // The policy may be a string of the file.
        Node::String(text) if text.trim_start().starts_with('{') && text.contains(id) => {
            source::read_parts(text).into_iter().find_map(|(_, tree)| search(tree.root.as_ref()?, id))
        }
        _ => None,
    }
}

/// Judges the samples of a policy's own rules.
pub(super) fn test(path: &Path, as_json: bool) -> anyhow::Result<Exit> {
    let text = read_text(path)?;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let sources = source::find(&text, is_json).sources;
    if sources.is_empty() {
        bail!("{}: no policy in the file: see bartizan check", path.display());
    }
    let (mut rules, mut judged, mut failures) = (0, 0, Vec::new());
    for one in sources {
        let document: Document = one.parsed.document.clone();
        let environment = |name: &str| std::env::var(name).ok().or_else(|| Some("-".repeat(64)));
        let policy = match Policy::compile(one.parsed, &environment) {
            Ok(policy) => policy,
            Err(errors) => {
                let first = errors.first().map(ToString::to_string).unwrap_or_default();
                bail!("{}: {first} ({} errors; see bartizan check)", path.display(), errors.len());
            }
        };
        let result = samples::judge(&document, &policy, &one.at, one.part);
        rules += result.rules;
        judged += result.samples;
        failures.extend(result.remarks);
    }
    let fine = failures.iter().all(|remark| remark.severity != Severity::Error);
    if as_json {
        let failures: Vec<_> = failures
            .iter()
            .map(|remark| json!({ "path": remark.path.to_string(), "message": remark.message }))
            .collect();
        print_json(&json!({ "ok": fine, "rules": rules, "judged": judged, "failures": failures }))?;
    } else {
        for remark in &failures {
            print(&format!("{}: {}\n", remark.path, remark.message))?;
        }
        print(&format!("{rules} rules of the policy's own, {judged} samples judged, {} wrong\n", failures.len()))?;
    }
    Ok(if fine { Exit::Fine } else { Exit::Findings })
}
