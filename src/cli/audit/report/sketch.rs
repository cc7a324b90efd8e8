//! Bounded sums: the most frequent of many names, percentiles, and columns of time.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

/// More names than this share one row. Their number is bounded, so that no file makes memory grow.
pub(super) const MAX_NAMES: usize = 10_000;
/// The bytes of a name that are kept.
pub(super) const MAX_NAME: usize = 128;

/// Sums by name.
#[derive(Debug)]
pub(super) struct Names<T> {
    known: HashMap<String, T>,
    /// Of names that came when there was no more room.
    rest: T,
    is_full: bool,
}

impl<T: Default> Default for Names<T> {
    fn default() -> Names<T> {
        Names { known: HashMap::new(), rest: T::default(), is_full: false }
    }
}

impl<T: Default> Names<T> {
    /// The sum of a name.
    pub(super) fn of(&mut self, name: &str) -> &mut T {
        let name = clip(name);
        // Two look-ups of a name that is known: a borrow that is returned can't be taken again.
        if self.known.contains_key(name) || self.known.len() < MAX_NAMES {
            if !self.known.contains_key(name) {
                self.known.insert(name.to_owned(), T::default());
            }
            return self.known.get_mut(name).unwrap_or(&mut self.rest);
        }
        self.is_full = true;
        &mut self.rest
    }
}

/// The first `top` names and the sum of the others.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ranked<T> {
    pub(super) top: Vec<Row<T>>,
    /// Distinct names.
    pub(super) names: usize,
    /// There are more names than were counted apart: the later ones are in `other`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) at_least: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) other: Option<T>,
}

#[derive(Debug, Serialize)]
pub(super) struct Row<T> {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) sum: T,
}

/// What is added up.
pub(super) trait Sum: Default {
    /// By what it is ranked.
    fn weight(&self) -> u128;
    fn add(&mut self, other: &Self);
}

impl<T: Sum> Names<T> {
    pub(super) fn ranked(self, top: usize) -> Ranked<T> {
        let names = self.known.len();
        let mut rows: Vec<Row<T>> = self.known.into_iter().map(|(name, sum)| Row { name, sum }).collect();
        rows.sort_by(|one, other| other.sum.weight().cmp(&one.sum.weight()).then_with(|| one.name.cmp(&other.name)));
        let mut other = self.rest;
        let below = rows.split_off(top.min(rows.len()));
        below.iter().for_each(|row| other.add(&row.sum));
        let is_any = !below.is_empty() || self.is_full;
        Ranked { top: rows, names, at_least: self.is_full, other: is_any.then_some(other) }
    }
}

fn clip(name: &str) -> &str {
    let end = (0..=MAX_NAME.min(name.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    name.get(..end).unwrap_or_default()
}

/// Counts by size: exact below 64, then 32 steps to each doubling.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: u128,
    least: u64,
    most: u64,
}

/// Steps to a doubling.
const STEPS: u32 = 32;

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: Vec::new(), total: 0, sum: 0, least: u64::MAX, most: 0 }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, value: u64) {
        let place = place(value);
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.total += 1;
        self.sum += u128::from(value);
        (self.least, self.most) = (self.least.min(value), self.most.max(value));
    }

    /// The smallest value that at least this share, in thousandths, of all do not exceed: at most 3.2 % too large.
    fn percentile(&self, thousandths: u64) -> u64 {
        let wanted = (u128::from(self.total) * u128::from(thousandths)).div_ceil(1000).max(1);
        let mut below = 0u128;
        for (place, count) in self.counts.iter().enumerate() {
            below += u128::from(*count);
            if below >= wanted {
                return largest(place).min(self.most);
            }
        }
        self.most
    }

    pub(super) fn summary(&self) -> Option<Percentiles> {
        (self.total > 0).then(|| Percentiles {
            count: self.total,
            least: self.least,
            p50: self.percentile(500),
            p90: self.percentile(900),
            p95: self.percentile(950),
            p99: self.percentile(990),
            p999: self.percentile(999),
            most: self.most,
            mean: u64::try_from(self.sum / u128::from(self.total)).unwrap_or(u64::MAX),
            doublings: self.doublings(),
        })
    }

    /// Counts of `2^(n-1) <= value < 2^n`, from the first that has any.
    fn doublings(&self) -> Vec<Doubling> {
        let mut doublings: BTreeMap<u64, u64> = BTreeMap::new();
        for (place, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let below = largest(place).checked_add(1).and_then(u64::checked_next_power_of_two).unwrap_or(u64::MAX);
            *doublings.entry(below).or_default() += count;
        }
        doublings.into_iter().map(|(below, count)| Doubling { below, count }).collect()
    }
}

