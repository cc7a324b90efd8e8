//! Whose data of a store a request may reach: what the formats of stores compare and add.

use std::borrow::Cow;

use super::Json;
use super::paths::named_at;
use crate::enums::{ConfinedBy, Operation};
use crate::reason::{Denial, Reason};

/// What the target of a request to a store comes to, once it is confined to one tenant.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Confined<'t> {
    /// The target that goes on, where the tenant was added.
    pub target: Option<String>,
    /// An id that tells nothing of its tenant: it must be known to be this one's.
    pub kept: Option<&'t str>,
}

/// One tenant's part of a store.
///
/// ```
/// use bartizan::enums::ConfinedBy;
/// use bartizan::protocol::Scope;
///
/// let scope = Scope { by: ConfinedBy::Namespace, field: "", value: "acme" };
/// assert!(scope.check("acme").is_ok() && scope.check("other").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'s> {
    /// Where a request names the tenant.
    pub by: ConfinedBy,
    /// The field's name, with [`ConfinedBy::Field`]; else empty.
    pub field: &'s str,
    /// What the caller's tenant is called there.
    pub value: &'s str,
}

impl Scope<'_> {
    /// Compares what a request names.
    ///
    /// # Errors
    /// [`Reason::RbacTenant`] for another tenant.
    pub fn check(&self, named: &str) -> Result<(), Denial> {
        if named == self.value { Ok(()) } else { Err(Reason::RbacTenant.into()) }
    }

    /// A member of an object that must name the tenant: it is added where it is missing or empty. True: it was.
    ///
    /// # Errors
    /// [`Reason::RbacTenant`] for another tenant, or for what is no text; [`Reason::BodyShape`] for a key that a lenient server
    /// would take for this one, and for what is no object.
    pub(super) fn member(&self, holder: &mut Json<'_>, name: &'static str) -> Result<bool, Denial> {
        let Json::Object(_) = holder else { return Err(Reason::BodyShape.into()) };
        match holder.field(name)? {
            Some((_, Json::String(named))) if !named.is_empty() => self.check(named).map(|()| false),
            Some((_, Json::String(_) | Json::Null)) | None => {
                holder.set(name, Json::String(Cow::Owned(self.value.to_owned())));
                Ok(true)
            }
            Some(_) => Err(Reason::RbacTenant.into()),
        }
    }
}

