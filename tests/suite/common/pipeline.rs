//! A proxy of one worker around the state machine: requests go in, what became of them comes out.

use std::sync::Arc;

use bartizan::host::{Host as _, MemoryHost, Timestamp};
use bartizan::policy::Policy;
use bartizan::transaction::{Edit, Event, Finished, Header, Reads, Reply, Step, Transaction, WorkerState};
use jwt_simple::prelude::*;
use serde_json::{Value, json};

pub const NOW: u64 = 1_800_000_000;

pub struct Pipeline {
    /// What the policy was made from.
    pub document: Value,
    pub policy: Arc<Policy>,
    pub vm: WorkerState,
    pub host: MemoryHost,
    pub key: Ed25519KeyPair,
}

/// What became of one request.
pub struct Run {
    pub outcome: Result<Edit, Reply>,
    pub finished: Finished,
}

impl Run {
    pub fn reason(&self) -> &str {
        self.outcome.as_ref().err().map_or("", |reply| reply.reason)
    }

    pub fn record(&self) -> Value {
        serde_json::from_str(&self.finished.record).unwrap()
    }

    pub fn body(&self) -> Value {
        serde_json::from_slice(self.outcome.as_ref().unwrap().body.as_ref().expect("a changed body")).unwrap()
    }
}

impl Pipeline {
    pub fn new(change: impl FnOnce(&mut Value)) -> Pipeline {
        Pipeline::with_environment(change, &|_| None)
    }

