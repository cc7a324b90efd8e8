//! A worker of the shipped policy, natively: requests go in, verdicts come out.

use std::error::Error;
use std::sync::Arc;

use bartizan::host::{MemoryHost, Timestamp};
use bartizan::policy::Policy;
use bartizan::transaction::{Event, Header, Reads, Step, Transaction, WorkerState};
use base64::Engine as _;
use jwt_simple::algorithms::{Ed25519KeyPair, EdDSAKeyPairLike};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const ENVOY: &str = include_str!("../../envoy/envoy.yaml");
const REPLY: &[u8] =
    br#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"smollm2","choices":[{"index":0,
"message":{"role":"assistant","content":"A bartizan is a small turret on a castle wall."},"finish_reason":"stop"}],
"usage":{"prompt_tokens":11,"completion_tokens":13,"total_tokens":24}}"#;

/// The policy of `envoy/envoy.yaml`, as JSON.
///
/// # Errors
/// When the file has none.
pub fn shipped() -> Result<Value, Box<dyn Error>> {
    let (_, after) = ENVOY.split_once("value: |\n").ok_or("envoy.yaml holds no policy")?;
    let lines: Vec<&str> = after.lines().take_while(|line| line.starts_with("                    ")).collect();
    Ok(serde_json::from_str(&lines.join("\n"))?)
}

/// The same, compiled, with these values where the JSON Pointers lead.
///
/// # Errors
/// A pointer that leads nowhere, or what is wrong with the policy then.
pub fn policy(changes: &[(&str, Value)]) -> Result<Policy, Box<dyn Error>> {
    let mut document = shipped()?;
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').ok_or("expected a JSON Pointer")?;
        let parent = document.pointer_mut(parent).and_then(Value::as_object_mut).ok_or("no such section")?;
        parent.insert(key.to_owned(), value.clone());
    }
    let compiled = Policy::from_json(document.to_string().as_bytes(), &|_| None);
    compiled.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ").into())
}

/// One worker and a caller with a token that it has seen before.
pub struct Site {
    policy: Arc<Policy>,
    vm: WorkerState,
    host: MemoryHost,
    headers: Vec<Header>,
}

impl Site {
    /// A worker of the shipped policy with a key of our own, and no limit on the caller's requests.
    ///
    /// # Errors
    /// When the policy does not compile.
    pub fn new() -> Result<Site, Box<dyn Error>> {
        let key = Ed25519KeyPair::from_bytes(&seeded())?;
        let public = base64url(&key.public_key().to_bytes());
        let keys = json!({ "inline": { "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": public }] } });
        let policy = policy(&[
            ("/authn/issuers/0/jwks", keys),
            ("/roles/analyst/quotas", json!([{ "per": "subject", "requests": 1_000_000_000, "window": "1m" }])),
        ])?;
        let mut host = MemoryHost::at(Timestamp::from_secs(NOW));
        WorkerState::prepare(&policy, &mut host).map_err(|fault| fault.to_string())?;
        let vm = WorkerState::new(&policy, &mut host).map_err(|fault| fault.to_string())?;
        let token = format!("Bearer {}", token(&key));
        let headers = vec![
            header(":method", "POST"),
            header(":path", "/v1/chat/completions"),
            header(":authority", "llm.example.com"),
            header("content-type", "application/json"),
            header("user-agent", "bench"),
            header("authorization", &token),
        ];
        Ok(Site { policy: Arc::new(policy), vm, host, headers })
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// One whole exchange: request, a short reply, record. The refusal's reason, where it is refused.
    #[inline(never)]
    pub fn send(&mut self, body: Vec<u8>) -> Option<&'static str> {
        let (mut exchange, refused) = self.ask(body);
        let (vm, host) = (&mut self.vm, &mut self.host);
        if refused.is_none() {
            let headers = [header(":status", "200"), header("content-type", "application/json")];
            exchange.step(Event::ResponseHeaders { headers: &headers, end: false }, vm, host);
            if matches!(exchange.reads_response(), Reads::Whole) {
                exchange.step(Event::ResponseBody(REPLY.to_vec()), vm, host);
            }
        }
        exchange.finish(vm, host);
        refused
    }

    /// One exchange whose reply is a stream of these events, each by itself. How many bytes of them went on as they came.
    #[inline(never)]
    pub fn stream(&mut self, body: Vec<u8>, events: &[Vec<u8>]) -> usize {
        let (mut exchange, _) = self.ask(body);
        let (vm, host) = (&mut self.vm, &mut self.host);
        let headers = [header(":status", "200"), header("content-type", "text/event-stream")];
        exchange.step(Event::ResponseHeaders { headers: &headers, end: false }, vm, host);
        let mut bytes = 0;
        for (at, chunk) in events.iter().enumerate() {
            let step = exchange.step(Event::ResponseChunk { chunk, end: at + 1 == events.len() }, vm, host);
            if let Step::Release(edit) = step {
                bytes += edit.body.map_or(chunk.len(), |body| body.len());
            }
        }
        exchange.finish(vm, host);
        bytes
    }

    /// The request of an exchange. The refusal's reason, where it is refused.
    fn ask(&mut self, body: Vec<u8>) -> (Transaction, Option<&'static str>) {
        let (vm, host) = (&mut self.vm, &mut self.host);
        let mut exchange = Transaction::new(Arc::clone(&self.policy));
        let mut step = exchange.step(Event::RequestHeaders { headers: &self.headers, end: false }, vm, host);
        if step == Step::NeedMore {
            step = exchange.step(Event::RequestBody(body), vm, host);
        }
        let refused = match step {
            Step::Deny(reply) => Some(reply.reason),
            Step::NeedMore | Step::Await(_) | Step::Part(_) => Some("undecided"),
            Step::Release(_) => None,
        };
        (exchange, refused)
    }
}

