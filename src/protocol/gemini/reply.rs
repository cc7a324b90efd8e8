//! Candidates, whole and as a stream. Each event is a reply of its own, with the next pieces of the text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::finish::RefusedBy;
use super::super::frames::{Frame, Framing};
use super::super::reply::{Channel, End, Ending, ReplyFormat, TextKind, ToolCall, Walk, index};
use super::super::{Json, Path, Usage};
use super::{camel, list, named, parts};

/// Replies of `generateContent` and `streamGenerateContent`.
#[derive(Debug)]
pub(super) struct Candidates;

impl ReplyFormat for Candidates {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        // A stream that was not asked for as events is one list.
        for (path, one) in list(&Path::default(), reply) {
            read_one(walk, &path, one);
        }
    }

    fn join(&self, reply: &mut Json<'_>) {
        if let Json::Array(events) = reply {
            join(events);
        }
    }

    fn remove_calls(&self, reply: &mut Json<'_>, paths: &[&Path], notice: &str) {
        reply.remove(paths);
        if paths.is_empty() {
            return;
        }
        match reply {
            Json::Array(all) => all.iter_mut().for_each(|one| fill(one, notice)),
            one => fill(one, notice),
        }
    }

    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        let why = ending.why("MAX_TOKENS", "SAFETY");
        let mut open: Vec<u32> = ending.sent.open.iter().copied().collect();
        if open.is_empty() {
            open.push(0);
        }
        let candidates: Vec<Value> = open
            .into_iter()
            .map(|choice| {
                let content = json!({ "role": "model", "parts": [] });
                json!({ "content": content, "finishReason": why, "finishMessage": ending.told.message, "index": choice })
            })
            .collect();
        event(json!({ "candidates": candidates }))
    }

    fn calls_come_whole(&self) -> bool {
        true
    }
}

fn event(body: Value) -> Vec<u8> {
    Frame::of_data(Framing::Sse, None, body.to_string().as_bytes())
}

fn read_one(walk: &mut Walk<'_>, path: &Path, reply: &Json<'_>) {
    let Json::Object(entries) = reply else { return walk.others(path, reply) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (camel(key).as_ref(), value) {
            ("candidates", Json::Array(candidates)) => {
                for (position, candidate) in candidates.iter().enumerate() {
                    read_candidate(walk, &place.child(position), candidate, index(candidate, position));
                }
            }
            ("promptFeedback", Json::Object(_)) => {
                if let Some((_, reason)) = named(&place, value, "blockReason") {
                    walk.parts.ends.push(End::ALL);
                    walk.finish(Some(reason));
                    walk.parts.finish.refuse(RefusedBy::Provider);
                }
                words(walk, &place, value);
            }
            ("usageMetadata", Json::Object(_)) => {
                let counted = usage(value);
                walk.parts.usage = match (walk.parts.usage, counted) {
                    (Some(earlier), Some(now)) => Some(earlier.max(now)),
                    (earlier, now) => now.or(earlier),
                };
                words(walk, &place, value);
            }
            _ => rest(walk, &place, key, value),
        }
    }
}

fn read_candidate(walk: &mut Walk<'_>, path: &Path, candidate: &Json<'_>, choice: u32) {
    let Json::Object(entries) = candidate else { return walk.others(path, candidate) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (camel(key).as_ref(), value) {
            ("content", Json::Object(entries)) => {
                for (at, (key, value)) in entries.iter().enumerate() {
                    let place = place.child(at);
                    match (camel(key).as_ref(), value) {
                        ("parts", Json::Array(parts)) => {
                            for (position, part) in parts.iter().enumerate() {
                                let item = u32::try_from(position).unwrap_or(u32::MAX);
                                read_part(walk, &place.child(position), part, choice, item);
                            }
                        }
                        _ => rest(walk, &place, key, value),
                    }
                }
            }
            ("finishReason", Json::String(reason)) => {
                walk.finish(Some(value));
                if !matches!(reason.as_ref(), "" | "FINISH_REASON_UNSPECIFIED") {
                    walk.parts.ends.push(End { choice: Some(choice), item: None });
                }
                words(walk, &place, value);
            }
            ("logprobsResult", Json::Object(_)) => walk.parts.echoes.push(place),
            ("safetyRatings", Json::Array(_)) => words(walk, &place, value),
            _ => rest(walk, &place, key, value),
        }
    }
}

