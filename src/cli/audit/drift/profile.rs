//! What records add up to: counts by bucket and by word, of all records and of each model, role and group.
//!
//! Counts can be added, so that neither the order of records nor the number of files matters.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::By;
use super::sample::Sample;
use crate::cli::records::{self, Seen};

/// The version of the baseline's form.
const VERSION: u32 = 1;
/// A larger file is no baseline.
pub(super) const MAX_FILE: u64 = 64 << 20;
/// Names of one dimension that are counted apart; the records of later ones are in the sum of all.
const MAX_NAMES: usize = 2_000;
/// Names of one dimension that a baseline keeps: those with the most records.
const MAX_KEPT: usize = 20;
/// Words of one kind; later ones are `(others)`.
const MAX_WORDS: usize = 200;
const OTHERS: &str = "(others)";
/// The bytes of a name or a word that are kept.
const MAX_NAME: usize = 128;
/// Buckets of a number: exact below 16, then 8 steps to each doubling.
const STEPS: u32 = 8;
pub(super) const BUCKETS: u32 = bucket(u64::MAX) + 1;

/// The bucket of a number.
pub(super) const fn bucket(value: u64) -> u32 {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(STEPS.trailing_zeros() + 1);
    // At most 2 * STEPS after the shift.
    #[allow(clippy::cast_possible_truncation, reason = "below 16")]
    let step = (value >> shift) as u32;
    STEPS * shift + step
}

/// The largest number of a bucket.
pub(super) fn largest(bucket: u32) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    let step = u128::from(bucket - STEPS * shift);
    u64::try_from(((step + 1) << shift) - 1).unwrap_or(u64::MAX)
}

/// How often things came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Outcomes {
    pub(super) blocked: u64,
    /// Refused for what was found in the text.
    pub(super) blocked_for_content: u64,
    /// Masked or replaced.
    pub(super) changed: u64,
    /// Requests of which something of a model's reply is known.
    pub(super) answered: u64,
    /// Of these: the model or its provider refused.
    pub(super) refused_by_model: u64,
}

impl Outcomes {
    fn add(&mut self, other: &Outcomes) {
        self.blocked = self.blocked.saturating_add(other.blocked);
        self.blocked_for_content = self.blocked_for_content.saturating_add(other.blocked_for_content);
        self.changed = self.changed.saturating_add(other.changed);
        self.answered = self.answered.saturating_add(other.answered);
        self.refused_by_model = self.refused_by_model.saturating_add(other.refused_by_model);
    }
}

/// Records of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Slice {
    pub(super) records: u64,
    pub(super) outcomes: Outcomes,
    /// By feature and bucket.
    pub(super) numbers: BTreeMap<String, BTreeMap<u32, u64>>,
    /// By feature and word.
    pub(super) words: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Slice {
    fn record(&mut self, sample: &Sample<'_>) {
        self.records = self.records.saturating_add(1);
        self.outcomes.add(&Outcomes {
            blocked: sample.is_blocked().into(),
            blocked_for_content: sample.is_blocked_for_content().into(),
            changed: sample.is_changed().into(),
            answered: sample.is_answered().into(),
            refused_by_model: sample.is_refused().into(),
        });
        for (feature, value) in sample.numbers() {
            if let Some(value) = value {
                count(self.numbers.entry(feature.to_owned()).or_default().entry(bucket(value)).or_default(), 1);
            }
        }
        for (feature, word) in sample.words() {
            if let Some(word) = word {
                self.word(feature, &word, 1);
            }
        }
    }

    fn word(&mut self, feature: &str, word: &str, by: u64) {
        let words = self.words.entry(feature.to_owned()).or_default();
        let word = clip(word);
        let word = if words.len() < MAX_WORDS || words.contains_key(word) { word } else { OTHERS };
        count(words.entry(word.to_owned()).or_default(), by);
    }

    fn add(&mut self, other: &Slice) {
        self.records = self.records.saturating_add(other.records);
        self.outcomes.add(&other.outcomes);
        for (feature, buckets) in &other.numbers {
            let own = self.numbers.entry(feature.clone()).or_default();
            buckets.iter().for_each(|(bucket, by)| count(own.entry(*bucket).or_default(), *by));
        }
        for (feature, words) in &other.words {
            words.iter().for_each(|(word, by)| self.word(feature, word, *by));
        }
    }
}

fn count(place: &mut u64, by: u64) {
    *place = place.saturating_add(by);
}

fn clip(name: &str) -> &str {
    let end = (0..=MAX_NAME.min(name.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    name.get(..end).unwrap_or_default()
}

/// Names of one dimension and their records.
pub(super) type Names = BTreeMap<String, Slice>;

/// What records add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::cli::audit) struct Profile {
    /// The version of the form.
    bartizan_drift: u32,
    /// The times of the first and the last record, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<u64>,
    pub(super) all: Slice,
    pub(super) by: BTreeMap<By, Names>,
}

/// Lines of logs, as they were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Lines {
    pub(super) all: u64,
    pub(super) records: u64,
    pub(super) duplicates: u64,
    pub(super) outside: u64,
    pub(super) foreign: u64,
    pub(super) broken: u64,
}