/// A path, its operation and its methods.
pub(super) type Endpoint = (&'static str, Operation, &'static [&'static str]);

/// The paths of a table of endpoints.
pub(super) const fn paths<const N: usize>(endpoints: &[Endpoint]) -> [(&'static str, Operation); N] {
    let mut paths = [("", Operation::Query); N];
    let (mut at, mut rest) = (0, endpoints);
    while let Some(((path, operation, _), after)) = rest.split_first() {
        let (_, place) = paths.split_at_mut(at);
        if let Some(place) = place.first_mut() {
            *place = (*path, *operation);
        }
        at += 1;
        rest = after;
    }
    paths
}

/// The methods of an operation at a path of such a table.
pub(super) fn methods(endpoints: &'static [Endpoint], known: &str, operation: Operation) -> &'static [&'static str] {
    let one = endpoints.iter().find(|(path, of, _)| *path == known && *of == operation);
    one.map_or(&["POST"], |(_, _, methods)| methods)
}

/// A filter that holds for one tenant's records alone, and for no other than was asked for: both stores have `$and` and `$eq`.
///
/// # Errors
/// [`Reason::BodyShape`] for what is no filter.
pub(super) fn both(scope: &Scope<'_>, holder: &mut Json<'_>, name: &'static str) -> Result<(), Denial> {
    let shape = || Denial::new(Reason::BodyShape).with_param(name);
    holder.field(name).map_err(|_| shape())?;
    let own = |name: &str, value: Json<'static>| Json::Object(vec![(Cow::Owned(name.to_owned()), value)]);
    let tenant = own(scope.field, own("$eq", Json::String(Cow::Owned(scope.value.to_owned()))));
    let asked = holder.get_mut(name).map_or(Json::Null, |asked| std::mem::replace(asked, Json::Null));
    let both = match asked {
        Json::Null => tenant,
        Json::Object(entries) if entries.is_empty() => tenant,
        asked @ Json::Object(_) => Json::Object(vec![("$and".into(), Json::Array(vec![tenant, asked]))]),
        _ => return Err(shape()),
    };
    holder.set(name, both);
    Ok(())
}

/// What a path has at a name in braces of a known path that it ends as, percent-decoded.
///
/// # Errors
/// [`Reason::RbacTenant`] for what is no UTF-8.
pub(super) fn part<'p>(name: &str, known: &str, path: &'p str) -> Result<Option<Cow<'p, str>>, Denial> {
    named_at(name, known, path).map(|part| decoded(part, false).ok_or(Reason::RbacTenant.into())).transpose()
}

/// A number that is lowered to `most`, and added where what holds without it is higher: `absent`, or no bound. True: it
/// changed.
///
/// # Errors
/// [`Reason::BodyShape`].
pub(super) fn cap_number(
    holder: &mut Json<'_>,
    name: &'static str,
    absent: Option<u64>,
    most: u64,
) -> Result<bool, Denial> {
    let shape = || Denial::new(Reason::BodyShape).with_param(name);
    let asked = match holder.field(name).map_err(|_| shape())? {
        None => absent,
        Some((_, Json::Number(number))) => {
            let whole = number.as_u64().or_else(|| u64::try_from(number.whole()?).ok());
            Some(whole.ok_or_else(shape)?)
        }
        Some(_) => return Err(shape()),
    };
    if asked.is_some_and(|asked| asked <= most) {
        return Ok(false);
    }
    holder.set(name, Json::Number(most.into()));
    Ok(true)
}

/// How much of the cap each of several questions of one request may have.
///
/// # Errors
/// [`Reason::BodyShape`] where there are more of them than results.
pub(super) fn share(most: u64, questions: usize, name: &'static str) -> Result<u64, Denial> {
    let share = most.checked_div(questions.max(1) as u64).filter(|share| *share > 0);
    share.ok_or(Denial::new(Reason::BodyShape).with_param(name))
}

/// The values of one parameter of a query, percent-decoded; `None`: one of them is no UTF-8.
pub(super) fn values<'q>(query: &'q str, name: &str) -> Option<Vec<Cow<'q, str>>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut found = Vec::new();
    for (key, value) in pairs {
        if decoded(key, true)? == name {
            found.push(decoded(value, true)?);
        }
    }
    Some(found)
}

/// A part of a path or, where `+` is a blank, of a query, as servers read it: `%XX` is a byte.
fn decoded(part: &str, is_of_query: bool) -> Option<Cow<'_, str>> {
    let is_plain = !part.contains('%') && (!is_of_query || !part.contains('+'));
    if is_plain {
        return Some(Cow::Borrowed(part));
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' if is_of_query => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// A text as a part of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A parameter of a query that must name the tenant: the target with it, where it is missing. An empty one is another's.
///
/// # Errors
/// [`Reason::RbacTenant`] for another tenant, one that is named twice, and one that can't be read.
pub(super) fn parameter<'t>(scope: &Scope<'_>, target: &str, name: &str) -> Result<Confined<'t>, Denial> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match values(query, name).ok_or(Reason::RbacTenant)?.as_slice() {
        [] => {
            let joint = if query.is_empty() { "" } else { "&" };
            let target = format!("{path}?{query}{joint}{name}={}", encoded(scope.value));
            Ok(Confined { target: Some(target), kept: None })
        }
        [one] => scope.check(one).map(|()| Confined::default()),
        _ => Err(Reason::RbacTenant.into()),
    }
}

