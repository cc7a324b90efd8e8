//! What `check` says, and how it is written: with the line and a caret, as JSON, as annotations.

use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::super::marks::{Form, Inside, Marks};
use super::super::output::coloured;
use super::super::source::{Remark, Severity};
use crate::document::{KeyPath, Step};
use crate::policy::Policy;

/// The result for all files, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Report<'r> {
    pub(super) ok: bool,
    pub(super) files: &'r [FileReport],
    /// Files that could not be read, and why.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) unreadable: &'r [(PathBuf, String)],
    /// Files of folders that hold no policy.
    pub(super) skipped: usize,
}

/// What there is to say of one file.
#[derive(Debug, Serialize)]
pub(super) struct FileReport {
    pub(super) file: String,
    pub(super) policies: Vec<PolicyCard>,
    pub(super) errors: Vec<Card>,
    pub(super) warnings: Vec<Card>,
    pub(super) notes: Vec<Card>,
}

impl FileReport {
    pub(super) fn new(file: String) -> FileReport {
        FileReport { file, policies: Vec::new(), errors: Vec::new(), warnings: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn put(&mut self, severity: Severity, card: Card) {
        match severity {
            Severity::Error => self.errors.push(card),
            Severity::Warning => self.warnings.push(card),
            Severity::Note => self.notes.push(card),
        }
    }

    pub(super) fn is_fine(&self) -> bool {
        self.errors.is_empty()
    }

    fn cards(&self) -> impl Iterator<Item = (Severity, &Card)> {
        let errors = self.errors.iter().map(|card| (Severity::Error, card));
        let warnings = self.warnings.iter().map(|card| (Severity::Warning, card));
        errors.chain(warnings).chain(self.notes.iter().map(|card| (Severity::Note, card)))
    }
}

/// A policy that would be taken.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyCard {
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<usize>,
    path: String,
    pub(super) name: String,
    pub(super) digest: String,
    rules_digest: String,
    hold_headers: bool,
    roles: usize,
    guards: usize,
    routes: usize,
    rules: usize,
}

impl PolicyCard {
    pub(super) fn new(policy: Policy, at: &KeyPath, part: Option<usize>) -> PolicyCard {
        PolicyCard {
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
        }
    }
}

/// One thing to say. Lines and columns count from 1, columns in characters.
#[derive(Debug, Serialize)]
pub(super) struct Card {
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<usize>,
    pub(super) path: String,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// The line, and the bytes of it that the message is about.
    #[serde(skip)]
    shown: Option<(String, Range<usize>)>,
}

impl Card {
    pub(super) fn new(remark: &Remark, several: bool) -> Card {
        Card {
            part: several.then_some(remark.part + 1),
            path: remark.path.to_string(),
            message: remark.message.clone(),
            line: None,
            column: None,
            shown: None,
        }
    }

    /// Something about the file as a whole.
    pub(super) fn of_file(message: &str) -> Card {
        let path = KeyPath::root().to_string();
        Card { part: None, path, message: message.to_owned(), line: None, column: None, shown: None }
    }

