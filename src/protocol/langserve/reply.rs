//! What chains and graphs answer: texts, messages and whole states, at once or as a stream of them.

use serde_json::json;

use super::super::form::Form;
use super::super::frames::{Frame, Framing};
use super::super::reply::{Channel, End, Ending, Plain, ReplyFormat, TextKind, ToolCall, Walk, index};
use super::super::{Json, Path, Usage};
use super::message::{media, zone};
use crate::crc::Crc32;
use crate::enums::Zone;

/// Answers of chains and of runs.
#[derive(Debug)]
pub(super) struct Outputs {
    /// Of chains, whose objects come in pieces under every key. Under the format's own keys a run tells of itself.
    pub(super) is_chain: bool,
}

/// A thread that was made.
#[derive(Debug)]
pub(super) struct Threads;

const PLAIN: Plain = Plain { usage: |_| None };

impl ReplyFormat for Threads {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        PLAIN.read(walk, reply);
    }

    fn kept(&self, reply: &Json<'_>) -> Vec<String> {
        reply.get("thread_id").and_then(Json::as_str).map(str::to_owned).into_iter().collect()
    }
}

impl ReplyFormat for Outputs {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        let root = Path::default();
        let Json::Object(entries) = reply else { return self.value(walk, &root, reply, 0) };
        if is_message(reply) {
            return message(walk, &root, reply, 0);
        }
        for (at, (key, inner)) in entries.iter().enumerate() {
            let place = root.child(at);
            match (key.as_ref(), inner) {
                // The answers of a batch, or the one of an invocation that is a list.
                ("output", Json::Array(items)) if !walk.stream => {
                    for (position, item) in items.iter().enumerate() {
                        let choice = u32::try_from(position).unwrap_or(u32::MAX);
                        self.value(walk, &place.child(position), item, choice);
                    }
                }
                ("output", inner) if !walk.stream => self.value(walk, &place, inner, 0),
                _ => self.entry(walk, &place, key, inner, 0),
            }
        }
    }

    fn comes_in_turns(&self) -> bool {
        true
    }

    fn remove_calls(&self, reply: &mut Json<'_>, paths: &[&Path], notice: &str) {
        // The notice stands where a call begins, not at each of its pieces.
        let begins = |path: &&Path| {
            let name = reply.at(path).and_then(|call| call.get("name")).and_then(Json::as_str);
            name.is_some_and(|name| !name.is_empty())
        };
        let is_named = paths.iter().any(begins);
        reply.remove(paths);
        if is_named {
            fill(reply, notice);
        }
    }

    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        let denial = ending.told.denial;
        let error =
            json!({ "status_code": denial.status(), "message": ending.told.message, "error": denial.reason.code() });
        Frame::of_data(Framing::Sse, Some("error"), error.to_string().as_bytes())
    }
}

impl Outputs {
    /// Anything that a chain may answer. Depth is bounded by the parser.
    fn value(&self, walk: &mut Walk<'_>, path: &Path, one: &Json<'_>, choice: u32) {
        match one {
            // A chain that answers in words: the next event has the next ones.
            Json::String(_) => walk.text(path, one, choice, 0, TextKind::Text),
            Json::Array(items) => {
                // What is before the caller's newest words was paid for when it was said.
                let newest = items.iter().rposition(|item| zone(item) == Some(Zone::User)).unwrap_or(0);
                for (position, item) in items.iter().enumerate() {
                    let (spent, finish) = (walk.parts.usage, walk.parts.finish);
                    self.value(walk, &path.child(position), item, choice);
                    if position < newest {
                        (walk.parts.usage, walk.parts.finish) = (spent, finish);
                    }
                }
            }
            Json::Object(_) if is_message(one) => message(walk, path, one, choice),
            Json::Object(entries) => {
                for (at, (key, inner)) in entries.iter().enumerate() {
                    self.entry(walk, &path.child(at), key, inner, choice);
                }
            }
            _ => {}
        }
    }

    /// An entry of an object that is no message.
    fn entry(&self, walk: &mut Walk<'_>, path: &Path, key: &str, inner: &Json<'_>, choice: u32) {
        match inner {
            Json::Array(items) if items.iter().any(|item| matches!(item, Json::Object(_) | Json::Array(_))) => {
                self.value(walk, path, inner, choice);
            }
            Json::Object(_) => self.value(walk, path, inner, choice),
            _ if walk.stream && (self.is_chain || !(walk.knows)(key)) => {
                walk.own(path, key, inner, Channel { choice, item: 0, kind: TextKind::Text });
            }
            _ => walk.rest(path, key, inner),
        }
    }
}

