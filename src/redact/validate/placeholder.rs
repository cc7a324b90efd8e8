//! Values that document a secret instead of being one, and values that are something else.
//!
//! Documentation is full of `your-api-key`, `xxxx`, `${TOKEN}` and `AKIA...EXAMPLE`; configuration names times,
//! versions, digests and places of secrets under names that sound like secrets.

use super::name::is_name;

/// Words in the place of a value: lower case, anywhere in the value.
static PLACEHOLDER_WORDS: &[&str] = &[
    "example",
    "placeholder",
    "changeme",
    "changeit",
    "change-me",
    "change_me",
    "change-this",
    "change_this",
    "replace",
    "redacted",
    "omitt",
    "insert",
    "dummy",
    "foobar",
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
    "notarealkey",
    "goes-here",
    "goes_here",
    "key-here",
    "key_here",
    "token-here",
    "token_here",
    "secret-here",
    "secret_here",
    "...",
    "***",
    "\u{2026}",
    "\u{2022}\u{2022}",
];

/// Short words of that kind, between marks: a random text may hold them.
static SHORT_WORDS: &[&str] = &["fake", "todo", "fixme", "sample"];

/// A text longer than this is not judged by one short run in it.
const LONG: usize = 128;

/// Marks of a template or a reference to a value that is elsewhere.
static REFERENCE_MARKS: &[&str] = &[
    "${",
    "$(",
    "{{",
    "}}",
    "<%",
    "%{",
    "%(",
    "#{",
    "<",
    ">",
    "process.env",
    "os.environ",
    "getenv",
    "env[",
    "{%",
    "@@",
];

/// Values that document something instead of unlocking it: words such as `example` or `your-`, names of credentials
/// (`my-api-key`), runs of one character, counting up (`12345678`, `abcd1234efgh5678`), one short text over and over,
/// templates (`${VAR}`, `<token>`, `{{ x }}`).
pub fn looks_like_placeholder(text: &str) -> bool {
    let low = text.to_lowercase();
    PLACEHOLDER_WORDS.iter().any(|word| low.contains(word))
        || (text.len() <= LONG && low.contains("xxxx"))
        || low.split(|c: char| !c.is_alphanumeric()).any(|part| SHORT_WORDS.contains(&part))
        || REFERENCE_MARKS.iter().any(|mark| low.contains(mark))
        || low.starts_with(['$', '%', '@', '['])
        || names_a_credential(&low)
        || monotonous(low.as_bytes())
}

/// Two words at the end that name a credential: `some-api-key`, `the_secret`, `access_token_2`.
fn names_a_credential(low: &str) -> bool {
    const WHOSE: [&str; 20] = [
        "a", "access", "api", "app", "auth", "client", "db", "db1", "my", "private", "refresh", "secret", "service",
        "some", "super", "test", "the", "this", "user", "your",
    ];
    const WHAT: [&str; 9] =
        ["credential", "credentials", "key", "pass", "passwd", "password", "pwd", "secret", "token"];
    if low.contains(char::is_whitespace) {
        return false;
    }
    let is_number = |part: &str| part.len() <= 3 && part.bytes().all(|c| c.is_ascii_digit());
    let mut parts = low.rsplit(|c: char| !c.is_alphanumeric()).skip_while(|part| is_number(part) || *part == "here");
    let (what, whose) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    WHAT.contains(&what.trim_end_matches(|c: char| c.is_ascii_digit())) && WHOSE.contains(&whose)
}

/// One character six times in a row (in a long text: over a third of it), one character in over half of the value, runs
/// that count up over most of it or over a third without a break, or two thirds of a text of up to eight characters again
/// and again. What counts up in short runs (`abc123def456`) is how people invent a key, and how tests of filters do.
fn monotonous(bytes: &[u8]) -> bool {
    let (mut same, mut rising, mut longest_same, mut longest_rising, mut counted) =
        (1usize, 1usize, 1usize, 1usize, 0usize);
    for pair in bytes.windows(2) {
        let [a, b] = pair else { continue };
        same = if a == b { same + 1 } else { 1 };
        // 9 to 0 and 9 to a count on, as in 1234567890 and 0123456789abcdef.
        let next = a.checked_add(1) == Some(*b)
            || (*a == b'9' && matches!(b, b'0' | b'a'))
            || matches!((*a, *b), (b'z', b'0') | (b'0', b'a'));
        rising = if next { rising + 1 } else { 1 };
        counted += match rising {
            0..=3 => 0,
            4 => 4,
            _ => 1,
        };
        longest_same = longest_same.max(same);
        longest_rising = longest_rising.max(rising);
    }
    let most = (0u8..=127).map(|c| bytes.iter().filter(|&&other| other == c).count()).max().unwrap_or(0);
    // Behind a prefix, too.
    let tail = bytes.get(bytes.len() / 3..).unwrap_or_default();
    let again = |part: &[u8], period: usize| {
        part.len() >= period * 2 && part.iter().zip(part.iter().skip(period)).all(|(one, other)| one == other)
    };
    let run = longest_same >= 6 && (bytes.len() <= LONG || longest_same * 3 > bytes.len());
    run || most * 2 > bytes.len()
        || (longest_rising >= 6 && longest_rising * 3 > bytes.len())
        || counted * 10 > bytes.len() * 6
        || (2..=8).any(|period| again(tail, period) || again(bytes, period))
}

