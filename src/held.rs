//! Streams that are held: how many there may be, and which of them a tick turns to.
//!
//! What a callback does to other streams than its own, an answer or a release, Envoy carries out when the callback has
//! returned, each inside the one before: an answer runs the filter once more, for the answer's own headers, and what is
//! left to do is done when that returns. At some 300 of them the stack is full and the VM dies. So only the tick acts on
//! other streams, on [`MAX_ACTS`] of them at most, and the next tick follows soon while others are left.
//!
//! ```
//! use bartizan::held::{HeldStreams, Turn, Why};
//!
//! let mut held = HeldStreams::default();
//! assert!(held.hold(7, Why::Call(2_000), 1_000, "a stream"));
//! assert!(held.next(&mut Turn::new(1_500)).is_none(), "an answer comes by itself");
//! assert!(held.next(&mut Turn::new(2_000)).unwrap().is_late);
//! ```

use std::collections::{BTreeMap, BTreeSet};

/// A tick answers or releases at most this many streams.
pub const MAX_ACTS: usize = 32;
/// A tick looks at most at this many streams that may go on. A look costs about as much as a request's headers.
pub const MAX_LOOKS: usize = 256;
/// At most this many streams wait for keys, for a call or for the next slice of their scan.
pub const MAX_WAITING: usize = 1024;
/// At most this many streams wait for the first byte of their body.
pub const MAX_BODIES: usize = 4096;
/// A stream that has no byte of its body after this long is ended, in nanoseconds.
pub const MAX_BODY_WAIT: u64 = 10 * SECOND;

const SECOND: u64 = 1_000_000_000;

/// What a held stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The first byte of its body.
    Body,
    /// An issuer's keys, until this time (nanoseconds).
    Keys(u64),
    /// The answer to its call, until this time.
    Call(u64),
    /// The next slice of its scan, until this time.
    Scan(u64),
}

/// The held streams of one worker, by the number of their context.
#[derive(Debug)]
pub struct HeldStreams<S> {
    streams: BTreeMap<u32, (Why, u64, S)>,
    bodies: usize,
    /// Those of them that are scanned.
    scans: BTreeSet<u32>,
    /// Where the next tick goes on, so that each stream has its turn.
    next: u32,
    /// The same for the next slice of a scan.
    next_scan: u32,
}

impl<S> Default for HeldStreams<S> {
    fn default() -> Self {
        HeldStreams { streams: BTreeMap::new(), bodies: 0, scans: BTreeSet::new(), next: 0, next_scan: 0 }
    }
}

/// A stream that a tick turns to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due<S> {
    /// Its context.
    pub context: u32,
    /// What it waits for.
    pub why: Why,
    /// It has waited long enough. Otherwise what it waits for may have come.
    pub is_late: bool,
    /// The stream.
    pub stream: S,
}

/// What one tick has done so far.
#[derive(Debug)]
pub struct Turn {
    now: u64,
    /// Streams that have not had their turn; `None`: the first one is still to come.
    left: Option<usize>,
    looks: usize,
    acts: usize,
}

impl Turn {
    /// The turn of a tick at this time (nanoseconds).
    pub fn new(now: u64) -> Turn {
        Turn { now, left: None, looks: 0, acts: 0 }
    }

    /// The stream was answered or released.
    pub fn acted(&mut self) {
        self.acts += 1;
    }

    /// True if the tick ended before all streams had their turn because it had acted on as many as it may.
    pub fn leaves_some(&self) -> bool {
        self.acts >= MAX_ACTS
    }
}

impl<S: Clone> HeldStreams<S> {
    /// Holds a stream from `now` on (nanoseconds); false when too many are held.
    pub fn hold(&mut self, context: u32, why: Why, now: u64, stream: S) -> bool {
        self.release(context);
        let (held, most) = match why {
            Why::Body => (self.bodies, MAX_BODIES),
            Why::Keys(_) | Why::Call(_) | Why::Scan(_) => (self.streams.len() - self.bodies, MAX_WAITING),
        };
        if held >= most {
            return false;
        }
        self.bodies += usize::from(why == Why::Body);
        if matches!(why, Why::Scan(_)) {
            self.scans.insert(context);
        }
        self.streams.insert(context, (why, now, stream));
        true
    }

