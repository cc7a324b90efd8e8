//! Who calls, told to the upstream so that it can check it: a short-lived signed token (JWS, RFC 7515) in a header.
//!
//! A header such as `x-bartizan-subject` is worth as much as the way it came. A token is worth the same everywhere: the
//! upstream checks its signature, `iss`, `aud` and `exp` (RFC 7519).
//!
//! ```
//! use bartizan::assertion::Signer;
//! use bartizan::document::{Errors, KeyPath, UpstreamIdentity};
//!
//! let section: UpstreamIdentity = serde_json::from_str(
//!     r#"{"algorithm": "EdDSA", "key": {"fromEnv": "KEY"}, "issuer": "bartizan", "audience": "llm"}"#)?;
//! let mut errors = Errors::default();
//! let short = |_: &str| Some("0123456789abcdef".to_owned());
//! assert!(Signer::compile(&section, &short, &KeyPath::root().key("upstream"), &mut errors).is_none());
//! assert!(errors.into_vec()[0].to_string().contains("expected a private key of 32 bytes"));
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::Signer as _;
use serde_json::json;
use sha2::Sha256;

use crate::authn::Principal;
use crate::document::{Environment, Errors, IdentityAlgorithm, KeyPath, UpstreamIdentity, secret};
use crate::host::{Fault, Host, Timestamp};

/// The header that carries the token. Whatever a client sends under it is removed, as all headers of ours are.
pub const HEADER: &str = "x-bartizan-identity";

/// The shortest secret of HS256, in bytes: as long as the hash (RFC 7518 section 3.2).
const MIN_SECRET: usize = 32;

/// A token of a caller whose own has nearly ended lasts as long as this nevertheless, in seconds.
const LEAST_SECS: u64 = 10;

/// The section `upstream.identity`, compiled.
pub struct Signer {
    key: Key,
    issuer: String,
    audience: String,
    /// In seconds.
    lifetime: u64,
    /// The JOSE header in base64url, and a dot.
    head: String,
}

/// What signs.
enum Key {
    Hmac(Box<Hmac<Sha256>>),
    P256(Box<p256::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_compact::SecretKey>),
}

/// A token, and until when it may be sent again for the same caller.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// In compact form.
    pub text: String,
    /// Half of its own lifetime.
    pub fresh_until: Timestamp,
}

impl std::fmt::Debug for Signer {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("issuer", &self.issuer).field("audience", &self.audience).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Signer {
    /// Compiles the section found at `at`. The key is read from the VM's environment, and no message holds it.
    pub fn compile(
        written: &UpstreamIdentity,
        environment: Environment<'_>,
        at: &KeyPath,
        errors: &mut Errors,
    ) -> Option<Signer> {
        let before = errors.len();
        let algorithm = errors.require(at, "algorithm", written.algorithm);
        let raw = errors.require(at, "key", written.key.as_ref());
        let at_key = at.key("key");
        let bytes = raw.and_then(|raw| secret(raw, &at_key, environment, errors));
        let mut text = |name: &str, written: &Option<String>| {
            let text = errors.require(at, name, written.clone());
            if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > 256) {
                errors.push(&at.key(name), "expected 1 to 256 bytes");
            }
            text
        };
        let (issuer, audience) = (text("issuer", &written.issuer), text("audience", &written.audience));
        if written.key_id.is_some() {
            text("keyId", &written.key_id);
        }
        let lifetime = written.lifetime.map_or(Duration::from_secs(60), |span| span.0);
        if !(Duration::from_secs(10)..=Duration::from_secs(600)).contains(&lifetime) {
            errors.push(&at.key("lifetime"), "out of bounds, expected 10s to 10m");
        }
        let key = algorithm.zip(bytes).and_then(|(algorithm, bytes)| match Key::new(algorithm, &bytes) {
            Ok(key) => Some(key),
            Err(message) => {
                errors.push(&at_key.key("fromEnv"), message);
                None
            }
        });
        if errors.len() > before {
            return None;
        }
        let mut head = json!({ "alg": algorithm?.as_str(), "typ": "JWT" });
        if let (Some(id), Some(head)) = (&written.key_id, head.as_object_mut()) {
            head.insert("kid".to_owned(), id.as_str().into());
        }
        let head = format!("{}.", BASE64.encode(head.to_string()));
        Some(Signer { key: key?, issuer: issuer?, audience: audience?, lifetime: lifetime.as_secs(), head })
    }

    /// True where a signature costs so much that a token is worth keeping.
    pub fn is_slow(&self) -> bool {
        !matches!(self.key, Key::Hmac(_))
    }

