//! Chroma's HTTP API, version 2, after the OpenAPI document that its server gives out.
//!
//! Tenant and database are in the path. A collection is named by its UUID below them, and the server looks for it
//! whatever tenant the path has (seen with 1.5): an id goes on only where it is known to be the tenant's.

mod confine;
mod keys;
mod reply;
mod request;

use serde_json::json;

use super::adapter::Adapter;
use super::confine::{Confined, Scope};
use super::keys::Keys;
use super::reply::{Plain, ReplyFormat};
use super::request::Reader;
use super::{Json, Protocol, Told};
use crate::enums::{ConfinedBy, Operation, Zone};
use crate::reason::Denial;

/// The format, at one of its paths.
#[derive(Debug)]
pub(super) struct Chroma {
    /// The known path; empty: none is told.
    pub(super) at: &'static str,
}

macro_rules! database {
    ($rest:literal) => {
        concat!("tenants/{tenant}/databases/{database}", $rest)
    };
}
macro_rules! collection {
    ($rest:literal) => {
        concat!("tenants/{tenant}/databases/{database}/collections/{collection}", $rest)
    };
}

const COLLECTIONS: &str = database!("/collections");
const COLLECTION: &str = collection!("");
const GET: &str = collection!("/get");
const QUERY: &str = collection!("/query");
const SEARCH: &str = collection!("/search");

/// What a client asks before it does anything.
const START: [&str; 8] = [
    "auth/identity",
    "heartbeat",
    "pre-flight-checks",
    "version",
    "tenants/{tenant}",
    database!(""),
    COLLECTIONS,
    COLLECTION,
];

/// Path, operation, methods. Sorted by operation.
const ENDPOINTS: &[(&str, Operation, &[&str])] = &[
    ("auth/identity", Operation::Query, &["GET"]),
    ("healthcheck", Operation::Query, &["GET"]),
    ("heartbeat", Operation::Query, &["GET"]),
    ("pre-flight-checks", Operation::Query, &["GET"]),
    ("version", Operation::Query, &["GET"]),
    ("tenants/{tenant}", Operation::Query, &["GET"]),
    ("tenants/{tenant}/databases", Operation::Query, &["GET"]),
    (database!(""), Operation::Query, &["GET"]),
    // A client opens a collection so before it does anything, and the server makes an empty one where there is none.
    (COLLECTIONS, Operation::Query, &["GET", "POST"]),
    (database!("/collections_count"), Operation::Query, &["GET"]),
    (database!("/collections/by-id/{collection}"), Operation::Query, &["GET"]),
    (COLLECTION, Operation::Query, &["GET"]),
    (GET, Operation::Query, &["POST"]),
    (QUERY, Operation::Query, &["POST"]),
    (SEARCH, Operation::Query, &["POST"]),
    (collection!("/count"), Operation::Query, &["GET"]),
    (collection!("/fork_count"), Operation::Query, &["GET"]),
    (collection!("/indexing_status"), Operation::Query, &["GET"]),
    (collection!("/add"), Operation::Upsert, &["POST"]),
    (collection!("/update"), Operation::Upsert, &["POST"]),
    (collection!("/upsert"), Operation::Upsert, &["POST"]),
    (collection!("/delete"), Operation::Delete, &["POST"]),
    (COLLECTION, Operation::Delete, &["DELETE"]),
    (COLLECTION, Operation::Admin, &["PUT"]),
    (collection!("/fork"), Operation::Admin, &["POST"]),
    (database!(""), Operation::Admin, &["DELETE"]),
    ("tenants/{tenant}/databases", Operation::Admin, &["POST"]),
    ("tenants/{tenant}", Operation::Admin, &["PATCH"]),
    ("tenants", Operation::Admin, &["POST"]),
    ("reset", Operation::Admin, &["POST"]),
];

const PATHS: [(&str, Operation); ENDPOINTS.len()] = super::confine::paths(ENDPOINTS);

const NO_COST: Plain = Plain { usage: |_| None };

impl Adapter for Chroma {
    fn name(&self) -> &'static str {
        "chroma"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &PATHS
    }

    fn of_path(&self, known: &'static str) -> Option<Protocol> {
        Some(Protocol::new(Chroma { at: known }))
    }

    fn methods_at(&self, known: &str, operation: Operation) -> &'static [&'static str] {
        super::confine::methods(ENDPOINTS, known, operation)
    }

    /// A client asks for its tenant and database before anything, and opens its collection.
    fn enough_for(&self, operation: Operation) -> Option<&'static [Operation]> {
        const ANY: &[Operation] = &[Operation::Query, Operation::Upsert, Operation::Delete, Operation::Admin];
        let is_start = START.contains(&self.at) && operation == Operation::Query;
        is_start.then_some(ANY)
    }

    fn reads_body(&self, _operation: Operation, method: &str) -> bool {
        // Its own body says nothing.
        method != "GET" && method != "DELETE" && self.at != "reset" && !self.at.is_empty()
    }

    fn guards_reply(&self, _operation: Operation, method: &str) -> bool {
        method == "GET"
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn read(&self, _operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        request::read(self.at, reader)
    }

    fn reply_zone(&self) -> Option<Zone> {
        Some(Zone::Document)
    }

    fn tenancies(&self) -> &'static [ConfinedBy] {
        &[ConfinedBy::Path, ConfinedBy::Field]
    }

    fn confine_target<'t>(
        &self,
        operation: Operation,
        scope: &Scope<'_>,
        target: &'t str,
    ) -> Result<Confined<'t>, Denial> {
        confine::target(self.at, operation, scope, target)
    }

    /// A collection is looked up in the tenant and database of the path there (seen with 1.5).
    fn told_at(&self, id: &str, target: &str) -> Option<String> {
        let path = target.split(['?', '#']).next()?;
        let (database, rest) = path.rsplit_once("/collections/")?;
        rest.starts_with(id).then(|| format!("{database}/collections/by-id/{id}"))
    }

    fn has_unnamed_ids(&self) -> bool {
        true
    }

    fn confine_body(&self, operation: Operation, scope: &Scope<'_>, body: &mut Json<'_>) -> Result<bool, Denial> {
        confine::body(self.at, operation, scope, body)
    }

    fn cap_results(&self, _operation: Operation, most: u64, body: &mut Json<'_>) -> Result<bool, Denial> {
        confine::cap(self.at, most, body)
    }

    /// `{"error","message"}`: the client raises by the status, and by `error` where it knows the word.
    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        let error = match told.denial.status() {
            401 => "AuthorizationError",
            403 => "AuthError",
            429 => "RateLimitError",
            404 => "NotFoundError",
            413 => "BatchSizeExceededError",
            400..=499 => "InvalidArgumentError",
            _ => "InternalError",
        };
        json!({ "error": error, "message": told.message }).to_string().into_bytes()
    }

    fn reply(&self, _operation: Operation) -> &dyn ReplyFormat {
        match self.at {
            GET => &reply::Records { is_search: false },
            QUERY | SEARCH => &reply::Records { is_search: true },
            COLLECTIONS | COLLECTION => &reply::Collections,
            path if path.ends_with("/by-id/{collection}") || path.ends_with("/fork") => &reply::Collections,
            _ => &NO_COST,
        }
    }
}
