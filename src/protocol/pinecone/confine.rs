//! Whose data a request may reach.

use super::super::Json;
use super::super::confine::{Confined, Scope, both, cap_number, parameter, part};
use super::{
    DELETE, DOCUMENTS_DELETE, DOCUMENTS_FETCH, DOCUMENTS_SEARCH, FETCH, FETCH_BY_METADATA, LIST, NAMESPACE, NAMESPACES,
    QUERY, SEARCH, STATS,
};
use crate::enums::{ConfinedBy, Operation};
use crate::reason::{Denial, Reason};

/// What a fetch by a filter gives where the request names no number.
const DEFAULT_LIMIT: u64 = 100;

pub(super) fn target<'t>(
    at: &'static str,
    operation: Operation,
    scope: &Scope<'_>,
    target: &'t str,
) -> Result<Confined<'t>, Denial> {
    // Where no path is told nobody knows what names the tenant.
    if at.is_empty() {
        return Err(Reason::RbacTenant.into());
    }
    if scope.by == ConfinedBy::Field {
        let takes_filter = matches!(
            at,
            QUERY | FETCH_BY_METADATA | SEARCH | DELETE | DOCUMENTS_SEARCH | DOCUMENTS_FETCH | DOCUMENTS_DELETE
        );
        let is_harmless = operation == Operation::Query && matches!(at, NAMESPACES | NAMESPACE);
        return if takes_filter || is_harmless { Ok(Confined::default()) } else { Err(Reason::RbacTenant.into()) };
    }
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if let Some(namespace) = part("{namespace}", at, path)? {
        return scope.check(&namespace).map(|()| Confined::default());
    }
    match at {
        FETCH | LIST => parameter(scope, target, "namespace"),
        _ => Ok(Confined::default()),
    }
}

pub(super) fn body(at: &'static str, scope: &Scope<'_>, body: &mut Json<'_>) -> Result<bool, Denial> {
    if scope.by == ConfinedBy::Field {
        return by_field(at, scope, body);
    }
    match at {
        _ if at.contains("{namespace}") || at == STATS => Ok(false),
        NAMESPACES => scope.member(body, "name"),
        _ => scope.member(body, "namespace"),
    }
}

/// Where tenants share a namespace, only what takes a filter is confined: an id carries none.
fn by_field(at: &'static str, scope: &Scope<'_>, body: &mut Json<'_>) -> Result<bool, Denial> {
    let refused = |name: &'static str| Denial::new(Reason::RbacTenant).with_param(name);
    let holder = if at == SEARCH {
        body.field("query")?;
        body.get_mut("query").ok_or(Denial::new(Reason::BodyShape).with_param("query"))?
    } else {
        body
    };
    for name in ["id", "ids", "deleteAll", "delete_all", "queries"] {
        match holder.field(name)? {
            None | Some((_, Json::Bool(false))) => {}
            Some((_, Json::Array(list))) if list.is_empty() => {}
            Some(_) => return Err(refused(name)),
        }
    }
    both(scope, holder, "filter")?;
    Ok(true)
}

/// Lowers `topK`, `top_k`, `limit`.
pub(super) fn cap(at: &'static str, most: u64, body: &mut Json<'_>) -> Result<bool, Denial> {
    match at {
        QUERY => cap_number(body, "topK", None, most),
        FETCH_BY_METADATA => cap_number(body, "limit", Some(DEFAULT_LIMIT), most),
        DOCUMENTS_SEARCH => cap_number(body, "top_k", None, most),
        // Ids are as many as the caller names.
        DOCUMENTS_FETCH if body.get("filter").is_some() || body.get("limit").is_some() => {
            cap_number(body, "limit", Some(DEFAULT_LIMIT), most)
        }
        SEARCH => {
            body.field("query")?;
            body.get_mut("query").map_or(Ok(false), |query| cap_number(query, "top_k", None, most))
        }
        _ => Ok(false),
    }
}
