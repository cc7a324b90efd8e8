//! Figures from judged rows, and the tables that people read.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Evaluation, Judged};

/// Scores from which the sweep counts, besides the policy's own.
const SWEEP: [u8; 12] = [5, 10, 20, 30, 40, 45, 50, 55, 60, 70, 80, 90];

/// Counts, the share that was blocked, and its Wilson interval.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tally {
    /// Rows.
    pub n: usize,
    /// Rows with a finding at or above the threshold.
    pub flagged: usize,
    /// Rows that the policy would refuse or change.
    pub blocked: usize,
    /// The share of these.
    pub rate: f64,
    /// Its interval.
    pub ci95: [f64; 2],
    /// What the command tells beyond the form that it promises.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub more: Option<More>,
}

/// What details add to a tally.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct More {
    /// Rows at or above the threshold by the rules only.
    pub rules: usize,
    /// Rows at or above the threshold by the scorer only.
    pub scorer: usize,
    /// Rows blocked when a role without `mayWrite` sends them.
    pub untrusted: usize,
    /// Why rows were blocked.
    pub reasons: BTreeMap<String, usize>,
}

/// Shares at or above a score, over all rows of a label.
#[derive(Debug, Serialize)]
pub(super) struct SweepLine {
    score: u8,
    both: f64,
    rules: f64,
    scorer: f64,
}

/// The rows, counted by a word of theirs.
pub(super) fn tallies<'r>(
    rows: impl IntoIterator<Item = &'r Judged>,
    key: impl Fn(&Judged) -> String,
) -> BTreeMap<String, Tally> {
    let mut out: BTreeMap<String, Tally> = BTreeMap::new();
    for row in rows {
        let tally = out.entry(key(row)).or_default();
        tally.n += 1;
        tally.flagged += usize::from(row.flagged);
        tally.blocked += usize::from(row.outcome.blocked());
        let more = tally.more.get_or_insert_default();
        more.rules += usize::from(row.scores.rules >= row.threshold);
        more.scorer += usize::from(row.scores.scorer >= row.threshold);
        more.untrusted += usize::from(row.untrusted);
        if let Some(why) = row.outcome.why() {
            *more.reasons.entry(why).or_default() += 1;
        }
    }
    for tally in out.values_mut() {
        tally.rate = round(tally.blocked as f64 / tally.n as f64);
        tally.ci95 = wilson(tally.blocked as f64, tally.n as f64).map(round);
    }
    out
}

/// What other thresholds would find, by label.
pub(super) fn sweep(rows: &[Judged]) -> BTreeMap<String, Vec<SweepLine>> {
    let mut labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    let share = |label: &str, which: fn(&Judged) -> u8, from: u8| {
        let of: Vec<u8> = rows.iter().filter(|row| row.label == label).map(which).collect();
        round(of.iter().filter(|score| **score >= from).count() as f64 / of.len().max(1) as f64)
    };
    let line = |label: &str, score: u8| SweepLine {
        score,
        both: share(label, |row| row.scores.both, score),
        rules: share(label, |row| row.scores.rules, score),
        scorer: share(label, |row| row.scores.scorer, score),
    };
    labels.iter().map(|label| (label.to_string(), SWEEP.iter().map(|score| line(label, *score)).collect())).collect()
}

/// Wilson's 95 % interval of a share.
pub(super) fn wilson(hits: f64, n: f64) -> [f64; 2] {
    if n == 0.0 {
        return [0.0, 1.0];
    }
    const Z: f64 = 1.959_964;
    let p = hits / n;
    let centre = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let width = 1.0 + Z * Z / n;
    [((centre - half) / width).max(0.0), ((centre + half) / width).min(1.0)]
}

/// A share to five places.
pub(super) fn round(share: f64) -> f64 {
    (share * 1e5).round() / 1e5
}

