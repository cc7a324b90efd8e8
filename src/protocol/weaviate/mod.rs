//! Weaviate's HTTP API: objects, batches, references, searches as GraphQL and as REST, and what a client asks of a schema.
//!
//! A server keeps the tenants of a class apart, and each request names its tenant: in the query, in the body, or in the
//! text of an operation. gRPC is not read here: its paths are refused.

mod confine;
mod gql;
mod keys;
mod reply;
mod request;

use serde_json::json;

use super::adapter::Adapter;
use super::confine::{Confined, Scope, cap_parameter};
use super::keys::Keys;
use super::reply::{Plain, ReplyFormat};
use super::request::Reader;
use super::{Json, Protocol, Segment, Told};
use crate::enums::{ConfinedBy, Operation, Zone};
use crate::reason::Denial;

/// The format, at one of its paths.
#[derive(Debug)]
pub(super) struct Weaviate {
    /// The known path; empty: none is told.
    pub(super) at: &'static str,
}

const OBJECTS: &str = "objects";
const OBJECT: &str = "objects/{class}/{object}";
const VALIDATE: &str = "objects/validate";
const REFERENCES: &str = "objects/{class}/{object}/references/{property}";
const BATCH: &str = "batch/objects";
const BATCH_REFERENCES: &str = "batch/references";
const GRAPHQL: &str = "graphql";
const SEARCH: &str = "search/{class}/{kind}";
const AGGREGATE: &str = "aggregate/{class}";
const SCHEMA: &str = "schema";
const CLASS: &str = "schema/{class}";
const PROPERTIES: &str = "schema/{class}/properties";
const TENANTS: &str = "schema/{class}/tenants";
const TENANT: &str = "schema/{class}/tenants/{tenant}";

/// What a client asks before it does anything.
const START: [&str; 7] =
    ["meta", ".well-known/live", ".well-known/openid-configuration", ".well-known/ready", SCHEMA, CLASS, TENANT];

const READ: &[&str] = &["GET", "HEAD"];

/// Path, operation, methods. Sorted by operation.
const ENDPOINTS: &[(&str, Operation, &[&str])] = &[
    ("meta", Operation::Query, READ),
    (".well-known/live", Operation::Query, READ),
    (".well-known/openid-configuration", Operation::Query, READ),
    (".well-known/ready", Operation::Query, READ),
    (OBJECTS, Operation::Query, &["GET"]),
    (OBJECT, Operation::Query, READ),
    (VALIDATE, Operation::Query, &["POST"]),
    (GRAPHQL, Operation::Query, &["POST"]),
    (SEARCH, Operation::Query, &["POST"]),
    (AGGREGATE, Operation::Query, &["POST"]),
    (SCHEMA, Operation::Query, &["GET"]),
    (CLASS, Operation::Query, &["GET"]),
    (TENANT, Operation::Query, READ),
    (OBJECTS, Operation::Upsert, &["POST"]),
    (OBJECT, Operation::Upsert, &["PUT", "PATCH"]),
    (REFERENCES, Operation::Upsert, &["POST", "PUT"]),
    (BATCH, Operation::Upsert, &["POST"]),
    (BATCH_REFERENCES, Operation::Upsert, &["POST"]),
    (OBJECT, Operation::Delete, &["DELETE"]),
    (REFERENCES, Operation::Delete, &["DELETE"]),
    (BATCH, Operation::Delete, &["DELETE"]),
    (SCHEMA, Operation::Admin, &["POST"]),
    (CLASS, Operation::Admin, &["PUT", "DELETE"]),
    (PROPERTIES, Operation::Admin, &["POST"]),
    (TENANTS, Operation::Admin, &["POST", "PUT", "DELETE"]),
];

const PATHS: [(&str, Operation); ENDPOINTS.len()] = super::confine::paths(ENDPOINTS);

const NO_COST: Plain = Plain { usage: |_| None };