    /// A stream is no longer held.
    pub fn release(&mut self, context: u32) {
        match self.streams.remove(&context) {
            Some((Why::Body, ..)) => self.bodies -= 1,
            Some((Why::Scan(_), ..)) => {
                self.scans.remove(&context);
            }
            Some((Why::Keys(_) | Why::Call(_), ..)) | None => {}
        }
    }

    /// How many wait for their bodies, and for keys or a service.
    pub fn counts(&self) -> (usize, usize) {
        (self.bodies, self.streams.len() - self.bodies)
    }

    /// True if none is held.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// True if one is scanned.
    pub fn scans(&self) -> bool {
        !self.scans.is_empty()
    }

    /// The stream whose scan goes on now: each has its turn.
    pub fn next_scan(&mut self) -> Option<(u32, S)> {
        let context = self.scans.range(self.next_scan..).next().or_else(|| self.scans.first()).copied()?;
        self.next_scan = context.wrapping_add(1);
        self.streams.get(&context).map(|(.., stream)| (context, stream.clone()))
    }

    /// True if one waits for keys.
    pub fn wants_keys(&self) -> bool {
        self.streams.values().any(|(why, ..)| matches!(why, Why::Keys(_)))
    }

    /// The next stream that this turn's tick turns to; `None`: it is over. An answer to a call comes by itself, and so
    /// does a body; keys may have come. A scan goes on by [`HeldStreams::next_scan`].
    pub fn next(&mut self, turn: &mut Turn) -> Option<Due<S>> {
        let mut left = turn.left.unwrap_or(self.streams.len());
        while left > 0 && turn.looks < MAX_LOOKS && turn.acts < MAX_ACTS {
            let first = self.streams.range(self.next..).next().or_else(|| self.streams.iter().next());
            let (context, (why, since, stream)) = first?;
            let due = match *why {
                Why::Body => (turn.now.saturating_sub(*since) > MAX_BODY_WAIT).then_some(true),
                Why::Call(deadline) | Why::Scan(deadline) => (turn.now >= deadline).then_some(true),
                Why::Keys(deadline) => Some(turn.now >= deadline),
            };
            let due = due.map(|is_late| Due { context: *context, why: *why, is_late, stream: stream.clone() });
            self.next = context.wrapping_add(1);
            left -= 1;
            turn.left = Some(left);
            if due.is_some() {
                turn.looks += 1;
                return due;
            }
        }
        None
    }
}

/// Something that is said at most once a second, with how often it has happened.
#[derive(Debug, Default)]
pub struct Seldom {
    count: u64,
    said: Option<u64>,
}

impl Seldom {
    /// It has happened.
    pub fn note(&mut self) {
        self.count += 1;
    }

