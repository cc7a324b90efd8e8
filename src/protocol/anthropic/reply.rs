//! Messages, whole and as a stream of content blocks.

use serde_json::{Value, json};

use super::super::frames::{Frame, Framing};
use super::super::reply::{Channel, End, Ending, ReplyFormat, TextKind, ToolCall, Walk, index};
use super::super::{Json, Path, UnscannedKind, Usage};

/// Replies of the messages API.
#[derive(Debug)]
pub(super) struct Messages;

impl ReplyFormat for Messages {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        if walk.stream { read_event(walk, reply) } else { read_message(walk, &Path::default(), reply) }
    }

    fn remove_calls(&self, reply: &mut Json<'_>, paths: &[&Path], notice: &str) {
        replace_calls(reply, paths, notice);
    }

    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        close(ending)
    }

    fn counts_items(&self) -> bool {
        true
    }
}

fn read_message(walk: &mut Walk<'_>, path: &Path, message: &Json<'_>) {
    let Json::Object(entries) = message else { return walk.others(path, message) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("content", Json::Array(blocks)) => {
                for (position, block) in blocks.iter().enumerate() {
                    read_block(walk, &place.child(position), block, u32::try_from(position).unwrap_or(u32::MAX));
                }
            }
            ("usage", Json::Object(_)) => walk.parts.usage = Some(usage(value)),
            _ => walk.rest(&place, key, value),
        }
    }
    walk.finish(message.get("stop_reason"));
}

fn read_event(walk: &mut Walk<'_>, event: &Json<'_>) {
    let Json::Object(entries) = event else { return walk.others(&Path::default(), event) };
    let kind = event.get("type").and_then(Json::as_str).unwrap_or_default();
    let item = index(event, 0);
    for (at, (key, value)) in entries.iter().enumerate() {
        let path = Path::default().child(at);
        match (key.as_ref(), value) {
            ("message", Json::Object(_)) => read_message(walk, &path, value),
            ("content_block", Json::Object(_)) => read_block(walk, &path, value, item),
            ("delta", Json::Object(_)) if kind == "content_block_delta" => read_delta(walk, &path, value, item),
            ("usage", Json::Object(_)) => walk.parts.usage = Some(usage(value)),
            _ => walk.rest(&path, key, value),
        }
    }
    match kind {
        "content_block_stop" => walk.parts.ends.push(End { choice: Some(0), item: Some(item) }),
        "message_delta" => {
            walk.finish(event.get("delta").and_then(|delta| delta.get("stop_reason")));
            walk.parts.ends.push(End::ALL);
        }
        "message_stop" => walk.parts.ends.push(End::ALL),
        _ => {}
    }
}

fn read_block(walk: &mut Walk<'_>, path: &Path, block: &Json<'_>, item: u32) {
    let Json::Object(entries) = block else { return walk.others(path, block) };
    let kind = block.get("type").and_then(Json::as_str).unwrap_or_default();
    if kind == "tool_use" {
        let name = block.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
        walk.parts.calls.push(ToolCall { name, choice: 0, item, path: path.clone(), named: true });
    }
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), kind) {
            ("text", _) => walk.text(&place, value, 0, item, TextKind::Text),
            ("thinking", _) => walk.text(&place, value, 0, item, TextKind::Reasoning),
            ("input", _) => {
                walk.strings(&place, value, Channel { choice: 0, item, kind: TextKind::ToolArguments });
            }
            // What only the provider can read.
            ("signature" | "encrypted_content" | "encrypted_index", _) => {
                walk.payload(UnscannedKind::Opaque, &place, value);
            }
            ("data", "redacted_thinking") => walk.payload(UnscannedKind::Opaque, &place, value),
            _ => walk.rest(&place, key, value),
        }
    }
}

fn read_delta(walk: &mut Walk<'_>, path: &Path, delta: &Json<'_>, item: u32) {
    let Json::Object(entries) = delta else { return };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "text" => walk.text(&place, value, 0, item, TextKind::Text),
            "thinking" => walk.text(&place, value, 0, item, TextKind::Reasoning),
            "partial_json" => {
                let (name, named) = (String::new(), false);
                walk.parts.calls.push(ToolCall { name, choice: 0, item, path: path.clone(), named });
                walk.text(&place, value, 0, item, TextKind::ToolArguments);
            }
            "signature" => walk.payload(UnscannedKind::Opaque, &place, value),
            _ => walk.rest(&place, key, value),
        }
    }
}

/// Anthropic counts cached tokens apart.
fn usage(value: &Json<'_>) -> Usage {
    let count = |name: &str| value.get(name).and_then(Json::as_u64);
    let cached = count("cache_read_input_tokens");
    let input = count("input_tokens").map(|own| {
        let others = [count("cache_creation_input_tokens"), cached];
        others.into_iter().flatten().fold(own, u64::saturating_add)
    });
    Usage { input, output: count("output_tokens"), cached, reasoning: None }
}

/// Puts text in the place of calls: the numbers of the blocks around them stay.
fn replace_calls(reply: &mut Json<'_>, paths: &[&Path], notice: &str) {
    for path in paths {
        let Some(block) = reply.at_mut(path) else { continue };
        let (kind, text) = if block.get("partial_json").is_some() { ("text_delta", "") } else { ("text", notice) };
        *block = Json::object([("type", kind), ("text", text)]);
    }
    let left = match reply.get("content") {
        Some(Json::Array(blocks)) => {
            blocks.iter().any(|block| block.get("type").and_then(Json::as_str) == Some("tool_use"))
        }
        _ => false,
    };
    let holder = if reply.get("delta").is_some() { reply.get_mut("delta") } else { Some(reply) };
    if !left
        && let Some(reason) = holder.and_then(|holder| holder.get_mut("stop_reason"))
        && reason.as_str() == Some("tool_use")
    {
        *reason = Json::String("end_turn".into());
    }
}

fn close(ending: &Ending<'_>) -> Vec<u8> {
    let Ending { facts, sent, .. } = ending;
    let output = ending.usage.and_then(|usage| usage.output).unwrap_or(0);
    let why = ending.why("max_tokens", "refusal");
    let mut out = Vec::new();
    if !sent.started {
        let message = json!({
            "id": facts.id.as_deref().unwrap_or("msg_0"), "type": "message", "role": "assistant", "content": [],
            "model": facts.model.as_deref().unwrap_or_default(), "stop_reason": null, "stop_sequence": null,
            "usage": { "input_tokens": 0, "output_tokens": 0 },
        });
        out.extend(event("message_start", json!({ "message": message })));
    }
    for block in &sent.open {
        out.extend(event("content_block_stop", json!({ "index": block })));
    }
    let delta = json!({ "stop_reason": why, "stop_sequence": null });
    out.extend(event("message_delta", json!({ "delta": delta, "usage": { "output_tokens": output } })));
    out.extend(event("message_stop", json!({})));
    out
}

fn event(kind: &str, mut event: Value) -> Vec<u8> {
    if let Value::Object(fields) = &mut event {
        fields.insert("type".to_owned(), kind.into());
    }
    Frame::of_data(Framing::Sse, Some(kind), event.to_string().as_bytes())
}
