//! What an issuer publishes, its keys and the list of what it has revoked: when it is fetched, how the
//! proxy's workers share it, and how long it counts.
//!
//! One worker fetches, under a lease in the shared store; what came back is checked, kept there under an
//! HMAC-SHA256 and read by all others. A token whose `kid` no known key has is worth one more fetch, at
//! most every [`COOLDOWN`]. When fetching fails what was fetched before stays good for `staleFor`. This
//! module makes no call itself: [`KeyRing::due`] says what to fetch, [`KeyRing::fetched`] takes the answer.
//!
//! The HMAC's key is in the same store (see [`crate::quota::SharedKey`]): it finds accidents and
//! other plugins' garbage. A plugin of the same proxy that means harm can change every request anyway.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::jwk::{Flaw, Key, KeySet, MAX_KEYS};
use super::revocation::{MAX_LIST_BYTES, RevocationList};
use super::{Algorithm, Authenticator, json};
use crate::callout::{Call, HttpCall};
use crate::hex::hex;
use crate::host::{Host, SetOutcome, Timestamp};
use crate::keyed::HashKey;

/// The longest key set that is taken, in bytes.
pub const MAX_JWKS_BYTES: usize = 128 * 1024;

/// Tokens with unknown keys make the keys be fetched again at most this often.
const COOLDOWN: u64 = 10 * SECOND;
/// A fetch that failed is tried again after this long.
const RETRY: u64 = 2 * SECOND;
/// A worker looks into the shared store at most this often while it has keys.
const LOOK: u64 = SECOND;
const SECOND: u64 = 1_000_000_000;

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// Keys (RFC 7517 section 5) for these algorithms.
    Keys(Vec<Algorithm>),
    /// What the issuer has revoked.
    Revoked,
}

/// Where an issuer publishes something, and how long that counts.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) published: Published,
    pub(super) cluster: Box<str>,
    pub(super) authority: Box<str>,
    pub(super) path: Box<str>,
    pub(super) timeout: Duration,
    /// Nanoseconds.
    pub(super) refresh: u64,
    /// Nanoseconds beyond `refresh`.
    pub(super) stale_for: u64,
    /// Names what is there in the shared store: the same place and algorithms, the same keys.
    pub(super) id: Box<str>,
}

impl Remote {
    /// The name in the shared store of what is at a place.
    pub(super) fn id(iss: &str, cluster: &str, authority: &str, path: &str, published: &Published) -> Box<str> {
        let digest = Sha256::digest(format!("{:?}", (iss, cluster, authority, path, published)));
        hex(digest.get(..8).unwrap_or_default()).into()
    }

    /// What the workers share of an answer; `None`: it is not what should be there.
    fn pack(&self, body: &[u8]) -> Option<Vec<u8>> {
        match &self.published {
            Published::Keys(algorithms) => parse(body, algorithms).map(|_| body.to_vec()),
            Published::Revoked => RevocationList::parse(body).map(|list| list.to_bytes()),
        }
    }

    fn unpack(&self, bytes: &[u8]) -> Option<Content> {
        match &self.published {
            Published::Keys(algorithms) => parse(bytes, algorithms).map(|set| Content::Keys(Arc::new(set))),
            Published::Revoked => RevocationList::from_bytes(bytes).map(|list| Content::Revoked(Arc::new(list))),
        }
    }

    fn is_current(&self, set: &Set, now: Timestamp) -> bool {
        now.0 < set.fetched.0.saturating_add(self.refresh).saturating_add(self.stale_for)
    }
}

/// One fetch to make: a GET, whose answer goes to [`KeyRing::fetched`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Envoy's cluster.
    pub cluster: String,
    /// `:authority`.
    pub authority: String,
    /// `:path`.
    pub path: String,
    /// How long to wait.
    pub timeout: Duration,
    /// The longest answer that is taken, in bytes.
    pub most: usize,
    /// What is fetched: `keys`, or `revocations`.
    pub what: &'static str,
    algorithms: Vec<Algorithm>,
    id: Box<str>,
}

impl Fetch {
    /// Why an answer holds no key that can be used, for the log.
    pub fn why_unusable(&self, body: &[u8]) -> String {
        why_unusable(body, &self.algorithms)
    }

    /// The call to make.
    pub fn call(&self) -> Call {
        Call::Http(HttpCall {
            cluster: self.cluster.clone(),
            method: "GET",
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers: vec![("accept", "application/json, application/jwk-set+json".to_owned())],
            body: Vec::new(),
            timeout: self.timeout,
            most: self.most,
        })
    }
}

