//! Whether a value that its context calls a password can be one.
//!
//! A password may be short and plain, so its surroundings say more than its entropy: a word that everybody uses, base64 of
//! plain words, a user and a host that only documentation has. These checks can't know a published example that looks random.

use crate::sorted;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::label::{Label, label};
use super::name::is_name;
use super::placeholder::{is_something_else, looks_like_placeholder};
use super::secret::Makeup;

/// Passwords that everybody has: they are in every tutorial.
static COMMON: &[&str] = &[
    "admin",
    "admin123",
    "anonymous",
    "changeit",
    "default",
    "foo",
    "foobar",
    "geheim",
    "guest",
    "hunter2",
    "kennwort",
    "letmein",
    "mongo",
    "motdepasse",
    "mysql",
    "none",
    "null",
    "opensesame",
    "p4ssw0rd",
    "pass",
    "pass123",
    "passw0rd",
    "passwd",
    "password",
    "password1",
    "password123",
    "passwort",
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
    "secure",
    "senha",
    "string",
    "test",
    "test123",
    "testing",
    "token",
    "true",
    "user",
    "username",
    "wachtwoord",
    "welcome",
    "xxx",
];

/// One of the passwords that everybody has, also with a short number behind it or with digits in the place of its letters.
fn is_common(text: &str) -> bool {
    let low = text.to_ascii_lowercase();
    let word = low.trim_end_matches(|c: char| c.is_ascii_digit());
    let spelt: String = low
        .chars()
        .map(|c| match c {
            '0' => 'o',
            '3' => 'e',
            '4' | '@' => 'a',
            '5' | '$' => 's',
            other => other,
        })
        .collect();
    COMMON.binary_search(&low.as_str()).is_ok()
        || (low.len() - word.len() <= 3 && COMMON.binary_search(&word).is_ok())
        || ["password", "passwd", "passwort"].into_iter().any(|common| spelt.contains(common))
        || low
            .rsplit(':')
            .next()
            .is_some_and(|last| last.starts_with("anon") && last.bytes().all(|c| c.is_ascii_lowercase()))
}

/// Base64 in both alphabets' common part, with or without padding.
static BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Base64 of a text that is no secret: words, `user:password`, a placeholder. Base64 of anything else may be one.
pub(super) fn encodes_plain_words(text: &str) -> bool {
    let Some(decoded) = BASE64.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else { return false };
    let readable = decoded.len() >= 4 && decoded.bytes().all(|c| c == b' ' || c.is_ascii_graphic());
    readable && (is_name(&decoded) || is_common(&decoded) || looks_like_placeholder(&decoded))
}

/// A value that a key or a sentence calls a password: six characters or more of at least two kinds, a
/// digit or a mark among them, and neither a name, a call, a common word nor a placeholder.
pub(super) fn password(name: &str, text: &str) -> bool {
    let makeup = Makeup::of(text);
    let distinct = sorted::set(text.chars()).len();
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
        && !is_type(text)
        && !encodes_plain_words(text)
        && label(name) != Label::Other
}

/// A type by its path: `windows_sys::core::PCSTR`.
fn is_type(text: &str) -> bool {
    text.contains("::") && super::name::is_reference(text)
}

/// The password in a connection string or behind `curl -u name:`: anything that is no placeholder, no
/// reference and nobody's default.
pub(super) fn connection_password(text: &str) -> bool {
    let distinct = sorted::set(text.chars()).len();
    (6..=256).contains(&text.len())
        && distinct >= 4
        && !text.contains(['[', ']', '(', ')', '$'])
        && !text.strip_prefix('{').is_some_and(|inner| is_name(inner.trim_end_matches('}')))
        && !is_common(text)
        && !looks_like_placeholder(text)
}

/// The password in a URL: as [`connection_password`] once `%2F` is read as `/`, and no plain word where the user or the host
/// is one of documentation.
pub(super) fn url_password(before: &str, text: &str, after: &str) -> bool {
    let plain = unescaped(text);
    connection_password(&plain) && !(is_word(&plain) && (is_nobody(before) || is_nowhere(after)))
}

