//! One HTTP stream: every callback hands its event to the core and applies the step that comes back.
//!
//! Whatever the host refuses to do ends in a refusal, and when even that fails in a reset.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use log::Level;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::calls::Asker;
use super::envoy::EnvoyHost;
use super::host::{self, Buffer, Map};
use super::worker::{Worker, grpc_answered, http_answered};
use crate::audit::{RECORD_PROPERTY, is_ours};
use crate::callout::{Answer, Call, CallFailure};
use crate::held::Why;
use crate::host::{Fault, Timestamp};
use crate::policy::Policy;
use crate::transaction::{Edit, Event, Part, Reads, Reply, Step, Transaction};

/// One HTTP stream. The worker's tick reaches it too, while it waits.
pub struct Stream(Rc<RefCell<Exchange>>);

/// One exchange on the wire.
pub struct Exchange {
    context: u32,
    /// Itself, for those who must find it again.
    own: Weak<RefCell<Exchange>>,
    /// The call whose answer it waits for.
    call: Option<u32>,
    /// `None`: there is no policy, or the exchange has ended.
    exchange: Option<Transaction>,
    policy: Option<Arc<Policy>>,
    worker: Rc<RefCell<Worker>>,
    /// A reply of ours was sent, or the stream reset: nothing may be touched any more.
    answered: bool,
    /// The whole body is buffered.
    body_ended: bool,
    /// How a reply is delivered that waits for an outside judge.
    reply: Delivery,
    /// When the last step ended, in nanoseconds since the Unix epoch.
    moment: u64,
}

/// How a reply is delivered that waits for an outside judge.
#[derive(Default)]
struct Delivery {
    flow: Flow,
    /// Nothing more comes from the upstream.
    ended: bool,
    /// It has begun: what is awaited now is awaited by the reply.
    begun: bool,
    /// Bytes of a stream that may go on and for which there was no buffer.
    owed: Vec<u8>,
}

/// What Envoy does with the bytes of a stream.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Flow {
    /// It passes on what a callback leaves in the buffer.
    #[default]
    Passing,
    /// It holds what is in the buffer until the stream is continued.
    Stopped,
    /// The stream was continued outside of a callback of its own. What comes next is put into the buffer of a stopped stream,
    /// which leaves only when it is continued.
    Loose,
}

impl Stream {
    /// A stream under the policy in force, which stays its own until it ends.
    pub fn new(context: u32, policy: Option<Arc<Policy>>, worker: Rc<RefCell<Worker>>) -> Stream {
        let exchange = policy.clone().map(Transaction::new);
        Stream(Rc::new_cyclic(|own| {
            let own = Weak::clone(own);
            let (answered, body_ended) = (false, false);
            let (reply, moment) = (Delivery::default(), 0);
            RefCell::new(Exchange {
                context,
                own,
                call: None,
                exchange,
                policy,
                worker,
                answered,
                body_ended,
                reply,
                moment,
            })
        }))
    }
}

impl Exchange {
    /// Runs the core until it needs something from outside: calls are made here.
    fn step(&mut self, event: Event<'_>) -> Step {
        let mut step = self.one_step(event);
        while let Step::Await(wait) = &step {
            let why = match wait.call {
                Some(_) => Why::Call(wait.deadline.0),
                None if self.call.is_some() => return step,
                None if self.is_scanning() => Why::Scan(wait.deadline.0),
                None => Why::Keys(wait.deadline.0),
            };
            if !self.hold(why) {
                let is_reply = self.exchange.as_ref().is_some_and(|one| one.reads_response() == Reads::Whole);
                if !is_reply {
                    return self.overload();
                }
                // The policy says what becomes of a reply about which nobody was asked. One that can't be scanned is refused.
                let unasked = Event::Answered(Answer::Failed(CallFailure::NotMade));
                step = self.one_step(if wait.call.is_some() { unasked } else { Event::Expired });
                continue;
            }
            match &wait.call {
                Some(call) if !self.make(call) => {
                    step = self.one_step(Event::Answered(Answer::Failed(CallFailure::NotMade)));
                }
                _ => return step,
            }
        }
        if let Step::Part(part) = step { self.part(part) } else { step }
    }

