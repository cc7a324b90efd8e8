//! The one claims check behind both ways to verify a signature (RFC 7519 section 4.1).
//!
//! `iss` and `aud` pick the issuer and are checked by the caller; everything else is checked here.

use std::sync::Arc;

use serde_json::Value;

use super::Issuer;
use super::json::Object;
use super::principal::{AskedClaims, CountedClaims, EndUser, MAX_NAME_BYTES, Principal, RoleIndex, Verified};
use super::revocation::Marks;
use crate::glob::Glob;
use crate::host::Timestamp;
use crate::reason::{Denial, Hint, Reason};

/// The most bytes of claims that conditions ask for, of one token.
const MAX_ASKED_BYTES: usize = 4096;

/// The most roles that one token may list.
const MAX_ROLES: usize = 1024;

/// By how much the clocks of issuer and proxy may differ where that only decides between 401 and 503, nanoseconds.
const CLOCKS: u64 = 5_000_000_000;

/// What an issuer's tokens must hold, where, and what of it counts.
#[derive(Debug)]
pub(super) struct ClaimRules {
    /// Claims that name the audience where `aud` is absent.
    pub(super) audience: Vec<Pointer>,
    /// What a token is for (Cognito). Looked at with `audience` only.
    pub(super) token_use: Option<Pointer>,
    pub(super) subject: Pointer,
    pub(super) roles: Pointer,
    pub(super) tenant: Option<Pointer>,
    /// Nanoseconds.
    pub(super) skew: u64,
    /// The longest time between `iat` and `exp`, nanoseconds; `None`: any.
    pub(super) max_lifetime: Option<u64>,
    /// The roles that the issuer may assert, sorted by name.
    pub(super) grantable: Vec<(Box<str>, RoleIndex)>,
    /// The tenants that the issuer may assert; `None`: every one.
    pub(super) tenants: Option<Vec<Glob>>,
    pub(super) required: Vec<RequiredClaim>,
    /// Claims that quotas count by, with their text.
    pub(super) counted: Vec<(Arc<str>, Pointer)>,
    /// Claims that conditions ask for, with their text.
    pub(super) asked: Vec<(Arc<str>, Pointer)>,
    /// How the end user is found; `None`: nobody asks.
    pub(super) end_user: Option<EndUserRule>,
}

/// A claim that must be there.
#[derive(Debug)]
pub(super) struct RequiredClaim {
    pub(super) pointer: Pointer,
    /// `None`: any value but null.
    pub(super) one_of: Option<Vec<Value>>,
}

/// How the end user of a token is found.
#[derive(Clone, Debug)]
pub(super) struct EndUserRule {
    /// Where the token names them.
    claim: Option<Pointer>,
    /// The claims by which [`is_application`] judges.
    kinds: Vec<Pointer>,
}

impl EndUserRule {
    /// By the claim at this pointer, and where it is not there by the subject.
    pub(super) fn new(claim: Option<&str>) -> EndUserRule {
        const KINDS: [&str; 9] =
            ["/sub", "/client_id", "/cid", "/azp", "/oid", "/gty", "/idtyp", "/preferred_username", "/email"];
        EndUserRule {
            claim: claim.and_then(Pointer::parse),
            kinds: KINDS.into_iter().filter_map(Pointer::parse).collect(),
        }
    }
}

/// True for a token that an application got for itself: as RFC 9068 section 2.2 has it (Okta, Cognito, Zitadel), and as
/// Auth0, Microsoft Entra, Keycloak, Google, Kubernetes and SPIFFE mark them.
fn is_application(claims: &Object) -> bool {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let subject = text("sub");
    let is_client = |name| subject.is_some() && text(name) == subject;
    is_client("client_id")
        || is_client("cid")
        || is_client("azp")
        || is_client("oid")
        || matches!(text("gty"), Some("client-credentials" | "client_credentials"))
        || text("idtyp") == Some("app")
        || text("preferred_username").is_some_and(|name| name.starts_with("service-account-"))
        || text("email").is_some_and(|address| address.ends_with(".gserviceaccount.com"))
        || subject.is_some_and(|subject| {
            subject.ends_with("@clients")
                || subject.starts_with("system:serviceaccount:")
                || subject.starts_with("spiffe://")
        })
}

/// A JSON Pointer (RFC 6901) into the claims, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer(Vec<Box<str>>);

impl Pointer {
    /// Reads a pointer; `None` unless it starts with `/` and escapes well.
    pub(super) fn parse(text: &str) -> Option<Pointer> {
        let parts = text.strip_prefix('/')?.split('/').map(|part| {
            let bare = part.replace("~0", "").replace("~1", "");
            (!bare.contains('~')).then(|| part.replace("~1", "/").replace("~0", "~").into_boxed_str())
        });
        parts.collect::<Option<Vec<_>>>().map(Pointer)
    }

