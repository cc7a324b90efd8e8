//! The witness that a caller is who they say: only this room can make one.

use std::sync::Arc;

use serde_json::Value;

use super::revocation::Marks;
use crate::host::Timestamp;
use crate::sorted;

/// The longest subject or tenant, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// A role of the policy, by its place in the list of role names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleIndex(pub u16);

/// An authenticated caller, or one that the policy lets in without a credential.
///
/// The identity is (issuer, tenant, subject): two issuers' `alice` are two callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    origin: Origin,
    tenant: Option<Arc<str>>,
    subject: Arc<str>,
    roles: Vec<RoleIndex>,
    expires: Timestamp,
    /// By what a token is revoked; `None` without a token.
    marks: Option<Marks>,
    /// Claims that quotas count by, and their values.
    counted: CountedClaims,
    /// Claims that conditions ask for, and their values.
    asked: AskedClaims,
    end_user: EndUser,
}

/// Whom a strike of a request is counted against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EndUser {
    /// Nobody: the caller is an application, and does not say for whom it acts.
    Unknown,
    /// The subject.
    Subject,
    /// Whom a claim names.
    Claimed(Arc<str>),
}

/// Claims that quotas count by, as JSON Pointers, and their values.
pub(super) type CountedClaims = Vec<(Arc<str>, Arc<str>)>;

/// Claims that conditions ask for, as JSON Pointers, and their values; `None`: one that no condition can read.
pub(super) type AskedClaims = Vec<(Arc<str>, Option<Value>)>;

/// Who vouches for a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// Nobody: `unsafeAnonymous`.
    Anonymous,
    /// The policy itself, by the hash of an API key that has this name.
    ApiKey { name: Arc<str> },
    /// The mesh's mTLS, by the peer's certificate.
    Workload,
    /// A token's issuer.
    Issuer { index: usize, name: Arc<str>, iss: Arc<str>, key_id: Option<Arc<str>> },
}

/// What an issuer's token says, after every check.
pub(super) struct Verified {
    pub(super) issuer: usize,
    pub(super) issuer_name: Arc<str>,
    pub(super) iss: Arc<str>,
    pub(super) key_id: Option<Arc<str>>,
    pub(super) tenant: Option<Arc<str>>,
    pub(super) subject: Arc<str>,
    pub(super) roles: Vec<RoleIndex>,
    pub(super) expires: Timestamp,
    pub(super) marks: Marks,
    pub(super) counted: CountedClaims,
    pub(super) asked: AskedClaims,
    pub(super) end_user: EndUser,
}

impl Principal {
    /// The caller that a verified token names.
    pub(super) fn from_token(token: Verified) -> Principal {
        let Verified {
            issuer,
            issuer_name,
            iss,
            key_id,
            tenant,
            subject,
            mut roles,
            expires,
            marks,
            counted,
            asked,
            end_user,
        } = token;
        sorted::once(&mut roles);
        let origin = Origin::Issuer { index: issuer, name: issuer_name, iss, key_id };
        Principal { origin, tenant, subject, roles, expires, marks: Some(marks), counted, asked, end_user }
    }

    /// The caller without a credential.
    pub(crate) fn anonymous(role: RoleIndex) -> Principal {
        Principal {
            origin: Origin::Anonymous,
            tenant: None,
            subject: Arc::from("anonymous"),
            roles: vec![role],
            expires: Timestamp(u64::MAX),
            marks: None,
            counted: Vec::new(),
            asked: Vec::new(),
            end_user: EndUser::Unknown,
        }
    }

    /// The holder of an API key of this name.
    pub(super) fn from_api_key(
        name: &str,
        subject: &str,
        tenant: Option<&str>,
        mut roles: Vec<RoleIndex>,
    ) -> Principal {
        sorted::once(&mut roles);
        Principal {
            origin: Origin::ApiKey { name: Arc::from(name) },
            tenant: tenant.map(Arc::from),
            subject: Arc::from(subject),
            roles,
            expires: Timestamp(u64::MAX),
            marks: None,
            counted: Vec::new(),
            asked: Vec::new(),
            end_user: EndUser::Unknown,
        }
    }

