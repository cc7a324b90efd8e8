//! One exchange from its first header to its record: the only place where the order of the stages
//! is written.
//!
//! A [`Transaction`] is a sans-IO state machine. Events go in, a [`Step`] says what the proxy does
//! next. Each state is a type of its own that owns the witness of the stages behind it; its `handle`
//! consumes it and gives the next state and the step. Whatever goes wrong inside ends in a refusal; no
//! error path ends in "continue".
//!
//! ```text
//! headers:  route -> authn -> entitle -> count           (witnesses Principal, Entitled, Counted)
//! body:     parse -> authorize -> scan -> judge -> admit (Authorized, Inspected, Admitted)
//! response: read usage
//! done:     settle what was reserved, the record and the counters
//! ```
//!
//! ```text
//! Start -> AwaitingKeys, PendingCall -> AwaitingBody -> PendingCall -> Forwarded    every stage is passed
//! AwaitingBody, PendingCall -> AwaitingScan -> PendingCall, Forwarded               the body is long
//! Start -> Passed                                   no route matches, or a preflight
//! any   -> Denied                                   our own reply
//! any   -> Refusing -> Denied or Passed             the body tells in which words to refuse
//! ```
//!
//! ```
//! use bartizan::host::{MemoryHost, Timestamp};
//! use bartizan::policy::Policy;
//! use bartizan::transaction::{Event, Step, Transaction, WorkerState};
//!
//! let document = br#"{"version": 1, "name": "small", "authn": {"issuers": []}, "guards": {"standard": {}},
//!     "roles": {"user": {"operations": ["chat"], "models": ["*"]}},
//!     "routes": [{"match": {"path": "/v1/chat/completions"}, "protocol": "openai"}]}"#;
//! let policy = Policy::from_json(document, &|_| None).unwrap();
//! let mut host = MemoryHost::at(Timestamp::from_secs(1_800_000_000));
//! WorkerState::prepare(&policy, &mut host).unwrap();
//! let mut worker = WorkerState::new(&policy, &mut host).unwrap();
//!
//! let headers = [(":method", "POST"), (":path", "/v1/chat/completions")].map(|(name, value)| (name.into(), value.into()));
//! let mut exchange = Transaction::new(policy.into());
//! let step = exchange.step(Event::RequestHeaders { headers: &headers, end: false }, &mut worker, &mut host);
//! let Step::Deny(reply) = step else { panic!("let in without a token") };
//! assert_eq!((reply.status, reply.reason), (401, "jwt.missing"));
//! ```

mod account;
mod context;
mod gzip;
mod headers;
mod meter;
mod path;
mod pending_call;
mod pool;
mod reading;
mod reply;
mod request;
mod response;
mod rewrite;
mod server;
mod settlement;
pub mod stages;
mod teller;
mod worker;

use std::sync::Arc;

pub use headers::{Header, Headers};
pub use reading::Reads;
pub use worker::WorkerState;

use bartizan_rules::invariant;

use crate::audit::metrics;
use crate::callout::{Answer, Call};
use crate::host::{Host, Timestamp};
use crate::policy::Policy;
use crate::protocol::reply::Spent;
#[cfg(feature = "cli")]
use crate::quota::Tokens;
use crate::quota::fleet::Settlement;
use crate::reason::{Denial, Reason};
use context::Context;
use headers::no_retry;
use pending_call::PendingCall;
use request::{AwaitingBody, AwaitingKeys, AwaitingScan, Refusing, Start};
use response::Forwarded;

/// What happened on the wire.
#[derive(Debug)]
pub enum Event<'a> {
    /// The request's headers came. `end`: there is no body.
    RequestHeaders {
        /// All of them.
        headers: &'a [Header],
        /// No body follows.
        end: bool,
    },
    /// This many bytes of the body are buffered, and more will come.
    RequestBuffered(usize),
    /// The request's body is whole.
    RequestBody(Vec<u8>),
    /// The upstream's (or the proxy's own) response headers came. `end`: there is no body.
    ResponseHeaders {
        /// All of them.
        headers: &'a [Header],
        /// No body follows.
        end: bool,
    },
    /// This many bytes of a reply that is read whole are buffered, and more will come.
    ResponseBuffered(usize),
    /// A reply that is read whole has come.
    ResponseBody(Vec<u8>),
    /// What the exchange awaits may have come.
    Resumed,
    /// What the exchange awaits did not come in time.
    Expired,
    /// The call that the exchange awaits was answered, or failed.
    Answered(Answer),
    /// Bytes of a reply that is read as a stream. `end`: nothing follows.
    ResponseChunk {
        /// The bytes.
        chunk: &'a [u8],
        /// Nothing follows.
        end: bool,
    },
}

/// What the proxy does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Hold what came and wait for more.
    NeedMore,
    /// Hold everything: headers, body and trailers, until what is awaited has come.
    Await(Wait),
    /// Of a reply that is read as a stream, and that outside judges are shown: some of it goes on, and more is held.
    Part(Part),
    /// Apply the changes and go on.
    Release(Edit),
    /// Answer in the upstream's place.
    Deny(Reply),
}