/// What became of a fetch, for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The keys are in force.
    Stored,
    /// The policy that wanted them is gone.
    Unwanted,
    /// No answer came in time. The proxy's own 503 (no connection) and 504 (a timeout) are none.
    NoAnswer,
    /// An answer of another status than 200 came.
    BadStatus(u16),
    /// The answer is no key set, or too large, or holds no key that the issuer's algorithms can use.
    NoKeys,
    /// The answer is no list of revoked tokens, or too large.
    NoList,
    /// The shared store failed.
    NotStored,
}

impl Fetched {
    /// The word in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Fetched::Stored => "stored",
            Fetched::Unwanted => "unwanted",
            Fetched::NoAnswer => "no_answer",
            Fetched::BadStatus(_) => "bad_status",
            Fetched::NoKeys => "no_keys",
            Fetched::NoList => "no_list",
            Fetched::NotStored => "not_stored",
        }
    }

    /// The same with the status that came, where what came is no answer.
    #[must_use]
    pub const fn with_status(self, status: Option<u16>) -> Fetched {
        match (self, status) {
            (Fetched::NoAnswer, Some(status)) if status != 503 && status != 504 => Fetched::BadStatus(status),
            _ => self,
        }
    }
}

impl std::fmt::Display for Fetched {
    /// [`Fetched::name`], or the status: `status 404`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fetched::BadStatus(status) => write!(f, "status {status}"),
            _ => f.write_str(self.name()),
        }
    }
}

/// One worker's copy of what its policy fetches.
#[derive(Debug)]
pub struct KeyRing {
    /// The prefix of every key in the shared store.
    policy: String,
    /// Zeros behind the 32 bytes: HMAC's own padding to its block.
    mac_key: [u8; 64],
    slots: HashMap<Box<str>, Slot>,
    changed: bool,
    /// The key of the record's hashes, where lists may name callers by them.
    callers: Option<HashKey>,
}

/// One place.
#[derive(Debug, Default)]
struct Slot {
    set: Option<Set>,
    shared: SharedState,
    looked: Timestamp,
    /// A token came with a key that nobody knows.
    wanted: bool,
}

/// What was read from a place, and when it was fetched.
#[derive(Debug)]
struct Set {
    content: Content,
    fetched: Timestamp,
    digest: [u8; 32],
}

#[derive(Clone, Debug)]
enum Content {
    Keys(Arc<KeySet>),
    Revoked(Arc<RevocationList>),
}

/// What the workers tell each other about one set, five numbers in the shared store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SharedState {
    attempt: Timestamp,
    success: Timestamp,
    /// Changes whenever keys are stored.
    serial: u64,
    /// A fetch is in flight until then.
    until: Timestamp,
    /// Fetches that failed since the last one that did not.
    failures: u64,
    /// The version in the store; no part of the value.
    cas: u32,
}

impl SharedState {
    const BYTES: usize = 40;

    fn to_bytes(self) -> Vec<u8> {
        [self.attempt.0, self.success.0, self.serial, self.until.0, self.failures]
            .iter()
            .flat_map(|n| n.to_be_bytes())
            .collect()
    }

    fn from_bytes(bytes: &[u8], cas: u32) -> Option<SharedState> {
        let mut numbers = bytes.chunks_exact(8).map(|eight| eight.try_into().map(u64::from_be_bytes).unwrap_or(0));
        let mut next = || numbers.next();
        let (attempt, success, serial, until, failures) = (next()?, next()?, next()?, next()?, next()?);
        Some(SharedState {
            attempt: Timestamp(attempt),
            success: Timestamp(success),
            serial,
            until: Timestamp(until),
            failures,
            cas,
        })
    }

    fn under_way(&self, now: Timestamp) -> bool {
        // A lease from the future is garbage or a clock that was set back: it must not block for ever.
        now < self.until && self.attempt <= now
    }
}

impl KeyRing {
    /// An empty ring of a policy. `secret` is what all workers of the proxy share.
    pub fn new(policy: &str, secret: &[u8]) -> KeyRing {
        let derived: [u8; 32] = Sha256::new().chain_update(b"bartizan jwks").chain_update(secret).finalize().into();
        let mut mac_key = [0; 64];
        mac_key.iter_mut().zip(derived).for_each(|(place, byte)| *place = byte);
        KeyRing { policy: policy.to_owned(), mac_key, slots: HashMap::new(), changed: false, callers: None }
    }

    /// Lists of revoked tokens may name callers by their hash under this key.
    #[must_use]
    pub fn with_callers(self, key: HashKey) -> KeyRing {
        KeyRing { callers: Some(key), ..self }
    }

