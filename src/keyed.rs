//! Keyed hashes for the record: equal values stay equal, and without the key nothing can be guessed back.
//!
//! ```
//! use bartizan::keyed::HashKey;
//!
//! let (key, other) = (HashKey::new(b"one secret"), HashKey::new(b"another"));
//! assert_eq!(key.hex(&[b"subject", b"alice"]), key.hex(&[b"subject", b"alice"]));
//! assert_ne!(key.hex(&[b"subject", b"alice"]), key.hex(&[b"tenant", b"alice"]));
//! assert_ne!(key.hex(&[b"subject", b"alice"]), other.hex(&[b"subject", b"alice"]));
//! ```

use std::hash::Hasher as _;

use sha2::{Digest, Sha256};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::hex::hex;

/// The key of every hash in the record.
#[derive(Clone)]
pub struct HashKey([u8; 16]);

impl HashKey {
    /// From a secret of any length.
    pub fn new(secret: &[u8]) -> HashKey {
        let mut key = [0; 16];
        for (to, from) in key.iter_mut().zip(Sha256::digest(secret)) {
            *to = from;
        }
        HashKey(key)
    }

    /// A 128-bit hash (SipHash-2-4) of several parts, in hex. Parts are counted, so that `ab`,`c` and `a`,`bc` differ.
    pub fn hex(&self, parts: &[&[u8]]) -> String {
        hex(&self.hash(parts))
    }

    /// The same hash as bytes.
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish128().as_bytes()
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_keys_make_a_difference() {
        let key = HashKey::new(b"secret");
        assert_eq!(key.hex(&[b"a"]).len(), 32);
        assert_ne!(key.hex(&[b"ab", b"c"]), key.hex(&[b"a", b"bc"]));
        assert_ne!(key.hex(&[b"a"]), HashKey::new(b"other").hex(&[b"a"]));
        assert_eq!(format!("{key:?}"), "HashKey(..)");
    }
}
