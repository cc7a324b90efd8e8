//! The line that a capture is: an envelope that everybody may read, and a text that only the operator can.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{CapturePolicy, DATASET, hpke};
use crate::audit::rfc3339;
use crate::hex::hex;
use crate::host::{Fault, Host};

/// What the seal is for.
const INFO: &[u8] = b"bartizan capture 1";

/// One line of the log.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize))]
pub struct Sealed {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(rename = "event.kind")]
    kind: String,
    #[serde(rename = "event.dataset")]
    dataset: String,
    #[serde(rename = "http.request.id", skip_serializing_if = "Option::is_none", default)]
    request_id: Option<String>,
    #[serde(rename = "bartizan.policy.name")]
    policy: String,
    /// Seconds since 1970.
    #[serde(rename = "bartizan.capture.expires")]
    expires: u64,
    #[serde(rename = "bartizan.capture.key")]
    key: String,
    #[serde(rename = "bartizan.capture.enc")]
    enc: String,
    #[serde(rename = "bartizan.capture.sealed")]
    sealed: String,
}

/// The name of a public key: the first half of its SHA-256's first half, in hex.
pub fn key_id(public_key: &[u8; 32]) -> String {
    hex(Sha256::digest(public_key).get(..8).unwrap_or_default())
}

/// What the seal covers besides the text: nobody may put the expiry off, or hand the text to another key.
fn covered(expires: u64, key: &str) -> Vec<u8> {
    [&expires.to_be_bytes()[..], key.as_bytes()].concat()
}

impl Sealed {
    /// Seals a text for the policy's operator.
    ///
    /// # Errors
    /// A [`Fault`] when the host has no randomness.
    pub fn new(
        policy: &CapturePolicy,
        name: &str,
        request_id: Option<&str>,
        text: &str,
        host: &mut dyn Host,
    ) -> Result<Sealed, Fault> {
        let mut randomness = [0; 32];
        host.random(&mut randomness)?;
        let now = host.now();
        let expires = now.as_secs().saturating_add(policy.keep_for.as_secs());
        let key = key_id(&policy.public_key);
        let aad = covered(expires, &key);
        let (enc, sealed) = hpke::seal(&policy.public_key, randomness, INFO, &aad, text.as_bytes())
            .ok_or(Fault("a capture could not be sealed"))?;
        Ok(Sealed {
            timestamp: rfc3339(now),
            kind: "event".to_owned(),
            dataset: DATASET.to_owned(),
            request_id: request_id.map(str::to_owned),
            policy: name.to_owned(),
            expires,
            key,
            enc: BASE64.encode(enc),
            sealed: BASE64.encode(sealed),
        })
    }

    /// The line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a capture holds.
#[cfg(feature = "cli")]
#[derive(Debug, serde::Deserialize, Serialize)]
pub struct Opened {
    /// Always 1.
    pub version: u64,
    /// The request's path.
    pub path: String,
    /// Who made it.
    pub caller: super::Caller,
    /// Its audit record.
    pub record: serde_json::Value,
    /// Its body.
    pub body: String,
}

/// Why a capture is not opened.
#[cfg(feature = "cli")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// Its time is over.
    Expired,
    /// It is for another key.
    OtherKey,
    /// It was changed, or is none.
    Broken,
}

/// The public half of a private key.
#[cfg(feature = "cli")]
pub fn public_key(private: &[u8; 32]) -> Option<[u8; 32]> {
    ed25519_compact::x25519::SecretKey::new(*private).recover_public_key().ok().map(|key| *key)
}

#[cfg(feature = "cli")]
impl Sealed {
    /// True if a line's JSON is a capture.
    pub fn is_one(line: &serde_json::Value) -> bool {
        line.get("event.dataset").and_then(serde_json::Value::as_str) == Some(DATASET)
    }

    /// Opens it with the operator's private key.
    ///
    /// # Errors
    /// Why not.
    pub fn open(&self, private: &[u8; 32], now: crate::host::Timestamp) -> Result<Opened, Unopened> {
        if now.as_secs() >= self.expires {
            return Err(Unopened::Expired);
        }
        if public_key(private).is_none_or(|public| key_id(&public) != self.key) {
            return Err(Unopened::OtherKey);
        }
        let enc: Option<[u8; 32]> = BASE64.decode(&self.enc).ok().and_then(|bytes| bytes.try_into().ok());
        let sealed = BASE64.decode(&self.sealed).map_err(|_| Unopened::Broken)?;
        let aad = covered(self.expires, &self.key);
        let text = hpke::open(private, &enc.ok_or(Unopened::Broken)?, INFO, &aad, &sealed).ok_or(Unopened::Broken)?;
        serde_json::from_slice(&text).map_err(|_| Unopened::Broken)
    }
}
