//! The document's errors, as tables: `tests/data/config/`.

use crate::common;

use bartizan::document::parse_with;
use bartizan::policy::Policy;
use common::{broken, data};
use proptest::prelude::*;
use serde_json::Value;

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
    assert_eq!(policy.route("/v1/models/llama-3", "GET").unwrap().operation.as_str(), "models");
    assert_eq!(policy.role_at(bartizan::authn::RoleIndex(0)).unwrap().quotas[1].burst, 200_000);
    assert!(policy.route("/v1/embeddings", "POST").is_none());
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

#[test]
fn more_errors_than_anybody_reads_are_counted() {
    let roles: Vec<String> = (0..1000).map(|number| format!("r{number}: {{}}")).collect();
    let errors = from_yaml(&format!("version: 1\nroles: {{ {} }}\n", roles.join(", "))).unwrap_err();
    assert_eq!(errors.len(), 65);
    assert!(
        errors[64].starts_with("document: ") && errors[64].ends_with(" more errors are not shown"),
        "{}",
        errors[64]
    );
}

/// The document with one value replaced, at a random place, by something else.
fn spoiled() -> impl Strategy<Value = Value> {
    let good: Value = serde_norway::from_str(&data("good.yaml")).unwrap();
    let mut places = Vec::new();
    pointers(&good, &mut String::new(), &mut places);
    let other = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(serde_json::json!([])),
        Just(serde_json::json!({})),
        Just(serde_json::json!({ "": [1] })),
    ];
    prop::collection::vec((prop::sample::select(places), other), 1..6).prop_map(move |edits| {
        edits.into_iter().fold(good.clone(), |mut document, (place, value)| {
            if let Some(node) = document.pointer_mut(&place) {
                *node = value;
            }
            document
        })
    })
}

fn pointers(node: &Value, at: &mut String, places: &mut Vec<String>) {
    places.push(at.clone());
    let length = at.len();
    let mut below = |key: String, node: &Value, at: &mut String| {
        at.push('/');
        at.push_str(&key.replace('~', "~0").replace('/', "~1"));
        pointers(node, at, places);
        at.truncate(length);
    };
    match node {
        Value::Object(entries) => entries.iter().for_each(|(key, node)| below(key.clone(), node, at)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, node)| below(index.to_string(), node, at)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_policy_or_errors(bytes: Vec<u8>) {
        prop_assert!(Policy::from_json(&bytes, &environment).is_err_and(|errors| !errors.is_empty()));
    }

    #[test]
    fn any_yaml_text_is_a_policy_or_errors(text in "[a-z0-9:{}\\[\\], \"'\\-\n&*#|>!]{0,200}") {
        prop_assert!(from_yaml(&text).is_err_and(|errors| !errors.is_empty()));
    }

}

proptest! {
    // Each case compiles all the rules.
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any value at any key: no panic, and every error names a place and says something in one line.
    #[test]
    fn spoiled_documents_never_panic(document in spoiled()) {
        if let Err(errors) = Policy::from_json(document.to_string().as_bytes(), &environment) {
            prop_assert!(!errors.is_empty());
            for error in &errors {
                let line = error.to_string();
                prop_assert!(!error.message.is_empty() && !line.contains(['\n', '\r']), "{line:?}");
            }
            let mut places: Vec<_> = errors.iter().map(|error| &error.path).collect();
            places.sort();
            places.dedup();
            prop_assert_eq!(places.len(), errors.len(), "one message a place: {:?}", errors);
        }
    }
}
