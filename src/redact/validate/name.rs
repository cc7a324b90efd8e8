//! Whether a text is a name of code or speech: words, identifiers, references to a value elsewhere.
//!
//! A random text has short runs of letters that nobody could say aloud; a name has words. English spelling
//! decides which pairs of letters belong to words, so that a name in another language may pass for random.

/// A name of code or speech and not a random text: every part between `_`, `-`, `.`, `/`, `:` is a
/// word, a short number, or a word with a short number behind it.
pub(super) fn is_name(text: &str) -> bool {
    text.split(['_', '-', '.', '/', ':', ' ', '\\', ',']).filter(|part| !part.is_empty()).all(|part| {
        let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let tail = part.len() - word.len();
        tail <= 4 && humps(word).all(is_word)
    })
}

/// The parts of a `camelCaseName`.
fn humps(word: &str) -> impl Iterator<Item = &str> {
    let mut starts: Vec<usize> = vec![0];
    let bytes = word.as_bytes();
    starts.extend(bytes.windows(2).zip(1usize..).filter_map(|(pair, at)| {
        matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()).then_some(at)
    }));
    starts.push(word.len());
    let ends: Vec<(usize, usize)> =
        starts.windows(2).filter_map(|pair| if let [a, b] = pair { Some((*a, *b)) } else { None }).collect();
    ends.into_iter().filter_map(|(from, to)| word.get(from..to)).filter(|part| !part.is_empty())
}

/// Letters that can be spoken: some vowel in every five of them, unless it is short or all in capitals.
fn is_word(part: &str) -> bool {
    if !part.chars().all(char::is_alphabetic) {
        return false;
    }
    if part.len() <= 4 {
        return true;
    }
    let vowel = |c: char| matches!(c.to_ascii_lowercase(), 'a' | 'e' | 'i' | 'o' | 'u' | 'y') || !c.is_ascii();
    let mut drought = 0;
    part.chars().all(|c| {
        drought = if vowel(c) { 0 } else { drought + 1 };
        drought <= 4
    })
}

/// A path of identifiers (`settings.aws.SecretKey2`, `core::types::PCSTR`): the value is elsewhere. Its first part is
/// a word, with a short number at most.
pub(super) fn is_reference(text: &str) -> bool {
    let parted = text.replace("::", ".");
    let Some((first, rest)) = parted.split_once('.') else { return false };
    let identifier = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
    };
    let word = |part: &str| {
        let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let shortest = if letters.bytes().any(|c| c.is_ascii_digit()) { 3 } else { 1 };
        let is_plain = |word: &str| {
            word.bytes().all(|c| c.is_ascii_alphabetic())
                && word.len() >= shortest
                && (word.len() <= 3 || is_speakable(word))
        };
        part.len() - letters.len() <= 5
            && letters.split(|c: char| c.is_ascii_digit()).filter(|word| !word.is_empty()).all(is_plain)
    };
    identifier(first)
        && rest.split('.').all(|part| {
            identifier(part) && (part.len() <= 12 || is_name(part) || mostly_words(part) || ends_in_words(part))
        })
        && first.len() <= 32
        && first.split('_').filter(|part| !part.is_empty()).all(word)
}

/// Words of eight letters and more at the end, and capitals or digits before them: `MLKEM768X25519PrivateKey`.
fn ends_in_words(part: &str) -> bool {
    let tail = part.rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    tail.len() >= 8 && humps(tail).all(|word| word.len() >= 3 && is_speakable(word))
}

/// Half of the text and more, separators apart, are words of four letters and more: `sha256WithRsaEncryption`,
/// `Pkcs7PrivateKeyTypes`. One random text of sixteen characters in three hundred is taken for one.
pub(super) fn mostly_words(text: &str) -> bool {
    let solid = text.bytes().filter(u8::is_ascii_alphanumeric).count();
    let words: usize = text
        .split(|c: char| !c.is_ascii_alphabetic())
        .flat_map(humps)
        .filter(|part| part.len() >= 4 && is_speakable(part))
        .map(str::len)
        .sum();
    words * 2 >= solid
}

/// Which letters follow each letter in English words, `a` to `z`: the 269 commonest of 676 pairs.
static FOLLOWS: [&str; 26] = [
    "bcdgiklmnprstuvwxy",
    "aceijlorsuy",
    "acehiklmorstu",
    "adeilorsu",
    "abcdefgilmnopqrstvwxy",
    "aefilorstu",
    "aehilnorsu",
    "aeiort",
    "abcdefglmnoprstvxz",
    "",
    "eis",
    "adeilostuy",
    "abeimopsu",
    "acdefgiklnopstuv",
    "abcdfgiklmnoprstuvw",
    "aehiloprstuy",
    "u",
    "acdefgiklmnoprstuvy",
    "acehiklmopstuy",
    "acdefhilmoprstuy",
    "abcdefgilmnprst",
    "aeio",
    "aeior",
    "ceipt",
    "npst",
    "e",
];

/// Letters that are side by side in words; a long part may hold one pair that does not.
fn is_speakable(part: &str) -> bool {
    let odd = part
        .as_bytes()
        .windows(2)
        .filter(|pair| {
            let [a, b] = pair else { return false };
            let row = a.to_ascii_lowercase().checked_sub(b'a').and_then(|at| FOLLOWS.get(usize::from(at)));
            !row.is_some_and(|row| row.as_bytes().contains(&b.to_ascii_lowercase()))
        })
        .count();
    odd <= usize::from(part.len() >= 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_are_names() {
        for text in ["get_api_key", "user.token.value1", "MyServiceClient2", "request-token-v2", "/usr/lib/x86"] {
            assert!(is_name(text), "{text}");
        }
        assert!(!is_name("q7Rk2Lw9Zt4Vb8Nx"));
    }

    #[test]
    fn a_path_of_identifiers_is_a_reference() {
        for text in [
            "settings.aws.SecretKey2",
            "config.X25519Key",
            "my_module.KEM768Key",
            "windows_sys::core::PCSTR",
            "win32api.RegOpenKeyEx",
            "ed25519.Ed25519PrivateKey",
            "rust_openssl.hpke.MLKEM768X25519PrivateKey",
        ] {
            assert!(is_reference(text), "{text}");
        }
        for text in
            ["q7Rk2.Lw9Zt4.Vb8Nx", "eyJhbGci.eyJzdWIi.c2ln", "s.q7Rk2Lw9Zt4Vb8Nxq7Rk2Lw9", "settings.4f9a", "settings"]
        {
            assert!(!is_reference(text), "{text}");
        }
    }

    #[test]
    fn random_text_holds_few_words() {
        for text in ["sha256WithRsaEncryption", "Pkcs7PrivateKeyTypes", "oauth2RefreshTokenV3", "base64UrlEncoded2x"] {
            assert!(mostly_words(text), "{text}");
        }
        for text in ["q7Rk2Lw9Zt4Vb8Nx", "Bartizan9RBT4fD44tqE1DoSNahIYWAZ", "9f86d081884c7d659a2feaa0c55ad015"] {
            assert!(!mostly_words(text), "{text}");
        }
    }
}
