//! What the core may ask of the place it runs in: the time, the proxy's shared store, and a
//! signature check. Everything is synchronous and small; the proxy-wasm edge, the tests and the
//! command line each bring their own [`Host`].
//!
//! ```
//! use bartizan::host::{Host as _, MemoryHost, SetOutcome, Timestamp};
//!
//! let mut host = MemoryHost::at(Timestamp::from_secs(0));
//! host.shared_set("row", b"1", 0).unwrap();
//! let cas = host.shared_get("row").unwrap().cas;
//! assert_eq!(host.shared_set("row", b"2", cas), Ok(SetOutcome::Stored));
//! assert_eq!(host.shared_set("row", b"3", cas), Ok(SetOutcome::Conflict), "another worker was faster");
//! ```

use std::fmt;

/// A point in time: nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// From whole seconds since the Unix epoch; saturates in the year 2554.
    pub const fn from_secs(secs: u64) -> Self {
        Timestamp(secs.saturating_mul(1_000_000_000))
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
}

/// The host failed to do what it was asked. Resolved by refusing the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static str);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host fault: {}", self.0)
    }
}

/// A value of the shared store with the version a compare-and-set needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// The bytes; empty when the key was never written.
    pub value: Vec<u8>,
    /// The version; 0 when the key was never written.
    pub cas: u32,
}

/// The result of [`Host::shared_set`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOutcome {
    /// Written.
    Stored,
    /// Somebody else wrote first: read again.
    Conflict,
}

/// The hash of a signature that the host can check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFunction {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashFunction {
    /// The name that Envoy's `verify_signature` reads.
    pub const fn name(self) -> &'static str {
        match self {
            HashFunction::Sha256 => "sha256",
            HashFunction::Sha384 => "sha384",
            HashFunction::Sha512 => "sha512",
        }
    }
}

/// The host's side of a request. One value serves one callback.
pub trait Host {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Reads a key of the store that all workers of this proxy share. A missing key is empty, not an error.
    ///
    /// # Errors
    /// A [`Fault`] when the host's store fails.
    fn shared_get(&mut self, key: &str) -> Result<Shared, Fault>;

    /// Writes a key if its version still is `cas` (0: not yet written, which Envoy does not check:
    /// the caller seeds, then reads again).
    ///
    /// # Errors
    /// A [`Fault`] when the host's store fails.
    fn shared_set(&mut self, key: &str, value: &[u8], cas: u32) -> Result<SetOutcome, Fault>;

    /// Checks a signature: `key` is a DER SubjectPublicKeyInfo, an EC `signature` is DER too.
    /// `None` means that this host can't check signatures.
    ///
    /// The caller has already decided that algorithm, curve and key size fit: Envoy's own check is lax.
    fn verify_signature(&mut self, hash: HashFunction, key: &[u8], signature: &[u8], text: &[u8]) -> Option<bool>;

    /// An attribute of the request or its connection, by the path that Envoy gives it. `None`: it has none.
    ///
    /// Texts come as they are, numbers as eight bytes, lists in the ABI's form of a header map.
    fn property(&mut self, path: &[&str]) -> Option<Vec<u8>> {
        let _ = path;
        None
    }

    /// Fills `out` with random bytes that are fit for keys.
    ///
    /// # Errors
    /// A [`Fault`] when the host has no source of randomness.
    fn random(&mut self, out: &mut [u8]) -> Result<(), Fault>;
}

/// A [`Host`] in plain memory, for tests and the command line. Its store is as lax as Envoy's.
#[derive(Clone, Debug, Default)]
pub struct MemoryHost {
    /// The time that [`Host::now`] gives.
    pub now: Timestamp,
    /// What [`Host::property`] gives, by the path joined with dots.
    pub properties: std::collections::BTreeMap<String, Vec<u8>>,
    store: std::collections::BTreeMap<String, Shared>,
    /// The last version given: one count for all keys.
    version: u32,
    seed: u64,
}

impl MemoryHost {
    /// A host whose clock is at `now`.
    pub fn at(now: Timestamp) -> Self {
        MemoryHost { now, ..Self::default() }
    }

    /// The keys of the store, in order.
    pub fn names(&self) -> Vec<String> {
        self.store.keys().cloned().collect()
    }
}

impl Host for MemoryHost {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn shared_get(&mut self, key: &str) -> Result<Shared, Fault> {
        Ok(self.store.get(key).cloned().unwrap_or_default())
    }

    fn shared_set(&mut self, key: &str, value: &[u8], cas: u32) -> Result<SetOutcome, Fault> {
        // Neither version 0 nor the version of a key that was never written is compared.
        if cas != 0 && self.store.get(key).is_some_and(|found| found.cas != cas) {
            return Ok(SetOutcome::Conflict);
        }
        self.version = self.version.wrapping_add(1).max(1);
        self.store.insert(key.to_owned(), Shared { value: value.to_vec(), cas: self.version });
        Ok(SetOutcome::Stored)
    }

    fn verify_signature(&mut self, _: HashFunction, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }

    fn property(&mut self, path: &[&str]) -> Option<Vec<u8>> {
        self.properties.get(&path.join(".")).cloned()
    }

    /// Deterministic: this host is for tests and the command line, where no secret depends on it.
    fn random(&mut self, out: &mut [u8]) -> Result<(), Fault> {
        for byte in out {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.seed >> 33) as u8;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_compares_versions_as_envoy_does() {
        let mut host = MemoryHost::default();
        assert_eq!(host.shared_get("a"), Ok(Shared::default()));
        // Nothing is there to compare with, and whoever names no version overwrites.
        assert_eq!(host.shared_set("a", b"first", 7), Ok(SetOutcome::Stored));
        assert_eq!(host.shared_set("a", b"second", 0), Ok(SetOutcome::Stored));
        let second = host.shared_get("a").unwrap();
        assert_eq!(host.shared_set("a", b"third", second.cas), Ok(SetOutcome::Stored));
        assert_eq!(host.shared_set("a", b"late", second.cas), Ok(SetOutcome::Conflict));
        assert_eq!(host.shared_get("a").unwrap().value, b"third");
        // Another key's version is never this one's.
        host.shared_set("b", b"other", 0).unwrap();
        assert_ne!(host.shared_get("a").unwrap().cas, host.shared_get("b").unwrap().cas);
    }
}