    /// The same in a VM with this environment.
    pub fn with_environment(change: impl FnOnce(&mut Value), environment: &dyn Fn(&str) -> Option<String>) -> Pipeline {
        let key = Ed25519KeyPair::generate().with_key_id("k1");
        let public = base64(&key.public_key().to_bytes());
        let mut document = json!({
            "version": 1, "name": "pipeline", "holdHeaders": true,
            "authn": { "tokenFrom": ["authorization", "x-api-key"], "issuers": [{
                "name": "corp", "issuer": "https://idp.example", "audiences": ["llm"], "algorithms": ["EdDSA"],
                "jwks": { "inline": { "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": public }] } } }] },
            "roles": {
                "analyst": { "operations": ["chat", "models", "generate"], "models": ["small", "default"],
                    "tools": { "allow": ["search_*"] }, "maxOutputTokens": 100,
                    "quotas": [{ "per": "subject", "requests": 1000, "window": "1m" }] },
                "reader": { "operations": ["models"], "models": [] } },
            "routes": [
                { "match": { "path": "/v1/chat/completions" }, "protocol": "openai" },
                { "match": { "path": "/v1/models" }, "protocol": "openai" },
                { "match": { "path": "/llm" }, "protocol": { "generic": { "prompt": ["/prompt"] } } }],
            "guards": { "standard": { "pii": { "action": "mask" } } },
            "audit": { "upstreamHeaders": ["subject", "verdict"] }
        });
        change(&mut document);
        let policy = Policy::from_json(document.to_string().as_bytes(), environment).unwrap();
        let mut host = MemoryHost::at(Timestamp::from_secs(NOW));
        WorkerState::prepare(&policy, &mut host).unwrap();
        let vm = WorkerState::new(&policy, &mut host).unwrap();
        Pipeline { document, policy: Arc::new(policy), vm, host, key }
    }

    /// Another proxy with this policy, which shares no state with this one and trusts the same issuer. Its random bytes
    /// begin after as many as `drawn`.
    pub fn replica(&self, policy: Policy, drawn: usize) -> Pipeline {
        let mut host = MemoryHost::at(Timestamp::from_secs(NOW));
        host.random(&mut vec![0; drawn]).unwrap();
        WorkerState::prepare(&policy, &mut host).unwrap();
        let vm = WorkerState::new(&policy, &mut host).unwrap();
        Pipeline { document: self.document.clone(), policy: Arc::new(policy), vm, host, key: self.key.clone() }
    }

    pub fn token(&self, roles: &[&str], ttl: i64) -> String {
        self.sign(&json!({ "iss": "https://idp.example", "aud": "llm", "sub": "alice", "roles": roles,
            "exp": NOW as i64 + ttl }))
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let head = base64(br#"{"alg":"EdDSA","kid":"k1"}"#);
        let text = format!("{head}.{}", base64(claims.to_string().as_bytes()));
        // jwt-simple signs whole tokens only; its own claims are not these.
        let signer = jwt_simple::algorithms::EdDSAKeyPairLike::key_pair(&self.key);
        format!("{text}.{}", base64(signer.as_ref().sk.sign(text.as_bytes(), None).as_ref()))
    }

    /// Begins a chat of an analyst: what the headers came to. The body is still to come.
    pub fn begin(&mut self) -> (Transaction, Step) {
        let token = self.token(&["analyst"], 600);
        self.begin_with(&token, "/v1/chat/completions")
    }

    /// The same for any path and token.
    pub fn begin_with(&mut self, token: &str, path: &str) -> (Transaction, Step) {
        let bearer = format!("Bearer {token}");
        let request = headers(&[
            (":method", "POST"),
            (":path", path),
            ("content-type", "application/json"),
            ("authorization", &bearer),
        ]);
        let mut exchange = Transaction::new(Arc::clone(&self.policy));
        let first = Event::RequestHeaders { headers: &request, end: false };
        let step = exchange.step(first, &mut self.vm, &mut self.host);
        (exchange, step)
    }

    pub fn chat(&mut self, body: &Value) -> Run {
        let token = self.token(&["analyst"], 600);
        self.post("/v1/chat/completions", &[("authorization", &format!("Bearer {token}"))], body.to_string().as_bytes())
    }

    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Run {
        let mut all = vec![(":method", "POST"), (":path", path), ("content-type", "application/json")];
        all.extend(headers);
        self.send(&all, Some(body))
    }

    pub fn send(&mut self, headers: &[(&str, &str)], body: Option<&[u8]>) -> Run {
        let headers = self::headers(headers);
        let mut exchange = Transaction::new(Arc::clone(&self.policy));
        let first = Event::RequestHeaders { headers: &headers, end: body.is_none() };
        let mut step = exchange.step(first, &mut self.vm, &mut self.host);
        let mut merged = Edit::default();
        if let Step::Release(early) = &step
            && exchange.awaits_body()
        {
            merged = early.clone();
            step = Step::NeedMore;
        }
        if let (Step::NeedMore, Some(body)) = (&step, body) {
            for buffered in (0..=body.len()).step_by(7) {
                step = exchange.step(Event::RequestBuffered(buffered), &mut self.vm, &mut self.host);
                if step != Step::NeedMore {
                    break;
                }
            }
            if step == Step::NeedMore {
                step = exchange.step(Event::RequestBody(body.to_vec()), &mut self.vm, &mut self.host);
            }
        }
        let outcome = match scanned(&mut exchange, step, &mut self.vm, &mut self.host) {
            Step::Release(edit) => {
                merged.remove.extend(edit.remove);
                merged.set.extend(edit.set);
                merged.body = edit.body;
                Ok(merged)
            }
            Step::Deny(reply) => Err(reply),
            Step::NeedMore | Step::Await(_) | Step::Part(_) => panic!("a whole request must be decided"),
        };
        Run { outcome, finished: exchange.finish(&mut self.vm, &mut self.host) }
    }
}

/// Where a request comes whose body is scanned in slices, or a reply.
pub fn scanned(exchange: &mut Transaction, step: Step, vm: &mut WorkerState, host: &mut MemoryHost) -> Step {
    let mut step = step;
    while exchange.is_scanning() {
        step = exchange.step(Event::Resumed, vm, host);
    }
    step
}