    /// A caller's hash, as records have it.
    pub(super) fn caller(&self, identity: &[u8]) -> Option<[u8; 16]> {
        self.callers.as_ref().map(|key| key.hash(&[b"subject", identity]))
    }

    /// A ring that holds nothing and is never filled: for tools without a proxy.
    pub fn empty() -> KeyRing {
        KeyRing::new("", b"")
    }

    /// True once after a set of keys has been replaced: tokens verified before must be verified again.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The keys that count now; `None` when there are none, and the caller may wait for them.
    pub(super) fn keys(&mut self, remote: &Remote, now: Timestamp, host: &mut dyn Host) -> Option<Arc<KeySet>> {
        match self.current(remote, now, host) {
            Some(Content::Keys(keys)) => Some(keys),
            _ => None,
        }
    }

    /// What is revoked, as far as is known now; `None` when there is no list that still counts, and the caller
    /// may wait for one.
    pub(super) fn revoked(
        &mut self,
        remote: &Remote,
        now: Timestamp,
        host: &mut dyn Host,
    ) -> Option<Arc<RevocationList>> {
        match self.current(remote, now, host) {
            Some(Content::Revoked(list)) => Some(list),
            _ => None,
        }
    }

    /// True if the last fetch from this place failed.
    pub(super) fn has_failed(&self, remote: &Remote) -> bool {
        self.slots.get(&remote.id).is_some_and(|slot| slot.shared.failures > 0)
    }

    fn current(&mut self, remote: &Remote, now: Timestamp, host: &mut dyn Host) -> Option<Content> {
        self.look(remote, now, host);
        let slot = self.slots.entry(remote.id.clone()).or_default();
        match &slot.set {
            Some(set) if remote.is_current(set, now) => Some(set.content.clone()),
            _ => {
                slot.wanted = true;
                None
            }
        }
    }

    /// Asks for the keys to be fetched again because of a `kid` that none has. False: not now.
    pub(super) fn want(&mut self, remote: &Remote, now: Timestamp) -> bool {
        let slot = self.slots.entry(remote.id.clone()).or_default();
        let state = &slot.shared;
        let may = state.under_way(now) || now.0 >= state.attempt.0.saturating_add(COOLDOWN) || now < state.attempt;
        slot.wanted |= may;
        may
    }

    /// When the keys that count were fetched; the beginning of time where none are.
    pub(super) fn fetched_at(&self, remote: &Remote) -> Timestamp {
        self.slots.get(&remote.id).and_then(|slot| slot.set.as_ref()).map_or(Timestamp(0), |set| set.fetched)
    }

    /// Whole seconds until keys may be asked for again, at least 1.
    pub(super) fn cooldown_left(&self, remote: &Remote, now: Timestamp) -> u64 {
        let attempt = self.slots.get(&remote.id).map_or(Timestamp(0), |slot| slot.shared.attempt);
        attempt.0.saturating_add(COOLDOWN).saturating_sub(now.0).div_ceil(SECOND).max(1)
    }

    /// The fetches to make now, each under a lease that this worker has just taken.
    pub fn due(&mut self, authn: &Authenticator, now: Timestamp, host: &mut dyn Host) -> Vec<Fetch> {
        // Sets of policies that are no longer in force.
        self.slots.retain(|id, _| authn.remotes().any(|remote| remote.id == *id));
        let mut fetches = Vec::new();
        for remote in authn.remotes() {
            self.look(remote, now, host);
            let slot = self.slots.entry(remote.id.clone()).or_default();
            let state = slot.shared;
            if state.under_way(now) || !is_due(remote, &state, slot.wanted, slot.set.is_some(), now) {
                continue;
            }
            let patience = nanos(remote.timeout).saturating_add(SECOND);
            let lease = SharedState { attempt: now, until: Timestamp(now.0.saturating_add(patience)), ..state };
            if self.write_state(remote, lease, host) {
                let slot = self.slots.entry(remote.id.clone()).or_default();
                slot.wanted = false;
                slot.shared = lease;
                fetches.push(Fetch {
                    cluster: remote.cluster.to_string(),
                    authority: remote.authority.to_string(),
                    path: remote.path.to_string(),
                    timeout: remote.timeout,
                    most: if remote.published == Published::Revoked { MAX_LIST_BYTES } else { MAX_JWKS_BYTES },
                    what: if remote.published == Published::Revoked { "revocations" } else { "keys" },
                    algorithms: match &remote.published {
                        Published::Keys(algorithms) => algorithms.clone(),
                        Published::Revoked => Vec::new(),
                    },
                    id: remote.id.clone(),
                });
            }
        }
        fetches
    }

