//! JSON Web Tokens: whether a text is one, and whether it can still let anybody in.
//!
//! A token whose signing secret is printed in documentation can be made by everybody, so it protects nothing. A token that
//! had expired before this filter was written, or that names a subject that counts up and neither issuer nor end, lets
//! nobody in either. Such tokens fill manuals and tests. They are worth a line in the record and no refusal.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::placeholder::looks_like_placeholder;

/// Secrets that documentation signs its examples with.
static PUBLISHED: [&str; 8] = [
    "a-string-secret-at-least-256-bits-long",
    "key",
    "password",
    "secret",
    "secretkey",
    "shhhhh",
    "your-256-bit-secret",
    "your-secret-key",
];

/// The longest token whose signature is tried, in bytes: every secret reads it once.
const LONGEST_TRIED: usize = 1024;

/// 2026-01-01T00:00:00Z: what had expired by then has expired.
const WRITTEN: f64 = 1_767_225_600.0;

/// A JSON Web Token (RFC 7519) that may let its bearer in: a header that decodes to a JSON object with `alg`, and a payload
/// that decodes to one (or five parts: RFC 7516). Unsigned ones count: their claims are private all the same.
pub(super) fn jwt(text: &str) -> bool {
    decodes(text) && !is_spent(text)
}

/// A JSON Web Token that lets nobody in: see [`is_spent`].
pub(super) fn spent_jwt(text: &str) -> bool {
    decodes(text) && is_spent(text)
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?).ok()
}

fn decodes(text: &str) -> bool {
    if text.len() > super::MAX_VALUE {
        return false;
    }
    let parts: Vec<&str> = text.split('.').collect();
    match parts.as_slice() {
        [header, payload] | [header, payload, _] => {
            object(header).is_some_and(|head| head.contains_key("alg")) && object(payload).is_some()
        }
        [header, _, _, _, _] => object(header).is_some_and(|head| head.contains_key("alg") && head.contains_key("enc")),
        _ => false,
    }
}

/// True for a token that expired before 2026, whose subject is a placeholder while issuer and end are absent, or that
/// verifies with a secret that documentation prints. Anything else: false.
pub(super) fn is_spent(text: &str) -> bool {
    if !text.starts_with('e') || text.len() > super::MAX_VALUE {
        return false;
    }
    let Some((signed, signature)) = text.rsplit_once('.') else { return false };
    // Two parts: the second is the payload.
    let (signed, signature) = if signed.contains('.') { (signed, signature) } else { (text, "") };
    let Some((_, payload)) = signed.split_once('.') else { return false };
    let Some(claims) = object(payload) else { return false };
    let expired = claims.get("exp").and_then(Value::as_f64).is_some_and(|end| end < WRITTEN);
    let counts_up = |name: &str| name.len() >= 6 && looks_like_placeholder(name);
    let nobody = claims.get("sub").and_then(Value::as_str).is_some_and(counts_up)
        && !claims.contains_key("exp")
        && !claims.contains_key("iss");
    expired || nobody || (text.len() <= LONGEST_TRIED && verifies_for_everybody(signed, signature))
}

fn verifies_for_everybody(signed: &str, signature: &str) -> bool {
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature.trim_end_matches('=')) else { return false };
    signature.len() == 32
        && PUBLISHED.iter().any(|secret| {
            Hmac::<Sha256>::new_from_slice(secret.as_bytes())
                .is_ok_and(|mac| mac.chain_update(signed).verify_slice(&signature).is_ok())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str, secret: &str) -> String {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let signed = format!("{}.{}", part(r#"{"alg":"HS256"}"#), part(claims));
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(&signed).finalize();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes()))
    }

    #[test]
    fn tokens_that_decode() {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let header = part(r#"{"alg":"HS256"}"#);
        let claims = part(r#"{"sub":"1"}"#);
        assert!(jwt(&format!("{header}.{claims}.c2ln")));
        assert!(jwt(&format!("{header}.{claims}")));
        assert!(!jwt(&format!("{claims}.{claims}.c2ln")));
        assert!(!jwt(&format!("{header}.bm90anNvbg.c2ln")));
        assert!(!jwt(&header));
    }

    #[test]
    fn a_token_that_everybody_can_make_or_that_ended_is_spent() {
        for claims in [r#"{"some":"payload"}"#, r#"{"sub":"jane","iss":"https://id.example","exp":4000000000}"#] {
            for secret in PUBLISHED {
                assert!(spent_jwt(&token(claims, secret)) && !jwt(&token(claims, secret)), "{claims} {secret}");
            }
            assert!(jwt(&token(claims, "q7Rk2Lw9Zt")) && !spent_jwt(&token(claims, "q7Rk2Lw9Zt")), "{claims}");
        }
        for claims in
            [r#"{"sub":"jane","exp":1500000000}"#, r#"{"sub":"1234567890","name":"John Doe","iat":1516239022}"#]
        {
            assert!(spent_jwt(&token(claims, "q7Rk2Lw9Zt")), "{claims}");
        }
        for claims in [r#"{"sub":"1234567890","iss":"https://id.example"}"#, r#"{"sub":"jane","exp":"soon"}"#, "{}"] {
            assert!(jwt(&token(claims, "q7Rk2Lw9Zt")), "{claims}");
        }
    }

    #[test]
    fn a_token_cut_off_is_none() {
        let whole = token(r#"{"sub":"1234567890"}"#, "secret");
        for end in 0..whole.len() {
            let _ = (jwt(&whole[..end]), spent_jwt(&whole[..end]));
        }
    }
}