fn header(name: &str, value: &str) -> Header {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

/// A chat whose one message has this text.
pub fn chat(text: &str) -> Vec<u8> {
    json!({ "model": "smollm2", "max_tokens": 16, "messages": [{ "role": "user", "content": text }] })
        .to_string()
        .into_bytes()
}

/// The same, whose reply is a stream.
pub fn streamed(text: &str) -> Vec<u8> {
    json!({ "model": "smollm2", "max_tokens": 512, "stream": true, "messages": [{ "role": "user", "content": text }] })
        .to_string()
        .into_bytes()
}

/// The events of a streamed completion of these words, and its end.
pub fn events<'w>(words: impl Iterator<Item = &'w str>) -> Vec<Vec<u8>> {
    let event = |delta: Value, finish: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        let body = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "smollm2",
            "choices": [choice] });
        format!("data: {body}\n\n").into_bytes()
    };
    let mut events: Vec<Vec<u8>> = words.map(|word| event(json!({ "content": format!("{word} ") }), None)).collect();
    events.push(event(json!({}), Some("stop")));
    events.push(b"data: [DONE]\n\n".to_vec());
    events
}

/// A chat whose one message has these texts as parts.
pub fn parts(texts: &[&str]) -> Vec<u8> {
    let parts: Vec<Value> = texts.iter().map(|text| json!({ "type": "text", "text": text })).collect();
    json!({ "model": "smollm2", "max_tokens": 16, "messages": [{ "role": "user", "content": parts }] })
        .to_string()
        .into_bytes()
}

/// The bytes of a key pair that is the same in every run.
fn seeded() -> Vec<u8> {
    use ed25519_compact::{KeyPair, Seed};
    KeyPair::from_seed(Seed::new([7; 32])).to_vec()
}

fn token(key: &Ed25519KeyPair) -> String {
    let claims = json!({ "iss": "https://idp.example.com/realms/llm", "aud": "llm", "sub": "bench", "roles": ["analyst"],
        "tenant": "acme", "iat": NOW, "exp": NOW + 86_400 });
    let text = format!("{}.{}", base64url(br#"{"alg":"EdDSA","kid":"k1"}"#), base64url(claims.to_string().as_bytes()));
    let signature = key.key_pair().as_ref().sk.sign(text.as_bytes(), None);
    format!("{text}.{}", base64url(signature.as_ref()))
}

fn base64url(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