/// A message of any speaker.
fn is_message(value: &Json<'_>) -> bool {
    matches!(value, Json::Object(_)) && zone(value).is_some()
}

/// A piece of a message goes on in the next event; a message that is whole does not.
fn is_piece(walk: &Walk<'_>, message: &Json<'_>) -> bool {
    let name = match message.get("id") {
        Some(Json::Array(names)) => names.last(),
        _ => message.get("type"),
    };
    walk.stream && name.and_then(Json::as_str).is_some_and(|name| name.ends_with("Chunk"))
}

fn message(walk: &mut Walk<'_>, path: &Path, message: &Json<'_>, choice: u32) {
    let Json::Object(entries) = message else { return walk.others(path, message) };
    let is_models = zone(message) == Some(Zone::Assistant);
    let goes_on = is_piece(walk, message);
    let is_whole = walk.stream && !goes_on;
    let choice = if walk.stream { speaker(message).unwrap_or(choice) } else { choice };
    if goes_on && message.get("chunk_position").and_then(Json::as_str) == Some("last") {
        walk.parts.ends.push(End { choice: Some(choice), item: None });
    }
    for (at, (key, inner)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), inner) {
            ("content", _) if is_models => content(walk, &place, inner, choice, goes_on),
            ("tool_calls" | "tool_call_chunks" | "invalid_tool_calls", Json::Array(all)) => {
                calls(walk, &place, all, choice, is_whole);
            }
            ("usage_metadata", Json::Object(_)) if is_models => {
                add_usage(walk, inner);
            }
            ("kwargs", Json::Object(_)) => kwargs(walk, &place, inner, choice, goes_on),
            ("response_metadata", Json::Object(_)) => {
                if is_models {
                    finish(walk, inner);
                }
                others(walk, &place, (key, inner), choice, is_whole);
            }
            ("type", _) if walk.parts.parameter(inner, Form::Name) => {}
            _ => others(walk, &place, (key, inner), choice, is_whole),
        }
    }
}

/// An entry that nothing else took.
fn others(walk: &mut Walk<'_>, path: &Path, (key, inner): (&str, &Json<'_>), choice: u32, is_whole: bool) {
    if is_whole {
        whole(walk, path, key, inner, choice);
    } else {
        walk.rest(path, key, inner);
    }
}

/// Why a message ended, in the words of the provider behind the chain.
fn finish(walk: &mut Walk<'_>, metadata: &Json<'_>) {
    let names = ["finish_reason", "stop_reason", "stopReason", "done_reason"];
    walk.finish(names.into_iter().find_map(|name| metadata.get(name)));
}

/// Several models may speak at a time: a message's pieces are those of one id.
fn speaker(message: &Json<'_>) -> Option<u32> {
    let own = |message: &Json<'_>| Some(message.get("id")?.as_str()?.to_owned());
    let id = own(message).or_else(|| own(message.get("kwargs")?)).filter(|id| !id.is_empty())?;
    Some(Crc32::of(id.as_bytes()))
}

/// An entry of a message that a stream repeats whole: no client joins it with the next event's, so that nothing of it waits.
fn whole(walk: &mut Walk<'_>, path: &Path, key: &str, inner: &Json<'_>, choice: u32) {
    if !((walk.knows)(key) && walk.parts.parameter(inner, Form::Name)) {
        walk.strings(path, inner, Channel { choice, item: 0, kind: TextKind::Text });
    }
}

/// The fields of a message that the serialiser wrote.
fn kwargs(walk: &mut Walk<'_>, path: &Path, fields: &Json<'_>, choice: u32, goes_on: bool) {
    let Json::Object(entries) = fields else { return };
    let is_whole = walk.stream && !goes_on;
    for (at, (key, inner)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), inner) {
            ("content", _) => content(walk, &place, inner, choice, goes_on),
            ("tool_calls" | "tool_call_chunks" | "invalid_tool_calls", Json::Array(all)) => {
                calls(walk, &place, all, choice, is_whole);
            }
            ("usage_metadata", Json::Object(_)) => add_usage(walk, inner),
            ("response_metadata", Json::Object(_)) => {
                finish(walk, inner);
                others(walk, &place, (key, inner), choice, is_whole);
            }
            _ => others(walk, &place, (key, inner), choice, is_whole),
        }
    }
}

