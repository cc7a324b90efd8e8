//! The arithmetic of one bucket (GCRA), in nanoseconds. Pure.

/// The longest window of a policy: 31 days.
const MAX_WINDOW: u64 = 31 * 86_400 * 1_000_000_000;

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// The time that one request costs, rounded up: never more than the policy's number a window.
    interval: u64,
    /// Requests that may come at once, at least 1.
    burst: u64,
}

/// What a bucket says to one more request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The new arrival time; `None`: refused, nothing changes.
    pub(super) arrival: Option<u64>,
    /// Requests that could come at once after this one.
    pub(super) remaining: u64,
    /// Until the bucket is full.
    pub(super) reset: u64,
    /// Until one more request fits; 0 unless refused.
    pub(super) wait: u64,
}

impl Rate {
    /// `requests` a `window`, at most `burst` at once.
    pub(super) fn new(requests: u64, window: u64, burst: u64) -> Rate {
        let requests = requests.max(1);
        Rate { interval: window.min(MAX_WINDOW).div_ceil(requests).max(1), burst: burst.clamp(1, requests) }
    }

    /// The time an empty bucket takes to fill. The arrival time is never further ahead than this.
    pub(super) fn depth(&self) -> u64 {
        self.interval.saturating_mul(self.burst)
    }

    /// Asks a bucket with this arrival time for one request. A bucket that was never used has arrival time 0.
    pub(super) fn ask(&self, arrival: u64, now: u64) -> Answer {
        let next = arrival.max(now).saturating_add(self.interval);
        let latest = now.saturating_add(self.depth());
        if next > latest {
            let reset = arrival.saturating_sub(now);
            return Answer { arrival: None, remaining: 0, reset, wait: next - latest };
        }
        let remaining = (latest - next) / self.interval;
        Answer { arrival: Some(next), remaining, reset: next - now, wait: 0 }
    }

    /// The arrival time after a request is given back that was charged at `charged`.
    ///
    /// What passed since then is not given back: without this request the bucket may have been full
    /// all that time, and a full bucket gains nothing by waiting. So giving back never loosens.
    pub(super) fn give_back(&self, arrival: u64, charged: u64, now: u64) -> u64 {
        let elapsed = now.saturating_sub(charged);
        arrival.saturating_sub(self.interval.saturating_sub(elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_then_one_an_interval() {
        let rate = Rate::new(60, 60_000, 3);
        let mut arrival = 0;
        for expected in [2, 1, 0] {
            let answer = rate.ask(arrival, 5_000);
            assert_eq!(answer.remaining, expected);
            arrival = answer.arrival.unwrap();
        }
        let refused = rate.ask(arrival, 5_000);
        assert_eq!(refused, Answer { arrival: None, remaining: 0, reset: 3_000, wait: 1_000 });
        assert_eq!(rate.ask(arrival, 5_999).wait, 1);
        assert_eq!(rate.ask(arrival, 6_000).arrival, Some(9_000));
    }

    #[test]
    fn extremes_do_not_overflow() {
        for (requests, window, burst) in [(1, u64::MAX, 1), (u64::MAX, 1, u64::MAX), (0, 0, 0), (1_000_000_000, 1, 1)] {
            let rate = Rate::new(requests, window, burst);
            for arrival in [0, u64::MAX] {
                for now in [0, u64::MAX] {
                    rate.ask(arrival, now);
                    rate.give_back(arrival, now, arrival);
                }
            }
        }
    }

    proptest! {
        /// In every stretch of time no more pass than the burst and what the rate adds.
        #[test]
        fn never_more_than_burst_and_rate(
            requests in 1u64..50,
            window in 1u64..10_000,
            burst in 1u64..50,
            gaps in prop::collection::vec(0u64..400, 1..200),
            refunds in prop::collection::vec(any::<bool>(), 200),
        ) {
            let rate = Rate::new(requests, window, burst);
            let burst = u128::from(burst.min(requests));
            let (mut arrival, mut now) = (0, 1_000);
            let mut passed: Vec<u64> = Vec::new();
            for (gap, refund) in gaps.into_iter().zip(refunds) {
                let charged = now;
                let answer = rate.ask(arrival, now);
                now += gap;
                let Some(next) = answer.arrival else { continue };
                arrival = next;
                if refund {
                    arrival = rate.give_back(arrival, charged, now);
                } else {
                    passed.push(charged);
                }
            }
            for (first, start) in passed.iter().enumerate() {
                for (last, end) in passed.iter().enumerate().skip(first) {
                    let count = (last - first + 1) as u128;
                    // count <= burst + elapsed / interval, and interval >= window / requests.
                    prop_assert!((count - burst.min(count)) * u128::from(window) <= u128::from(end - start) * u128::from(requests));
                }
            }
        }
    }
}
