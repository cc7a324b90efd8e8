//! One VM: the policy in force, what streams share, and the metrics.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use log::Level;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::calls::{self, Asker, Calls};
use super::host::{self, Buffer, MetricKind};
use super::stream::{Exchange, Stream};
use crate::audit::metrics::{self, DROPPED, Increment, LATENCY, MAX_SERIES, MEMORY};
use crate::audit::policy_record;
use crate::authn::{Fetch, Fetched};
use crate::callout::{Answer, CallFailure};
use crate::held::{HeldStreams, Seldom, Turn, Why};
use crate::host::{Fault, HashFunction, Host, SetOutcome, Shared, Timestamp};
use crate::policy::Policy;
use crate::quota::fleet::Batch;
use crate::transaction::{Finished, WorkerState};

/// What the streams of one VM share.
#[derive(Default)]
pub struct Worker {
    /// Made at the first request: the configuration step must stay pure.
    vm: Option<WorkerState>,
    metrics: HashMap<String, u32>,
    latency: Option<u32>,
    dropped: Option<u32>,
    /// The most linear memory that was told, in bytes.
    memory: u64,
    /// Streams that are held.
    held: HeldStreams<Rc<RefCell<Exchange>>>,
    /// Streams whose body never came.
    stuck: Seldom,
    /// The period of the tick, in milliseconds; 0: there is none.
    pace: u32,
    /// Calls that are under way.
    pub calls: Calls,
}

const STUCK: &str = "since the last such line were held for 10 s and their bodies never came; holdHeaders: true \
    needs allow_on_headers_stop_iteration: true in Envoy's plugin config";

/// The tick while nothing is urgent, while requests wait for keys, and while streams are left that could go on.
const TICK_MILLIS: u32 = 1000;
const WAITING_TICK_MILLIS: u32 = 100;
const SOON_MILLIS: u32 = 10;

/// The root context.
pub struct Root {
    policy: Option<Arc<Policy>>,
    worker: Rc<RefCell<Worker>>,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _: usize, size: usize, _: usize) {
        calls::http_answered(&self.worker, self.policy.as_ref(), token, size);
    }

    fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        calls::grpc_answered(&self.worker, self.policy.as_ref(), token, status, size);
    }
}

