//! Replies of the chat API and of the older completions: `choices` with a `message`, a `delta` or a `text`.

use serde_json::{Value, json};

use super::super::frames::{Frame, Framing};
use super::super::reply::{End, Ending, FUNCTION_CALL, Facts, ReplyFormat, TextKind, ToolCall, Walk, index};
use super::super::{Json, Path, UnscannedKind, Usage};

/// Keys that servers put the model's thoughts under.
const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// Replies with `choices`.
#[derive(Debug)]
pub(super) struct Choices {
    /// Those of the older completions.
    pub(super) older: bool,
    /// Servers tell the usage of a stream when they are asked for it.
    pub(super) asks_usage: bool,
}

impl ReplyFormat for Choices {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        read(walk, &Path::default(), reply);
    }

    fn is_terminator(&self, data: &[u8]) -> bool {
        // The SDKs look at the beginning only.
        data.starts_with(b"[DONE]")
    }

    fn remove_calls(&self, reply: &mut Json<'_>, paths: &[&Path], notice: &str) {
        reply.remove(paths);
        without_calls(reply, notice);
    }

    fn ask_usage(&self, request: &mut Json<'_>) -> bool {
        self.asks_usage && ask_usage(request)
    }

    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        let (key, nothing) = if self.older { ("text", json!("")) } else { ("delta", json!({})) };
        let why = ending.why("length", "content_filter");
        let mut out = Vec::new();
        let open = if ending.sent.next == 0 { vec![0] } else { ending.sent.open.iter().copied().collect() };
        for choice in open {
            out.extend(event(ending.facts, choice, key, &nothing, &json!(why)));
        }
        out.extend(Frame::of_data(Framing::Sse, None, b"[DONE]"));
        out
    }

    fn calls_come_in_pieces(&self) -> bool {
        true
    }
}

pub(super) fn read(walk: &mut Walk<'_>, root: &Path, reply: &Json<'_>) {
    let Json::Object(entries) = reply else { return walk.others(root, reply) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let path = root.child(at);
        match (key.as_ref(), value) {
            ("choices", Json::Array(choices)) => {
                for (position, choice) in choices.iter().enumerate() {
                    read_choice(walk, &path.child(position), choice, index(choice, position));
                }
            }
            ("usage", Json::Object(_)) => walk.parts.usage = Usage::of_counts(value),
            _ => walk.rest(&path, key, value),
        }
    }
    walk.refusal_of_error(reply);
    // Groq's own place for the counts of a stream.
    let elsewhere = reply.get("x_groq").and_then(|own| own.get("usage")).and_then(Usage::of_counts);
    walk.parts.usage = walk.parts.usage.or(elsewhere);
    walk.parts.usage_only = walk.stream
        && walk.parts.usage.is_some()
        && matches!(reply.get("choices"), Some(Json::Array(choices)) if choices.is_empty());
}

/// Sets `stream_options.include_usage`. False when that was set, or can't be.
fn ask_usage(request: &mut Json<'_>) -> bool {
    let Json::Object(entries) = request else { return false };
    let switch = ("include_usage".into(), Json::Bool(true));
    match entries.iter_mut().find(|(key, _)| key == "stream_options") {
        Some((_, Json::Object(options))) => match options.iter_mut().find(|(key, _)| key == "include_usage") {
            Some((_, Json::Bool(true))) => return false,
            Some((_, value)) => *value = Json::Bool(true),
            None => options.push(switch),
        },
        Some((_, options @ Json::Null)) => *options = Json::Object(vec![switch]),
        Some(_) => return false,
        None => entries.push(("stream_options".into(), Json::Object(vec![switch]))),
    }
    true
}

fn read_choice(walk: &mut Walk<'_>, path: &Path, choice: &Json<'_>, number: u32) {
    let Json::Object(entries) = choice else { return walk.others(path, choice) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("message" | "delta", Json::Object(_)) => read_message(walk, &place, value, number),
            ("text", _) => walk.text(&place, value, number, 0, TextKind::Text),
            ("logprobs", Json::Null) => {}
            ("logprobs", _) => walk.parts.echoes.push(place),
            ("finish_reason", Json::String(_)) => {
                walk.parts.ends.push(End { choice: Some(number), item: None });
                walk.finish(Some(value));
                walk.rest(&place, key, value);
            }
            _ => walk.rest(&place, key, value),
        }
    }
}

