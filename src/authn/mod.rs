//! Credentials to a [`Principal`]: who calls, and what an issuer says about them.
//!
//! This room decides whether a token is authentic, current and meant for us, and which of the
//! policy's roles its issuer may give. It does not decide what a role may do: that is `authz`.
//!
//! A token is a JWS in compact form (RFC 7515, RFC 7519). Its issuer is found by its `iss`, its key
//! by `kid`; what is read before the signature has been checked only ever picks between configured
//! issuers and keys, never brings one along. The signature is checked by the host where the host
//! can (Envoy: BoringSSL) and by `jwt-simple`'s keys otherwise; one claims check follows both.
//!
//! ```
//! use bartizan::authn::{Authentication, Authenticator, KeyRing, TokenCache};
//! use bartizan::document::{self, Errors, KeyPath};
//! use bartizan::host::{MemoryHost, Timestamp};
//!
//! let section: document::Authn = serde_json::from_str(r#"{"issuers": [], "unsafeAnonymous": true}"#)?;
//! let mut errors = Errors::default();
//! let roles = ["anonymous".to_owned()];
//! let authn = Authenticator::compile(&section, &KeyPath::root().key("authn"), &roles, &mut errors).unwrap();
//! let mut host = MemoryHost::at(Timestamp::from_secs(1));
//! let mut cache = TokenCache::new(&mut host).unwrap();
//! let known = authn.authenticate([], &mut cache, &mut KeyRing::empty(), &mut host).unwrap();
//! assert!(matches!(known, Authentication::Known(caller) if caller.is_anonymous()));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod api_key;
mod cache;
mod claims;
mod compile;
mod credential;
mod introspection;
mod json;
mod jwk;
mod jws;
mod mesh;
mod principal;
mod remote;
mod revocation;
mod signature;
mod workload;

use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use cache::TokenCache;
pub use introspection::Inquiry;
pub use principal::{MAX_NAME_BYTES, Principal, RoleIndex};
pub use remote::{Fetch, Fetched, KeyRing, MAX_JWKS_BYTES};
pub use revocation::{MAX_LIST_BYTES, MAX_REVOKED};
pub use workload::workload;

use crate::host::{Host, Timestamp};
use crate::reason::{Denial, Hint, Reason};
use claims::{ClaimRules, EndUserRule, Pointer};
use introspection::Introspection;
use jwk::{Key, KeySet};
use jws::Jws;
use remote::Remote;
use revocation::Revocation;

pub use crate::document::Algorithm;

/// True for a JSON Pointer (RFC 6901) to something below the document.
pub fn is_pointer(text: &str) -> bool {
    Pointer::parse(text).is_some()
}

/// The longest credential that is looked at where the policy does not say, in bytes.
pub const DEFAULT_TOKEN_BYTES: usize = 8192;

/// The longest that a policy may allow. Envoy accepts 60 KiB of headers by default.
pub const MAX_TOKEN_BYTES: usize = 49_152;

/// The role of callers without a credential, where the policy lets them in.
pub const ANONYMOUS_ROLE: &str = "anonymous";

/// The `authn` section, compiled: issuers, their keys, and what to ask of a token.
#[derive(Debug)]
pub struct Authenticator {
    issuers: Vec<Issuer>,
    api_keys: Vec<api_key::ApiKey>,
    workloads: Vec<workload::Rule>,
    /// Lower case.
    token_from: Vec<Box<str>>,
    forward_token: bool,
    /// The longest credential that is looked at, in bytes.
    max_token_bytes: usize,
    anonymous: Option<Arc<Principal>>,
    /// Changes with everything that can change a verdict or a principal.
    digest: [u8; 32],
}

/// One trusted issuer.
#[derive(Debug)]
struct Issuer {
    name: Arc<str>,
    /// The exact `iss`.
    iss: Arc<str>,
    audiences: Vec<Box<str>>,
    algorithms: Vec<Algorithm>,
    keys: KeySource,
    claims: ClaimRules,
    /// Where it tells what it has revoked.
    revocation: Option<Revocation>,
    /// Where it tells what an opaque token is worth.
    introspection: Option<Introspection>,
}

/// Where an issuer's keys come from.
#[derive(Debug)]
enum KeySource {
    /// The document holds them.
    Inline(KeySet),
    /// The issuer publishes them.
    Remote(Remote),
    /// The mesh has them, and has verified the token.
    Mesh,
    /// There are none: its tokens are opaque.
    Nowhere,
}

