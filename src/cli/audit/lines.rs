//! What a line of a log is: a record, a checkpoint, a tombstone, or nothing of ours.
//!
//! Access loggers and shippers wrap records: a prefix before it, a string in an object of theirs. What counts are the
//! record's own bytes.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use crate::audit::chain::{CHECKPOINT, split};

/// `event.dataset` of a tombstone.
pub(super) const ERASED: &str = "bartizan.erased";

/// Wrappings that are opened.
const MAX_DEPTH: usize = 4;

/// The members of a line that the chain is checked by.
#[derive(Debug, Deserialize)]
pub(super) struct Members<'l> {
    #[serde(borrow, rename = "event.dataset")]
    dataset: Option<Cow<'l, str>>,
    #[serde(borrow, rename = "@timestamp", default)]
    pub timestamp: Cow<'l, str>,
    #[serde(borrow, rename = "bartizan.worker", default)]
    pub worker: Cow<'l, str>,
    #[serde(rename = "bartizan.sequence", default)]
    pub sequence: u64,
    #[serde(borrow, rename = "bartizan.verdict", default)]
    pub verdict: Cow<'l, str>,
    #[serde(borrow, rename = "user.hash")]
    pub user_hash: Option<Cow<'l, str>>,
    #[serde(borrow, rename = "user.id")]
    pub user_id: Option<Cow<'l, str>>,
    #[serde(borrow, rename = "bartizan.chain.previous")]
    pub previous: Option<Cow<'l, str>>,
    #[serde(rename = "bartizan.chain.every")]
    pub every: Option<u64>,
    #[serde(borrow, rename = "bartizan.chain.heads", default)]
    pub heads: Vec<(u32, u64, Cow<'l, str>)>,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record with a place in a chain.
    Chained,
    /// A record without one.
    Single,
    /// How far chains have come.
    Checkpoint,
    /// A record was here.
    Tombstone,
    /// Something of ours that can't be read.
    Damaged,
    /// Not ours.
    Foreign,
}

/// Calls `take` with what the line is, its own bytes, and its members where it can be read.
pub(super) fn read(line: &[u8], take: &mut dyn FnMut(Kind, &str, Option<&Members<'_>>)) {
    let Ok(line) = std::str::from_utf8(line) else {
        let kind = if is_marked(&String::from_utf8_lossy(line)) { Kind::Damaged } else { Kind::Foreign };
        return take(kind, "", None);
    };
    if !(line.contains("bartizan.")) {
        return take(Kind::Foreign, line, None);
    }
    if !open(line, 0, take) {
        take(if is_marked(line) { Kind::Damaged } else { Kind::Foreign }, line, None);
    }
}

/// Words that stand in every record, checkpoint and tombstone, and in no other line of a proxy.
fn is_marked(line: &str) -> bool {
    line.contains("bartizan.chain.") || line.contains("bartizan.sequence") || line.contains("bartizan.worker")
}

/// True when it is one of ours.
fn open(text: &str, depth: usize, take: &mut dyn FnMut(Kind, &str, Option<&Members<'_>>)) -> bool {
    // Ours begin so, and no string of ours can hold it; what stands before it may be a caller's.
    let start = text.rfind("{\"@timestamp\":").or_else(|| text.find("{\""));
    let Some(text) = start.and_then(|start| text.get(start..)) else { return false };
    let mut members = serde_json::Deserializer::from_str(text).into_iter::<Members<'_>>();
    let read = members.next();
    let own = text.get(..members.byte_offset()).unwrap_or(text);
    if let Some(Ok(members)) = &read {
        let kind = match members.dataset.as_deref() {
            Some("bartizan.audit") if own.contains("\"bartizan.chain.") => match split(own) {
                Some(_) => Kind::Chained,
                None => Kind::Damaged,
            },
            Some("bartizan.audit") => Kind::Single,
            Some(CHECKPOINT) => Kind::Checkpoint,
            Some(ERASED) => Kind::Tombstone,
            _ => Kind::Foreign,
        };
        if kind != Kind::Foreign {
            take(kind, own, Some(members));
            return true;
        }
    }
    // A wrapping: the text of the record is one of its strings.
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) if depth < MAX_DEPTH => wrapped(&value, depth, take),
        _ => false,
    }
}

fn wrapped(value: &Value, depth: usize, take: &mut dyn FnMut(Kind, &str, Option<&Members<'_>>)) -> bool {
    match value {
        Value::String(text) => text.contains("\"bartizan.") && open(text, depth + 1, take),
        Value::Array(items) => all(items.iter(), depth, take),
        Value::Object(members) => all(members.values(), depth, take),
        _ => false,
    }
}

/// Opens each: a line may hold several records.
fn all<'v>(
    values: impl Iterator<Item = &'v Value>,
    depth: usize,
    take: &mut dyn FnMut(Kind, &str, Option<&Members<'_>>),
) -> bool {
    values.filter(|value| wrapped(value, depth, take)).count() > 0
}