    /// Finds the line. `inside`: the policy's path, and its places where it is a string of the file.
    pub(super) fn place(
        &mut self,
        text: &str,
        marks: &Marks,
        remark: &Remark,
        inside: Option<(&KeyPath, &Inside, &str)>,
    ) {
        let mut hidden = marks.secrets();
        let found = match inside.filter(|(at, ..)| remark.path.is_within(at)) {
            Some((at, inside, inner)) => {
                hidden.extend(inside.marks.secrets().iter().filter_map(|secret| inside.outer(secret)));
                let path: KeyPath = remark.path.steps().iter().skip(at.steps().len()).cloned().collect();
                let found = self.find(inner, &inside.marks, 0, &path);
                found.and_then(|(about, value)| Some((inside.outer(&about)?, inside.outer(&value)?)))
            }
            None => self.find(text, marks, remark.part, &remark.path),
        };
        let Some((about, value)) = found else { return };
        // The message keeps to itself what may be a secret: so must the line.
        if remark.message.starts_with("unknown field") || remark.message.ends_with("found a string") {
            hidden.push(value);
        }
        let start = text.get(..about.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let (Some(before), Some(rest)) = (text.get(start..about.start), text.get(start..)) else { return };
        self.line = Some(text.get(..start).unwrap_or_default().matches('\n').count() + 1);
        self.column = Some(before.chars().count() + 1);
        let line = rest.lines().next().unwrap_or_default();
        let within = |range: &Range<usize>| {
            let (from, to) = (range.start.max(start) - start, range.end.max(start) - start);
            from.min(line.len())..to.min(line.len())
        };
        let mut bytes = line.as_bytes().to_vec();
        for secret in &hidden {
            bytes.get_mut(within(secret)).unwrap_or_default().fill(b'*');
        }
        self.shown = String::from_utf8(bytes).ok().map(|line| (line, within(&about)));
    }

    /// What of a text this is about, and the whole value there.
    fn find(&mut self, text: &str, marks: &Marks, part: usize, path: &KeyPath) -> Option<(Range<usize>, Range<usize>)> {
        if let Some(place) = self.syntax(text) {
            return Some((place.clone(), place));
        }
        let (mark, rest) = marks.find(part, path)?;
        let of_key = rest > 0 || ["unknown field", "duplicate key"].iter().any(|begin| self.message.starts_with(begin));
        if rest == 0
            && let Some(number) = column(path, &self.message)
            && let Some(place) = Marks::character(text, mark, number)
        {
            return Some((place, mark.value.clone()));
        }
        let about = if !of_key && matches!(mark.form, Form::Scalar(_)) { &mark.value } else { &mark.key };
        Some((about.clone(), mark.value.clone()))
    }

    /// The place that a parser's message tells. It is taken out of the message where the message ends with it: in a
    /// string of the file it counts the string's own lines.
    fn syntax(&mut self, text: &str) -> Option<Range<usize>> {
        let (before, tail) = self.message.split_once(" at line ")?;
        let (line, rest) = tail.split_once(" column ")?;
        let line: usize = line.parse().ok()?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let column: usize = rest.get(..digits)?.parse().ok()?;
        let start: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
        let line = text.get(start..)?.lines().next().unwrap_or_default();
        let mut at = start + column.saturating_sub(1).min(line.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        if digits == rest.len() {
            self.message = before.to_owned();
        }
        let length = text.get(at..)?.chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
        Some(at..at + length)
    }
}

/// The character of a condition that a message is about.
fn column(path: &KeyPath, message: &str) -> Option<usize> {
    let is_condition = matches!(path.steps().last(), Some(Step::Key(key)) if key == "when");
    let (_, tail) = message.rsplit_once(" (column ").filter(|_| is_condition)?;
    tail.strip_suffix(')')?.parse().ok()
}

/// The report for people: errors and warnings with their lines, the rest in one line each.
pub(super) fn text(reports: &[FileReport], skipped: usize) -> String {
    let renderer = if coloured() { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for report in reports {
        let file = &report.file;
        for policy in &report.policies {
            let short = policy.digest.get(..12).unwrap_or_default();
            let PolicyCard { name, roles, guards, routes, rules, .. } = policy;
            out.push_str(&format!(
                "{file}: ok: policy {name}, digest {short}, roles {roles}, guards {guards}, routes {routes}, rules {rules}\n"
            ));
        }
        for (severity, card) in report.cards() {
            let title =
                if card.path == "document" { card.message.clone() } else { format!("{}: {}", card.path, card.message) };
            let level = match severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
                Severity::Note => {
                    let line = card.line.map(|line| format!(":{line}")).unwrap_or_default();
                    out.push_str(&format!("{file}{line}: note: {title}\n"));
                    continue;
                }
            };
            let title = level.primary_title(title);
            let group = match (&card.shown, card.line) {
                (Some((line, about)), Some(number)) => title.element(
                    Snippet::source(line.as_str())
                        .path(file.as_str())
                        .line_start(number)
                        .annotation(AnnotationKind::Primary.span(about.clone())),
                ),
                _ => title.element(Origin::path(file.as_str())),
            };
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
    }
    if skipped > 0 {
        out.push_str(&format!("{skipped} files without a policy skipped\n"));
    }
    out
}

/// The report as commands of GitHub's workflows: annotations on the lines of a change.
pub(super) fn github(reports: &[FileReport], unreadable: &[(PathBuf, String)]) -> String {
    let mut out = String::new();
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    for report in reports {
        for (severity, card) in report.cards() {
            let command = match severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "notice",
            };
            let place = match (card.line, card.column) {
                (Some(line), Some(column)) => format!(",line={line},col={column}"),
                _ => String::new(),
            };
            let (file, message) = (property(&report.file), data(&format!("{}: {}", card.path, card.message)));
            out.push_str(&format!("::{command} file={file}{place},title=bartizan::{message}\n"));
        }
    }
    for (path, message) in unreadable {
        let file = property(&path.display().to_string());
        out.push_str(&format!("::error file={file},title=bartizan::{}\n", data(message)));
    }
    out
}