/// Headers as a host gives them.
pub fn headers(all: &[(&str, &str)]) -> Vec<Header> {
    all.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// Base64url without padding.
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A chat of one message.
pub fn ask(text: &str) -> Value {
    json!({ "model": "small", "messages": [{ "role": "user", "content": text }] })
}

/// What came of a reply.
pub struct Answer {
    pub headers: Edit,
    pub body: Vec<u8>,
    pub record: Value,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn status(&self) -> &str {
        self.headers.set.iter().find(|(name, _)| *name == ":status").map_or("200", |(_, value)| value)
    }
}

impl Pipeline {
    /// Sends a chat and lets the upstream answer it in these pieces. The request as it went on is given too.
    pub fn answered(&mut self, ask: &Value, content_type: &str, pieces: &[&[u8]]) -> (Vec<u8>, Answer) {
        self.answered_at("/v1/chat/completions", ask, content_type, |_| pieces.iter().map(|p| p.to_vec()).collect())
    }

    /// The same for any path, with an upstream that answers what it is asked.
    pub fn answered_at(
        &mut self,
        path: &str,
        ask: &Value,
        content_type: &str,
        upstream: impl FnOnce(&Value) -> Vec<Vec<u8>>,
    ) -> (Vec<u8>, Answer) {
        self.answered_as(&["analyst"], path, ask, content_type, upstream)
    }

    /// The same for a caller with these roles.
    pub fn answered_as(
        &mut self,
        roles: &[&str],
        path: &str,
        ask: &Value,
        content_type: &str,
        upstream: impl FnOnce(&Value) -> Vec<Vec<u8>>,
    ) -> (Vec<u8>, Answer) {
        let answer = [(":status", "200"), ("content-type", content_type), ("content-length", "999")];
        self.answered_with(roles, path, ask, &answer, upstream)
    }

    /// The same of an upstream that answers with these headers.
    pub fn answered_with(
        &mut self,
        roles: &[&str],
        path: &str,
        ask: &Value,
        answer: &[(&str, &str)],
        upstream: impl FnOnce(&Value) -> Vec<Vec<u8>>,
    ) -> (Vec<u8>, Answer) {
        let token = self.token(roles, 600);
        let (mut exchange, _) = self.begin_with(&token, path);
        let (vm, host) = (&mut self.vm, &mut self.host);
        let body = ask.to_string().into_bytes();
        let step = exchange.step(Event::RequestBody(body.clone()), vm, host);
        let Step::Release(edit) = scanned(&mut exchange, step, vm, host) else { panic!("refused") };
        let sent = edit.body.unwrap_or(body);
        let pieces = upstream(&serde_json::from_slice(&sent).unwrap());
        (sent, self.replied(exchange, answer, &pieces))
    }

    /// A request of this caller, with a body or without, and what came of the reply to it.
    pub fn called(
        &mut self,
        subject: &str,
        target: (&str, &str),
        body: Option<(&str, &[u8])>,
        answer: &[(&str, &str)],
        pieces: &[Vec<u8>],
    ) -> Result<Answer, Reply> {
        self.called_with(&json!({ "sub": subject }), target, body, answer, pieces)
    }

    /// The same of an analyst with these claims.
    pub fn called_with(
        &mut self,
        claims: &Value,
        (method, path): (&str, &str),
        body: Option<(&str, &[u8])>,
        answer: &[(&str, &str)],
        pieces: &[Vec<u8>],
    ) -> Result<Answer, Reply> {
        let mut all = json!({ "iss": "https://idp.example", "aud": "llm", "sub": "alice", "roles": ["analyst"],
            "exp": NOW as i64 + 600 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let bearer = format!("Bearer {}", self.sign(&all));
        let mut request = vec![(":method", method), (":path", path), ("authorization", bearer.as_str())];
        request.extend(body.map(|(kind, _)| ("content-type", kind)));
        let request = headers(&request);
        let mut exchange = Transaction::new(Arc::clone(&self.policy));
        let (vm, host) = (&mut self.vm, &mut self.host);
        let first = Event::RequestHeaders { headers: &request, end: body.is_none() };
        let mut step = exchange.step(first, vm, host);
        if let (Some((_, body)), false) = (body, matches!(step, Step::Deny(_))) {
            step = exchange.step(Event::RequestBody(body.to_vec()), vm, host);
        }
        match step {
            Step::Release(_) => Ok(self.replied(exchange, answer, pieces)),
            Step::Deny(reply) => Err(reply),
            other => panic!("{other:?}"),
        }
    }

    /// What comes of this reply to a request that went on.
    fn replied(&mut self, mut exchange: Transaction, answer: &[(&str, &str)], pieces: &[Vec<u8>]) -> Answer {
        let (vm, host) = (&mut self.vm, &mut self.host);
        let answer = headers(answer);
        let mut merged = Edit::default();
        let mut take = |step: Step, chunk: Option<&[u8]>, out: &mut Vec<u8>| match step {
            Step::Release(edit) => {
                out.extend_from_slice(edit.body.as_deref().or(chunk).unwrap_or_default());
                merged.remove.extend(edit.remove);
                merged.set.extend(edit.set);
            }
            Step::NeedMore => {}
            other => panic!("{other:?}"),
        };
        let mut out = Vec::new();
        let step = exchange.step(Event::ResponseHeaders { headers: &answer, end: false }, vm, host);
        take(step, None, &mut out);
        match exchange.reads_response() {
            Reads::Whole => {
                let whole = pieces.concat();
                for buffered in (0..whole.len()).step_by(16) {
                    let step = exchange.step(Event::ResponseBuffered(buffered), vm, host);
                    take(step, None, &mut out);
                }
                if out.is_empty() {
                    let step = exchange.step(Event::ResponseBody(whole.clone()), vm, host);
                    let step = scanned(&mut exchange, step, vm, host);
                    take(step, Some(&whole), &mut out);
                }
            }
            Reads::Stream => {
                for chunk in pieces {
                    let step = exchange.step(Event::ResponseChunk { chunk, end: false }, vm, host);
                    take(step, Some(chunk), &mut out);
                }
                let step = exchange.step(Event::ResponseChunk { chunk: b"", end: true }, vm, host);
                take(step, Some(b""), &mut out);
            }
            Reads::Nothing => out = pieces.concat(),
        }
        let finished = exchange.finish(vm, host);
        let record = serde_json::from_str(&finished.record).unwrap();
        Answer { headers: merged, body: out, record }
    }

    /// The request of an anonymous caller as it goes on, and what has left of the stream that answers it when these
    /// chunks have come; `end`: no other comes.
    pub fn streamed(
        &mut self,
        path: &str,
        ask: &Value,
        content_type: &str,
        chunks: &[Vec<u8>],
        end: bool,
    ) -> (Value, String) {
        let (sent, came) = self.streamed_bytes(path, ask, content_type, chunks, end);
        (sent, String::from_utf8(came).unwrap())
    }

    /// The same, for a stream that is no text.
    pub fn streamed_bytes(
        &mut self,
        path: &str,
        ask: &Value,
        content_type: &str,
        chunks: &[Vec<u8>],
        end: bool,
    ) -> (Value, Vec<u8>) {
        let (vm, host) = (&mut self.vm, &mut self.host);
        let mut exchange = Transaction::new(Arc::clone(&self.policy));
        let head = headers(&[(":method", "POST"), (":path", path), ("content-type", "application/json")]);
        exchange.step(Event::RequestHeaders { headers: &head, end: false }, vm, host);
        let body = ask.to_string().into_bytes();
        let step = exchange.step(Event::RequestBody(body.clone()), vm, host);
        let Step::Release(edit) = step else { panic!("{step:?}") };
        let sent = serde_json::from_slice(&edit.body.unwrap_or(body)).unwrap();
        let head = headers(&[(":status", "200"), ("content-type", content_type)]);
        exchange.step(Event::ResponseHeaders { headers: &head, end: false }, vm, host);
        let mut out = Vec::new();
        let events = chunks.iter().map(|chunk| (chunk.as_slice(), false)).chain(end.then_some((&b""[..], true)));
        for (chunk, end) in events {
            let Step::Release(edit) = exchange.step(Event::ResponseChunk { chunk, end }, vm, host) else {
                panic!("a chunk is released, changed or not")
            };
            out.extend_from_slice(edit.body.as_deref().unwrap_or(chunk));
        }
        (sent, out)
    }
}
