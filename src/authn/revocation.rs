//! What an issuer has revoked: the published list's form, and whether a token is on it.
//!
//! ```json
//! {"jti": ["7f1c..."], "sub": ["mallory"], "issuedBefore": {"alice": 1800000000}, "hash": ["0f3b..."]}
//! ```
//!
//! Kept as hashes, sorted, each with a time: a token is revoked when its id or its subject is there and it
//! was issued before that time, which for `jti` and `sub` is the end of time. A token without `iat` of a subject
//! under `issuedBefore` is revoked, because nobody can tell when it was issued. `hash` names callers as records do
//! (`user.hash`): whoever reads records can have one refused without knowing who it is.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::json;
use super::remote::Remote;
use crate::host::Timestamp;
use crate::reason::Reason;
use crate::sorted;

/// The longest list that is taken, in bytes.
pub const MAX_LIST_BYTES: usize = 1 << 20;

/// The most entries of a list.
pub const MAX_REVOKED: usize = 32_768;

/// The longest `jti` or subject that is looked at, in bytes: longer than any token.
const MAX_ID_BYTES: usize = super::MAX_TOKEN_BYTES;

/// Where an issuer's list is, and what becomes of tokens without it.
#[derive(Debug)]
pub(super) struct Revocation {
    pub(super) remote: Remote,
    /// Tokens are let in when the list is unreachable.
    pub(super) lets_in: bool,
}

/// A name's hash. 128 bits of SHA-256: nobody finds a second name for one of them.
type Hashed = [u8; 16];

/// By what a token is revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    id: Option<Hashed>,
    subject: Hashed,
    issued: Option<Timestamp>,
}

impl Marks {
    /// # Errors
    /// [`Reason::JwtClaims`] when `jti` is no text (RFC 7519 section 4.1.7).
    pub(super) fn new(id: Option<&Value>, subject: &str, issued: Option<Timestamp>) -> Result<Marks, Reason> {
        let id = match id {
            None => None,
            Some(Value::String(id)) => Some(hashed(ListedBy::Id, id)),
            Some(_) => return Err(Reason::JwtClaims),
        };
        Ok(Marks { id, subject: hashed(ListedBy::Subject, subject), issued })
    }
}

#[derive(Clone, Copy)]
enum ListedBy {
    Id,
    Subject,
}

/// The hash of a caller as records have it: 32 hex digits in lower case. It is keyed already: no name's hash is equal to it.
fn caller_hash(text: &str) -> Option<Hashed> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Vec<u8> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<_>>()?;
    bytes.try_into().ok().filter(|_| rest.is_empty())
}

fn hashed(kind: ListedBy, name: &str) -> Hashed {
    let kind = match kind {
        ListedBy::Id => b"j",
        ListedBy::Subject => b"s",
    };
    let digest: [u8; 32] = Sha256::new().chain_update(kind).chain_update(name).finalize().into();
    let [half, _] = *digest.as_chunks::<16>().0 else { return Hashed::default() };
    half
}

/// What an issuer has revoked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RevocationList {
    /// Sorted, each name once, with the second before which its tokens were issued.
    entries: Vec<(Hashed, u64)>,
}

impl RevocationList {
    const ENTRY: usize = 24;

    /// Reads a published list; `None` when it is none: over a limit, with a key that is not known or none that is,
    /// or with an entry that is no name.
    pub(super) fn parse(body: &[u8]) -> Option<RevocationList> {
        if body.len() > MAX_LIST_BYTES {
            return None;
        }
        let object = json::object(body)?;
        if object.is_empty() {
            return None;
        }
        let is_name = |name: &str| !name.is_empty() && name.len() <= MAX_ID_BYTES;
        let mut entries = Vec::new();
        for (key, value) in &object {
            match (key.as_str(), value) {
                ("jti" | "sub", Value::Array(names)) => {
                    let kind = if key == "jti" { ListedBy::Id } else { ListedBy::Subject };
                    for name in names {
                        let name = name.as_str().filter(|name| is_name(name))?;
                        entries.push((hashed(kind, name), u64::MAX));
                    }
                }
                ("hash", Value::Array(hashes)) => {
                    for hash in hashes {
                        entries.push((caller_hash(hash.as_str()?)?, u64::MAX));
                    }
                }
                ("issuedBefore", Value::Object(times)) => {
                    for (name, time) in times {
                        let time = time.as_u64().filter(|_| is_name(name))?;
                        entries.push((hashed(ListedBy::Subject, name), time));
                    }
                }
                _ => return None,
            }
        }
        if entries.len() > MAX_REVOKED {
            return None;
        }
        // Of a name that is there twice the later time counts.
        sorted::by(&mut entries, |(a, early), (b, late)| a.cmp(b).then(late.cmp(early)));
        entries.dedup_by_key(|(name, _)| *name);
        Some(RevocationList { entries })
    }

