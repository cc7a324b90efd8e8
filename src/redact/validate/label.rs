//! The name that a value is given to, and whether that name speaks of a credential or of something about one.
//!
//! `api_key` and `db_password` are names of credentials; `password_changed_at`, `token_type` and `secret_name` hold what
//! is known about one; `cache_key` and `next_page_token` are no credentials. The last words of a name say what it is.

use bartizan_rules::invariant::{between, onwards, part, sure};

/// The longest name that is looked at, in bytes.
const LONGEST: usize = 64;
/// The most bytes of operators, quotes and white space between a name and its value.
const BETWEEN: usize = 32;

/// The identifier in front of a value: `db.password` of `db.password = "`, `apiToken` of `apiToken: string = "`; with the
/// end of the word that a `:` joins to it (`2:secret` of `arn:aws:2:secret:`, `:AccessKey` of `"AWS::IAM::AccessKey":`),
/// with the query and the extension before it in the address of an image (`svg?token`). Empty: there is none.
pub(super) fn before(text: &str, start: usize) -> &str {
    let first = identifier(text, start);
    let is_type = |first: &str| TYPES.split(' ').any(|other| other.eq_ignore_ascii_case(first));
    if first.len() > LONGEST_TYPE || !is_type(first) {
        return first;
    }
    let typed = text.get(..start).and_then(|head| head.rfind(first)).unwrap_or_default();
    let second = identifier(text, typed);
    if second.is_empty() { first } else { second }
}

/// What is between a name and its value and names nothing.
static TYPES: &str = "bytes char const str string text value";
/// Bytes of the longest of them.
const LONGEST_TYPE: usize = 6;

fn identifier(text: &str, start: usize) -> &str {
    let bytes = between(text.as_bytes(), 0..start);
    let of_joint = |byte: &&u8| byte.is_ascii_whitespace() || b"=:>,([{<?|!+\"'`\\*&".contains(byte);
    let end = bytes.len() - bytes.iter().rev().take(BETWEEN).take_while(of_joint).count();
    let named = between(bytes, 0..end);
    let of_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.$".contains(byte);
    let length = named.iter().rev().take(LONGEST).take_while(of_name).count();
    let rest = between(named, 0..end - length);
    let joined = match rest {
        [.., byte, b':'] if byte.is_ascii_alphanumeric() => 2,
        [.., b':', b':'] if is_quoted_path(rest) => 1,
        [.., b'?' | b'&'] => image_query(rest),
        _ => 0,
    };
    part(text, end - length - joined..end)
}

/// True when a path of names joined by `::` began with a quotation mark: a type's name as a key, and no variable.
fn is_quoted_path(rest: &[u8]) -> bool {
    let path = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_');
    let length = rest.iter().rev().take(LONGEST).take_while(path).count();
    matches!(rest.get(..rest.len() - length), Some([.., b'"' | b'\'' | b'`']))
}

/// Extensions of images with the `?` behind: what a badge's address asks for is public by design.
static IMAGES: [&[u8]; 3] = [b"svg?", b"png?", b"gif?"];

/// How many bytes at the end are the query of an image, its extension included; 0: none are.
fn image_query(rest: &[u8]) -> usize {
    let query = |byte: &&u8| byte.is_ascii_graphic() && !b"\"'`<>()".contains(byte);
    let length = rest.iter().rev().take(LONGEST).take_while(query).count();
    let tail = onwards(rest, rest.len() - length);
    let at = tail.windows(4).rposition(|four| IMAGES.contains(&four));
    at.map_or(0, |at| tail.len() - at)
}

/// What a name says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// Something about a credential, a key that opens nothing, or an encrypted value.
    Other,
    /// No more than a word such as `key`, or nothing at all.
    Weak,
    /// A credential: `api_key`, `client_secret`, `access_token`.
    Strong,
}

