//! Opaque tokens: their issuer is asked what they are worth (OAuth 2.0 Token Introspection, RFC 7662).
//!
//! An answer counts for a while, the token's own time at most, and is found again by a keyed hash of the token.
//! What is not active is remembered for a short time too, so that the same bad token does not ask again and again.
//! Two requests that bring the same new token at the same time both ask. Without an answer the request is refused.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::cache::{Tag, TokenCache};
use super::{Authentication, Authenticator, Issuer, KeyRing, json};
use crate::callout::{Answer, Call, HttpCall};
use crate::host::{Host, Timestamp};
use crate::reason::{Denial, Reason};

/// The longest answer that is taken, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Questions of a worker in a second, at most: whoever makes tokens up must not bring their issuer down.
pub(super) const MAX_PER_SECOND: u32 = 200;

/// Where an issuer is asked, and how long an answer counts.
pub(super) struct Introspection {
    pub(super) cluster: Box<str>,
    pub(super) authority: Box<str>,
    pub(super) path: Box<str>,
    pub(super) timeout: Duration,
    /// `Basic ...`: our own credential there.
    pub(super) credential: Box<str>,
    /// Nanoseconds.
    pub(super) keep: u64,
    /// Nanoseconds, for what is not active.
    pub(super) keep_refused: u64,
}

impl std::fmt::Debug for Introspection {
    /// Without the credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspection")
            .field("cluster", &self.cluster)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A question in flight: the call to make, and what its answer is about.
#[derive(Clone, Debug)]
pub struct Inquiry {
    issuer: usize,
    tag: Tag,
    /// The call; its answer goes to [`Authenticator::introspected`].
    pub call: Call,
}

/// Our own credential at the issuer (RFC 6749 section 2.3.1).
pub(super) fn basic(id: &str, secret: &str) -> Box<str> {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", form(id.as_bytes()), form(secret.as_bytes())))).into()
}

/// A value of `application/x-www-form-urlencoded`.
fn form(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    for &byte in value {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => out.push(char::from(byte)),
            // Writing to a String can't fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// RFC 6750 section 2.1: what a bearer token is made of.
fn is_token(token: &[u8]) -> bool {
    token.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte))
}

impl Introspection {
    fn call(&self, token: &[u8]) -> Call {
        Call::Http(HttpCall {
            cluster: self.cluster.to_string(),
            method: "POST",
            authority: self.authority.to_string(),
            path: self.path.to_string(),
            headers: vec![
                ("content-type", "application/x-www-form-urlencoded".to_owned()),
                ("accept", "application/json".to_owned()),
                ("authorization", self.credential.to_string()),
            ],
            body: format!("token={}&token_type_hint=access_token", form(token)).into_bytes(),
            timeout: self.timeout,
            most: MAX_ANSWER_BYTES,
        })
    }
}

impl Authenticator {
    /// Asks about a token that is no JWT; `None`: no issuer here can be asked.
    pub(super) fn inquire(
        &self,
        token: &[u8],
        tag: Tag,
        cache: &mut TokenCache,
        now: Timestamp,
    ) -> Result<Option<Inquiry>, Denial> {
        let asked =
            self.issuers.iter().enumerate().find_map(|(index, issuer)| Some((index, issuer.introspection.as_ref()?)));
        let Some((issuer, introspection)) = asked else { return Ok(None) };
        if !is_token(token) {
            return Err(Reason::JwtMalformed.into());
        }
        if cache.is_refused(tag, now) {
            return Err(Reason::JwtInactive.into());
        }
        if !cache.may_ask(MAX_PER_SECOND, now) {
            return Err(Reason::JwtUnavailable.into());
        }
        Ok(Some(Inquiry { issuer, tag, call: introspection.call(token) }))
    }

    /// Takes the issuer's answer.
    ///
    /// # Errors
    /// [`Reason::JwtUnavailable`] when there is none, [`Reason::JwtInactive`] when the token does not count, and
    /// what the claims lack.
    pub fn introspected(
        &self,
        inquiry: &Inquiry,
        answer: &Answer,
        cache: &mut TokenCache,
        ring: &mut KeyRing,
        host: &mut dyn Host,
    ) -> Result<Authentication, Denial> {
        let now = host.now();
        let issuer = self.issuers.get(inquiry.issuer).ok_or(Reason::Internal)?;
        let introspection = issuer.introspection.as_ref().ok_or(Reason::Internal)?;
        let Answer::Http { status: 200, body } = answer else { return Err(Reason::JwtUnavailable.into()) };
        let mut claims = json::object(body).ok_or(Reason::JwtUnavailable)?;
        match claims.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => {
                cache.refuse(inquiry.tag, Timestamp(now.0.saturating_add(introspection.keep_refused)), now);
                return Err(Reason::JwtInactive.into());
            }
            _ => return Err(Reason::JwtUnavailable.into()),
        }
        let until = Timestamp(now.0.saturating_add(introspection.keep));
        // RFC 7662 section 2.2: `exp` may be absent. Then it counts for as long as we remember it.
        claims.entry("exp").or_insert_with(|| until.as_secs().saturating_add(1).into());
        issuer.check_answer(&claims)?;
        let principal = issuer.claims.check(inquiry.issuer, issuer, None, &claims, now)?.until(until);
        let principal = Arc::new(principal);
        cache.keep(inquiry.tag, &principal, now);
        self.unless_revoked(principal, ring, host)
    }
}

impl Issuer {
    /// The answer must be about a token of this issuer, for us: one endpoint may serve many.
    fn check_answer(&self, claims: &json::Object) -> Result<(), Reason> {
        if claims.get("iss").is_some_and(|iss| iss.as_str() != Some(&self.iss)) {
            return Err(Reason::JwtIssuer);
        }
        if self.accepts_audience(claims) { Ok(()) } else { Err(Reason::JwtAudience) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_written_as_a_form() {
        assert_eq!(form(b"a secret+/%\xff"), "a%20secret%2B%2F%25%FF");
        assert_eq!(&*basic("id", "a:b"), "Basic aWQ6YSUzQWI=");
        assert!(is_token(b"aZ0-._~+/=") && !is_token(b"a b") && !is_token(b"a&b"));
    }
}
