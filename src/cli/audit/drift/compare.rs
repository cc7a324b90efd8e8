//! Which features of the records differ from the baseline.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::By;
use super::profile::{BUCKETS, Profile, Slice, largest};
use super::statistics::{Test, chi_square, kolmogorov_smirnov, number, psi};

/// A difference below these is none, whatever a test says of it.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::audit) struct Limits {
    /// The least population stability index.
    pub(in crate::cli::audit) psi: f64,
    /// The most false findings among findings, after Benjamini and Hochberg.
    pub(in crate::cli::audit) alpha: f64,
    /// The least records with the feature on each side.
    pub(in crate::cli::audit) least: u64,
}

/// A word's share that changes by so much, and by this factor, is a difference too: an index hardly moves where
/// something rare becomes three times as frequent.
const SHARE: f64 = 0.02;
const FACTOR: f64 = 1.5;

/// The quantiles of the baseline that part a number's buckets for the index.
const PARTS: u64 = 10;

/// What became of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::audit) enum State {
    /// Nothing that is large and significant.
    Same,
    /// Too few records.
    NotEnough,
    /// A finding.
    Differs,
}

/// One feature of one slice, against the baseline.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::audit) struct Comparison {
    /// `all`, or the dimension.
    pub(in crate::cli::audit) by: &'static str,
    /// The name in it; empty for all.
    pub(in crate::cli::audit) name: String,
    pub(in crate::cli::audit) feature: String,
    /// Records with the feature, in the baseline and now.
    pub(in crate::cli::audit) baseline: u64,
    pub(in crate::cli::audit) now: u64,
    pub(in crate::cli::audit) psi: Option<f64>,
    /// `ks` or `chi2`.
    pub(in crate::cli::audit) test: Option<&'static str>,
    pub(in crate::cli::audit) statistic: Option<f64>,
    pub(in crate::cli::audit) p: Option<f64>,
    /// The p-value after Benjamini and Hochberg, over all tests of the run.
    pub(in crate::cli::audit) adjusted: Option<f64>,
    pub(in crate::cli::audit) state: State,
    /// What moved most: medians, or a word's share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli::audit) moved: Option<Moved>,
    #[serde(skip)]
    is_large: bool,
}

/// What moved most, before and now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", untagged)]
pub(in crate::cli::audit) enum Moved {
    /// Medians, to a bucket.
    Median {
        /// Of the baseline.
        baseline: u64,
        /// Of the records.
        now: u64,
    },
    /// The share of a word.
    Share {
        /// The word.
        word: String,
        /// Of the baseline.
        baseline: f64,
        /// Of the records.
        now: f64,
    },
}

impl Comparison {
    fn new(by: &'static str, name: &str, feature: &str, counts: (u64, u64)) -> Comparison {
        Comparison {
            by,
            name: name.to_owned(),
            feature: feature.to_owned(),
            baseline: counts.0,
            now: counts.1,
            psi: None,
            test: None,
            statistic: None,
            p: None,
            adjusted: None,
            state: State::NotEnough,
            moved: None,
            is_large: false,
        }
    }

    fn tested(mut self, name: &'static str, test: Option<Test>) -> Comparison {
        self.test = test.map(|_| name);
        self.statistic = test.map(|test| test.statistic);
        self.p = test.map(|test| test.p);
        if test.is_some() {
            self.state = State::Same;
        }
        self
    }

    /// Says what follows from an adjusted p-value.
    pub(in crate::cli::audit) fn conclude(&mut self, adjusted: f64, limits: &Limits) {
        self.adjusted = Some(adjusted);
        if self.is_large && adjusted <= limits.alpha {
            self.state = State::Differs;
        }
    }
}

/// Names that are on one side only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli::audit) struct Lone {
    pub(in crate::cli::audit) by: &'static str,
    pub(in crate::cli::audit) name: String,
    pub(in crate::cli::audit) records: u64,
}

/// Compares all slices that both have.
pub(in crate::cli::audit) fn compare(
    baseline: &Profile,
    now: &Profile,
    dimensions: &[By],
    limits: &Limits,
) -> Vec<Comparison> {
    let mut found = slice(("all", ""), &baseline.all, &now.all, dimensions, limits);
    for by in dimensions {
        let (Some(before), Some(after)) = (baseline.by.get(by), now.by.get(by)) else { continue };
        for (name, before) in before {
            let Some(after) = after.get(name) else { continue };
            // The only name of its dimension: these are all records once more.
            let is_all = before.records == baseline.all.records && after.records == now.all.records;
            if !is_all {
                found.extend(slice((by.name(), name), before, after, &[], limits));
            }
        }
    }
    found
}

/// Names that one side has and the other has not.
pub(in crate::cli::audit) fn lone(of: &Profile, other: &Profile, dimensions: &[By]) -> Vec<Lone> {
    let mut lone = Vec::new();
    for by in dimensions {
        let others = other.by.get(by);
        for (name, slice) in of.by.get(by).into_iter().flatten() {
            if others.is_none_or(|others| !others.contains_key(name)) {
                lone.push(Lone { by: by.name(), name: name.clone(), records: slice.records });
            }
        }
    }
    lone
}

