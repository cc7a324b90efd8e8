//! What one worker's VM remembers between requests.

use super::pool::BufferPool;
use crate::assertion;
use crate::audit::chain::{Chain, ChainPolicy};
use crate::authn::{KeyRing, TokenCache};
use crate::callout::Breaker;
use crate::capture::Pace;
use crate::consult::Memory;
use crate::consult::opa::Said;
use crate::consult::opinion::{Desk, MAX_OPINIONS};
use crate::guard::OpinionIndex;
use crate::hex::hex;
use crate::host::{Fault, Host};
use crate::keyed::HashKey;
use crate::policy::Policy;
use crate::quota::{
    self,
    fleet::{Settlement, Settlements},
};
use crate::redact::MaskKey;
use crate::scan::VerdictMemory;

/// More strikes than this are not owed: a store that accepts none for so long refuses every request anyway.
const MAX_OWED: usize = 64;

/// The memory of one VM. Bounded: the caches bound themselves, the rest are numbers.
#[derive(Debug)]
pub struct WorkerState {
    /// Verified tokens.
    pub tokens: TokenCache,
    /// Keys that issuers publish.
    pub ring: KeyRing,
    /// What the service that counts for the fleet must still be told.
    pub settlements: Settlements,
    /// Whether the service that counts for the fleet, the issuer that is asked about tokens, and the policy engine are asked.
    pub(super) breakers: [Breaker; 4],
    /// What is known of the outside judges, by their place in the policy.
    desks: Vec<Desk>,
    /// What the policy engine said a moment ago.
    pub(super) permits: Memory<Said>,
    /// Tokens that tell the upstream who calls, where a signature costs much.
    pub(super) identities: Memory<assertion::Token>,
    /// How far the models' counts are from the estimates.
    pub ratios: quota::Ratios,
    /// The key that all workers of the proxy share.
    shared_key: quota::SharedKey,
    /// The key of the record's hashes.
    hash_key: HashKey,
    policy_name: String,
    configured_key: Option<Vec<u8>>,
    /// Bodies held by this worker.
    pub(super) pool: BufferPool,
    /// Of these, what is in this VM's memory between callbacks.
    pub(super) copies: BufferPool,
    worker: String,
    sequence: u64,
    /// What ties its records together, where the policy of the last one wanted it.
    chain: Option<Chain>,
    /// Requests that came without an id.
    named: u64,
    /// Verdicts of texts that this worker has scanned, and the policy they were made under.
    verdicts: VerdictMemory,
    verdicts_of: String,
    verdict_key: [u8; 16],
    captures: Pace,
    /// Strikes that the shared store did not take.
    owed: Vec<quota::Strike>,
    /// Strikes that the fleet must be told of.
    told: Vec<Settlement>,
    /// Steps that a callback may scan.
    steps: usize,
}

/// Texts whose verdicts are remembered, in each of the memory's two halves.
const VERDICTS: usize = 4096;

impl WorkerState {
    /// A new VM's memory. Reads (or seeds) the key that all workers share.
    ///
    /// # Errors
    /// A [`Fault`] when the host has no randomness or no shared store.
    pub fn new(policy: &Policy, host: &mut dyn Host) -> Result<WorkerState, Fault> {
        let shared_key = quota::SharedKey::obtain(&policy.name, host)?;
        let mut name = [0; 4];
        host.random(&mut name)?;
        let mut verdict_key = [0; 16];
        host.random(&mut verdict_key)?;
        let mut ratio_key = [0; 16];
        host.random(&mut ratio_key)?;
        let hash_key = match &policy.audit.hash_key {
            Some(secret) => HashKey::new(secret),
            None => HashKey::new(shared_key.as_bytes()),
        };
        Ok(WorkerState {
            tokens: TokenCache::new(host)?,
            ring: KeyRing::new(&policy.name, shared_key.as_bytes()).with_callers(hash_key.clone()),
            settlements: Settlements::default(),
            breakers: Default::default(),
            desks: Vec::new(),
            permits: Memory::default(),
            identities: Memory::default(),
            ratios: quota::Ratios::new(ratio_key),
            shared_key,
            hash_key,
            policy_name: policy.name.clone(),
            configured_key: policy.audit.hash_key.clone(),
            pool: BufferPool::default(),
            copies: BufferPool::default(),
            worker: hex(&name),
            sequence: 0,
            chain: None,
            named: 0,
            verdicts: VerdictMemory::new(verdict_key, VERDICTS),
            verdicts_of: policy.digest.clone(),
            verdict_key,
            captures: Pace::default(),
            owed: Vec::new(),
            told: Vec::new(),
            steps: usize::MAX,
        })
    }

