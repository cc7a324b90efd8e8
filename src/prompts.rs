//! Versions of system prompts, pinned by their hash.
//!
//! The bytes that are hashed are those of one system part as UTF-8, after JSON is decoded: nothing is trimmed, joined or
//! normalised. A file that is hashed from the command line is the same text without its last line end.
//!
//! ```
//! use bartizan::prompts::pin;
//!
//! let known = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
//! assert_eq!(pin("hello"), known);
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::document::{Errors, KeyPath};
use crate::hex::hex;
use crate::sorted::SortedMap;

/// More versions than this are an error.
const MOST: usize = 1000;
const PREFIX: &str = "sha256:";

/// The `prompts` section: names by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptVersions(BTreeMap<[u8; 32], Arc<str>>);

impl PromptVersions {
    /// Compiles `prompts`, which is at `at`.
    pub(crate) fn compile(
        written: Option<&SortedMap<String, String>>,
        at: &KeyPath,
        errors: &mut Errors,
    ) -> PromptVersions {
        let mut versions: BTreeMap<[u8; 32], Arc<str>> = BTreeMap::new();
        for (name, pin) in written.into_iter().flatten() {
            let at = at.key(name);
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte);
            if name.is_empty() || name.len() > 128 || !name.bytes().all(is_plain) {
                errors.push(&at, "not a version's name, expected 1 to 128 of a-z, A-Z, 0-9 and ._:/@-");
            }
            let Some(digest) = digest_in(pin) else {
                errors.push(&at, "expected sha256: and 64 hex digits, as `bartizan prompts hash` prints them");
                continue;
            };
            if let Some(other) = versions.get(&digest) {
                errors.push(&at, format!("the same text as {other}"));
            }
            versions.insert(digest, name.as_str().into());
        }
        if versions.len() > MOST {
            errors.push(at, format!("{} versions, expected at most {MOST}", versions.len()));
        }
        PromptVersions(versions)
    }

    /// True where the policy has no versions.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|name| &**name)
    }

    /// The version that a text is.
    pub fn version(&self, text: &str) -> Option<&Arc<str>> {
        self.0.get(&<[u8; 32]>::from(Sha256::digest(text)))
    }
}

/// A text's pin, as a policy has it.
pub fn pin(text: &str) -> String {
    format!("{PREFIX}{}", hex(&Sha256::digest(text)))
}

fn digest_in(pin: &str) -> Option<[u8; 32]> {
    let digits = pin.strip_prefix(PREFIX).filter(|digits| digits.len() == 64)?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_back() {
        for text in ["", "hello", "Grüße\n", " hello"] {
            let written = SortedMap::of(vec![("v1".to_owned(), pin(text))]);
            let mut errors = Errors::default();
            let versions = PromptVersions::compile(Some(&written), &KeyPath::root(), &mut errors);
            assert!(errors.into_vec().is_empty());
            assert_eq!(versions.version(text).map(|name| &**name), Some("v1"), "{text:?}");
            assert_eq!(versions.version(&format!("{text} ")), None);
        }
        for wrong in
            ["", "sha256:", "sha256:00", &format!("sha512:{}", "0".repeat(64)), &format!("sha256:{}+0", "0".repeat(62))]
        {
            assert_eq!(digest_in(wrong), None, "{wrong}");
        }
    }
}
