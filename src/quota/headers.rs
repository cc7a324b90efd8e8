//! What the caller is told about its quotas, in OpenAI's words.

use std::time::Duration;

use crate::reason::{Denial, Reason};

/// A wait from which a client should give up instead of retrying: OpenAI's SDKs follow `retry-after`
/// up to here and guess beyond.
pub const LONG_WAIT_SECS: u64 = 60;

/// The state of the quotas that a request was charged to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The enforced quota of requests with the least left; `None` without any.
    pub requests: Option<Tightest>,
    /// The enforced quota of tokens with the least left.
    pub tokens: Option<Tightest>,
    /// Why quotas in shadow mode would have refused.
    pub shadow: Vec<Reason>,
    /// This proxy counted by itself what a service should have counted for the fleet.
    pub alone: bool,
}

/// One quota's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tightest {
    /// Requests or tokens a window.
    pub limit: u64,
    /// How many could come at once.
    pub remaining: u64,
    /// Until nothing is used up.
    pub reset: Duration,
}

impl Limits {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Limits) -> Limits {
        let tighter = |one: Option<Tightest>, two: Option<Tightest>| match (one, two) {
            (Some(one), Some(two)) => Some(one.tighter(two)),
            (one, two) => one.or(two),
        };
        let mut shadow = self.shadow;
        shadow.extend(other.shadow);
        Limits {
            requests: tighter(self.requests, other.requests),
            tokens: tighter(self.tokens, other.tokens),
            shadow,
            alone: self.alone || other.alone,
        }
    }

    /// The headers for a reply, names in lower case. Empty when no quota is enforced.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let names = [
            (
                self.requests,
                ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
            ),
            (self.tokens, ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]),
        ];
        let told = names.into_iter().filter_map(|(tightest, names)| Some((tightest?, names)));
        told.flat_map(|(Tightest { limit, remaining, reset }, [of_limit, of_remaining, of_reset])| {
            [(of_limit, limit.to_string()), (of_remaining, remaining.to_string()), (of_reset, duration(reset))]
        })
        .collect()
    }

    /// The headers for a refusal: these limits, when to come back, and whether to.
    pub fn refusal_headers(&self, denial: &Denial) -> Vec<(&'static str, String)> {
        let mut headers = self.headers();
        if let Some(wait) = denial.retry_after {
            headers.push(("retry-after", wait.to_string()));
        }
        if denial.retry_after.is_some_and(|wait| wait > LONG_WAIT_SECS) || denial.reason == Reason::QuotaTooLarge {
            headers.push(("x-should-retry", "false".to_owned()));
        }
        headers
    }
}

impl Tightest {
    fn tighter(self, other: Tightest) -> Tightest {
        let rank = |one: &Tightest| (one.remaining, std::cmp::Reverse(one.reset));
        if rank(&other) < rank(&self) { other } else { self }
    }
}

/// OpenAI's form: `120ms`, `1s`, `6m0s`, `1h0m0s`; rounded up, so that waiting that long is enough.
fn duration(span: Duration) -> String {
    let millis = span.as_nanos().div_ceil(1_000_000);
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let seconds = millis.div_ceil(1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_openai_writes_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ms"),
            (120_000_000, "120ms"),
            (999_000_001, "1s"),
            (1_000_000_000, "1s"),
            (1_000_000_001, "2s"),
            (360_000_000_000, "6m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_061_000_000_000, "25h1m1s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn a_long_wait_is_not_worth_a_retry() {
        let tightest = Tightest { limit: 60, remaining: 0, reset: Duration::from_secs(60) };
        let limits = Limits { requests: Some(tightest), ..Limits::default() };
        let denial = |wait| Denial { retry_after: Some(wait), ..Denial::new(Reason::QuotaRequests) };
        let short = limits.refusal_headers(&denial(60));
        assert_eq!(short.last().unwrap(), &("retry-after", "60".to_owned()));
        let long = limits.refusal_headers(&denial(61));
        assert_eq!(long.last().unwrap(), &("x-should-retry", "false".to_owned()));
        assert!(Limits::default().headers().is_empty());
        let never = limits.refusal_headers(&Denial::new(Reason::QuotaTooLarge));
        assert_eq!(never.last().unwrap(), &("x-should-retry", "false".to_owned()));
    }

    #[test]
    fn the_tightest_has_the_least_left() {
        let of = |remaining, secs| {
            let tightest = Tightest { limit: 9, remaining, reset: Duration::from_secs(secs) };
            Limits { tokens: Some(tightest), ..Limits::default() }
        };
        assert_eq!(of(2, 1).and(of(1, 1)), of(1, 1));
        assert_eq!(of(1, 5).and(of(1, 9)), of(1, 9));
        assert_eq!(Limits::default().and(of(1, 1)), of(1, 1));
    }
}
