//! One HTTP stream: every callback hands its event to the core and applies the step that comes back.
//!
//! Whatever the host refuses to do ends in a refusal, and when even that fails in a reset.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use log::Level;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::{self, Buffer, Map};
use super::root::{EnvoyHost, Worker};
use crate::audit::{RECORD_PROPERTY, is_ours};
use crate::config::Policy;
use crate::host::{Fault, Timestamp};
use crate::transaction::{Edit, Event, Reply, Step, Transaction};

/// One exchange on the wire.
pub struct Stream {
    context: u32,
    /// `None`: there is no policy, or the exchange has ended.
    exchange: Option<Transaction>,
    policy: Option<Arc<Policy>>,
    worker: Rc<RefCell<Worker>>,
    /// A reply of ours was sent, or the stream reset: nothing may be touched any more. Shared with the
    /// worker, whose tick ends streams that are stuck.
    answered: Rc<Cell<bool>>,
}

impl Stream {
    /// A stream under the policy in force, which stays its own until it ends.
    pub fn new(context: u32, policy: Option<Arc<Policy>>, worker: Rc<RefCell<Worker>>) -> Stream {
        let exchange = policy.clone().map(Transaction::new);
        Stream { context, exchange, policy, worker, answered: Rc::new(Cell::new(false)) }
    }

    /// Runs one step of the core; the time it takes counts as the filter's.
    fn step(&mut self, event: Event<'_>) -> Step {
        let begun = host::now();
        let mut worker = self.worker.borrow_mut();
        let (Some(exchange), Some(policy)) = (&mut self.exchange, &self.policy) else { return no_policy() };
        let step = match worker.vm(policy) {
            Ok(vm) => exchange.step(event, vm, &mut EnvoyHost),
            Err(_) => exchange.fault(),
        };
        exchange.add_time(host::now().saturating_sub(begun));
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
            Step::NeedMore => Action::Pause,
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
        if self.answered.replace(true) {
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

    fn awaits_body(&self) -> bool {
        self.exchange.as_ref().is_some_and(Transaction::awaits_body)
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        let headers = match host::headers(Map::RequestHeaders) {
            Ok(headers) => headers,
            Err(fault) => return self.fault(&fault),
        };
        let step = self.step(Event::RequestHeaders { headers: &headers, end });
        if let Some(exchange) = &mut self.exchange {
            // A failure to write this line early costs nothing: the last one comes in on_log.
            let _ = host::set_property(RECORD_PROPERTY, exchange.provisional(Timestamp(host::now())).as_bytes());
        }
        if step == Step::NeedMore {
            self.worker.borrow_mut().hold(self.context, &self.answered);
        }
        self.apply(step, Map::RequestHeaders)
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.worker.borrow_mut().unhold(self.context);
        if self.answered.get() {
            return Action::Pause;
        }
        if !self.awaits_body() {
            return Action::Continue;
        }
        if end {
            return self.judge_body();
        }
        let step = self.step(Event::RequestBuffered(size));
        self.apply(step, Map::RequestHeaders)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.worker.borrow_mut().unhold(self.context);
        if self.answered.get() {
            return Action::Pause;
        }
        match host::headers(Map::RequestTrailers) {
            Ok(trailers) => {
                for (name, _) in trailers.iter().filter(|(name, _)| is_ours(name)) {
                    if let Err(fault) = host::remove_header(Map::RequestTrailers, name) {
                        return self.fault(&fault);
                    }
                }
            }
            Err(fault) => return self.fault(&fault),
        }
        // HTTP/2 with trailers never says that the body has ended.
        if self.awaits_body() { self.judge_body() } else { Action::Continue }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let Ok(headers) = host::headers(Map::ResponseHeaders) else { return Action::Continue };
        match self.step(Event::ResponseHeaders(&headers)) {
            Step::Release(edit) => {
                if let Err(fault) = release(&edit, Map::ResponseHeaders) {
                    host::log(Level::Warn, &format!("bartizan: response headers: {fault}"));
                }
            }
            Step::NeedMore | Step::Deny(_) => {}
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _: bool) -> Action {
        if self.exchange.as_ref().is_some_and(Transaction::reads_response)
            && let Ok(chunk) = host::buffer(Buffer::ResponseBody, 0, size)
        {
            self.step(Event::ResponseChunk(&chunk));
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        let (Some(mut exchange), Some(policy)) = (self.exchange.take(), &self.policy) else { return };
        let mut worker = self.worker.borrow_mut();
        worker.unhold(self.context);
        if self.answered.get() && !exchange.is_refused() {
            // The worker's tick ended it.
            exchange.fault();
        }
        let Ok(vm) = worker.vm(policy) else { return };
        let finished = exchange.finish(vm, Timestamp(host::now()));
        if host::set_property(RECORD_PROPERTY, finished.record.as_bytes()).is_err() {
            host::log(Level::Warn, "bartizan: the audit record could not be set as filter state");
        }
        host::log(Level::Info, &finished.record);
        worker.count(&finished);
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
        Some(body) => host::replace_buffer(Buffer::RequestBody, body),
        None => Ok(()),
    }
}

/// Without a policy nothing passes. Envoy does not let it come to this: it refuses such a configuration.
fn no_policy() -> Step {
    Step::Deny(Reply { status: 503, headers: Vec::new(), body: Vec::new(), reason: "internal" })
}