/// A URL's text with its escapes read; one that is no UTF-8 then stays as it is.
fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', a, b, tail @ ..] => {
                char::from(*a).to_digit(16).zip(char::from(*b).to_digit(16)).map(|(a, b)| ((a * 16 + b) as u8, tail))
            }
            _ => None,
        };
        let (byte, tail) = escaped.unwrap_or((*first, tail));
        out.push(byte);
        rest = tail;
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// Letters, and a number of up to three digits behind them.
fn is_word(text: &str) -> bool {
    let letters = text.trim_end_matches(|c: char| c.is_ascii_digit());
    text.len() - letters.len() <= 3 && !letters.is_empty() && letters.bytes().all(|c| c.is_ascii_alphabetic())
}

/// True when the user in front of a password in a URL is a word for one: `user`, `login`.
fn is_nobody(before: &str) -> bool {
    const USERS: [&str; 14] = [
        "alice",
        "benutzer",
        "bob",
        "foo",
        "gebruiker",
        "login",
        "me",
        "name",
        "user",
        "user1",
        "username",
        "usr",
        "usuario",
        "utilisateur",
    ];
    let user = before.strip_suffix(':').and_then(|head| head.rsplit('/').next()).unwrap_or_default();
    USERS.contains(&user.to_ascii_lowercase().as_str())
}

/// True when the host behind a password in a URL is reserved for examples (RFC 2606), this machine, or a word for a host.
fn is_nowhere(after: &str) -> bool {
    const HOSTS: [&str; 10] =
        ["domain", "example", "host", "hostname", "invalid", "localhost", "proxy", "server", "servername", "test"];
    let host = after.strip_prefix('@').unwrap_or_default();
    let host = host.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-').next().unwrap_or_default();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let mut labels = host.rsplit('.');
    let (last, second) = (labels.next().unwrap_or_default(), labels.next());
    match second {
        None => HOSTS.contains(&last) || last.len() == 1,
        Some(second) => second == "example" || ["example", "invalid", "localhost", "test"].contains(&last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::validate::tells_apart;

    #[test]
    fn passwords() {
        tells_apart(
            |text| password("password", text),
            &["dB2yF6@qL9", "Tr0ub4dor&3", "x7k2m9qp", "cTdSazIjTHc5WnQ="],
            &[
                "password1",
                "hunter2",
                "getPassword()",
                "string",
                "letters",
                "my_db_password",
                "123456",
                "P@55w0rd!",
                "bm90IG15IHJlYWwgcGFzc3dvcmQ=",
                "windows_sys::core::PCSTR",
                "./data/mt19937-testset-1.csv",
            ],
        );
        tells_apart(
            connection_password,
            &["s3cr3tpw", "deadbeef", "p%40ssw0rt", "sunflower"],
            &["password", "postgres", "${DB_PASS}", "<pass>", "xxxxxx", "pw", "secure1", "pserver:anoncvs", "Passwort"],
        );
    }

    #[test]
    fn a_plain_word_is_no_password_in_an_address_of_documentation() {
        for (before, text, after) in [
            ("https://Aladdin:", "bluebird", "@localhost:8887"),
            ("https://apt:", "debian", "@example.org/debian"),
            ("ftp://user:", "sunflower", "@ftp.corp.net/"),
            ("javascript://:", "bowser", "@x/"),
            ("https://user:", "he%2F%2Fo", "@pypi.company.com/simple"),
            ("http://x:", "secre1", "@db.test"),
        ] {
            assert!(!url_password(before, text, after), "{before}{text}{after}");
        }
        for (before, text, after) in [
            ("postgres://app:", "sunflower", "@db:5432/main"),
            ("postgres://app:", "sunflower", "@db.shop.net/main"),
            ("https://user:", "q7Rk2Lw9Zt", "@example.com"),
            ("https://user:", "q7%2FRk2", "@localhost"),
            ("https://app:", "deadbeef", "@example.corp.net"),
        ] {
            assert!(url_password(before, text, after), "{before}{text}{after}");
        }
    }

    #[test]
    fn the_list_of_passwords_is_sorted() {
        assert!(COMMON.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
