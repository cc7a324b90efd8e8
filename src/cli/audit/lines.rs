//! What a line of a log is: a record, a checkpoint, a tombstone, or nothing of ours.
//!
//! What counts are the record's own bytes, whatever is around them.

use std::borrow::Cow;

use serde::Deserialize;

use crate::audit::chain::{CHECKPOINT, split};
use crate::cli::records;

/// `event.dataset` of a tombstone.
pub(super) const ERASED: &str = "bartizan.erased";

/// The members of a line that the chain is checked by.
#[derive(Debug, Deserialize)]
pub(super) struct Members<'l> {
    #[serde(borrow, rename = "event.dataset")]
    dataset: Option<Cow<'l, str>>,
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
    let mut own = |text: &str| one(text, take);
    let left = records::each(line, &mut own);
    // Part of a record is one, too.
    if is_marked(left.as_deref().unwrap_or(line)) {
        take(Kind::Damaged, line, None);
    } else if left.is_none() {
        take(Kind::Foreign, line, None);
    }
}

/// Words that stand in every record, checkpoint and tombstone, and in no other line of a proxy.
fn is_marked(line: &str) -> bool {
    line.contains("bartizan.chain.") || line.contains("bartizan.sequence") || line.contains("bartizan.worker")
}

/// How many bytes of the text are one of ours, where it begins with one.
fn one(text: &str, take: &mut dyn FnMut(Kind, &str, Option<&Members<'_>>)) -> Option<usize> {
    let (read, length) = records::first::<Members<'_>>(text)?;
    let own = text.get(..length).unwrap_or(text);
    let kind = match read.dataset.as_deref() {
        Some("bartizan.audit") if own.contains("\"bartizan.chain.") => match split(own) {
            Some(_) => Kind::Chained,
            None => Kind::Damaged,
        },
        Some("bartizan.audit") => Kind::Single,
        Some(CHECKPOINT) => Kind::Checkpoint,
        Some(ERASED) => Kind::Tombstone,
        _ => return None,
    };
    take(kind, own, Some(&read));
    Some(length)
}