/// The tables for people.
pub(super) fn tables(evaluation: &Evaluation) -> String {
    let mut out = head("file");
    for file in &evaluation.files {
        for (label, tally) in &file.by_label {
            out.push_str(&line(&file.file, label, tally));
        }
    }
    for file in &evaluation.files {
        if let Some(data) = &file.data {
            out.push_str(&format!("\n{}: {}\n", file.file, data.line()));
        }
    }
    let Some(details) = &evaluation.details else { return out };
    out.push('\n');
    out.push_str(&head("zone"));
    for (zone, labels) in &details.by_zone {
        for (label, tally) in labels {
            out.push_str(&line(zone, label, tally));
        }
    }
    out.push_str("\nwhy rows were refused or changed\nlabel          rows  reason\n");
    for (label, tally) in &details.all {
        for (reason, rows) in tally.more.iter().flat_map(|more| &more.reasons) {
            out.push_str(&format!("{label:<13} {rows:>5}  {reason}\n"));
        }
    }
    if let Some(of) = &details.conversations {
        let reasons: Vec<String> = of.reasons.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
        out.push_str(&format!(
            "\nconversations of 40 of the {} harmless texts, {} judged: {:.1} % refused or changed anywhere ({} %); {}\n",
            of.texts,
            of.n,
            100.0 * of.rate,
            interval(of.ci95),
            reasons.join(", ")
        ));
    }
    out.push_str("\nshare of rows at or above a score\nlabel          score     both    rules   scorer\n");
    for (label, lines) in &details.sweep {
        for SweepLine { score, both, rules, scorer } in lines {
            let percent = |share: &f64| format!("{:.2} %", 100.0 * share);
            out.push_str(&format!(
                "{label:<14} {score:>5} {:>8} {:>8} {:>8}\n",
                percent(both),
                percent(rules),
                percent(scorer)
            ));
        }
    }
    let thresholds: Vec<String> =
        evaluation.thresholds.iter().map(|(zone, threshold)| format!("{zone} {threshold}")).collect();
    let thresholds = thresholds.join(", ");
    out.push_str(&format!("\nguard {}; thresholds: {thresholds}; rules {}\n", details.guard, evaluation.rules_digest));
    out
}

fn head(what: &str) -> String {
    format!(
        "{what:<44} {:<13} {:>5} {:>8} {:>8} {:>15} {:>9} {:>8} {:>8}\n",
        "label", "rows", "flagged", "blocked", "95 % interval", "untrusted", "rules", "scorer"
    )
}

fn line(name: &str, label: &str, tally: &Tally) -> String {
    let share = |count: usize| format!("{:.1} %", 100.0 * count as f64 / tally.n.max(1) as f64);
    let Tally { n, flagged, blocked, ci95, more, .. } = tally;
    let More { rules, scorer, untrusted, .. } = more.clone().unwrap_or_default();
    format!(
        "{name:<44} {label:<13} {n:>5} {:>8} {:>8} {:>15} {:>9} {:>8} {:>8}\n",
        share(*flagged),
        share(*blocked),
        interval(*ci95),
        share(untrusted),
        share(rules),
        share(scorer),
    )
}

fn interval([low, high]: [f64; 2]) -> String {
    format!("{:.1} - {:.1}", 100.0 * low, 100.0 * high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::eval::{Scores, stage};
    use crate::enums::Zone;

    #[test]
    fn intervals_are_wilsons() {
        let [low, high] = wilson(8.0, 10.0);
        assert!((low - 0.4902).abs() < 1e-3 && (high - 0.9433).abs() < 1e-3);
        assert_eq!(wilson(0.0, 0.0), [0.0, 1.0]);
        assert!(wilson(0.0, 100.0)[0] == 0.0 && wilson(100.0, 100.0)[1] == 1.0);
    }

    #[test]
    fn rows_are_counted_by_label() {
        let row = |label: &str, score, reason: Option<&str>| Judged {
            label: label.into(),
            zone: Zone::User,
            scores: Scores { both: score, rules: 0, scorer: score },
            threshold: 50,
            flagged: score >= 50,
            outcome: stage::Judged { reason: reason.map(str::to_owned), ..stage::Judged::default() },
            untrusted: reason.is_some(),
        };
        let rows = [row("attack", 90, Some("x")), row("attack", 10, None), row("benign", 60, Some("x"))];
        let out = tallies(&rows, |row| row.label.clone());
        assert_eq!((out["attack"].n, out["attack"].blocked), (2, 1));
        let more = out["attack"].more.as_ref().unwrap();
        assert_eq!((more.scorer, more.untrusted, more.reasons["x"]), (1, 1, 1));
        assert_eq!(out["benign"].rate, 1.0);
        let lines = &sweep(&rows)["attack"];
        assert!(lines.iter().any(|line| line.score == 50 && line.both == 0.5));
    }
}
