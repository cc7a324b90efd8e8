//! What all states of one exchange share.

use std::sync::Arc;

use super::account::Account;
use super::reply::Noted;
use super::teller::Teller;
use super::{Edit, Ending, Event, Finished, Next, Refused, State, Step, WorkerState, pool};
use crate::audit::{Record, metrics};
use crate::capture::Draft;
use crate::guard::OpinionIndex;
use crate::host::{Host, Timestamp};
use crate::policy::Policy;
use crate::protocol::reply::Spent;
use crate::protocol::{Protocol, Refusal, Session, Told};
use crate::quota::price::Bill;
use crate::quota::{Gauge, Limits, Reservation};
use crate::reason::{Denial, Reason};
use crate::route::RouteIndex;

/// What all states of one exchange share. It says nothing of how far the exchange is: that is the state itself.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) policy: Arc<Policy>,
    /// What is known so far, and the record.
    pub(super) account: Account,
    /// How refusals are told.
    pub(super) teller: Teller,
    /// What the caller's quotas have left, as far as it was charged.
    pub(super) limits: Limits,
    /// The route that the path has matched.
    pub(super) route: Option<RouteIndex>,
    /// The route below whose prefix the path is, where it has matched none.
    pub(super) near: Option<RouteIndex>,
    /// The path for the upstream, where the client's had a credential in its query.
    pub(super) stripped_path: Option<String>,
    /// The alias that the path names, where the request goes on with the model that it means.
    pub(super) path_alias: Option<String>,
    /// What a reply tells of a model that will go.
    pub(super) warnings: Vec<(&'static str, String)>,
    /// The model that the request goes on with, by its own name.
    pub(super) model: Option<String>,
    /// The message's own id, where the protocol's answers repeat it.
    pub(super) rpc_id: Option<String>,
    /// The caller's session with a server of tools.
    pub(super) session: Option<Session>,
    /// The answer comes on another stream.
    pub(super) elsewhere: Option<Elsewhere>,
    /// What was seen of a reply that is read as a stream.
    pub(super) noted: Noted,
    /// The outside judge that is being asked.
    pub(super) asking: Option<OpinionIndex>,
    /// What is held for it until it ends.
    pub(super) reserved: Reservation,
    /// What it is priced by, where the policy has prices and the request uses something that may have one.
    pub(super) bill: Option<Bill>,
    /// By what its end tells how good the estimate was.
    pub(super) gauge: Option<Gauge>,
    /// What the provider keeps of this exchange, not yet in the ledger.
    pub(super) stored: Vec<String>,
    /// Bytes of this request that count towards the worker's limit.
    buffered: usize,
    /// Bytes of it that are in the VM's memory between callbacks.
    copied: usize,
    /// The caller, where it has a name.
    pub(super) caller: Option<pool::Holder>,
    /// The caller that they count for and, once that matters, the connection.
    holders: Vec<pool::Holder>,
    is_connection_known: bool,
    /// What a capture of this request needs, where the policy captures.
    pub(super) draft: Option<Box<Draft>>,
    pub(super) spent_nanos: u64,
    /// When its first event came, when the request went on as a whole, and how long the first bytes of a stream then took.
    pub(super) times: Times,
}

/// Bytes of bodies that a VM keeps between callbacks, in all: with the largest JSON that is read they fit into the 1 GiB that
/// Envoy lets a VM have.
const MOST_COPIES: usize = 192 << 20;

/// When what happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    begun: Option<Timestamp>,
    released: Option<Timestamp>,
    first_chunk_ms: Option<u64>,
}

impl Times {
    /// Before an event is handled. `is_chunk`: it brings bytes of a stream.
    pub(super) fn before(&mut self, is_chunk: bool, host: &dyn Host) {
        if self.begun.is_none() {
            self.begun = Some(host.now());
        }
        if let (true, None, Some(released)) = (is_chunk, self.first_chunk_ms, self.released) {
            self.first_chunk_ms = Some(host.now().0.saturating_sub(released.0) / 1_000_000);
        }
    }

    /// The request goes on; the last time counts.
    pub(super) fn released(&mut self, host: &dyn Host) {
        self.released = Some(host.now());
    }
}

