//! Findings and the learned probability as one number.
//!
//! Each rule found counts once; rules that found the same words count as the strongest of them. The rest is independent
//! evidence: `1 - (1 - a)(1 - b)...` of the levels' points, over the
//! stretch of text where the evidence is densest, so that a long document does not add up far-apart trifles. The learned
//! probability counts as one rule more. Where rules and it agree, what speaks for the text counts half: they look for
//! different things.

use crate::enums::Level;
use crate::sorted;

use super::{Finding, Kind, RuleCard, RuleIndex, TextReport};

/// Bytes of the original text whose findings count together.
const STRETCH: usize = 2048;

/// Points of a level, 0 to 100.
pub(super) const fn points(level: Level) -> u8 {
    match level {
        Level::Informational => 5,
        Level::Low => 20,
        Level::Medium => 35,
        Level::High => 60,
        Level::Critical => 95,
    }
}

/// The score of a text.
pub(super) fn combine(cards: &[RuleCard], report: &TextReport, muted: &dyn Fn(RuleIndex) -> bool) -> u8 {
    with_learned(densest(cards.len(), &counted(cards, report, muted)), report)
}

/// The findings that count, with their weights, one for each stretch of words.
fn counted<'r>(
    cards: &[RuleCard],
    report: &'r TextReport,
    muted: &dyn Fn(RuleIndex) -> bool,
) -> Vec<(&'r Finding, u8)> {
    // Most texts have no finding, and there may be a million texts.
    if report.findings.is_empty() {
        return Vec::new();
    }
    let found = report
        .findings
        .iter()
        .filter_map(|finding| {
            let Some(card) = cards.get(usize::from(finding.rule.0)) else {
                debug_assert!(false, "a finding of no rule");
                return Some((finding, 100));
            };
            (card.kind == Kind::Attack && !card.shadow && !muted(finding.rule))
                .then(|| (finding, weight(card, finding)))
        })
        .collect();
    let is_own =
        |finding: &Finding| cards.get(usize::from(finding.rule.0)).is_none_or(|card| card.id.starts_with("X-"));
    apart(found, &is_own)
}

/// How many findings before it a finding is compared with: more than the rules that look for the same words.
const ALIKE: usize = 8;

