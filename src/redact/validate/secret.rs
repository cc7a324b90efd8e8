//! Whether a string of a secret's shape can be one: entropy, the name that it is given to, encodings.
//!
//! A provider's prefix says much, a key's name says some, and neither says that the value is real. These checks refuse
//! placeholders and values that are something else (`placeholder.rs`), and names that speak about a credential
//! (`label.rs`). They can't know a published example whose characters are random.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::label::{Label, label};
use super::name::{is_name, is_reference, mostly_words};
use super::placeholder::{is_something_else, looks_like_placeholder};

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
struct Makeup {
    lower: bool,
    upper: bool,
    digit: bool,
    symbol: bool,
}

impl Makeup {
    fn of(text: &str) -> Makeup {
        let any = |test: fn(&u8) -> bool| text.as_bytes().iter().any(test);
        Makeup {
            lower: any(u8::is_ascii_lowercase),
            upper: any(u8::is_ascii_uppercase),
            digit: any(u8::is_ascii_digit),
            symbol: any(|c| c.is_ascii_punctuation() && !matches!(c, b'_' | b'-' | b'.')),
        }
    }

    fn classes(&self) -> u32 {
        [self.lower, self.upper, self.digit, self.symbol].into_iter().map(u32::from).sum()
    }
}

/// Five groups of hexadecimal digits (RFC 9562): the usual form of a record's number, so a name alone does not
/// make it a secret.
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
        && entropy(text) >= floor
}

/// Passwords that everybody has: they stand in every tutorial.
static COMMON_PASSWORDS: &[&str] = &[
    "admin",
    "admin123",
    "changeit",
    "default",
    "foo",
    "foobar",
    "guest",
    "hunter2",
    "letmein",
    "mongo",
    "mysql",
    "none",
    "null",
    "p4ssw0rd",
    "pass",
    "pass123",
    "passw0rd",
    "passwd",
    "password",
    "password1",
    "password123",
    "postgres",
    "pwd",
    "qwerty",
    "qwerty123",
    "rabbitmq",
    "redis",
    "root",
    "s3cr3t",
    "sa",
    "secret",
    "secret123",
    "string",
    "test",
    "test123",
    "testing",
    "token",
    "true",
    "user",
    "username",
    "welcome",
    "xxx",
];

fn is_common(text: &str) -> bool {
    let low = text.to_ascii_lowercase();
    COMMON_PASSWORDS.binary_search(&low.as_str()).is_ok() || low.contains("password") || low.contains("passwd")
}

/// A value that a key or a sentence calls a password: six characters or more of at least two kinds, a
/// digit or a mark among them, and neither a name, a call, a common word nor a placeholder.
pub(super) fn password(name: &str, text: &str) -> bool {
    let makeup = Makeup::of(text);
    let distinct = text.chars().collect::<BTreeSet<char>>().len();
    (6..=128).contains(&text.len())
        && distinct >= 5
        && (makeup.lower || makeup.upper)
        && (makeup.digit || makeup.symbol)
        && (makeup.classes() >= 3 || (makeup.digit && text.len() >= 8))
        && !text.contains("://")
        && !text.ends_with(['(', ')', ';', ','])
        && !text.contains("()")
        && !is_common(text)
        && !looks_like_placeholder(text)
        && !is_name(text)
        && !is_something_else(text)
        && label(name) != Label::Other
}

/// The password in a connection string or behind `curl -u name:`: anything that is no placeholder, no
/// reference and nobody's default.
pub(super) fn connection_password(text: &str) -> bool {
    let distinct = text.chars().collect::<BTreeSet<char>>().len();
    (6..=256).contains(&text.len())
        && distinct >= 4
        && !text.contains(['[', ']', '(', ')', '$'])
        && !text.strip_prefix('{').is_some_and(|inner| is_name(inner.trim_end_matches('}')))
        && !is_common(text)
        && !looks_like_placeholder(text)
}

/// A JSON Web Token (RFC 7519): a header that decodes to a JSON object with `alg`, and a payload that
/// decodes to one (or five parts: RFC 7516). Unsigned ones count: their claims are private all the same.
pub(super) fn jwt(text: &str) -> bool {
    let object = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes).ok()
    };
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
        return body.bytes().filter(u8::is_ascii_alphanumeric).count() >= 16;
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

    fn all(check: impl Fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        good.iter().for_each(|text| assert!(check(text), "{text}"));
        bad.iter().for_each(|text| assert!(!check(text), "{text}"));
    }

    #[test]
    fn entropy_is_zero_for_one_letter_and_grows() {
        assert!(entropy("aaaa").abs() < 1e-9);
        assert!((entropy("abcd") - 2.0).abs() < 1e-9);
        assert!(entropy("") == 0.0);
    }

    #[test]
    fn generic_values() {
        all(
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
    fn passwords() {
        all(
            |text| password("password", text),
            &["dB2yF6@qL9", "Tr0ub4dor&3", "x7k2m9qp"],
            &["password1", "hunter2", "getPassword()", "string", "letters", "my_db_password", "123456"],
        );
        all(
            connection_password,
            &["s3cr3tpw", "deadbeef", "p%40ssw0rt"],
            &["password", "postgres", "${DB_PASS}", "<pass>", "xxxxxx", "pw"],
        );
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
        assert!(pem("-----BEGIN RSA PRIVATE KEY-----\nMIIB0fT3qk9wqLmvZ7\n-----END RSA PRIVATE KEY-----"));
        assert!(!pem("-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----"));
        assert!(!pem("-----BEGIN PUBLIC KEY-----\nMIIB0fT3qk9wqLmvZ7\n-----END PUBLIC KEY-----"));
    }

    #[test]
    fn the_list_of_passwords_is_sorted() {
        assert!(COMMON_PASSWORDS.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