/// A message of the HTTP+SSE transport: its answer comes on the caller's stream.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    /// Changes to the request's headers that wait for its body (strong mode).
    pub(super) edit: Edit,
    /// The message itself is an answer, to what the server asked.
    pub(super) answers: bool,
}

impl Context {
    pub(super) fn new(policy: Arc<Policy>) -> Context {
        let rules = policy.scanner.digest();
        let record = Record::new(&policy.name, policy.digest_short(), rules.get(..12).unwrap_or(rules));
        let teller = Teller::new(Arc::clone(&policy));
        Context {
            policy,
            account: Account::new(record),
            teller,
            limits: Limits::default(),
            route: None,
            near: None,
            stripped_path: None,
            path_alias: None,
            warnings: Vec::new(),
            model: None,
            rpc_id: None,
            session: None,
            elsewhere: None,
            noted: Noted::default(),
            asking: None,
            reserved: Reservation::default(),
            bill: None,
            gauge: None,
            stored: Vec::new(),
            buffered: 0,
            copied: 0,
            caller: None,
            holders: Vec::new(),
            is_connection_known: false,
            draft: None,
            spent_nanos: 0,
            times: Times::default(),
        }
    }

    /// The outcome of an event in a state that does not handle it itself. A response that the upstream was not asked for
    /// is the proxy's own; nothing else that is out of turn goes on.
    pub(super) fn otherwise(
        &mut self,
        state: impl Into<State>,
        event: Event<'_>,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Next {
        match event {
            Event::RequestBuffered(bytes) => match self.request_buffered(bytes, vm, host) {
                Ok(()) => Next::new(state, Step::NeedMore),
                Err(reason) => self.refuse(reason),
            },
            Event::RequestHeaders { .. }
            | Event::RequestBody(_)
            | Event::Resumed
            | Event::Expired
            | Event::Answered(_) => self.judged(Err(Reason::Internal.into()), vm),
            Event::ResponseHeaders { headers, .. } => {
                self.account.record.set_status(super::Headers(headers).status());
                Next::new(state, Step::Release(Edit::default()))
            }
            Event::ResponseBuffered(_) | Event::ResponseChunk { .. } => {
                Next::new(state, Step::Release(Edit::default()))
            }
            Event::ResponseBody(_) => {
                self.free(vm);
                Next::new(state, Step::Release(Edit::default()))
            }
        }
    }

    /// What comes of an event of the request that was judged.
    pub(super) fn judged(&mut self, next: Result<Next, Refused>, vm: &mut WorkerState) -> Next {
        let next = next.unwrap_or_else(|refused| self.refuse_message(refused));
        // A body that waits is held on; the proxy frees it when it goes on or is refused.
        if !next.state.is_waiting() && !next.state.awaits_body() {
            self.free(vm);
        }
        next
    }