/// The same for a number in the query, with what holds where it is missing or 0. The target with the lower number; `None`:
/// it is low enough.
///
/// # Errors
/// [`Reason::BodyShape`] for what is no number, and for one that is named twice: servers differ on which counts.
pub(super) fn cap_parameter(
    target: &str,
    name: &'static str,
    absent: u64,
    most: u64,
) -> Result<Option<String>, Denial> {
    let shape = || Denial::new(Reason::BodyShape).with_param(name);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let asked = match values(query, name).ok_or_else(shape)?.as_slice() {
        [] => absent,
        [one] => one.parse().map_err(|_| shape())?,
        _ => return Err(shape()),
    };
    if (if asked == 0 { absent } else { asked }) <= most {
        return Ok(None);
    }
    let is_other = |pair: &&str| {
        let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
        !pair.is_empty() && decoded(key, true).as_deref() != Some(name)
    };
    let mut pairs: Vec<&str> = query.split('&').filter(is_other).collect();
    let lowered = format!("{name}={most}");
    pairs.push(&lowered);
    Ok(Some(format!("{path}?{}", pairs.join("&"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: Scope<'_> = Scope { by: ConfinedBy::Namespace, field: "", value: "acme corp" };

    #[test]
    fn a_query_names_one_tenant() {
        let add =
            |target: &str| parameter(&SCOPE, target, "namespace").map(|one| one.target).map_err(|denial| denial.reason);
        let refused = Err(Reason::RbacTenant);
        for (target, wanted) in [
            ("/v", Ok(Some("/v?namespace=acme%20corp".to_owned()))),
            ("/v?ids=1", Ok(Some("/v?ids=1&namespace=acme%20corp".to_owned()))),
            ("/v?namespace=acme%20corp", Ok(None)),
            ("/v?namespace=acme+corp&ids=1", Ok(None)),
            ("/v?n%61mespace=acme+corp", Ok(None)),
            ("/v?namespace=other", refused.clone()),
            ("/v?namespace=", refused.clone()),
            ("/v?n%61mespace=other", refused.clone()),
            ("/v?namespace=acme+corp&namespace=other", refused.clone()),
            ("/v?namespace=acme+corp&namespace=acme+corp", refused.clone()),
            ("/v?x=%ff", Ok(Some("/v?x=%ff&namespace=acme%20corp".to_owned()))),
            ("/v?namespace=%ff", refused.clone()),
            ("/v?%ff=1", refused.clone()),
            ("/v?%zz=1", refused.clone()),
        ] {
            assert_eq!(add(target), wanted, "{target}");
        }
    }

    #[test]
    fn a_query_has_one_number() {
        let cap = |target: &str| cap_parameter(target, "limit", 10, 5).map_err(|denial| denial.reason);
        let refused = Err(Reason::BodyShape);
        for (target, wanted) in [
            ("/v", Ok(Some("/v?limit=5".to_owned()))),
            ("/v?a=1&limit=3", Ok(None)),
            ("/v?limit=30&a=1", Ok(Some("/v?a=1&limit=5".to_owned()))),
            ("/v?l%69mit=30", Ok(Some("/v?limit=5".to_owned()))),
            ("/v?limit=0", Ok(Some("/v?limit=5".to_owned()))),
            ("/v?limit=%33", Ok(None)),
            ("/v?limit=", refused.clone()),
            ("/v?limit=-1", refused.clone()),
            ("/v?limit=3&limit=3", refused.clone()),
            ("/v?limit=99999999999999999999", refused.clone()),
        ] {
            assert_eq!(cap(target), wanted, "{target}");
        }
    }

    #[test]
    fn an_object_names_one_tenant() {
        for (body, wanted) in [
            (r#"{"a":1}"#, Ok(true)),
            (r#"{"namespace":null}"#, Ok(true)),
            (r#"{"namespace":"acme corp"}"#, Ok(false)),
            (r#"{"namespace":"other"}"#, Err(Reason::RbacTenant)),
            (r#"{"namespace":""}"#, Ok(true)),
            (r#"{"namespace":1}"#, Err(Reason::RbacTenant)),
            (r#"{"Namespace":"acme corp"}"#, Err(Reason::BodyShape)),
            ("[]", Err(Reason::BodyShape)),
        ] {
            let mut json = Json::parse(body.as_bytes(), 8).unwrap();
            assert_eq!(SCOPE.member(&mut json, "namespace").map_err(|denial| denial.reason), wanted, "{body}");
            if wanted == Ok(true) {
                assert!(String::from_utf8(json.to_bytes()).unwrap().contains(r#""namespace":"acme corp""#));
            }
        }
    }
}