    /// To a claim at the top.
    pub(super) fn of_name(name: &str) -> Pointer {
        Pointer(vec![name.into()])
    }

    /// Its parts, unescaped.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|part| &**part)
    }

    /// The value at the pointer's place; null counts as absent.
    fn find<'c>(&self, claims: &'c Object) -> Option<&'c Value> {
        let (first, rest) = self.0.split_first()?;
        let mut value = claims.get(&**first)?;
        for part in rest {
            value = match value {
                Value::Object(map) => map.get(&**part)?,
                Value::Array(list) => list.get(array_index(part)?)?,
                _ => return None,
            };
        }
        (!value.is_null()).then_some(value)
    }
}

/// RFC 6901 section 4: digits without leading zeros.
fn array_index(part: &str) -> Option<usize> {
    let canonical = part == "0" || (!part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { part.parse().ok() } else { None }
}

impl ClaimRules {
    /// The pointers of all claims that are read.
    pub(super) fn pointers(&self) -> impl Iterator<Item = &Pointer> {
        let required = self.required.iter().map(|required| &required.pointer);
        let counted = self.counted.iter().chain(&self.asked).map(|(_, pointer)| pointer);
        let end_user = self.end_user.iter().flat_map(|rule| rule.claim.iter().chain(&rule.kinds));
        let audience = self.audience.iter().chain(&self.token_use);
        let names = [&self.subject, &self.roles].into_iter().chain(&self.tenant).chain(audience);
        names.chain(required).chain(counted).chain(end_user)
    }

    /// The audience of a token without `aud`.
    pub(super) fn audience<'c>(&self, claims: &'c Object) -> Option<&'c Value> {
        self.audience.iter().find_map(|pointer| pointer.find(claims))
    }

    /// False for a token that says that it is no access token, where the issuer's tokens say such a thing.
    pub(super) fn is_for_access(&self, claims: &Object) -> bool {
        let says = self.token_use.as_ref().and_then(|pointer| pointer.find(claims));
        says.is_none_or(|says| says.as_str() == Some("access"))
    }

    /// True if the token may be signed by a key that was published after the keys were fetched; clocks may differ by
    /// [`CLOCKS`].
    pub(super) fn may_be_newer(&self, claims: &Object, fetched: Timestamp) -> bool {
        match numeric_date(claims, "iat") {
            Ok(Some(issued)) => issued.0.saturating_add(CLOCKS) >= fetched.0,
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Checks the claims of a token whose signature, issuer and audience are right.
    ///
    /// # Errors
    /// [`Reason::JwtExpired`], [`Reason::JwtNotYetValid`] or [`Reason::JwtClaims`].
    pub(super) fn check(
        &self,
        index: usize,
        issuer: &Issuer,
        key_id: Option<&Arc<str>>,
        claims: &Object,
        now: Timestamp,
    ) -> Result<Principal, Denial> {
        let expires = numeric_date(claims, "exp")?.ok_or(Reason::JwtClaims)?;
        let not_before = numeric_date(claims, "nbf")?;
        let issued = numeric_date(claims, "iat")?;
        if now.0 >= expires.0.saturating_add(self.skew) {
            return Err(Reason::JwtExpired.into());
        }
        let latest_start = now.0.saturating_add(self.skew);
        if [not_before, issued].into_iter().flatten().any(|start| start.0 > latest_start) {
            return Err(Reason::JwtNotYetValid.into());
        }
        if let Some(most) = self.max_lifetime {
            // Without `iat` nobody can tell how long the token has been good already.
            let issued = issued.ok_or(Reason::JwtClaims)?;
            if expires.0.saturating_sub(issued.0) > most {
                return Err(Reason::JwtClaims.into());
            }
        }
        if !self.required.iter().all(|required| required.is_met(claims)) {
            return Err(Reason::JwtClaims.into());
        }
        let subject = name(self.subject.find(claims))?.ok_or(Reason::JwtClaims)?;
        let marks = match &issuer.revocation {
            Some(_) => Marks::new(claims.get("jti"), &subject, issued)?,
            None => Marks::default(),
        };
        let tenant = self.tenant(claims)?;
        let roles = self.roles(claims, tenant.as_deref())?;
        Ok(Principal::from_token(Verified {
            issuer: index,
            issuer_name: Arc::clone(&issuer.name),
            iss: Arc::clone(&issuer.iss),
            key_id: key_id.map(Arc::clone),
            tenant,
            subject,
            roles,
            expires,
            marks,
            counted: self.counted(claims)?,
            asked: self.asked(claims),
            end_user: self.end_user(claims)?,
        }))
    }

    /// The tenant, where the policy has one. A token may lack it; one that the issuer may not assert
    /// refuses the token, because dropping it would put the caller into another bucket.
    fn tenant(&self, claims: &Object) -> Result<Option<Arc<str>>, Reason> {
        let Some(pointer) = &self.tenant else { return Ok(None) };
        let Some(tenant) = name(pointer.find(claims))? else { return Ok(None) };
        let granted = self.tenants.as_ref().is_none_or(|globs| globs.iter().any(|glob| glob.matches(&tenant)));
        if granted { Ok(Some(tenant)) } else { Err(Reason::JwtClaims) }
    }

    /// The values of the claims that quotas count by. One that can't be a name refuses the token: without it the
    /// caller would be in another bucket.
    fn counted(&self, claims: &Object) -> Result<CountedClaims, Reason> {
        let mut found = Vec::new();
        for (text, pointer) in &self.counted {
            let value = value_name(pointer.find(claims))?;
            found.extend(value.map(|value| (Arc::clone(text), value)));
        }
        Ok(found)
    }

    /// The values of the claims that conditions ask for. One that is too long, or no scalar and no list of them, is kept
    /// as one that is there: a condition that needs it goes wrong, and `has` is true.
    fn asked(&self, claims: &Object) -> AskedClaims {
        let (mut found, mut left) = (Vec::new(), MAX_ASKED_BYTES);
        for (text, pointer) in &self.asked {
            let Some(value) = pointer.find(claims) else { continue };
            let kept = asked_bytes(value).filter(|bytes| *bytes <= left);
            left = left.saturating_sub(kept.unwrap_or(0));
            found.push((Arc::clone(text), kept.map(|_| value.clone())));
        }
        found
    }

    /// Whom a strike is counted against.
    fn end_user(&self, claims: &Object) -> Result<EndUser, Reason> {
        let Some(rule) = &self.end_user else { return Ok(EndUser::Unknown) };
        let named = match &rule.claim {
            Some(pointer) => value_name(pointer.find(claims))?,
            None => None,
        };
        Ok(match named {
            Some(name) => EndUser::Claimed(name),
            None if is_application(claims) => EndUser::Unknown,
            None => EndUser::Subject,
        })
    }

    /// True if the claim that roles are in was left out because it would be too long (Microsoft Entra).
    fn is_overage(&self, claims: &Object) -> bool {
        let first = self.roles.parts().next();
        let elsewhere = claims.get("_claim_names").and_then(Value::as_object);
        let is_named = elsewhere.is_some_and(|names| first.is_some_and(|first| names.contains_key(first)));
        is_named || (first == Some("groups") && claims.get("hasgroups").is_some_and(|has| *has != Value::Bool(false)))
    }

    /// The roles that the token lists, the policy knows and the issuer may assert. Others are dropped:
    /// identity providers put roles of many applications into one token.
    ///
    /// An object has a role as each key and, below it, the organisations for which it was given (Zitadel): where the policy
    /// has tenants a role counts for the token's own tenant only.
    fn roles(&self, claims: &Object, tenant: Option<&str>) -> Result<Vec<RoleIndex>, Denial> {
        let listed: Vec<&str> = match self.roles.find(claims) {
            None if self.is_overage(claims) => {
                return Err(Denial::new(Reason::JwtClaims).with_hint(Hint::GroupsOverage));
            }
            None => Vec::new(),
            Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
            Some(Value::Array(list)) => {
                list.iter().map(Value::as_str).collect::<Option<_>>().ok_or(Reason::JwtClaims)?
            }
            Some(Value::Object(given)) => {
                let mut roles = Vec::new();
                for (role, organisations) in given {
                    let Value::Object(organisations) = organisations else { return Err(Reason::JwtClaims.into()) };
                    let counts = match (&self.tenant, tenant) {
                        (None, _) => !organisations.is_empty(),
                        (Some(_), None) => false,
                        (Some(_), Some(tenant)) => {
                            organisations.iter().any(|(id, name)| id == tenant || name.as_str() == Some(tenant))
                        }
                    };
                    roles.extend(counts.then_some(role.as_str()));
                }
                roles
            }
            Some(_) => return Err(Reason::JwtClaims.into()),
        };
        if listed.len() > MAX_ROLES {
            return Err(Reason::JwtClaims.into());
        }
        let find = |role: &&str| {
            let place = self.grantable.binary_search_by(|(name, _)| (**name).cmp(role)).ok()?;
            self.grantable.get(place).map(|(_, index)| *index)
        };
        Ok(listed.iter().filter_map(find).collect())
    }
}

impl RequiredClaim {
    fn is_met(&self, claims: &Object) -> bool {
        let Some(value) = self.pointer.find(claims) else { return false };
        self.one_of.as_ref().is_none_or(|accepted| accepted.contains(value))
    }
}

/// A name that goes into an identity: absent, or 1 to 256 bytes.
fn name(value: Option<&Value>) -> Result<Option<Arc<str>>, Reason> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_NAME_BYTES => Ok(Some(Arc::from(&**text))),
        Some(_) => Err(Reason::JwtClaims),
    }
}

