//! Addresses of crypto wallets.
//!
//! Ethereum's mixed-case checksum (EIP-55) is not verified: its form decides.

use sha2::{Digest, Sha256};

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Bytes of a Base58 text of at most 64 characters.
fn base58(text: &str) -> Option<Vec<u8>> {
    if text.len() > 64 {
        return None;
    }
    // Little-endian while it grows: at most 48 bytes, so the cost is bounded.
    let mut out: Vec<u8> = Vec::with_capacity(48);
    for c in text.bytes() {
        let mut carry = BASE58.iter().position(|&known| known == c)? as u32;
        for byte in &mut out {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            out.push((carry & 0xff) as u8);
            carry >>= 8;
        }
    }
    out.extend(text.bytes().take_while(|&c| c == b'1').map(|_| 0));
    out.reverse();
    Some(out)
}

/// Base58Check: the version byte of 21 bytes whose checksum fits.
fn base58_check(text: &str) -> Option<u8> {
    let bytes = base58(text)?;
    let (body, check) = bytes.split_at_checked(21)?;
    let digest = Sha256::digest(Sha256::digest(body));
    (check.len() == 4 && digest.starts_with(check)).then(|| body.first().copied())?
}

/// Bech32 (BIP 173) or Bech32m (BIP 350) with this human-readable part.
fn bech32(text: &str, prefix: &str) -> bool {
    let mixed = text.bytes().any(|c| c.is_ascii_lowercase()) && text.bytes().any(|c| c.is_ascii_uppercase());
    let low = text.to_ascii_lowercase();
    let Some((head, data)) = low.rsplit_once('1') else { return false };
    if mixed || head != prefix || !(8..=110).contains(&data.len()) {
        return false;
    }
    let mut check = 1u32;
    let mut feed = |value: u32| {
        let top = check >> 25;
        check = (check & 0x01ff_ffff) << 5 ^ value;
        for (bit, generator) in [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3u32].iter().enumerate()
        {
            if top >> bit & 1 == 1 {
                check ^= generator;
            }
        }
    };
    head.bytes().for_each(|c| feed(u32::from(c >> 5)));
    feed(0);
    head.bytes().for_each(|c| feed(u32::from(c & 31)));
    for c in data.bytes() {
        let Some(value) = BECH32.iter().position(|&known| known == c) else { return false };
        feed(value as u32);
    }
    matches!(check, 1 | 0x2bc8_30a3)
}

/// A Bitcoin address: Base58Check of versions 0 and 5, or Bech32 under `bc`; test networks too.
pub(super) fn bitcoin(text: &str) -> bool {
    matches!(base58_check(text), Some(0 | 5 | 0x6f | 0xc4)) || bech32(text, "bc") || bech32(text, "tb")
}

/// An Ethereum address: `0x` and forty hex digits of some variety.
pub(super) fn ethereum(text: &str) -> bool {
    let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) else { return false };
    let mut seen = [false; 16];
    let valid = hex.bytes().all(|c| match (c as char).to_digit(16) {
        Some(digit) => seen.get_mut(digit as usize).map(|slot| *slot = true).is_some(),
        None => false,
    });
    valid && hex.len() == 40 && seen.iter().filter(|&&digit| digit).count() >= 8
}

/// Any wallet this file knows: Bitcoin, Ethereum, Litecoin, Dogecoin, Dash, Tron, Cardano.
pub(super) fn any(text: &str) -> bool {
    bitcoin(text)
        || ethereum(text)
        || matches!(base58_check(text), Some(0x30 | 0x32 | 0x1e | 0x16 | 0x4c | 0x10 | 0x41))
        || bech32(text, "ltc")
        || bech32(text, "addr")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_examples_pass() {
        for text in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        ] {
            assert!(bitcoin(text), "{text}");
        }
        assert!(ethereum("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"));
    }

    #[test]
    fn a_changed_character_fails() {
        for text in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "bc1Qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "1",
            "0OIl",
        ] {
            assert!(!bitcoin(text), "{text}");
        }
        assert!(!ethereum("0x0000000000000000000000000000000000000000"));
        assert!(!ethereum("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe"));
    }
}