    /// Makes the call of a stream that outside judges are shown.
    fn part(&mut self, mut part: Part) -> Step {
        while let Some(wait) = part.wait.take() {
            let is_held = self.hold(Why::Call(wait.deadline.0));
            if is_held && wait.call.as_ref().is_some_and(|call| self.make(call)) {
                break;
            }
            let failed = Answer::Failed(CallFailure::NotMade);
            match self.one_step(Event::Answered(failed)) {
                Step::Part(next) => {
                    part.bytes.extend(next.bytes);
                    (part.holds, part.wait) = (next.holds, next.wait);
                }
                other => return other,
            }
        }
        Step::Part(part)
    }

    /// Too many wait.
    fn overload(&mut self) -> Step {
        self.exchange.as_mut().map_or_else(no_policy, Transaction::overload)
    }

    /// Makes a call; false when the proxy does not take it.
    fn make(&mut self, call: &Call) -> bool {
        let Some(own) = self.own.upgrade() else { return false };
        let made = self.worker.borrow_mut().calls.make(call, Asker::Stream(self.context, own));
        self.call = made.ok();
        self.call.is_some()
    }

    /// Waits from now on; false when too many do.
    fn hold(&self, why: Why) -> bool {
        self.own.upgrade().is_some_and(|own| self.worker.borrow_mut().hold(self.context, why, self.moment, &own))
    }

    /// Waits no more.
    fn unhold(&mut self) {
        let mut worker = self.worker.borrow_mut();
        worker.unhold(self.context);
        if let Some(token) = self.call.take() {
            worker.calls.forget(token);
        }
    }

    /// Counts what is buffered of a body. That takes less time than reading the clock.
    fn count_buffered(&mut self, event: Event<'_>) -> Step {
        let mut worker = self.worker.borrow_mut();
        let (Some(exchange), Some(policy)) = (&mut self.exchange, &self.policy) else { return no_policy() };
        match worker.vm(policy) {
            Ok(vm) => exchange.step(event, vm, &mut EnvoyHost::new()),
            Err(_) => exchange.fault(),
        }
    }

    /// Runs one step of the core; the time it takes counts as the filter's.
    fn one_step(&mut self, event: Event<'_>) -> Step {
        let begun = host::now();
        let mut worker = self.worker.borrow_mut();
        let (Some(exchange), Some(policy)) = (&mut self.exchange, &self.policy) else { return no_policy() };
        let step = match worker.vm(policy) {
            Ok(vm) => exchange.step(event, vm, &mut EnvoyHost::at(begun)),
            Err(_) => exchange.fault(),
        };
        self.moment = host::now();
        exchange.add_time(self.moment.saturating_sub(begun));
        step
    }

    /// What the host could not do ends the exchange.
    fn fault(&mut self, fault: &Fault) -> Action {
        host::log(Level::Error, &format!("bartizan: {fault}"));
        let reply = match (&mut self.exchange, &self.policy) {
            (Some(exchange), Some(_)) => exchange.fault(),
            _ => no_policy(),
        };
        self.apply(reply, Map::RequestHeaders)
    }

    fn apply(&mut self, step: Step, map: Map) -> Action {
        match step {
            Step::NeedMore | Step::Await(_) | Step::Part(_) => Action::Pause,
            Step::Release(edit) => match release(&edit, map) {
                Ok(()) => Action::Continue,
                Err(fault) => self.fault(&fault),
            },
            Step::Deny(reply) => {
                self.answer(&reply);
                Action::Pause
            }
        }
    }

    fn answer(&mut self, reply: &Reply) {
        if std::mem::replace(&mut self.answered, true) {
            return;
        }
        let headers: Vec<(&str, &str)> = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if host::reply(reply.status, &headers, &reply.body, reply.reason).is_err() {
            host::reset_stream();
        }
    }

    /// The body is whole: read it once and let the core judge it.
    fn judge_body(&mut self) -> Action {
        match host::buffer(Buffer::RequestBody, 0, usize::MAX >> 1) {
            Ok(body) => {
                let step = self.step(Event::RequestBody(body));
                self.apply(step, Map::RequestHeaders)
            }
            Err(fault) => self.fault(&fault),
        }
    }

    fn is_waiting(&self) -> bool {
        self.exchange.as_ref().is_some_and(Transaction::is_waiting)
    }

