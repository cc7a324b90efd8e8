//! Hosts that are not as they should be.

use bartizan::host::{Fault, HashFunction, Host, MemoryHost, SetOutcome, Shared, Timestamp};
use jwt_simple::algorithms::{P256PublicKey, P384PublicKey};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A host that checks signatures the lax way Envoy does: any key size, any hash with any curve.
pub struct LaxHost {
    pub inner: MemoryHost,
    /// How many signatures it was asked for.
    pub calls: usize,
}

impl Host for LaxHost {
    fn now(&self) -> Timestamp {
        self.inner.now
    }

    fn shared_get(&mut self, key: &str) -> Result<Shared, Fault> {
        self.inner.shared_get(key)
    }

    fn shared_set(&mut self, key: &str, value: &[u8], cas: u32) -> Result<SetOutcome, Fault> {
        self.inner.shared_set(key, value, cas)
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), Fault> {
        self.inner.random(out)
    }

    fn verify_signature(&mut self, hash: HashFunction, key: &[u8], signature: &[u8], text: &[u8]) -> Option<bool> {
        use superboring::{hash::MessageDigest, pkey::PKey, rsa::Padding, rsa::Rsa, sign::Verifier};
        self.calls += 1;
        let digest = match hash {
            HashFunction::Sha256 => Sha256::digest(text).to_vec(),
            HashFunction::Sha384 => Sha384::digest(text).to_vec(),
            HashFunction::Sha512 => Sha512::digest(text).to_vec(),
        };
        if let Ok(key) = P256PublicKey::from_der(key) {
            let parsed = p256::ecdsa::Signature::from_der(signature);
            return Some(parsed.is_ok_and(|signature| key.as_ref().verify_prehash(&digest, &signature).is_ok()));
        }
        if let Ok(key) = P384PublicKey::from_der(key) {
            let parsed = p384::ecdsa::Signature::from_der(signature);
            return Some(parsed.is_ok_and(|signature| key.as_ref().verify_prehash(&digest, &signature).is_ok()));
        }
        let key = PKey::from_rsa(Rsa::public_key_from_der(key).expect("a key the host knows")).unwrap();
        let digest = match hash {
            HashFunction::Sha256 => MessageDigest::sha256(),
            HashFunction::Sha384 => MessageDigest::sha384(),
            HashFunction::Sha512 => MessageDigest::sha512(),
        };
        let mut verifier = Verifier::new(digest, &key).unwrap();
        verifier.set_rsa_padding(Padding::PKCS1).unwrap();
        Some(verifier.verify_oneshot(signature, text).unwrap_or(false))
    }
}

/// A host without a store, and perhaps without randomness.
pub struct Broken {
    pub now: Timestamp,
    pub has_randomness: bool,
}

impl Host for Broken {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn shared_get(&mut self, _: &str) -> Result<Shared, Fault> {
        Err(Fault("no store"))
    }

    fn shared_set(&mut self, _: &str, _: &[u8], _: u32) -> Result<SetOutcome, Fault> {
        Err(Fault("no store"))
    }

    fn verify_signature(&mut self, _: HashFunction, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }

    fn random(&mut self, _: &mut [u8]) -> Result<(), Fault> {
        if self.has_randomness { Ok(()) } else { Err(Fault("no randomness")) }
    }
}
