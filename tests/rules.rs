//! Every shipped rule finds its `match` samples, in every disguise, and none of its `no_match` samples.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use bartizan::scan::rulefile::RuleFile;
use bartizan::scan::samples;

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