    /// Says who calls, with these roles.
    ///
    /// `sub` and `tenant` are the caller's, and `idp` is the name of the issuer that vouches for them: two issuers' `alice`
    /// are two callers. It ends with the caller's own token where that is earlier, and not within 10 s.
    ///
    /// # Errors
    /// A [`Fault`] when the host has no randomness.
    pub fn token(&self, principal: &Principal, roles: &[&str], host: &mut dyn Host) -> Result<Token, Fault> {
        let mut id = [0; 16];
        host.random(&mut id)?;
        let issued = host.now().as_secs();
        let own_end = principal.expires().as_secs().max(issued.saturating_add(LEAST_SECS));
        let expires = issued.saturating_add(self.lifetime).min(own_end);
        let mut claims = json!({
            "iss": self.issuer,
            "aud": self.audience,
            "sub": principal.subject(),
            "idp": principal.issuer_name(),
            "roles": roles,
            "iat": issued,
            "exp": expires,
            "jti": BASE64.encode(id),
        });
        if let (Some(tenant), Some(claims)) = (principal.tenant(), claims.as_object_mut()) {
            claims.insert("tenant".to_owned(), tenant.into());
        }
        let mut text = self.head.clone();
        BASE64.encode_string(claims.to_string(), &mut text);
        let signature = self.key.sign(text.as_bytes());
        text.push('.');
        BASE64.encode_string(signature, &mut text);
        // Of its own lifetime, which ends earlier with the caller's: whoever gets it last still has time to check it.
        let fresh = issued.saturating_add(expires.saturating_sub(issued) / 2);
        Ok(Token { text, fresh_until: Timestamp::from_secs(fresh) })
    }
}

impl Key {
    fn new(algorithm: IdentityAlgorithm, bytes: &[u8]) -> Result<Key, String> {
        let length = bytes.len();
        match algorithm {
            IdentityAlgorithm::HS256 => {
                if length < MIN_SECRET {
                    return Err(format!("{length} bytes, expected at least {MIN_SECRET} for HS256"));
                }
                let hmac = Hmac::new_from_slice(bytes).map_err(|_| "no key of HMAC".to_owned())?;
                Ok(Key::Hmac(Box::new(hmac)))
            }
            IdentityAlgorithm::ES256 => {
                let key = p256::ecdsa::SigningKey::from_slice(&private_key(bytes)?);
                key.map(|key| Key::P256(Box::new(key))).map_err(|_| "no private key of P-256".to_owned())
            }
            IdentityAlgorithm::EdDSA => {
                let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(private_key(bytes)?));
                Ok(Key::Ed25519(Box::new(pair.sk)))
            }
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        match self {
            Key::Hmac(hmac) => {
                let mut hmac = hmac.clone();
                hmac.update(text);
                hmac.finalize().into_bytes().to_vec()
            }
            Key::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(text);
                signature.to_bytes().to_vec()
            }
            Key::Ed25519(key) => key.sign(text, None).to_vec(),
        }
    }
}

