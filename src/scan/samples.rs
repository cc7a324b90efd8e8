//! The rules' own tests: each sample by itself, in the full set, and the matching ones in every disguise and cut in two
//! wherever that can be done.
//!
//! Native only; reads rule files through the caller. `bartizan rules test` and `tests/suite/rules.rs` run it.
//!
//! ```
//! use bartizan::scan::samples::judge;
//!
//! let outcome = judge(&[]);
//! assert!(outcome.judged == 0 && outcome.failures.is_empty());
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::enums::{Pack, Zone};

use super::rulefile::RuleFile;
use super::{Budget, Finding, Scanner, Selection, Text};

const AMPLE: Budget = Budget::SHIPPED;

/// A sample that a rule judges wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The rule's id.
    pub id: String,
    /// `match` or `noMatch`.
    pub kind: &'static str,
    /// `plain`, or the disguise under which it was not found.
    pub form: &'static str,
    /// The sample.
    pub sample: String,
}

/// How many samples were judged, and those that were judged wrongly.
#[derive(Clone, Debug, Default)]
pub struct SampleReport {
    /// Samples times forms.
    pub judged: usize,
    /// In the order of the rules.
    pub failures: Vec<Failure>,
}

/// Judges the samples of these rules with the shipped set. A rule that is not in the set (status `deprecated`) is passed over.
pub fn judge(rules: &[RuleFile]) -> SampleReport {
    let mut outcome = SampleReport::default();
    let selection = Selection { packs: Pack::ALL, disable: &[], custom: &[], scorer: false };
    let Ok(scanner) = Scanner::compile(&selection) else { return outcome };
    for rule in rules {
        if !scanner.cards().iter().any(|card| card.id == rule.id) {
            continue;
        }
        let zone = rule.detect.scope.as_ref().and_then(|zones| zones.first()).map_or(Zone::User, |name| zone(name));
        let raw =
            rule.detect.view.as_deref() == Some("raw") || rule.id.starts_with("SE-") || rule.id.starts_with("PD-");
        let mut check = |expected: bool, form: &'static str, sample: &str, text: &str| {
            outcome.judged += 1;
            let kind = if expected { "match" } else { "noMatch" };
            let report = scanner.scan(&[Text { zone, text }], AMPLE).texts.into_iter().next().unwrap_or_default();
            if finds(&scanner, &report.findings, &rule.id) != expected {
                outcome.failures.push(Failure { id: rule.id.clone(), kind, form, sample: sample.into() });
            }
        };
        for sample in &rule.tests.matching {
            check(true, "plain", sample, sample);
            check(true, "zeroWidth", sample, &zero_width(sample));
            if !raw {
                // Only digits and tokens do not read as text, which decoding asks for.
                check(true, "base64", sample, &STANDARD.encode(sample));
                check(true, "percent", sample, &percent(sample));
                check(true, "fullWidth", sample, &full_width(sample));
                check(
                    true,
                    "embedded",
                    sample,
                    &format!("Lorem ipsum dolor sit amet, consectetur. {sample} Sed do eiusmod."),
                );
            }
        }
        for sample in &rule.tests.no_match {
            check(false, "plain", sample, sample);
        }
        // Two neighbouring texts of a conversation, cut at every character.
        for sample in rule.tests.matching.iter().filter(|_| !raw) {
            for (at, _) in sample.char_indices().skip(1) {
                outcome.judged += 1;
                let (first, second) = sample.split_at(at);
                let report = scanner.scan(&[first, second].map(|text| Text { zone, text }), AMPLE);
                let in_one = report.texts.iter().any(|text| finds(&scanner, &text.findings, &rule.id));
                let joined: Vec<Finding> = report.joints.into_iter().map(|(_, finding)| finding).collect();
                if !in_one && !finds(&scanner, &joined, &rule.id) {
                    let sample = format!("{first}|{second}");
                    outcome.failures.push(Failure { id: rule.id.clone(), kind: "match", form: "split", sample });
                }
            }
        }
    }
    outcome
}

fn finds(scanner: &Scanner, findings: &[Finding], id: &str) -> bool {
    findings.iter().any(|f| scanner.cards().get(usize::from(f.rule.0)).is_some_and(|card| card.id == id))
}

fn zone(name: &str) -> Zone {
    match name {
        "system" => Zone::System,
        "developer" => Zone::Developer,
        "assistant" => Zone::Assistant,
        "tool" => Zone::Tool,
        "document" => Zone::Document,
        _ => Zone::User,
    }
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn zero_width(text: &str) -> String {
    text.chars().flat_map(|c| [c, '\u{200b}']).collect()
}

fn full_width(text: &str) -> String {
    let wide = |c: char| match c {
        ' ' => '\u{3000}',
        '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c),
        c => c,
    };
    text.chars().map(wide).collect()
}
