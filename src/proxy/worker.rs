//! What the streams of one VM share: the memory of the core, calls, held streams, the tick and the metrics.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::calls::{Asker, Calls};
use super::envoy::EnvoyHost;
use super::host::{self, MetricKind};
use super::stream::Exchange;
use crate::audit::metrics::{self, DROPPED, Increment, MAX_SERIES, MEMORY};
use crate::authn::{Fetch, Fetched};
use crate::callout::{Answer, CallFailure};
use crate::held::{HeldStreams, Seldom, Turn, Why};
use crate::host::{Fault, Timestamp};
use crate::policy::Policy;
use crate::quota::fleet::Batch;
use crate::transaction::{Finished, WorkerState};
use log::Level;

/// A stream that waits.
type Waiting = Rc<RefCell<Exchange>>;

/// What the streams of one VM share.
pub struct Worker {
    /// Made at the first request: the configuration step must stay pure.
    vm: Option<WorkerState>,
    metrics: HashMap<String, u32>,
    histograms: HashMap<&'static str, u32>,
    /// When the load was last told, nanoseconds.
    told: u64,
    dropped: Option<u32>,
    /// The most linear memory that was told, in bytes.
    memory: u64,
    /// Streams that are held.
    held: HeldStreams<Waiting>,
    /// Streams whose body never came.
    pub stuck: Seldom,
    /// The period of the tick, in milliseconds; 0: there is none.
    pace: u32,
    /// Calls that are in flight.
    pub calls: Calls<Waiting>,
}

/// The tick while nothing is urgent, while requests wait for keys, and while streams are left that could go on.
const TICK_MILLIS: u32 = 1000;
const WAITING_TICK_MILLIS: u32 = 100;
const SOON_MILLIS: u32 = 10;
/// The tick while texts are scanned slice by slice: between two slices the worker serves others.
const SCAN_MILLIS: u32 = 1;
/// Steps that a callback may scan.
const SCAN_STEPS: usize = 1 << 19;

impl Worker {
    /// The worker of this root context.
    pub fn new(root: u32) -> Worker {
        Worker {
            vm: None,
            metrics: HashMap::new(),
            histograms: HashMap::new(),
            told: 0,
            dropped: None,
            memory: 0,
            held: HeldStreams::default(),
            stuck: Seldom::default(),
            pace: 0,
            calls: Calls::new(root),
        }
    }

    /// What the VM remembers; made when it is first asked for.
    pub fn vm(&mut self, policy: &Policy) -> Result<&mut WorkerState, Fault> {
        if self.vm.as_ref().is_none_or(|vm| !vm.fits(policy)) {
            let mut vm = WorkerState::new(policy, &mut EnvoyHost::new())?;
            vm.scan_in_slices(SCAN_STEPS);
            self.vm = Some(vm);
        }
        self.vm.as_mut().ok_or(Fault("vm"))
    }

    /// A stream is held from `now` on (nanoseconds); false when too many are.
    pub fn hold(&mut self, context: u32, why: Why, now: u64, stream: &Rc<RefCell<Exchange>>) -> bool {
        let is_held = self.held.hold(context, why, now, Rc::clone(stream));
        if is_held {
            self.tick_within(match why {
                Why::Scan(_) => SCAN_MILLIS,
                Why::Keys(_) => WAITING_TICK_MILLIS,
                Why::Body | Why::Call(_) => TICK_MILLIS,
            });
        }
        is_held
    }

    /// A stream's body comes, or what it waited for, or the stream is gone.
    pub fn unhold(&mut self, context: u32) {
        self.held.release(context);
    }