    /// How often it has happened since it was said last; `None`: nothing is to be said at this time (nanoseconds).
    pub fn to_say(&mut self, now: u64) -> Option<u64> {
        let is_time = self.said.is_none_or(|said| now.saturating_sub(said) >= SECOND);
        (self.count > 0 && is_time).then(|| {
            self.said = Some(now);
            std::mem::take(&mut self.count)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    /// One tick: every stream whose turn it is and that `acts` is acted on.
    fn tick(held: &mut HeldStreams<()>, now: u64, acts: impl Fn(&Due<()>) -> bool) -> (Vec<u32>, usize, bool) {
        let mut turn = Turn::new(now);
        let (mut acted, mut looked) = (Vec::new(), 0);
        while let Some(due) = held.next(&mut turn) {
            looked += 1;
            if acts(&due) {
                turn.acted();
                held.release(due.context);
                acted.push(due.context);
            }
        }
        (acted, looked, turn.leaves_some())
    }

    #[test]
    fn all_are_answered_and_never_many_at_once() {
        for why in [Why::Body, Why::Keys(SECOND), Why::Call(SECOND), Why::Scan(SECOND)] {
            let mut held = HeldStreams::default();
            let taken = (0..5000).filter(|context| held.hold(*context, why, 0, ())).count();
            assert_eq!(taken, if why == Why::Body { MAX_BODIES } else { MAX_WAITING });
            let mut ticks = 0;
            while !held.is_empty() {
                let (acted, _, leaves_some) = tick(&mut held, 11 * SECOND, |due| due.is_late);
                assert_eq!(acted.len(), MAX_ACTS);
                assert!(leaves_some);
                ticks += 1;
            }
            assert_eq!(ticks, taken / MAX_ACTS);
            // There is room again.
            assert!(held.hold(1, why, 0, ()));
        }
    }

    #[test]
    fn a_wait_that_goes_on_keeps_no_other_from_its_turn() {
        let mut held = HeldStreams::default();
        (0..1000).for_each(|context| assert!(held.hold(context, Why::Keys(u64::MAX), 0, ())));
        let mut answered = HashSet::new();
        for _ in 0..1000usize.div_ceil(MAX_LOOKS) {
            // Keys have come for the last ten only.
            let (acted, looked, leaves_some) = tick(&mut held, 0, |due| due.context >= 990);
            assert!(looked <= MAX_LOOKS && !leaves_some);
            answered.extend(acted);
        }
        assert_eq!(answered.len(), 10);
    }

    #[test]
    fn what_is_said_is_said_once_a_second_and_counted() {
        let mut seldom = Seldom::default();
        assert_eq!(seldom.to_say(0), None);
        for _ in 0..3 {
            seldom.note();
        }
        assert_eq!(seldom.to_say(5), Some(3));
        seldom.note();
        assert_eq!(seldom.to_say(SECOND), None);
        seldom.note();
        assert_eq!(seldom.to_say(SECOND + 5), Some(2));
        assert_eq!(seldom.to_say(9 * SECOND), None);
    }

    fn why() -> impl Strategy<Value = Why> {
        prop_oneof![
            Just(Why::Body),
            (0..30u64).prop_map(|s| Why::Scan(s * SECOND)),
            (0..30u64).prop_map(|s| Why::Keys(s * SECOND)),
            (0..30u64).prop_map(|s| Why::Call(s * SECOND))
        ]
    }

    proptest! {
        /// Whatever is held, released and answered in whatever order: the bounds hold, nobody is ended early, and
        /// everybody whose time is over is ended within as many ticks as it takes at the bounds.
        #[test]
        fn every_order_keeps_the_bounds(steps in prop::collection::vec((0..3000u32, prop::option::weighted(0.9, why()), 0..4u64), 1..2000)) {
            let mut held = HeldStreams::default();
            let mut model: HashMap<u32, (Why, u64)> = HashMap::new();
            let mut now = 0;
            for (context, why, pause) in steps {
                model.remove(&context);
                match why {
                    Some(why) => if held.hold(context, why, now, ()) {
                        model.insert(context, (why, now));
                    },
                    None => held.release(context),
                }
                if pause == 0 {
                    now += SECOND;
                    let late = |why: Why, since: u64| match why {
                        Why::Body => now - since > MAX_BODY_WAIT,
                        Why::Keys(deadline) | Why::Call(deadline) | Why::Scan(deadline) => now >= deadline,
                    };
                    let (acted, looked, _) = tick(&mut held, now, |due| due.is_late);
                    prop_assert!(acted.len() <= MAX_ACTS && looked <= MAX_LOOKS);
                    for context in acted {
                        let (why, since) = model.remove(&context).expect("nobody is ended twice");
                        prop_assert!(late(why, since));
                    }
                }
                let bodies = model.values().filter(|(why, _)| *why == Why::Body).count();
                prop_assert!(bodies <= MAX_BODIES && model.len() - bodies <= MAX_WAITING);
                // Each of those that are scanned has its turn before any has its second.
                let scanned: HashSet<u32> =
                    model.iter().filter(|(_, (why, _))| matches!(why, Why::Scan(_))).map(|(context, _)| *context).collect();
                prop_assert_eq!(held.scans(), !scanned.is_empty());
                let turns: HashSet<u32> = (0..scanned.len()).filter_map(|_| held.next_scan()).map(|(at, ())| at).collect();
                prop_assert_eq!(turns, scanned);
            }
            for _ in 0..model.len().div_ceil(MAX_ACTS) {
                tick(&mut held, now + 40 * SECOND, |due| due.is_late);
            }
            prop_assert!(held.is_empty());
        }
    }
}
