//! "Create a model response": input items of every kind, instructions, tools that run at the provider.

use super::super::form::Form;
use super::super::request::{Reader, Spot, newest_turn, spot_of};
use super::super::{Json, Path, UnscannedKind};
use super::OUTPUT_CAPS;
use super::chat::{ROLES, defined, mcp_servers, offered, read_part, tool_choice, zone_of};
use crate::enums::Zone;
use crate::reason::Denial;

pub(super) fn read(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.model()?;
    reader.stream(false)?;
    reader.caps(&OUTPUT_CAPS, &["max_output_tokens"])?;
    reader.texts("instructions", Spot::SYSTEM)?;
    let background = reader.take("background")?;
    reader.out.in_background = background.is_some_and(|(_, value)| !matches!(value, Json::Bool(false) | Json::Null));
    // What the provider keeps was not in this request: it was not scanned by this policy.
    for name in ["previous_response_id", "conversation", "prompt"] {
        if let Some((path, value)) = reader.take(name)? {
            reader.unscanned(UnscannedKind::State, &path);
            reader.free_text(&path, value, Spot::USER);
            reader.out.has_unseen_instructions |= name == "prompt";
            let id = match value {
                Json::Object(_) => reader.inner(value, "id")?,
                _ => Some(value),
            };
            match id.and_then(Json::as_str) {
                Some(id) if name != "prompt" => reader.out.stored.push(id.to_owned()),
                _ => {}
            }
        }
    }
    offered(reader)?;
    mcp_servers(reader)?;
    tool_choice(reader)?;
    input(reader)
}

/// "Create a conversation": the items that it begins with.
pub(super) fn read_conversation(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.out.model = "default".to_owned();
    if let Some((path, value)) = reader.take("items")? {
        list(reader, &path, value)?;
    }
    Ok(())
}

/// Instructions and items, wherever they are sent to.
pub(super) fn conversation(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.texts("instructions", Spot::SYSTEM)?;
    input(reader)
}

fn input(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    // Absent: the stored prompt or conversation is all there is.
    let Some((path, value)) = reader.take("input")? else { return Ok(()) };
    if let Json::String(_) = value {
        reader.segment(&path, false, Spot::USER);
        return Ok(());
    }
    list(reader, &path, value)
}

fn list<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    let items = reader.items(value)?;
    let mut zones = Vec::with_capacity(items.len());
    for item in items {
        zones.push(zone(reader, item)?);
    }
    let current = newest_turn(&zones);
    for (index, (item, zone)) in items.iter().zip(zones).enumerate() {
        read_item(reader, &path.child(index), item, spot_of(zone, index, current))?;
    }
    Ok(())
}

/// A message has its role's zone, a call is the model's, its output a tool's. What is not known is the caller's.
fn zone(reader: &Reader<'_, '_>, item: &Json<'_>) -> Result<Zone, Denial> {
    let role = reader.inner(item, "role")?.and_then(Json::as_str);
    if let Some(role) = role {
        return zone_of(role).ok_or(reader.shape());
    }
    let kind = reader.inner(item, "type")?.and_then(Json::as_str).ok_or(reader.shape())?;
    Ok(if kind.ends_with("_output") || kind == "mcp_list_tools" {
        Zone::Tool
    } else if kind.ends_with("_call") || kind == "reasoning" || kind == "mcp_approval_request" {
        Zone::Assistant
    } else {
        Zone::User
    })
}

/// The types of items whose every part is text.
const TYPES: [&str; 24] = [
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "web_search_call",
    "file_search_call",
    "computer_call",
    "code_interpreter_call",
    "local_shell_call",
    "local_shell_call_output",
    "shell_call",
    "shell_call_output",
    "apply_patch_call",
    "apply_patch_call_output",
    "mcp_call",
    "mcp_list_tools",
    "mcp_approval_request",
    "mcp_approval_response",
    "tool_search_call",
    "tool_search_output",
    "additional_tools",
    "compaction",
];

fn read_item<'j>(reader: &mut Reader<'_, 'j>, path: &Path, item: &Json<'j>, spot: Spot) -> Result<(), Denial> {
    let kind = reader.inner(item, "type")?.and_then(Json::as_str).unwrap_or("message");
    match kind {
        "computer_call_output" | "image_generation_call" => reader.unscanned(UnscannedKind::Image, path),
        "item_reference" => reader.unscanned(UnscannedKind::State, path),
        _ if TYPES.contains(&kind) => {}
        _ => {
            defined(reader, path, item)?;
            reader.unknown(path, item, kind, spot);
            return Ok(());
        }
    }
    defined(reader, path, item)?;
    for (at, (key, value)) in reader.entries(item, &["content", "output", "arguments", "tools"])?.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("role", _) if reader.parameter(value, Form::Word(&ROLES)) => {}
            ("type", _) if reader.parameter(value, Form::Word(&TYPES)) => {}
            // Thoughts that only the provider can read, and pictures that it made.
            ("encrypted_content", Json::String(_)) => reader.opaque(&place, value, spot),
            ("result", Json::String(_)) if kind == "image_generation_call" => {
                reader.bytes(&place, value, spot, UnscannedKind::Image);
            }
            // What was found and what a server's tool returned is in the call's own item.
            ("results" | "outputs" | "output", _) if spot.zone == Zone::Assistant => {
                reader.text_beside(&place, value, Spot::TOOL, Some(UnscannedKind::Image));
            }
            ("content" | "output" | "summary", Json::Array(_)) => {
                for (index, part) in reader.items(value)?.iter().enumerate() {
                    read_part(reader, &place.child(index), part, spot)?;
                }
            }
            _ => reader.text_beside(&place, value, spot, Some(UnscannedKind::Image)),
        }
        reader.key(&place, key, spot);
    }
    Ok(())
}
