//! The root context: the policy in force, and the tick.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use log::Level;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::envoy::EnvoyHost;
use super::host::{self, Buffer};
use super::stream::Stream;
use super::worker::{Worker, grpc_answered, http_answered, resume_held, resume_scan};
use crate::audit::{metrics, policy_record};
use crate::host::Timestamp;
use crate::policy::Policy;
use crate::transaction::WorkerState;

const STUCK: &str = "since the last such line were held for 10 s and their bodies never came; holdHeaders: true \
    needs allow_on_headers_stop_iteration: true in Envoy's plugin config";

/// The root context.
pub struct Root {
    policy: Option<Arc<Policy>>,
    worker: Rc<RefCell<Worker>>,
}

impl Context for Root {
    /// The proxy ends, or another policy has taken this one's place: what no checkpoint tells is told now.
    fn on_done(&mut self) -> bool {
        self.worker.borrow_mut().checkpoint(true);
        true
    }

    fn on_http_call_response(&mut self, token: u32, _: usize, size: usize, _: usize) {
        http_answered(&self.worker, self.policy.as_ref(), token, size);
    }

    fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        grpc_answered(&self.worker, self.policy.as_ref(), token, status, size);
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
                if let Err(fault) = WorkerState::prepare(&policy, &mut EnvoyHost::new()) {
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
        resume_scan(&self.worker);
        let mut worker = self.worker.borrow_mut();
        worker.send_settlements(policy);
        worker.checkpoint(false);
        worker.beat(policy);
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
        Root { policy: None, worker: Rc::new(RefCell::new(Worker::new(context))) }
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
