//! The words of the format.

/// Sorted, because they are searched by halves.
pub(super) const KEYS: &[&str] = &[
    "code",
    "column",
    "data",
    "documentId",
    "errors",
    "extensions",
    "line",
    "locations",
    "message",
    "names",
    "operationName",
    "path",
    "persistedQuery",
    "query",
    "requestId",
    "sha256Hash",
    "source",
    "texts",
    "variables",
    "version",
];
