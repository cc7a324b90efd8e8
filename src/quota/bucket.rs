//! The arithmetic of one bucket, in nanoseconds: GCRA, and reservations beside it. Pure.
//!
//! A bucket is an arrival time (what was used, draining by itself) and what is held for requests that are
//! in flight, which does not drain. Used and held together never pass the bucket's depth when a request is
//! let in.
//!
//! With fixed windows of the clock nothing drains within a window: every time is taken as the end of its window,
//! and the rest of the arithmetic stays as it is.
//!
//! A reservation ends by settlement, which takes it away and adds what was really used; or, when
//! nobody settles it (the VM died), by its time: then it counts as used in full. So none leaks.

/// The longest window of a policy: 31 days.
const MAX_WINDOW: u64 = 31 * 86_400 * 1_000_000_000;

/// The bounds on how long a reservation waits for its settlement: it is the bucket's depth within them.
const MIN_HELD: u64 = 60 * 1_000_000_000;
const MAX_HELD: u64 = 600 * 1_000_000_000;

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// The time that one unit costs, rounded up: never more than the policy's number a window.
    interval: u64,
    /// Units that may come at once, at least 1.
    burst: u64,
    /// The length of a fixed window; 0: what was used drains all the time.
    fixed: u64,
}

/// How a request is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charge {
    /// This many units are used.
    Use(u64),
    /// This many units are held until they are settled.
    Hold(u64),
}

/// What a bucket says to one more request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The request fits, and the bucket has changed. Else nothing has.
    pub(super) fits: bool,
    /// Units that could come at once after this.
    pub(super) remaining: u64,
    /// Until the bucket is full, if all that is held gets used.
    pub(super) reset: u64,
    /// Until the request can fit; 0 unless refused. What is held may come free any moment and is not
    /// waited for. `u64::MAX`: it never fits.
    pub(super) wait: u64,
    /// Names what was held, for its settlement.
    pub(super) mark: u64,
}

/// What is held by requests that began at about the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Time that their units cost.
    pub(super) cost: u64,
    /// When what nobody has settled counts as used.
    pub(super) until: u64,
}

/// One bucket's state. A bucket that was never used is all zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    /// The theoretical arrival time.
    pub(super) arrival: u64,
    /// Two generations of reservations: a third begins only when the first has ended.
    pub(super) held: [Held; 2],
}

impl Rate {
    /// `units` a `window`, at most `burst` at once.
    pub(super) fn new(units: u64, window: u64, burst: u64) -> Rate {
        let units = units.max(1);
        Rate { interval: window.min(MAX_WINDOW).div_ceil(units).max(1), burst: burst.clamp(1, units), fixed: 0 }
    }

    /// `units` in every window of the clock, at most `burst`: what is left when it ends is gone.
    pub(super) fn fixed(units: u64, window: u64, burst: u64) -> Rate {
        let (units, window) = (units.max(1), window.clamp(1, MAX_WINDOW));
        // Rounded down, so that a window's units fit into its time.
        Rate { interval: (window / units).max(1), burst: burst.clamp(1, units), fixed: window }
    }

    /// The time that counts: now, or the end of the window that it lies in.
    pub(super) fn clock(&self, now: u64) -> u64 {
        match now.checked_rem(self.fixed) {
            None => now,
            Some(into) => now.saturating_add(self.fixed - into),
        }
    }

    /// The time an empty bucket takes to fill.
    pub(super) fn depth(&self) -> u64 {
        self.cost(self.burst)
    }

    fn cost(&self, units: u64) -> u64 {
        self.interval.saturating_mul(units)
    }

    /// How long until so much time is drained: with fixed windows, until the last one that it needs ends.
    fn until(&self, span: u64, clock: u64, now: u64) -> u64 {
        match span.checked_div(self.fixed) {
            None => span,
            Some(_) if span == 0 => 0,
            Some(_) => {
                let more = span.div_ceil(self.fixed).saturating_sub(1).saturating_mul(self.fixed);
                (clock - now).saturating_add(more)
            }
        }
    }

