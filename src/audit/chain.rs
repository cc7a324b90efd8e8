//! The chain that ties a worker's records together, so that a record can't be changed, taken out or put in unseen.
//!
//! Every record names the digest of the one before it and its own; now and then one is signed (Ed25519, RFC 8032). A
//! checkpoint is a signed line beside the records: it says how far each chain of the proxy has come. Whoever keeps the
//! checkpoints elsewhere knows later which records there were. `bartizan audit verify` reads both.
//!
//! A digest is SHA-256 over [`DOMAIN`] and the line's bytes before the digest's own member; a signature is over
//! [`DOMAIN`] and the line's bytes before the signature's. So a line is checked as it was written, byte by byte.
//!
//! ```
//! use bartizan::audit::chain::{digest, split};
//!
//! let body = r#"{"bartizan.worker":"0011223344556677-1","bartizan.sequence":1"#;
//! let line = format!(r#"{body},"bartizan.chain.digest":"{}"}}"#, digest(body));
//! let parts = split(&line).unwrap();
//! assert_eq!((parts.body, parts.digest), (body, digest(body).as_str()));
//! ```

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest as _, Sha256};

use super::time::rfc3339;
use crate::assertion::private_key;
use crate::callout::{Call, HttpCall};
use crate::document::{self, Environment, Errors, KeyPath, secret};
use crate::hex::hex;
use crate::host::{Fault, Host, SetOutcome, Timestamp};

/// What every digest and signature of a chain begins with.
pub const DOMAIN: &[u8] = b"bartizan.chain.1\n";

/// `event.dataset` of a checkpoint.
pub const CHECKPOINT: &str = "bartizan.checkpoint";

/// Chains whose heads one checkpoint tells: its own, and the youngest others of the proxy.
const MAX_HEADS: u32 = 32;

/// The longest answer of a sink that is taken, in bytes.
const MAX_ANSWER: usize = 4096;

const DIGEST: &str = ",\"bartizan.chain.digest\":\"";
const KEY: &str = ",\"bartizan.chain.key\":\"";
const SIGNATURE: &str = ",\"bartizan.chain.signature\":\"";

/// The section `audit.chain`, compiled.
pub struct ChainPolicy {
    key: ed25519_compact::SecretKey,
    key_id: String,
    every: u64,
    interval: Duration,
    sink: Option<Sink>,
}

/// Where checkpoints are copied to, beside the proxy's log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sink {
    cluster: String,
    authority: String,
    path: String,
    timeout: Duration,
}

/// The chain of one worker.
#[derive(Clone, Debug)]
pub struct Chain {
    policy: Arc<ChainPolicy>,
    /// The policy's name: the prefix of shared state.
    prefix: String,
    /// The proxy's random name. Those that share it share a store.
    proxy: String,
    /// Which of the proxy's chains this is, from 1.
    ordinal: u32,
    /// Its records.
    sequence: u64,
    /// Of the last one.
    digest: String,
    /// When the last checkpoint was made.
    checked: Option<Timestamp>,
    /// There are records that no checkpoint tells.
    is_ahead: bool,
}

/// The parts of a chained line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'l> {
    /// What the digest is over, without [`DOMAIN`].
    pub body: &'l str,
    /// The digest in base64url.
    pub digest: &'l str,
    /// The key's id, and the signature in base64url with what it is over, without [`DOMAIN`].
    pub signature: Option<(&'l str, &'l str, &'l str)>,
}

/// The digest of a line whose bytes before its digest's member are these, in base64url.
pub fn digest(body: &str) -> String {
    BASE64.encode(Sha256::new().chain_update(DOMAIN).chain_update(body).finalize())
}

/// The id of a public key: the first 16 hex digits of its SHA-256.
pub fn key_id(public: &[u8; 32]) -> String {
    hex(Sha256::digest(public).get(..8).unwrap_or_default())
}

/// The public half of a private key of Ed25519.
pub fn public_key(private: &[u8; 32]) -> [u8; 32] {
    *ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(*private)).pk
}

/// Whether a signature in base64url is this key's, over [`DOMAIN`] and the text.
pub fn is_signed(public: &[u8; 32], text: &str, signature: &str) -> bool {
    let bytes = BASE64.decode(signature).ok().and_then(|bytes| ed25519_compact::Signature::from_slice(&bytes).ok());
    let key = ed25519_compact::PublicKey::new(*public);
    bytes.is_some_and(|signature| key.verify([DOMAIN, text.as_bytes()].concat(), &signature).is_ok())
}

