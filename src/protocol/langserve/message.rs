//! Messages of LangChain in their four forms: `{"type": "human", "content"}`, `{"role": "user", "content"}`, the pair
//! `["human", "..."]`, and the constructor that LangChain's serialiser writes.

use super::super::form::Form;
use super::super::request::{Reader, Spot, newest_turn, spot_of};
use super::super::{Json, Path, UnscannedKind};
use crate::enums::Zone;
use crate::reason::Denial;

/// Who says a message, by the words for it. `None`: it is no word for that.
pub(super) fn zone_of(word: &str) -> Option<Zone> {
    Some(match word {
        "human" | "user" | "HumanMessage" | "HumanMessageChunk" => Zone::User,
        "ai" | "assistant" | "AIMessage" | "AIMessageChunk" => Zone::Assistant,
        "system" | "SystemMessage" | "SystemMessageChunk" => Zone::System,
        "developer" => Zone::Developer,
        "tool" | "function" | "ToolMessage" | "ToolMessageChunk" | "FunctionMessage" | "FunctionMessageChunk" => {
            Zone::Tool
        }
        "chat" | "ChatMessage" | "remove" => Zone::User,
        _ => return None,
    })
}

/// Who says this message. `None`: it is no message. Which of two words a server goes by depends on how it reads messages:
/// where they differ, the caller says it.
pub(super) fn zone(value: &Json<'_>) -> Option<Zone> {
    let mut words = Vec::new();
    match value {
        Json::Array(pair) => match pair.as_slice() {
            [Json::String(role), Json::String(_) | Json::Array(_)] => words.push(zone_of(role)),
            _ => return None,
        },
        Json::Object(_) if value.get("lc").is_some() => {
            let Some(Json::Array(names)) = value.get("id") else { return None };
            words.push(names.last().and_then(Json::as_str).and_then(zone_of));
            words.extend(value.get("kwargs").into_iter().flat_map(words_of));
        }
        Json::Object(_) if value.get("content").is_some() || value.get("tool_calls").is_some() => {
            words.extend(words_of(value));
        }
        _ => return None,
    }
    let mut zones = words.into_iter().flatten();
    let first = zones.next()?;
    Some(if zones.all(|zone| zone == first) { first } else { Zone::User })
}

/// The zones that a message's own words name.
fn words_of(message: &Json<'_>) -> [Option<Zone>; 2] {
    ["type", "role"].map(|key| message.get(key).and_then(Json::as_str).and_then(zone_of))
}

/// What a chain is called with: a text, a message, a list of either, or an object that holds some.
pub(super) fn input<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    if let Some(zone) = zone(value) {
        return one(reader, path, value, spot_of(zone, 0, 0));
    }
    match value {
        Json::Array(items) if !items.is_empty() && items.iter().all(|item| zone(item).is_some() || is_text(item)) => {
            reader.items(value)?;
            let zones: Vec<Zone> = items.iter().map(|item| zone(item).unwrap_or(Zone::User)).collect();
            let current = newest_turn(&zones);
            for (index, (item, zone)) in items.iter().zip(zones).enumerate() {
                one(reader, &path.child(index), item, spot_of(zone, index, current))?;
            }
        }
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                input(reader, &path.child(index), item)?;
            }
        }
        Json::Object(entries) => {
            for (at, (key, value)) in entries.iter().enumerate() {
                input(reader, &path.child(at), value)?;
                reader.key(&path.child(at), key, Spot::USER);
            }
        }
        value => reader.text_or_bytes(path, value, Spot::USER),
    }
    Ok(())
}

fn is_text(value: &Json<'_>) -> bool {
    value.as_str().is_some()
}

/// One message of a known speaker.
fn one<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>, spot: Spot) -> Result<(), Denial> {
    if let Json::Array(pair) = value
        && let [role, said] = pair.as_slice()
    {
        reader.free_text(&path.child(0), role, spot);
        content(reader, &path.child(1), said, spot);
        return Ok(());
    }
    let Json::Object(_) = value else {
        reader.text_or_bytes(path, value, spot);
        return Ok(());
    };
    for (at, (key, value)) in reader.entries(value, &["content", "kwargs", "type", "role"])?.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("type" | "role", Json::String(word)) if zone_of(word).is_some() || word == "constructor" => {
                reader.parameter(value, Form::Name);
            }
            ("kwargs", Json::Object(_)) => one(reader, &place, value, spot)?,
            ("content", _) => content(reader, &place, value, spot),
            _ => reader.free_text(&place, value, spot),
        }
        reader.key(&place, key, spot);
    }
    Ok(())
}

/// A text, or a list of parts.
fn content<'j>(reader: &mut Reader<'_, 'j>, path: &Path, content: &Json<'j>, spot: Spot) {
    match content {
        Json::Array(parts) => {
            for (index, part) in parts.iter().enumerate() {
                read_part(reader, &path.child(index), part, spot);
            }
        }
        content => reader.free_text(path, content, spot),
    }
}

/// The types of parts whose every string is text.
const TEXTS: [&str; 8] =
    ["text", "text-plain", "reasoning", "thinking", "tool_use", "tool_call", "server_tool_call", "server_tool_result"];

/// What a part of this type holds that is no text.
pub(super) fn media(kind: &str) -> Option<UnscannedKind> {
    match kind {
        "image" | "image_url" => Some(UnscannedKind::Image),
        "audio" | "input_audio" => Some(UnscannedKind::Audio),
        "file" | "video" | "media" | "document" => Some(UnscannedKind::File),
        _ => None,
    }
}

/// A part of a message's content.
fn read_part<'j>(reader: &mut Reader<'_, 'j>, path: &Path, part: &Json<'j>, spot: Spot) {
    let kind = part.get("type").and_then(Json::as_str).unwrap_or_default();
    match (part, media(kind)) {
        (Json::Object(entries), Some(media)) => {
            reader.unscanned(media, path);
            for (at, (key, value)) in entries.iter().enumerate() {
                let place = path.child(at);
                match key.as_ref() {
                    "base64" => reader.bytes(&place, value, spot, media),
                    _ => reader.text_beside(&place, value, spot, Some(media)),
                }
                reader.key(&place, key, spot);
            }
        }
        (Json::String(_), _) => reader.free_text(path, part, spot),
        (_, None) if TEXTS.contains(&kind) => reader.free_text(path, part, spot),
        _ => reader.unknown(path, part, kind, spot),
    }
}

/// Words of the format: short names that no sentence fits.
pub(super) fn words<'j>(reader: &mut Reader<'_, 'j>, value: &Json<'j>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| words(reader, item)),
        value => _ = reader.parameter(value, Form::Name),
    }
}