/// What a held exchange waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The call to make; its answer comes as [`Event::Answered`]. `None`: something that the worker fetches for
    /// all, or the next slice of a scan. Then ticks are [`Event::Resumed`].
    pub call: Option<Call>,
    /// Then comes [`Event::Expired`].
    pub deadline: Timestamp,
}

/// What goes on of a stream that outside judges are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// What goes on. All that came and is not here is held, or gone.
    pub bytes: Vec<u8>,
    /// Something is held: it goes on with a later part.
    pub holds: bool,
    /// The call to make meanwhile; its answer comes as [`Event::Answered`].
    pub wait: Option<Wait>,
}

/// Changes to what is released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Header names to remove, as they came.
    pub remove: Vec<Vec<u8>>,
    /// Headers to set, one value each.
    pub set: Vec<(&'static str, String)>,
    /// The new body; `None`: it stays as it came.
    pub body: Option<Vec<u8>>,
}

/// A refusal, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// The reason's code, for the proxy's own response details.
    pub reason: &'static str,
}

/// What is not scanned to its end after this long is refused, in nanoseconds: the worker has too much to do.
const MOST_SCAN: u64 = 120_000_000_000;

/// One exchange: the state it is in, and what all states share.
#[derive(Debug)]
pub struct Transaction {
    state: State,
    context: Context,
}

/// How far an exchange is. Each state is a type of its own: it owns the witness of the stages behind it, and its `handle`
/// consumes it and gives the next. [`Forwarded`] can't be made without the last witness.
#[derive(Debug)]
enum State {
    /// Nothing came yet.
    Start(Start),
    /// An issuer's keys are being fetched.
    Keys(Box<AwaitingKeys>),
    /// A stage waits for the answer to its call.
    Call(Box<PendingCall>),
    /// The headers are judged, the body is on its way.
    Body(Box<AwaitingBody>),
    /// The body's texts are scanned slice by slice.
    Scan(Box<AwaitingScan>),
    /// The request is refused, and only its body tells how to say so.
    Refusing(Box<Refusing>),
    /// It passed every stage and went to the upstream.
    Forwarded(Box<Forwarded>),
    /// Something went to the upstream that no stage has judged: what no route matches, a preflight, or a message of ours.
    Passed(Passed),
    /// It was refused; what comes now is our own reply.
    Denied(Denied),
}

impl State {
    fn handle(self, event: Event<'_>, context: &mut Context, vm: &mut WorkerState, host: &mut dyn Host) -> Next {
        match self {
            State::Start(state) => state.handle(event, context, vm, host),
            State::Keys(state) => state.handle(event, context, vm, host),
            State::Call(state) => state.handle(event, context, vm, host),
            State::Body(state) => state.handle(event, context, vm, host),
            State::Scan(state) => state.handle(event, context, vm, host),
            State::Refusing(state) => state.handle(event, context, vm, host),
            State::Forwarded(state) => state.handle(event, context, vm, host),
            State::Passed(state) => context.otherwise(state, event, vm, host),
            State::Denied(state) => context.otherwise(state, event, vm, host),
        }
    }

    fn awaits_body(&self) -> bool {
        matches!(self, State::Body(_) | State::Refusing(_))
    }

    fn is_waiting(&self) -> bool {
        matches!(self, State::Keys(_) | State::Call(_) | State::Scan(_))
    }

    /// What the end of an exchange in this state says of its cost.
    fn ending(&self) -> Ending {
        match self {
            State::Passed(_) => Ending::Unjudged,
            State::Denied(_) => Ending::Denied,
            State::Call(_) => Ending::Undecided,
            State::Forwarded(forwarded) if forwarded.is_over() => Ending::CutOff,
            State::Start(_)
            | State::Keys(_)
            | State::Body(_)
            | State::Scan(_)
            | State::Refusing(_)
            | State::Forwarded(_) => Ending::Open,
        }
    }
}

/// How far an exchange was when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The request itself never left: no stage has judged what went in its place.
    Unjudged,
    /// It was refused.
    Denied,
    /// A stage waited for an answer.
    Undecided,
    /// The reply was ended from here while the upstream writes on.
    CutOff,
    /// None of these.
    Open,
}

/// An exchange to which something went that no stage has judged. Its reply is not read.
#[derive(Debug)]
struct Passed;

/// A refused exchange.
#[derive(Debug)]
struct Denied;

impl From<Passed> for State {
    fn from(state: Passed) -> State {
        State::Passed(state)
    }
}

impl From<Denied> for State {
    fn from(state: Denied) -> State {
        State::Denied(state)
    }
}

/// What an event makes of a state: the one that follows, and what the proxy does.
#[derive(Debug)]
struct Next {
    state: State,
    step: Step,
}

impl Next {
    fn new(state: impl Into<State>, step: Step) -> Next {
        Next { state: state.into(), step }
    }
}

