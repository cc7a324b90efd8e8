//! Replies of the responses API: output items, whole and as a stream of named events.
//!
//! A channel's item is the place of the output item, its choice the place of the part in it.

use serde_json::json;

use super::super::frames::{Frame, Framing};
use super::super::reply::{Channel, End, Ending, Facts, ReplyFormat, TextKind, ToolCall, Walk, id};
use super::super::{Json, Path, UnscannedKind, Usage};

/// Replies of the responses API.
#[derive(Debug)]
pub(super) struct Responses;

impl ReplyFormat for Responses {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        if walk.stream { read_event(walk, reply) } else { read_response(walk, &Path::default(), reply) }
    }

    fn remove_calls(&self, reply: &mut Json<'_>, paths: &[&Path], notice: &str) {
        replace_calls(reply, paths, notice);
    }

    fn kept(&self, reply: &Json<'_>) -> Vec<String> {
        id(reply).into_iter().collect()
    }

    fn kept_by(&self, event: &Json<'_>) -> Option<String> {
        let kind = event.get("type").and_then(Json::as_str);
        let ends = matches!(kind, Some("response.completed" | "response.incomplete"));
        if ends { id(event.get("response")?) } else { None }
    }

    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        close(ending.facts, ending.why("max_output_tokens", "content_filter"))
    }

    fn counts_items(&self) -> bool {
        true
    }
}

/// Replies about a stored conversation and its items.
#[derive(Debug)]
pub(super) struct Conversations;

impl ReplyFormat for Conversations {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        read_response(walk, &Path::default(), reply);
    }

    /// An item of a conversation has a type, and belongs to it.
    fn kept(&self, reply: &Json<'_>) -> Vec<String> {
        id(reply).into_iter().filter(|_| reply.get("type").is_none()).collect()
    }
}

pub(super) fn read_response(walk: &mut Walk<'_>, path: &Path, response: &Json<'_>) {
    let Json::Object(entries) = response else { return walk.others(path, response) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            // `data`: the list of a response's or conversation's items.
            ("output" | "data", Json::Array(items)) => {
                for (position, item) in items.iter().enumerate() {
                    read_item(walk, &place.child(position), item, u32::try_from(position).unwrap_or(u32::MAX));
                }
            }
            // The request's instructions, said again: the client wrote them, or must not see them.
            ("instructions", Json::String(_) | Json::Array(_)) => walk.parts.echoes.push(place),
            ("usage", Json::Object(_)) => {
                walk.parts.usage = Usage::of_counts(value);
            }
            _ => walk.rest(&place, key, value),
        }
    }
    walk.refusal_of_error(response);
    match response.get("status").and_then(Json::as_str) {
        // The reason says more than that it is incomplete.
        Some("incomplete") => {
            let reason = response.get("incomplete_details").and_then(|details| details.get("reason"));
            walk.finish(reason.or(response.get("status")));
        }
        Some("completed" | "failed" | "cancelled") => walk.finish(response.get("status")),
        _ => {}
    }
}

fn read_item(walk: &mut Walk<'_>, path: &Path, item: &Json<'_>, number: u32) {
    let Json::Object(entries) = item else { return walk.others(path, item) };
    let kind = item.get("type").and_then(Json::as_str).unwrap_or_default();
    let whole = |kind| Channel { choice: 0, item: number, kind };
    if matches!(kind, "function_call" | "custom_tool_call") {
        let name = item.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
        walk.parts.calls.push(ToolCall { name, choice: 0, item: number, path: path.clone(), named: true });
    }
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("content" | "summary", Json::Array(parts)) => {
                let thoughts = kind == "reasoning";
                for (position, part) in parts.iter().enumerate() {
                    let choice = u32::try_from(position).unwrap_or(u32::MAX);
                    read_part(walk, &place.child(position), part, choice, number, thoughts);
                }
            }
            ("arguments" | "input" | "code" | "action", _) => {
                walk.strings(&place, value, whole(TextKind::ToolArguments));
            }
            ("encrypted_content", Json::String(_)) => walk.payload(UnscannedKind::Opaque, &place, value),
            ("result", Json::String(_)) if kind == "image_generation_call" => {
                walk.payload(UnscannedKind::Image, &place, value);
            }
            _ => walk.rest(&place, key, value),
        }
    }
}