    /// The workload of this SPIFFE ID.
    pub(super) fn from_workload(id: &str, tenant: Option<&str>, roles: Vec<RoleIndex>) -> Principal {
        Principal { origin: Origin::Workload, ..Principal::from_api_key("", id, tenant, roles) }
    }

    /// A caller of the tests of other rooms.
    #[cfg(test)]
    pub(crate) fn for_tests(subject: &str, roles: Vec<RoleIndex>) -> Principal {
        Principal::from_api_key("tests", subject, None, roles)
    }

    /// The same as a user of the issuer `corp`.
    #[cfg(test)]
    pub(crate) fn user_for_tests(subject: &str) -> Principal {
        let origin = Origin::Issuer { index: 0, name: "corp".into(), iss: "https://idp.example".into(), key_id: None };
        Principal { origin, end_user: EndUser::Subject, ..Principal::for_tests(subject, Vec::new()) }
    }

    /// True for a caller without a credential.
    pub fn is_anonymous(&self) -> bool {
        self.origin == Origin::Anonymous
    }

    /// The issuer's place in `authn.issuers`; `None` without a token.
    pub fn issuer_index(&self) -> Option<usize> {
        match &self.origin {
            Origin::Anonymous | Origin::ApiKey { .. } | Origin::Workload => None,
            Origin::Issuer { index, .. } => Some(*index),
        }
    }

    /// The issuer's name in the policy; `apiKeys` for the holder of one, `mesh` for a workload, `anonymous` without a credential.
    pub fn issuer_name(&self) -> &str {
        match &self.origin {
            Origin::Anonymous => "anonymous",
            Origin::ApiKey { .. } => "apiKeys",
            Origin::Workload => "mesh",
            Origin::Issuer { name, .. } => name,
        }
    }

    /// The `kid` of the key that verified the token, or the API key's name.
    pub fn key_id(&self) -> Option<&str> {
        match &self.origin {
            Origin::Anonymous | Origin::Workload => None,
            Origin::ApiKey { name } => Some(name),
            Origin::Issuer { key_id, .. } => key_id.as_deref(),
        }
    }

    /// The tenant, 1 to 256 bytes.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The subject, 1 to 256 bytes; `anonymous` without a credential.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The roles that the issuer asserts, may assert, and the policy knows; sorted, each once.
    pub fn roles(&self) -> &[RoleIndex] {
        &self.roles
    }

    /// When the token or the API key expires, without clock skew.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The same caller, known for a shorter time.
    pub(super) fn until(mut self, end: Timestamp) -> Principal {
        self.expires = self.expires.min(end);
        self
    }

    /// By what the token is revoked.
    pub(super) fn marks(&self) -> Option<&Marks> {
        self.marks.as_ref()
    }

    /// The identity as bytes, for keyed hashes: no two callers share them, and they stay the same when
    /// the policy's issuers are reordered or renamed.
    pub fn identity(&self) -> Vec<u8> {
        let mut bytes = self.tenancy();
        push_part(&mut bytes, Some(&self.subject));
        bytes
    }

    /// The end user that the request is made for, 1 to 256 bytes; `None` where the caller is an application that names
    /// none, or nobody knows.
    pub fn end_user(&self) -> Option<&str> {
        match &self.end_user {
            EndUser::Unknown => None,
            EndUser::Subject => Some(&self.subject),
            EndUser::Claimed(name) => Some(name),
        }
    }

    /// The end user as bytes, for keyed hashes; the [`Principal::identity`] where the subject is the end user.
    pub fn end_user_identity(&self) -> Option<Vec<u8>> {
        match &self.end_user {
            EndUser::Unknown => None,
            EndUser::Subject => Some(self.identity()),
            EndUser::Claimed(name) => {
                let mut bytes = self.tenancy();
                // No mark that `push_part` writes.
                bytes.push(2);
                push_part(&mut bytes, Some(name));
                Some(bytes)
            }
        }
    }

    /// The (issuer, tenant) pair as bytes, for keyed hashes; never equal to any [`Principal::identity`].
    pub fn tenancy(&self) -> Vec<u8> {
        let mut bytes = self.issuance();
        push_part(&mut bytes, self.tenant.as_deref());
        bytes
    }

