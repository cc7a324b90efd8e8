//! Credentials to a [`Principal`]: who calls, and what an issuer says about them.
//!
//! This room decides whether a token is authentic, current and meant for us, and which of the
//! policy's roles its issuer may give. It does not decide what a role may do: that is `authz`.
//!
//! A token is a JWS in compact form (RFC 7515, RFC 7519). Its issuer is found by its `iss`, its key
//! by `kid`; what is read before the signature has been checked only ever picks between configured
//! issuers and keys, never brings one along. The signature is checked by the host where the host
//! can (Envoy: BoringSSL) and by `jwt-simple`'s keys otherwise; one claims check stands behind both.
//!
//! ```
//! use bartizan::authn::{Authentication, Authenticator, TokenCache};
//! use bartizan::config::{Errors, KeyPath, document};
//! use bartizan::host::{MemoryHost, Timestamp};
//!
//! let section: document::Authn = serde_json::from_str(r#"{"issuers": [], "unsafeAnonymous": true}"#)?;
//! let mut errors = Errors::default();
//! let roles = ["anonymous".to_owned()];
//! let authn = Authenticator::compile(&section, &KeyPath::root().key("authn"), &roles, &mut errors).unwrap();
//! let mut host = MemoryHost::at(Timestamp::from_secs(1));
//! let mut cache = TokenCache::new(&mut host).unwrap();
//! let Authentication::Known(caller) = authn.authenticate([], &mut cache, &mut host).unwrap();
//! assert!(caller.is_anonymous());
//! # Ok::<(), serde_json::Error>(())
//! ```

mod cache;
mod claims;
mod compile;
mod credential;
mod json;
mod jwk;
mod jws;
mod principal;
mod signature;

use std::sync::Arc;

pub use cache::TokenCache;
pub use principal::{MAX_NAME_BYTES, Principal, RoleIndex};

use crate::host::{Host, Timestamp};
use crate::reason::{Denial, Reason};
use claims::ClaimRules;
use jwk::KeySet;
use jws::Jws;

pub use crate::config::document::Algorithm;

/// The longest credential that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// The role of callers without a credential, where the policy lets them in.
pub const ANONYMOUS_ROLE: &str = "anonymous";

/// The `authn` section, compiled: issuers, their keys, and what to ask of a token.
#[derive(Debug)]
pub struct Authenticator {
    issuers: Vec<Issuer>,
    /// Lower case.
    token_from: Vec<Box<str>>,
    forward_token: bool,
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
    keys: KeySet,
    claims: ClaimRules,
}

/// What a request's credential came to, short of a refusal.
///
/// Remote key sets will add a variant here: the issuer whose keys must be fetched before the token
/// can be judged.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// The caller is known.
    Known(Arc<Principal>),
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
        host: &mut dyn Host,
    ) -> Result<Authentication, Denial> {
        let Some(token) = self.credential(headers)? else {
            let anonymous = self.anonymous.as_ref().ok_or(Reason::JwtMissing)?;
            return Ok(Authentication::Known(Arc::clone(anonymous)));
        };
        let now = host.now();
        let tag = cache.tag(&self.digest, token);
        if let Some(principal) = cache.find(tag, now) {
            return Ok(Authentication::Known(principal));
        }
        let principal = Arc::new(self.verify(token, now, host)?);
        cache.keep(tag, &principal, now);
        Ok(Authentication::Known(principal))
    }

    /// Judges one token, without any cache.
    ///
    /// # Errors
    /// A [`Denial`] with one of the `jwt.*` reasons.
    pub fn verify(&self, token: &[u8], now: Timestamp, host: &mut dyn Host) -> Result<Principal, Denial> {
        let jws = Jws::parse(token).ok_or(Reason::JwtMalformed)?;
        let (index, issuer) = self.issuer_of(&jws)?;
        let algorithm =
            jws.algorithm().filter(|named| issuer.algorithms.contains(named)).ok_or(Reason::JwtAlgorithm)?;
        let key = issuer.keys.choose(jws.key_id(), algorithm)?;
        if !signature::verifies(key, algorithm, jws.signed().as_bytes(), jws.signature(), host) {
            return Err(Reason::JwtSignature.into());
        }
        if !issuer.accepts_audience(jws.claims()) {
            return Err(Reason::JwtAudience.into());
        }
        issuer.claims.check(index, issuer, key.id(), jws.claims(), now)
    }

    /// True if the upstream gets the credential headers.
    pub fn forwards_token(&self) -> bool {
        self.forward_token
    }

    /// The headers that may carry the token, in lower case.
    pub fn token_headers(&self) -> impl Iterator<Item = &str> {
        self.token_from.iter().map(|name| &**name)
    }

    /// Every issuer's name with the ids of its keys, for the line that is logged on load.
    pub fn issuers(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.issuers.iter().map(|issuer| (&*issuer.name, issuer.keys.ids().collect()))
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
    /// RFC 7519 section 4.1.3: `aud` is a string or an array of strings.
    fn accepts_audience(&self, claims: &json::Object) -> bool {
        use serde_json::Value;
        let ours = |value: &Value| value.as_str().is_some_and(|aud| self.audiences.iter().any(|own| **own == *aud));
        match claims.get("aud") {
            Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(ours),
            Some(value) => ours(value),
            None => false,
        }
    }
}