/// What a name says about its value, by its words.
pub(super) fn label(name: &str) -> Label {
    let words = words(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // `arn:aws:secretsmanager:..:secret:name`: a word of a path.
    let is_image = IMAGES.iter().any(|image| name.as_bytes().starts_with(image));
    if is_image || name.contains(':') || words.iter().any(|word| listed(OPEN, word)) {
        return Label::Other;
    }
    let Some(at) = words.iter().rposition(|word| listed(CREDENTIALS, word)) else {
        // `GroupAssociation`: the letters of two words.
        let over_two = name.to_ascii_lowercase().contains("pass") && !words.iter().any(|word| word.contains("pass"));
        let by_chance = over_two || words.iter().any(|word| holds_by_chance(word));
        return if by_chance { Label::Other } else { Label::Weak };
    };
    let (head, tail) = (between(&words, 0..at), onwards(&words, at + 1));
    if tail.iter().any(|word| listed(ABOUT, word)) {
        return Label::Other;
    }
    let word = sure(words.get(at)).copied().unwrap_or_default();
    // A line of .npmrc (`:_authToken`) has a rule of its own.
    let Some(before) = head.last().filter(|_| !name.starts_with('_')) else { return Label::Weak };
    match word {
        "key" | "keys" if listed(NOT_KEYS, before) => Label::Other,
        "token" | "tokens" if listed(NOT_TOKENS, before) => Label::Other,
        "key" | "keys" | "token" | "tokens" if listed(STRONG, before) => Label::Strong,
        // A variable of the environment.
        "token" if !name.bytes().any(|byte| byte.is_ascii_lowercase()) => Label::Strong,
        "secret" | "secrets" => Label::Strong,
        _ => Label::Weak,
    }
}

/// True for a word that holds the letters of `pass` or `auth` and speaks of neither: `passenger`, `author`.
fn holds_by_chance(word: &str) -> bool {
    let passes = word.split_once("pass").is_some_and(|(_, rest)| {
        let goes_on = ["w", "phrase", "code", "key"].into_iter().any(|form| rest.starts_with(form));
        !goes_on && (!rest.is_empty() || listed(ENDS_IN_PASS, word))
    });
    passes || (word.starts_with("author") && word != "authorization")
}

/// Words that end in `pass` and are no password's.
static ENDS_IN_PASS: &str =
    "allpass bandpass buypass bypass compass encompass highpass lowpass overpass surpass trespass underpass";

/// True for a name that numbers something that is no card: `message_id`, `offset`, `created_at_ms`.
pub(super) fn is_number_of(name: &str) -> bool {
    if !may_end_in(name, NUMBERS.split(' ')) {
        return false;
    }
    let words = words(name);
    let card = words.iter().any(|word| ["card", "cc", "pan", "payment"].contains(&word.as_str()));
    !card && words.last().is_some_and(|word| listed(NUMBERS, word))
}

/// True for a name that calls its value a version.
pub(super) fn is_version_of(name: &str) -> bool {
    may_end_in(name, VERSIONS) && words(name).last().is_some_and(|word| VERSIONS.contains(&word.as_str()))
}

static VERSIONS: [&str; 6] = ["version", "ver", "release", "build", "firmware", "revision"];

/// False for a name whose last letters are none of these words: then neither is its last word.
fn may_end_in<'w>(name: &str, words: impl IntoIterator<Item = &'w str>) -> bool {
    let letters = name.trim_end_matches(|c: char| !c.is_ascii_alphabetic()).as_bytes();
    let tail = |length: usize| letters.len().checked_sub(length).and_then(|from| letters.get(from..));
    words.into_iter().any(|word| tail(word.len()).is_some_and(|tail| tail.eq_ignore_ascii_case(word.as_bytes())))
}

/// Last words of names of records, times and sizes.
static NUMBERS: &str = "at bytes cursor ean epoch gid gtin id ids imei isbn ms nonce ns offset ref seq sequence serial size sku \
    snowflake time timestamp tracking ts uid upc";

fn listed(list: &str, word: &str) -> bool {
    list.split(' ').any(|other| other == word)
}

/// The words of a name in lower case: parted by marks, by capitals, and where a known word ends a run of small letters
/// (`apikey`, `accesstoken`).
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        let bytes = part.as_bytes();
        let mut from = 0;
        let cut = |at: usize| {
            let [a, b] =
                [at.checked_sub(1), Some(at)].map(|at| at.and_then(|at| bytes.get(at)).copied().unwrap_or(b' '));
            let next = bytes.get(at + 1).copied().unwrap_or(b' ');
            (!a.is_ascii_uppercase() && b.is_ascii_uppercase())
                || (a.is_ascii_uppercase() && b.is_ascii_uppercase() && next.is_ascii_lowercase())
                || (a.is_ascii_digit() != b.is_ascii_digit() && a.is_ascii_digit())
        };
        for at in (1..bytes.len()).filter(|at| cut(*at)).chain([bytes.len()]) {
            let word = part.get(from..at).unwrap_or_default().trim_end_matches(|c: char| c.is_ascii_digit());
            from = at;
            let word = word.to_ascii_lowercase();
            // `accesstoken`, `SECRETNAME`
            let parted = ["key", "token", "secret", "password", "credential", "passphrase", "auth"]
                .into_iter()
                .find_map(|known| {
                    let (first, last) = word.split_at_checked(word.rfind(known)?)?;
                    let last = last.strip_prefix(known)?;
                    let splits = (last.is_empty() && !first.is_empty()) || listed(ABOUT, last);
                    splits.then(|| [first, known, last].map(str::to_owned))
                });
            match parted {
                Some(parts) => words.extend(parts.into_iter().filter(|part| !part.is_empty())),
                None if !word.is_empty() => words.push(word),
                None => {}
            }
        }
    }
    words
}

/// Words that name a credential.
static CREDENTIALS: &str = "auth credential credentials kennwort key keys pass passcode passphrase passwd password passwords passwort pwd \
    secret secrets token tokens";

/// Before `key` or `token`: a credential without doubt.
static STRONG: &str = "access account admin api app application auth authentication bearer bot codecov deploy heroku personal \
    postmark railway refresh secret server snyk vault";

/// Words of names whose value is public, encrypted or hashed.
static OPEN: &str = "checksum cipher ciphertext encrypted fingerprint hashed integrity kms public publishable sealed";

