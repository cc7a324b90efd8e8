//! One VM: the policy in force, what streams share, and the metrics.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use log::Level;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::host::{self, Buffer, Map, MetricKind};
use super::stream::{Exchange, Stream};
use crate::audit::metrics::{self, DROPPED, Increment, LATENCY, MAX_SERIES};
use crate::audit::policy_record;
use crate::authn::{Fetch, Fetched};
use crate::config::Policy;
use crate::host::{Fault, HashFunction, Host, SetOutcome, Shared, Timestamp};
use crate::transaction::{Finished, Vm};

/// What the streams of one VM share.
#[derive(Default)]
pub struct Worker {
    /// Made at the first request: the configuration step must stay pure.
    vm: Option<Vm>,
    metrics: HashMap<String, u32>,
    latency: Option<u32>,
    dropped: Option<u32>,
    /// Streams that are held, by context: why, and since when (nanoseconds).
    held: HashMap<u32, (Held, u64, Rc<RefCell<Exchange>>)>,
    /// Fetches of keys that are under way, by the call's token.
    fetches: HashMap<u32, Fetch>,
}

/// What a held stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The first byte of its body.
    Body,
    /// An issuer's keys, until this time (nanoseconds).
    Keys(u64),
}

/// More streams than this do not wait on one worker: newcomers are refused.
const MAX_WAITING: usize = 1024;

const STUCK: &str = "bartizan: a request was held for 10 s and its body never came; holdHeaders: true needs \
    allow_on_headers_stop_iteration: true in Envoy's plugin config";

/// A held stream without a byte of body for this long is stuck.
const STUCK_NANOS: u64 = 10_000_000_000;
/// The tick while nothing is urgent, and while requests wait for keys.
const TICK_MILLIS: u32 = 1000;
const WAITING_TICK_MILLIS: u32 = 100;

/// The root context.
#[derive(Default)]
pub struct Root {
    policy: Option<Arc<Policy>>,
    worker: Rc<RefCell<Worker>>,
}