    fn is_scanning(&self) -> bool {
        self.exchange.as_ref().is_some_and(Transaction::is_scanning)
    }

    fn awaits_body(&self) -> bool {
        self.exchange.as_ref().is_some_and(Transaction::awaits_body)
    }

    /// The worker's tick: what is awaited may have come. True when nothing is left to wait for, or to do.
    pub fn resume(&mut self) -> bool {
        let step = self.step(Event::Resumed);
        if matches!(&step, Step::Await(wait) if wait.call.is_none()) {
            return false;
        }
        self.go_on(step);
        true
    }

    /// What is awaited did not come in time.
    pub fn expire(&mut self) {
        self.unhold();
        let step = self.step(Event::Expired);
        self.go_on(step);
    }

    /// The call was answered.
    pub fn answered(&mut self, answer: Answer) {
        self.call = None;
        self.unhold();
        let step = self.step(Event::Answered(answer));
        self.go_on(step);
    }

    /// The wait is over, or another one has begun.
    fn go_on(&mut self, mut step: Step) {
        if self.reply.begun {
            return self.resume_reply(step);
        }
        if matches!(step, Step::Await(_)) {
            return;
        }
        self.unhold();
        if step == Step::NeedMore && !self.body_ended {
            if self.hold(Why::Body) {
                return;
            }
            step = self.overload();
        }
        let judge = step == Step::NeedMore;
        self.body_ended = false;
        let action = if judge { self.judge_body() } else { self.apply(step, Map::RequestHeaders) };
        if action == Action::Continue
            && let Err(fault) = host::continue_request()
        {
            self.fault(&fault);
        }
    }

    fn request_headers(&mut self, end: bool) -> Action {
        let headers = match host::headers(Map::RequestHeaders) {
            Ok(headers) => headers,
            Err(fault) => return self.fault(&fault),
        };
        let mut step = self.step(Event::RequestHeaders { headers: &headers, end });
        if step == Step::NeedMore && !self.hold(Why::Body) {
            step = self.overload();
        }
        if let Some(exchange) = &mut self.exchange {
            // A failure to write this line early costs nothing: the last one comes in on_log.
            let _ = host::set_property(RECORD_PROPERTY, exchange.provisional(Timestamp(self.moment)).as_bytes());
        }
        self.apply(step, Map::RequestHeaders)
    }

    fn request_body(&mut self, size: usize, end: bool) -> Action {
        if self.answered {
            return Action::Pause;
        }
        let waits = self.is_waiting();
        if !waits {
            if self.reply.begun {
                return Action::Continue;
            }
            self.worker.borrow_mut().unhold(self.context);
            if !self.awaits_body() {
                return Action::Continue;
            }
            if end {
                return self.judge_body();
            }
        }
        self.body_ended = end;
        let step = self.count_buffered(Event::RequestBuffered(size));
        self.apply(step, Map::RequestHeaders)
    }

    fn request_trailers(&mut self) -> Action {
        if self.answered {
            return Action::Pause;
        }
        if let Err(fault) = strip_trailers(Map::RequestTrailers) {
            return self.fault(&fault);
        }
        // HTTP/2 with trailers never says that the body has ended.
        self.body_ended = true;
        if self.is_waiting() {
            return Action::Pause;
        }
        self.worker.borrow_mut().unhold(self.context);
        if self.awaits_body() { self.judge_body() } else { Action::Continue }
    }

    fn response_headers(&mut self, end: bool) -> Action {
        let headers = match host::headers(Map::ResponseHeaders) {
            Ok(headers) => headers,
            // Our own reply: nothing in it needs a guard.
            Err(_) if self.answered => return Action::Continue,
            Err(fault) => return self.end_reply(&fault),
        };
        let step = self.step(Event::ResponseHeaders { headers: &headers, end });
        // A reply of the proxy's own is not read.
        let reads = self.exchange.as_ref().map(Transaction::reads_response);
        self.reply.begun = reads.is_some_and(|reads| reads != Reads::Nothing);
        self.apply_response(step)
    }

