//! Whether a string of a secret's shape can be one: entropy, the name that it is given to, encodings.
//!
//! A provider's prefix says much, a key's name says some, and neither says that the value is real. These checks refuse
//! placeholders and values that are something else (`placeholder.rs`), and names that speak about a credential
//! (`label.rs`). They can't know a published example whose characters are random.

use super::label::{Label, label};
use super::name::{is_name, is_reference, mostly_words};
use super::password::encodes_plain_words;
use super::placeholder::{is_something_else, looks_like_placeholder};
use super::token::is_spent;

/// Shannon entropy of the characters, in bits a character.
pub fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 256];
    let mut total = 0u32;
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
            total += 1;
        }
    }
    let total = f64::from(total.max(1));
    counts.iter().filter(|&&count| count > 0).map(|&count| f64::from(count) / total).map(|p| -p * p.log2()).sum()
}

/// A token behind its provider's prefix: no placeholder, and as varied as a random text of its alphabet must be.
pub(super) fn prefixed_secret(text: &str) -> bool {
    let body = text.rsplit_once(['_', '-']).map_or(text, |(_, tail)| if tail.len() >= 12 { tail } else { text });
    let floor = match body.len() {
        0..=15 => 2.0,
        16..=23 => 2.5,
        _ => 2.8,
    };
    text.len() >= 8 && !looks_like_placeholder(text) && entropy(body) >= floor
}

/// A token whose prefix is no more than a word or a number: letters and digits mixed behind it, and no name.
pub(super) fn mixed_secret(text: &str) -> bool {
    let body = text.trim_start_matches('A');
    let tail = body.rsplit_once('|').map(|(_, tail)| Makeup::of(tail));
    let makeup = Makeup::of(body);
    makeup.digit
        && (makeup.lower || makeup.upper)
        && tail.is_none_or(|tail| tail.lower && tail.upper)
        && !is_name(body)
        && prefixed_secret(body)
}

/// The value of a session's cookie: long, letters and digits mixed, no name and no placeholder.
pub(super) fn cookie(name: &str, text: &str) -> bool {
    let makeup = Makeup::of(text);
    (16..=4096).contains(&text.len())
        && label(name) != Label::Other
        && makeup.digit
        && (makeup.lower || makeup.upper)
        && entropy(text) >= 2.8
        && !looks_like_placeholder(text)
        && !is_name(text)
}

/// The hash of a password in the form of `crypt`, with a varied digest.
pub(super) fn password_hash(text: &str) -> bool {
    let digest = text.rsplit(['$', '}']).next().unwrap_or_default();
    digest.len() >= 20 && entropy(digest) >= 3.0 && !digest.to_ascii_lowercase().contains("xxxx")
}

/// A hexadecimal token that its context calls a secret.
pub(super) fn hex_secret(text: &str) -> bool {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    hex.len() >= 16
        && hex.bytes().all(|c| c.is_ascii_hexdigit())
        && hex.bytes().any(|c| c.is_ascii_digit())
        && !looks_like_placeholder(text)
        && entropy(&hex) >= 2.7
}

/// What a value is made of.
pub(super) struct Makeup {
    pub lower: bool,
    pub upper: bool,
    pub digit: bool,
    pub symbol: bool,
}

impl Makeup {
    pub fn of(text: &str) -> Makeup {
        let any = |test: fn(&u8) -> bool| text.as_bytes().iter().any(test);
        Makeup {
            lower: any(u8::is_ascii_lowercase),
            upper: any(u8::is_ascii_uppercase),
            digit: any(u8::is_ascii_digit),
            symbol: any(|c| c.is_ascii_punctuation() && !matches!(c, b'_' | b'-' | b'.')),
        }
    }

    pub fn classes(&self) -> u32 {
        [self.lower, self.upper, self.digit, self.symbol].into_iter().map(u32::from).sum()
    }
}

/// Five groups of hexadecimal digits (RFC 9562): the usual form of a record's number, so a name by itself does
/// not make it a secret.
fn is_uuid(text: &str) -> bool {
    let mut groups = text.split('-').map(|group| group.bytes().all(|c| c.is_ascii_hexdigit()).then_some(group.len()));
    [8, 4, 4, 4, 12].iter().all(|&length| groups.next() == Some(Some(length))) && groups.next().is_none()
}

/// A token in a header: as varied as a random text, or a UUID.
pub(super) fn header_credential(name: &str, text: &str) -> bool {
    generic_secret(name, text) || (is_uuid(text) && label(name) != Label::Other && hex_secret(text))
}