impl Context for Root {
    /// The answer to a fetch of keys. A connection refused comes as 503, a timeout as 504.
    fn on_http_call_response(&mut self, token: u32, _: usize, size: usize, _: usize) {
        let Some(policy) = &self.policy else { return };
        self.worker.borrow_mut().keys_fetched(policy, token, size);
        resume_held(&self.worker);
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
                if let Err(fault) = Vm::prepare(&policy, &mut EnvoyHost) {
                    host::log(Level::Warn, &format!("bartizan: shared state is not prepared: {fault}"));
                }
                // A new worker has no keys yet, so that its first tick comes soon; 0 stops the ticks.
                let period = match (policy.authn.has_remote_keys(), policy.hold_headers) {
                    (true, _) => WAITING_TICK_MILLIS,
                    (false, true) => TICK_MILLIS,
                    (false, false) => 0,
                };
                if let Err(fault) = host::tick_every(period) {
                    host::log(
                        Level::Warn,
                        &format!("bartizan: no keys are fetched and no stuck stream is ended: {fault}"),
                    );
                }
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
        resume_held(&self.worker);
        self.worker.borrow_mut().set_pace(policy);
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Root {
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
    pub fn vm(&mut self, policy: &Policy) -> Result<&mut Vm, Fault> {
        if self.vm.as_ref().is_none_or(|vm| !vm.fits(policy)) {
            self.vm = Some(Vm::new(policy, &mut EnvoyHost)?);
        }
        self.vm.as_mut().ok_or(Fault("vm"))
    }

    /// A stream is held from now on; false when too many are.
    pub fn hold(&mut self, context: u32, why: Held, stream: &Rc<RefCell<Exchange>>) -> bool {
        let why = match why {
            Held::Body => Held::Body,
            Held::Keys(deadline) => {
                if self.held.values().filter(|(held, ..)| *held != Held::Body).count() >= MAX_WAITING {
                    return false;
                }
                // Without a faster tick they would wait up to a second; the deadline holds anyway.
                let _ = host::tick_every(WAITING_TICK_MILLIS);
                Held::Keys(deadline)
            }
        };
        self.held.insert(context, (why, host::now(), Rc::clone(stream)));
        true
    }

    /// A stream's body comes, or the stream is gone.
    pub fn unhold(&mut self, context: u32) {
        self.held.remove(&context);
    }

    /// Fetches the keys that are due.
    fn fetch_keys(&mut self, policy: &Policy) {
        if !policy.authn.has_remote_keys() {
            return;
        }
        let now = Timestamp(host::now());
        let Ok(vm) = self.vm(policy) else { return };
        for fetch in vm.ring.due(&policy.authn, now, &mut EnvoyHost) {
            let headers = vec![
                (":method", "GET"),
                (":path", &*fetch.path),
                (":authority", &*fetch.authority),
                (":scheme", "https"),
                ("accept", "application/json, application/jwk-set+json"),
            ];
            match host::call(&fetch.cluster, headers, fetch.timeout) {
                Ok(token) => {
                    self.fetches.insert(token, fetch);
                }
                // The cluster is not known, or not yet.
                Err(_) => self.took_keys(policy, &fetch, None),
            }
        }
    }

    fn keys_fetched(&mut self, policy: &Policy, token: u32, size: usize) {
        let Some(fetch) = self.fetches.remove(&token) else { return };
        let is_ok = host::headers(Map::CallHeaders)
            .is_ok_and(|headers| headers.iter().any(|(name, value)| name == b":status" && value == b"200"));
        // One byte more than is taken, so that what is too long is seen to be.
        let body = is_ok.then(|| host::buffer(Buffer::CallBody, 0, size.min(fetch.most + 1)).unwrap_or_default());
        self.took_keys(policy, &fetch, body.as_deref());
    }

    fn took_keys(&mut self, policy: &Policy, fetch: &Fetch, body: Option<&[u8]>) {
        let now = Timestamp(host::now());
        let Ok(vm) = self.vm(policy) else { return };
        let (outcome, is_news) = vm.ring.fetched(&policy.authn, fetch, body, now, &mut EnvoyHost);
        if is_news {
            let (level, word) = match outcome {
                Fetched::Stored => (Level::Info, "fetched again"),
                failure => (Level::Warn, failure.name()),
            };
            host::log(level, &format!("bartizan: {} of cluster {}: {word}", fetch.what, fetch.cluster));
        }
        if let Some(id) = self.series(&metrics::fetches(fetch.what, outcome)) {
            host::increment_metric(id, 1);
        }
    }

    /// The tick that what is held and what is missing need.
    fn set_pace(&self, policy: &Policy) {
        if !policy.authn.has_remote_keys() {
            return;
        }
        let now = Timestamp(host::now());
        let has_keys = self.vm.as_ref().is_some_and(|vm| vm.ring.has_keys(&policy.authn, now));
        let waits = self.held.values().any(|(why, ..)| matches!(why, Held::Keys(_)));
        let _ = host::tick_every(if has_keys && !waits { TICK_MILLIS } else { WAITING_TICK_MILLIS });
    }

    /// Counts one finished exchange.
    pub fn count(&mut self, finished: &Finished) {
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

/// Lets held streams go on whose wait is over, and ends those that waited too long.
///
/// Without `allow_on_headers_stop_iteration` Envoy never delivers the body of a stream whose headers
/// are held: such streams would hang until the client gives up. The switch can't be seen from here,
/// so that streams which get no body are ended and the log names it.
fn resume_held(worker: &Rc<RefCell<Worker>>) {
    let now = host::now();
    // The streams borrow the worker while they go on.
    let held: Vec<_> = worker.borrow().held.iter().map(|(context, held)| (*context, held.clone())).collect();
    for (context, (why, since, stream)) in held {
        let late = match why {
            Held::Body => now.saturating_sub(since) > STUCK_NANOS,
            Held::Keys(deadline) => now >= deadline,
        };
        if (why == Held::Body && !late) || host::act_on(context).is_err() {
            continue;
        }
        let mut exchange = stream.borrow_mut();
        let still = match why {
            Held::Body => {
                host::log(Level::Error, STUCK);
                exchange.expire();
                None
            }
            Held::Keys(_) => match exchange.resume() {
                Some(Held::Keys(_)) if late => {
                    exchange.expire();
                    None
                }
                still => still,
            },
        };
        match still {
            Some(same) if same == why => {}
            Some(other) => {
                worker.borrow_mut().hold(context, other, &stream);
            }
            None => worker.borrow_mut().unhold(context),
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