    /// `size` counts all that is buffered while a reply is held, and only the chunk otherwise.
    fn response_body(&mut self, size: usize, end: bool) -> Action {
        if self.answered {
            return Action::Continue;
        }
        match self.exchange.as_ref().map(Transaction::reads_response) {
            Some(Reads::Whole) if end => self.judge_reply(),
            Some(Reads::Whole) => {
                let step = self.count_buffered(Event::ResponseBuffered(size));
                self.apply_response(step)
            }
            Some(Reads::Stream) => match host::buffer(Buffer::ResponseBody, 0, size) {
                Ok(chunk) => {
                    self.reply.ended |= end;
                    let step = self.step(Event::ResponseChunk { chunk: &chunk, end });
                    self.apply_response(step)
                }
                Err(fault) => self.end_reply(&fault),
            },
            Some(Reads::Nothing) | None => Action::Continue,
        }
    }

    fn response_trailers(&mut self) -> Action {
        let Some(exchange) = self.exchange.as_ref().filter(|_| !self.answered) else { return Action::Continue };
        // A verdict that the upstream writes is not ours.
        if let Err(fault) = strip_trailers(Map::ResponseTrailers) {
            return self.end_reply(&fault);
        }
        match exchange.reads_response() {
            Reads::Whole => self.judge_reply(),
            Reads::Stream if exchange.holds_response() && self.reply.flow != Flow::Passing => {
                self.reply.ended = true;
                let step = self.step(Event::ResponseChunk { chunk: b"", end: true });
                self.apply_response(step)
            }
            Reads::Stream if exchange.holds_response() => {
                // Trailers leave no way to write what waits: cut off is better than unseen.
                self.end_reply(&Fault("a stream with trailers ended in the middle of an event"))
            }
            Reads::Stream | Reads::Nothing => Action::Continue,
        }
    }

    /// The reply is whole: read it once and let the core judge it.
    fn judge_reply(&mut self) -> Action {
        match host::buffer(Buffer::ResponseBody, 0, usize::MAX >> 1) {
            Ok(body) => {
                let step = self.step(Event::ResponseBody(body));
                self.apply_response(step)
            }
            Err(fault) => self.end_reply(&fault),
        }
    }

    fn apply_response(&mut self, step: Step) -> Action {
        match step {
            Step::Release(edit) => match release(&edit, Map::ResponseHeaders) {
                Ok(()) => {
                    // A stream that was continued outside of its callbacks leaves what is in the buffer there.
                    if self.reply.flow == Flow::Loose && edit.body.as_ref().is_none_or(|body| !body.is_empty()) {
                        return self.push_out();
                    }
                    self.reply.flow = Flow::Passing;
                    Action::Continue
                }
                Err(fault) => self.end_reply(&fault),
            },
            Step::NeedMore | Step::Await(_) => Action::Pause,
            Step::Part(part) => self.deliver(part),
            Step::Deny(_) => self.end_reply(&Fault("a reply can't be denied")),
        }
    }

    /// In a callback of the response's body or trailers: lets a part of a stream go on.
    fn deliver(&mut self, part: Part) -> Action {
        // The stream was ended while a judge was asked: its answer is nobody's.
        if !part.holds && self.call.is_some() {
            self.unhold();
        }
        let mut bytes = std::mem::take(&mut self.reply.owed);
        bytes.extend(part.bytes);
        // In a stream that passes, nothing can both go on and be held.
        let keeps = part.holds && (self.reply.flow == Flow::Passing || self.reply.ended);
        let out = if keeps { &[] } else { bytes.as_slice() };
        if let Err(fault) = host::replace_buffer(Buffer::ResponseBody, out) {
            return self.end_reply(&fault);
        }
        if keeps {
            self.reply.owed = bytes;
            self.reply.flow = Flow::Stopped;
            return Action::Pause;
        }
        match (part.holds, self.reply.flow) {
            (false, Flow::Passing | Flow::Stopped) => {
                self.reply.flow = Flow::Passing;
                Action::Continue
            }
            (false, Flow::Loose) if bytes.is_empty() => {
                self.reply.flow = Flow::Passing;
                Action::Continue
            }
            (true, _) if bytes.is_empty() => {
                self.reply.flow = Flow::Stopped;
                Action::Pause
            }
            _ => self.push_out(),
        }
    }

    /// In a callback: lets go what is in the buffer, and holds what comes next.
    fn push_out(&mut self) -> Action {
        self.reply.flow = Flow::Stopped;
        match host::continue_response() {
            Ok(()) => Action::Pause,
            Err(fault) => self.end_reply(&fault),
        }
    }

