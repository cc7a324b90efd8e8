//! Replies of chat, whole and as a stream of typed events.
//!
//! Parts of the content and tool calls are numbered apart, each from 0: in channels calls come after [`TOOLS`].

use serde_json::{Value, json};

use super::super::frames::{Frame, Framing};
use super::super::reply::{End, Ending, ReplyFormat, TextKind, ToolCall, Walk, index};
use super::super::{Json, Path};

/// Replies of chat.
#[derive(Debug)]
pub(super) struct Messages;

/// The item of the first tool call. The API names no more parts than that.
const TOOLS: u32 = 1 << 20;
/// The item of the plan that comes before calls, of which a message has one.
const PLAN: u32 = u32::MAX;
/// Why a message ended that was not to be read. The API knows no word for a filter.
pub(super) const WITHHELD: &str = "ERROR";

impl ReplyFormat for Messages {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        if walk.stream { read_event(walk, reply) } else { read_whole(walk, reply) }
    }

    fn is_terminator(&self, data: &[u8]) -> bool {
        data == b"[DONE]"
    }

    fn remove_calls(&self, reply: &mut Json<'_>, paths: &[&Path], notice: &str) {
        remove_calls(reply, paths, notice);
    }

    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        close(ending)
    }

    fn counts_items(&self) -> bool {
        true
    }
}

/// The item of a part of the content, and that of a call.
fn part_item(number: u32) -> u32 {
    number.min(TOOLS - 1)
}

fn call_item(number: u32) -> u32 {
    TOOLS.saturating_add(number).min(PLAN - 1)
}

fn read_whole(walk: &mut Walk<'_>, reply: &Json<'_>) {
    let Json::Object(entries) = reply else { return walk.others(&Path::default(), reply) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let path = Path::default().child(at);
        match (key.as_ref(), value) {
            ("message", Json::Object(_)) => read_message(walk, &path, value, 0),
            ("usage", Json::Object(_)) => walk.parts.usage = super::usage(value),
            ("logprobs", Json::Array(_)) => walk.parts.echoes.push(path),
            _ => walk.rest(&path, key, value),
        }
    }
    walk.finish(reply.get("finish_reason"));
}

fn read_event(walk: &mut Walk<'_>, event: &Json<'_>) {
    let Json::Object(entries) = event else { return walk.others(&Path::default(), event) };
    let number = index(event, 0);
    for (at, (key, value)) in entries.iter().enumerate() {
        let path = Path::default().child(at);
        match (key.as_ref(), value) {
            ("delta", Json::Object(_)) => read_delta(walk, &path, value, number),
            ("logprobs", Json::Object(_)) => walk.parts.echoes.push(path),
            _ => walk.rest(&path, key, value),
        }
    }
    let end = |item| End { choice: Some(0), item: Some(item) };
    match event.get("type").and_then(Json::as_str).unwrap_or_default() {
        "content-end" => walk.parts.ends.push(end(part_item(number))),
        "tool-call-end" => {
            let item = call_item(number);
            // It goes where its call goes.
            walk.parts.calls.push(ToolCall {
                name: String::new(),
                choice: 0,
                item,
                path: Path::default(),
                named: false,
            });
            walk.parts.ends.push(end(item));
        }
        "message-end" => {
            walk.finish(event.get("delta").and_then(|delta| delta.get("finish_reason")));
            walk.parts.ends.push(End::ALL);
        }
        _ => {}
    }
}

fn read_delta(walk: &mut Walk<'_>, path: &Path, delta: &Json<'_>, number: u32) {
    let Json::Object(entries) = delta else { return };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("message", Json::Object(_)) => read_message(walk, &place, value, number),
            ("usage", Json::Object(_)) => walk.parts.usage = super::usage(value),
            _ => walk.rest(&place, key, value),
        }
    }
}

/// A message, or the part of one that an event of this number has.
fn read_message(walk: &mut Walk<'_>, path: &Path, message: &Json<'_>, number: u32) {
    let Json::Object(entries) = message else { return };
    let after = |position: usize| number.saturating_add(u32::try_from(position).unwrap_or(u32::MAX));
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("content", Json::Array(parts)) => {
                for (position, part) in parts.iter().enumerate() {
                    read_part(walk, &place.child(position), part, part_item(after(position)));
                }
            }
            ("content", _) => read_part(walk, &place, value, part_item(number)),
            ("tool_plan", _) => walk.text(&place, value, 0, PLAN, TextKind::Reasoning),
            ("tool_calls", Json::Array(calls)) => {
                for (position, call) in calls.iter().enumerate() {
                    read_call(walk, &place.child(position), call, call_item(after(position)));
                }
            }
            ("tool_calls", Json::Object(_)) => read_call(walk, &place, value, call_item(number)),
            _ => walk.rest(&place, key, value),
        }
    }
}

