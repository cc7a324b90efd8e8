//! Replies: objects in a list, and what an operation selected.

use super::super::reply::{Channel, ReplyFormat, TextKind, ToolCall, Walk};
use super::super::{Json, Path};

/// Each of a list: what is hostile in it takes it away.
fn records(walk: &mut Walk<'_>, path: &Path, list: &Json<'_>, choice: u32) {
    let Json::Array(items) = list else { return };
    for (position, record) in items.iter().enumerate() {
        let (path, item) = (path.child(position), u32::try_from(position).unwrap_or(u32::MAX));
        walk.strings(&path, record, Channel { choice, item, kind: TextKind::Text });
        walk.parts.calls.push(ToolCall { name: String::new(), choice, item, path, named: false });
    }
}

/// What an object has under a name.
fn entry<'j>(path: &Path, holder: &'j Json<'j>, name: &str) -> Option<(Path, &'j Json<'j>)> {
    let Json::Object(entries) = holder else { return None };
    let at = entries.iter().position(|(key, _)| key == name)?;
    entries.get(at).map(|(_, value)| (path.child(at), value))
}

/// Objects, at this place.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) at: &'static [&'static str],
}

impl ReplyFormat for Records {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        let mut place = Some((Path::default(), reply));
        for name in self.at {
            place = place.and_then(|(path, holder)| entry(&path, holder, name));
        }
        if let Some((path, list)) = place {
            records(walk, &path, list, 0);
        }
    }
}

/// What an operation selected, under names that the caller chose: `data.Get.NAME[*]`.
#[derive(Debug)]
pub(super) struct Answer;

impl ReplyFormat for Answer {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        let Some((path, Json::Object(roots))) = entry(&Path::default(), reply, "data") else { return };
        let mut choice = 0;
        for (at, (_, root)) in roots.iter().enumerate() {
            let (path, Json::Object(classes)) = (path.child(at), root) else { continue };
            for (at, (_, list)) in classes.iter().enumerate() {
                records(walk, &path.child(at), list, choice);
                choice += 1;
            }
        }
    }
}

/// Tenants: a server may answer with more of them than the request named.
#[derive(Debug)]
pub(super) struct Tenants;

impl ReplyFormat for Tenants {
    fn read(&self, _walk: &mut Walk<'_>, _reply: &Json<'_>) {}

    fn confine(&self, reply: &mut Json<'_>, tenant: &str) -> bool {
        let Json::Array(tenants) = reply else { return false };
        let before = tenants.len();
        tenants.retain(|one| one.get("name").and_then(Json::as_str) == Some(tenant));
        tenants.len() < before
    }
}
