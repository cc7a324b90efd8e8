//! The parts of a turn.

use super::super::form::Form;
use super::super::request::{Reader, Spot};
use super::super::{Json, Path, UnscannedKind};
use super::camel;
use crate::reason::Denial;

/// The data that a part holds, and what is said of it.
const KNOWN: [&str; 13] = [
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "thought",
    "thoughtSignature",
    "videoMetadata",
    "mediaResolution",
    "toolCall",
    "toolResponse",
];

/// One part.
pub(super) fn read<'j>(reader: &mut Reader<'_, 'j>, path: &Path, part: &Json<'j>, spot: Spot) -> Result<(), Denial> {
    let Json::Object(_) = part else {
        reader.free_text(path, part, spot);
        return Ok(());
    };
    let entries = reader.entries(part, &["text", "thought"])?;
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        let word = camel(key);
        match word.as_ref() {
            "inlineData" => bytes(reader, &place, value, spot),
            "fileData" => {
                reader.unscanned(UnscannedKind::Reference, &place);
                reader.free_text(&place, value, spot);
            }
            "functionCall" | "executableCode" | "toolCall" => reader.free_text(&place, value, Spot::ASSISTANT),
            "functionResponse" => response(reader, &place, value),
            "codeExecutionResult" | "toolResponse" => reader.free_text(&place, value, Spot::TOOL),
            "thoughtSignature" => reader.opaque(&place, value, Spot::ASSISTANT),
            word if KNOWN.contains(&word) => reader.free_text(&place, value, spot),
            _ => {
                reader.unknown(&place, value, key, spot);
                reader.key(&place, key, spot);
            }
        }
    }
    Ok(())
}

/// What a function returned. It may hold bytes in parts of its own.
fn response<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) {
    let Json::Object(entries) = value else { return reader.free_text(path, value, Spot::TOOL) };
    for (at, (key, inner)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (camel(key).as_ref(), inner) {
            ("parts", Json::Array(parts)) => {
                for (number, part) in parts.iter().enumerate() {
                    let place = place.child(number);
                    let Json::Object(entries) = part else {
                        reader.free_text(&place, part, Spot::TOOL);
                        continue;
                    };
                    for (at, (key, inner)) in entries.iter().enumerate() {
                        let place = place.child(at);
                        match camel(key).as_ref() {
                            "inlineData" => bytes(reader, &place, inner, Spot::TOOL),
                            "fileData" => {
                                reader.unscanned(UnscannedKind::Reference, &place);
                                reader.free_text(&place, inner, Spot::TOOL);
                            }
                            _ => reader.free_text(&place, inner, Spot::TOOL),
                        }
                        reader.key(&place, key, Spot::TOOL);
                    }
                }
            }
            _ => reader.free_text(&place, inner, Spot::TOOL),
        }
        reader.key(&place, key, Spot::TOOL);
    }
}

/// Bytes with their type.
fn bytes<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>, spot: Spot) {
    let kind = kind(value);
    reader.unscanned(kind, path);
    if let Json::Object(entries) = value {
        for (key, value) in entries {
            if camel(key) == "mimeType" {
                reader.parameter(value, Form::MediaType);
            }
        }
    }
    reader.text_beside(path, value, spot, Some(kind));
}

/// What kind of bytes a blob holds.
pub(super) fn kind(blob: &Json<'_>) -> UnscannedKind {
    let media = blob.get("mimeType").or(blob.get("mime_type")).and_then(Json::as_str).unwrap_or_default();
    match media.split('/').next() {
        Some("image") => UnscannedKind::Image,
        Some("audio") => UnscannedKind::Audio,
        _ => UnscannedKind::File,
    }
}
