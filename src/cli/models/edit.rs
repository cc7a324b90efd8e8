//! A policy's text with other `models` in it. Only what the registry decides about is written anew; everything else, with its
//! comments, is as it was. What comes out is read again, and is refused unless it says exactly what it should.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, bail};

use super::super::marks::{Form, Mark, Marks};
use super::super::output::Ordered;
use super::super::source::{self, Surroundings};
use super::tags::{Ending, Wanted};
use crate::document::{KeyPath, Node, shortened};
use crate::glob::Glob;

/// What stands at the top of what is written.
const MADE: &str = "# Made by bartizan models sync: changes here are lost.\n";

/// A text that says what the registry says.
pub(super) struct Edited {
    pub(super) text: String,
    /// What differs from the text before, by key path; empty: nothing.
    pub(super) changes: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// A text of its own, to be merged into a policy: `models`, and `roles` with their models only.
pub(super) fn alone(wanted: &Wanted, before: Option<&str>) -> anyhow::Result<Edited> {
    let mut entries = vec![("models".to_owned(), models(wanted, &[], &Node::Object(Vec::new())))];
    if !wanted.grants.is_empty() {
        let role = |(role, aliases): (&String, &BTreeSet<String>)| {
            (role.clone(), Node::Object(vec![("models".to_owned(), list(aliases))]))
        };
        entries.push(("roles".to_owned(), Node::Object(wanted.grants.iter().map(role).collect())));
    }
    let root = Node::Object(entries);
    let text = format!("{MADE}{}", written(&root)?);
    let old = before.and_then(tree);
    let empty = Node::Object(Vec::new());
    let changes = changes(old.as_ref().unwrap_or(&empty), &root);
    // A text that can't be read, or is not there, is another one even where nothing is wanted.
    let changes = if changes.is_empty() && old.is_none() { vec!["+ models: {}".to_owned()] } else { changes };
    Ok(Edited { text, changes, notes: Vec::new() })
}

/// A policy with the registry's models in it. `keep` are the entries of `models` that are the policy's own.
pub(super) fn into(path: &Path, text: &str, wanted: &Wanted, keep: &[String]) -> anyhow::Result<Edited> {
    let shown = path.display();
    let found = source::find(text, false);
    let is_plain = matches!(found.sources.as_slice(), [one]
        if matches!(one.surroundings, Surroundings::Plain) && one.text.is_none() && one.at.steps().is_empty());
    if !is_plain || found.parts != 1 || text.trim_start().starts_with('{') {
        bail!("{shown}: expected a policy in YAML, and nothing else in the file; --output writes what is to be merged");
    }
    let root = tree(text).with_context(|| format!("{shown}: can't be read: see bartizan check"))?;
    let keep: Vec<Glob> = keep.iter().map(|pattern| Glob::new(pattern)).collect();
    let is_kept = |name: &str| keep.iter().any(|glob| glob.matches(name));
    if let Some(name) = wanted.aliases.keys().chain(wanted.deprecated.keys()).find(|name| is_kept(name)) {
        bail!("{:?} comes from the registry, but --keep says that it is the policy's own", shortened(name));
    }
    let empty = Node::Object(Vec::new());
    let section = models(wanted, &keep, root.get("models").unwrap_or(&empty));
    let expected = with(&root, wanted, &section).with_context(|| shown.to_string())?;
    let notes = by_chance(&root, wanted);
    let changes = changes(&root, &expected);
    if changes.is_empty() {
        return Ok(Edited { text: text.to_owned(), changes, notes });
    }
    let edited = splice(text, &root, wanted, &section).filter(|edited| {
        let canonical = |node: &Node| {
            let mut text = String::new();
            node.write_canonical(&mut text);
            text
        };
        tree(edited).is_some_and(|tree| canonical(&tree) == canonical(&expected))
    });
    let Some(text) = edited else {
        bail!("{shown}: this form of YAML can't be edited in place; --output writes what is to be merged");
    };
    Ok(Edited { text, changes, notes })
}

/// As YAML. Days are in quotes, because readers of YAML 1.1 make dates of plain ones.
fn written(node: &Node) -> anyhow::Result<String> {
    let text = serde_norway::to_string(&Ordered(node))?;
    let quoted = |line: &str| {
        let parts = line.split_once(": ").filter(|(key, _)| matches!(key.trim_start(), "since" | "until"));
        match parts {
            Some((key, day)) if day.starts_with(|c: char| c.is_ascii_digit()) => format!("{key}: \"{day}\"\n"),
            _ => format!("{line}\n"),
        }
    };
    Ok(text.lines().map(quoted).collect())
}

/// The one tree of a text.
fn tree(text: &str) -> Option<Node> {
    let mut trees = source::read_parts(text).into_iter();
    let (_, tree) = trees.next()?;
    tree.root.filter(|_| trees.next().is_none())
}

fn list(names: &BTreeSet<String>) -> Node {
    Node::List(names.iter().cloned().map(Node::String).enumerate().collect())
}

/// The section `models`: the registry's entries, and what is kept of the section before.
fn models(wanted: &Wanted, keep: &[Glob], before: &Node) -> Node {
    let kept = |key: &str| {
        let entries = match before.get(key) {
            Some(Node::Object(entries)) => entries.as_slice(),
            _ => &[],
        };
        let is_kept = |(name, _): &&(String, Node)| keep.iter().any(|glob| glob.matches(name));
        entries.iter().filter(is_kept).cloned().collect::<BTreeMap<String, Node>>()
    };
    let mut aliases = kept("aliases");
    aliases.extend(wanted.aliases.iter().map(|(alias, served)| (alias.clone(), Node::String(served.clone()))));
    let mut deprecated = kept("deprecated");
    deprecated.extend(wanted.deprecated.iter().map(|(served, one)| (served.clone(), ending(one))));
    let mut section = Vec::new();
    for (key, entries) in [("aliases", aliases), ("deprecated", deprecated)] {
        if !entries.is_empty() {
            section.push((key.to_owned(), Node::Object(entries.into_iter().collect())));
        }
    }
    // What else is there is not the registry's.
    if let Node::Object(entries) = before {
        section.extend(entries.iter().filter(|(key, _)| key != "aliases" && key != "deprecated").cloned());
    }
    Node::Object(section)
}

fn ending(ending: &Ending) -> Node {
    let Ending { since, until, replacement } = ending;
    let fields = [("since", since), ("until", until), ("replacement", replacement)];
    let text = |(key, text): (&str, &Option<String>)| Some((key.to_owned(), Node::String(text.clone()?)));
    Node::Object(fields.into_iter().filter_map(text).collect())
}

/// The policy as it should be.
fn with(root: &Node, wanted: &Wanted, section: &Node) -> anyhow::Result<Node> {
    let Node::Object(entries) = root else { bail!("expected an object") };
    let mut entries = entries.clone();
    match entries.iter_mut().find(|(key, _)| key == "models") {
        Some((_, models)) => *models = section.clone(),
        None => entries.push(("models".to_owned(), section.clone())),
    }
    for (role, aliases) in &wanted.grants {
        let roles = entries.iter_mut().find(|(key, _)| key == "roles").map(|(_, roles)| roles);
        let Some(Node::Object(roles)) = roles else { bail!("no roles, but --roles names {role:?}") };
        let Some((_, Node::Object(fields))) = roles.iter_mut().find(|(name, _)| name == role) else {
            bail!("no role {role:?}, which --roles names");
        };
        let Some((_, models)) = fields.iter_mut().find(|(key, _)| key == "models") else {
            bail!("role {role:?} has no models: write `models: []` there");
        };
        *models = list(aliases);
    }
    Ok(Node::Object(entries))
}

/// The text with its new parts; `None` where a place can't be found.
fn splice(text: &str, root: &Node, wanted: &Wanted, section: &Node) -> Option<String> {
    let marks = Marks::read(text);
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut block = String::from("models:");
    if matches!(section, Node::Object(entries) if entries.is_empty()) {
        block.push_str(" {}\n");
    } else {
        block.push_str(&format!("\n  {MADE}"));
        for line in written(section).ok()?.lines() {
            block.push_str(&format!("  {line}\n"));
        }
    }
    let path = KeyPath::root().key("models");
    match root.get("models") {
        Some(_) => {
            let (mark, _) = marks.find(0, &path).filter(|(_, rest)| *rest == 0)?;
            let start = mark.key.start;
            // Of a document in braces, or one that is indented, no line is the section's own.
            if !text.get(..start)?.is_empty() && !text.get(..start)?.ends_with('\n') {
                return None;
            }
            edits.push((start..section_end(text, start)?, block));
        }
        None => {
            let end = text.trim_end().len();
            edits.push((end..text.len(), format!("\n\n{block}")));
        }
    }
    for (role, aliases) in &wanted.grants {
        let path = KeyPath::root().key("roles").key(role).key("models");
        let before = root.get("roles")?.get(role)?.get("models")?;
        if *before == list(aliases) {
            continue;
        }
        let (mark, _) = marks.find(0, &path).filter(|(_, rest)| *rest == 0)?;
        let colon = mark.key.end + text.get(mark.key.end..mark.value.start)?.find(':')? + 1;
        let names: Vec<String> =
            aliases.iter().map(|name| serde_json::Value::from(name.as_str()).to_string()).collect();
        edits.push((colon..list_end(text, mark), format!(" [{}]", names.join(", "))));
    }
    edits.sort_by_key(|(range, _)| range.start);
    let (mut out, mut at) = (String::new(), 0);
    for (range, new) in edits {
        out.push_str(text.get(at..range.start)?);
        out.push_str(&new);
        at = range.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

/// Where a list ends. One of lines ends with its last element: what comes behind it are comments of others.
fn list_end(text: &str, mark: &Mark) -> usize {
    match &mark.form {
        Form::List(items) if !text.get(mark.value.start..).is_some_and(|rest| rest.starts_with('[')) => {
            items.last().map_or(mark.value.end, |last| last.value.end)
        }
        _ => mark.value.end,
    }
}

/// Where the section that begins at a place ends: before the next line that begins with a word, and before the comments that
/// belong to that one.
fn section_end(text: &str, start: usize) -> Option<usize> {
    let mut at = start;
    let mut end = start;
    for (place, line) in text.get(start..)?.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        if place > 0 && !bare.is_empty() && !line.starts_with([' ', '\t', '#']) {
            break;
        }
        at += line.len();
        if place == 0 || line.starts_with([' ', '\t']) && !bare.is_empty() {
            end = at;
        }
    }
    Some(end)
}

/// Aliases that a role gets by a glob, though the registry does not decide about that role.
fn by_chance(root: &Node, wanted: &Wanted) -> Vec<String> {
    let Some(Node::Object(roles)) = root.get("roles") else { return Vec::new() };
    let mut notes = Vec::new();
    for (role, fields) in roles.iter().filter(|(role, _)| !wanted.grants.contains_key(role)) {
        let Some(Node::List(models)) = fields.get("models") else { continue };
        for pattern in models.iter().filter_map(|(_, model)| model.as_str()) {
            let glob = Glob::new(pattern);
            let mut names = wanted.aliases.keys().filter(|alias| glob.matches(alias));
            if let (false, Some(first)) = (glob.is_literal(), names.next()) {
                let more = names.count();
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let pattern = shortened(pattern);
                notes.push(format!("role {role:?}, which is not in --roles, has {first:?}{more} by {pattern:?}"));
            }
        }
    }
    notes
}

/// What differs, by key path, in the order of the paths: `- path: before`, `+ path: after`.
fn changes(before: &Node, after: &Node) -> Vec<String> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    leaves(before, &KeyPath::root(), &mut old);
    leaves(after, &KeyPath::root(), &mut new);
    let paths: BTreeSet<&KeyPath> = old.keys().chain(new.keys()).collect();
    let mut lines = Vec::new();
    for path in paths {
        let (was, is) = (old.get(path), new.get(path));
        if was != is {
            lines.extend(was.map(|value| format!("- {path}: {value}")));
            lines.extend(is.map(|value| format!("+ {path}: {value}")));
        }
    }
    lines
}

fn leaves(node: &Node, at: &KeyPath, found: &mut BTreeMap<KeyPath, String>) {
    match node {
        Node::Object(entries) if !entries.is_empty() => {
            entries.iter().for_each(|(key, below)| leaves(below, &at.key(key), found));
        }
        // An object without keys says nothing here: `models: {}` is no models.
        Node::Object(_) => {}
        node => {
            let mut text = String::new();
            node.write_canonical(&mut text);
            found.insert(at.clone(), text);
        }
    }
}