/// Takes a chained record apart; `None`: it is not chained, or not in the form in which chained lines are written.
pub fn split(line: &str) -> Option<Parts<'_>> {
    let (rest, signature) = match signed_part(line) {
        Some((signed, signature)) => {
            let (rest, key) = value_at_end(signed, KEY)?;
            (rest, Some((key, signature, signed)))
        }
        None => (line.strip_suffix('}')?, None),
    };
    let (body, digest) = value_at_end(rest, DIGEST)?;
    Some(Parts { body, digest, signature })
}

/// What a signed line's signature is over, and the signature.
pub fn signed_part(line: &str) -> Option<(&str, &str)> {
    value_at_end(line.strip_suffix('}')?, SIGNATURE)
}

/// Splits off a last member of this name whose value is of base64url.
fn value_at_end<'l>(text: &'l str, member: &str) -> Option<(&'l str, &'l str)> {
    let value = text.strip_suffix('"')?;
    let start = value.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).len();
    let (rest, value) = value.split_at_checked(start)?;
    Some((rest.strip_suffix(member)?, value))
}

impl std::fmt::Debug for ChainPolicy {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainPolicy").field("key_id", &self.key_id).field("every", &self.every).finish_non_exhaustive()
    }
}

impl PartialEq for ChainPolicy {
    fn eq(&self, other: &ChainPolicy) -> bool {
        (&self.key_id, self.every, self.interval, &self.sink)
            == (&other.key_id, other.every, other.interval, &other.sink)
    }
}

impl Eq for ChainPolicy {}

impl ChainPolicy {
    /// Compiles `audit.chain`; `None`: something that it needs is missing, and an error says what.
    pub(crate) fn compile(
        written: &document::Chain,
        environment: Environment<'_>,
        at: &KeyPath,
        errors: &mut Errors,
    ) -> Option<ChainPolicy> {
        let raw = errors.require(at, "key", written.key.as_ref());
        let bytes = raw.and_then(|raw| secret(raw, &at.key("key"), environment, errors));
        let key = bytes.and_then(|bytes| match private_key(&bytes) {
            Ok(key) => Some(key),
            Err(message) => {
                errors.push(&at.key("key").key("fromEnv"), message);
                None
            }
        });
        let every = written.every.unwrap_or(100);
        if !(1..=100_000).contains(&every) {
            errors.push(&at.key("every"), "out of bounds, expected 1 to 100000");
        }
        let interval = errors.span(at, "interval", written.interval, (60_000, 1_000..=3_600_000), "1s to 1h");
        let sink = written.sink.as_ref().map(|sink| Sink::compile(sink, &at.key("sink"), errors));
        let key = key?;
        let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(key));
        Some(ChainPolicy { key_id: key_id(&pair.pk), key: pair.sk, every, interval, sink: sink.flatten() })
    }

    /// Makes what the chains of a proxy share, where it is not there yet.
    ///
    /// # Errors
    /// A [`Fault`] when the host has no randomness or no shared store.
    pub fn prepare(prefix: &str, host: &mut dyn Host) -> Result<(), Fault> {
        let name = format!("{prefix}/chain");
        let found = host.shared_get(&name)?;
        if Register::read(&found.value).is_none() {
            let mut proxy = [0; 8];
            host.random(&mut proxy)?;
            host.shared_set(&name, &Register { proxy, chains: 0 }.bytes(), found.cas)?;
        }
        Ok(())
    }

    fn call(&self, checkpoint: &str) -> Option<Call> {
        let sink = self.sink.as_ref()?;
        Some(Call::Http(HttpCall {
            cluster: sink.cluster.clone(),
            method: "POST",
            authority: sink.authority.clone(),
            path: sink.path.clone(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: format!("{checkpoint}\n").into_bytes(),
            timeout: sink.timeout,
            most: MAX_ANSWER,
        }))
    }
}

impl Sink {
    fn compile(written: &document::ChainSink, at: &KeyPath, errors: &mut Errors) -> Option<Sink> {
        let cluster = errors.filled(at, "cluster", written.cluster.as_deref());
        let authority = errors.filled(at, "authority", written.authority.as_deref());
        let path = errors.filled(at, "path", written.path.as_deref());
        if path.is_some_and(|path| !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic())) {
            errors.push(&at.key("path"), "not a path, expected / and visible ASCII");
        }
        let timeout = errors.span(at, "timeout", written.timeout, (5_000, 10..=30_000), "10ms to 30s");
        Some(Sink { cluster: cluster?.into(), authority: authority?.into(), path: path?.into(), timeout })
    }
}

