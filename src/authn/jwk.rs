//! JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037): public keys for signatures, checked once.
//!
//! Only what can be used safely becomes a [`Key`]: RSA of 2048 to 4096 bits with the exponent 65537,
//! P-256, P-384 and Ed25519. A set is bounded and holds no two keys of one `kid` for one algorithm.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{Edwards25519PublicKey, P256PublicKey, P384PublicKey, RS256PublicKey, RSAPublicKey};
use serde_json::Value;
use superboring::pkey::{PKey, Public};

use super::json::Object;
use super::{Algorithm, jws};
use crate::reason::Reason;

/// The most keys of one set.
pub(super) const MAX_KEYS: usize = 64;

/// A public key that may check signatures.
pub(super) struct Key {
    id: Option<Arc<str>>,
    /// The one algorithm that the key is for, if it says so (RFC 7517 section 4.4).
    algorithm: Option<Algorithm>,
    public: PublicKey,
    /// DER SubjectPublicKeyInfo (RFC 5280 section 4.1), for the host.
    spki: Vec<u8>,
    signature_len: usize,
}

/// The key's numbers, in the form that checks signatures.
#[allow(clippy::large_enum_variant, reason = "a handful of keys a policy, each made once")]
pub(super) enum PublicKey {
    Rsa(PKey<Public>),
    P256(P256PublicKey),
    P384(P384PublicKey),
    Ed25519(Edwards25519PublicKey),
}

/// What is wrong with a key, and in which of its members (none: the key as a whole).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) member: Option<&'static str>,
    pub(super) message: String,
}

impl Flaw {
    fn new(member: &'static str, message: impl Into<String>) -> Flaw {
        Flaw { member: Some(member), message: message.into() }
    }
}

impl Key {
    /// Reads a JWK that is meant to check tokens signed by one of `algorithms`.
    ///
    /// # Errors
    /// The first [`Flaw`].
    pub(super) fn parse(jwk: &Object, algorithms: &[Algorithm]) -> Result<Key, Flaw> {
        if let Some(member) = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].into_iter().find(|m| jwk.contains_key(*m)) {
            return Err(Flaw::new(member, "private or symmetric key material, expected the public members only"));
        }
        let (public, spki, signature_len) = match string(jwk, "kty")? {
            "RSA" => rsa(jwk)?,
            "EC" => elliptic(jwk)?,
            "OKP" => edwards(jwk)?,
            other => {
                return Err(Flaw::new("kty", format!("key type {other:?} is not one of RSA, EC, OKP")));
            }
        };
        usable_for_signatures(jwk)?;
        let id = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if !kid.is_empty() && kid.len() <= 256 => Some(Arc::from(kid.as_str())),
            Some(_) => return Err(Flaw::new("kid", "expected a string of 1 to 256 bytes")),
        };
        let algorithm = match jwk.contains_key("alg") {
            false => None,
            true => {
                let name = string(jwk, "alg")?;
                let known = jws::algorithm(name).filter(|own| algorithms.contains(own));
                Some(known.ok_or_else(|| Flaw::new("alg", format!("{name:?} is not one of the issuer's algorithms")))?)
            }
        };
        let key = Key { id, algorithm, public, spki, signature_len };
        if let Some(own) = algorithm.filter(|own| !key.fits(*own)) {
            return Err(Flaw::new("alg", format!("{own:?} does not fit a key of this type and curve")));
        }
        if !algorithms.iter().any(|named| key.fits(*named)) {
            let message = "none of the issuer's algorithms fits a key of this type and curve";
            return Err(Flaw { member: None, message: message.to_owned() });
        }
        Ok(key)
    }

    /// The `kid`.
    pub(super) fn id(&self) -> Option<&Arc<str>> {
        self.id.as_ref()
    }

    /// True if the key's type, curve and own `alg` allow the algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let by_type = match self.public {
            PublicKey::Rsa(_) => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            PublicKey::P256(_) => algorithm == ES256,
            PublicKey::P384(_) => algorithm == ES384,
            PublicKey::Ed25519(_) => algorithm == EdDSA,
        };
        by_type && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// The numbers.
    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// DER SubjectPublicKeyInfo.
    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The length of every signature by this key, in bytes.
    pub(super) fn signature_len(&self) -> usize {
        self.signature_len
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The keys of one issuer.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    /// Adds a key.
    ///
    /// # Errors
    /// The place of the key that already has this `kid` for the same algorithm.
    pub(super) fn add(&mut self, key: Key) -> Result<(), usize> {
        let is_twin = |known: &Key| {
            key.id.is_some()
                && known.id == key.id
                && Algorithm::ALL.iter().any(|own| known.fits(*own) && key.fits(*own))
        };
        match self.0.iter().position(is_twin) {
            Some(first) => Err(first),
            None => {
                self.0.push(key);
                Ok(())
            }
        }
    }

    /// True if there is no key.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The `kid` of every key that has one.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|key| key.id.as_deref())
    }

    /// The one key that a token can mean: the key of its `kid`. A `kid` that no key has may mean a key
    /// without one, and no `kid` any key, but only where exactly one fits the algorithm: signatures
    /// are never tried key by key.
    ///
    /// # Errors
    /// [`Reason::JwtAlgorithm`] when the key of that `kid` does not fit the algorithm,
    /// [`Reason::JwtKey`] when there is no such key, or more than one.
    pub(super) fn choose(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, Reason> {
        // Issuers name keys of two types alike: no two of one name fit one algorithm.
        let mut named = self.0.iter().filter(|key| id.is_some() && key.id.as_deref() == id).peekable();
        if named.peek().is_some() {
            return named.find(|key| key.fits(algorithm)).ok_or(Reason::JwtAlgorithm);
        }
        let mut fitting = self.0.iter().filter(|key| (id.is_none() || key.id.is_none()) && key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(Reason::JwtKey),
        }
    }
}

