//! Calls that a stage waits for: what goes out, and what comes back.
//!
//! A stage that needs another service returns the call and keeps its witness; the place it runs in makes the
//! call and brings the [`Answer`]. Every call has a timeout and a bound on its answer; what is longer, late or
//! refused comes back as a [`CallFailure`]. A call is made once: to try again is the stage's own decision.

use std::fmt;
use std::time::Duration;

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
    /// The answer is longer than the call takes.
    TooLong,
    /// It did not come in time.
    Late,
    /// The proxy gave an answer that can't be read.
    Unreadable,
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
        }
    }
}
