//! The map from frameworks to what the filter does is generated of one file, and names only what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bartizan::cli::schema::markdown;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Map {
    evidence: BTreeMap<String, Evidence>,
    frameworks: Vec<Framework>,
}

/// What the filter does about something, and what shows it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    title: String,
    keys: Vec<String>,
    record: Vec<String>,
    metrics: Vec<String>,
    tests: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Framework {
    name: String,
    edition: String,
    note: String,
    /// All ids that the map must have a row for, in the framework's own order.
    ids: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    name: String,
    extent: Extent,
    does: String,
    remains: String,
    by: Vec<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Extent {
    Full,
    Partial,
    None,
}

impl Extent {
    const fn word(self) -> &'static str {
        match self {
            Extent::Full => "full",
            Extent::Partial => "partial",
            Extent::None => "none",
        }
    }
}

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn map() -> Map {
    serde_norway::from_str(&read("src/manual/compliance.yaml")).unwrap()
}

/// A name as HTML's anchors write it.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

const HEAD: &str = "\
<!-- Generated of compliance.yaml: REFERENCE=write cargo test --test suite compliance -->

# Compliance: frameworks, and what the filter does about them

Each row says to what extent the filter helps, and what remains to the operator.
No filter makes an organisation compliant.

- *full*: nothing remains but to configure it.
- *partial*: it does what the row says.
- *none*: what it does, if anything, is no answer to the row.

The last part names keys of the policy, fields of the record, counters and tests. Each exists, or the build breaks.
";

const TABLE: &str = "\
| id | name | extent | what it does | what remains | by |
|---|---|---|---|---|---|
";

fn page(map: &Map) -> String {
    let mut out = String::from(HEAD);
    for framework in &map.frameworks {
        let count = |extent| framework.rows.iter().filter(|row| row.extent == extent).count();
        let _ = write!(
            out,
            "\n## {} ({})\n\n{} Rows: {} full, {} partial, {} none.\n\n{TABLE}",
            framework.name,
            framework.edition,
            framework.note,
            count(Extent::Full),
            count(Extent::Partial),
            count(Extent::None),
        );
        for row in &framework.rows {
            let links = row.by.iter().map(|key| format!("[{key}](#{})", anchor(&map.evidence[key].title)));
            let by = links.collect::<Vec<_>>().join(", ");
            let extent = row.extent.word();
            let _ = writeln!(out, "| {} | {} | {extent} | {} | {} | {by} |", row.id, row.name, row.does, row.remains);
        }
    }
    out.push_str("\n# What shows it\n");
    for (key, evidence) in &map.evidence {
        let _ = write!(out, "\n## {}\n\nIn the tables: {key}.\n\n", evidence.title);
        for (what, names) in [
            ("Keys", &evidence.keys),
            ("Record", &evidence.record),
            ("Counters", &evidence.metrics),
            ("Tests", &evidence.tests),
        ] {
            if !names.is_empty() {
                let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                let _ = writeln!(out, "- {what}: {}", names.join(", "));
            }
        }
    }
    out
}

#[test]
fn the_page_is_what_the_file_generates() {
    let new = page(&map());
    let path = at("src/manual/compliance.md");
    if std::env::var("REFERENCE").is_ok_and(|word| word == "write") {
        fs::write(path, new).unwrap();
        return;
    }
    assert!(
        read("src/manual/compliance.md") == new,
        "src/manual/compliance.md is stale: REFERENCE=write cargo test --test suite compliance"
    );
}

/// The names of a file's test functions.
fn tests_in(path: &str) -> BTreeSet<String> {
    let text = read(path);
    let name = |rest: &str| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap().to_owned();
    if path.ends_with(".py") {
        return text
            .lines()
            .filter_map(|line| line.strip_prefix("def "))
            .filter(|n| n.starts_with("test_"))
            .map(name)
            .collect();
    }
    let (mut found, mut is_test) = (BTreeSet::new(), false);
    for line in text.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ") {
            if is_test {
                found.insert(name(rest));
            }
            is_test = false;
        }
    }
    found
}

#[test]
fn every_test_that_is_named_exists() {
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut missing = Vec::new();
    for (key, evidence) in &map().evidence {
        assert!(!evidence.tests.is_empty(), "{key}: nothing shows it");
        for test in &evidence.tests {
            let (file, function) = test.split_once("::").unwrap_or_else(|| panic!("{test}: file::function"));
            if !files.entry(file.to_owned()).or_insert_with(|| tests_in(file)).contains(function) {
                missing.push(test.clone());
            }
        }
    }
    assert_eq!(missing, [""; 0], "renamed, or gone");
    // The reader of files finds tests and nothing else.
    let own = tests_in("tests/suite/compliance.rs");
    assert!(own.contains("every_test_that_is_named_exists") && !own.contains("tests_in"), "{own:?}");
    let python = tests_in("integration/response/test_responder.py");
    assert!(python.contains("test_a_ban_and_a_lift_by_hand") && !python.contains("lines"), "{python:?}");
}

#[test]
fn every_key_field_and_counter_exists() {
    let keys: BTreeSet<String> =
        markdown().lines().filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned())).collect();
    let (record, metrics) = (read("src/audit/record.rs"), read("src/audit/metrics.rs"));
    let mut missing = Vec::new();
    for evidence in map().evidence.into_values() {
        missing.extend(evidence.keys.into_iter().filter(|key| !keys.contains(key)));
        missing.extend(evidence.record.into_iter().filter(|name| !record.contains(&format!("rename = \"{name}\""))));
        let counts =
            |name: &String| [format!("\"{name}\""), format!("\"{name}.")].iter().any(|text| metrics.contains(text));
        missing.extend(evidence.metrics.into_iter().filter(|name| !counts(name)));
    }
    assert_eq!(missing, [""; 0]);
}

/// Lists that the map has whole. A selection says that it is one.
const WHOLE: [(&str, usize); 5] = [
    ("OWASP Top 10 for LLM Applications", 10),
    ("OWASP Top 10 for Agentic Applications", 10),
    ("NIST AI Risk Management Framework", 4),
    ("NIST AI 600-1, Generative AI Profile", 12),
    ("ISO/IEC 42001, Annex A", 38),
];

#[test]
fn every_framework_is_whole_and_says_what_remains() {
    let map = map();
    let mut used = BTreeSet::new();
    for framework in &map.frameworks {
        let rows: Vec<_> = framework.rows.iter().map(|row| row.id.clone()).collect();
        assert_eq!(rows, framework.ids, "{}", framework.name);
        assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len(), "{}: an id twice", framework.name);
        match WHOLE.iter().find(|(name, _)| *name == framework.name) {
            Some((_, count)) => assert_eq!(rows.len(), *count, "{}", framework.name),
            None => assert!(framework.note.contains("selection"), "{}", framework.name),
        }
        for row in &framework.rows {
            let id = &row.id;
            assert!(![&row.name, &row.does].iter().any(|text| text.is_empty() || text.contains(['|', '\n'])), "{id}");
            assert!(row.extent == Extent::Full || !row.remains.is_empty(), "{id}: what remains?");
            assert!(row.extent == Extent::None || !row.by.is_empty(), "{id}: by what?");
            for key in &row.by {
                assert!(map.evidence.contains_key(key), "{id}: {key}");
                used.insert(key.clone());
            }
        }
    }
    assert_eq!(used, map.evidence.keys().cloned().collect(), "evidence that no row uses");
    let named: Vec<_> = map.frameworks.iter().map(|framework| framework.name.as_str()).collect();
    assert!(WHOLE.iter().all(|(name, _)| named.contains(name)), "{named:?}");
}