    /// This number of bytes is buffered by the proxy for the filter.
    pub(super) fn request_buffered(
        &mut self,
        bytes: usize,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<(), Reason> {
        if bytes > self.policy.limits.max_body_bytes {
            return Err(Reason::BodyTooLarge);
        }
        if self.hold(bytes, vm, host) { Ok(()) } else { Err(Reason::Overloaded) }
    }

    /// Counts what is buffered of a body; false when the worker has no room for it.
    pub(super) fn hold(&mut self, bytes: usize, vm: &mut WorkerState, host: &mut dyn Host) -> bool {
        let limits = &self.policy.limits;
        let (most, one) = (limits.max_buffered_bytes_per_worker, limits.max_body_bytes);
        // Who holds stays the same until all is freed.
        if self.buffered == 0 {
            self.holders = self.caller.iter().cloned().collect();
            self.is_connection_known = false;
        }
        let more = bytes.saturating_sub(self.buffered);
        // To ask the proxy for the connection costs more than the rest.
        if !self.is_connection_known && !vm.pool.has_plenty(more, most) {
            self.is_connection_known = true;
            if let Some(id) = host.property(&["connection", "id"]) {
                let connection: pool::Holder = [b"n", id.as_slice()].concat().into();
                vm.pool.join(self.buffered, &connection);
                vm.copies.join(self.copied, &connection);
                self.holders.push(connection);
            }
        }
        let held = vm.pool.hold(more, most, one, &self.holders);
        self.buffered += if held { more } else { 0 };
        held
    }

    /// Counts what is held of a stream, which may be less than before; false when the worker has no room for it.
    pub(super) fn hold_now(&mut self, bytes: usize, vm: &mut WorkerState, host: &mut dyn Host) -> bool {
        let less = self.buffered.saturating_sub(bytes);
        vm.pool.release(less, &self.holders);
        self.buffered -= less;
        self.hold(bytes, vm, host)
    }

    /// Counts what stays in the VM's memory until another callback; false when there is no room for it.
    pub(super) fn copy(&mut self, bytes: usize, vm: &mut WorkerState) -> bool {
        let one = self.policy.limits.max_body_bytes.saturating_mul(2);
        let more = bytes.saturating_sub(self.copied);
        let held = vm.copies.hold(more, MOST_COPIES, one, &self.holders);
        self.copied += if held { more } else { 0 };
        held
    }

    pub(super) fn free(&mut self, vm: &mut WorkerState) {
        vm.copies.release(std::mem::take(&mut self.copied), &self.holders);
        vm.pool.release(std::mem::take(&mut self.buffered), &self.holders);
    }

    /// What the reply cost, as far as it has come.
    pub(super) fn spent(&self) -> Spent {
        let mut spent = self.account.meter.spent;
        spent.add(self.noted.spent);
        spent
    }

    /// Ends the exchange.
    pub(super) fn finish(mut self, ending: Ending, vm: &mut WorkerState, host: &mut dyn Host) -> Finished {
        self.free(vm);
        if let Some(desk) = self.asking.take().and_then(|index| vm.desk(index)) {
            desk.close();
        }
        self.account.add_reply(std::mem::take(&mut self.noted));
        let mut settlements = self.pay(ending, vm, host);
        let late_cooldowns = vm.settle_strikes(&self.policy, host);
        settlements.append(&mut vm.take_told());
        let latency_us = self.spent_nanos / 1000;
        let (worker, sequence) = vm.next_record(&self.policy, host);
        self.account.record.set_end(latency_us, &worker, sequence, late_cooldowns);
        let duration = self.times.begun.map(|begun| host.now().0.saturating_sub(begun.0));
        self.account.record.set_times(duration, self.times.first_chunk_ms);
        let increments = metrics::of(&self.account.record);
        let capture = self.captured(vm, host);
        let record = vm.seal(sequence, self.account.record.to_json(host.now()), host);
        let samples = metrics::samples(&self.account.record);
        Finished { record, capture, increments, samples, settlements }
    }

    /// A refusal in the words of the caller's protocol.
    pub(super) fn refusal(&self, denial: &Denial) -> Refusal {
        let told = self.told(denial);
        self.speaks().map_or_else(|| Protocol::fallback().refuse(&told), |protocol| protocol.refuse(&told))
    }

    pub(super) fn protocol(&self) -> Option<&Protocol> {
        self.policy.route_at(self.route?).map(|route| &route.protocol)
    }

    /// The protocol that the caller's SDK speaks, as far as the path tells.
    fn speaks(&self) -> Option<&Protocol> {
        let near = || Some(&self.policy.route_at(self.near?)?.protocol);
        self.protocol().or_else(near)
    }

    /// A refusal as the caller is told of it.
    pub(super) fn told<'t>(&'t self, denial: &'t Denial) -> Told<'t> {
        self.teller.explained(denial, self.rpc_id.as_deref(), self.account.causes())
    }

    /// The header that tells the caller's SDK which exception a refusal is.
    pub(super) fn error_header(&self, denial: &Denial) -> Option<(&'static str, String)> {
        let (name, value) = self.speaks()?.error_header(denial)?;
        Some((name, value.to_owned()))
    }

    /// The header that tells the caller by which id to report a refusal.
    pub(super) fn id_header(&self) -> Option<(&'static str, String)> {
        let name = self.speaks().map_or_else(|| Protocol::fallback().id_header(), |protocol| protocol.id_header());
        Some((name, self.teller.request.clone()?))
    }
}
