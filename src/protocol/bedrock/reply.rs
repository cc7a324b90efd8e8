//! Replies of Converse, whole and as a stream of events. Nova's own events are the same, so that InvokeModel reads them too.

use serde_json::json;

use super::super::eventstream::is_padding;
use super::super::form::Form;
use super::super::frames::{Frame, Framing};
use super::super::reply::{Channel, End, Ending, ReplyFormat, TextKind, ToolCall, Walk};
use super::super::{Json, Path, Told, UnscannedKind, Usage};

/// Replies of Converse.
#[derive(Debug)]
pub(super) struct Conversed;

pub(super) const CONVERSED: &dyn ReplyFormat = &Conversed;

/// The events of a stream.
const START: &str = "contentBlockStart";
const DELTA: &str = "contentBlockDelta";
const STOP: &str = "contentBlockStop";

impl ReplyFormat for Conversed {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        if walk.stream { read_event(walk, reply) } else { read_reply(walk, &Path::default(), reply) }
    }

    fn framing(&self) -> Framing {
        Framing::Messages
    }

    fn remove_calls(&self, reply: &mut Json<'_>, paths: &[&Path], notice: &str) {
        paths.iter().for_each(|path| replace_call(reply, path, notice));
        end_turn(reply);
    }

    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        if !ending.sent.started {
            out.extend(event("messageStart", &json!({ "role": "assistant" })));
        }
        for block in &ending.sent.open {
            out.extend(event(STOP, &json!({ "contentBlockIndex": block })));
        }
        let why = ending.why("max_tokens", "content_filtered");
        out.extend(event("messageStop", &json!({ "stopReason": why })));
        let count = |count: fn(&Usage) -> Option<u64>| ending.usage.as_ref().and_then(count).unwrap_or(0);
        let (input, output) = (count(|usage| usage.input), count(|usage| usage.output));
        let total = input.saturating_add(output);
        let usage = json!({ "inputTokens": input, "outputTokens": output, "totalTokens": total });
        out.extend(event("metadata", &json!({ "usage": usage, "metrics": { "latencyMs": 0 } })));
        out
    }

    fn counts_items(&self) -> bool {
        true
    }
}

fn event(name: &str, payload: &serde_json::Value) -> Vec<u8> {
    Frame::of_data(Framing::Messages, Some(name), payload.to_string().as_bytes())
}

/// The reply of a model that a filter has stopped.
pub(super) fn withheld(told: &Told<'_>) -> Vec<u8> {
    let body = json!({
        "output": { "message": { "role": "assistant", "content": [{ "text": told.message }] } },
        "stopReason": "content_filtered", "usage": { "inputTokens": 0, "outputTokens": 0, "totalTokens": 0 },
        "metrics": { "latencyMs": 0 },
    });
    body.to_string().into_bytes()
}

fn read_reply(walk: &mut Walk<'_>, path: &Path, reply: &Json<'_>) {
    let Json::Object(entries) = reply else { return walk.others(path, reply) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("output" | "message", Json::Object(_)) => read_reply(walk, &place, value),
            ("content", Json::Array(blocks)) => {
                for (position, block) in blocks.iter().enumerate() {
                    read_block(walk, &place.child(position), block, u32::try_from(position).unwrap_or(u32::MAX));
                }
            }
            ("usage", Json::Object(_)) => walk.parts.usage = Some(usage(value)),
            _ => walk.rest(&place, key, value),
        }
    }
    walk.finish(reply.get("stopReason"));
}

fn read_block(walk: &mut Walk<'_>, path: &Path, block: &Json<'_>, item: u32) {
    let Json::Object(entries) = block else { return walk.others(path, block) };
    for (at, (key, value)) in entries.iter().enumerate() {
        read_part(walk, path, &path.child(at), (key, value), item);
    }
}

/// What a block is, or the next piece of it. `whole`: what must go for a call to go.
fn read_part(walk: &mut Walk<'_>, whole: &Path, place: &Path, (key, value): (&str, &Json<'_>), item: u32) {
    let Json::Object(entries) = value else {
        return match key {
            "text" => walk.text(place, value, 0, item, TextKind::Text),
            "signature" | "redactedContent" | "bytes" => walk.payload(UnscannedKind::Opaque, place, value),
            _ => walk.rest(place, key, value),
        };
    };
    if key == "toolUse" {
        let name = value.get("name").and_then(Json::as_str);
        let (named, name) = (name.is_some(), name.unwrap_or_default().to_owned());
        walk.parts.calls.push(ToolCall { name, choice: 0, item, path: whole.clone(), named });
    }
    for (at, (inner, value)) in entries.iter().enumerate() {
        let place = place.child(at);
        match (key, inner.as_ref()) {
            ("toolUse", "input") if value.as_str().is_some() => {
                walk.text(&place, value, 0, item, TextKind::ToolArguments);
            }
            ("toolUse", "input") => {
                walk.strings(&place, value, Channel { choice: 0, item, kind: TextKind::ToolArguments });
            }
            ("reasoningContent" | "reasoningText", "text") => {
                walk.text(&place, value, 0, item, TextKind::Reasoning);
            }
            ("reasoningContent", "reasoningText") => read_part(walk, whole, &place, (inner, value), item),
            ("reasoningContent" | "reasoningText", "signature" | "redactedContent") => {
                walk.payload(UnscannedKind::Opaque, &place, value);
            }
            // What the model wrote, with its sources beside it.
            ("citationsContent", "content") => texts(walk, &place, value, item),
            ("image", "source") => {
                if let Json::Object(entries) = value {
                    for (at, (key, value)) in entries.iter().enumerate() {
                        match key.as_ref() {
                            "bytes" => walk.payload(UnscannedKind::Image, &place.child(at), value),
                            _ => walk.rest(&place.child(at), key, value),
                        }
                    }
                }
            }
            _ => walk.rest(&place, inner, value),
        }
    }
}