fn slice(
    (by, name): (&'static str, &str),
    before: &Slice,
    now: &Slice,
    dimensions: &[By],
    limits: &Limits,
) -> Vec<Comparison> {
    let mut found = Vec::new();
    let empty = BTreeMap::new();
    let features: BTreeSet<&String> = before.numbers.keys().chain(now.numbers.keys()).collect();
    for feature in features {
        let of = |slice: &'_ Slice| slice.numbers.get(feature).unwrap_or(&empty).clone();
        found.push(numbers(Comparison::new(by, name, feature, (0, 0)), &of(before), &of(now), limits));
    }
    let empty = BTreeMap::new();
    let features: BTreeSet<&String> = before.words.keys().chain(now.words.keys()).collect();
    for feature in features {
        // Which names there are is a feature of all records, for the dimensions that are asked for.
        let is_dimension = By::ALL.iter().any(|by| by.name() == feature);
        if is_dimension && !dimensions.iter().any(|by| by.name() == feature) {
            continue;
        }
        let of = |slice: &'_ Slice| slice.words.get(feature).unwrap_or(&empty).clone();
        found.push(words(Comparison::new(by, name, feature, (0, 0)), &of(before), &of(now), limits));
    }
    found
}

fn total<K>(counts: &BTreeMap<K, u64>) -> u64 {
    counts.values().fold(0, |sum, count| sum.saturating_add(*count))
}

fn numbers(mut one: Comparison, before: &BTreeMap<u32, u64>, now: &BTreeMap<u32, u64>, limits: &Limits) -> Comparison {
    (one.baseline, one.now) = (total(before), total(now));
    if one.baseline < limits.least || one.now < limits.least {
        return one;
    }
    let row = |counts: &BTreeMap<u32, u64>| -> Vec<u64> {
        (0..BUCKETS).map(|bucket| counts.get(&bucket).copied().unwrap_or(0)).collect()
    };
    let parted = edges(before);
    let index = psi(&by_edges(before, &parted), &by_edges(now, &parted));
    one.psi = Some(index);
    one.is_large = index >= limits.psi;
    one.moved = median(before).zip(median(now)).map(|(baseline, now)| Moved::Median { baseline, now });
    one.tested("ks", kolmogorov_smirnov(&row(before), &row(now)))
}

/// The last buckets of the baseline's tenths. A bucket that holds a tenth by itself is a part of its own, so that what
/// moves to either side of it is seen.
fn edges(counts: &BTreeMap<u32, u64>) -> BTreeSet<u32> {
    let all = u128::from(total(counts));
    let (mut below, mut edges) = (0_u128, BTreeSet::new());
    for (bucket, count) in counts {
        let tenth = |sum: u128| sum * u128::from(PARTS) / all.max(1);
        let next = below.saturating_add(u128::from(*count));
        if tenth(below) < tenth(next) {
            edges.insert(*bucket);
            if u128::from(*count) * u128::from(PARTS) >= all {
                edges.extend(bucket.checked_sub(1));
            }
        }
        below = next;
    }
    edges
}

/// Counts up to each edge, and behind the last.
fn by_edges(counts: &BTreeMap<u32, u64>, edges: &BTreeSet<u32>) -> Vec<u64> {
    let mut row = vec![0_u64; edges.len() + 1];
    for (bucket, count) in counts {
        let part = edges.range(..*bucket).count();
        if let Some(place) = row.get_mut(part) {
            *place = place.saturating_add(*count);
        }
    }
    row
}

fn median(counts: &BTreeMap<u32, u64>) -> Option<u64> {
    let half = total(counts).div_ceil(2);
    let mut below = 0_u64;
    let found = counts.iter().find(|(_, count)| {
        below = below.saturating_add(**count);
        below >= half
    });
    found.map(|(bucket, _)| largest(*bucket))
}

fn words(
    mut one: Comparison,
    before: &BTreeMap<String, u64>,
    now: &BTreeMap<String, u64>,
    limits: &Limits,
) -> Comparison {
    (one.baseline, one.now) = (total(before), total(now));
    if one.baseline < limits.least || one.now < limits.least {
        return one;
    }
    let all: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let row = |counts: &BTreeMap<String, u64>| -> Vec<u64> {
        all.iter().map(|word| counts.get(*word).copied().unwrap_or(0)).collect()
    };
    let (of_before, of_now) = (row(before), row(now));
    let index = psi(&of_before, &of_now);
    one.psi = Some(index);
    let share = |count: u64, all: u64| number(count) / number(all.max(1));
    let shares = all
        .iter()
        .zip(of_before.iter().zip(&of_now))
        .map(|(word, (baseline, now))| ((*word).clone(), share(*baseline, one.baseline), share(*now, one.now)));
    let mut shares: Vec<(String, f64, f64)> = shares.collect();
    let is_other = |&(_, before, now): &(String, f64, f64)| {
        (now - before).abs() >= SHARE && now.max(before) >= FACTOR * now.min(before)
    };
    one.is_large = index >= limits.psi || shares.iter().any(is_other);
    // Of two words that take from each other the rarer one says more.
    let by = |(_, before, now): &(String, f64, f64)| ((now - before).abs() * 1e6).round();
    let rarer = |(_, before, now): &(String, f64, f64)| before.min(*now);
    shares.sort_by(|one, other| by(other).total_cmp(&by(one)).then(rarer(one).total_cmp(&rarer(other))));
    let most = shares.into_iter().next();
    one.moved = most.map(|(word, baseline, now)| Moved::Share { word, baseline, now });
    match chi_square(&of_before, &of_now) {
        // One word on both sides, and the same.
        None if all.len() < 2 => one.tested("chi2", Some(Test { statistic: 0.0, p: 1.0 })),
        test => one.tested("chi2", test),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_sees_a_constant_move_to_either_side() {
        let of = |bucket: u32| BTreeMap::from([(bucket, 500_u64)]);
        let edges = edges(&of(40));
        for other in [12, 39, 41, 90] {
            let index = psi(&by_edges(&of(40), &edges), &by_edges(&of(other), &edges));
            assert!(index > 5.0, "{other}: {index}");
        }
    }
}