    /// A reservation lasts at least this long, and at most twice as long.
    fn patience(&self) -> u64 {
        self.depth().clamp(MIN_HELD, MAX_HELD)
    }
}

impl Level {
    /// A bucket that is used up to a time.
    pub(super) fn at(arrival: u64) -> Level {
        Level { arrival, ..Level::default() }
    }

    /// Asks for units; takes them if they fit.
    pub(super) fn ask(&mut self, rate: &Rate, charge: Charge, now: u64) -> Answer {
        self.expire(now);
        let (Charge::Use(units) | Charge::Hold(units)) = charge;
        let (cost, held) = (rate.cost(units), self.held_cost());
        let clock = rate.clock(now);
        let used = self.arrival.max(clock);
        let latest = clock.saturating_add(rate.depth());
        let next = used.saturating_add(held).saturating_add(cost);
        if next > latest {
            let wait = match used.saturating_add(cost) {
                _ if cost > rate.depth() => u64::MAX,
                alone if alone > latest => rate.until(alone - latest, clock, now),
                _ => 1,
            };
            let full = used.saturating_add(held);
            let remaining = latest.saturating_sub(full) / rate.interval;
            return Answer { fits: false, remaining, reset: rate.until(full - clock, clock, now), wait, mark: 0 };
        }
        let mut mark = 0;
        match charge {
            Charge::Use(_) => self.arrival = used.saturating_add(cost),
            Charge::Hold(_) => mark = self.hold(cost, rate, now),
        }
        let reset = rate.until(next - clock, clock, now);
        Answer { fits: true, remaining: (latest - next) / rate.interval, reset, wait: 0, mark }
    }

    /// Ends a reservation of `held` units: `used` of them count as used now, also when that is more.
    ///
    /// One whose time has come counted as used in full then, and stays so. What was used beyond a
    /// reservation makes later requests wait, but never longer than one more window. What it gives is the units that
    /// counted as used before and after.
    pub(super) fn settle(&mut self, rate: &Rate, mark: u64, held: u64, used: u64, now: u64) -> (u64, u64) {
        self.expire(now);
        let clock = rate.clock(now);
        let in_use = |arrival: u64| arrival.saturating_sub(clock) / rate.interval;
        let before = in_use(self.arrival);
        let Some(of) = self.held.iter_mut().find(|of| of.until == mark && of.cost > 0) else { return (before, before) };
        of.cost = of.cost.saturating_sub(rate.cost(held));
        if used > 0 {
            let most = clock.saturating_add(rate.depth().saturating_mul(2)).max(self.arrival);
            self.arrival = self.arrival.max(clock).saturating_add(rate.cost(used)).min(most);
        }
        (before, in_use(self.arrival))
    }

    /// Gives units back that were charged as used at `charged`.
    ///
    /// What passed since then is not given back: without this request the bucket may have been full
    /// all that time, and a full bucket gains nothing by waiting. So giving back never loosens.
    pub(super) fn give_back(&mut self, rate: &Rate, units: u64, charged: u64, now: u64) {
        let elapsed = rate.clock(now).saturating_sub(rate.clock(charged));
        self.arrival = self.arrival.saturating_sub(rate.cost(units).saturating_sub(elapsed));
    }

    /// True when the bucket is as good as one that was never used.
    pub(super) fn is_full(&self, now: u64) -> bool {
        let mut later = *self;
        later.expire(now);
        later.arrival <= now && later.held_cost() == 0
    }

    /// When everything would be drained if all that is held were used now.
    pub(super) fn drained(&self, now: u64) -> u64 {
        match self.held_cost() {
            0 => self.arrival,
            held => self.arrival.max(now).saturating_add(held),
        }
    }

