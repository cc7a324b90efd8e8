//! Replies: records in a list or by their ids, counts, and the names of namespaces.

use super::super::reply::{Channel, ReplyFormat, TextKind, ToolCall, Walk};
use super::super::{Json, Path};

/// Records, at this place.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) at: &'static [&'static str],
}

impl ReplyFormat for Records {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        let mut place = (Path::default(), reply);
        for key in self.at {
            let Json::Object(entries) = place.1 else { return };
            let Some((at, (_, value))) = entries.iter().enumerate().find(|(_, (name, _))| name == key) else { return };
            place = (place.0.child(at), value);
        }
        let records: Vec<&Json<'_>> = match place.1 {
            _ if self.at.is_empty() => return,
            Json::Array(items) => items.iter().collect(),
            Json::Object(entries) => entries.iter().map(|(_, value)| value).collect(),
            _ => return,
        };
        for (position, record) in records.into_iter().enumerate() {
            let (path, item) = (place.0.child(position), u32::try_from(position).unwrap_or(u32::MAX));
            walk.strings(&path, record, Channel { choice: 0, item, kind: TextKind::Text });
            walk.parts.calls.push(ToolCall { name: String::new(), choice: 0, item, path, named: false });
        }
    }
}

/// Counts by namespace.
#[derive(Debug)]
pub(super) struct Stats;

impl ReplyFormat for Stats {
    fn read(&self, _walk: &mut Walk<'_>, _reply: &Json<'_>) {}

    fn confine(&self, reply: &mut Json<'_>, tenant: &str) -> bool {
        let Some(Json::Object(namespaces)) = reply.get_mut("namespaces") else { return false };
        let before = namespaces.len();
        namespaces.retain(|(name, _)| name == tenant);
        let count = namespaces.first().and_then(|(_, own)| own.get("vectorCount").and_then(Json::as_u64)).unwrap_or(0);
        let is_less = namespaces.len() < before;
        let is_told_less = reply.get("totalVectorCount").and_then(Json::as_u64) != Some(count);
        reply.set("totalVectorCount", Json::Number(count.into()));
        // How full the index is tells of others, too.
        if reply.get("indexFullness").is_some() {
            reply.set("indexFullness", Json::Number(0_u64.into()));
        }
        is_less || is_told_less
    }
}

/// Namespaces.
#[derive(Debug)]
pub(super) struct Namespaces;

impl ReplyFormat for Namespaces {
    fn read(&self, _walk: &mut Walk<'_>, _reply: &Json<'_>) {}

    fn confine(&self, reply: &mut Json<'_>, tenant: &str) -> bool {
        let Some(Json::Array(namespaces)) = reply.get_mut("namespaces") else { return false };
        let before = namespaces.len();
        namespaces.retain(|one| one.get("name").and_then(Json::as_str) == Some(tenant));
        let (is_less, left) = (namespaces.len() < before, namespaces.len() as u64);
        if reply.get("total_count").is_some() {
            reply.set("total_count", Json::Number(left.into()));
        }
        is_less
    }
}
