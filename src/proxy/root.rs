//! One VM: the policy in force, what streams share, and the metrics.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use log::Level;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::host::{self, Buffer, MetricKind};
use super::stream::Stream;
use crate::audit::metrics::{DROPPED, Increment, LATENCY, MAX_SERIES};
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
    /// Streams whose headers are held and whose body has not come, by context: since when, and the
    /// stream's own mark that it was answered.
    held: HashMap<u32, (u64, Rc<Cell<bool>>)>,
}

const STUCK: &str = "bartizan: a request was held for 10 s and its body never came; holdHeaders: true needs \
    allow_on_headers_stop_iteration: true in Envoy's plugin config";

/// A held stream without a byte of body for this long is stuck.
const STUCK_NANOS: u64 = 10_000_000_000;
const TICK_MILLIS: u32 = 1000;

/// The root context.
#[derive(Default)]
pub struct Root {
    policy: Option<Arc<Policy>>,
    worker: Rc<RefCell<Worker>>,
}

impl Context for Root {}

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
                if policy.hold_headers
                    && let Err(fault) = host::tick_every(TICK_MILLIS)
                {
                    host::log(Level::Warn, &format!("bartizan: stuck streams will not be ended: {fault}"));
                }
                host::log(Level::Info, &policy.summary());
                self.policy = Some(Arc::new(policy));
                true
            }
            Err(errors) => {
                for error in &errors {
                    host::log(Level::Error, &format!("bartizan: configuration refused: {error}"));
                }
                false
            }
        }
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(context, self.policy.clone(), Rc::clone(&self.worker))))
    }

    fn on_tick(&mut self) {
        self.worker.borrow_mut().end_stuck(host::now());
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
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

    /// A stream's headers are held from now on.
    pub fn hold(&mut self, context: u32, answered: &Rc<Cell<bool>>) {
        self.held.insert(context, (host::now(), Rc::clone(answered)));
    }

    /// A stream's body comes, or the stream is gone.
    pub fn unhold(&mut self, context: u32) {
        self.held.remove(&context);
    }

    /// Without `allow_on_headers_stop_iteration` Envoy never delivers the body of a stream whose
    /// headers are held: such streams would hang until the client gives up. The switch can't be seen
    /// from here, so that streams which get no body are ended and the log names it.
    fn end_stuck(&mut self, now: u64) {
        let stuck: Vec<u32> = (self.held.iter())
            .filter(|(_, (since, _))| now.saturating_sub(*since) > STUCK_NANOS)
            .map(|(context, _)| *context)
            .collect();
        for context in stuck {
            let Some((_, answered)) = self.held.remove(&context) else { continue };
            if answered.replace(true) || host::act_on(context).is_err() {
                continue;
            }
            host::log(Level::Error, STUCK);
            if host::reply(503, &[], &[], "internal").is_err() {
                host::reset_stream();
            }
        }
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