/// A list of texts that are one after the other.
fn texts(walk: &mut Walk<'_>, path: &Path, value: &Json<'_>, item: u32) {
    let Json::Array(parts) = value else { return walk.others(path, value) };
    for (position, part) in parts.iter().enumerate() {
        let place = path.child(position);
        let Json::Object(entries) = part else {
            walk.others(&place, part);
            continue;
        };
        for (at, (key, value)) in entries.iter().enumerate() {
            match key.as_ref() {
                "text" => walk.text(&place.child(at), value, 0, item, TextKind::Text),
                _ => walk.rest(&place.child(at), key, value),
            }
        }
    }
}

fn read_event(walk: &mut Walk<'_>, event: &Json<'_>) {
    let Json::Object(events) = event else { return walk.others(&Path::default(), event) };
    for (at, (name, event)) in events.iter().enumerate() {
        let path = Path::default().child(at);
        let Json::Object(entries) = event else {
            walk.rest(&path, name, event);
            continue;
        };
        let item = event.get("contentBlockIndex").and_then(Json::as_u64).unwrap_or(0);
        let item = u32::try_from(item).unwrap_or(u32::MAX);
        for (at, (key, value)) in entries.iter().enumerate() {
            let place = path.child(at);
            match (key.as_ref(), value) {
                ("start" | "delta", Json::Object(entries)) => {
                    for (at, (key, value)) in entries.iter().enumerate() {
                        read_part(walk, &Path::default(), &place.child(at), (key, value), item);
                    }
                }
                ("usage", Json::Object(_)) => {
                    walk.parts.usage = Some(usage(value));
                    walk.rest(&place, key, value);
                }
                ("stopReason", Json::String(_)) if walk.parts.parameter(value, Form::Name) => {}
                ("p", Json::String(text)) if is_padding(text) => {
                    walk.parts.parameter(value, Form::Word(&[text]));
                }
                _ => walk.rest(&place, key, value),
            }
        }
        match name.as_ref() {
            STOP => walk.parts.ends.push(End { choice: Some(0), item: Some(item) }),
            "messageStop" => {
                walk.finish(event.get("stopReason"));
                walk.parts.ends.push(End::ALL);
            }
            _ => {}
        }
    }
}

/// A prompt's count is without what is in a cache or goes into it.
fn usage(value: &Json<'_>) -> Usage {
    let count = |names: [&str; 2]| names.into_iter().find_map(|name| value.get(name)?.as_u64());
    let cached = count(["cacheReadInputTokens", "cacheReadInputTokenCount"]);
    let input = count(["inputTokens", "inputTokenCount"]).map(|own| {
        let others = [count(["cacheWriteInputTokens", "cacheWriteInputTokenCount"]), cached];
        others.into_iter().flatten().fold(own, u64::saturating_add)
    });
    Usage { input, output: count(["outputTokens", "outputTokenCount"]), cached, reasoning: None }
}

/// Puts a text in the place of a call: the numbers of the blocks around it stay.
fn replace_call(reply: &mut Json<'_>, path: &Path, notice: &str) {
    let Some(place) = reply.at_mut(path) else { return };
    let [of_start, of_delta] = [START, DELTA].map(|name| place.get(name).map(index_of));
    let text = |text: &str| Json::object([("text", text)]);
    *place = match (of_start, of_delta) {
        // A text has no event that opens it: its first piece does.
        (Some(index), _) => delta(index, text(notice)),
        (None, Some(index)) => delta(index, text("")),
        (None, None) => text(notice),
    };
}

fn index_of<'j>(event: &Json<'j>) -> Json<'j> {
    event.get("contentBlockIndex").cloned().unwrap_or(Json::Null)
}

fn delta<'j>(index: Json<'j>, piece: Json<'j>) -> Json<'j> {
    let event = vec![("contentBlockIndex".into(), index), ("delta".into(), piece)];
    Json::Object(vec![(DELTA.into(), Json::Object(event))])
}

/// A reply without calls ends by itself.
fn end_turn(reply: &mut Json<'_>) {
    let content = reply.get("output").and_then(|output| output.get("message")?.get("content"));
    let calls = match content {
        Some(Json::Array(blocks)) => blocks.iter().any(|block| block.get("toolUse").is_some()),
        _ => false,
    };
    let holder = if reply.get("messageStop").is_some() { reply.get_mut("messageStop") } else { Some(reply) };
    if !calls
        && let Some(reason) = holder.and_then(|holder| holder.get_mut("stopReason"))
        && reason.as_str() == Some("tool_use")
    {
        *reason = Json::String("end_turn".into());
    }
}