/// What a request's credential came to, short of a refusal.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// The caller is known.
    Known(Arc<Principal>),
    /// The caller is known; whether the token is revoked is not, because the list is unreachable and the policy
    /// says `onStale: allow`.
    Unchecked(Arc<Principal>),
    /// Something must be fetched before the token can be judged; the ring knows. Ask again then.
    NeedKeys,
    /// The issuer must be asked what the token is worth; the answer goes to [`Authenticator::introspected`].
    Ask(Box<Inquiry>),
}

/// What a token came to.
enum Judged {
    Genuine(Box<Principal>),
    NeedKeys,
}

impl Authenticator {
    /// Judges a request by its headers.
    ///
    /// At most one signature is checked a call, and none when `cache` holds the token. `headers` may
    /// hold any bytes; names are compared without case.
    ///
    /// # Errors
    /// A [`Denial`] with one of the `jwt.*` reasons.
    pub fn authenticate<'h>(
        &self,
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
        cache: &mut TokenCache,
        ring: &mut KeyRing,
        host: &mut dyn Host,
    ) -> Result<Authentication, Denial> {
        if let Some(principal) = self.by_mesh(host)? {
            return self.unless_revoked(principal, ring, host);
        }
        // Where nobody vouches for a credential none is one: SDKs send some word in its place.
        if self.issuers.is_empty()
            && self.api_keys.is_empty()
            && let Some(principal) = workload::principal(&self.workloads, host)
        {
            return Ok(Authentication::Known(Arc::new(principal)));
        }
        let Some(token) = self.credential(headers)? else {
            if let Some(principal) = workload::principal(&self.workloads, host) {
                return Ok(Authentication::Known(Arc::new(principal)));
            }
            let anonymous = self.anonymous.as_ref().ok_or(Reason::JwtMissing)?;
            return Ok(Authentication::Known(Arc::clone(anonymous)));
        };
        let now = host.now();
        if let Some(principal) = api_key::holder(&self.api_keys, token, now)? {
            return Ok(Authentication::Known(principal));
        }
        if ring.take_changed() {
            cache.clear();
        }
        let tag = cache.tag(&self.digest, token);
        if let Some(principal) = cache.find(tag, now) {
            return self.unless_revoked(principal, ring, host);
        }
        if Jws::parse(token).is_none()
            && let Some(inquiry) = self.inquire(token, tag, cache, now)?
        {
            return Ok(Authentication::Ask(Box::new(inquiry)));
        }
        match self.judge(token, now, ring, host)? {
            Judged::NeedKeys => Ok(Authentication::NeedKeys),
            Judged::Genuine(principal) => {
                let principal = Arc::from(principal);
                cache.keep(tag, &principal, now);
                self.unless_revoked(principal, ring, host)
            }
        }
    }

    /// Asks the issuer's list, also for tokens that were verified before.
    fn unless_revoked(
        &self,
        principal: Arc<Principal>,
        ring: &mut KeyRing,
        host: &mut dyn Host,
    ) -> Result<Authentication, Denial> {
        let issuer = principal.issuer_index().and_then(|index| self.issuers.get(index));
        let Some(revocation) = issuer.and_then(|issuer| issuer.revocation.as_ref()) else {
            return Ok(Authentication::Known(principal));
        };
        let now = host.now();
        let caller = ring.caller(&principal.identity());
        match ring.revoked(&revocation.remote, now, host) {
            Some(list) if principal.marks().is_none_or(|marks| list.holds(marks, caller.as_ref())) => {
                Err(Reason::JwtRevoked.into())
            }
            Some(_) => Ok(Authentication::Known(principal)),
            None if revocation.lets_in && ring.has_failed(&revocation.remote) => {
                Ok(Authentication::Unchecked(principal))
            }
            None => Ok(Authentication::NeedKeys),
        }
    }

    /// The caller of the token that the mesh has verified, where the policy relies on it.
    fn by_mesh(&self, host: &mut dyn Host) -> Result<Option<Arc<Principal>>, Denial> {
        let is_mesh = |issuer: &Issuer| matches!(issuer.keys, KeySource::Mesh);
        if !self.issuers.iter().any(is_mesh) {
            return Ok(None);
        }
        let Some(iss) = mesh::issuer(host) else { return Ok(None) };
        let named = || self.issuers.iter().enumerate().filter(|(_, issuer)| is_mesh(issuer) && *issuer.iss == *iss);
        let mut refused = Reason::JwtIssuer;
        for (index, issuer) in named() {
            let claims = mesh::claims(&iss, issuer.claims.pointers(), host)?;
            if issuer.accepts_audience(&claims) {
                let principal = issuer.claims.check(index, issuer, None, &claims, host.now())?;
                return Ok(Some(Arc::new(principal)));
            }
            refused = Reason::JwtAudience;
        }
        Err(refused.into())
    }

    /// Judges one token, without any cache and only with the document's keys.
    ///
    /// # Errors
    /// A [`Denial`] with one of the `jwt.*` reasons.
    pub fn verify(&self, token: &[u8], now: Timestamp, host: &mut dyn Host) -> Result<Principal, Denial> {
        match self.judge(token, now, &mut KeyRing::empty(), host)? {
            Judged::Genuine(principal) => Ok(*principal),
            Judged::NeedKeys => Err(Reason::JwtUnavailable.into()),
        }
    }

    fn judge(&self, token: &[u8], now: Timestamp, ring: &mut KeyRing, host: &mut dyn Host) -> Result<Judged, Denial> {
        let (length, limit) = (token.len(), self.max_token_bytes);
        if length > limit {
            return Err(Denial::new(Reason::JwtMalformed).with_hint(Hint::TokenTooLong { length, limit }));
        }
        let jws = Jws::parse(token).ok_or(Reason::JwtMalformed)?;
        let (index, issuer) = self.issuer_of(&jws)?;
        let algorithm =
            jws.algorithm().filter(|named| issuer.algorithms.contains(named)).ok_or(Reason::JwtAlgorithm)?;
        match &issuer.keys {
            KeySource::Inline(set) => {
                let key = set.choose(jws.key_id(), algorithm)?;
                issuer.accept(index, key, algorithm, &jws, now, host)
            }
            // The mesh verified no token of this issuer, or the claims would have been found.
            KeySource::Mesh | KeySource::Nowhere => Err(Reason::JwtSignature.into()),
            KeySource::Remote(remote) => {
                let Some(set) = ring.keys(remote, now, host) else { return Ok(Judged::NeedKeys) };
                match set.choose(jws.key_id(), algorithm) {
                    Ok(key) => issuer.accept(index, key, algorithm, &jws, now, host),
                    // A key that was published since the last fetch.
                    Err(Reason::JwtKey) if ring.want(remote, now) => Ok(Judged::NeedKeys),
                    // It may be such a key, and it is too early to ask again.
                    Err(Reason::JwtKey) if issuer.claims.may_be_newer(jws.claims(), ring.fetched_at(remote)) => {
                        let wait = ring.cooldown_left(remote, now);
                        Err(Denial { retry_after: Some(wait), ..Denial::new(Reason::JwtUnavailable) })
                    }
                    Err(reason) => Err(reason.into()),
                }
            }
        }
    }

    /// What issuers publish.
    fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.issuers.iter().flat_map(|issuer| {
            let keys = match &issuer.keys {
                KeySource::Inline(_) | KeySource::Mesh | KeySource::Nowhere => None,
                KeySource::Remote(remote) => Some(remote),
            };
            keys.into_iter().chain(issuer.revocation.as_ref().map(|revocation| &revocation.remote))
        })
    }

    /// True if keys, or lists of what is revoked, must be fetched.
    pub fn has_remote_keys(&self) -> bool {
        self.remotes().next().is_some()
    }

    /// How long a request waits for keys, in nanoseconds: as long as the slowest fetch may take.
    pub fn patience(&self) -> u64 {
        self.remotes().map(|remote| u64::try_from(remote.timeout.as_nanos()).unwrap_or(u64::MAX)).max().unwrap_or(0)
    }

    /// The same, keeping the values of these claims, JSON Pointers, for the quotas that count by them.
    #[must_use]
    pub fn with_counted_claims(mut self, pointers: &[String]) -> Authenticator {
        let mut parsed: Vec<(Arc<str>, Pointer)> = Vec::new();
        for text in pointers {
            if !parsed.iter().any(|(known, _)| **known == **text) {
                parsed.extend(Pointer::parse(text).map(|pointer| (Arc::from(&**text), pointer)));
            }
        }
        // A remembered token has the claims that were asked for then.
        self.digest = Sha256::new().chain_update(self.digest).chain_update(format!("{pointers:?}")).finalize().into();
        for issuer in &mut self.issuers {
            issuer.claims.counted.clone_from(&parsed);
        }
        self
    }

    /// The same, keeping the values of these claims, JSON Pointers, for the conditions that ask for them.
    #[must_use]
    pub fn with_asked_claims(mut self, pointers: &[&str]) -> Authenticator {
        if pointers.is_empty() {
            return self;
        }
        let parse = |text: &&str| Pointer::parse(text).map(|pointer| (Arc::from(*text), pointer));
        let parsed: Vec<(Arc<str>, Pointer)> = pointers.iter().filter_map(parse).collect();
        // A remembered token has the claims that were asked for then.
        let asked = format!("asked {pointers:?}");
        self.digest = Sha256::new().chain_update(self.digest).chain_update(asked).finalize().into();
        for issuer in &mut self.issuers {
            issuer.claims.asked.clone_from(&parsed);
        }
        self
    }

    /// The same, finding each token's end user: by the claim at this JSON Pointer, else by the subject.
    #[must_use]
    pub fn with_end_users(mut self, claim: Option<&str>) -> Authenticator {
        // A remembered token has the end user that was asked for then.
        self.digest = Sha256::new().chain_update(self.digest).chain_update(format!("{claim:?}")).finalize().into();
        for issuer in &mut self.issuers {
            issuer.claims.end_user = Some(EndUserRule::new(claim));
        }
        self
    }

    /// API keys that have ended: their places in `authn.apiKeys`.
    pub fn ended_keys(&self, now: Timestamp) -> Vec<usize> {
        let keys = self.api_keys.iter().enumerate();
        keys.filter(|(_, key)| key.principal.expires() <= now).map(|(place, _)| place).collect()
    }

    /// The caller without a credential, where the policy lets them in.
    pub fn anonymous(&self) -> Option<Arc<Principal>> {
        self.anonymous.clone()
    }

    /// True if the upstream gets the credential headers.
    pub fn forwards_token(&self) -> bool {
        self.forward_token
    }

    /// The headers that may carry the token, in lower case.
    pub fn token_headers(&self) -> impl Iterator<Item = &str> {
        self.token_from.iter().map(|name| &**name)
    }

    /// Every issuer's name with the ids of its keys, or the cluster they come from, for the line that is
    /// logged on load.
    pub fn issuers(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.issuers.iter().map(|issuer| match &issuer.keys {
            KeySource::Inline(set) => (&*issuer.name, set.ids().collect()),
            KeySource::Remote(remote) => (&*issuer.name, vec![&*remote.cluster]),
            KeySource::Mesh => (&*issuer.name, vec!["mesh"]),
            KeySource::Nowhere => (&*issuer.name, vec!["introspection"]),
        })
    }

    /// Every issuer's own identifier, each once.
    pub fn identifiers(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.issuers.iter().map(|issuer| &*issuer.iss).collect();
        all.dedup();
        all
    }

    /// Picks the issuer by `iss`. Of several with the same `iss` the first whose audience fits.
    fn issuer_of(&self, jws: &Jws<'_>) -> Result<(usize, &Issuer), Reason> {
        let iss = jws.claims().get("iss").and_then(|iss| iss.as_str()).ok_or(Reason::JwtIssuer)?;
        let named = || self.issuers.iter().enumerate().filter(|(_, issuer)| *issuer.iss == *iss);
        named()
            .find(|(_, issuer)| issuer.accepts_audience(jws.claims()))
            .or_else(|| named().next())
            .ok_or(Reason::JwtIssuer)
    }
}