    /// An outside judge of the reply has answered, or did not: the reply goes on, or waits for another one.
    fn resume_reply(&mut self, step: Step) {
        let done = match step {
            Step::Await(_) | Step::NeedMore => return,
            Step::Release(edit) => {
                self.unhold();
                release(&edit, Map::ResponseHeaders).and_then(|()| host::continue_response())
            }
            Step::Part(part) => self.deliver_late(part),
            Step::Deny(_) => Err(Fault("a reply can't be denied")),
        };
        if let Err(fault) = done {
            self.end_reply(&fault);
        }
    }

    /// Outside of the response's callbacks: lets a part of a stream go on.
    fn deliver_late(&mut self, part: Part) -> Result<(), Fault> {
        if self.call.is_none() {
            self.unhold();
        }
        self.reply.owed.extend(part.bytes);
        // What has ended goes on only as a whole; what passes has no buffer to write to.
        let waits = self.reply.flow == Flow::Passing || part.holds && self.reply.ended;
        if waits || self.reply.owed.is_empty() && !self.reply.ended {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.reply.owed);
        host::replace_buffer(Buffer::ResponseBody, &bytes)?;
        self.reply.flow = Flow::Loose;
        host::continue_response()
    }

    /// What can't be guarded does not go on.
    fn end_reply(&mut self, fault: &Fault) -> Action {
        host::log(Level::Error, &format!("bartizan: reply: {fault}"));
        if let Some(exchange) = &mut self.exchange {
            exchange.fault();
        }
        self.answered = true;
        host::reset_stream();
        Action::Pause
    }

    fn log(&mut self) {
        self.unhold();
        let (Some(exchange), Some(policy)) = (self.exchange.take(), &self.policy) else { return };
        let mut worker = self.worker.borrow_mut();
        let Ok(vm) = worker.vm(policy) else { return };
        let now = host::now();
        let finished = exchange.finish(vm, &mut EnvoyHost::at(now));
        let is_set = host::set_property(RECORD_PROPERTY, finished.record.as_bytes()).is_ok();
        if !is_set {
            host::log(Level::Warn, "bartizan: the audit record could not be set as filter state");
        }
        if policy.audit.log_line || !is_set {
            host::log(Level::Info, &finished.record);
        }
        if let Some(capture) = &finished.capture {
            host::log(Level::Info, capture);
        }
        worker.count(finished, Timestamp(now));
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, _: usize, size: usize, _: usize) {
        let worker = Rc::clone(&self.0.borrow().worker);
        http_answered(&worker, None, token, size);
    }

    fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        let worker = Rc::clone(&self.0.borrow().worker);
        grpc_answered(&worker, None, token, status, size);
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        self.0.borrow_mut().request_headers(end)
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.0.borrow_mut().request_body(size, end)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.0.borrow_mut().request_trailers()
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        self.0.borrow_mut().response_headers(end)
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        self.0.borrow_mut().response_body(size, end)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.0.borrow_mut().response_trailers()
    }

    fn on_log(&mut self) {
        self.0.borrow_mut().log();
    }
}

/// Applies changes: headers first, the body last.
fn release(edit: &Edit, map: Map) -> Result<(), Fault> {
    for name in &edit.remove {
        host::remove_header(map, name)?;
    }
    for (name, value) in &edit.set {
        host::set_header(map, name.as_bytes(), value.as_bytes())?;
    }
    match &edit.body {
        Some(body) => {
            let buffer = if map == Map::ResponseHeaders { Buffer::ResponseBody } else { Buffer::RequestBody };
            host::replace_buffer(buffer, body)
        }
        None => Ok(()),
    }
}

/// Takes away what only the filter may say.
fn strip_trailers(map: Map) -> Result<(), Fault> {
    let trailers = host::headers(map)?;
    trailers.iter().filter(|(name, _)| is_ours(name)).try_for_each(|(name, _)| host::remove_header(map, name))
}

/// Without a policy nothing passes. Envoy does not let it come to this: it refuses such a configuration.
fn no_policy() -> Step {
    Step::Deny(Reply { status: 503, headers: Vec::new(), body: Vec::new(), reason: "internal" })
}
