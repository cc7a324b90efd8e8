//! What a server sends: every string is a text, and what its lists and its questions define can be cut out.

use super::super::form::Form;
use super::super::reply::{Asked, Channel, TextKind, ToolCall, Walk};
use super::super::{Json, Path};
use super::{REVISIONS, STATELESS, http_sse, visit_payloads};
use crate::reason::Reason;

/// The question to the client's model.
const SAMPLING: &str = "sampling/createMessage";

/// A server's message, whole or one event of a stream: every string is a text, and the tools of a list
/// are calls that can be cut out of it.
pub(super) fn read(walk: &mut Walk<'_>, reply: &Json<'_>) {
    let root = Path::default();
    let mut payloads = Vec::new();
    visit_payloads(reply, &root, &mut |kind, place| payloads.push((kind, place.clone())));
    walk.strings(&root, reply, Channel { choice: 0, item: 0, kind: TextKind::Text });
    // Short ones are scanned besides.
    let mut long: Vec<Path> = payloads.iter().map(|(_, path)| path.clone()).collect();
    long.retain(|path| reply.at(path).is_some_and(|value| walk.parts.parameter(value, Form::Base64)));
    walk.parts.texts.retain(|text| text.is_key || !long.contains(&text.path));
    walk.parts.unscanned.extend(payloads);
    match reply {
        Json::Array(messages) => {
            for (position, message) in messages.iter().enumerate() {
                list_definitions(walk, &root.child(position), message);
            }
        }
        message => list_definitions(walk, &root, message),
    }
}

/// The lists of definitions that a result may hold: each one's key, what comes before the names of its elements, and
/// the key of these names.
const LISTS: [(&str, &str, &str); 4] = [
    ("tools", "", "name"),
    ("prompts", "prompt:", "name"),
    ("resources", "resource:", "uri"),
    ("resourceTemplates", "resource:", "uriTemplate"),
];

fn list_definitions(walk: &mut Walk<'_>, path: &Path, message: &Json<'_>) {
    let Json::Object(entries) = message else { return };
    for place in question_places(message).unwrap_or_default() {
        let Some(Json::Object(fields)) = message.at(&place) else { continue };
        let Some(at) = fields.iter().position(|(key, _)| key == "tools") else { continue };
        let Some((_, Json::Array(tools))) = fields.get(at) else { continue };
        for (position, tool) in tools.iter().enumerate() {
            let path = path.join(&place).child(at).child(position);
            define(walk, tool, "", "name", position, path);
        }
    }
    let Some(result) = entries.iter().position(|(key, _)| key == "result") else { return };
    for (list, prefix, name) in LISTS {
        let Some(Json::Object(fields)) = message.get("result") else { return };
        let Some(at) = fields.iter().position(|(key, _)| key == list) else { continue };
        let Some((_, Json::Array(items))) = fields.get(at) else { continue };
        for (position, item) in items.iter().enumerate() {
            let path = path.child(result).child(at).child(position);
            define(walk, item, prefix, name, position, path);
        }
    }
}

fn define(walk: &mut Walk<'_>, item: &Json<'_>, prefix: &str, name: &str, position: usize, path: Path) {
    let name = format!("{prefix}{}", item.get(name).and_then(Json::as_str).unwrap_or_default());
    let item = u32::try_from(position).unwrap_or(u32::MAX);
    walk.parts.calls.push(ToolCall { name, choice: 0, item, path, named: true });
}

/// Checks that a server's message has the form in which its definitions are looked for, and that its revision is one
/// that is read.
///
/// # Errors
/// [`Reason::ReplyUnreadable`] for an array that answers none, for what is no message, and for a key that a lenient
/// client would take for one of the protocol's; [`Reason::McpRevision`].
pub(super) fn check(reply: &Json<'_>, asked: Asked) -> Result<(), Reason> {
    match reply {
        Json::Array(messages) if asked.is_batch => messages.iter().try_for_each(|one| check_message(one, asked)),
        message => check_message(message, asked),
    }
}

fn check_message(message: &Json<'_>, asked: Asked) -> Result<(), Reason> {
    match message {
        Json::Object(_) => {}
        Json::Array(_) => return Err(Reason::ReplyUnreadable),
        // A word of a server about an error: a text, and no list.
        _ => return Ok(()),
    }
    let field = |holder: &Json<'_>, name| holder.field(name).map(|_| ()).map_err(|_| Reason::ReplyUnreadable);
    ["jsonrpc", "id", "method", "params", "result", "error"].into_iter().try_for_each(|name| field(message, name))?;
    for asked in questions(message)? {
        check_list(asked, "tools", "name")?;
    }
    let Some(result @ Json::Object(_)) = message.get("result") else { return Ok(()) };
    // The answer to `initialize`.
    if result.get("serverInfo").is_some() && !speaks(result, asked.is_http_sse) {
        return Err(Reason::McpRevision);
    }
    LISTS.into_iter().try_for_each(|(list, _, name)| check_list(result, list, name))
}

/// A list of definitions is one, and no key of it or of its elements could be taken for the protocol's.
fn check_list(holder: &Json<'_>, list: &str, name: &str) -> Result<(), Reason> {
    let field = |holder: &Json<'_>, name| holder.field(name).map(|_| ()).map_err(|_| Reason::ReplyUnreadable);
    field(holder, list)?;
    match holder.get(list) {
        None | Some(Json::Null) => Ok(()),
        Some(Json::Array(items)) => items.iter().try_for_each(|item| field(item, name)),
        Some(_) => Err(Reason::ReplyUnreadable),
    }
}

/// True when the revision that a server chose in its handshake is read in this form of the protocol.
fn speaks(result: &Json<'_>, is_http_sse: bool) -> bool {
    let revision = result.get("protocolVersion").and_then(Json::as_str).unwrap_or_default();
    let known = revision != STATELESS && REVISIONS.contains(&revision);
    known || (is_http_sse && revision == http_sse::REVISION)
}

/// The parameters of every question to the client's model: the message itself, or those that a result or a
/// notification holds (`inputRequests`, revision 2026-07-28).
///
/// # Errors
/// [`Reason::ReplyUnreadable`] for a key that a lenient client would take for one of these.
fn questions<'m, 'j>(message: &'m Json<'j>) -> Result<Vec<&'m Json<'j>>, Reason> {
    let mut found = Vec::new();
    for place in question_places(message)? {
        found.extend(message.at(&place));
    }
    Ok(found)
}

/// Where they are.
fn question_places(message: &Json<'_>) -> Result<Vec<Path>, Reason> {
    let mut places = Vec::new();
    let unreadable = |_| Reason::ReplyUnreadable;
    let mut asked = |question: &Json<'_>, path: &Path| -> Result<(), Reason> {
        let Json::Object(_) = question else { return Ok(()) };
        question.field("method").map_err(unreadable)?;
        if let (Some((at, Json::Object(_))), Some(SAMPLING)) =
            (question.field("params").map_err(unreadable)?, question.get("method").and_then(Json::as_str))
        {
            places.push(path.child(at));
        }
        Ok(())
    };
    let root = Path::default();
    asked(message, &root)?;
    for holder in ["result", "params"] {
        let Ok(Some((at, holder @ Json::Object(_)))) = message.field(holder) else { continue };
        let Some((list, Json::Object(questions))) = holder.field("inputRequests").map_err(unreadable)? else {
            continue;
        };
        for (position, (_, question)) in questions.iter().enumerate() {
            asked(question, &root.child(at).child(list).child(position))?;
        }
    }
    Ok(places)
}