    /// Takes the answer to a fetch: its body if its status was 200, `None` otherwise. Says too whether that
    /// is news to the proxy: the first failure, or the first success after one.
    pub fn fetched(
        &mut self,
        authn: &Authenticator,
        fetch: &Fetch,
        body: Option<&[u8]>,
        now: Timestamp,
        host: &mut dyn Host,
    ) -> (Fetched, bool) {
        let Some(remote) = authn.remotes().find(|remote| remote.id == fetch.id) else {
            return (Fetched::Unwanted, false);
        };
        let before = self.read_state(remote, host).unwrap_or_default();
        let outcome = self.adopt(remote, body, now, host);
        if outcome != Fetched::Stored {
            // Ends the lease; the retry waits from the attempt on.
            let failures = before.failures.saturating_add(1);
            self.write_state(remote, SharedState { until: Timestamp(0), failures, ..before }, host);
        }
        // The next look, also of this worker, reads what is there now.
        if let Some(slot) = self.slots.get_mut(&remote.id) {
            slot.looked = Timestamp(0);
        }
        (outcome, (outcome == Fetched::Stored) == (before.failures > 0))
    }

    /// True if everything that is fetched counts now.
    pub fn has_keys(&self, authn: &Authenticator, now: Timestamp) -> bool {
        authn.remotes().all(|remote| {
            self.slots.get(&remote.id).and_then(|slot| slot.set.as_ref()).is_some_and(|set| remote.is_current(set, now))
        })
    }

    fn adopt(&mut self, remote: &Remote, body: Option<&[u8]>, now: Timestamp, host: &mut dyn Host) -> Fetched {
        let Some(body) = body else { return Fetched::NoAnswer };
        let Some(packed) = remote.pack(body) else {
            return if remote.published == Published::Revoked { Fetched::NoList } else { Fetched::NoKeys };
        };
        let mut blob = now.0.to_be_bytes().to_vec();
        blob.extend_from_slice(&packed);
        let seal = self.seal(remote, &blob);
        blob.extend_from_slice(&seal);
        if !write(&self.key(remote, "keys"), &blob, host) {
            return Fetched::NotStored;
        }
        let state = self.read_state(remote, host).unwrap_or_default();
        let done = SharedState {
            success: now,
            serial: state.serial.wrapping_add(1),
            until: Timestamp(0),
            failures: 0,
            ..state
        };
        if self.write_state(remote, done, host) { Fetched::Stored } else { Fetched::NotStored }
    }

    /// Reads what the workers share, and the keys when they changed.
    fn look(&mut self, remote: &Remote, now: Timestamp, host: &mut dyn Host) {
        let slot = self.slots.entry(remote.id.clone()).or_default();
        if slot.set.is_some() && now.0.abs_diff(slot.looked.0) < LOOK {
            return;
        }
        slot.looked = now;
        let (known, had_set) = (slot.shared.serial, slot.set.is_some());
        let state = self.read_state(remote, host).unwrap_or_default();
        let read = if state.serial != known || !had_set { self.read_keys(remote, host) } else { None };
        let slot = self.slots.entry(remote.id.clone()).or_default();
        slot.shared = state;
        if let Some(set) = read {
            // An older set is a replay, or a late writer.
            let newer = slot.set.as_ref().is_none_or(|own| set.fetched > own.fetched);
            if newer {
                // What is revoked is asked for remembered tokens too.
                let is_keys = matches!(set.content, Content::Keys(_));
                self.changed |= is_keys && slot.set.as_ref().is_some_and(|own| own.digest != set.digest);
                slot.set = Some(set);
                slot.wanted = false;
            }
        }
    }

    fn read_keys(&self, remote: &Remote, host: &mut dyn Host) -> Option<Set> {
        let blob = host.shared_get(&self.key(remote, "keys")).ok()?.value;
        let (body, seal) = blob.split_last_chunk::<32>()?;
        self.mac(remote, body).verify_slice(seal).ok()?;
        let (time, body) = body.split_first_chunk::<8>()?;
        let content = remote.unpack(body)?;
        Some(Set { content, fetched: Timestamp(u64::from_be_bytes(*time)), digest: Sha256::digest(body).into() })
    }

    fn read_state(&self, remote: &Remote, host: &mut dyn Host) -> Option<SharedState> {
        let found = host.shared_get(&self.key(remote, "state")).ok()?;
        let garbage = SharedState { cas: found.cas, ..SharedState::default() };
        let Some((bytes, seal)) = found.value.split_last_chunk::<32>() else { return Some(garbage) };
        let genuine = bytes.len() == SharedState::BYTES && self.mac(remote, bytes).verify_slice(seal).is_ok();
        Some(if genuine { SharedState::from_bytes(bytes, found.cas).unwrap_or(garbage) } else { garbage })
    }

