//! Calls that a stage waits for: what goes out, and what comes back.
//!
//! A stage that needs another service returns the call and keeps its witness; the place it runs in makes the
//! call and brings the [`Answer`]. Every call has a timeout and a bound on its answer; what is longer, late or
//! refused comes back as a [`CallFailure`]. A call is made once: to try again is the stage's own decision.
//!
//! ```
//! use bartizan::callout::Breaker;
//! use bartizan::host::Timestamp;
//!
//! let (mut breaker, now) = (Breaker::default(), Timestamp::from_secs(100));
//! (0..Breaker::IN_VAIN).for_each(|_| breaker.note(true, now));
//! assert!(!breaker.admits(now), "open after five timeouts in a row");
//! assert!(breaker.admits(Timestamp::from_secs(102)), "a probe");
//! ```

use std::fmt;
use std::time::Duration;

use crate::host::Timestamp;

/// A call to one of the proxy's clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A request over HTTP.
    Http(HttpCall),
    /// A unary call over gRPC.
    Grpc(GrpcCall),
}

/// A request over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// Envoy's cluster.
    pub cluster: String,
    /// `:method`.
    pub method: &'static str,
    /// `:authority`.
    pub authority: String,
    /// `:path`.
    pub path: String,
    /// Further headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty: none.
    pub body: Vec<u8>,
    /// How long to wait.
    pub timeout: Duration,
    /// The longest answer that is taken, in bytes.
    pub most: usize,
}

/// A unary call over gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcCall {
    /// Envoy's cluster.
    pub cluster: String,
    /// The service's full name.
    pub service: &'static str,
    /// The method.
    pub method: &'static str,
    /// The request in protobuf's wire form.
    pub message: Vec<u8>,
    /// How long to wait.
    pub timeout: Duration,
    /// The longest answer that is taken, in bytes.
    pub most: usize,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Any status: a connection that was refused comes as 503, a timeout as 504.
    Http {
        /// `:status`.
        status: u16,
        /// The body, at most the call's `most` bytes.
        body: Vec<u8>,
    },
    /// The answer's message, of a call that ended with status 0.
    Grpc(Vec<u8>),
    /// There is no answer.
    Failed(CallFailure),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// The proxy could not make the call: it knows no such cluster, or has no place for one more.
    NotMade,
    /// A gRPC status other than 0; 4 is a timeout, 14 a connection refused.
    Status(u32),
    /// The answer is longer than the call allows.
    TooLong,
    /// It did not come in time.
    Late,
    /// The proxy gave an answer that can't be read.
    Unreadable,
    /// It was not made: calls before it waited in vain, see [`Breaker`].
    Skipped,
}

/// Spares requests the wait for a service that hangs.
///
/// After [`Breaker::IN_VAIN`] calls in a row that waited without an answer, no call is made for [`Breaker::PAUSE`]
/// nanoseconds; then one is, as a probe, and after each further pause another, until one is answered. A failure that
/// comes at once, such as a refused connection, costs no request anything and opens nothing. Each worker has its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    in_vain: u8,
    until: Timestamp,
}

impl Breaker {
    /// Consecutive calls in vain that open it.
    pub const IN_VAIN: u8 = 5;
    /// How long no call is made, nanoseconds.
    pub const PAUSE: u64 = 2_000_000_000;

    /// True if a call is to be made now: ask once for each.
    pub fn admits(&mut self, now: Timestamp) -> bool {
        if self.in_vain < Breaker::IN_VAIN {
            return true;
        }
        // A clock that was set back does not keep it open for longer.
        let left = self.until.0.saturating_sub(now.0);
        if (1..=Breaker::PAUSE).contains(&left) {
            return false;
        }
        // The probe may be lost with its request: the next one does not wait for its answer.
        self.until = Timestamp(now.0.saturating_add(Breaker::PAUSE));
        true
    }

    /// Takes what came of a call. `in_vain`: it waited, and there is no answer.
    pub fn note(&mut self, in_vain: bool, now: Timestamp) {
        self.in_vain = if in_vain { self.in_vain.saturating_add(1).min(Breaker::IN_VAIN) } else { 0 };
        self.until = Timestamp(now.0.saturating_add(Breaker::PAUSE));
    }
}