    /// Sets the tick's period, in milliseconds; 0: no tick. Envoy starts the timer anew whenever it is told a period,
    /// so that it is told changes only: or else requests that come often enough would put the tick off for ever.
    pub fn tick_every(&mut self, millis: u32) -> Result<(), Fault> {
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
    pub fn fetch_keys(&mut self, policy: &Policy) {
        if !policy.authn.has_remote_keys() {
            return;
        }
        let now = Timestamp(host::now());
        let Ok(vm) = self.vm(policy) else { return };
        for fetch in vm.ring.due(&policy.authn, now, &mut EnvoyHost::at(now.0)) {
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
    pub fn send_settlements(&mut self, policy: &Policy) {
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
        let crossed = vm.settlements.take_crossed();
        let alerts = crossed.iter().map(|one| (metrics::crossed(&one.role, one.share), 1));
        let counted = [(metrics::settlements(outcome.name()), 1), (metrics::settlements("dropped"), dropped)];
        for (name, by) in counted.into_iter().chain(alerts) {
            if by > 0
                && let Some(id) = self.series(&name)
            {
                host::increment_metric(id, i64::try_from(by).unwrap_or(i64::MAX));
            }
        }
    }

    /// Writes a checkpoint of the records where one is due, and copies it to the second sink.
    pub fn checkpoint(&mut self, is_last: bool) {
        let Some(chain) = self.vm.as_mut().and_then(WorkerState::chain) else { return };
        let Some(line) = chain.checkpoint(is_last, &mut EnvoyHost::new()) else { return };
        let call = chain.call(&line);
        host::log(Level::Info, &line);
        if let Some(call) = call
            && self.calls.make(&call, Asker::Checkpoint).is_err()
        {
            self.checkpoint_answered(&Answer::Failed(CallFailure::NotMade));
        }
    }

    /// Takes the second sink's answer.
    fn checkpoint_answered(&mut self, answer: &Answer) {
        let is_stored = matches!(answer, Answer::Http { status: 200..=299, .. });
        if let Some(chain) = self.vm.as_mut().and_then(WorkerState::chain).filter(|_| !is_stored) {
            chain.uncheck();
        }
        if let Some(id) = self.series(&metrics::checkpoints(is_stored)) {
            host::increment_metric(id, 1);
        }
    }

    fn took_keys(&mut self, policy: &Policy, fetch: &Fetch, body: Option<&[u8]>, status: Option<u16>) {
        let now = Timestamp(host::now());
        let Ok(vm) = self.vm(policy) else { return };
        let (outcome, is_news) = vm.ring.fetched(&policy.authn, fetch, body, now, &mut EnvoyHost::at(now.0));
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
    pub fn pace_for(&self, policy: &Policy, leaves_some: bool) -> u32 {
        let now = Timestamp(host::now());
        let vm = self.vm.as_ref();
        let fetches = policy.authn.has_remote_keys();
        let lacks_keys = fetches && !vm.is_some_and(|vm| vm.ring.has_keys(&policy.authn, now));
        let settles = vm.is_some_and(|vm| vm.settlements.is_waiting());
        if self.held.scans() {
            SCAN_MILLIS
        } else if leaves_some {
            SOON_MILLIS
        } else if lacks_keys || settles || self.held.wants_keys() {
            WAITING_TICK_MILLIS
        } else {
            TICK_MILLIS
        }
    }

    /// Counts one finished exchange, and keeps what must be told of it.
    pub fn count(&mut self, finished: Finished, now: Timestamp) {
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
        for (name, value) in &finished.samples {
            if let Some(id) = self.histogram(name) {
                host::record_metric(id, *value);
            }
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
    pub fn series(&mut self, name: &str) -> Option<u32> {
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

    /// The histogram of this name, one of a few.
    fn histogram(&mut self, name: &'static str) -> Option<u32> {
        if let Some(id) = self.histograms.get(name) {
            return Some(*id);
        }
        let id = host::define_metric(MetricKind::Histogram, name).ok()?;
        self.histograms.insert(name, id);
        Some(id)
    }

    /// Tells, once a second, that this worker is there, whether it can serve, and how much waits in it.
    pub fn beat(&mut self, policy: &Policy) {
        const SECOND: u64 = 1_000_000_000;
        const MOST: u64 = 10;
        let now = host::now();
        let seconds = now.saturating_sub(self.told) / SECOND;
        if seconds > MOST || now < self.told {
            // It begins, was stopped for long, or the clock was set.
            self.told = now;
            return;
        }
        if seconds == 0 {
            return;
        }
        self.told += seconds * SECOND;
        let vm = self.vm.as_ref();
        let is_ready =
            !policy.authn.has_remote_keys() || vm.is_some_and(|vm| vm.ring.has_keys(&policy.authn, Timestamp(now)));
        let buffered = vm.map_or(0, WorkerState::buffered);
        let settlements = vm.map_or(0, |vm| vm.settlements.waiting());
        let (bodies, waiting) = self.held.counts();
        let load = [
            ("waiting_for_body", bodies),
            ("waiting_for_service", waiting),
            ("calls", self.calls.count()),
            ("buffered_bytes", buffered),
            ("settlements", settlements),
        ];
        let load = load.into_iter().map(|(of, level)| (metrics::load(of), level as u64 * seconds));
        for (name, by) in [(metrics::heartbeats(is_ready), seconds)].into_iter().chain(load) {
            // Also nothing is told, so that a panel shows it.
            if let Some(id) = self.series(&name) {
                host::increment_metric(id, i64::try_from(by).unwrap_or(i64::MAX));
            }
        }
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
pub fn resume_held(worker: &Rc<RefCell<Worker>>) -> bool {
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

/// Scans the next slice of one of the streams whose texts are scanned.
pub fn resume_scan(worker: &Rc<RefCell<Worker>>) {
    let next = worker.borrow_mut().held.next_scan();
    let Some((context, stream)) = next else { return };
    if host::act_on(context).is_err() {
        // The stream is gone.
        worker.borrow_mut().unhold(context);
    } else {
        stream.borrow_mut().resume();
    }
}

/// An answer over HTTP has come.
pub fn http_answered(worker: &Rc<RefCell<Worker>>, policy: Option<&Arc<Policy>>, token: u32, size: usize) {
    let answered = worker.borrow_mut().calls.http_answered(token, size);
    deliver(worker, policy, answered);
}

/// An answer over gRPC has come, or only its status.
pub fn grpc_answered(worker: &Rc<RefCell<Worker>>, policy: Option<&Arc<Policy>>, token: u32, status: u32, size: usize) {
    let answered = worker.borrow_mut().calls.grpc_answered(token, status, size);
    deliver(worker, policy, answered);
}

fn deliver(worker: &Rc<RefCell<Worker>>, policy: Option<&Arc<Policy>>, answered: Option<(Asker<Waiting>, Answer)>) {
    let Some((asker, answer)) = answered else { return };
    match (asker, policy) {
        (Asker::Keys(fetch), Some(policy)) => worker.borrow_mut().keys_answered(policy, &fetch, &answer),
        (Asker::Settlement(batch), Some(policy)) => worker.borrow_mut().settled(policy, batch, &answer),
        (Asker::Checkpoint, _) => worker.borrow_mut().checkpoint_answered(&answer),
        (Asker::Keys(_) | Asker::Settlement(_), None) => {}
        (Asker::Stream(context, stream), _) => {
            if host::act_on(context).is_ok() {
                stream.borrow_mut().answered(answer);
            }
        }
    }
}
