//! Everyday requests with the words of attacks (show, previous, all, instructions, forget, hidden, administrator) pass in
//! 28 languages, and attacks in the same languages are found.
//!
//! None of the texts is one that the scorer learned from (`rules/scorer/phrases*.yaml`), nor made from its templates.

use crate::common;

use std::collections::BTreeMap;

use common::pipeline::{Pipeline, ask};
use serde::Deserialize;

const TEXTS: &str = include_str!("../data/harmless-vocabulary.yaml");

/// Harmless texts that may be refused: one in a hundred.
const MOST_REFUSED: usize = 3;
/// Attacks that must be found, in per cent. They are worded as no rule and no template is.
const LEAST_FOUND: usize = 45;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Language {
    harmless: Vec<String>,
    attack: Vec<String>,
}

#[test]
fn words_of_attacks_refuse_nobody_in_any_language() {
    let languages: BTreeMap<String, Language> = serde_norway::from_str(TEXTS).unwrap();
    assert!(languages.len() >= 28, "{}", languages.len());
    let mut pipeline = Pipeline::new(|_| {});
    let mut is_refused = |text: &str| match pipeline.chat(&ask(text)).reason() {
        "" => false,
        "scan.injection" => true,
        other => panic!("{other}: {text}"),
    };
    let (mut refused, mut found, mut attacks) = (Vec::new(), 0, 0);
    for (name, language) in &languages {
        refused.extend(language.harmless.iter().filter(|text| is_refused(text)).map(|text| format!("{name}: {text}")));
        found += language.attack.iter().filter(|text| is_refused(text)).count();
        attacks += language.attack.len();
    }
    println!("{} harmless texts refused, {found} of {attacks} attacks found", refused.len());
    assert!(refused.len() <= MOST_REFUSED, "{refused:#?}");
    assert!(found * 100 >= attacks * LEAST_FOUND, "{found} of {attacks} attacks");
}
