//! One exchange from its first header to its record: the only place where the order of the stages
//! is written.
//!
//! A [`Transaction`] is a sans-IO state machine. Events go in, a [`Step`] says what the proxy does
//! next. Whatever goes wrong inside ends in a refusal; no error path ends in "continue".
//!
//! ```text
//! headers:  route -> authn -> entitle -> count           (witnesses Principal, Entitled, Counted)
//! body:     parse -> authorize -> scan -> judge -> admit (Authorized, Inspected, Admitted)
//! response: read usage
//! done:     settle what was reserved, the record and the counters
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

use crate::audit::{Record, metrics};
use crate::callout::{Answer, Call, CallFailure};
use crate::capture::Draft;
use crate::host::{Host, Timestamp};
use crate::policy::Policy;
use crate::protocol::reply::Spent;
use crate::protocol::{Asserted, Session};
use crate::quota::fleet::Settlement;
use crate::quota::{Gauge, Limits, Reservation};
use crate::reason::{Denial, Reason};
use crate::route::RouteIndex;
use account::Account;
use pending_call::PendingCall;
use reading::Reading;
use stages::{Admitted, Counted};

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
    /// Apply the changes and go on.
    Release(Edit),
    /// Answer in the upstream's place.
    Deny(Reply),
}

/// What a held exchange waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The call to make; its answer comes as [`Event::Answered`]. `None`: something that the worker fetches for
    /// all, and every tick is [`Event::Resumed`].
    pub call: Option<Call>,
    /// Then comes [`Event::Expired`].
    pub deadline: Timestamp,
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

/// One exchange.
#[derive(Debug)]
pub struct Transaction {
    policy: Arc<Policy>,
    state: State,
    account: Account,
    /// How refusals are told.
    teller: teller::Teller,
    /// What the caller's quotas have left, as far as it was charged.
    limits: Limits,
    /// The route that the path has matched.
    route: Option<RouteIndex>,
    /// The message's own id, where the protocol's answers repeat it.
    rpc_id: Option<String>,
    /// The caller's session with a server of tools.
    session: Option<Session>,
    /// The answer comes on another stream.
    elsewhere: Option<server::Elsewhere>,
    /// What was seen of a reply that is read as a stream.
    noted: reply::Noted,
    /// What is held for it until it ends.
    reserved: Reservation,
    /// By what its end tells how good the estimate was.
    gauge: Option<Gauge>,
    /// What the provider keeps of this exchange, not yet in the ledger.
    stored: Vec<String>,
    /// Bytes of this request that count towards the worker's limit.
    buffered: usize,
    /// The caller, where it has a name.
    caller: Option<pool::Holder>,
    /// The caller and the connection that they count for.
    holders: Vec<pool::Holder>,
    /// What a capture of this request needs, where the policy captures.
    draft: Option<Box<Draft>>,
    spent_nanos: u64,
}

/// How far an exchange is. A state owns the witness of the stages it has behind it.
#[derive(Debug, Default)]
enum State {
    /// Nothing came yet, or a step is under way.
    #[default]
    Start,
    /// An issuer's keys are being fetched.
    Keys(Box<AwaitingKeys>),
    /// A stage waits for the answer to its call.
    PendingCall(Box<PendingCall>),
    /// The headers are judged, the body is on its way.
    Body(Box<Pending>),
    /// The request is refused, and only its body tells how to say so.
    Refusing(Box<(Refused, Edit)>),
    /// It went to the upstream. `None`: unmatched and passed without any check.
    Forwarded { admitted: Option<Box<Admitted>>, reply: Reading },
    /// It was refused; what comes now is our own reply.
    Refused,
}

/// A request that can't be judged before its issuer's keys have come.
#[derive(Debug)]
struct AwaitingKeys {
    headers: Vec<Header>,
    end: bool,
    deadline: Timestamp,
}

/// A request whose body is on its way.
#[derive(Debug)]
struct Pending {
    counted: Counted,
    route: RouteIndex,
    /// What the headers say of the body.
    asserted: Option<Box<dyn Asserted>>,
    /// The model that the path names, where it names one.
    path_model: Option<String>,
    content_length: Option<usize>,
    /// The body is a form of files, which is not read.
    is_form: bool,
    /// Header changes that wait for the release (strong mode), or nothing (weak mode).
    edit: Edit,
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
    /// Time spent in the filter, microseconds.
    pub latency_us: u64,
}

impl Transaction {
    /// An exchange under this policy; the policy stays the same until the exchange has ended.
    pub fn new(policy: Arc<Policy>) -> Transaction {
        let rules = policy.scanner.digest();
        let record = Record::new(&policy.name, policy.digest_short(), rules.get(..12).unwrap_or(rules));
        let teller = teller::Teller::new(Arc::clone(&policy));
        Transaction {
            policy,
            state: State::Start,
            account: Account::new(record),
            teller,
            limits: Limits::default(),
            route: None,
            rpc_id: None,
            session: None,
            elsewhere: None,
            noted: reply::Noted::default(),
            reserved: Reservation::default(),
            gauge: None,
            stored: Vec::new(),
            buffered: 0,
            caller: None,
            holders: Vec::new(),
            draft: None,
            spent_nanos: 0,
        }
    }

