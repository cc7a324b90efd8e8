//! API keys for clients without an identity provider, of which only the SHA-256 is known.
//!
//! A plain hash is enough because a key is random: 128 bits and more can't be guessed, and a fast hash
//! gives nothing away. It is not enough for passwords; don't use words as keys.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Principal;
use crate::host::Timestamp;
use crate::reason::Reason;

/// The most keys of one policy.
pub(super) const MAX_API_KEYS: usize = 1024;

/// A credential outside these bounds is no API key: 22 letters and digits hold 128 bits.
const LENGTHS: std::ops::RangeInclusive<usize> = 22..=256;

/// One key and who holds it.
#[derive(Debug)]
pub(super) struct ApiKey {
    pub(super) hash: [u8; 32],
    pub(super) principal: Arc<Principal>,
}

/// Who holds this credential; `None`: it is no API key. Every key is compared, each in constant time.
///
/// # Errors
/// [`Reason::JwtExpired`]: the key has ended.
pub(super) fn holder(keys: &[ApiKey], credential: &[u8], now: Timestamp) -> Result<Option<Arc<Principal>>, Reason> {
    if keys.is_empty() || !LENGTHS.contains(&credential.len()) {
        return Ok(None);
    }
    let hash: [u8; 32] = Sha256::digest(credential).into();
    let mut found = None;
    for key in keys {
        if bool::from(key.hash.ct_eq(&hash)) {
            found = Some(&key.principal);
        }
    }
    match found {
        Some(principal) if principal.expires() <= now => Err(Reason::JwtExpired),
        found => Ok(found.map(Arc::clone)),
    }
}