/// A private key of 32 bytes, written as 64 hex digits, or in base64url as a JWK's `d` is.
pub(crate) fn private_key(text: &[u8]) -> Result<[u8; 32], String> {
    let text = text.trim_ascii();
    let bytes = match text.len() {
        64 => hex(text),
        _ => BASE64.decode(text).ok(),
    };
    let length = bytes.as_ref().map(Vec::len);
    // No signature has a key of zeros: the library of Ed25519 panics at one.
    let found = match bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
        Some(key) if key != [0; 32] => return Ok(key),
        Some(_) => "zeros".to_owned(),
        None => length.map_or("neither".to_owned(), |length| format!("{length} bytes")),
    };
    Err(format!("expected a private key of 32 bytes, as 64 hex digits or in base64url (a JWK's d), found {found}"))
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, _) = text.as_chunks::<2>();
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::RoleIndex;
    use crate::host::MemoryHost;

    fn signer(algorithm: &str, key: &str) -> Result<Signer, Vec<String>> {
        let section =
            json!({ "algorithm": algorithm, "key": { "fromEnv": "KEY" }, "issuer": "bartizan", "audience": "llm" });
        let section: UpstreamIdentity = serde_json::from_value(section).unwrap();
        let mut errors = Errors::default();
        let signer =
            Signer::compile(&section, &|_| Some(key.to_owned()), &KeyPath::root().key("upstream"), &mut errors);
        signer.ok_or_else(|| errors.into_vec().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn keys_of_a_wrong_size_are_named_and_never_shown() {
        let (hex, jwk) = ("1f".repeat(32), BASE64.encode([0x1f; 32]));
        for algorithm in ["ES256", "EdDSA"] {
            assert!(signer(algorithm, &hex).is_ok() && signer(algorithm, &format!("{jwk}\n")).is_ok());
            for bad in
                ["k".repeat(31), "z".repeat(64), "0".repeat(64), hex.repeat(2), BASE64.encode([1; 33]), "-".repeat(32)]
            {
                let errors = signer(algorithm, &bad).unwrap_err();
                assert_eq!(errors.len(), 1);
                assert!(
                    errors[0].starts_with("upstream.key.fromEnv: expected a private key of 32 bytes"),
                    "{errors:?}"
                );
                assert!(!errors[0].contains(&bad));
            }
        }
        let errors = signer("ES256", &"ff".repeat(32)).unwrap_err();
        assert_eq!(errors, ["upstream.key.fromEnv: no private key of P-256"]);
        assert!(signer("HS256", &"s".repeat(32)).is_ok());
        let errors = signer("HS256", &"s".repeat(31)).unwrap_err();
        assert_eq!(errors, ["upstream.key.fromEnv: 31 bytes, expected at least 32 for HS256"]);
        assert!(!format!("{:?}", signer("HS256", &"s".repeat(32))).contains("sss"));
    }

    /// RFC 8037 appendix A.4, and RFC 7515 appendix A.1: the same bytes give the same signatures.
    #[test]
    fn the_examples_of_the_rfcs_are_signed() {
        let seed = BASE64.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = Key::new(IdentityAlgorithm::EdDSA, BASE64.encode(seed).as_bytes()).unwrap();
        assert_eq!(
            BASE64.encode(key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc")),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key = Key::new(IdentityAlgorithm::HS256, &BASE64.decode(secret).unwrap()).unwrap();
        let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        assert_eq!(BASE64.encode(key.sign(text.as_bytes())), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn a_token_says_who_calls_and_ends_soon() {
        let signer = signer("ES256", &"1f".repeat(32)).unwrap();
        let mut host = MemoryHost::at(Timestamp::from_secs(1_800_000_000));
        let caller = Principal::for_tests("alice", vec![RoleIndex(0)]);
        let token = signer.token(&caller, &["analyst"], &mut host).unwrap();
        let other = signer.token(&caller, &["analyst"], &mut host).unwrap();
        assert_ne!(token.text, other.text, "each has an id of its own");
        let parts: Vec<&str> = token.text.split('.').collect();
        let part =
            |at: usize| -> serde_json::Value { serde_json::from_slice(&BASE64.decode(parts[at]).unwrap()).unwrap() };
        assert_eq!(part(0), json!({ "alg": "ES256", "typ": "JWT" }));
        let mut claims = part(1);
        assert_eq!(claims.as_object_mut().unwrap().remove("jti").unwrap().as_str().unwrap().len(), 22);
        assert_eq!(
            claims,
            json!({ "iss": "bartizan", "aud": "llm", "sub": "alice", "idp": "apiKeys", "roles": ["analyst"],
                "iat": 1_800_000_000, "exp": 1_800_000_060 })
        );
        assert_eq!(token.fresh_until, Timestamp::from_secs(1_800_000_030));
        let Key::P256(key) = &signer.key else { panic!() };
        let signature = p256::ecdsa::Signature::from_slice(&BASE64.decode(parts[2]).unwrap()).unwrap();
        let signed = format!("{}.{}", parts[0], parts[1]);
        use p256::ecdsa::signature::Verifier as _;
        assert!(key.verifying_key().verify(signed.as_bytes(), &signature).is_ok());
    }

    /// `cargo test --release --lib assertion -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    fn what_a_signature_costs() {
        let caller = Principal::for_tests("alice", vec![RoleIndex(0)]);
        for (algorithm, key) in [("HS256", "s".repeat(64)), ("ES256", "1f".repeat(32)), ("EdDSA", "1f".repeat(32))] {
            let signer = signer(algorithm, &key).unwrap();
            let mut host = MemoryHost::at(Timestamp::from_secs(1_800_000_000));
            let begun = std::time::Instant::now();
            for _ in 0..2000 {
                std::hint::black_box(signer.token(&caller, &["analyst"], &mut host).unwrap());
            }
            println!("{algorithm}: {:.1} us", begun.elapsed().as_secs_f64() * 1e6 / 2000.0);
        }
    }
}