/// A value whose key's name calls it a secret (`api_key = ...`): ten characters or more, letters and
/// digits mixed, entropy as random texts have it, and no name, path, address, time or placeholder. A UUID
/// is one where the name leaves no doubt.
pub(super) fn generic_secret(name: &str, text: &str) -> bool {
    let about = label(name);
    if about == Label::Other || is_something_else(text) {
        return false;
    }
    let makeup = Makeup::of(text);
    if is_uuid(text) {
        return about == Label::Strong && hex_secret(text);
    }
    if text.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-') {
        // Numbers of records and times are digits; tools write one case.
        return hex_secret(text) && text.len() <= 256 && (makeup.lower != makeup.upper);
    }
    let floor = match text.len() {
        0..=9 => return false,
        // Badges and short ids in addresses are no longer than that.
        10..=11 if makeup.classes() < 3 => return false,
        10..=15 => 2.9,
        16..=23 => 3.2,
        24..=31 => 3.4,
        _ => 3.6,
    };
    text.len() <= 512
        && text.is_ascii()
        && makeup.digit
        && (makeup.lower || makeup.upper)
        && makeup.classes() >= 2
        && !text.contains("://")
        && !text.contains([' ', '(', ')', '[', ']', '{', '}'])
        && !looks_like_placeholder(text)
        && !is_name(text)
        && !is_reference(text)
        && !mostly_words(text)
        && !is_spent(text)
        && !encodes_plain_words(text)
        && entropy(text) >= floor
}

/// A private key in the form of PEM (RFC 7468), of SSH2 or of PuTTY, or its beginning. Between two lines that say so
/// anything but a placeholder counts, elsewhere base64: a sentence may name the first line.
pub(super) fn pem(text: &str) -> bool {
    let body = match text.split_once("Private-Lines:") {
        Some((_, body)) => body,
        None => {
            let Some((_, rest)) = text.split_once("PRIVATE KEY") else { return false };
            let Some((_, body)) = rest.split_once("----") else { return false };
            body.trim_start_matches('-')
        }
    };
    let (body, ended) = body.split_once("----").map_or((body, false), |(body, _)| (body, true));
    let is_block = ended && (body.starts_with(['\n', '\r']) || body.starts_with("\\n") || body.starts_with("\\r"));
    let body = ["\\n", "\\r", "\\t"].iter().fold(body.to_owned(), |body, escape| body.replace(escape, " "));
    if looks_like_placeholder(body.trim()) {
        return false;
    }
    if is_block {
        // Code that writes such a block.
        return !body.contains(['(', ')']) && body.bytes().filter(u8::is_ascii_alphanumeric).count() >= 16;
    }
    let random = |token: &&str| {
        let makeup = Makeup::of(token);
        token.len() >= 16
            && makeup.lower
            && makeup.upper
            && makeup.digit
            && !mostly_words(token)
            && entropy(token) >= 3.2
    };
    let tokens = body.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '/' | '='));
    // What says only which kind of key follows is shorter.
    tokens.filter(random).map(str::len).sum::<usize>() >= if ended { 16 } else { 40 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::validate::tells_apart;

    #[test]
    fn entropy_is_zero_for_one_letter_and_grows() {
        assert!(entropy("aaaa").abs() < 1e-9);
        assert!((entropy("abcd") - 2.0).abs() < 1e-9);
        assert!(entropy("") == 0.0);
    }

    #[test]
    fn generic_values() {
        tells_apart(
            |text| generic_secret("token", text),
            &["q7Rk2Lw9Zt4Vb8Nx", "9f86d081884c7d659a2feaa0c55ad015", "Zk9-f3Lq_81xPw"],
            &[
                "3b1f8e52-7c94-4d6a-9e21-5a0c7f4d8b36",
                "get_api_key",
                "user.token.value1",
                "MyServiceClient2",
                "https://example.org/a1b2c3",
                "/usr/lib/x86",
                "TOKEN_HERE",
                "aaaaaaaa11",
                "short1",
                "request-token-v2",
                "1790000000000123456",
                "2026-11-27T05:33:18Z",
                "9F86d081884C7d659a2feaa0c55AD015",
            ],
        );
    }

    #[test]
    fn a_header_may_carry_a_uuid() {
        assert!(header_credential("X-Token", "3b1f8e52-7c94-4d6a-9e21-5a0c7f4d8b36"));
        assert!(!header_credential("X-Token", "00000000-0000-0000-0000-000000000000"));
        assert!(generic_secret("HEROKU_API_KEY", "3b1f8e52-7c94-4d6a-9e21-5a0c7f4d8b36"));
        assert!(!generic_secret("user_key", "3b1f8e52-7c94-4d6a-9e21-5a0c7f4d8b36"));
    }

    #[test]
    fn private_keys_in_pem() {
        assert!(pem("-----BEGIN RSA PRIVATE KEY-----\nMIIB0fT3qk9wqLmvZ7\n-----END RSA PRIVATE KEY-----"));
        assert!(!pem("-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----"));
        assert!(!pem("-----BEGIN PUBLIC KEY-----\nMIIB0fT3qk9wqLmvZ7\n-----END PUBLIC KEY-----"));
        assert!(!pem("-----BEGIN PRIVATE KEY-----\\n'\nout += b64encode(der)\nout += '-----END PRIVATE KEY-----"));
        assert!(!pem("-----BEGIN RSA PRIVATE KEY-----\\nkey omitted for security\\n-----END RSA PRIVATE KEY-----"));
    }
}