/// What is left to do when an exchange has ended.
#[derive(Debug)]
pub struct Finished {
    /// The audit record, one line of JSON.
    pub record: String,
    /// The request, sealed for the operator: another line of JSON, where the policy captures it.
    pub capture: Option<String>,
    /// Counters.
    pub increments: Vec<metrics::Increment>,
    /// What the service that counts for the fleet must be told.
    pub settlements: Vec<Settlement>,
    /// Values of histograms.
    pub samples: Vec<(&'static str, u64)>,
}

impl Transaction {
    /// An exchange under this policy; the policy stays the same until the exchange has ended.
    pub fn new(policy: Arc<Policy>) -> Transaction {
        Transaction { state: State::Start(Start), context: Context::new(policy) }
    }

    /// Takes one event.
    pub fn step(&mut self, event: Event<'_>, vm: &mut WorkerState, host: &mut dyn Host) -> Step {
        // While a state is handled, the exchange counts as refused.
        let state = std::mem::replace(&mut self.state, State::Denied(Denied));
        let is_request =
            matches!(event, Event::RequestHeaders { .. } | Event::RequestBody(_) | Event::Resumed | Event::Answered(_));
        let is_chunk = matches!(&event, Event::ResponseChunk { chunk, .. } if !chunk.is_empty());
        self.context.times.before(is_chunk, host);
        let Next { state, step } = state.handle(event, &mut self.context, vm, host);
        self.state = state;
        if is_request && matches!((&step, &self.state), (Step::Release(_), State::Forwarded(_))) {
            self.context.times.released(host);
        }
        // Something was not looked at: nothing of this step goes on.
        if invariant::take_broken() { self.fault() } else { step }
    }

    /// Refuses the exchange because the proxy failed to do its part. What it holds is freed when it finishes.
    pub fn fault(&mut self) -> Step {
        self.deny(Reason::Internal)
    }

    /// Refuses the exchange because too many wait.
    pub fn overload(&mut self) -> Step {
        self.deny(Reason::Overloaded)
    }

    fn deny(&mut self, reason: Reason) -> Step {
        let mut refused = Refused::from(reason);
        if let State::Forwarded(_) = self.state {
            refused.headers = self.context.limits.headers();
            refused.headers.push(no_retry());
        }
        let Next { state, step } = self.context.refuse(refused);
        self.state = state;
        step
    }

    /// True while the request's body is awaited.
    pub fn awaits_body(&self) -> bool {
        self.state.awaits_body()
    }

    /// True while something is awaited that no byte of the request brings.
    pub fn is_waiting(&self) -> bool {
        self.state.is_waiting()
    }

    /// True while the texts of its body, or of its reply, are scanned slice by slice.
    pub fn is_scanning(&self) -> bool {
        match &self.state {
            State::Scan(_) => true,
            State::Forwarded(forwarded) => forwarded.is_scanning(),
            _ => false,
        }
    }

    /// True once the exchange was refused: what comes now is our own reply.
    pub fn is_refused(&self) -> bool {
        matches!(self.state, State::Denied(_))
    }

    /// How the reply is read.
    pub fn reads_response(&self) -> Reads {
        match &self.state {
            State::Forwarded(forwarded) => forwarded.reads(),
            _ => Reads::Nothing,
        }
    }

    /// True when bytes of a stream wait that can't be written any more once trailers have come.
    pub fn holds_response(&self) -> bool {
        matches!(&self.state, State::Forwarded(forwarded) if forwarded.holds())
    }

    /// What the reply cost, as far as it has come.
    pub fn spent(&self) -> Spent {
        self.context.spent()
    }

    /// Adds time spent in the filter.
    pub fn add_time(&mut self, nanos: u64) {
        self.context.spent_nanos = self.context.spent_nanos.saturating_add(nanos);
    }

    /// The record as it is now, in case the VM does not live to write the last one.
    pub fn provisional(&mut self, now: Timestamp) -> String {
        self.context.account.record.to_json(now)
    }

    /// For a rehearsal: the reply came with this status, and the model said that it used so much.
    #[cfg(feature = "cli")]
    pub(crate) fn rehearse_reply(&mut self, status: Option<u16>, used: Option<Tokens>) {
        self.context.rehearse_reply(status, used);
    }

    /// Ends the exchange, whatever its state.
    pub fn finish(self, vm: &mut WorkerState, host: &mut dyn Host) -> Finished {
        self.context.finish(self.state.ending(), vm, host)
    }
}

/// A refusal on its way out, with the limit headers that belong to it.
#[derive(Debug)]
struct Refused {
    denial: Denial,
    headers: Vec<(&'static str, String)>,
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Refused { denial, headers: Vec::new() }
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Denial::new(reason).into()
    }
}

impl From<crate::quota::Refusal> for Refused {
    fn from(refusal: crate::quota::Refusal) -> Self {
        Refused { headers: refusal.headers(), denial: refusal.denial }
    }
}

impl From<crate::host::Fault> for Refused {
    fn from(_: crate::host::Fault) -> Self {
        Reason::Internal.into()
    }
}
