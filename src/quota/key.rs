//! The random key that all workers of one proxy share under one policy's name.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use subtle::ConstantTimeEq;

use crate::host::{Fault, Host};

/// Says that the value is ours, and in which form.
const MARK: &[u8; 4] = b"bzk1";

/// A random key in the shared store: it names buckets and seals rows.
///
/// It keeps callers out of other callers' buckets and finds accidents; it is no defence against
/// another plugin of the same proxy that means harm, which can read and write the whole store.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey {
    bytes: [u8; 32],
    naming: [u8; 16],
    sealing: [u8; 16],
}

impl std::fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedKey(..)")
    }
}

impl SharedKey {
    /// Reads the key of a policy, or makes one.
    ///
    /// A first write is not compared with anything by Envoy, so of two workers that both find
    /// nothing the later one would win: whoever writes reads again. Envoy's main thread loads a policy
    /// before any worker does, so that in practice only one VM ever gets here first.
    ///
    /// # Errors
    /// A [`Fault`] when the host has no randomness or its store fails.
    pub fn obtain(policy: &str, host: &mut dyn Host) -> Result<SharedKey, Fault> {
        let name = format!("{policy}/key");
        for _ in 0..8 {
            let found = host.shared_get(&name)?;
            if let Some(bytes) = found.value.strip_prefix(MARK).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
                return SharedKey::from_bytes(bytes);
            }
            let mut value = MARK.to_vec();
            value.resize(MARK.len() + 32, 0);
            host.random(value.get_mut(MARK.len()..).unwrap_or_default())?;
            host.shared_set(&name, &value, found.cas)?;
        }
        Err(Fault("the shared key can't be stored"))
    }

    /// The key that the store holds now: this one, unless somebody overwrote it.
    ///
    /// Asked before every charge. With two keys in use every bucket would exist twice.
    pub(crate) fn current(&self, policy: &str, host: &mut dyn Host) -> Result<SharedKey, Fault> {
        let found = host.shared_get(&format!("{policy}/key"))?;
        let same = found.value.strip_prefix(MARK).is_some_and(|bytes| bool::from(bytes.ct_eq(&self.bytes)));
        if same { Ok(self.clone()) } else { SharedKey::obtain(policy, host) }
    }

    /// The key's bytes, for other rooms' keyed hashes; quotas use keys derived from it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    fn from_bytes(bytes: [u8; 32]) -> Result<SharedKey, Fault> {
        let fault = |_| Fault("HMAC accepts every key");
        let mut mac = Hmac::<Sha256>::new_from_slice(&bytes).map_err(fault)?;
        mac.update(b"bartizan quota keys");
        let derived: [u8; 32] = mac.finalize().into_bytes().into();
        let (mut naming, mut sealing) = ([0; 16], [0; 16]);
        for (place, byte) in naming.iter_mut().chain(&mut sealing).zip(derived) {
            *place = byte;
        }
        Ok(SharedKey { bytes, naming, sealing })
    }

    /// The name of a bucket: 128 bits that say nothing about the caller.
    pub(crate) fn bucket(&self, quota: &[u8; 32], name: &[u8]) -> [u8; 16] {
        hash(&self.naming, &[quota, name])
    }

    /// Appends the seal of a row's bytes at a place in the store.
    pub(crate) fn seal(&self, place: &str, mut bytes: Vec<u8>) -> Vec<u8> {
        let seal = hash(&self.sealing, &[place.as_bytes(), &bytes]);
        bytes.extend_from_slice(&seal);
        bytes
    }

    /// The bytes under a valid seal.
    pub(crate) fn open<'b>(&self, place: &str, sealed: &'b [u8]) -> Option<&'b [u8]> {
        let (bytes, seal) = sealed.split_last_chunk::<16>()?;
        let own = hash(&self.sealing, &[place.as_bytes(), bytes]);
        bool::from(own.ct_eq(seal)).then_some(bytes)
    }
}

/// SipHash-2-4 of 128 bits over parts that can't run into each other.
fn hash(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(key);
    for part in parts {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part);
    }
    hasher.finish128().as_bytes()
}
