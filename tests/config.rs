//! The document's errors, as tables: `tests/data/config/`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test's helpers may panic as the test may

use std::path::PathBuf;

use bartizan::config::{Policy, parse_with};

fn data(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/config").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn environment(name: &str) -> Option<String> {
    (name == "BARTIZAN_HASH_KEY").then(|| "0123456789abcdef".to_owned())
}

fn from_yaml(text: &str) -> Result<Policy, Vec<String>> {
    let parsed = parse_with(serde_norway::Deserializer::from_str(text));
    Policy::compile(parsed, &environment).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn the_good_document_compiles() {
    let policy = from_yaml(&data("good.yaml")).unwrap();
    assert_eq!(policy.name, "llm-prod");
    assert_eq!(policy.digest_short().len(), 12);
    assert_eq!(policy.route("/v1/models/llama-3").unwrap().operation.as_str(), "models");
    assert_eq!(policy.role_at(bartizan::authn::RoleIndex(0)).unwrap().quotas[1].burst, 200_000);
    assert!(policy.route("/v1/embeddings").is_none());
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    edits: Vec<Edit>,
    errors: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Edit {
    from: String,
    to: String,
}

fn broken() -> Vec<(Case, String)> {
    let good = data("good.yaml");
    let cases: Vec<Case> = serde_norway::from_str(&data("broken.yaml")).unwrap();
    let edited = cases.into_iter().map(|case| {
        let text = case.edits.iter().fold(good.clone(), |text, edit| {
            assert_eq!(text.matches(&edit.from).count(), 1, "{}: {:?} must stand there once", case.name, edit.from);
            text.replace(&edit.from, &edit.to)
        });
        (case, text)
    });
    edited.collect()
}

#[test]
fn every_broken_document_says_what_is_wrong_and_where() {
    let mut failures = String::new();
    for (case, text) in broken() {
        let errors = from_yaml(&text).err().unwrap_or_default();
        if errors != case.errors {
            failures.push_str(&format!("{}\n  expected {:#?}\n  found {:#?}\n", case.name, case.errors, errors));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
