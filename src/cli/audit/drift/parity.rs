//! Whether groups are refused, masked and answered alike.

use serde::Serialize;

use super::By;
use super::compare::{Limits, State};
use super::profile::{Outcomes, Profile, Slice};
use super::statistics::{chi_square, newcombe, number, wilson};

/// Rates whose ratio is between these are alike: the four-fifths rule (29 CFR 1607.4 D) and its inverse.
const ALIKE: std::ops::RangeInclusive<f64> = 0.8..=1.25;

/// One rate of one name, against all other names of the dimension together.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::audit) struct Parity {
    pub(in crate::cli::audit) by: &'static str,
    pub(in crate::cli::audit) name: String,
    /// `blocked`, `blockedForContent`, `changed` or `refusedByModel`.
    pub(in crate::cli::audit) outcome: &'static str,
    pub(in crate::cli::audit) events: u64,
    pub(in crate::cli::audit) of: u64,
    pub(in crate::cli::audit) rate: f64,
    /// 95 %, Wilson.
    pub(in crate::cli::audit) interval: (f64, f64),
    pub(in crate::cli::audit) rest_events: u64,
    pub(in crate::cli::audit) rest_of: u64,
    pub(in crate::cli::audit) rest_rate: f64,
    pub(in crate::cli::audit) difference: f64,
    /// 95 %, Newcombe.
    pub(in crate::cli::audit) difference_interval: (f64, f64),
    /// `None`: the others have no event.
    pub(in crate::cli::audit) ratio: Option<f64>,
    pub(in crate::cli::audit) p: Option<f64>,
    pub(in crate::cli::audit) adjusted: Option<f64>,
    pub(in crate::cli::audit) state: State,
}

type Rate = (&'static str, fn(&Slice) -> (u64, u64));

const RATES: [Rate; 4] = [
    ("blocked", |slice| (slice.outcomes.blocked, slice.records)),
    ("blockedForContent", |slice| (slice.outcomes.blocked_for_content, slice.records)),
    ("changed", |slice| (slice.outcomes.changed, slice.records)),
    ("refusedByModel", |slice| {
        let Outcomes { answered, refused_by_model, .. } = slice.outcomes;
        (refused_by_model, answered)
    }),
];

/// Compares each name with the others of its dimension, where there are several.
pub(in crate::cli::audit) fn parity(now: &Profile, dimensions: &[By], limits: &Limits) -> Vec<Parity> {
    let mut found = Vec::new();
    for by in dimensions {
        let Some(names) = now.by.get(by).filter(|names| names.len() > 1) else { continue };
        for (outcome, rate) in RATES {
            let sum = |(events, of): (u64, u64), slice: &Slice| {
                let (more, of_more) = rate(slice);
                (events.saturating_add(more), of.saturating_add(of_more))
            };
            let all = names.values().fold((0, 0), sum);
            for (name, slice) in names {
                found.push(one((by.name(), name), outcome, rate(slice), all, limits));
            }
        }
    }
    found
}

fn one(
    (by, name): (&'static str, &str),
    outcome: &'static str,
    (events, of): (u64, u64),
    all: (u64, u64),
    limits: &Limits,
) -> Parity {
    let (rest_events, rest_of) = (all.0.saturating_sub(events), all.1.saturating_sub(of));
    let share = |events: u64, of: u64| if of == 0 { 0.0 } else { number(events) / number(of) };
    let (rate, rest_rate) = (share(events, of), share(rest_events, rest_of));
    let is_enough = of >= limits.least && rest_of >= limits.least;
    let rows = [[events, of.saturating_sub(events)], [rest_events, rest_of.saturating_sub(rest_events)]];
    let [own, rest] = &rows;
    let is_none = all.0 == 0 || all.0 == all.1;
    // Without any event all are alike; with a few, nobody can tell.
    let p = match chi_square(own, rest) {
        _ if !is_enough => None,
        Some(test) => Some(test.p),
        None => is_none.then_some(1.0),
    };
    Parity {
        by,
        name: name.to_owned(),
        outcome,
        events,
        of,
        rate,
        interval: wilson(events, of),
        rest_events,
        rest_of,
        rest_rate,
        difference: rate - rest_rate,
        difference_interval: newcombe((events, of), (rest_events, rest_of)),
        ratio: (rest_events > 0).then(|| rate / rest_rate),
        p,
        adjusted: None,
        state: if p.is_some() { State::Same } else { State::NotEnough },
    }
}

impl Parity {
    /// Says what follows from an adjusted p-value.
    pub(in crate::cli::audit) fn conclude(&mut self, adjusted: f64, limits: &Limits) {
        self.adjusted = Some(adjusted);
        let (low, high) = self.difference_interval;
        let is_off = self.ratio.is_none_or(|ratio| !ALIKE.contains(&ratio)) && self.difference != 0.0;
        if is_off && (low > 0.0 || high < 0.0) && adjusted <= limits.alpha {
            self.state = State::Differs;
        }
    }

    /// Roles and models may differ by design; groups are what one looks at for bias.
    pub(in crate::cli::audit) fn is_finding(&self) -> bool {
        self.state == State::Differs && self.by == By::Group.name()
    }
}
