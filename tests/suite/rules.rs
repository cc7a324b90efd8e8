//! Every shipped rule finds its `match` samples, in every disguise, and none of its `no_match` samples.

use bartizan::enums::{Pack, Zone};
use bartizan::scan::rulefile::RuleFile;
use bartizan::scan::{Budget, Scanner, Selection, Text, samples};

/// The rule files of these packs.
fn rules(wanted: impl Fn(&str) -> bool) -> Vec<RuleFile> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut rules = Vec::new();
    for pack in Pack::ALL.iter().map(|pack| pack.as_str()).filter(|pack| wanted(pack)) {
        for file in std::fs::read_dir(root.join(pack)).unwrap().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(file.path()).unwrap();
                rules.push(serde_norway::from_str(&text).unwrap());
            }
        }
    }
    rules
}

/// A value that is at the end of a text ends there, whatever the next text begins with.
#[test]
fn no_value_reaches_into_the_next_text() {
    let selection = Selection { packs: Pack::ALL, disable: &[], custom: &[], scorer: false };
    let scanner = Scanner::compile(&selection).unwrap();
    let values = rules(|pack| pack == "secrets" || pack == "pii");
    let (mut wrong, mut pairs) = (Vec::new(), 0);
    for rule in &values {
        for sample in &rule.tests.matching {
            // As a word, a key, an id, an answer.
            for next in ["Hello", "subject", "call_Ab12Cd34", "type", "Thanks, noted.", "2 of them", ".", "x"] {
                for texts in [&[sample.as_str(), next][..], &["to", sample, next], &[sample, next, sample]] {
                    let texts: Vec<Text<'_>> = texts.iter().map(|text| Text { zone: Zone::User, text }).collect();
                    let report = scanner.scan(&texts, Budget::SHIPPED);
                    let after = texts.iter().position(|text| text.text == next).unwrap();
                    pairs += 1;
                    // Of the texts that hold the sample whole: their own findings end in them.
                    if report.joints.iter().any(|(at, _)| *at == after) {
                        wrong.push(format!("{}: {:?} {:?}: {:?}", rule.id, sample, next, report.joints));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {pairs}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_rule_judges_its_own_samples_rightly() {
    let rules = rules(|_| true);
    let outcome = samples::judge(&rules);
    assert!(outcome.judged > 0);
    let wrong: Vec<String> =
        outcome.failures.iter().map(|f| format!("{} {} as {}: {}", f.id, f.kind, f.form, f.sample)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), outcome.judged, wrong.join("\n"));
}

/// The shipped rules and scorer, on own sentences in twenty-one languages, at the threshold of the `user` zone; `mistaken`
/// holds known weaknesses.
#[test]
fn core_intents_are_known_in_every_language_and_its_everyday_talk_is_let_pass() {
    type Sentences = std::collections::BTreeMap<String, Vec<String>>;
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/languages.yaml");
    let languages: std::collections::BTreeMap<String, Sentences> =
        serde_norway::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let selection = Selection { packs: Pack::ALL, disable: &[], custom: &[], scorer: true };
    let scanner = Scanner::compile(&selection).unwrap();
    let budget = Budget { scan_bytes: 1 << 20, decoded_bytes: 1 << 20, ..Budget::SHIPPED };
    let mut wrong = Vec::new();
    for (language, sentences) in &languages {
        for (label, texts) in sentences.iter().filter(|(label, _)| *label != "mistaken") {
            assert!(texts.len() >= 3, "{language} {label}");
            for text in texts {
                let report = scanner.scan(&[Text { zone: Zone::User, text }], budget).texts.remove(0);
                let score = scanner.score(&report, Zone::User, &|_| false);
                if (score >= 90) != (label == "attack") {
                    wrong.push(format!("{language} {label} {score}: {text}"));
                }
            }
        }
    }
    assert!(languages.len() >= 21 && wrong.is_empty(), "{}", wrong.join("\n"));
}