    /// The list in the form that the workers share.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * Self::ENTRY);
        for (name, before) in &self.entries {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(&before.to_be_bytes());
        }
        bytes
    }

    /// The reverse of [`RevocationList::to_bytes`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<RevocationList> {
        let (whole, rest) = bytes.as_chunks::<{ Self::ENTRY }>();
        if !rest.is_empty() {
            return None;
        }
        let entry = |bytes: &[u8; Self::ENTRY]| {
            let (name, before) = bytes.split_first_chunk::<16>()?;
            Some((*name, u64::from_be_bytes(before.try_into().ok()?)))
        };
        let entries: Vec<_> = whole.iter().map(entry).collect::<Option<_>>()?;
        entries.is_sorted_by(|(a, _), (b, _)| a < b).then_some(RevocationList { entries })
    }

    /// True if the token is revoked, or all of this caller's are.
    pub(super) fn holds(&self, marks: &Marks, caller: Option<&Hashed>) -> bool {
        let before = |name: &Hashed| {
            let place = self.entries.binary_search_by(|(own, _)| own.cmp(name)).ok()?;
            self.entries.get(place).map(|(_, before)| *before)
        };
        [marks.id.as_ref(), Some(&marks.subject), caller].into_iter().flatten().filter_map(before).any(|before| {
            // The last second of all is for ever, whatever a token says of its time.
            before == u64::MAX || marks.issued.is_none_or(|issued| issued < Timestamp::from_secs(before))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Option<RevocationList> {
        let list = RevocationList::parse(text.as_bytes())?;
        assert_eq!(RevocationList::from_bytes(&list.to_bytes()).as_ref(), Some(&list));
        Some(list)
    }

    #[test]
    fn tokens_are_found_by_id_by_subject_and_by_time() {
        let list = list(r#"{"jti":["a","b"],"sub":["eve","bob"],"issuedBefore":{"bob":5,"amy":100,"b":7}}"#).unwrap();
        for (id, subject, issued, revoked) in [
            (Some("a"), "amy", Some(200), true),
            (Some("c"), "amy", Some(200), false),
            (None, "amy", Some(100), false),
            (None, "amy", Some(99), true),
            (None, "amy", None, true),
            (None, "eve", Some(u64::MAX), true),
            (None, "bob", Some(6), true),
            // An id is no subject, and a subject no id.
            (Some("eve"), "a", Some(0), false),
            (Some("amy"), "b", Some(7), false),
        ] {
            let marks = Marks::new(id.map(Value::from).as_ref(), subject, issued.map(Timestamp::from_secs)).unwrap();
            assert_eq!(list.holds(&marks, None), revoked, "{id:?} {subject} {issued:?}");
        }
        assert_eq!(Marks::new(Some(&Value::from(1)), "x", None), Err(Reason::JwtClaims));
    }

    #[test]
    fn a_caller_is_found_by_the_hash_of_its_records() {
        let list = list(r#"{"hash":["00ff00ff00ff00ff00ff00ff00ff00ff"],"sub":["bob"]}"#).unwrap();
        let marks = Marks::new(None, "amy", None).unwrap();
        let (listed, other) = ([0, 255].repeat(8).try_into().unwrap(), [0; 16]);
        assert!(list.holds(&marks, Some(&listed)));
        assert!(!list.holds(&marks, Some(&other)) && !list.holds(&marks, None));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(list(r#"{"jti":[]}"#).is_some());
        for wrong in [
            "",
            "[]",
            "{}",
            "null",
            r#"{"jtis":["a"]}"#,
            r#"{"jti":["a"],"subs":["a"]}"#,
            r#"{"jti":"a"}"#,
            r#"{"jti":[1]}"#,
            r#"{"jti":[""]}"#,
            r#"{"sub":{"a":1}}"#,
            r#"{"issuedBefore":["a"]}"#,
            r#"{"issuedBefore":{"a":"1"}}"#,
            r#"{"issuedBefore":{"a":-1}}"#,
            r#"{"issuedBefore":{"a":1.5}}"#,
            r#"{"jti":["a"],"jti":[]}"#,
            r#"{"hash":["00FF00ff00ff00ff00ff00ff00ff00ff"]}"#,
            r#"{"hash":["00ff00ff00ff00ff00ff00ff00ff00f"]}"#,
            r#"{"hash":["00ff00ff00ff00ff00ff00ff00ff00ff0"]}"#,
            r#"{"hash":["00ff00ff00ff00ff00ff00ff00ff00ff00"]}"#,
            r#"{"hash":[1]}"#,
            r#"{"hash":{}}"#,
        ] {
            assert!(list(wrong).is_none(), "{wrong}");
        }
        let many = |count: usize| serde_json::json!({"jti": (0..count).map(|n| n.to_string()).collect::<Vec<_>>()});
        assert!(list(&many(MAX_REVOKED).to_string()).is_some());
        assert!(list(&many(MAX_REVOKED + 1).to_string()).is_none());
        assert!(list(&format!("{}{}", " ".repeat(MAX_LIST_BYTES), r#"{"jti":[]}"#)).is_none());
    }

    #[test]
    fn what_the_store_holds_must_be_sorted() {
        let mut bytes = list(r#"{"jti":["a","b"]}"#).unwrap().to_bytes();
        assert!(RevocationList::from_bytes(&bytes[1..]).is_none());
        bytes.rotate_left(RevocationList::ENTRY);
        assert!(RevocationList::from_bytes(&bytes).is_none());
        assert!(RevocationList::from_bytes(b"").is_some());
    }
}
