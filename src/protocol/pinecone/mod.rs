//! Pinecone's data plane: vectors, searches, namespaces and records with integrated embedding, after the public reference of
//! version 2025-10. Its paths are those of one index's host.

mod confine;
mod keys;
mod reply;
mod request;

use serde_json::json;

use super::adapter::Adapter;
use super::confine::{Confined, Scope};
use super::keys::Keys;
use super::reply::ReplyFormat;
use super::request::Reader;
use super::{Json, Protocol, Told};
use crate::enums::{ConfinedBy, Operation, Zone};
use crate::reason::Denial;

/// The format, at one of its paths.
#[derive(Debug)]
pub(super) struct Pinecone {
    /// The known path; empty: none is told.
    pub(super) at: &'static str,
}

const QUERY: &str = "query";
const FETCH: &str = "vectors/fetch";
const FETCH_BY_METADATA: &str = "vectors/fetch_by_metadata";
const LIST: &str = "vectors/list";
const STATS: &str = "describe_index_stats";
const NAMESPACES: &str = "namespaces";
const NAMESPACE: &str = "namespaces/{namespace}";
const SEARCH: &str = "records/namespaces/{namespace}/search";
const RECORDS: &str = "records/namespaces/{namespace}/upsert";
const DELETE: &str = "vectors/delete";

macro_rules! documents {
    ($call:literal) => {
        concat!("namespaces/{namespace}/documents/", $call)
    };
}

const DOCUMENTS_SEARCH: &str = documents!("search");
const DOCUMENTS_FETCH: &str = documents!("fetch");
const DOCUMENTS_DELETE: &str = documents!("delete");

/// Path, operation, methods. Sorted by operation.
const ENDPOINTS: &[(&str, Operation, &[&str])] = &[
    (QUERY, Operation::Query, &["POST"]),
    (FETCH, Operation::Query, &["GET"]),
    (FETCH_BY_METADATA, Operation::Query, &["POST"]),
    (LIST, Operation::Query, &["GET"]),
    (STATS, Operation::Query, &["GET", "POST"]),
    (NAMESPACES, Operation::Query, &["GET"]),
    (NAMESPACE, Operation::Query, &["GET"]),
    (SEARCH, Operation::Query, &["POST"]),
    (DOCUMENTS_SEARCH, Operation::Query, &["POST"]),
    (DOCUMENTS_FETCH, Operation::Query, &["POST"]),
    (documents!("list"), Operation::Query, &["POST"]),
    ("vectors/upsert", Operation::Upsert, &["POST"]),
    ("vectors/update", Operation::Upsert, &["POST"]),
    (RECORDS, Operation::Upsert, &["POST"]),
    (documents!("upsert"), Operation::Upsert, &["POST"]),
    (documents!("update"), Operation::Upsert, &["POST"]),
    (DELETE, Operation::Delete, &["POST"]),
    (DOCUMENTS_DELETE, Operation::Delete, &["POST"]),
    (NAMESPACE, Operation::Delete, &["DELETE"]),
    (NAMESPACES, Operation::Admin, &["POST"]),
];

const PATHS: [(&str, Operation); ENDPOINTS.len()] = super::confine::paths(ENDPOINTS);

impl Adapter for Pinecone {
    fn name(&self) -> &'static str {
        "pinecone"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &PATHS
    }

    fn of_path(&self, known: &'static str) -> Option<Protocol> {
        Some(Protocol::new(Pinecone { at: known }))
    }

    fn methods_at(&self, known: &str, operation: Operation) -> &'static [&'static str] {
        super::confine::methods(ENDPOINTS, known, operation)
    }

    fn reads_body(&self, _operation: Operation, method: &str) -> bool {
        method == "POST"
    }

    fn guards_reply(&self, _operation: Operation, method: &str) -> bool {
        method == "GET"
    }

    fn reads_lines(&self) -> bool {
        self.at == RECORDS
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
        &[ConfinedBy::Namespace, ConfinedBy::Field]
    }

    fn confine_target<'t>(
        &self,
        operation: Operation,
        scope: &Scope<'_>,
        target: &'t str,
    ) -> Result<Confined<'t>, Denial> {
        confine::target(self.at, operation, scope, target)
    }

    fn confine_body(&self, _operation: Operation, scope: &Scope<'_>, body: &mut Json<'_>) -> Result<bool, Denial> {
        confine::body(self.at, scope, body)
    }

    fn cap_results(&self, _operation: Operation, most: u64, body: &mut Json<'_>) -> Result<bool, Denial> {
        confine::cap(self.at, most, body)
    }

    /// `{"error": {"code","message"},"status"}`: the client raises by the status. The codes are gRPC's.
    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        let status = told.denial.status();
        let code = match status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            413 => "OUT_OF_RANGE",
            429 => "RESOURCE_EXHAUSTED",
            400..=499 => "INVALID_ARGUMENT",
            503 => "UNAVAILABLE",
            _ => "INTERNAL",
        };
        json!({ "error": { "code": code, "message": told.message }, "status": status }).to_string().into_bytes()
    }

    fn reply(&self, _operation: Operation) -> &dyn ReplyFormat {
        match self.at {
            QUERY | DOCUMENTS_SEARCH => &reply::Records { at: &["matches"] },
            DOCUMENTS_FETCH => &reply::Records { at: &["documents"] },
            FETCH | FETCH_BY_METADATA | LIST => &reply::Records { at: &["vectors"] },
            SEARCH => &reply::Records { at: &["result", "hits"] },
            STATS => &reply::Stats,
            NAMESPACES => &reply::Namespaces,
            _ => &reply::Records { at: &[] },
        }
    }
}