fn read_part(walk: &mut Walk<'_>, path: &Path, part: &Json<'_>, choice: u32, item: u32, thoughts: bool) {
    let Json::Object(entries) = part else { return walk.others(path, part) };
    let text = if thoughts { TextKind::Reasoning } else { TextKind::Text };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("text", _) => walk.strings(&place, value, Channel { choice, item, kind: text }),
            ("refusal", _) => walk.strings(&place, value, Channel { choice, item, kind: TextKind::Refusal }),
            ("logprobs", Json::Array(list)) if list.is_empty() => {}
            ("logprobs", Json::Array(_)) => walk.parts.echoes.push(place),
            // Of what the caller sent.
            ("image_url", Json::String(_)) => walk.payload(UnscannedKind::Image, &place, value),
            ("file_data", Json::String(_)) => walk.payload(UnscannedKind::File, &place, value),
            _ => walk.rest(&place, key, value),
        }
    }
}

fn read_event(walk: &mut Walk<'_>, event: &Json<'_>) {
    let Json::Object(entries) = event else { return walk.others(&Path::default(), event) };
    let kind = event.get("type").and_then(Json::as_str).unwrap_or_default();
    let number =
        |name: &str| event.get(name).and_then(Json::as_u64).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let item = number("output_index").unwrap_or(0);
    let choice = number("content_index").or(number("summary_index")).unwrap_or(0);
    let channel = Channel { choice, item, kind: kind_of(kind) };
    // Function calls can be cut out; what runs at the provider has run.
    let cut = ["response.function_call_arguments.", "response.custom_tool_call_input."];
    let call = cut.iter().any(|prefix| kind.starts_with(prefix));
    for (at, (key, value)) in entries.iter().enumerate() {
        let path = Path::default().child(at);
        match (key.as_ref(), value) {
            ("response", Json::Object(_)) => read_response(walk, &path, value),
            ("item", Json::Object(_)) => read_item(walk, &path, value, item),
            ("part", Json::Object(_)) => {
                read_part(walk, &path, value, choice, item, channel.kind == TextKind::Reasoning);
            }
            ("delta" | "text" | "refusal" | "arguments" | "input" | "code", Json::String(text)) => {
                if call && !text.is_empty() {
                    let (name, named) = (String::new(), false);
                    let path = path.clone();
                    walk.parts.calls.push(ToolCall { name, choice: 0, item, path, named });
                }
                if key == "delta" {
                    walk.text(&path, value, choice, item, channel.kind);
                } else {
                    walk.strings(&path, value, channel);
                }
            }
            ("partial_image_b64", _) => walk.payload(UnscannedKind::Image, &path, value),
            ("logprobs", Json::Array(list)) if list.is_empty() => {}
            ("logprobs", Json::Array(_)) => walk.parts.echoes.push(path),
            _ => walk.rest(&path, key, value),
        }
    }
    match kind {
        "response.completed" | "response.failed" | "response.incomplete" | "error" => walk.parts.ends.push(End::ALL),
        "response.output_item.done" => walk.parts.ends.push(End { choice: None, item: Some(item) }),
        kind if kind.ends_with(".done") => walk.parts.ends.push(End { choice: Some(choice), item: Some(item) }),
        _ => {}
    }
}

fn kind_of(event: &str) -> TextKind {
    if event.contains(".reasoning") {
        TextKind::Reasoning
    } else if event.contains(".refusal") {
        TextKind::Refusal
    } else if event.contains("_call") {
        TextKind::ToolArguments
    } else {
        TextKind::Text
    }
}

/// Puts a message in the place of a call, and nothing in the place of its arguments: the numbers of the
/// items around it stay.
pub(super) fn replace_calls(reply: &mut Json<'_>, paths: &[&Path], notice: &str) {
    for path in paths {
        let Some(place) = reply.at_mut(path) else { continue };
        if let Json::String(text) = place {
            *text = "".into();
            continue;
        }
        let id = place.get("id").and_then(Json::as_str).unwrap_or("msg_0").to_owned();
        let mut part = Json::object([("type", "output_text"), ("text", notice)]);
        if let Json::Object(entries) = &mut part {
            entries.push(("annotations".into(), Json::Array(Vec::new())));
        }
        let mut message = Json::object([("type", "message"), ("role", "assistant"), ("status", "completed")]);
        if let Json::Object(entries) = &mut message {
            entries.push(("id".into(), Json::String(id.into())));
            entries.push(("content".into(), Json::Array(vec![part])));
        }
        *place = message;
    }
}

fn close(facts: &Facts, why: &str) -> Vec<u8> {
    let event = json!({
        "type": "response.incomplete", "sequence_number": facts.sequence.saturating_add(1),
        "response": {
            "id": facts.id.as_deref().unwrap_or("resp_0"), "object": "response",
            "created_at": facts.created.unwrap_or(0), "model": facts.model.as_deref().unwrap_or_default(),
            "status": "incomplete", "incomplete_details": { "reason": why }, "error": null,
            "output": [], "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
        },
    });
    Frame::of_data(Framing::Sse, Some("response.incomplete"), event.to_string().as_bytes())
}
