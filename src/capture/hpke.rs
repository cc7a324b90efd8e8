//! HPKE in base mode (RFC 9180), one suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
//!
//! One message a context, so that the nonce is the base nonce. Any implementation of that suite can open what is
//! sealed here.

use chacha20poly1305::aead::{Aead, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use ed25519_compact::x25519::{PublicKey, SecretKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// `KEM` and the id of DHKEM(X25519, HKDF-SHA256).
const KEM: &[u8] = b"KEM\x00\x20";
/// `HPKE` and the ids of KEM, KDF and AEAD.
const SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";

/// Seals a text for the holder of a key, with fresh randomness. `None` when the key is none.
///
/// Gives the encapsulated key and the sealed text, which is 16 bytes longer.
pub(super) fn seal(
    to: &[u8; 32],
    randomness: [u8; 32],
    info: &[u8],
    aad: &[u8],
    text: &[u8],
) -> Option<([u8; 32], Vec<u8>)> {
    let own = SecretKey::new(randomness);
    let ours = *own.recover_public_key().ok()?;
    let shared = PublicKey::new(*to).dh(&own).ok()?;
    let (key, nonce) = schedule(&shared, &ours, to, info);
    let sealed =
        ChaCha20Poly1305::new(&Key::from(key)).encrypt(&Nonce::from(nonce), Payload { msg: text, aad }).ok()?;
    Some((ours, sealed))
}

/// The reverse of [`seal`]; `None` when it is not for this key, or was changed.
#[cfg(any(feature = "cli", test))]
pub(super) fn open(own: &[u8; 32], theirs: &[u8; 32], info: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let own = SecretKey::new(*own);
    let to = *own.recover_public_key().ok()?;
    let shared = PublicKey::new(*theirs).dh(&own).ok()?;
    let (key, nonce) = schedule(&shared, theirs, &to, info);
    ChaCha20Poly1305::new(&Key::from(key)).decrypt(&Nonce::from(nonce), Payload { msg: sealed, aad }).ok()
}

/// Key and nonce of a message (RFC 9180 sections 4.1 and 5.1).
fn schedule(shared: &[u8; 32], enc: &[u8; 32], to: &[u8; 32], info: &[u8]) -> ([u8; 32], [u8; 12]) {
    let prk = extract(KEM, b"", b"eae_prk", shared);
    let shared: [u8; 32] = expand(KEM, &prk, b"shared_secret", &[&enc[..], to].concat());
    let no_psk = extract(SUITE, b"", b"psk_id_hash", b"");
    let info = extract(SUITE, b"", b"info_hash", info);
    let context = [&[0][..], &no_psk, &info].concat();
    let secret = extract(SUITE, &shared, b"secret", b"");
    (expand(SUITE, &secret, b"key", &context), expand(SUITE, &secret, b"base_nonce", &context))
}

/// `LabeledExtract` (RFC 9180 section 4).
fn extract(suite: &[u8], salt: &[u8], label: &[u8], text: &[u8]) -> [u8; 32] {
    mac(salt, &[b"HPKE-v1", suite, label, text])
}

/// `LabeledExpand` for at most one block of the hash.
fn expand<const N: usize>(suite: &[u8], prk: &[u8; 32], label: &[u8], info: &[u8]) -> [u8; N] {
    let block = mac(prk, &[&(N as u16).to_be_bytes(), b"HPKE-v1", suite, label, info, &[1]]);
    let mut out = [0; N];
    out.iter_mut().zip(block).for_each(|(place, byte)| *place = byte);
    out
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC's own padding to its block; no key here is longer.
    let mut block = [0; 64];
    block.iter_mut().zip(key).for_each(|(place, byte)| *place = *byte);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let bytes: Vec<u8> =
            (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect();
        bytes.try_into().unwrap()
    }

    /// RFC 9180 appendix A.2.1.
    #[test]
    fn the_vector_of_the_standard() {
        let info = hex::<20>("4f6465206f6e2061204772656369616e2055726e");
        let to = hex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        let own = hex("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600");
        let text = hex::<29>("4265617574792069732074727574682c20747275746820626561757479");
        let (enc, sealed) = seal(&to, own, &info, b"Count-0", &text).unwrap();
        assert_eq!(enc, hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"));
        let expected: [u8; 45] =
            hex("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28");
        assert_eq!(sealed, expected);
        let holder = hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        assert_eq!(open(&holder, &enc, &info, b"Count-0", &sealed).as_deref(), Some(&text[..]));
        assert_eq!(open(&holder, &enc, &info, b"Count-1", &sealed), None);
        assert_eq!(open(&[9; 32], &enc, &info, b"Count-0", &sealed), None);
        // A key of small order would make a secret that everybody knows.
        assert_eq!(seal(&[0; 32], own, &info, b"", &text), None);
    }
}
