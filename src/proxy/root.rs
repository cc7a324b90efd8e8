//! One VM: the policy in force, what streams share, and the metrics.

use std::cell::RefCell;
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
}

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

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(self.policy.clone(), Rc::clone(&self.worker))))
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
