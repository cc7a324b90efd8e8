//! The samples of a policy's own rules, and rules that can never find anything.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::source::{Remark, Severity};
use crate::document::{CustomRule, Document, RuleZone, View};
use crate::document::{KeyPath, shortened};
use crate::enums::{Pack, Zone};
use crate::policy::Policy;
use crate::scan::{Budget, RuleIndex, Text, normalise};

/// Samples of one kind in one rule.
const MOST: usize = 100;

/// Characters of a class that are tried, at most: one that is possible is among the first.
const TRIED: usize = 256;

/// What came of a policy's samples.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Rules that were looked at.
    pub(super) rules: usize,
    /// Samples that were judged.
    pub(super) samples: usize,
    /// What is wrong.
    pub(super) remarks: Vec<Remark>,
}

/// Judges the samples of the rules in force. `at` and `part` say where the policy is.
pub(super) fn judge(document: &Document, policy: &Policy, at: &KeyPath, part: usize) -> Judged {
    let mut judged = Judged::default();
    let custom = document.rules.as_ref().and_then(|rules| rules.custom.as_deref()).unwrap_or_default();
    for (index, rule) in custom.iter().enumerate() {
        let id = rule.id.as_deref().unwrap_or_default();
        // A rule that is switched off finds nothing.
        let Some(place) = policy.scanner.cards().iter().position(|card| card.id == id) else { continue };
        judged.rules += 1;
        let at = at.key("rules").key("custom").index(index);
        let mut say = |severity, path, message| judged.remarks.push(Remark { severity, part, path, message });
        let tests = rule.tests.clone().unwrap_or_default();
        let mut judged_samples = 0;
        for (key, samples, wanted) in [("match", tests.matches, true), ("no_match", tests.no_match, false)] {
            let samples = samples.unwrap_or_default();
            let at = at.key("tests").key(key);
            if samples.len() > MOST {
                say(Severity::Error, at.clone(), format!("{} samples, expected at most {MOST}", samples.len()));
            }
            for (place_of_sample, sample) in samples.iter().take(MOST).enumerate() {
                judged_samples += 1;
                if finds(policy, RuleIndex(place as u16), rule, sample) != wanted {
                    let message =
                        if wanted { missed(rule, sample) } else { "the rule finds something here".to_owned() };
                    say(Severity::Error, at.index(place_of_sample), message);
                }
            }
        }
        let has_match =
            rule.tests.as_ref().and_then(|tests| tests.matches.as_ref()).is_some_and(|list| !list.is_empty());
        if let Some(message) = never(rule).filter(|_| !has_match) {
            say(Severity::Warning, at.key("pattern"), message);
        }
        judged.samples += judged_samples;
    }
    judged
}

fn finds(policy: &Policy, index: RuleIndex, rule: &CustomRule, sample: &str) -> bool {
    let zone = rule.zones.as_ref().and_then(|zones| zones.first()).copied();
    let texts = |zone| [Text { zone, text: sample }];
    let report = match zone {
        Some(RuleZone::Reply) => policy.scanner.scan_data(&texts(Zone::Assistant), Budget::SHIPPED),
        Some(zone) => {
            let zone = Zone::ALL.iter().find(|known| known.as_str() == zone.as_str()).copied().unwrap_or(Zone::User);
            policy.scanner.scan(&texts(zone), Budget::SHIPPED)
        }
        None => policy.scanner.scan(&texts(Zone::User), Budget::SHIPPED),
    };
    report.texts.iter().flat_map(|text| &text.findings).any(|finding| finding.rule == index)
}

/// True when a rule reads text as it came.
fn is_raw(rule: &CustomRule) -> bool {
    match rule.view {
        Some(view) => view == View::Raw,
        None => matches!(rule.pack, Some(Pack::Secrets | Pack::Pii)),
    }
}

fn missed(rule: &CustomRule, sample: &str) -> String {
    let folded = normalise::to_string(sample);
    match is_raw(rule) {
        false if folded != sample => {
            let folded = shortened(&folded);
            format!(
                "the rule finds nothing here; it reads normalised text, which is {folded:?} (view: raw reads it as it came)"
            )
        }
        _ => "the rule finds nothing here; every match needs one of its keywords within 256 bytes".to_owned(),
    }
}

/// Why a rule can never find anything, if that can be told from its pattern.
fn never(rule: &CustomRule) -> Option<String> {
    let pattern = rule.pattern.as_deref().filter(|_| !is_raw(rule))?;
    let hir = regex_syntax::Parser::new().parse(pattern).ok()?;
    let needed = impossible(&hir)?;
    Some(format!(
        "needs {needed:?}, which normalised text never holds: the rule finds nothing; write it as normalised text has it \
         (lower case, a space for _), or set view: raw"
    ))
}

/// A character that every match of a pattern holds and normalised text does not.
fn impossible(hir: &Hir) -> Option<char> {
    match hir.kind() {
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok()?.chars().find(|c| !survives(*c)),
        HirKind::Class(Class::Unicode(class)) => {
            let chars = || class.iter().flat_map(|range| range.start()..=range.end()).take(TRIED);
            let is_small = class.iter().map(|range| range.len()).sum::<usize>() <= TRIED;
            if is_small && !chars().any(survives) { chars().next() } else { None }
        }
        HirKind::Repetition(repetition) if repetition.min > 0 => impossible(&repetition.sub),
        HirKind::Capture(capture) => impossible(&capture.sub),
        HirKind::Concat(parts) => parts.iter().find_map(impossible),
        HirKind::Alternation(parts) => {
            let all: Option<Vec<char>> = parts.iter().map(impossible).collect();
            all.and_then(|all| all.first().copied())
        }
        _ => None,
    }
}

/// True when the character is in the normalised form of some short text.
fn survives(c: char) -> bool {
    [format!("{c}"), format!("a{c}a"), format!("a {c} a"), format!("1{c}1")]
        .iter()
        .any(|text| normalise::to_string(text).contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_normalised_text_can_never_match_are_told() {
        let rule = |pattern: &str| CustomRule { pattern: Some(pattern.to_owned()), ..CustomRule::default() };
        for pattern in ["NL-[0-9]{6}", "[A-Z]{2}[0-9]+", "employee_id", "(?:ABC|X_1)", "(A)+b", r"\bEMP\d+"] {
            assert!(never(&rule(pattern)).is_some(), "{pattern}");
        }
        for pattern in ["nl-[0-9]{6}", "(?i)NL-[0-9]{6}", "[A-Za-z]+", "(?:ABC|abc)", "(?:A)?b", ".+", r"\w+", r"[^a]"]
        {
            assert!(never(&rule(pattern)).is_none(), "{pattern}");
        }
        let raw = CustomRule { view: Some(View::Raw), ..rule("NL-[0-9]{6}") };
        assert!(never(&raw).is_none());
        assert!(never(&CustomRule { pack: Some(Pack::Pii), ..rule("NL-[0-9]{6}") }).is_none());
    }
}
