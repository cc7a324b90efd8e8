//! The core's host, on Envoy's host calls.

use std::cell::Cell;

use super::host;
use crate::host::{Fault, HashFunction, Host, SetOutcome, Shared, Timestamp};

/// The core's [`Host`] on Envoy. Its clock stands still: a callback is one moment, and each question is a call of Envoy.
/// It is read when it is first asked for.
pub struct EnvoyHost(Cell<Option<u64>>);

impl EnvoyHost {
    /// As of now.
    pub fn new() -> EnvoyHost {
        EnvoyHost(Cell::new(None))
    }

    /// As of a moment that was asked for already, in nanoseconds since the Unix epoch.
    pub fn at(now: u64) -> EnvoyHost {
        EnvoyHost(Cell::new(Some(now)))
    }
}

impl Host for EnvoyHost {
    fn now(&self) -> Timestamp {
        let now = self.0.get().unwrap_or_else(host::now);
        self.0.set(Some(now));
        Timestamp(now)
    }

    fn shared_get(&mut self, key: &str) -> Result<Shared, Fault> {
        host::shared_get(key)
    }

    fn shared_set(&mut self, key: &str, value: &[u8], cas: u32) -> Result<SetOutcome, Fault> {
        host::shared_set(key, value, cas)
    }

    fn verify_signature(&mut self, hash: HashFunction, key: &[u8], signature: &[u8], text: &[u8]) -> Option<bool> {
        let answer = host::foreign("verify_signature", &verify_request(hash, key, signature, text))?;
        // Protobuf: field 1, varint, the boolean. Absent means false.
        Some(answer.starts_with(&[0x08, 0x01]))
    }

    fn property(&mut self, path: &[&str]) -> Option<Vec<u8>> {
        host::property(path)
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), Fault> {
        host::random(out)
    }
}

/// Envoy's `envoy.source.extensions.common.wasm.VerifySignatureArguments` in protobuf's wire form:
/// four length-delimited fields, hash name, DER key, signature and text.
fn verify_request(hash: HashFunction, key: &[u8], signature: &[u8], text: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(key.len() + signature.len() + text.len() + 32);
    for (field, bytes) in [(1u8, hash.name().as_bytes()), (2, key), (3, signature), (4, text)] {
        message.push(field << 3 | 2);
        let mut length = bytes.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(bytes);
    }
    message
}