    /// The issuer as bytes, for keyed hashes; never equal to any [`Principal::tenancy`].
    pub fn issuance(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        match &self.origin {
            Origin::Anonymous => push_part(&mut bytes, None),
            // Marks that `push_part` does not write.
            Origin::ApiKey { .. } => bytes.push(2),
            Origin::Workload => bytes.push(3),
            Origin::Issuer { iss, .. } => push_part(&mut bytes, Some(iss)),
        }
        bytes
    }

    /// A claim that conditions ask for; `Some(None)`: it is there, and no condition can read it.
    pub fn claim(&self, pointer: &str) -> Option<Option<&Value>> {
        self.asked.iter().find(|(text, _)| **text == *pointer).map(|(_, value)| value.as_ref())
    }

    /// The value of a claim that quotas count by, or that names a tenant of a store.
    pub fn claim_counted(&self, pointer: &str) -> Option<&str> {
        self.counted.iter().find(|(text, _)| **text == *pointer).map(|(_, value)| &**value)
    }

    /// The issuer and the value of a claim that quotas count by, as bytes, for keyed hashes. Callers without the
    /// claim are all the same.
    pub fn counted(&self, pointer: &str) -> Vec<u8> {
        let mut bytes = self.issuance();
        push_part(&mut bytes, self.claim_counted(pointer));
        bytes
    }
}

/// Appends one part so that the whole stays a prefix code: a mark of presence, the length, the bytes.
fn push_part(bytes: &mut Vec<u8>, part: Option<&str>) {
    match part {
        None => bytes.push(0),
        Some(text) => {
            bytes.push(1);
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(iss: &str, tenant: Option<&str>, subject: &str) -> Principal {
        Principal::from_token(Verified {
            issuer: 0,
            issuer_name: Arc::from("name"),
            iss: Arc::from(iss),
            key_id: None,
            tenant: tenant.map(Arc::from),
            subject: Arc::from(subject),
            roles: vec![RoleIndex(2), RoleIndex(0), RoleIndex(2)],
            expires: Timestamp::default(),
            marks: Marks::default(),
            counted: Vec::new(),
            asked: Vec::new(),
            end_user: EndUser::Subject,
        })
    }

    #[test]
    fn an_end_user_is_told_apart_from_every_subject() {
        let named =
            |name: &str| Principal { end_user: EndUser::Claimed(Arc::from(name)), ..principal("a", None, "service") };
        assert_eq!(named("b").end_user(), Some("b"));
        assert_ne!(named("b").end_user_identity(), principal("a", None, "b").end_user_identity());
        assert_ne!(named("b").end_user_identity(), named("c").end_user_identity());
        assert_eq!(principal("a", None, "b").end_user_identity(), Some(principal("a", None, "b").identity()));
        assert_eq!(Principal::from_api_key("a", "b", None, Vec::new()).end_user_identity(), None);
        assert_eq!(Principal::anonymous(RoleIndex(0)).end_user_identity(), None);
    }

    #[test]
    fn identities_are_told_apart() {
        let all = [
            principal("a", None, "b"),
            principal("a", Some("b"), "b"),
            principal("a", Some("bb"), "b"),
            principal("a", Some("b"), "bb"),
            principal("ab", None, "b"),
            principal("a\0", Some("b"), "b"),
            Principal::anonymous(RoleIndex(0)),
            Principal::from_api_key("a", "b", None, Vec::new()),
            Principal::from_api_key("a", "b", Some("b"), Vec::new()),
            Principal::from_workload("b", None, Vec::new()),
            Principal::from_workload("b", Some("b"), Vec::new()),
            principal("anonymous", None, "anonymous"),
        ];
        let identities: std::collections::BTreeSet<_> = all.iter().map(Principal::identity).collect();
        assert_eq!(identities.len(), all.len());
        assert!(all.iter().all(|one| !identities.contains(&one.tenancy())));
    }

    #[test]
    fn roles_are_sorted_and_unique() {
        assert_eq!(principal("a", None, "b").roles(), [RoleIndex(0), RoleIndex(2)]);
    }
}
