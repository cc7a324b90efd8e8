//! Every shipped rule finds its `match` samples, in every disguise, and none of its `no_match` samples.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use bartizan::config::document::{Pack, Zone};
use bartizan::scan::rulefile::RuleFile;
use bartizan::scan::{Budget, Scanner, Selection, Text, samples};

#[test]
fn every_rule_judges_its_own_samples_rightly() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut rules: Vec<RuleFile> = Vec::new();
    for pack in std::fs::read_dir(root).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        if !bartizan::scan::rulefile::PACKS.iter().any(|(name, _)| pack.file_name() == *name) {
            continue;
        }
        for file in std::fs::read_dir(pack.path()).unwrap().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(file.path()).unwrap();
                rules.push(serde_norway::from_str(&text).unwrap());
            }
        }
    }
    let outcome = samples::judge(&rules);
    assert!(outcome.judged > 0);
    let wrong: Vec<String> =
        outcome.failures.iter().map(|f| format!("{} {} as {}: {}", f.id, f.kind, f.form, f.sample)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), outcome.judged, wrong.join("\n"));
}

/// The shipped rules and scorer, on own sentences in twenty-one languages; `mistaken` holds known weaknesses.
#[test]
fn core_intents_are_known_in_every_language_and_its_everyday_talk_is_let_pass() {
    type Sentences = std::collections::BTreeMap<String, Vec<String>>;
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/languages.yaml");
    let languages: std::collections::BTreeMap<String, Sentences> =
        serde_norway::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let selection = Selection { packs: Pack::ALL, disable: &[], custom: &[], scorer: true };
    let scanner = Scanner::compile(&selection).unwrap();
    let budget = Budget { scan_bytes: 1 << 20, decoded_bytes: 1 << 20 };
    let mut wrong = Vec::new();
    for (language, sentences) in &languages {
        for (label, texts) in sentences.iter().filter(|(label, _)| *label != "mistaken") {
            assert!(texts.len() >= 3, "{language} {label}");
            for text in texts {
                let report = scanner.scan(&[Text { zone: Zone::User, text }], budget).texts.remove(0);
                let score = scanner.score(&report, Zone::User, &|_| false);
                if (score >= 50) != (label == "attack") {
                    wrong.push(format!("{language} {label} {score}: {text}"));
                }
            }
        }
    }
    assert!(languages.len() >= 21 && wrong.is_empty(), "{}", wrong.join("\n"));
}
