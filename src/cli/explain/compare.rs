//! `bartizan explain --compare`: where another policy, or another ruleset, decides otherwise, and why.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Explanation, RoleCard, shown};

/// What differs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Differences {
    old: Judge,
    new: Judge,
    /// Roles for which the verdict, its reason or what happens to a finding is another one.
    pub(super) roles: Vec<RoleDifference>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Judge {
    policy: String,
    policy_digest: String,
    rules_digest: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoleDifference {
    role: String,
    /// Verdict and reason under the old policy; absent: it has no such role.
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
    /// What in the two policies makes the difference.
    because: Vec<String>,
}

pub(super) fn differences(old: &Explanation, new: &Explanation) -> Differences {
    let mut names: Vec<&str> = old.roles.iter().chain(&new.roles).map(|role| role.role.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let role = |of: &'_ Explanation, name: &str| of.roles.iter().position(|role| role.role == name);
    let roles = names.into_iter().filter_map(|name| {
        let cards =
            (role(old, name).and_then(|at| old.roles.get(at)), role(new, name).and_then(|at| new.roles.get(at)));
        let because = match cards {
            (Some(one), Some(other)) => because((old, one), (new, other)),
            (Some(_), None) => vec!["the new policy has no such role".to_owned()],
            (None, Some(_)) => vec!["the old policy has no such role".to_owned()],
            (None, None) => return None,
        };
        let (before, after) = (cards.0.map(verdict), cards.1.map(verdict));
        let acts = |card: Option<&RoleCard>| card.map(actions).unwrap_or_default();
        let is_same = before == after && acts(cards.0) == acts(cards.1);
        (!is_same).then(|| RoleDifference { role: name.to_owned(), old: before, new: after, because })
    });
    let roles = roles.collect();
    Differences { old: judge(old), new: judge(new), roles }
}

fn judge(of: &Explanation) -> Judge {
    Judge { policy: of.policy.clone(), policy_digest: of.policy_digest.clone(), rules_digest: of.rules_digest.clone() }
}

fn verdict(card: &RoleCard) -> String {
    match (card.reason, card.status) {
        (Some(reason), Some(status)) => format!("{}: {reason} ({status})", card.verdict),
        _ => card.verdict.to_owned(),
    }
}

/// What happens to each finding.
fn actions(card: &RoleCard) -> Vec<String> {
    let mut actions: Vec<String> = card
        .actions
        .iter()
        .map(|action| format!("{} in text {}: {}", action.rule, action.text, action.action))
        .collect();
    actions.sort();
    actions.dedup();
    actions
}

fn because((old, one): (&Explanation, &RoleCard), (new, other): (&Explanation, &RoleCard)) -> Vec<String> {
    let mut because = Vec::new();
    let mut changed = |what: &str, before: &str, after: &str| {
        if before != after {
            because.push(format!("{what}: {before} before, {after} now"));
        }
    };
    changed("guard", &one.guard, &other.guard);
    changed("mode of the guard", one.mode, other.mode);
    for (at, (text, told)) in old.texts.iter().zip(&new.texts).enumerate() {
        let name = if text.path.is_empty() { format!("text {at}") } else { text.path.clone() };
        let side = |score: u8, thresholds: &[u8]| {
            let threshold = thresholds.get(at).copied().unwrap_or(u8::MAX);
            format!("score {score} {} threshold {threshold}", if score >= threshold { "reaches" } else { "is under" })
        };
        changed(&name, &side(text.score, &one.thresholds), &side(told.score, &other.thresholds));
        let rules = |text: &super::TextCard| {
            let mut rules: Vec<String> = text.findings.iter().map(|finding| finding.rule.clone()).collect();
            rules.sort();
            rules.dedup();
            if rules.is_empty() { "none".to_owned() } else { rules.join(", ") }
        };
        changed(&format!("rules that found something in {name}"), &rules(text), &rules(told));
    }
    let list = |items: Vec<String>| if items.is_empty() { "nothing".to_owned() } else { items.join("; ") };
    changed("what follows", &list(actions(one)), &list(actions(other)));
    let unmet = |card: &RoleCard| {
        let parts = card.conditions.iter().flat_map(|condition| {
            condition.unmet.iter().map(move |part| format!("{} of {}: {}", part.part, condition.of, part.why))
        });
        list(parts.collect())
    };
    changed("conditions that do not hold", &unmet(one), &unmet(other));
    let unscanned = |of: &Explanation| {
        list(of.unscanned.iter().map(|one| format!("{} at {}: {}", one.kind, one.path, one.action)).collect())
    };
    changed("not scanned", &unscanned(old), &unscanned(new));
    changed("rules", &old.rules_digest, &new.rules_digest);
    if because.is_empty() {
        because.push("what the role grants".to_owned());
    }
    because
}

/// For a terminal.
pub(super) fn page(differences: &Differences) -> String {
    let clean = |text: &str| text.chars().map(shown).collect::<String>();
    let mut out = String::new();
    for (word, judge) in [("old", &differences.old), ("new", &differences.new)] {
        let _infallible = writeln!(
            out,
            "{word}: policy {} {}, rules {}",
            clean(&judge.policy),
            clean(&judge.policy_digest),
            clean(&judge.rules_digest)
        );
    }
    if differences.roles.is_empty() {
        out.push_str("both decide the same for every role\n");
    }
    for role in &differences.roles {
        let side = |side: &Option<String>| side.as_deref().map_or_else(|| "no such role".to_owned(), clean);
        let _infallible = writeln!(out, "\n{}: {} -> {}", clean(&role.role), side(&role.old), side(&role.new));
        for line in &role.because {
            let _infallible = writeln!(out, "  {}", clean(line));
        }
    }
    out
}