/// A profile that is being made of logs.
pub(in crate::cli::audit) struct Counting {
    pub(super) lines: Lines,
    profile: Profile,
    seen: Seen,
}

impl Counting {
    pub(in crate::cli::audit) fn new() -> Counting {
        let profile = Profile { bartizan_drift: VERSION, ..Profile::default() };
        Counting { lines: Lines::default(), profile, seen: Seen::new() }
    }

    /// A line of a log; `None` is one that is too long.
    pub(in crate::cli::audit) fn line(&mut self, line: Option<&[u8]>, range: (Option<u64>, Option<u64>)) {
        self.lines.all += 1;
        let line = line.and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
        let mut is_broken = false;
        let mut take = |json: &str| {
            // What is behind the object is none of the record's.
            let mut samples = serde_json::Deserializer::from_str(json).into_iter::<Sample<'_>>();
            match samples.next() {
                Some(Ok(sample)) if sample.dataset.as_ref().is_some_and(|name| name.0 == "bartizan.audit") => {
                    self.sample(&sample, range);
                    return Some(samples.byte_offset());
                }
                Some(Err(_)) => is_broken |= json.contains("\"bartizan.audit\""),
                _ => {}
            }
            None
        };
        if !records::open(line, &mut take) {
            self.lines.broken += u64::from(is_broken);
            self.lines.foreign += u64::from(!is_broken);
        }
    }

    fn sample(&mut self, sample: &Sample<'_>, (since, until): (Option<u64>, Option<u64>)) {
        let at = sample.timestamp.as_ref().and_then(|time| crate::cli::replay::seconds(&time.0));
        let is_outside = since.is_some_and(|since| at.is_none_or(|at| at < since))
            || until.is_some_and(|until| at.is_none_or(|at| at >= until));
        if is_outside {
            self.lines.outside += 1;
        } else if self.is_new(sample) {
            self.lines.records += 1;
            self.profile.record(sample, at);
        } else {
            self.lines.duplicates += 1;
        }
    }

    fn is_new(&mut self, sample: &Sample<'_>) -> bool {
        let time = sample.timestamp.as_ref().map(|time| &*time.0);
        let worker = sample.worker.as_ref().map(|worker| &*worker.0).filter(|worker| !worker.is_empty());
        let request = sample.request_id.as_ref().map(|request| &*request.0);
        self.seen.is_new_record(worker.zip(sample.sequence), request, time)
    }

    pub(in crate::cli::audit) fn profile(self) -> Profile {
        self.profile
    }
}

impl Profile {
    fn record(&mut self, sample: &Sample<'_>, at: Option<u64>) {
        self.span(at, at);
        self.all.record(sample);
        for by in By::ALL {
            let name = sample.name(by);
            self.all.word(by.name(), name.unwrap_or("(none)"), 1);
            let Some(name) = name.map(clip) else { continue };
            let names = self.by.entry(by).or_default();
            if names.len() < MAX_NAMES || names.contains_key(name) {
                names.entry(name.to_owned()).or_default().record(sample);
            }
        }
    }

    fn span(&mut self, first: Option<u64>, last: Option<u64>) {
        // `None` is less than any time.
        self.first = self.first.into_iter().chain(first).min();
        self.last = self.last.max(last);
    }

    /// Adds the records of another.
    pub(super) fn add(&mut self, other: &Profile) {
        self.bartizan_drift = VERSION;
        self.span(other.first, other.last);
        self.all.add(&other.all);
        for (by, names) in &other.by {
            let own = self.by.entry(*by).or_default();
            for (name, slice) in names {
                if own.len() < MAX_NAMES || own.contains_key(name) {
                    own.entry(name.clone()).or_default().add(slice);
                }
            }
        }
    }

    /// The text of a baseline.
    pub(super) fn to_text(&self) -> anyhow::Result<String> {
        let mut kept = self.clone();
        for names in kept.by.values_mut() {
            let mut order: Vec<(u64, String)> = names.iter().map(|(name, one)| (one.records, name.clone())).collect();
            order.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
            for (_, name) in order.into_iter().skip(MAX_KEPT) {
                names.remove(&name);
            }
        }
        Ok(serde_json::to_string(&kept)? + "\n")
    }

    /// Reads a baseline.
    pub(super) fn from_text(text: &str) -> anyhow::Result<Profile> {
        let profile: Profile = serde_json::from_str(text).context("no baseline of bartizan audit drift")?;
        if profile.bartizan_drift != VERSION {
            bail!("a baseline of form {}, expected {VERSION}", profile.bartizan_drift);
        }
        let slices = profile.by.values().flat_map(BTreeMap::values).chain([&profile.all]);
        for slice in slices {
            let buckets = slice.numbers.values().flat_map(BTreeMap::keys);
            ensure!(buckets.clone().all(|bucket| *bucket < BUCKETS), "a bucket that no number has");
        }
        Ok(profile)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_are_in_order_and_one_eighth_wide(value in any::<u64>()) {
            let place = bucket(value);
            prop_assert!(place < BUCKETS && largest(place) >= value);
            prop_assert!(place == 0 || largest(place - 1) < value);
            prop_assert!(value < 16 && largest(place) == value
                || u128::from(largest(place)) <= u128::from(value) + u128::from(value / 8));
        }
    }
}
