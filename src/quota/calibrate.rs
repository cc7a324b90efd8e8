//! How far a model's own counts are from the estimate's, learned from requests that have ended.
//!
//! Kept by each worker's VM, for the models that it has seen. It scales the input that is reserved, and raises what is
//! charged for an answer that was not billed. It learns only from what an upstream has billed (see [`Ratios::learn`]). A
//! few requests of each caller are kept, and the ratio is the 75th percentile of all of them. A caller who sends texts that
//! are cheap for their length can't lower the others' estimates once these have three requests of their own, and nobody
//! can lower them below [`LEAST`]. What is used beyond a reservation is charged when it ends, whatever the ratio was.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::host::Timestamp;

/// The fixed-point form of 1.
const ONE: u64 = 256;
/// No ratio is less than a half,
pub const LEAST: u64 = ONE / 2;
/// or more than two.
pub const MOST: u64 = ONE * 2;
/// Models that are known at a time.
const MODELS: usize = 64;
/// Requests that are kept of a model,
const KEPT: usize = 32;
/// of them at most this many of one caller, and at least this many in all.
const EACH: usize = 8;
/// Of shorter texts the frame around them costs more than they do.
const SHORTEST: u64 = 32;
/// Seconds after which a request no longer counts.
const DAY: u64 = 86_400;

/// What is known of each model, by the route that leads to it. Takes at most 40 KiB.
#[derive(Debug)]
pub struct Ratios {
    /// Keys the names: a known one would let a caller prepare a model's name that meets another's.
    key: [u8; 16],
    models: Vec<Model>,
    /// Counts the uses.
    clock: u64,
}

/// One model.
#[derive(Debug)]
struct Model {
    name: u128,
    used: u64,
    /// The oldest first.
    samples: Vec<Sample>,
}

/// One request.
#[derive(Clone, Copy, Debug)]
struct Sample {
    caller: u64,
    at: u64,
    ratio: u64,
}

/// A request whose text was estimated, to learn from when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    model: u128,
    caller: u64,
    estimated: u64,
}

impl Gauge {
    /// The tokens of the text as [`Estimate`](crate::estimate::Estimate) counts them.
    pub fn estimated(&self) -> u64 {
        self.estimated
    }
}

impl Ratios {
    /// Nothing is known. The key must be random.
    pub fn new(key: [u8; 16]) -> Ratios {
        Ratios { key, models: Vec::new(), clock: 0 }
    }

    /// What to measure a request by, by the estimate of its text, in tokens.
    ///
    /// `caller`: who pays together: the tenant, or without one the subject.
    pub fn gauge(&self, route: &str, model: &str, caller: &[u8], estimated: u64) -> Gauge {
        let hash = |parts: [&[u8]; 2]| {
            let mut hasher = SipHasher24::new_with_key(&self.key);
            for part in parts {
                hasher.write(&(part.len() as u64).to_le_bytes());
                hasher.write(part);
            }
            hasher.finish128()
        };
        let caller = hash([&[], caller]).h1;
        Gauge { model: hash([route.as_bytes(), model.as_bytes()]).as_u128(), caller, estimated }
    }

    /// The tokens that the model is likely to count: the estimate itself until eight requests are known.
    pub fn tokens(&mut self, gauge: &Gauge, now: Timestamp) -> u64 {
        self.clock += 1;
        let Some(model) = self.models.iter_mut().find(|known| known.name == gauge.model) else {
            return gauge.estimated;
        };
        model.used = self.clock;
        let ratio = model.ratio(now.as_secs()).unwrap_or(ONE);
        gauge.estimated.saturating_mul(ratio).div_ceil(ONE)
    }

    /// The tokens of another text of the same model's that nobody has billed: never less than its estimate.
    pub fn raised(&mut self, gauge: &Gauge, estimated: u64, now: Timestamp) -> u64 {
        self.tokens(&Gauge { estimated, ..*gauge }, now).max(estimated)
    }

