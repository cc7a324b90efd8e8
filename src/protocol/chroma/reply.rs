//! Replies: records in arrays beside each other, and collections.

use super::super::reply::{Channel, ReplyFormat, TextKind, ToolCall, Walk};
use super::super::{Json, Path};
use crate::protocol::form::Form;

/// What tells a caller of a record; numbers tell too, and go with them.
const TEXTS: [&str; 3] = ["documents", "metadatas", "uris"];

/// Records of a get, or of a search, which has one list of them for each question.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) is_search: bool,
}

impl ReplyFormat for Records {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        let Json::Object(entries) = reply else { return walk.others(&Path::default(), reply) };
        for (at, (key, value)) in entries.iter().enumerate() {
            let path = Path::default().child(at);
            match (key.as_ref(), value) {
                (name, Json::Array(lists)) if TEXTS.contains(&name) && self.is_search => {
                    for (question, list) in lists.iter().enumerate() {
                        records(walk, &path.child(question), list, question);
                    }
                }
                (name, list @ Json::Array(_)) if TEXTS.contains(&name) => records(walk, &path, list, 0),
                ("include", Json::Array(_)) => {}
                ("ids", Json::Array(lists)) if self.is_search => {
                    for (question, list) in lists.iter().enumerate() {
                        names(walk, &path.child(question), list, question);
                    }
                }
                ("ids", ids) => names(walk, &path, ids, 0),
                _ => walk.rest(&path, key, value),
            }
        }
    }

    /// A record goes with its id, its vector, its distance.
    fn remove_calls(&self, reply: &mut Json<'_>, paths: &[&Path], _notice: &str) {
        let depth = if self.is_search { 2 } else { 1 };
        let Json::Object(entries) = &*reply else { return };
        let lists = entries.iter().enumerate().filter(|(_, (key, _))| !matches!(key.as_ref(), "include" | "select"));
        let record = |path: &Path| path.part(1..1 + depth);
        let of_list = |(at, _)| paths.iter().map(move |path| Path::default().child(at).join(&record(path)));
        let mut places: Vec<Path> = lists.flat_map(of_list).collect();
        places.retain(|place| place.depth() == 1 + depth && reply.at(place).is_some());
        let places: Vec<&Path> = places.iter().collect();
        reply.remove(&places);
    }
}

/// One record after the other: what is hostile in it takes it away.
fn records(walk: &mut Walk<'_>, path: &Path, list: &Json<'_>, question: usize) {
    let Json::Array(items) = list else { return walk.others(path, list) };
    let choice = u32::try_from(question).unwrap_or(u32::MAX);
    for (position, item) in items.iter().enumerate() {
        record(walk, path.child(position), item, (choice, position));
    }
}

/// A part of a record.
fn record(walk: &mut Walk<'_>, path: Path, part: &Json<'_>, (choice, position): (u32, usize)) {
    let item = u32::try_from(position).unwrap_or(u32::MAX);
    walk.strings(&path, part, Channel { choice, item, kind: TextKind::Text });
    walk.parts.calls.push(ToolCall { name: String::new(), choice, item, path, named: false });
}

/// Ids: names, or texts of their records.
fn names(walk: &mut Walk<'_>, path: &Path, list: &Json<'_>, question: usize) {
    let Json::Array(items) = list else { return walk.others(path, list) };
    let choice = u32::try_from(question).unwrap_or(u32::MAX);
    for (position, item) in items.iter().enumerate() {
        if !walk.parts.parameter(item, Form::Name) {
            record(walk, path.child(position), item, (choice, position));
        }
    }
}

/// Collections, one or a list.
#[derive(Debug)]
pub(super) struct Collections;

impl ReplyFormat for Collections {
    fn read(&self, _walk: &mut Walk<'_>, _reply: &Json<'_>) {}

    /// A server that answers with another tenant's shows nothing of it, and its id is not kept.
    fn confine(&self, reply: &mut Json<'_>, tenant: &str) -> bool {
        let is_foreign = |one: &Json<'_>| matches!(one.get("tenant"), Some(of) if of.as_str() != Some(tenant));
        match reply {
            Json::Array(all) => {
                let before = all.len();
                all.retain(|one| !is_foreign(one));
                all.len() < before
            }
            one if is_foreign(one) => {
                *one = Json::Object(Vec::new());
                true
            }
            _ => false,
        }
    }

    /// The ids by which its tenant goes on with it.
    fn kept(&self, reply: &Json<'_>) -> Vec<String> {
        let id = |one: &Json<'_>| one.get("id").and_then(Json::as_str).map(str::to_owned);
        match reply {
            Json::Array(all) => all.iter().filter_map(id).collect(),
            one => id(one).into_iter().collect(),
        }
    }
}