impl Issuer {
    /// Checks signature, audience and claims.
    fn accept(
        &self,
        index: usize,
        key: &Key,
        algorithm: Algorithm,
        jws: &Jws<'_>,
        now: Timestamp,
        host: &mut dyn Host,
    ) -> Result<Judged, Denial> {
        if !signature::verifies(key, algorithm, jws.signed().as_bytes(), jws.signature(), host) {
            return Err(Reason::JwtSignature.into());
        }
        if !self.accepts_audience(jws.claims()) {
            return Err(Reason::JwtAudience.into());
        }
        let principal = self.claims.check(index, self, key.id(), jws.claims(), now)?;
        Ok(Judged::Genuine(Box::new(principal)))
    }

    /// RFC 7519 section 4.1.3: `aud` is a string or an array of strings. Where it is absent, `audienceClaims` count.
    fn accepts_audience(&self, claims: &json::Object) -> bool {
        use serde_json::Value;
        let ours = |value: &Value| value.as_str().is_some_and(|aud| self.audiences.iter().any(|own| **own == *aud));
        if !self.claims.is_for_access(claims) {
            return false;
        }
        match claims.get("aud") {
            Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(ours),
            Some(value) => ours(value),
            None => self.claims.audience(claims).is_some_and(ours),
        }
    }
}
