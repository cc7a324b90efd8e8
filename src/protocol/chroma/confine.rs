//! Whose data a request may reach.

use std::borrow::Cow;

use super::super::Json;
use super::super::confine::{Confined, Scope, both, cap_number, part, share};
use super::{COLLECTION, COLLECTIONS, GET, QUERY, SEARCH};
use crate::enums::{ConfinedBy, Operation};
use crate::reason::{Denial, Reason};

/// What a search gives where the request names no number: `n_results` of the OpenAPI document.
const DEFAULT_RESULTS: u64 = 10;

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
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if scope.by == ConfinedBy::Field {
        return by_field(at, operation).map(|()| Confined::default());
    }
    match part("{tenant}", at, path)? {
        Some(tenant) => scope.check(&tenant)?,
        // Everybody's data goes.
        None if at == "reset" => return Err(Reason::RbacTenant.into()),
        None => {}
    }
    let is_by_id = at.starts_with(COLLECTION) && (at.len() > COLLECTION.len() || operation == Operation::Admin);
    if !is_by_id {
        return Ok(Confined::default());
    }
    let id = part("{collection}", at, path)?.ok_or(Reason::RbacTenant)?;
    match id {
        // The server takes other forms of a UUID too.
        Cow::Borrowed(id) if is_uuid(id) => Ok(Confined { target: None, kept: Some(id) }),
        _ => Err(Reason::RbacTenant.into()),
    }
}

/// In the form that the server gives out.
fn is_uuid(id: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    id.len() == 36
        && id
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { is_digit(byte) })
}

/// Where tenants share a collection, only what takes a filter is confined: an id carries none.
fn by_field(at: &'static str, operation: Operation) -> Result<(), Denial> {
    let takes_filter = matches!(at, GET | QUERY) || operation == Operation::Delete && at.ends_with("/delete");
    let is_harmless = operation == Operation::Query && (!at.starts_with(COLLECTION) || at == COLLECTION);
    if takes_filter || is_harmless { Ok(()) } else { Err(Reason::RbacTenant.into()) }
}

pub(super) fn body(
    at: &'static str,
    operation: Operation,
    scope: &Scope<'_>,
    body: &mut Json<'_>,
) -> Result<bool, Denial> {
    match scope.by {
        ConfinedBy::Field if at == COLLECTIONS => Ok(false),
        ConfinedBy::Field => {
            by_field(at, operation)?;
            if !matches!(body.field("ids")?, None | Some((_, Json::Array(_)))) {
                return Err(Reason::BodyShape.into());
            }
            if body.get("ids").is_some_and(|ids| matches!(ids, Json::Array(ids) if !ids.is_empty())) {
                return Err(Denial::new(Reason::RbacTenant).with_param("ids"));
            }
            both(scope, body, "where")?;
            Ok(true)
        }
        // A tenant of another name would be made, or this one's resources named.
        _ if at == "tenants" => scope.member(body, "name"),
        _ => Ok(false),
    }
}

/// Lowers `n_results`, `limit`.
pub(super) fn cap(at: &'static str, most: u64, body: &mut Json<'_>) -> Result<bool, Denial> {
    match at {
        QUERY => {
            let questions = match body.field("query_embeddings")? {
                Some((_, Json::Array(questions))) => questions.len(),
                _ => 1,
            };
            cap_number(body, "n_results", Some(DEFAULT_RESULTS), share(most, questions, "query_embeddings")?)
        }
        // Ids are as many as the caller names.
        GET if matches!(body.field("ids")?, Some((_, Json::Array(ids))) if !ids.is_empty()) => Ok(false),
        GET => cap_number(body, "limit", None, most),
        SEARCH => {
            body.field("searches")?;
            let Some(Json::Array(searches)) = body.get_mut("searches") else { return Ok(false) };
            let numbers = searches.iter().map(asked).collect::<Result<Vec<Option<u64>>, Denial>>()?;
            let sum = numbers.iter().try_fold(0, |sum: u64, number| sum.checked_add((*number)?));
            if sum.is_some_and(|sum| sum <= most) {
                return Ok(false);
            }
            let most = share(most, searches.len(), "searches")?;
            for search in searches.iter_mut() {
                if search.get("limit").is_none_or(|limit| matches!(limit, Json::Null)) {
                    search.set("limit", Json::Object(Vec::new()));
                }
                if let Some(limit) = search.get_mut("limit") {
                    cap_number(limit, "limit", None, most)?;
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// How many records a search gives; `None`: it names no number. How many it ranks is not what it brings back.
fn asked(search: &Json<'_>) -> Result<Option<u64>, Denial> {
    let shape = || Denial::new(Reason::BodyShape).with_param("limit");
    let Some((_, limit)) = search.field("limit")? else { return Ok(None) };
    match limit.field("limit").map_err(|_| shape())? {
        None => Ok(None),
        Some((_, number)) => number.as_u64().map(Some).ok_or_else(shape),
    }
}
