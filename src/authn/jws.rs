//! A JWS in compact form (RFC 7515 section 3.1), read strictly and not yet believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Algorithm;
use super::json::{self, Object};

/// The longest `kid`, in bytes.
const MAX_KEY_ID_BYTES: usize = 256;

/// A parsed token. Nothing in it is verified.
pub(super) struct Jws<'t> {
    /// The header and the payload as they were signed.
    signed: &'t str,
    signature: Vec<u8>,
    algorithm: Option<Algorithm>,
    key_id: Option<String>,
    claims: Object,
}

impl<'t> Jws<'t> {
    /// Parses a token; `None` unless it is exactly three parts of canonical base64url, the first two
    /// JSON objects without duplicate keys, with a header that we understand.
    ///
    /// Header parameters that bring a key along (`jwk`, `jku`, `x5u`, `x5c`) are never read.
    pub(super) fn parse(token: &'t [u8]) -> Option<Jws<'t>> {
        let token = std::str::from_utf8(token).ok()?;
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        // The engine refuses padding, other alphabets (also a third dot) and set trailing bits.
        let header = json::object(&URL_SAFE_NO_PAD.decode(header).ok()?)?;
        let claims = json::object(&URL_SAFE_NO_PAD.decode(payload).ok()?)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;

        // RFC 7515 section 4.1.11: an extension that must be understood, and we understand none.
        // RFC 7797: with `b64: false` the payload is not what it looks like.
        if header.contains_key("crit") || header.get("b64").is_some_and(|b64| *b64 != Value::Bool(true)) {
            return None;
        }
        if !header.get("typ").is_none_or(|typ| typ.as_str().is_some_and(is_token_type)) {
            return None;
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KEY_ID_BYTES => Some(kid.clone()),
            Some(_) => return None,
        };
        let algorithm = algorithm(header.get("alg")?.as_str()?);
        Some(Jws { signed, signature, algorithm, key_id, claims })
    }

    /// The signing input (RFC 7515 section 5.1).
    pub(super) fn signed(&self) -> &'t str {
        self.signed
    }

    /// The signature's bytes.
    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The algorithm that the header names; `None` for one that we don't have, such as `none` or `HS256`.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// The `kid` of the header.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The claims.
    pub(super) fn claims(&self) -> &Object {
        &self.claims
    }
}

/// An algorithm's name, case-sensitive (RFC 7515 section 4.1.1).
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        // RFC 9864 names the curve; every key of ours for this algorithm is on it.
        "EdDSA" | "Ed25519" => Algorithm::EdDSA,
        _ => return None,
    })
}

/// `JWT` (RFC 7519 section 5.1), `at+jwt` (RFC 9068 section 2.1) or `JOSE` (RFC 7515 section 4.1.9), without case; `application/` may
/// be before it. Other types, such as logout or DPoP tokens, are not credentials.
fn is_token_type(typ: &str) -> bool {
    const PREFIX: &str = "application/";
    let bare = match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    };
    ["jwt", "at+jwt", "jose"].iter().any(|known| bare.eq_ignore_ascii_case(known))
}
