//! Whether a string of a secret's shape can be one: entropy, placeholders, encodings.
//!
//! A provider's prefix says much, a key's name says some, and neither says that the value is real:
//! documentation is full of `your-api-key`, `xxxx`, `${TOKEN}` and `AKIA...EXAMPLE`. These checks
//! refuse those. They can't know a published example whose characters are random.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::name::{is_name, is_reference, mostly_words};

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

/// Words that stand where a value should: lower case, anywhere in the value.
static PLACEHOLDER_WORDS: &[&str] = &[
    "example",
    "placeholder",
    "changeme",
    "change-me",
    "change_me",
    "replace",
    "redacted",
    "insert",
    "dummy",
    "your-",
    "your_",
    "yourapi",
    "yourkey",
    "yourpass",
    "yoursecret",
    "yourtoken",
    "my-secret",
    "my_secret",
    "mysecret",
    "my-token",
    "my_token",
    "not-a-real",
    "notareal",
    "...",
    "***",
    "xxxx",
    "\u{2026}",
    "\u{2022}\u{2022}",
];

/// Marks of a template or a reference to a value that stands elsewhere.
static REFERENCE_MARKS: &[&str] =
    &["${", "$(", "{{", "}}", "<%", "%{", "%(", "#{", "<", ">", "process.env", "os.environ", "getenv", "env["];

/// Values that document something instead of unlocking it: words such as `example` or `your-`, runs of
/// one character, counting up (`12345678`, `abcdefgh`), templates (`${VAR}`, `<token>`, `{{ x }}`).
pub fn looks_like_placeholder(text: &str) -> bool {
    let low = text.to_lowercase();
    PLACEHOLDER_WORDS.iter().any(|word| low.contains(word))
        || REFERENCE_MARKS.iter().any(|mark| low.contains(mark))
        || low.starts_with(['$', '%', '@', '['])
        || monotonous(low.as_bytes())
}

/// One character six times in a row, one character in over half of the value, or a run that counts up
/// over more than a third of it.
fn monotonous(bytes: &[u8]) -> bool {
    let (mut same, mut rising, mut longest_same, mut longest_rising) = (1usize, 1usize, 1usize, 1usize);
    for pair in bytes.windows(2) {
        let [a, b] = pair else { continue };
        same = if a == b { same + 1 } else { 1 };
        // 9 to 0 and 9 to a count on, as in 1234567890 and 0123456789abcdef.
        let next =
            a.checked_add(1) == Some(*b) || (*a == b'9' && matches!(b, b'0' | b'a')) || (*a == b'z' && *b == b'0');
        rising = if next { rising + 1 } else { 1 };
        longest_same = longest_same.max(same);
        longest_rising = longest_rising.max(rising);
    }
    let most = (0u8..=127).map(|c| bytes.iter().filter(|&&other| other == c).count()).max().unwrap_or(0);
    longest_same >= 6 || most * 2 > bytes.len() || (longest_rising >= 6 && longest_rising * 3 > bytes.len())
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
pub(super) fn header_credential(text: &str) -> bool {
    generic_secret(text) || (is_uuid(text) && hex_secret(text))
}

/// A value whose key's name calls it a secret (`api_key = ...`): ten characters or more, letters and
/// digits mixed, entropy as random texts have it, and no name, path, address or placeholder.
pub(super) fn generic_secret(text: &str) -> bool {
    let makeup = Makeup::of(text);
    if is_uuid(text) {
        return false;
    }
    let hex = text.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-');
    if hex {
        return hex_secret(text) && text.len() <= 256;
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
pub(super) fn password(text: &str) -> bool {
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
}

/// The password in a connection string or behind `curl -u name:`: anything that is no placeholder, no
/// reference and nobody's default.
pub(super) fn connection_password(text: &str) -> bool {
    let distinct = text.chars().collect::<BTreeSet<char>>().len();
    (6..=256).contains(&text.len())
        && distinct >= 4
        && !text.contains(['{', '}', '[', ']', '(', ')', '$'])
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

/// A private key in PEM form (RFC 7468) with something between its lines.
pub(super) fn pem(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("PRIVATE KEY") else { return false };
    let Some((_, body)) = rest.split_once("-----") else { return false };
    let body = body.split("-----END").next().unwrap_or(body);
    let body = body.replace("\\n", " ");
    let solid = body.chars().filter(|c| c.is_ascii_alphanumeric()).count();
    solid >= 16 && !looks_like_placeholder(body.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(check: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
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
    fn placeholders_are_seen() {
        for text in [
            "your-api-key",
            "xxxxxxxx",
            "${TOKEN}",
            "<token>",
            "AKIAIOSFODNN7EXAMPLE",
            "{{ key }}",
            "abcdefghijkl",
            "000000000000",
            "1234567890",
            "$PASSWORD",
            "...",
        ] {
            assert!(looks_like_placeholder(text), "{text}");
        }
        assert!(!looks_like_placeholder("q7Rk2Lw9Zt4Vb8Nx"));
    }

    #[test]
    fn generic_values() {
        all(
            generic_secret,
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
            ],
        );
    }

    #[test]
    fn a_header_may_carry_a_uuid() {
        assert!(header_credential("3b1f8e52-7c94-4d6a-9e21-5a0c7f4d8b36"));
        assert!(!header_credential("00000000-0000-0000-0000-000000000000"));
    }

    #[test]
    fn passwords() {
        all(
            password,
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