impl Adapter for Weaviate {
    fn name(&self) -> &'static str {
        "weaviate"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &PATHS
    }

    fn of_path(&self, known: &'static str) -> Option<Protocol> {
        Some(Protocol::new(Weaviate { at: known }))
    }

    /// gRPC, on its own port and over HTTP, and tools of the server's own.
    fn refused_paths(&self) -> &'static [&'static str] {
        &["/weaviate.v1.Weaviate/", "graphql/batch", "grpc-web/", "mcp"]
    }

    fn methods_at(&self, known: &str, operation: Operation) -> &'static [&'static str] {
        super::confine::methods(ENDPOINTS, known, operation)
    }

    /// A client asks for the server's version before anything, and whether a class and a tenant are there.
    fn enough_for(&self, operation: Operation) -> Option<&'static [Operation]> {
        const ANY: &[Operation] = &[Operation::Query, Operation::Upsert, Operation::Delete, Operation::Admin];
        (START.contains(&self.at) && operation == Operation::Query).then_some(ANY)
    }

    fn reads_body(&self, _operation: Operation, method: &str) -> bool {
        let has_list = matches!(self.at, BATCH | REFERENCES | TENANTS);
        matches!(method, "POST" | "PUT" | "PATCH") || method == "DELETE" && has_list
    }

    fn guards_reply(&self, _operation: Operation, method: &str) -> bool {
        method == "GET"
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn unfold(&self, body: &mut Json<'_>) -> Result<(), Denial> {
        if self.at == GRAPHQL { gql::unfold(body) } else { Ok(()) }
    }

    fn fold(&self, body: &mut Json<'_>) -> Result<(), Denial> {
        if self.at == GRAPHQL { gql::fold(body) } else { Ok(()) }
    }

    /// Of an operation's text its values change, and nothing else.
    fn is_fixed(&self, body: &Json<'_>, segment: &Segment) -> bool {
        let mut steps = body.steps(&segment.path);
        let is_in_text = self.at == GRAPHQL && steps.next().is_some_and(|step| step.key == Some("query"));
        is_in_text && steps.next().is_none_or(|step| step.key != Some("texts"))
    }

    fn read(&self, _operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        request::read(self.at, reader)
    }

    fn reply_zone(&self) -> Option<Zone> {
        Some(Zone::Document)
    }

    fn tenancies(&self) -> &'static [ConfinedBy] {
        &[ConfinedBy::Namespace]
    }

    fn confine_target<'t>(
        &self,
        operation: Operation,
        scope: &Scope<'_>,
        target: &'t str,
    ) -> Result<Confined<'t>, Denial> {
        confine::target(self.at, operation, scope, target)
    }

    fn confine_body(&self, operation: Operation, scope: &Scope<'_>, body: &mut Json<'_>) -> Result<bool, Denial> {
        confine::body(self.at, operation, scope, body)
    }

    fn cap_results(&self, _operation: Operation, most: u64, body: &mut Json<'_>) -> Result<bool, Denial> {
        confine::cap(self.at, most, body)
    }

    fn cap_target(&self, operation: Operation, most: u64, target: &str) -> Result<Option<String>, Denial> {
        let is_list = self.at == OBJECTS && operation == Operation::Query;
        if is_list { cap_parameter(target, "limit", confine::DEFAULT_LIMIT, most) } else { Ok(None) }
    }

    /// `{"error": [{"message"}]}`: the client raises by the status.
    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        json!({ "error": [{ "message": told.message }] }).to_string().into_bytes()
    }

    fn reply(&self, operation: Operation) -> &dyn ReplyFormat {
        match self.at {
            OBJECTS if operation == Operation::Query => &reply::Records { at: &["objects"] },
            SEARCH => &reply::Records { at: &["results"] },
            GRAPHQL => &reply::Answer,
            TENANTS => &reply::Tenants,
            _ => &NO_COST,
        }
    }
}