fn read_message(walk: &mut Walk<'_>, path: &Path, message: &Json<'_>, choice: u32) {
    let Json::Object(entries) = message else { return };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("content", _) => walk.text(&place, value, choice, 0, TextKind::Text),
            ("refusal", _) => walk.text(&place, value, choice, 0, TextKind::Refusal),
            ("tool_calls", Json::Array(calls)) => {
                for (position, call) in calls.iter().enumerate() {
                    read_call(walk, &place.child(position), call, choice, index(call, position));
                }
            }
            ("function_call", Json::Object(_)) => {
                name_call(walk, &place, value, choice, FUNCTION_CALL);
                read_function(walk, &place, value, choice, FUNCTION_CALL);
            }
            ("audio", Json::Object(parts)) => {
                for (inner, (key, value)) in parts.iter().enumerate() {
                    let place = place.child(inner);
                    match key.as_ref() {
                        "data" => walk.payload(UnscannedKind::Audio, &place, value),
                        "transcript" => walk.text(&place, value, choice, 0, TextKind::Text),
                        _ => walk.rest(&place, key, value),
                    }
                }
            }
            // Lists of parts, of OpenRouter and of LiteLLM.
            ("reasoning_details" | "thinking_blocks", _) => walk.text(&place, value, choice, 0, TextKind::Reasoning),
            (key, _) if REASONING.contains(&key) => walk.text(&place, value, choice, 0, TextKind::Reasoning),
            _ => walk.rest(&place, key, value),
        }
    }
}

fn read_call(walk: &mut Walk<'_>, path: &Path, call: &Json<'_>, choice: u32, item: u32) {
    let Json::Object(entries) = call else { return walk.others(path, call) };
    name_call(walk, path, call, choice, item);
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match value {
            Json::Object(_) => read_function(walk, &place, value, choice, item),
            _ => walk.rest(&place, key, value),
        }
    }
}

/// The name of a call, its own or in one of its objects. One with two names has none, and no list of tools allows that.
fn name_call(walk: &mut Walk<'_>, path: &Path, call: &Json<'_>, choice: u32, item: u32) {
    let Json::Object(entries) = call else { return };
    let inner = entries.iter().filter_map(|(_, value)| value.get("name"));
    let mut names = call.get("name").into_iter().chain(inner).filter_map(Json::as_str).filter(|name| !name.is_empty());
    let name = names.next().unwrap_or_default();
    let is_one = names.all(|other| other == name);
    let named = !walk.stream || !name.is_empty();
    let name = if is_one { name.to_owned() } else { String::new() };
    walk.parts.calls.push(ToolCall { name, choice, item, path: path.clone(), named });
}

fn read_function(walk: &mut Walk<'_>, path: &Path, function: &Json<'_>, choice: u32, item: u32) {
    let Json::Object(entries) = function else { return };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "arguments" | "input" => walk.text(&place, value, choice, item, TextKind::ToolArguments),
            _ => walk.rest(&place, key, value),
        }
    }
}

/// Takes away what tells of calls that are gone.
pub(super) fn without_calls(reply: &mut Json<'_>, notice: &str) {
    let Some(Json::Array(choices)) = reply.get_mut("choices") else { return };
    for choice in choices {
        let whole = choice.get("message").is_some();
        let mut calls_left = false;
        if let Some(Json::Object(entries)) = if whole { choice.get_mut("message") } else { choice.get_mut("delta") } {
            entries
                .retain(|(key, value)| key != "tool_calls" || !matches!(value, Json::Array(calls) if calls.is_empty()));
            calls_left = entries.iter().any(|(key, value)| {
                matches!(key.as_ref(), "tool_calls" | "function_call") && !matches!(value, Json::Null)
            });
            let empty = |value: &Json<'_>| matches!(value, Json::Null) || value.as_str() == Some("");
            if whole && !calls_left {
                match entries.iter_mut().find(|(key, _)| key == "content") {
                    Some((_, content)) if empty(content) => *content = Json::String(notice.to_owned().into()),
                    Some(_) => {}
                    None => entries.push(("content".into(), Json::String(notice.to_owned().into()))),
                }
            }
        }
        if !calls_left
            && let Some(reason @ Json::String(_)) = choice.get_mut("finish_reason")
            && matches!(reason.as_str(), Some("tool_calls" | "function_call"))
        {
            *reason = Json::String("stop".into());
        }
    }
}

fn event(facts: &Facts, choice: u32, key: &str, delta: &Value, finish: &Value) -> Vec<u8> {
    let event = json!({
        "id": facts.id.as_deref().unwrap_or("chatcmpl-0"),
        "object": if key == "text" { "text_completion" } else { "chat.completion.chunk" },
        "created": facts.created.unwrap_or(0),
        "model": facts.model.as_deref().unwrap_or_default(),
        "choices": [{ "index": choice, key: delta, "finish_reason": finish }],
    });
    Frame::of_data(Framing::Sse, None, event.to_string().as_bytes())
}