/// What it takes to keep a claim; `None`: it is no scalar and no list of them.
fn asked_bytes(value: &Value) -> Option<usize> {
    let scalar = |value: &Value| match value {
        Value::String(text) => Some(text.len().saturating_add(16)),
        Value::Number(_) | Value::Bool(_) => Some(16),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match value {
        Value::Array(items) => items.iter().try_fold(16_usize, |sum, item| Some(sum.saturating_add(scalar(item)?))),
        value => scalar(value),
    }
}

/// The same of a text, a number or a boolean.
fn value_name(value: Option<&Value>) -> Result<Option<Arc<str>>, Reason> {
    match value {
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(Arc::from(value.to_string()))),
        other => name(other),
    }
}

/// The last second that a [`Timestamp`] can hold, in the year 2554.
const MAX_SECS: u64 = u64::MAX / 1_000_000_000;

/// A NumericDate (RFC 7519 section 2): a number, whole or not. Before 1970 counts as 1970; after 2554
/// the claim is refused, so that no sum with it can overflow into the past.
fn numeric_date(claims: &Object, claim: &str) -> Result<Option<Timestamp>, Reason> {
    let number = match claims.get(claim) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(Reason::JwtClaims),
    };
    let date = match (number.as_u64(), number.as_f64()) {
        (Some(secs), _) if secs < MAX_SECS => Timestamp::from_secs(secs),
        (None, Some(secs)) if secs <= 0.0 => Timestamp::default(),
        (None, Some(secs)) if secs < MAX_SECS as f64 => {
            // In two steps, because a double does not hold nanoseconds of this century.
            let (whole, part) = (secs.trunc() as u64, secs.fract());
            Timestamp(Timestamp::from_secs(whole).0.saturating_add((part * 1e9) as u64))
        }
        _ => return Err(Reason::JwtClaims),
    };
    Ok(Some(date))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::json;

    #[test]
    fn pointers_find_their_place() {
        let claims = json::object(br#"{"a":{"b/c":[{"d~e":1}]},"https://x.y/roles":2,"":{"":3},"n":null}"#).unwrap();
        for (pointer, expected) in [
            ("/a/b~1c/0/d~0e", Some(1)),
            ("/https:~1~1x.y~1roles", Some(2)),
            ("//", Some(3)),
            ("/n", None),
            ("/a/b~1c/00/d~0e", None),
            ("/a/b~1c/1/d~0e", None),
            ("/a/b~1c/+0/d~0e", None),
            ("/x", None),
        ] {
            let found = Pointer::parse(pointer).unwrap().find(&claims).and_then(Value::as_u64);
            assert_eq!(found, expected, "{pointer}");
        }
        for bad in ["", "a", "a/b", "/~", "/~2", "/a~"] {
            assert_eq!(Pointer::parse(bad), None, "{bad}");
        }
        assert_eq!(Pointer::parse("/~01"), Some(Pointer(vec!["~1".into()])));
    }

    #[test]
    fn dates_are_bounded_numbers() {
        for (text, expected) in [
            ("1", Ok(Some(Timestamp::from_secs(1)))),
            ("1.5", Ok(Some(Timestamp(1_500_000_000)))),
            ("1e3", Ok(Some(Timestamp::from_secs(1000)))),
            ("-1", Ok(Some(Timestamp(0)))),
            ("-1e300", Ok(Some(Timestamp(0)))),
            ("18446744072", Ok(Some(Timestamp::from_secs(18_446_744_072)))),
            ("18446744073", Err(Reason::JwtClaims)),
            ("18446744073709551615", Err(Reason::JwtClaims)),
            ("1e300", Err(Reason::JwtClaims)),
            ("\"1\"", Err(Reason::JwtClaims)),
            ("null", Err(Reason::JwtClaims)),
            ("true", Err(Reason::JwtClaims)),
            ("[1]", Err(Reason::JwtClaims)),
        ] {
            let claims = json::object(format!(r#"{{"exp":{text}}}"#).as_bytes()).unwrap();
            assert_eq!(numeric_date(&claims, "exp"), expected, "{text}");
        }
        assert_eq!(numeric_date(&Object::new(), "exp"), Ok(None));
    }
}
