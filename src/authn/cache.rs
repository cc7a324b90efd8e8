//! Tokens that were verified a moment ago.

use std::collections::HashMap;
use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher24};
use subtle::ConstantTimeEq;

use super::Principal;
use crate::host::{Fault, Host, Timestamp};

/// Entries of one generation: the cache holds twice as many at most, a few hundred bytes each.
const GENERATION: usize = 2048;

/// Verified tokens of one VM: bounded, least recently used first out, never past `exp`.
///
/// Two generations stand for the LRU order: what is found moves to the young one; when that is full
/// the old one is dropped and the young one grows old. The last 2048 different tokens are always
/// there, at most 4096 are.
///
/// Tokens are not stored. An entry is found by a SipHash-2-4 of 128 bits over the policy's digest and
/// the token, under a random key of this VM: without the key no lookup's time tells anything about
/// a stored token, and an entry of another policy is never found. Refusals are not remembered:
/// an attacker has no end of them.
#[derive(Debug)]
pub struct TokenCache {
    key: [u8; 16],
    young: HashMap<u64, Entry>,
    old: HashMap<u64, Entry>,
    /// Opaque tokens that their issuer said are not active, in two generations too, and until when that counts.
    refused: [HashMap<u64, (u64, Timestamp)>; 2],
    /// The second in which issuers were asked last, and how often.
    asked: (u64, u32),
}

/// The keyed hash that stands for a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    bucket: u64,
    rest: u64,
}

#[derive(Debug)]
struct Entry {
    rest: u64,
    principal: Arc<Principal>,
    /// When the token was verified. A clock that has gone back since may be before the token's time.
    verified: Timestamp,
}

impl TokenCache {
    /// An empty cache under a fresh random key.
    ///
    /// # Errors
    /// A [`Fault`] when the host has no randomness.
    pub fn new(host: &mut dyn Host) -> Result<TokenCache, Fault> {
        let mut key = [0; 16];
        host.random(&mut key)?;
        Ok(TokenCache { key, young: HashMap::new(), old: HashMap::new(), refused: Default::default(), asked: (0, 0) })
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// True if nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// The tag of a token under a policy.
    pub(super) fn tag(&self, policy: &[u8; 32], token: &[u8]) -> Tag {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        // The digest's length is fixed, so the parts can't run into each other.
        hasher.write(policy);
        hasher.write(token);
        let hash = hasher.finish128();
        Tag { bucket: hash.h1, rest: hash.h2 }
    }

    /// The caller that a tag stands for, while their token has not expired.
    pub(super) fn find(&mut self, tag: Tag, now: Timestamp) -> Option<Arc<Principal>> {
        if let Some(entry) = self.young.get(&tag.bucket) {
            return entry.principal_for(tag, now);
        }
        let entry = self.old.remove(&tag.bucket)?;
        let principal = entry.principal_for(tag, now)?;
        self.insert(tag.bucket, entry);
        Some(principal)
    }

    /// Remembers a verified token until it expires.
    pub(super) fn keep(&mut self, tag: Tag, principal: &Arc<Principal>, now: Timestamp) {
        if now < principal.expires() {
            self.insert(tag.bucket, Entry { rest: tag.rest, principal: Arc::clone(principal), verified: now });
        }
    }

    /// True if an issuer said a moment ago that this token is not active.
    pub(super) fn is_refused(&self, tag: Tag, now: Timestamp) -> bool {
        let found = self.refused.iter().find_map(|generation| generation.get(&tag.bucket));
        found.is_some_and(|(rest, until)| bool::from(rest.ct_eq(&tag.rest)) && now < *until)
    }

    /// Remembers what an issuer said is not active. Many of them push each other out, and nothing else.
    pub(super) fn refuse(&mut self, tag: Tag, until: Timestamp, now: Timestamp) {
        if now >= until {
            return;
        }
        let [young, old] = &mut self.refused;
        if young.len() >= GENERATION / 2 {
            *old = std::mem::take(young);
        }
        young.insert(tag.bucket, (tag.rest, until));
    }

    /// Counts one more question to an issuer; false when that is more than a second allows.
    pub(super) fn may_ask(&mut self, per_second: u32, now: Timestamp) -> bool {
        if self.asked.0 != now.as_secs() {
            self.asked = (now.as_secs(), 0);
        }
        self.asked.1 = self.asked.1.saturating_add(1);
        self.asked.1 <= per_second
    }

    fn insert(&mut self, bucket: u64, entry: Entry) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(bucket, entry);
    }
}

impl Entry {
    fn principal_for(&self, tag: Tag, now: Timestamp) -> Option<Arc<Principal>> {
        let same = bool::from(self.rest.ct_eq(&tag.rest));
        let holds = self.verified <= now && now < self.principal.expires();
        (same && holds).then(|| Arc::clone(&self.principal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::RoleIndex;
    use crate::host::MemoryHost;

    #[test]
    fn a_clock_that_goes_back_has_the_token_verified_again() {
        let now = Timestamp::from_secs(1000);
        let mut cache = TokenCache::new(&mut MemoryHost::at(now)).unwrap();
        let caller = Arc::new(Principal::anonymous(RoleIndex(0)));
        let tag = cache.tag(&[0; 32], b"token");
        cache.keep(tag, &caller, now);
        assert!(cache.find(tag, now).is_some());
        assert!(cache.find(tag, Timestamp::from_secs(999)).is_none());
        assert!(cache.find(tag, Timestamp::from_secs(1001)).is_some());
    }

    #[test]
    fn bounded_and_the_oldest_go_first() {
        let now = Timestamp::from_secs(1);
        let mut cache = TokenCache::new(&mut MemoryHost::at(now)).unwrap();
        let caller = Arc::new(Principal::anonymous(RoleIndex(0)));
        let tag = |cache: &TokenCache, number: u32| cache.tag(&[0; 32], &number.to_be_bytes());
        let used = tag(&cache, u32::MAX);
        cache.keep(used, &caller, now);
        for number in 0..20_000 {
            let new = tag(&cache, number);
            assert!(cache.find(new, now).is_none());
            cache.keep(new, &caller, now);
            // What is used stays.
            assert!(cache.find(used, now).is_some(), "{number}");
            assert!(cache.len() <= 2 * GENERATION);
        }
        for (number, is_there) in [(0, false), (15_000, false), (20_001 - GENERATION as u32, true), (19_999, true)] {
            let tag = tag(&cache, number);
            assert_eq!(cache.find(tag, now).is_some(), is_there, "{number}");
        }
    }

    #[test]
    fn half_a_tag_is_no_tag() {
        let now = Timestamp::from_secs(1);
        let mut cache = TokenCache::new(&mut MemoryHost::at(now)).unwrap();
        let Tag { bucket, rest } = cache.tag(&[0; 32], b"token");
        cache.keep(Tag { bucket, rest }, &Arc::new(Principal::anonymous(RoleIndex(0))), now);
        assert!(cache.find(Tag { bucket, rest: rest ^ 1 }, now).is_none());
        assert!(cache.find(Tag { bucket: bucket ^ 1, rest }, now).is_none());
        assert!(cache.find(Tag { bucket, rest }, now).is_some());
        assert!(cache.find(cache.tag(&[1; 32], b"token"), now).is_none());
    }
}