    /// Makes what all workers of a proxy share under a policy's name, where it is not there yet.
    ///
    /// # Errors
    /// A [`Fault`] when the host has no randomness or no shared store.
    pub fn prepare(policy: &Policy, host: &mut dyn Host) -> Result<(), Fault> {
        let key = quota::SharedKey::obtain(&policy.name, host)?;
        if policy.unscanned.knows_owners() || policy.routes.iter().any(|route| route.tenancy.is_some()) {
            crate::authz::Ledger::of(&policy.name).prepare(&key, host)?;
        }
        if policy.audit.chain.is_some() {
            ChainPolicy::prepare(&policy.name, host)?;
        }
        policy.quotas.prepare(&key, host)
    }

    /// From now on no callback scans much more than this number of steps: what takes longer waits for the next one.
    pub fn scan_in_slices(&mut self, steps: usize) {
        self.steps = steps;
    }

    /// Steps that a callback may scan.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// False when a policy needs keys that this memory was not made for.
    pub fn fits(&self, policy: &Policy) -> bool {
        self.policy_name == policy.name && self.configured_key == policy.audit.hash_key
    }

    /// Counts a strike. One that a store which fails or is too busy does not take is owed, and tried again with
    /// [`WorkerState::settle_strikes`]: it is late then, and not lost unless the VM is.
    pub(super) fn strike(
        &mut self,
        policy: &Policy,
        mut strike: quota::Strike,
        host: &mut dyn Host,
    ) -> Option<quota::Cooldown> {
        match policy.quotas.strike(&mut strike, &self.shared_key, host) {
            Ok(begun) => {
                self.told.extend(policy.quotas.strike_to_tell(&strike, host.now()));
                begun
            }
            Err(_) => {
                if self.owed.len() < MAX_OWED {
                    self.owed.push(strike);
                }
                None
            }
        }
    }

    /// Tries again to count what is owed, and gives the number of cool-downs that begin so.
    pub(super) fn settle_strikes(&mut self, policy: &Policy, host: &mut dyn Host) -> u64 {
        let owed = std::mem::take(&mut self.owed);
        owed.into_iter().filter_map(|strike| self.strike(policy, strike, host)).count() as u64
    }

    /// Strikes that the fleet must be told of, once.
    pub(super) fn take_told(&mut self) -> Vec<Settlement> {
        std::mem::take(&mut self.told)
    }

    /// How many requests this worker has captured of late.
    pub fn captures(&mut self) -> &mut Pace {
        &mut self.captures
    }

    /// What is known of an outside judge.
    pub(super) fn desk(&mut self, index: OpinionIndex) -> Option<&mut Desk> {
        let place = usize::from(index.0);
        if place < MAX_OPINIONS && self.desks.len() <= place {
            self.desks.resize_with(place + 1, Desk::default);
        }
        self.desks.get_mut(place)
    }

    /// The key that all workers share.
    pub fn shared_key(&self) -> &quota::SharedKey {
        &self.shared_key
    }

    /// The key of the record's hashes.
    pub fn hash_key(&self) -> &HashKey {
        &self.hash_key
    }

    /// The key of masks that hash.
    pub fn mask_key(&self) -> MaskKey {
        MaskKey::new(self.hash_key.hash(&[b"mask"]))
    }

    /// What was scanned before under this policy.
    pub fn verdicts(&mut self, policy: &Policy) -> &mut VerdictMemory {
        if self.verdicts_of != policy.digest {
            self.verdicts = VerdictMemory::new(self.verdict_key, VERDICTS);
            self.verdicts_of.clone_from(&policy.digest);
        }
        &mut self.verdicts
    }

    /// A random name for this VM.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// An id for a request that came without one: this VM's name and a number.
    pub(super) fn request_name(&mut self) -> String {
        self.named += 1;
        format!("{}-{}", self.worker, self.named)
    }

    /// Names the next record under this policy: this VM's name, and its number. A chain names its worker and counts anew.
    pub(super) fn next_record(&mut self, policy: &Policy, host: &mut dyn Host) -> (String, u64) {
        match &policy.audit.chain {
            Some(wanted) if !self.chain.as_ref().is_some_and(|chain| chain.fits(wanted)) => {
                self.chain = Chain::open(wanted, &policy.name, host).ok();
                self.sequence = 0;
            }
            None if self.chain.take().is_some() => self.sequence = 0,
            _ => {}
        }
        self.sequence += 1;
        (self.chain.as_ref().map_or_else(|| self.worker.clone(), Chain::name), self.sequence)
    }

    /// Puts the record of this number into the chain, where there is one.
    pub(super) fn seal(&mut self, sequence: u64, line: String, host: &mut dyn Host) -> String {
        match &mut self.chain {
            Some(chain) => chain.seal(sequence, line, host),
            None => line,
        }
    }

    /// Bytes of bodies that this worker holds.
    pub fn buffered(&self) -> usize {
        self.pool.total()
    }

    /// The chain of this worker's records.
    pub fn chain(&mut self) -> Option<&mut Chain> {
        self.chain.as_mut()
    }
}