fn place(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    let place = match bits.checked_sub(6) {
        None | Some(0) => value,
        Some(shift) => u64::from(STEPS * shift) + (value >> shift),
    };
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The largest value of a place.
fn largest(place: usize) -> u64 {
    let place = place as u64;
    let shift = (place / u64::from(STEPS)).saturating_sub(1);
    let step = place - u64::from(STEPS) * shift;
    if shift == 0 { place } else { u64::try_from(((u128::from(step) + 1) << shift) - 1).unwrap_or(u64::MAX) }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Percentiles {
    pub(super) count: u64,
    pub(super) least: u64,
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p95: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) most: u64,
    pub(super) mean: u64,
    pub(super) doublings: Vec<Doubling>,
}

#[derive(Debug, Serialize)]
pub(super) struct Doubling {
    pub(super) below: u64,
    pub(super) count: u64,
}

/// The widths of columns, in seconds: each divides the next.
const WIDTHS: [u64; 13] =
    [60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_419_200, 31_449_600, 314_496_000, 3_144_960_000];
/// Columns that are held while records are read, and that are shown.
const MAX_HELD: usize = 4_096;
const MAX_SHOWN: u64 = 96;

/// Counts of `N` words over time.
#[derive(Debug)]
pub(super) struct Timeline<const N: usize> {
    columns: BTreeMap<u64, [u64; N]>,
    width: usize,
}

impl<const N: usize> Default for Timeline<N> {
    fn default() -> Timeline<N> {
        Timeline { columns: BTreeMap::new(), width: 0 }
    }
}

impl<const N: usize> Timeline<N> {
    fn secs(&self) -> u64 {
        WIDTHS.get(self.width).copied().unwrap_or(u64::MAX)
    }

    pub(super) fn add(&mut self, at: u64, word: usize) {
        let start = at - at % self.secs();
        if let Some(count) = self.columns.entry(start).or_insert([0; N]).get_mut(word) {
            *count += 1;
        }
        while self.columns.len() > MAX_HELD {
            self.widen();
        }
    }

    fn widen(&mut self) {
        self.width += 1;
        let secs = self.secs();
        for (at, counts) in std::mem::take(&mut self.columns) {
            let sums = self.columns.entry(at - at % secs).or_insert([0; N]);
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }

    /// The columns from the first to the last, the empty ones too, and their width in seconds.
    pub(super) fn shown(mut self) -> (u64, Vec<(u64, [u64; N])>) {
        let span =
            |columns: &BTreeMap<u64, [u64; N]>| Some((*columns.first_key_value()?.0, *columns.last_key_value()?.0));
        while let Some((first, last)) = span(&self.columns)
            && (last - first) / self.secs() >= MAX_SHOWN
            && self.width + 1 < WIDTHS.len()
        {
            self.widen();
        }
        let secs = self.secs();
        let Some((first, last)) = span(&self.columns) else { return (secs, Vec::new()) };
        let starts = (first..=last).step_by(usize::try_from(secs).unwrap_or(usize::MAX));
        let columns = starts.map(|at| (at, self.columns.get(&at).copied().unwrap_or([0; N])));
        (secs, columns.collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The sketch against all values, sorted.
        #[test]
        fn percentiles_are_as_near_as_is_said(
            values in prop::collection::vec(prop_oneof![0u64..200, any::<u64>()], 1..300),
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.add(*value));
            let mut sorted = values;
            sorted.sort_unstable();
            for thousandths in [1, 500, 900, 990, 999, 1000] {
                let rank = (sorted.len() as u64 * thousandths).div_ceil(1000).max(1) - 1;
                let exact = sorted[usize::try_from(rank).unwrap()];
                let told = histogram.percentile(thousandths);
                let is_near = told >= exact && u128::from(told - exact) * 1000 <= u128::from(exact) * 32;
                prop_assert!(is_near, "{told} for {exact}");
            }
            prop_assert_eq!(histogram.doublings().iter().map(|one| one.count).sum::<u64>(), sorted.len() as u64);
        }

        /// Nothing is lost by wider columns.
        #[test]
        fn columns_hold_every_record(times in prop::collection::vec(0u64..253_402_300_800, 1..400)) {
            let mut timeline = Timeline::<1>::default();
            times.iter().for_each(|at| timeline.add(*at, 0));
            let (secs, columns) = timeline.shown();
            prop_assert!(columns.len() <= 97);
            prop_assert_eq!(columns.iter().map(|(_, [count])| count).sum::<u64>(), times.len() as u64);
            for (at, [count]) in columns {
                let within = times.iter().filter(|time| (at..at + secs).contains(*time)).count() as u64;
                prop_assert_eq!(count, within);
            }
        }
    }
}