/// What the chains of a proxy share.
struct Register {
    proxy: [u8; 8],
    chains: u32,
}

impl Register {
    fn read(bytes: &[u8]) -> Option<Register> {
        let (proxy, chains) = bytes.split_first_chunk()?;
        Some(Register { proxy: *proxy, chains: u32::from_le_bytes(chains.try_into().ok()?) })
    }

    fn bytes(&self) -> Vec<u8> {
        [self.proxy.as_slice(), &self.chains.to_le_bytes()].concat()
    }

    /// Counts one more chain.
    fn enter(prefix: &str, host: &mut dyn Host) -> Result<Register, Fault> {
        const TRIES: u32 = 64;
        let name = format!("{prefix}/chain");
        for _ in 0..TRIES {
            let found = host.shared_get(&name)?;
            let Some(mut register) = Register::read(&found.value) else {
                ChainPolicy::prepare(prefix, host)?;
                continue;
            };
            register.chains = register.chains.saturating_add(1);
            if host.shared_set(&name, &register.bytes(), found.cas)? == SetOutcome::Stored {
                return Ok(register);
            }
        }
        Err(Fault("the register of chains is too busy"))
    }
}

impl Chain {
    /// Begins a worker's chain. Where the store fails, it is the only one of a proxy that nobody else is part of.
    ///
    /// # Errors
    /// A [`Fault`] when the host has no randomness.
    pub fn open(policy: &Arc<ChainPolicy>, prefix: &str, host: &mut dyn Host) -> Result<Chain, Fault> {
        let register = match Register::enter(prefix, host) {
            Ok(register) => register,
            Err(_) => {
                let mut proxy = [0; 8];
                host.random(&mut proxy)?;
                Register { proxy, chains: 1 }
            }
        };
        Ok(Chain {
            policy: Arc::clone(policy),
            prefix: prefix.to_owned(),
            proxy: hex(&register.proxy),
            ordinal: register.chains,
            sequence: 0,
            digest: String::new(),
            checked: None,
            is_ahead: false,
        })
    }

    /// The call that copies a checkpoint to the second sink, where there is one.
    pub fn call(&self, checkpoint: &str) -> Option<Call> {
        self.policy.call(checkpoint)
    }

    /// True while this is the chain that a policy wants.
    pub fn fits(&self, policy: &ChainPolicy) -> bool {
        *self.policy == *policy
    }

    /// The worker's name in its records: the proxy's, and which of its chains this is.
    pub fn name(&self) -> String {
        format!("{}-{}", self.proxy, self.ordinal)
    }

    /// Puts a record into the chain: its sequence number is the next one, and `line` ends with its closing brace.
    pub fn seal(&mut self, sequence: u64, mut line: String, host: &mut dyn Host) -> String {
        line.pop();
        match self.sequence {
            0 => line.push_str(&format!(",\"bartizan.chain.every\":{}", self.policy.every)),
            _ => line.push_str(&format!(",\"bartizan.chain.previous\":\"{}\"", self.digest)),
        }
        self.digest = digest(&line);
        self.sequence = sequence;
        self.is_ahead = true;
        line.push_str(&format!("{DIGEST}{}\"", self.digest));
        if sequence == 1 || sequence.is_multiple_of(self.policy.every) {
            self.sign(&mut line);
        }
        line.push('}');
        // Nobody else writes it. Where it fails, others' checkpoints tell less of this chain.
        let _ = host.shared_set(&self.row(self.ordinal), format!("{sequence} {}", self.digest).as_bytes(), 0);
        line
    }

    /// A checkpoint, where one is due: after the interval, where there are new records; `is_last`: at once.
    pub fn checkpoint(&mut self, is_last: bool, host: &mut dyn Host) -> Option<String> {
        let now = host.now();
        let interval = u64::try_from(self.policy.interval.as_nanos()).unwrap_or(u64::MAX);
        let is_due = self.checked.is_none_or(|before| now.0.saturating_sub(before.0) >= interval);
        if !self.is_ahead || !(is_due || is_last) {
            return None;
        }
        self.checked = Some(now);
        self.is_ahead = false;
        let register = host.shared_get(&format!("{}/chain", self.prefix)).ok();
        let register = register.and_then(|found| Register::read(&found.value));
        let chains = register.map_or(self.ordinal, |register| register.chains.max(self.ordinal));
        let others = chains.saturating_sub(MAX_HEADS - 1).max(1)..=chains;
        let mut heads = Vec::new();
        for ordinal in others.filter(|ordinal| *ordinal != self.ordinal) {
            let row = host.shared_get(&self.row(ordinal)).unwrap_or_default().value;
            let row = String::from_utf8(row).unwrap_or_default();
            if let Some((sequence, digest)) = row.split_once(' ') {
                heads.push(format!("[{ordinal},{sequence},\"{digest}\"]"));
            }
        }
        heads.push(format!("[{},{},\"{}\"]", self.ordinal, self.sequence, self.digest));
        let mut line = format!(
            "{{\"@timestamp\":\"{}\",\"event.kind\":\"event\",\"event.dataset\":\"{CHECKPOINT}\",\
             \"bartizan.worker\":\"{}\",\"bartizan.chain.heads\":[{}]",
            rfc3339(now),
            self.name(),
            heads.join(",")
        );
        self.sign(&mut line);
        line.push('}');
        Some(line)
    }