    /// Every time in it, to move them when the clock was set back.
    pub(super) fn times(&mut self) -> impl Iterator<Item = &mut u64> {
        let ends = self.held.iter_mut().filter(|of| of.cost > 0).map(|of| &mut of.until);
        std::iter::once(&mut self.arrival).chain(ends)
    }

    fn held_cost(&self) -> u64 {
        self.held.iter().fold(0, |sum, of| sum.saturating_add(of.cost))
    }

    /// What nobody has settled in its time counts as used from then on.
    fn expire(&mut self, now: u64) {
        for of in self.held.iter_mut().filter(|of| of.until <= now) {
            if of.cost > 0 {
                self.arrival = self.arrival.max(of.until).saturating_add(of.cost);
            }
            *of = Held::default();
        }
    }

    fn hold(&mut self, cost: u64, rate: &Rate, now: u64) -> u64 {
        let patience = rate.patience();
        let [older, newer] = &mut self.held;
        if newer.until < now.saturating_add(patience) {
            // The older generation has ended by now, except where buckets of several quotas meet: then it
            // lasts as long as the next. What can't be named any more ends by its time.
            let left = older.cost.saturating_add(newer.cost);
            *older = Held { cost: left, until: if left == 0 { 0 } else { older.until.max(newer.until) } };
            *newer = Held { cost: 0, until: rate.clock(now.saturating_add(patience.saturating_mul(2))) };
        }
        newer.cost = newer.cost.saturating_add(cost);
        newer.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_then_one_an_interval() {
        let rate = Rate::new(60, 60_000, 3);
        let mut level = Level::default();
        for expected in [2, 1, 0] {
            let answer = level.ask(&rate, Charge::Use(1), 5_000);
            assert_eq!((answer.fits, answer.remaining), (true, expected));
        }
        let refused = level.ask(&rate, Charge::Use(1), 5_000);
        assert_eq!(refused, Answer { fits: false, remaining: 0, reset: 3_000, wait: 1_000, mark: 0 });
        assert_eq!(level.ask(&rate, Charge::Use(1), 5_999).wait, 1);
        assert!(level.ask(&rate, Charge::Use(1), 6_000).fits);
        assert_eq!(level.arrival, 9_000);
    }

    #[test]
    fn what_is_held_does_not_drain_and_what_is_settled_does() {
        let rate = Rate::new(100, 100 * SECOND, 100);
        let mut level = Level::default();
        let now = 1_000 * SECOND;
        let first = level.ask(&rate, Charge::Hold(60), now);
        assert_eq!((first.fits, first.remaining), (true, 40));
        let later = now + 30 * SECOND;
        assert!(!level.ask(&rate, Charge::Hold(41), later).fits, "nothing drains");
        let second = level.ask(&rate, Charge::Hold(40), later);
        assert!(second.fits);
        let refused = level.ask(&rate, Charge::Hold(1), later);
        assert_eq!((refused.fits, refused.wait), (false, 1), "a settlement may make room at once");
        level.settle(&rate, first.mark, 60, 10, later);
        level.settle(&rate, second.mark, 40, 0, later);
        let third = level.ask(&rate, Charge::Hold(90), later);
        assert_eq!((third.fits, third.remaining), (true, 0));
        level.settle(&rate, third.mark, 90, 95, later);
        let refused = level.ask(&rate, Charge::Use(1), later);
        assert_eq!((refused.fits, refused.wait), (false, 6 * SECOND), "what was used beyond is waited for");
        assert_eq!(level.ask(&rate, Charge::Hold(101), later).wait, u64::MAX);
    }

    #[test]
    fn a_reservation_that_nobody_settles_is_used_when_its_time_has_come() {
        let rate = Rate::new(100, 100 * SECOND, 100);
        let mut level = Level::default();
        let now = 1_000 * SECOND;
        let lost = level.ask(&rate, Charge::Hold(100), now);
        // It lasts 100 to 200 seconds, and then drains.
        assert!(!level.ask(&rate, Charge::Use(1), now + 199 * SECOND).fits);
        assert!(!level.ask(&rate, Charge::Use(1), now + 200 * SECOND).fits);
        assert!(level.ask(&rate, Charge::Use(50), now + 250 * SECOND).fits);
        let before = level;
        level.settle(&rate, lost.mark, 100, 0, now + 250 * SECOND);
        assert_eq!(level, before, "too late");
        assert!(level.is_full(now + 400 * SECOND));
    }

    #[test]
    fn a_fixed_window_begins_anew_and_drains_nothing_before() {
        let rate = Rate::fixed(3, 60 * SECOND, 3);
        let mut level = Level::default();
        let start = 6_000 * SECOND;
        for expected in [2, 1, 0] {
            let answer = level.ask(&rate, Charge::Use(1), start + 10 * SECOND);
            assert_eq!((answer.fits, answer.remaining, answer.reset), (true, expected, 50 * SECOND));
        }
        let refused = level.ask(&rate, Charge::Use(1), start + 59 * SECOND);
        assert_eq!((refused.fits, refused.wait), (false, SECOND));
        assert!(!level.is_full(start + 59 * SECOND));
        assert_eq!(level.ask(&rate, Charge::Use(1), start + 60 * SECOND).remaining, 2);
        // What was used beyond a reservation is missing in the next window.
        let held = level.ask(&rate, Charge::Hold(2), start + 61 * SECOND);
        level.settle(&rate, held.mark, 2, 4, start + 62 * SECOND);
        let later = level.ask(&rate, Charge::Use(1), start + 120 * SECOND);
        assert_eq!((later.fits, later.remaining), (true, 0));
        // And given back is what was taken in the same window alone.
        level.give_back(&rate, 1, start + 120 * SECOND, start + 130 * SECOND);
        assert!(level.ask(&rate, Charge::Use(1), start + 130 * SECOND).fits);
        level.ask(&rate, Charge::Use(1), start + 180 * SECOND);
        level.give_back(&rate, 1, start + 130 * SECOND, start + 180 * SECOND);
        assert_eq!(level.ask(&rate, Charge::Use(1), start + 180 * SECOND).remaining, 1);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let cases = [(1, u64::MAX, 1), (u64::MAX, 1, u64::MAX), (0, 0, 0), (1_000_000_000, 1, 1)];
        for rate in cases.into_iter().flat_map(|(a, b, c)| [Rate::new(a, b, c), Rate::fixed(a, b, c)]) {
            for arrival in [0, u64::MAX] {
                for now in [0, u64::MAX] {
                    for amount in [0, 1, u64::MAX] {
                        let mut level = Level::at(arrival);
                        level.ask(&rate, Charge::Use(amount), now);
                        let mark = level.ask(&rate, Charge::Hold(amount), now).mark;
                        level.settle(&rate, mark, amount, u64::MAX, now);
                        level.give_back(&rate, amount, now, arrival);
                        level.drained(now);
                        level.is_full(u64::MAX);
                    }
                }
            }
        }
    }

    proptest! {
        /// In every stretch of time no more pass than the burst and what the rate adds.
        #[test]
        fn never_more_than_burst_and_rate(
            units in 1u64..50,
            window in 1u64..10_000,
            burst in 1u64..50,
            gaps in prop::collection::vec(0u64..400, 1..200),
            refunds in prop::collection::vec(any::<bool>(), 200),
        ) {
            let rate = Rate::new(units, window, burst);
            let burst = u128::from(burst.min(units));
            let (mut level, mut now) = (Level::default(), 1_000);
            let mut passed: Vec<u64> = Vec::new();
            for (gap, refund) in gaps.into_iter().zip(refunds) {
                let charged = now;
                let answer = level.ask(&rate, Charge::Use(1), now);
                now += gap;
                if !answer.fits {
                    continue;
                }
                if refund {
                    level.give_back(&rate, 1, charged, now);
                } else {
                    passed.push(charged);
                }
            }
            for (first, start) in passed.iter().enumerate() {
                for (last, end) in passed.iter().enumerate().skip(first) {
                    let count = (last - first + 1) as u128;
                    // count <= burst + elapsed / interval, and interval >= window / units.
                    prop_assert!((count - burst.min(count)) * u128::from(window) <= u128::from(end - start) * u128::from(units));
                }
            }
        }

        /// In no fixed window more are used than its units, whatever is held, settled, or never settled.
        #[test]
        fn no_fixed_window_passes_its_units(
            units in 1u64..60,
            window in 1u64..200,
            steps in prop::collection::vec((0u8..5, 1u64..40, 0u64..40, 0u64..90), 1..150),
        ) {
            let rate = Rate::fixed(units, window * SECOND, units);
            let (mut level, mut now) = (Level::default(), 1_000 * SECOND);
            let mut open: Vec<(u64, u64)> = Vec::new();
            let mut used: std::collections::BTreeMap<u64, u64> = std::collections::BTreeMap::new();
            for (kind, amount, part, gap) in steps {
                now += gap * SECOND;
                let place = now / (window * SECOND);
                match kind {
                    0 if level.ask(&rate, Charge::Use(amount), now).fits => *used.entry(place).or_default() += amount,
                    1 | 2 => {
                        let answer = level.ask(&rate, Charge::Hold(amount), now);
                        if answer.fits {
                            open.push((answer.mark, amount));
                        }
                    }
                    3 if !open.is_empty() => {
                        let (mark, held) = open.swap_remove(part as usize % open.len());
                        let real = part.min(held);
                        level.settle(&rate, mark, held, real, now);
                        if now < mark {
                            *used.entry(place).or_default() += real;
                        }
                    }
                    _ => {}
                }
                prop_assert!(used.get(&place).is_none_or(|sum| *sum <= units));
            }
            prop_assert!(level.is_full(now + 2 * MAX_HELD + 6 * window * SECOND));
        }

        /// Reservations that are settled with at most what they held, late, or never: in every stretch of
        /// time no more is used than the burst and what the rate adds; and the bucket always fills again.
        #[test]
        fn reservations_never_pass_the_limit_and_none_leaks(
            units in 1u64..200,
            window in 1u64..1_000,
            steps in prop::collection::vec((0u8..4, 1u64..60, 0u64..60, 0u64..90), 1..120),
        ) {
            let rate = Rate::new(units, window * SECOND, units);
            let (mut level, mut now) = (Level::default(), 1_000 * SECOND);
            let mut open: Vec<(u64, u64, u64)> = Vec::new();
            let mut used: Vec<(u64, u64)> = Vec::new();
            for (kind, amount, part, gap) in steps {
                now += gap * SECOND;
                match (kind, open.is_empty()) {
                    (2, false) => {
                        let (mark, held, _) = open.swap_remove(part as usize % open.len());
                        let real = part.min(held);
                        level.settle(&rate, mark, held, real, now);
                        // Whatever time between its beginning and its end counts as that of its use.
                        used.push((now.min(mark), real));
                    }
                    (3, false) => {
                        // The VM died: nobody settles this.
                        open.swap_remove(part as usize % open.len());
                    }
                    _ => {
                        let answer = level.ask(&rate, Charge::Hold(amount), now);
                        if answer.fits {
                            open.push((answer.mark, amount, now));
                        }
                    }
                }
            }
            used.sort_unstable();
            for (first, (start, _)) in used.iter().enumerate() {
                let mut sum = 0u128;
                for (end, amount) in used.iter().skip(first) {
                    sum += u128::from(*amount);
                    let over = sum.saturating_sub(u128::from(units));
                    prop_assert!(over * u128::from(window * SECOND) <= u128::from(end - start) * u128::from(units));
                }
            }
            prop_assert!(level.is_full(now + 2 * MAX_HELD + 3 * rate.depth()));
        }
    }
}