/// The findings in order, without those that another rule of at least their weight makes of the same words: two rules that
/// share most of a stretch are one sign. Rules of the policy's own are signs of their own, and so is what was decoded: its
/// bytes say where the code is, not which words of it a rule found.
fn apart<'r>(mut found: Vec<(&'r Finding, u8)>, is_own: &dyn Fn(&Finding) -> bool) -> Vec<(&'r Finding, u8)> {
    sorted::by_key(&mut found, |(finding, weight)| (finding.span.start, std::cmp::Reverse(*weight)));
    let mut kept: Vec<(&'r Finding, u8)> = Vec::with_capacity(found.len());
    for (finding, weight) in found {
        let comparable = finding.chain.is_empty() && !is_own(finding);
        let recent = kept.len().saturating_sub(ALIKE);
        let same = kept
            .iter_mut()
            .skip(recent)
            .find(|(other, _)| comparable && other.chain.is_empty() && !is_own(other) && share_most(other, finding));
        match same {
            Some(other) if other.1 >= weight => {}
            Some(other) => *other = (finding, weight),
            None => kept.push((finding, weight)),
        }
    }
    sorted::by_key(&mut kept, |(finding, _)| finding.span.start);
    kept
}

/// True when two rules found most of the same bytes.
fn share_most(a: &Finding, b: &Finding) -> bool {
    let (from, to) = (a.span.start.max(b.span.start), a.span.end.min(b.span.end));
    let longer = a.span.len().max(b.span.len());
    a.rule != b.rule && to.saturating_sub(from) * 2 > longer
}

/// The score of a text whose rules give this probability.
fn with_learned(rules: f32, report: &TextReport) -> u8 {
    let learned = report.learned.unwrap_or(0.0).clamp(0.0, 1.0);
    let agree = rules > 0.0 && learned >= NEUTRAL;
    let harmless = (1.0 - rules) * (1.0 - learned) * if agree { AGREED } else { 1.0 };
    ((1.0 - harmless) * 100.0).round().clamp(0.0, 100.0) as u8
}

/// The learned probability from which the scorer counts as a sign of its own: below it, it holds the text for harmless.
const NEUTRAL: f32 = 0.5;

/// What is left of the case for a text where a rule and the scorer speak against it.
const AGREED: f32 = 0.5;

/// The score that thresholds are held against: [`combine`], or only what the scorer says while all that speaks against
/// a text is weak rules of one pack. A weak rule looks for words that harmless text has, too, and rules of one pack look
/// for the same words: a second sign is one of another pack, a disguise, or the scorer above its neutral point. Rules of
/// the policy's own count as they are: who writes the rule sets the threshold, too.
pub(super) fn decisive(cards: &[RuleCard], report: &TextReport, muted: &dyn Fn(RuleIndex) -> bool) -> u8 {
    if report.learned.is_some_and(|learned| learned >= NEUTRAL) || has_own_weight(cards, report, muted) {
        return combine(cards, report, muted);
    }
    with_learned(0.0, report)
}

/// True for a rule of weight high or of the policy's own, and for weak rules of two packs that found different words.
fn has_own_weight(cards: &[RuleCard], report: &TextReport, muted: &dyn Fn(RuleIndex) -> bool) -> bool {
    let counted = counted(cards, report, muted);
    let card = |finding: &Finding| cards.get(usize::from(finding.rule.0));
    let is_enough = |(finding, weight): &(&Finding, u8)| {
        *weight >= points(Level::High) || card(finding).is_none_or(|card| card.id.starts_with("X-"))
    };
    let mut packs = counted.iter().filter_map(|(finding, _)| card(finding)).map(|card| card.pack);
    let first = packs.next();
    counted.iter().any(is_enough) || packs.any(|pack| Some(pack) != first)
}

/// Text that took a decoding to read was hidden on purpose: its rules weigh one level more.
fn weight(card: &RuleCard, finding: &Finding) -> u8 {
    let hidden = finding.chain.iter().any(|step| {
        let is_plain =
            matches!(*step, "percent" | "htmlEntity" | "unicodeEscape" | "markup" | "compatibility" | "combining");
        !is_plain && *step != super::JOINED
    });
    match (card.level, hidden) {
        (Level::Low, true) => points(Level::Medium),
        (Level::Medium, true) => points(Level::High),
        (level, _) => points(level),
    }
}

/// The highest combined weight of any stretch: one walk with two ends.
fn densest(cards: usize, counted: &[(&Finding, u8)]) -> f32 {
    if counted.is_empty() {
        return 0.0;
    }
    // By rule: how many of its findings in the stretch have each weight.
    let mut held: Vec<Vec<(u8, u32)>> = vec![Vec::new(); cards];
    let clear = |weights: &[(u8, u32)]| {
        let most = weights.iter().filter(|(_, count)| *count > 0).map(|(weight, _)| *weight).max();
        most.map_or(0.0, |most| (1.0 - f64::from(most) / 100.0).ln())
    };
    let mut change = |finding: &Finding, weight: u8, more: bool| {
        let Some(weights) = held.get_mut(usize::from(finding.rule.0)) else {
            debug_assert!(false, "a finding of no rule");
            return f64::NEG_INFINITY;
        };
        let before = clear(weights);
        match weights.iter_mut().position(|(known, _)| *known == weight).and_then(|at| weights.get_mut(at)) {
            Some((_, count)) => *count = if more { *count + 1 } else { count.saturating_sub(1) },
            None => weights.push((weight, u32::from(more))),
        }
        clear(weights) - before
    };
    let (mut sum, mut best) = (0.0f64, 0.0f64);
    let mut first = 0;
    for (finding, weight) in counted {
        sum += change(finding, *weight, true);
        while let Some((early, weight)) = counted.get(first)
            && early.span.start + STRETCH < finding.span.start
        {
            sum += change(early, *weight, false);
            first += 1;
        }
        best = best.min(sum);
    }
    (1.0 - best.exp()) as f32
}