    /// The checkpoint did not get to the second sink: the next one is made as if there had been none.
    pub fn uncheck(&mut self) {
        self.is_ahead = true;
    }

    fn row(&self, ordinal: u32) -> String {
        format!("{}/chain/{ordinal}", self.prefix)
    }

    fn sign(&self, line: &mut String) {
        line.push_str(&format!("{KEY}{}\"", self.policy.key_id));
        let signature = self.policy.key.sign([DOMAIN, line.as_bytes()].concat(), None);
        line.push_str(&format!("{SIGNATURE}{}\"", BASE64.encode(signature)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::MemoryHost;

    fn policy(every: u64) -> Arc<ChainPolicy> {
        let written = serde_json::json!({ "key": { "fromEnv": "KEY" }, "every": every });
        let mut errors = Errors::default();
        let written = serde_json::from_value(written).unwrap();
        let policy = ChainPolicy::compile(&written, &|_| Some("1f".repeat(32)), &KeyPath::root(), &mut errors);
        Arc::new(policy.unwrap())
    }

    #[test]
    fn a_line_is_split_where_it_was_sealed() {
        let mut host = MemoryHost::default();
        let policy = policy(2);
        let mut chain = Chain::open(&policy, "p", &mut host).unwrap();
        let public = public_key(&[0x1f; 32]);
        let mut before = String::new();
        for sequence in 1..=5 {
            let record = format!("{{\"bartizan.sequence\":{sequence},\"a\":\"\\\"}}\"}}");
            let line = chain.seal(sequence, record, &mut host);
            let parts = split(&line).unwrap();
            assert_eq!(parts.digest, digest(parts.body));
            let json: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(json["bartizan.chain.previous"].as_str().unwrap_or(""), before);
            before = parts.digest.to_owned();
            assert_eq!(parts.signature.is_some(), [1, 2, 4].contains(&sequence));
            if let Some((key, signature, text)) = parts.signature {
                assert_eq!(key, key_id(&public));
                assert!(is_signed(&public, text, signature) && !is_signed(&public, &text[1..], signature));
            }
        }
        let checkpoint = chain.checkpoint(false, &mut host).unwrap();
        assert!(chain.checkpoint(true, &mut host).is_none(), "there is nothing new");
        let (text, signature) = signed_part(&checkpoint).unwrap();
        assert!(is_signed(&public, text, signature));
        assert!(text.contains(&format!("[1,5,\"{before}\"]")));
    }

    #[test]
    fn every_chain_of_a_proxy_has_a_number_of_its_own_and_checkpoints_tell_of_all() {
        let mut host = MemoryHost::default();
        let policy = policy(100);
        let mut chains: Vec<Chain> = (0..3).map(|_| Chain::open(&policy, "p", &mut host).unwrap()).collect();
        let names: Vec<String> = chains.iter().map(Chain::name).collect();
        assert!(names.iter().zip(1..).all(|(name, at)| name.ends_with(&format!("-{at}"))), "{names:?}");
        for chain in &mut chains {
            chain.seal(1, "{\"a\":1}".to_owned(), &mut host);
        }
        let line: serde_json::Value = serde_json::from_str(&chains[0].checkpoint(false, &mut host).unwrap()).unwrap();
        assert_eq!(line["bartizan.chain.heads"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn no_text_makes_it_stumble() {
        for text in
            ["", "}", "\"}", "{\"bartizan.chain.digest\":\"}", ",\"bartizan.chain.signature\":\"\"}", "\u{e4}\"}"]
        {
            let _ = (split(text), signed_part(text));
        }
        assert!(!is_signed(&[0; 32], "", "AAAA"));
    }
}