    /// A request has ended, and and what the upstream has billed for its input, in tokens.
    ///
    /// Give it only what was billed for exactly this text: of a whole reply that nobody changed, and no more than half of it
    /// from a cache. A count below a quarter of the estimate is taken for one without what a cache held, and teaches nothing.
    pub fn learn(&mut self, gauge: &Gauge, billed: u64, now: Timestamp) {
        if gauge.estimated < SHORTEST || billed < gauge.estimated / 4 {
            return;
        }
        let ratio = billed.saturating_mul(ONE).checked_div(gauge.estimated).unwrap_or(ONE).clamp(LEAST, MOST);
        let now = now.as_secs();
        self.clock += 1;
        let used = self.clock;
        let at = self.models.iter().position(|known| known.name == gauge.model);
        let model = match at.and_then(|at| self.models.get_mut(at)) {
            Some(model) => model,
            None => self.newcomer(gauge.model),
        };
        model.used = used;
        model.add(Sample { caller: gauge.caller, at: now, ratio });
    }

    /// Room for a model: instead of the one that was not used for longest, of those first whose ratio is not known.
    fn newcomer(&mut self, name: u128) -> &mut Model {
        if self.models.len() >= MODELS {
            let least =
                self.models.iter().enumerate().min_by_key(|(_, model)| (model.samples.len() >= EACH, model.used));
            let least = least.map_or(0, |(at, _)| at);
            self.models.swap_remove(least);
        }
        self.models.push_mut(Model { name, used: 0, samples: Vec::new() })
    }
}

impl Model {
    /// The 75th percentile of the ratios: one of four requests at most is estimated too low.
    fn ratio(&self, now: u64) -> Option<u64> {
        let fresh = || self.samples.iter().filter(|sample| sample.is_fresh(now)).map(|sample| sample.ratio);
        let count = fresh().count();
        if count < EACH {
            return None;
        }
        // Of at most 32, and sorting would take two kilobytes of the module.
        let is_enough = |ratio: &u64| fresh().filter(|other| other <= ratio).count() >= (count * 3).div_ceil(4);
        fresh().filter(is_enough).min()
    }

    fn add(&mut self, sample: Sample) {
        self.samples.retain(|known| known.is_fresh(sample.at));
        let own = || self.samples.iter().enumerate().filter(|(_, known)| known.caller == sample.caller);
        let oldest = match own().count() {
            EACH.. => own().next().map(|(at, _)| at),
            _ => (self.samples.len() >= KEPT).then_some(0),
        };
        if let Some(oldest) = oldest {
            self.samples.remove(oldest);
        }
        self.samples.push(sample);
    }
}