fn read_part(walk: &mut Walk<'_>, path: &Path, part: &Json<'_>, item: u32) {
    let Json::Object(entries) = part else { return walk.text(path, part, 0, item, TextKind::Text) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "text" => walk.text(&place, value, 0, item, TextKind::Text),
            "thinking" => walk.text(&place, value, 0, item, TextKind::Reasoning),
            _ => walk.rest(&place, key, value),
        }
    }
}

/// A call, or a piece of one. Of a stream the whole event goes with it: it holds nothing else. One with two names has
/// none, and no list of tools allows that.
fn read_call(walk: &mut Walk<'_>, path: &Path, call: &Json<'_>, item: u32) {
    let Json::Object(entries) = call else { return walk.others(path, call) };
    let holders = [Some(call), call.get("function")].into_iter().flatten();
    let mut names = holders.filter_map(|holder| holder.get("name")?.as_str()).filter(|name| !name.is_empty());
    let name = names.next().unwrap_or_default();
    let is_one = names.all(|other| other == name);
    walk.parts.calls.push(ToolCall {
        name: if is_one { name.to_owned() } else { String::new() },
        choice: 0,
        item,
        path: if walk.stream { Path::default() } else { path.clone() },
        named: !walk.stream || !name.is_empty(),
    });
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        let Json::Object(inner) = value else {
            walk.rest(&place, key, value);
            continue;
        };
        for (at, (key, value)) in inner.iter().enumerate() {
            let place = place.child(at);
            match key.as_ref() {
                "arguments" => walk.text(&place, value, 0, item, TextKind::ToolArguments),
                _ => walk.rest(&place, key, value),
            }
        }
    }
}

/// An event of a call becomes a piece of the plan, which has no number that could be missed. Of a whole reply the calls go
/// and what tells of them.
fn remove_calls(reply: &mut Json<'_>, paths: &[&Path], notice: &str) {
    if paths.iter().any(|path| path.depth() == 0) {
        let is_first = reply.get("type").and_then(Json::as_str) == Some("tool-call-start");
        let message = Json::object([("tool_plan", if is_first { notice } else { "" })]);
        let delta = Json::Object(vec![("message".into(), message)]);
        *reply = Json::object([("type", "tool-plan-delta")]);
        reply.set("delta", delta);
        return;
    }
    reply.remove(paths);
    if let Some(Json::Object(entries)) = reply.get_mut("message") {
        let before = entries.len();
        entries.retain(|(key, value)| key != "tool_calls" || !matches!(value, Json::Array(calls) if calls.is_empty()));
        if entries.len() == before {
            return;
        }
        let is_empty =
            |value: &Json<'_>| matches!(value, Json::Null) || matches!(value, Json::Array(parts) if parts.is_empty());
        let said = entries.iter().any(|(key, value)| key == "content" && !is_empty(value));
        if !said {
            entries.retain(|(key, _)| key != "content");
            let part = Json::object([("type", "text"), ("text", notice)]);
            entries.push(("content".into(), Json::Array(vec![part])));
        }
    }
    let holder = if reply.get("delta").is_some() { reply.get_mut("delta") } else { Some(reply) };
    if let Some(reason) = holder.and_then(|holder| holder.get_mut("finish_reason"))
        && reason.as_str() == Some("TOOL_CALL")
    {
        *reason = Json::String("COMPLETE".into());
    }
}

fn close(ending: &Ending<'_>) -> Vec<u8> {
    let Ending { facts, sent, told, .. } = ending;
    let mut out = Vec::new();
    if !sent.started {
        let message = json!({ "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": [] });
        let start = json!({ "type": "message-start", "id": facts.id.as_deref().unwrap_or("0"),
            "delta": { "message": message } });
        out.extend(Frame::of_data(Framing::Sse, Some("message-start"), start.to_string().as_bytes()));
    }
    for item in sent.open.iter().copied().filter(|item| *item != PLAN) {
        let (kind, number) = if item < TOOLS { ("content-end", item) } else { ("tool-call-end", item - TOOLS) };
        out.extend(event(kind, Some(number), Value::Null));
    }
    let why = ending.why("MAX_TOKENS", WITHHELD);
    let count = |tokens: Option<u64>| tokens.unwrap_or(0);
    let usage = ending.usage.unwrap_or_default();
    let mut delta = json!({ "finish_reason": why,
        "usage": { "tokens": { "input_tokens": count(usage.input), "output_tokens": count(usage.output) } } });
    if why == WITHHELD
        && let Value::Object(fields) = &mut delta
    {
        fields.insert("error".to_owned(), told.message.as_ref().into());
    }
    out.extend(event("message-end", None, delta));
    out
}

fn event(kind: &str, number: Option<u32>, delta: Value) -> Vec<u8> {
    let mut event = json!({ "type": kind });
    if let Value::Object(fields) = &mut event {
        if let Some(number) = number {
            fields.insert("index".to_owned(), number.into());
        }
        if !delta.is_null() {
            fields.insert("delta".to_owned(), delta);
        }
    }
    Frame::of_data(Framing::Sse, Some(kind), event.to_string().as_bytes())
}