/// Begins like a digest, an encrypted value or the place of a secret; lower case.
static OTHER_BEGINNINGS: &[&str] = &[
    "sha1-",
    "sha256-",
    "sha384-",
    "sha512-",
    "sha1:",
    "sha256:",
    "sha384:",
    "sha512:",
    "md5:",
    "md5-",
    "arn:",
    "urn:",
    "projects/",
    "op://",
    "enc[",
    "enc(",
    "enc:",
    "vault:",
    "kms:",
    "awskms:",
    "gcpkms:",
    "ssm:",
    "sm:/",
    "secret:",
    "secretref:",
    "ref+",
    "keyring:",
    "file:",
    "env:",
    "env.",
    "aqicah",
    "data:",
    "age1",
    "ssh-",
    "ecdsa-sha2",
];

/// A time, a date, a version, an address, a domain, a digest, an encrypted value, or where a secret is kept.
pub(super) fn is_something_else(text: &str) -> bool {
    let low = text.to_ascii_lowercase();
    OTHER_BEGINNINGS.iter().any(|beginning| low.starts_with(beginning))
        || is_date(text)
        || is_version(text)
        || text.rsplit_once('@').is_some_and(|(local, domain)| local.len() >= 3 && is_name(local) && is_domain(domain))
        || is_domain(text)
        || is_sealed(text)
        || is_file(text)
}

/// A path to a file: it begins where paths begin, or it has directories and an extension.
fn is_file(text: &str) -> bool {
    let begins = ["./", "../", "~/"].into_iter().any(|beginning| text.starts_with(beginning));
    let extension = || text.rsplit_once('.').map(|(_, extension)| extension);
    let is_short = |extension: &str| {
        (2..=5).contains(&extension.len())
            && extension.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            && extension.starts_with(|c: char| c.is_ascii_lowercase())
    };
    begins || (text.contains('/') && extension().is_some_and(is_short))
}

/// `2026-11-27`, `2026/11/27`, `20261127T053300`, `05:33:18` and what goes on behind them.
fn is_date(text: &str) -> bool {
    let form = |form: &str| {
        text.len() >= form.len()
            && form
                .bytes()
                .zip(text.bytes())
                .all(|(wanted, byte)| if wanted == b'0' { byte.is_ascii_digit() } else { wanted == byte })
    };
    ["0000-00-00", "0000/00/00", "00000000T000000", "00:00:00", "0000.00.00"].into_iter().any(form)
}

/// Three numbers and more between points, and a suffix: `1.24.0-rc.1`, `v2.3.4+build5`, `10.0.0.1:8080`.
fn is_version(text: &str) -> bool {
    let bare = text.trim_start_matches(['v', 'V', '^', '~', '=']);
    let numbers = bare.split(['-', '+', ':', '/']).next().unwrap_or_default();
    let count = numbers
        .split('.')
        .filter(|part| (1..=5).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit()))
        .count();
    count >= 3 && count == numbers.split('.').count()
}

/// A host name: lower case, two labels and more, the last of letters.
fn is_domain(text: &str) -> bool {
    let host = text.split(['/', ':']).next().unwrap_or_default();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    };
    host.rsplit_once('.').is_some_and(|(rest, last)| {
        (2..=10).contains(&last.len()) && last.bytes().all(|c| c.is_ascii_lowercase()) && rest.split('.').all(label)
    })
}

/// A Kubernetes secret sealed for its cluster: the length of an RSA block, then the block, in base64.
fn is_sealed(text: &str) -> bool {
    text.len() >= 300 && ["AgA", "AgB", "AgC", "AgD"].iter().any(|beginning| text.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "1234567890abcdef",
            "abcd1234efgh5678",
            "deadbeefdeadbeef",
            "abc123abc123abc123",
            "the-api-key",
            "db_password1",
            "$PASSWORD",
            "fake-7Rk2Lw9Zt4",
            "...",
        ] {
            assert!(looks_like_placeholder(text), "{text}");
        }
        for text in ["q7Rk2Lw9Zt4Vb8Nx", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9v"] {
            assert!(!looks_like_placeholder(text), "{text}");
        }
    }

    #[test]
    fn a_run_in_a_long_text_is_no_placeholder() {
        let letters = b"q7Rk2Lw9Zt4Vb8NxK5hG3dYcmP6sTfJ1uCe0";
        let rest: String = (0..150usize).map(|at| char::from(letters[(at * at / 3 + at) % letters.len()])).collect();
        let long = format!("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAA{rest}");
        assert!(!looks_like_placeholder(&long));
    }

    #[test]
    fn other_things_are_known_by_their_form() {
        for text in [
            "2026-11-27T05:33:18.123Z",
            "20261127T053318Z",
            "05:33:18",
            "sha256:9f86d081884c7d659a2feaa0c55ad015",
            "arn:aws:secretsmanager:eu-central-1:1:secret:db",
            "ENC[AES256_GCM,data:x]",
            "1.24.0-rc.1",
            "10.0.0.1:8080",
            "a1b2.execute-api.eu-central-1.amazonaws.com",
            "jane.roe@mail.org",
            "op://vault/item/field",
            "./data/mt19937-testset-1.csv",
            "etc/ssl2/server9.pem",
        ] {
            assert!(is_something_else(text), "{text}");
        }
        for text in ["q7Rk2Lw9Zt4Vb8Nx", "P@ssw0rd.com", "k3Fz9.Wm2Qp", "20261127", "1.2.Zq"] {
            assert!(!is_something_else(text), "{text}");
        }
    }
}
