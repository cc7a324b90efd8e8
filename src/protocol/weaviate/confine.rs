//! Whose data a request may reach.

use super::super::Json;
use super::super::confine::{Confined, Scope, cap_number, parameter, part, values};
use super::{
    AGGREGATE, BATCH, BATCH_REFERENCES, CLASS, GRAPHQL, OBJECT, OBJECTS, PROPERTIES, REFERENCES, SEARCH, TENANT,
    TENANTS, VALIDATE, gql,
};
use crate::enums::Operation;
use crate::reason::{Denial, Reason};

/// What a search gives where the request names no number.
pub(super) const DEFAULT_LIMIT: u64 = 10;

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
    // The server cleans a path before it reads it.
    if path.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
        return Err(Reason::RbacTenant.into());
    }
    // Where the body names the tenant a query that names another is for a server that reads both.
    let query = target.split_once('?').map_or("", |(_, query)| query);
    values(query, "tenant").ok_or(Reason::RbacTenant)?.iter().try_for_each(|named| scope.check(named))?;
    match (at, operation) {
        // Without a class it is a list of all classes.
        (OBJECTS, Operation::Query) => match values(query, "class").as_deref() {
            Some([class]) if !class.is_empty() => parameter(scope, target, "tenant"),
            _ => Err(Reason::RbacTenant.into()),
        },
        (REFERENCES, _) | (OBJECT, Operation::Query | Operation::Delete) | (BATCH, Operation::Delete) => {
            parameter(scope, target, "tenant")
        }
        // Of all tenants.
        (CLASS | PROPERTIES, Operation::Admin) => Err(Reason::RbacTenant.into()),
        (TENANT, _) => {
            let tenant = part("{tenant}", at, path)?.ok_or(Reason::RbacTenant)?;
            scope.check(&tenant).map(|()| Confined::default())
        }
        _ => Ok(Confined::default()),
    }
}

pub(super) fn body(
    at: &'static str,
    operation: Operation,
    scope: &Scope<'_>,
    body: &mut Json<'_>,
) -> Result<bool, Denial> {
    match at {
        OBJECTS | OBJECT | VALIDATE | SEARCH | AGGREGATE => scope.member(body, "tenant"),
        BATCH if operation == Operation::Upsert => {
            body.field("objects")?;
            match body.get_mut("objects") {
                Some(Json::Array(objects)) => each(scope, objects),
                _ => Err(Denial::new(Reason::BodyShape).with_param("objects")),
            }
        }
        BATCH_REFERENCES => match body {
            Json::Array(references) => each(scope, references),
            _ => Err(Reason::BodyShape.into()),
        },
        TENANTS => {
            let Json::Array(tenants) = body else { return Err(Reason::BodyShape.into()) };
            for tenant in tenants {
                let name = match &*tenant {
                    Json::String(name) => name.as_ref(),
                    tenant => tenant.field("name")?.and_then(|(_, name)| name.as_str()).ok_or(Reason::RbacTenant)?,
                };
                scope.check(name)?;
            }
            Ok(false)
        }
        GRAPHQL => gql::confine(scope, body),
        _ => Ok(false),
    }
}

/// Each object of a list names its tenant.
fn each(scope: &Scope<'_>, objects: &mut [Json<'_>]) -> Result<bool, Denial> {
    let mut added = false;
    for object in objects {
        added |= scope.member(object, "tenant")?;
    }
    Ok(added)
}

/// Lowers `limit`.
pub(super) fn cap(at: &'static str, most: u64, body: &mut Json<'_>) -> Result<bool, Denial> {
    match at {
        SEARCH => {
            // How many objects groups bring back is their own number.
            if body.field("groupBy")?.is_some() {
                return Err(Denial::new(Reason::BodyShape).with_param("groupBy"));
            }
            // 0 is read as none.
            if body.field("limit")?.and_then(|(_, limit)| limit.as_u64()) == Some(0) {
                body.set("limit", Json::Null);
            }
            cap_number(body, "limit", Some(DEFAULT_LIMIT), most)
        }
        GRAPHQL => gql::cap(most, body),
        _ => Ok(false),
    }
}