impl RootContext for Root {
    /// A document that is refused keeps the policy in force: Envoy keeps the last good one.
    fn on_configure(&mut self, size: usize) -> bool {
        let Ok(document) = host::buffer(Buffer::PluginConfiguration, 0, size) else { return false };
        match Policy::from_json(&document, &|name| std::env::var(name).ok()) {
            Ok(policy) => {
                // Envoy's main thread comes here before any worker does: what the workers share is
                // made while nobody races for it.
                if let Err(fault) = WorkerState::prepare(&policy, &mut EnvoyHost) {
                    host::log(Level::Warn, &format!("bartizan: shared state is not prepared: {fault}"));
                }
                let mut worker = self.worker.borrow_mut();
                let period = worker.pace_for(&policy, false);
                if let Err(fault) = worker.tick_every(period) {
                    host::log(
                        Level::Warn,
                        &format!("bartizan: no keys are fetched and no stuck stream is ended: {fault}"),
                    );
                }
                drop(worker);
                host::log(Level::Info, &policy.summary());
                self.note_policy(Ok(policy.digest_short()));
                self.policy = Some(Arc::new(policy));
                true
            }
            Err(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                for error in &errors {
                    host::log(Level::Error, &format!("bartizan: configuration refused: {error}"));
                }
                self.note_policy(Err(&errors));
                false
            }
        }
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(context, self.policy.clone(), Rc::clone(&self.worker))))
    }

    fn on_tick(&mut self) {
        let Some(policy) = &self.policy else { return };
        self.worker.borrow_mut().fetch_keys(policy);
        let leaves_some = resume_held(&self.worker);
        let mut worker = self.worker.borrow_mut();
        worker.settle(policy);
        if let Some(count) = worker.stuck.to_say(host::now()) {
            host::log(Level::Error, &format!("bartizan: {count} requests {STUCK}"));
        }
        let period = worker.pace_for(policy, leaves_some);
        // On a failure the tick stays as it was.
        let _ = worker.tick_every(period);
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Root {
    /// The root context of this number.
    pub fn new(context: u32) -> Root {
        let calls = Calls::new(context);
        Root { policy: None, worker: Rc::new(RefCell::new(Worker { calls, ..Worker::default() })) }
    }

    /// Records and counts a document. Every worker is given each one, and Envoy's main thread first.
    fn note_policy(&self, outcome: Result<&str, &[String]>) {
        let level = if outcome.is_ok() { Level::Info } else { Level::Error };
        host::log(level, &policy_record(outcome, Timestamp(host::now())));
        if let Some(id) = self.worker.borrow_mut().series(&metrics::policies(outcome.is_ok())) {
            host::increment_metric(id, 1);
        }
    }
}

impl Worker {
    /// What the VM remembers; made when it is first asked for.
    pub fn vm(&mut self, policy: &Policy) -> Result<&mut WorkerState, Fault> {
        if self.vm.as_ref().is_none_or(|vm| !vm.fits(policy)) {
            self.vm = Some(WorkerState::new(policy, &mut EnvoyHost)?);
        }
        self.vm.as_mut().ok_or(Fault("vm"))
    }

    /// A stream is held from now on; false when too many are.
    pub fn hold(&mut self, context: u32, why: Why, stream: &Rc<RefCell<Exchange>>) -> bool {
        let is_held = self.held.hold(context, why, host::now(), Rc::clone(stream));
        if is_held {
            self.tick_within(if matches!(why, Why::Keys(_)) { WAITING_TICK_MILLIS } else { TICK_MILLIS });
        }
        is_held
    }

    /// A stream's body comes, or what it waited for, or the stream is gone.
    pub fn unhold(&mut self, context: u32) {
        self.held.release(context);
    }

    /// Sets the tick's period, in milliseconds; 0: no tick. Envoy starts the timer anew whenever it is told a period,
    /// so that it is told changes only: or else requests that come often enough would put the tick off for ever.
    fn tick_every(&mut self, millis: u32) -> Result<(), Fault> {
        if self.pace != millis {
            host::tick_every(millis)?;
            self.pace = millis;
        }
        Ok(())
    }

    /// The next tick comes within this time. On a failure it comes when it would have.
    fn tick_within(&mut self, millis: u32) {
        if self.pace == 0 || self.pace > millis {
            let _ = self.tick_every(millis);
        }
    }

    /// Fetches the keys that are due.
    fn fetch_keys(&mut self, policy: &Policy) {
        if !policy.authn.has_remote_keys() {
            return;
        }
        let now = Timestamp(host::now());
        let Ok(vm) = self.vm(policy) else { return };
        for fetch in vm.ring.due(&policy.authn, now, &mut EnvoyHost) {
            if let Err(Asker::Keys(fetch)) = self.calls.make(&fetch.call(), Asker::Keys(fetch)) {
                // The cluster is not known, or not yet.
                self.took_keys(policy, &fetch, None, None);
            }
        }
    }

    /// Takes an answer to a fetch of keys.
    pub fn keys_answered(&mut self, policy: &Policy, fetch: &Fetch, answer: &Answer) {
        let body = match answer {
            Answer::Http { status: 200, body } => Some(&**body),
            // What is too long is no key set.
            Answer::Failed(CallFailure::TooLong) => Some(&b""[..]),
            _ => None,
        };
        let status = match answer {
            Answer::Http { status, .. } => Some(*status),
            _ => None,
        };
        self.took_keys(policy, fetch, body, status);
        if self.held.wants_keys() {
            self.tick_within(SOON_MILLIS);
        }
    }

    /// Tells the service that counts for the fleet what requests have used.
    fn settle(&mut self, policy: &Policy) {
        let now = Timestamp(host::now());
        while let Some((call, batch)) = self.vm(policy).ok().and_then(|vm| vm.settlements.due(&policy.quotas, now)) {
            if let Err(Asker::Settlement(batch)) = self.calls.make(&call, Asker::Settlement(batch)) {
                self.settled(policy, batch, &Answer::Failed(CallFailure::NotMade));
                return;
            }
        }
    }

    /// Takes an answer to a settlement.
    pub fn settled(&mut self, policy: &Policy, batch: Batch, answer: &Answer) {
        let Ok(vm) = self.vm(policy) else { return };
        let outcome = vm.settlements.settled(batch, answer);
        let dropped = vm.settlements.take_dropped();
        for (name, by) in [(metrics::settlements(outcome.name()), 1), (metrics::settlements("dropped"), dropped)] {
            if by > 0
                && let Some(id) = self.series(&name)
            {
                host::increment_metric(id, i64::try_from(by).unwrap_or(i64::MAX));
            }
        }
    }

    fn took_keys(&mut self, policy: &Policy, fetch: &Fetch, body: Option<&[u8]>, status: Option<u16>) {
        let now = Timestamp(host::now());
        let Ok(vm) = self.vm(policy) else { return };
        let (outcome, is_news) = vm.ring.fetched(&policy.authn, fetch, body, now, &mut EnvoyHost);
        let outcome = outcome.with_status(status);
        if is_news {
            let Fetch { what, cluster, authority, path, .. } = fetch;
            let (level, words) = match outcome {
                Fetched::Stored => (Level::Info, "fetched again".to_owned()),
                Fetched::NoKeys => {
                    let why = fetch.why_unusable(body.unwrap_or_default());
                    (Level::Warn, format!("{outcome} ({authority}{path}): {why}"))
                }
                failure => (Level::Warn, format!("{failure} ({authority}{path})")),
            };
            host::log(level, &format!("bartizan: {what} of cluster {cluster}: {words}"));
        }
        if let Some(id) = self.series(&metrics::fetches(fetch.what, outcome)) {
            host::increment_metric(id, 1);
        }
    }

    /// The tick that what is held, what is missing and what must be told need.
    fn pace_for(&self, policy: &Policy, leaves_some: bool) -> u32 {
        let now = Timestamp(host::now());
        let vm = self.vm.as_ref();
        let fetches = policy.authn.has_remote_keys();
        let lacks_keys = fetches && !vm.is_some_and(|vm| vm.ring.has_keys(&policy.authn, now));
        let settles = vm.is_some_and(|vm| vm.settlements.is_waiting());
        if leaves_some {
            SOON_MILLIS
        } else if lacks_keys || settles || self.held.wants_keys() {
            WAITING_TICK_MILLIS
        } else if fetches || policy.quotas.has_fleet() || policy.hold_headers || !self.held.is_empty() {
            TICK_MILLIS
        } else {
            0
        }
    }

    /// Counts one finished exchange, and keeps what must be told of it.
    pub fn count(&mut self, finished: Finished) {
        let now = Timestamp(host::now());
        if let Some(vm) = self.vm.as_mut()
            && !finished.settlements.is_empty()
        {
            finished.settlements.into_iter().for_each(|settlement| vm.settlements.push(settlement, now));
            // Without a faster tick it would wait up to a second.
            self.tick_within(WAITING_TICK_MILLIS);
        }
        for Increment { name, by } in &finished.increments {
            match self.series(name) {
                Some(id) => host::increment_metric(id, i64::try_from(*by).unwrap_or(i64::MAX)),
                None => self.count_dropped(),
            }
        }
        if self.latency.is_none() {
            self.latency = host::define_metric(MetricKind::Histogram, LATENCY).ok();
        }
        if let Some(id) = self.latency {
            host::record_metric(id, finished.latency_us);
        }
        self.note_memory();
    }

    /// Tells how far the linear memory has grown.
    fn note_memory(&mut self) {
        let bytes = host::memory();
        if bytes > self.memory {
            self.memory = bytes;
            if let Ok(id) = host::define_metric(MetricKind::Gauge, MEMORY) {
                host::raise_metric(id, bytes);
            }
        }
    }

    /// The counter of this name. Metrics are never freed, so that new names are taken up to a bound.
    fn series(&mut self, name: &str) -> Option<u32> {
        if let Some(id) = self.metrics.get(name) {
            return Some(*id);
        }
        if self.metrics.len() >= MAX_SERIES {
            return None;
        }
        let id = host::define_metric(MetricKind::Counter, name).ok()?;
        self.metrics.insert(name.to_owned(), id);
        Some(id)
    }

    fn count_dropped(&mut self) {
        if self.dropped.is_none() {
            self.dropped = host::define_metric(MetricKind::Counter, DROPPED).ok();
        }
        if let Some(id) = self.dropped {
            host::increment_metric(id, 1);
        }
    }
}

/// Lets held streams go on whose wait is over, and ends those that waited too long. True when some are left for which
/// the next tick should come soon.
///
/// Without `allow_on_headers_stop_iteration` Envoy never delivers the body of a stream whose headers
/// are held: such streams would hang until the client gives up. The switch can't be seen from here,
/// so that streams which get no body are ended and the log names it.
fn resume_held(worker: &Rc<RefCell<Worker>>) -> bool {
    let mut turn = Turn::new(host::now());
    loop {
        // The streams borrow the worker while they go on.
        let next = worker.borrow_mut().held.next(&mut turn);
        let Some(due) = next else { return turn.leaves_some() };
        if host::act_on(due.context).is_err() {
            // The stream is gone.
            worker.borrow_mut().unhold(due.context);
            continue;
        }
        if due.why == Why::Body {
            worker.borrow_mut().stuck.note();
        }
        let mut exchange = due.stream.borrow_mut();
        let goes_on = matches!(due.why, Why::Keys(_)) && exchange.resume();
        if !goes_on && due.is_late {
            exchange.expire();
        }
        if goes_on || due.is_late {
            turn.acted();
        }
    }
}

/// The core's [`Host`] on Envoy.
pub struct EnvoyHost;

impl Host for EnvoyHost {
    fn now(&self) -> Timestamp {
        Timestamp(host::now())
    }

    fn shared_get(&mut self, key: &str) -> Result<Shared, Fault> {
        host::shared_get(key)
    }

    fn shared_set(&mut self, key: &str, value: &[u8], cas: u32) -> Result<SetOutcome, Fault> {
        host::shared_set(key, value, cas)
    }

    fn verify_signature(&mut self, hash: HashFunction, key: &[u8], signature: &[u8], text: &[u8]) -> Option<bool> {
        let answer = host::foreign("verify_signature", &verify_request(hash, key, signature, text))?;
        // Protobuf: field 1, varint, the boolean. Absent means false.
        Some(answer.starts_with(&[0x08, 0x01]))
    }

    fn property(&mut self, path: &[&str]) -> Option<Vec<u8>> {
        host::property(path)
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), Fault> {
        host::random(out)
    }
}

/// Envoy's `envoy.source.extensions.common.wasm.VerifySignatureArguments` in protobuf's wire form:
/// four length-delimited fields, hash name, DER key, signature and text.
fn verify_request(hash: HashFunction, key: &[u8], signature: &[u8], text: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(key.len() + signature.len() + text.len() + 32);
    for (field, bytes) in [(1u8, hash.name().as_bytes()), (2, key), (3, signature), (4, text)] {
        message.push(field << 3 | 2);
        let mut length = bytes.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(bytes);
    }
    message
}