impl fmt::Display for Answer {
    /// In words, for a log line; nothing of a body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Http { status, body } => write!(f, "status {status}, {} bytes", body.len()),
            Answer::Grpc(message) => write!(f, "{} bytes", message.len()),
            Answer::Failed(failure) => write!(f, "{failure}"),
        }
    }
}

impl Answer {
    /// True if the service had nothing to say.
    pub fn is_failure(&self) -> bool {
        match self {
            Answer::Http { status, .. } => *status >= 500,
            Answer::Grpc(_) => false,
            Answer::Failed(_) => true,
        }
    }
}

impl Call {
    /// How long to wait.
    pub const fn timeout(&self) -> Duration {
        match self {
            Call::Http(call) => call.timeout,
            Call::Grpc(call) => call.timeout,
        }
    }

    /// The longest answer that is taken, in bytes.
    pub const fn most(&self) -> usize {
        match self {
            Call::Http(call) => call.most,
            Call::Grpc(call) => call.most,
        }
    }

    /// Envoy's cluster.
    pub fn cluster(&self) -> &str {
        match self {
            Call::Http(call) => &call.cluster,
            Call::Grpc(call) => &call.cluster,
        }
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallFailure::NotMade => f.write_str("the call could not be made"),
            CallFailure::Status(status) => write!(f, "gRPC status {status}"),
            CallFailure::TooLong => f.write_str("the answer is too long"),
            CallFailure::Late => f.write_str("no answer in time"),
            CallFailure::Unreadable => f.write_str("the answer can't be read"),
            CallFailure::Skipped => f.write_str("the service does not answer and is left alone for a moment"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: u64 = Breaker::PAUSE;

    #[test]
    fn it_opens_probes_and_closes() {
        let (mut breaker, mut now) = (Breaker::default(), 1_000 * PAUSE);
        for _ in 0..3 {
            for _ in 1..Breaker::IN_VAIN {
                assert!(breaker.admits(Timestamp(now)));
                breaker.note(true, Timestamp(now));
            }
            breaker.note(false, Timestamp(now));
        }
        for _ in 0..Breaker::IN_VAIN {
            assert!(breaker.admits(Timestamp(now)));
            breaker.note(true, Timestamp(now));
        }
        for _ in 0..3 {
            assert!(!breaker.admits(Timestamp(now)) && !breaker.admits(Timestamp(now + PAUSE - 1)));
            now += PAUSE;
            assert!(breaker.admits(Timestamp(now)), "a probe");
            assert!(!breaker.admits(Timestamp(now)), "one alone");
            breaker.note(true, Timestamp(now));
        }
        // A probe whose request went away is followed by another, and a clock that is set back waits no longer.
        now += PAUSE;
        assert!(breaker.admits(Timestamp(now)) && breaker.admits(Timestamp(now + PAUSE)));
        assert!(breaker.admits(Timestamp(now / 2)));
        breaker.note(false, Timestamp(now));
        assert_eq!((0..50).filter(|_| breaker.admits(Timestamp(now))).count(), 50);
    }

    /// Every sequence of ten events: asked now, asked a pause later, answered, in vain.
    #[test]
    fn no_sequence_shuts_it_for_good_or_lets_a_crowd_wait() {
        for sequence in 0..4_u32.pow(10) {
            let (mut breaker, mut now, mut row, mut crowd) = (Breaker::default(), 1_000 * PAUSE, 0, 0);
            for place in 0..10 {
                let event = sequence / 4_u32.pow(place) % 4;
                match event {
                    0 | 1 => {
                        now += if event == 1 { PAUSE } else { 0 };
                        let open = row >= u32::from(Breaker::IN_VAIN);
                        let admitted = breaker.admits(Timestamp(now));
                        assert!(admitted || open, "{sequence}");
                        crowd = if event == 1 { 0 } else { crowd } + u32::from(open && admitted);
                        assert!(crowd <= 1, "{sequence}: more than one in a pause");
                    }
                    _ => {
                        breaker.note(event == 3, Timestamp(now));
                        row = if event == 3 { row + 1 } else { 0 };
                        crowd = 0;
                    }
                }
            }
            assert!(breaker.admits(Timestamp(now + PAUSE)), "{sequence}");
        }
    }
}