/// A text, or parts of which some are texts.
fn content(walk: &mut Walk<'_>, path: &Path, content: &Json<'_>, choice: u32, goes_on: bool) {
    let streams = walk.stream;
    walk.stream = goes_on;
    match content {
        Json::Array(parts) => {
            for (position, part) in parts.iter().enumerate() {
                let place = path.child(position);
                let kind = part.get("type").and_then(Json::as_str).unwrap_or_default();
                let Json::Object(entries) = part else {
                    walk.text(&place, part, choice, 0, TextKind::Text);
                    continue;
                };
                if matches!(kind, "tool_use" | "tool_call" | "tool_call_chunk" | "input_json_delta") {
                    read_call(walk, &place, part, (choice, index(part, position)), streams && !goes_on);
                    continue;
                }
                for (at, (key, inner)) in entries.iter().enumerate() {
                    match key.as_ref() {
                        "text" => walk.text(&place.child(at), inner, choice, 0, TextKind::Text),
                        "thinking" | "reasoning" => walk.text(&place.child(at), inner, choice, 0, TextKind::Reasoning),
                        "base64" | "data" | "url" => match media(kind) {
                            Some(media) => walk.payload(media, &place.child(at), inner),
                            None => walk.rest(&place.child(at), key, inner),
                        },
                        _ => walk.rest(&place.child(at), key, inner),
                    }
                }
            }
        }
        content => walk.text(path, content, choice, 0, TextKind::Text),
    }
    walk.stream = streams;
}

/// Calls, or pieces of some.
fn calls(walk: &mut Walk<'_>, path: &Path, calls: &[Json<'_>], choice: u32, is_whole: bool) {
    for (position, call) in calls.iter().enumerate() {
        read_call(walk, &path.child(position), call, (choice, index(call, position)), is_whole);
    }
}

/// A call, or a piece of one.
fn read_call(walk: &mut Walk<'_>, path: &Path, call: &Json<'_>, (choice, item): (u32, u32), is_whole: bool) {
    let Json::Object(entries) = call else { return walk.others(path, call) };
    let name = call.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
    let named = !name.is_empty();
    walk.parts.calls.push(ToolCall { name, choice, item, path: path.clone(), named });
    for (at, (key, inner)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), inner) {
            ("args" | "input" | "arguments" | "partial_json", Json::String(_)) if !is_whole => {
                walk.text(&place, inner, choice, item, TextKind::ToolArguments);
            }
            ("args" | "input" | "arguments" | "partial_json", _) => {
                walk.strings(&place, inner, Channel { choice, item, kind: TextKind::ToolArguments });
            }
            _ => others(walk, &place, (key, inner), choice, is_whole),
        }
    }
}

/// Each message of the model's tells its own cost.
fn add_usage(walk: &mut Walk<'_>, counts: &Json<'_>) {
    let count = |name: &str| counts.get(name).and_then(Json::as_u64);
    let cached = counts.get("input_token_details").and_then(|details| details.get("cache_read")?.as_u64());
    let reasoning = counts.get("output_token_details").and_then(|details| details.get("reasoning")?.as_u64());
    let sum = |earlier: Option<u64>, now: Option<u64>| match (earlier, now) {
        (Some(earlier), Some(now)) => Some(earlier.saturating_add(now)),
        (earlier, now) => earlier.or(now),
    };
    let earlier = walk.parts.usage.unwrap_or_default();
    walk.parts.usage = Some(Usage {
        input: sum(earlier.input, count("input_tokens")),
        output: sum(earlier.output, count("output_tokens")),
        cached: sum(earlier.cached, cached),
        reasoning: sum(earlier.reasoning, reasoning),
    });
}

/// A message of the model's without content and calls says so.
fn fill(value: &mut Json<'_>, notice: &str) {
    let is_models = is_message(value) && zone(value) == Some(Zone::Assistant);
    let is_left = |name: &str| matches!(value.get(name), Some(Json::Array(calls)) if !calls.is_empty());
    let has_calls = is_left("tool_calls") || is_left("tool_call_chunks");
    match value {
        Json::Array(items) => items.iter_mut().for_each(|item| fill(item, notice)),
        Json::Object(entries) => {
            for (key, inner) in entries {
                let is_bare = match inner {
                    Json::String(text) => text.is_empty(),
                    Json::Array(parts) => parts.is_empty(),
                    _ => false,
                };
                if is_models && key == "content" && is_bare && !has_calls {
                    *inner = Json::String(notice.to_owned().into());
                } else {
                    fill(inner, notice);
                }
            }
        }
        _ => {}
    }
}