impl Sample {
    /// A clock that was set back makes nothing stay for ever.
    fn is_fresh(&self, now: u64) -> bool {
        now.abs_diff(self.at) < DAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn ratios() -> Ratios {
        Ratios::new([7; 16])
    }

    fn gauge(ratios: &Ratios, model: &str, caller: &str) -> Gauge {
        ratios.gauge("/v1/chat/completions", model, caller.as_bytes(), 1000)
    }

    /// A caller's requests, each estimated at 1000 tokens and billed so.
    fn teach(ratios: &mut Ratios, model: &str, caller: &str, billed: &[u64], now: Timestamp) {
        let gauge = gauge(ratios, model, caller);
        billed.iter().for_each(|billed| ratios.learn(&gauge, *billed, now));
    }

    /// What 1000 tokens become.
    fn thousand(ratios: &mut Ratios, model: &str, now: Timestamp) -> u64 {
        let gauge = gauge(ratios, model, "anybody");
        ratios.tokens(&gauge, now)
    }

    #[test]
    fn it_comes_to_what_the_upstream_counts_and_follows_it() {
        let mut ratios = ratios();
        teach(&mut ratios, "m", "a", &[1500; 7], NOW);
        assert_eq!(thousand(&mut ratios, "m", NOW), 1000, "too few");
        teach(&mut ratios, "m", "a", &[1500], NOW);
        assert_eq!(thousand(&mut ratios, "m", NOW), 1500);
        assert_eq!(thousand(&mut ratios, "another", NOW), 1000);
        // The model has a new tokenizer.
        teach(&mut ratios, "m", "a", &[750; 8], NOW);
        assert_eq!(thousand(&mut ratios, "m", NOW), 750);
        // Of mixed texts the dearer ones count.
        teach(&mut ratios, "m", "a", &[700, 800, 900, 1000, 1100, 1200, 1300, 1400], NOW);
        assert!((1195..=1200).contains(&thousand(&mut ratios, "m", NOW)));
        let later = Timestamp(NOW.0 + DAY * 1_000_000_000);
        assert_eq!(thousand(&mut ratios, "m", later), 1000, "what is a day old is forgotten");
        let before = Timestamp(NOW.0 - 2 * DAY * 1_000_000_000);
        assert_eq!(thousand(&mut ratios, "m", before), 1000, "and so it is when the clock was set back");
    }

    #[test]
    fn it_stays_within_its_bounds() {
        for (billed, comes_to) in [(0, 1000), (249, 1000), (250, 500), (499, 500), (2001, 2000), (u64::MAX, 2000)] {
            let mut ratios = ratios();
            teach(&mut ratios, "m", "a", &[billed; 40], NOW);
            assert_eq!(thousand(&mut ratios, "m", NOW), comes_to, "{billed}");
        }
        let mut ratios = ratios();
        let short = ratios.gauge("/", "m", b"a", SHORTEST - 1);
        (0..40).for_each(|_| ratios.learn(&short, 60, NOW));
        assert_eq!(ratios.models.len(), 0, "short texts teach nothing");
    }

    #[test]
    fn one_caller_alone_moves_nobody_elses_estimates() {
        // Down: three requests of anybody else are enough.
        let mut ratios = ratios();
        teach(&mut ratios, "m", "mallory", &[500; 1000], NOW);
        teach(&mut ratios, "m", "a", &[1000; 2], NOW);
        teach(&mut ratios, "m", "b", &[1100], NOW);
        teach(&mut ratios, "m", "mallory", &[500; 1000], NOW);
        assert_eq!(thousand(&mut ratios, "m", NOW), 1000);
        // Up: three others with eight each.
        for caller in ["a", "b", "c"] {
            teach(&mut ratios, "m", caller, &[900; 8], NOW);
        }
        teach(&mut ratios, "m", "mallory", &[2000; 1000], NOW);
        assert!(thousand(&mut ratios, "m", NOW) <= 900);
    }

    #[test]
    fn models_that_nobody_has_drive_out_none_that_is_known() {
        let mut ratios = ratios();
        teach(&mut ratios, "m", "a", &[1500; 8], NOW);
        for name in 0..1000 {
            teach(&mut ratios, &name.to_string(), "mallory", &[500], NOW);
        }
        assert_eq!((ratios.models.len(), thousand(&mut ratios, "m", NOW)), (MODELS, 1500));
        for name in 0..MODELS {
            teach(&mut ratios, &name.to_string(), "mallory", &[500; 8], NOW);
        }
        assert_eq!((ratios.models.len(), thousand(&mut ratios, "m", NOW)), (MODELS, 1000), "the estimate itself again");
    }

    proptest! {
        #[test]
        fn whatever_is_learned_an_estimate_stays_between_half_and_twice(
            seen in proptest::collection::vec((0u8..3, 0u8..4, any::<u64>(), 0u64..200_000, any::<u32>()), 0..200),
            // A body's bytes are a number far below.
            asked in 0..u64::MAX / 1024,
        ) {
            let mut ratios = ratios();
            for (model, caller, billed, estimated, secs) in seen {
                let gauge = ratios.gauge("/", &model.to_string(), &[caller], estimated);
                ratios.learn(&gauge, billed >> (billed % 64), Timestamp::from_secs(secs.into()));
                let asked = ratios.gauge("/", &model.to_string(), b"", asked);
                let tokens = ratios.tokens(&asked, Timestamp::from_secs(secs.into()));
                prop_assert!((asked.estimated() / 2..=asked.estimated() * 2).contains(&tokens));
                prop_assert!(ratios.models.iter().all(|model| model.samples.len() <= KEPT));
            }
        }
    }
}