/// Words behind a credential's name that turn it into something about one.
static ABOUT: &str = "age ago alg algorithm arn at attempts attr attribute attributes audience bucket budget cache cert certificate \
    changed charset checksum class column comment config configuration cost count counter created date days desc \
    description digest dir directory duration email enabled encoding endpoint env error errors event example exp \
    expiration expire expired expires expiring expiry field fields file filename fingerprint folder form format \
    guid handler hash header headers hint history host hours id identifier ids idx index input issue issued issuer \
    kind label last len length level limit link list location manager map max message method min minutes mode \
    modified msg name names note notes offset on options owner page pair param parameter params parser path paths \
    pattern placeholder policy pos position prefix price prompt provider pub public quota rate reason ref \
    reference refs regex required reset resource response revision role rotated rotates rotation row rule rules \
    sample schema scope scopes seconds selector separator service settings sha sha1 sha256 size source spec state \
    status store strategy strength suffix table template text thumbprint time timeout timestamp title ts ttl type \
    types updated uri url urls usage used user username uuid valid validator var variable verified version";

/// Words before `key` that turn it into a name of something.
static NOT_KEYS: &str = "answer asset attribute blob bucket business cache candidate child column composite config continuation data \
    dedup dedupe dict distribution download entry event feature field file first flag foreign gpg group grouping \
    hash header host hot i18n idempotency image index issue item join json keyboard known label last list locale lookup \
    map max message metric min name natural next node object option page param parent partition path pgp primary \
    project property pub public publishable query range react record registry resource routing row s search session \
    setting shard shortcut site sort sorting start state surrogate tag template thumbnail topic translation type \
    unique upload verification verifying video websocket widget";

/// Words before `token` that turn it into a place in a list or a word of a text.
static NOT_TOKENS: &str = "begin bos cached cancellation change cls color completion continuation continue csrf css cursor design end eos \
    erc input lexer mask max min mint next import export nft output pad page pagination paging parser prompt reasoning resume \
    sep skip special start stop sync syntax theme total unk watch xsrf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_front_is_read_over_operators_and_types() {
        for (text, name) in [
            ("db.password = \"", "db.password"),
            ("\"apiKey\": \"", "apiKey"),
            ("let apiToken: string = '", "apiToken"),
            ("<authToken>", "authToken"),
            ("\"AWS::IAM::AccessKey\": \"", ":AccessKey"),
            ("Config::API_KEY = \"", "API_KEY"),
            ("![](https://ci.example/badge.svg?token=", "svg?token"),
            ("![](https://ci.example/badge.svg?branch=main&token=", "svg?branch=main&token"),
            ("https://ci.example/run?token=", "token"),
            ("TOKEN ?= ", "TOKEN"),
            ("\u{e9} = ", ""),
            ("", ""),
        ] {
            assert_eq!(before(text, text.len()), name, "{text}");
        }
    }

    #[test]
    fn names_of_numbers_are_no_names_of_cards() {
        for name in ["message_id", "channelId", "created_at_ms", "offset", "tweet.id"] {
            assert!(is_number_of(name), "{name}");
        }
        for name in ["card_id", "paymentCardId", "number", "pan", "", "account"] {
            assert!(!is_number_of(name), "{name}");
        }
        assert!(is_version_of("appVersion") && !is_version_of("host"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_told_by_the_last_letters_is_what_the_words_say(
            name in "([a-zA-Z]{0,3}[-_.0-9]{0,2}|[vV]er(sion)?|build|Id|size|card|time|key|Token){0,5}"
        ) {
            let words = words(&name);
            let last = words.last().map(String::as_str).unwrap_or_default();
            let card = words.iter().any(|word| ["card", "cc", "pan", "payment"].contains(&word.as_str()));
            proptest::prop_assert_eq!(is_version_of(&name), VERSIONS.contains(&last));
            proptest::prop_assert_eq!(is_number_of(&name), !card && !last.is_empty() && listed(NUMBERS, last));
        }
    }

    #[test]
    fn the_last_words_say_what_a_name_is() {
        for name in [
            "api_key",
            "apiKey",
            "APIKEY",
            "client_secret",
            "STRIPE_SECRET_KEY",
            "accesstoken",
            "app.auth-token",
            "API_KEY_2",
        ] {
            assert_eq!(label(name), Label::Strong, "{name}");
        }
        for name in [
            "key",
            "token",
            "algolia_key",
            "password",
            "",
            "is",
            "csrf",
            "DB_PASSWORD_PROD",
            "dbpass",
            "lpszPassword",
            "authorization",
        ] {
            assert_eq!(label(name), Label::Weak, "{name}");
        }
        for name in [
            "password_changed_at",
            "tokenType",
            "secretName",
            "secret_key_id",
            "cacheKey",
            "next_page_token",
            "publickey",
            "encryptedPassword",
            "TOKEN_EXPIRES",
            "sort-key",
            "CLIENTSECRETNAME",
            "passwordHash",
            "max_tokens",
            ":AccessKey",
            "svg?branch=main&token",
            "EIPAssociation",
            "passport",
            "bypass",
            "CertificateAuthority",
            "Author-email",
        ] {
            assert_eq!(label(name), Label::Other, "{name}");
        }
    }
}