fn string<'j>(jwk: &'j Object, member: &'static str) -> Result<&'j str, Flaw> {
    match jwk.get(member) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Flaw::new(member, "expected a string")),
        None => Err(Flaw::new(member, "missing, but required")),
    }
}

fn bytes(jwk: &Object, member: &'static str) -> Result<Vec<u8>, Flaw> {
    // Some issuers pad what RFC 7515 section 2 says has no padding.
    let text = string(jwk, member)?;
    let bare = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    URL_SAFE_NO_PAD.decode(bare).map_err(|_| Flaw::new(member, "expected base64url"))
}

/// RFC 7517 sections 4.2 and 4.3.
fn usable_for_signatures(jwk: &Object) -> Result<(), Flaw> {
    if jwk.contains_key("use") && string(jwk, "use")? != "sig" {
        return Err(Flaw::new("use", "expected \"sig\": this key is not for signatures"));
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(list)) if list.iter().any(|op| op.as_str() == Some("verify")) => Ok(()),
        Some(_) => Err(Flaw::new("key_ops", "expected a list that holds \"verify\"")),
    }
}

type Parts = (PublicKey, Vec<u8>, usize);

/// RFC 7518 section 6.3.1.
fn rsa(jwk: &Object) -> Result<Parts, Flaw> {
    let (modulus, exponent) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let modulus = modulus.get(zeros..).unwrap_or_default();
    let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    if !(2048..=4096).contains(&bits) {
        return Err(Flaw::new("n", format!("an RSA key of {bits} bits, expected 2048 to 4096")));
    }
    if exponent != [1, 0, 1] {
        return Err(Flaw::new("e", "expected AQAB (65537)"));
    }
    let unusable = || Flaw::new("n", "not an RSA modulus");
    let key = RS256PublicKey::from_components(modulus, &exponent).map_err(|_| unusable())?;
    let spki = key.to_der().map_err(|_| unusable())?;
    let key = RSAPublicKey::from_der(&spki).map_err(|_| unusable())?;
    let key = PKey::from_rsa(key.as_ref().clone()).map_err(|_| unusable())?;
    Ok((PublicKey::Rsa(key), spki, modulus.len()))
}

/// RFC 7518 section 6.2.1.
fn elliptic(jwk: &Object) -> Result<Parts, Flaw> {
    let curve = string(jwk, "crv")?;
    let width = match curve {
        "P-256" => 32,
        "P-384" => 48,
        other => return Err(Flaw::new("crv", format!("curve {other:?} is not one of P-256, P-384"))),
    };
    let mut point = vec![4];
    for member in ["x", "y"] {
        let coordinate = bytes(jwk, member)?;
        if coordinate.len() != width {
            return Err(Flaw::new(member, format!("{} bytes, expected {width}", coordinate.len())));
        }
        point.extend(coordinate);
    }
    let unusable = || Flaw::new("x", format!("x and y are not a point on {curve}"));
    Ok(match width {
        32 => {
            let key = P256PublicKey::from_bytes(&point).map_err(|_| unusable())?;
            let spki = key.to_der().map_err(|_| unusable())?;
            (PublicKey::P256(key), spki, 64)
        }
        _ => {
            let key = P384PublicKey::from_bytes(&point).map_err(|_| unusable())?;
            let spki = key.to_der().map_err(|_| unusable())?;
            (PublicKey::P384(key), spki, 96)
        }
    })
}

/// RFC 8037 section 2.
fn edwards(jwk: &Object) -> Result<Parts, Flaw> {
    match string(jwk, "crv")? {
        "Ed25519" => {}
        other => return Err(Flaw::new("crv", format!("curve {other:?} is not Ed25519"))),
    }
    let point = bytes(jwk, "x")?;
    let key = Edwards25519PublicKey::from_bytes(&point).map_err(|_| Flaw::new("x", "not an Ed25519 key"))?;
    let spki = key.to_der();
    Ok((PublicKey::Ed25519(key), spki, 64))
}