    /// Takes one event.
    pub fn step(&mut self, event: Event<'_>, vm: &mut WorkerState, host: &mut dyn Host) -> Step {
        match event {
            Event::RequestHeaders { headers, end } => {
                let step = self.request_headers(Headers(headers), end, None, vm, host);
                self.request_step(step, vm)
            }
            Event::Resumed => {
                let step = self.resumed(None, vm, host);
                self.request_step(step, vm)
            }
            Event::Expired => {
                let step = self.resumed(Some(Answer::Failed(CallFailure::Late)), vm, host);
                self.request_step(step, vm)
            }
            Event::Answered(answer) => {
                let step = self.resumed(Some(answer), vm, host);
                self.request_step(step, vm)
            }
            Event::RequestBuffered(bytes) => match self.request_buffered(bytes, vm, host) {
                Ok(()) => Step::NeedMore,
                Err(reason) => self.refuse(reason),
            },
            Event::RequestBody(body) => {
                let step = self.request_body(body, vm, host);
                self.request_step(step, vm)
            }
            Event::ResponseHeaders { headers, end } => self.response_headers(Headers(headers), end),
            Event::ResponseBuffered(bytes) => self.response_buffered(bytes, vm, host),
            Event::ResponseBody(body) => {
                let step = self.response_body(&body, host.now());
                self.free(vm);
                self.note_stored(vm, host);
                step
            }
            Event::ResponseChunk { chunk, end } => {
                let step = self.response_chunk(chunk, end, host.now());
                self.note_stored(vm, host);
                step
            }
        }
    }

    /// What comes of an event of the request.
    fn request_step(&mut self, step: Result<Step, Refused>, vm: &mut WorkerState) -> Step {
        let step = step.unwrap_or_else(|refused| self.refuse_message(refused));
        // A body that waits is held on; the proxy frees it when it goes on or is refused.
        if !self.is_waiting() && !self.awaits_body() {
            self.free(vm);
        }
        step
    }

    /// Refuses the exchange because the proxy failed to do its part. What it holds is freed when it finishes.
    pub fn fault(&mut self) -> Step {
        self.refuse(Reason::Internal)
    }

    /// Refuses the exchange because too many wait.
    pub fn overload(&mut self) -> Step {
        self.refuse(Reason::Overloaded)
    }

    /// True while the request's body is awaited.
    pub fn awaits_body(&self) -> bool {
        matches!(self.state, State::Body(_) | State::Refusing(_))
    }

    /// True while something is awaited that no byte of the request brings.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Keys(_) | State::PendingCall(_))
    }

    /// True once the exchange was refused: what comes now is our own reply.
    pub fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused)
    }

    /// How the reply is read.
    pub fn reads_response(&self) -> Reads {
        match &self.state {
            State::Forwarded { reply, .. } => reply.reads(),
            _ => Reads::Nothing,
        }
    }

    /// What the reply cost, as far as it has come.
    pub fn spent(&self) -> Spent {
        let mut spent = self.account.meter.spent;
        spent.add(self.noted.spent());
        spent
    }

    /// Adds time spent in the filter.
    pub fn add_time(&mut self, nanos: u64) {
        self.spent_nanos = self.spent_nanos.saturating_add(nanos);
    }

    /// The record as it is now, in case the VM does not live to write the last one.
    pub fn provisional(&mut self, now: Timestamp) -> String {
        self.account.record.to_json(now)
    }

    /// Ends the exchange, whatever its state.
    pub fn finish(mut self, vm: &mut WorkerState, host: &mut dyn Host) -> Finished {
        self.free(vm);
        self.settle();
        let mut settlements = self.pay(vm, host);
        let late_cooldowns = vm.settle_strikes(&self.policy, host);
        settlements.append(&mut vm.take_told());
        let latency_us = self.spent_nanos / 1000;
        let sequence = vm.next_sequence();
        self.account.record.set_end(latency_us, vm.worker(), sequence, late_cooldowns);
        let increments = metrics::of(&self.account.record);
        let capture = self.captured(vm, host);
        Finished { record: self.account.record.to_json(host.now()), capture, increments, settlements, latency_us }
    }

    fn free(&mut self, vm: &mut WorkerState) {
        vm.pool.release(std::mem::take(&mut self.buffered), &self.holders);
    }

    /// Counts what is buffered of a body; false when the worker has no room for it.
    fn hold(&mut self, bytes: usize, vm: &mut WorkerState, host: &mut dyn Host) -> bool {
        // Who holds stays the same until all is freed.
        if self.buffered == 0 {
            let connection = host.property(&["connection", "id"]).map(|id| [b"n", id.as_slice()].concat());
            self.holders = self.caller.iter().cloned().chain(connection.map(Into::into)).collect();
        }
        let more = bytes.saturating_sub(self.buffered);
        let limits = &self.policy.limits;
        let one = limits.max_body_bytes;
        let held = vm.pool.hold(more, limits.max_buffered_bytes_per_worker, one, &self.holders);
        self.buffered += if held { more } else { 0 };
        held
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