    /// False when somebody else was first, or the store failed.
    fn write_state(&self, remote: &Remote, state: SharedState, host: &mut dyn Host) -> bool {
        let mut bytes = state.to_bytes();
        let seal = self.seal(remote, &bytes);
        bytes.extend_from_slice(&seal);
        matches!(host.shared_set(&self.key(remote, "state"), &bytes, state.cas), Ok(SetOutcome::Stored))
    }

    fn key(&self, remote: &Remote, part: &str) -> String {
        format!("{}/jwks/{}/{part}", self.policy, remote.id)
    }

    fn seal(&self, remote: &Remote, bytes: &[u8]) -> [u8; 32] {
        self.mac(remote, bytes).finalize().into_bytes().into()
    }

    fn mac(&self, remote: &Remote, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&self.mac_key.into());
        // The id's length is fixed, so the parts can't run into each other; state and keys differ in length.
        mac.update(remote.id.as_bytes());
        mac.update(bytes);
        mac
    }
}

/// True when it is time to fetch.
fn is_due(remote: &Remote, state: &SharedState, wanted: bool, has_keys: bool, now: Timestamp) -> bool {
    if now < state.attempt {
        // The clock was set back.
        return true;
    }
    let since_attempt = now.0 - state.attempt.0;
    if state.failures > 0 || !has_keys {
        return since_attempt >= RETRY;
    }
    let aged = now.0 >= state.success.0.saturating_add(remote.refresh);
    (aged && since_attempt >= RETRY) || (wanted && since_attempt >= COOLDOWN)
}

/// The keys of a published set that the issuer's algorithms can use. Others are passed over: a set may
/// hold keys for encryption, and of a `kid` given twice the first counts.
///
/// `None` when the text is no key set, is over [`MAX_JWKS_BYTES`] or [`MAX_KEYS`], or no key is left.
fn parse(body: &[u8], algorithms: &[Algorithm]) -> Option<KeySet> {
    let mut set = KeySet::default();
    for jwk in listed(body).ok()?.iter().filter_map(Value::as_object) {
        if let Ok(key) = Key::parse(jwk, algorithms) {
            // A second key of the same kid is dropped here.
            let _ = set.add(key);
        }
    }
    (!set.is_empty()).then_some(set)
}

/// The keys of a set, unread.
///
/// # Errors
/// Why there are none.
fn listed(body: &[u8]) -> Result<Vec<Value>, String> {
    if body.len() > MAX_JWKS_BYTES {
        return Err(format!("{} bytes, {MAX_JWKS_BYTES} are taken", body.len()));
    }
    let object = json::object(body).ok_or("not a JSON object, or one with a key twice")?;
    let listed = object.get("keys").and_then(Value::as_array).ok_or("no list \"keys\"")?;
    match listed.len() {
        0 => Err("the list is empty".to_owned()),
        1..=MAX_KEYS => Ok(listed.clone()),
        count => Err(format!("{count} keys, {MAX_KEYS} are taken")),
    }
}

/// Why none of the keys of a set can be used, for the log: the flaw of the first ones. What it says of an issuer's public
/// keys is no secret.
fn why_unusable(body: &[u8], algorithms: &[Algorithm]) -> String {
    const MOST: usize = 3;
    let keys = match listed(body) {
        Ok(keys) => keys,
        Err(why) => return why,
    };
    let flaw = |(place, jwk): (usize, &Value)| match jwk.as_object().map(|jwk| Key::parse(jwk, algorithms)) {
        Some(Ok(_)) => None,
        Some(Err(Flaw { member, message })) => {
            Some(format!("key {place}: {}{message}", member.map(|member| format!("{member}: ")).unwrap_or_default()))
        }
        None => Some(format!("key {place}: not an object")),
    };
    let flaws: Vec<String> = keys.iter().enumerate().filter_map(flaw).take(MOST).collect();
    flaws.join("; ").chars().filter(|c| !c.is_control()).take(400).collect()
}

/// Overwrites a key whoever wrote it last.
fn write(key: &str, value: &[u8], host: &mut dyn Host) -> bool {
    for _ in 0..4 {
        let Ok(found) = host.shared_get(key) else { return false };
        if matches!(host.shared_set(key, value, found.cas), Ok(SetOutcome::Stored)) {
            return true;
        }
    }
    false
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
