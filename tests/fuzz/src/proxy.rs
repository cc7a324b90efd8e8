//! A proxy of one worker around the state machine. Each exchange has a worker of its own, so that none depends on the
//! ones before.

use std::sync::Arc;

use bartizan::policy::Policy;
use bartizan::host::{MemoryHost, Timestamp};
use bartizan::transaction::{Event, Header, Reads, Step, Transaction, WorkerState};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A policy, ready.
pub struct Proxy {
    policy: Arc<Policy>,
}

/// What became of a request, and of its reply where there was one.
#[derive(Debug, Default)]
pub struct Run {
    /// The request was refused, with this reason.
    pub refused: Option<&'static str>,
    /// The body as it went to the upstream.
    pub sent: Vec<u8>,
    /// What the client got.
    pub client: Vec<u8>,
    /// The status that the client got, where the filter set one.
    pub status: Option<String>,
    /// The record.
    pub record: Value,
}

/// A reply.
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'a> {
    /// Its `content-type`.
    pub content_type: &'a str,
    /// Its body, in the pieces in which it comes.
    pub pieces: &'a [&'a [u8]],
}

fn headers(all: &[(&str, &str)]) -> Vec<Header> {
    all.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// Everyone may do everything that `change` leaves.
pub fn open(change: impl FnOnce(&mut Value)) -> Proxy {
    let mut document = json!({
        "version": 1, "name": "fuzz", "holdHeaders": true,
        "authn": { "unsafeAnonymous": true },
        "roles": { "anonymous": {
            "operations": ["chat", "completions", "responses", "embeddings", "moderations", "batch", "images",
                "conversations", "countTokens", "generate", "mcp"],
            "models": ["*"], "tools": { "allow": ["*"] }, "toolHosts": ["*"], "parameters": { "allow": ["*"] },
            "maxChoices": 128 } },
        "routes": [
            { "match": { "pathPrefix": "/v1/" }, "protocol": "openai" },
            { "match": { "pathPrefix": "/anthropic/v1/" }, "protocol": "anthropic" },
            { "match": { "pathPrefix": "/ollama/api/" }, "protocol": "ollama" },
            { "match": { "pathPrefix": "/tgi/" }, "protocol": "tgi" },
            { "match": { "path": "/mcp" }, "protocol": "mcp" }],
        "guards": { "standard": {
            "injection": { "action": "flag" }, "secrets": { "action": "block" }, "pii": { "action": "flag" },
            "output": { "secrets": "mask", "pii": "flag" } } },
        "unscanned": { "default": "flag" },
    });
    change(&mut document);
    let policy = Policy::from_json(document.to_string().as_bytes(), &|_| None).expect("a good policy");
    Proxy { policy: Arc::new(policy) }
}

impl Proxy {
    /// Sends a request.
    pub fn ask(&self, path: &str, body: &[u8]) -> Run {
        self.exchange(path, body, None)
    }

    /// Sends a request and lets the upstream answer.
    pub fn exchange(&self, path: &str, body: &[u8], upstream: Option<Upstream<'_>>) -> Run {
        let mut host = MemoryHost::at(NOW);
        WorkerState::prepare(&self.policy, &mut host).expect("a store");
        let mut vm = WorkerState::new(&self.policy, &mut host).expect("a worker");
        let mut exchange = Transaction::new(Arc::clone(&self.policy));
        let mut run = Run::default();
        let head = headers(&[(":method", "POST"), (":path", path), ("content-type", "application/json")]);
        let mut step = exchange.step(Event::RequestHeaders { headers: &head, end: false }, &mut vm, &mut host);
        if exchange.awaits_body() {
            step = exchange.step(Event::RequestBody(body.to_vec()), &mut vm, &mut host);
        }
        match step {
            Step::Release(edit) => run.sent = edit.body.unwrap_or_else(|| body.to_vec()),
            Step::Deny(reply) => run.refused = Some(reply.reason),
            Step::NeedMore | Step::Await(_) | Step::Part(_) => panic!("a whole request must be decided"),
        }
        if let (None, Some(upstream)) = (run.refused, upstream) {
            answer(&mut exchange, upstream, &mut vm, &mut host, &mut run);
        }
        run.record = serde_json::from_str(&exchange.finish(&mut vm, &mut host).record).expect("a record");
        run
    }
}

fn answer(exchange: &mut Transaction, upstream: Upstream<'_>, vm: &mut WorkerState, host: &mut MemoryHost, run: &mut Run) {
    let mut take = |step: Step, chunk: &[u8]| match step {
        Step::Release(edit) => {
            run.client.extend_from_slice(edit.body.as_deref().unwrap_or(chunk));
            let status = edit.set.into_iter().find(|(name, _)| *name == ":status");
            run.status = run.status.take().or(status.map(|(_, value)| value));
        }
        Step::Deny(reply) => {
            run.client.extend_from_slice(&reply.body);
            run.status = Some(reply.status.to_string());
        }
        Step::Part(part) => run.client.extend_from_slice(&part.bytes),
        Step::NeedMore | Step::Await(_) => {}
    };
    let head = headers(&[(":status", "200"), ("content-type", upstream.content_type)]);
    take(exchange.step(Event::ResponseHeaders { headers: &head, end: false }, vm, host), b"");
    match exchange.reads_response() {
        Reads::Whole => {
            let whole = upstream.pieces.concat();
            take(exchange.step(Event::ResponseBody(whole.clone()), vm, host), &whole);
        }
        Reads::Stream => {
            for chunk in upstream.pieces {
                take(exchange.step(Event::ResponseChunk { chunk, end: false }, vm, host), chunk);
            }
            take(exchange.step(Event::ResponseChunk { chunk: b"", end: true }, vm, host), b"");
        }
        Reads::Nothing => run.client.extend(upstream.pieces.concat()),
    }
}

/// The kinds of parts that were not scanned.
pub fn unscanned(record: &Value) -> Vec<&str> {
    let kinds = record["bartizan.unscanned"].as_array().into_iter().flatten();
    kinds.filter_map(Value::as_str).collect()
}