fn read_part(walk: &mut Walk<'_>, path: &Path, part: &Json<'_>, choice: u32, item: u32) {
    let Json::Object(entries) = part else { return walk.others(path, part) };
    let is_thought = matches!(part.get("thought"), Some(Json::Bool(true)));
    let kind = if is_thought { TextKind::Reasoning } else { TextKind::Text };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match camel(key).as_ref() {
            // All texts of a candidate are pieces of one, which clients join.
            "text" => walk.text(&place, value, choice, 0, kind),
            "functionCall" => {
                let name = value.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
                walk.strings(&place, value, Channel { choice, item, kind: TextKind::ToolArguments });
                walk.parts.calls.push(ToolCall { name, choice, item, path: path.clone(), named: true });
            }
            "thoughtSignature" => walk.payload(super::UnscannedKind::Opaque, &place, value),
            "inlineData" => {
                if let Some((data, bytes)) = named(&place, value, "data") {
                    walk.payload(parts::kind(value), &data, bytes);
                }
                if let Some((_, media)) = named(&place, value, "mimeType") {
                    walk.parts.parameter(media, super::Form::MediaType);
                }
            }
            _ => rest(walk, &place, key, value),
        }
    }
}

/// An entry that nothing above took.
fn rest(walk: &mut Walk<'_>, path: &Path, key: &str, value: &Json<'_>) {
    match camel(key).as_ref() {
        "role" if walk.parts.parameter(value, super::Form::Word(&["model", "user"])) => {}
        "modelVersion" | "responseId" if walk.parts.parameter(value, super::Form::Name) => {}
        "createTime" if walk.parts.parameter(value, super::Form::Time) => {}
        _ => walk.rest(path, key, value),
    }
}

/// Enumerations below: words of capital letters. Others are texts.
fn words(walk: &mut Walk<'_>, path: &Path, value: &Json<'_>) {
    let mut found = Vec::new();
    value.visit_strings(path, &mut |place, is_key, text| {
        if !is_key && is_word(text) {
            found.push(place.clone());
        }
    });
    for place in found {
        if let Some(value) = walk.root.at(&place) {
            walk.parts.parameter(value, super::Form::Name);
        }
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// A prompt's count holds what came from a cache; what tools gave the model is beside it. Thoughts are part of the output.
pub(super) fn usage(counts: &Json<'_>) -> Option<Usage> {
    let count = |name: &str| named(&Path::default(), counts, name).and_then(|(_, count)| count.as_u64());
    let sum = |names: [&str; 2]| {
        let counts = names.map(count);
        let known = counts.iter().any(Option::is_some);
        known.then(|| counts.into_iter().flatten().fold(0, u64::saturating_add))
    };
    let input = sum(["promptTokenCount", "toolUsePromptTokenCount"]);
    let rest = input.and_then(|input| Some(count("totalTokenCount")?.saturating_sub(input)));
    let output = sum(["candidatesTokenCount", "thoughtsTokenCount"]).max(rest);
    let cached = count("cachedContentTokenCount");
    (input.is_some() || output.is_some()).then_some(Usage {
        input,
        output,
        cached,
        reasoning: count("thoughtsTokenCount"),
    })
}

/// Puts the text of each candidate where its first piece is. A client joins the pieces, so that it reads the same.
fn join(events: &mut [Json<'_>]) {
    let mut whole: BTreeMap<Owner, String> = BTreeMap::new();
    each_text(events, &mut |of, text| whole.entry(of).or_default().push_str(text));
    each_text(events, &mut |of, text| {
        // The first piece gets all; nothing is left for the others.
        *text = whole.get_mut(&of).map(std::mem::take).unwrap_or_default().into();
    });
}

/// The candidate that a text is of, and whether it is a thought.
type Owner = (u32, bool);

/// Every text of a list of events.
fn each_text<'j>(events: &mut [Json<'j>], act: &mut dyn FnMut(Owner, &mut Cow<'j, str>)) {
    for event in events {
        let Some(Json::Array(candidates)) = event.get_mut("candidates") else { continue };
        for (position, candidate) in candidates.iter_mut().enumerate() {
            let choice = index(candidate, position);
            let parts = candidate.get_mut("content").and_then(|content| content.get_mut("parts"));
            let Some(Json::Array(parts)) = parts else { continue };
            for part in parts {
                let is_thought = matches!(part.get("thought"), Some(Json::Bool(true)));
                if let Some(Json::String(text)) = part.get_mut("text") {
                    act((choice, is_thought), text);
                }
            }
        }
    }
}

/// A candidate whose calls are gone says so.
fn fill(reply: &mut Json<'_>, notice: &str) {
    let Some(Json::Array(candidates)) = reply.get_mut("candidates") else { return };
    for candidate in candidates {
        let Some(Json::Array(parts)) = candidate.get_mut("content").and_then(|content| content.get_mut("parts")) else {
            continue;
        };
        if parts.is_empty() {
            parts.push(Json::Object(vec![("text".into(), Json::String(notice.to_owned().into()))]));
        }
    }
}
