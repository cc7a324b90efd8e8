//! Requests of Converse and ConverseStream.

use super::super::form::Form;
use super::super::request::{Reader, Spot};
use super::super::turns::{self, Roles};
use super::super::{Json, Path, Position, ThinkingBudget, UnscannedKind};
use crate::enums::Zone;
use crate::reason::Denial;

/// Where a cap is put when there is none.
pub(super) const CAP: &[&str] = &["inferenceConfig", "maxTokens"];
/// The names that caps have among the fields of a maker's own.
pub(super) const CAPS: [&str; 8] = [
    "max_tokens",
    "maxTokens",
    "max_completion_tokens",
    "max_gen_len",
    "max_new_tokens",
    "max_tokens_to_sample",
    "maxTokenCount",
    "max_output_tokens",
];

/// A request, or the one whose tokens are to be counted.
pub(super) fn message<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    const NAMES: [&str; 7] = [
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "additionalModelRequestFields",
        "outputConfig",
        "projectIdentifier",
    ];
    for (at, (key, value)) in reader.entries(value, &NAMES)?.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            // A field that says nothing is none.
            _ if matches!(value, Json::Null) => {}
            "messages" => messages(reader, &place, value)?,
            "system" => blocks(reader, &place, value, Spot::SYSTEM)?,
            // Nothing else has a place for the cap.
            "inferenceConfig" if !matches!(value, Json::Object(_)) => return Err(reader.shape()),
            "inferenceConfig" => own_fields(reader, &place, value)?,
            // Whose project pays.
            "projectIdentifier" => reader.out.choices_of_operator.push("projectIdentifier"),
            "additionalModelRequestFields" => {
                own_fields(reader, &place, value)?;
                reader.free_text(&place, value, Spot::USER);
            }
            "toolConfig" => tools(reader, &place, value)?,
            "outputConfig" => reader.free_text(&place, value, Spot::DEVELOPER),
            "performanceConfig" | "serviceTier" => words(reader, value),
            _ => {}
        }
    }
    Ok(())
}

/// Where the server reads the cap, by this name or by one of `others` beside it. One that is elsewhere only does not stand
/// for it: AWS's services skip fields that they do not know.
pub(super) fn cap(reader: &mut Reader<'_, '_>, body: &Json<'_>, keys: &'static [&'static str], others: &[&str]) {
    reader.out.output_cap_key = keys;
    let Some((key, holders)) = keys.split_last() else { return };
    let holder = holders.iter().try_fold(body, |value, name| value.get(name));
    let has = |name: &&str| holder.is_some_and(|holder| matches!(holder.get(name), Some(Json::Number(_))));
    let is_there = std::iter::once(key).chain(others).any(has);
    if let Some(cap) = &mut reader.out.output_cap {
        cap.lacks_own = !is_there;
    }
}

/// `input` with the request that is to be counted. One of InvokeModel is bytes.
pub(super) fn count(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.model()?;
    let (path, input) = reader.require("input")?;
    for (at, (key, value)) in reader.entries(input, &["converse", "invokeModel"])?.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "converse" => message(reader, &place, value)?,
            "invokeModel" => {
                for (at, (key, value)) in reader.entries(value, &["body"])?.iter().enumerate() {
                    if key == "body" {
                        reader.bytes(&place.child(at), value, Spot::USER, UnscannedKind::Other);
                    }
                }
            }
            _ => {}
        }
    }
    // Counting costs nothing that a cap could bound.
    (reader.out.output_cap_key, reader.out.output_cap) = (&[], None);
    Ok(())
}

/// The text that the instructions end with.
pub(super) fn system_prompt(body: &Json<'_>) -> Option<Path> {
    let (at, system) = body.field("system").ok()??;
    let Json::Array(blocks) = system else { return None };
    let (last, block) = blocks.iter().enumerate().rev().find(|(_, block)| block.get("text").is_some())?;
    let (place, text) = block.field("text").ok()??;
    text.as_str().filter(|text| !text.is_empty())?;
    Some(Path::default().child(at).child(last).child(place))
}

const ROLES: Roles =
    Roles { known: &[("user", Zone::User), ("assistant", Zone::Assistant), ("system", Zone::System)], others: None };

fn messages<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    turns::read(reader, path, value, &ROLES, &["content"], &|reader, path, (key, value), spot| match key {
        "content" => blocks(reader, path, value, spot).map(|()| true),
        _ => Ok(false),
    })
}

/// A list of blocks. Nova takes a string in the place of one.
pub(super) fn blocks<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>, spot: Spot) -> Result<(), Denial> {
    if let Json::String(_) = value {
        reader.segment(path, false, spot);
        return Ok(());
    }
    for (index, block) in reader.items(value)?.iter().enumerate() {
        read_block(reader, &path.child(index), block, spot)?;
    }
    Ok(())
}

/// One block: an object whose key is its type. Blocks nest (a tool's result holds blocks); the parser bounds the depth.
fn read_block<'j>(reader: &mut Reader<'_, 'j>, path: &Path, block: &Json<'j>, spot: Spot) -> Result<(), Denial> {
    let Json::Object(_) = block else {
        reader.free_text(path, block, spot);
        return Ok(());
    };
    for (at, (key, value)) in reader.entries(block, &["text", "toolResult"])?.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "text" => reader.free_text(&place, value, spot),
            "image" => media(reader, &place, value, spot, UnscannedKind::Image),
            "audio" => media(reader, &place, value, spot, UnscannedKind::Audio),
            "video" => media(reader, &place, value, spot, UnscannedKind::File),
            "document" => document(reader, &place, value),
            "toolUse" | "citationsContent" => reader.free_text(&place, value, Spot::ASSISTANT),
            "toolResult" => tool_result(reader, &place, value)?,
            "searchResult" => reader.free_text(&place, value, Spot::DOCUMENT),
            "guardContent" => guarded(reader, &place, value, spot)?,
            "reasoningContent" => reasoning(reader, &place, value),
            "cachePoint" => words(reader, value),
            "toolAddition" | "toolRemoval" => {
                let tool = reader.inner(value, "tool")?.and_then(|tool| tool.get("name")).and_then(Json::as_str);
                if let (Some(name), "toolAddition") = (tool, key.as_ref()) {
                    reader.tool(name, path);
                }
                reader.free_text(&place, value, spot);
            }
            // Of Nova's older form, and of other makers': what says of which type the block is.
            "type" if reader.parameter(value, Form::Word(&["text", "image"])) => {}
            _ => {
                reader.unknown(&place, value, key, spot);
                reader.key(&place, key, spot);
            }
        }
    }
    Ok(())
}

fn tool_result<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    for (at, (key, value)) in reader.entries(value, &["content"])?.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("content", Json::Array(items)) => {
                for (index, block) in items.iter().enumerate() {
                    let place = place.child(index);
                    // Anything that the tool returned as JSON.
                    match block.get("json") {
                        Some(_) => reader.free_text(&place, block, Spot::TOOL),
                        None => read_block(reader, &place, block, Spot::TOOL)?,
                    }
                }
            }
            ("status", _) if reader.parameter(value, Form::Word(&["success", "error"])) => {}
            _ => reader.free_text(&place, value, Spot::TOOL),
        }
        reader.key(&place, key, Spot::TOOL);
    }
    Ok(())
}

/// Text that a guardrail of the provider's is to look at.
fn guarded<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>, spot: Spot) -> Result<(), Denial> {
    for (at, (key, value)) in reader.entries(value, &[])?.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "image" => media(reader, &place, value, spot, UnscannedKind::Image),
            _ => reader.free_text(&place, value, spot),
        }
        reader.key(&place, key, spot);
    }
    Ok(())
}

/// Thoughts with the signature that goes with them, or sealed ones.
fn reasoning<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) {
    let Json::Object(entries) = value else { return reader.free_text(path, value, Spot::ASSISTANT) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("redactedContent" | "signature", Json::String(_)) => reader.opaque(&place, value, Spot::ASSISTANT),
            ("reasoningText", Json::Object(_)) => reasoning(reader, &place, value),
            _ => reader.free_text(&place, value, Spot::ASSISTANT),
        }
        reader.key(&place, key, Spot::ASSISTANT);
    }
}

/// Formats whose bytes are text.
const TEXTS: [&str; 4] = ["csv", "html", "md", "txt"];

/// A document: text, or bytes of a format that is text or is not.
fn document<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) {
    let Json::Object(entries) = value else { return reader.free_text(path, value, Spot::DOCUMENT) };
    let format = value.get("format").and_then(Json::as_str).unwrap_or_default();
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "format" if reader.parameter(value, Form::Name) => {}
            // The decoders read what it holds.
            "source" if TEXTS.contains(&format) => reader.free_text(&place, value, Spot::DOCUMENT),
            "source" => source(reader, &place, value, Spot::DOCUMENT, UnscannedKind::File),
            _ => reader.free_text(&place, value, Spot::DOCUMENT),
        }
        reader.key(&place, key, Spot::DOCUMENT);
    }
}

/// A picture, a sound or a film.
fn media<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>, spot: Spot, kind: UnscannedKind) {
    let Json::Object(entries) = value else { return reader.free_text(path, value, spot) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "format" if reader.parameter(value, Form::Name) => {}
            "source" => source(reader, &place, value, spot, kind),
            _ => reader.free_text(&place, value, spot),
        }
        reader.key(&place, key, spot);
    }
}

/// Bytes, or where the provider reads them. Texts of a document are texts.
fn source<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>, spot: Spot, kind: UnscannedKind) {
    let Json::Object(entries) = value else { return reader.free_text(path, value, spot) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("bytes", Json::String(_)) => reader.bytes(&place, value, spot, kind),
            ("s3Location", _) => {
                reader.unscanned(UnscannedKind::Reference, &place);
                reader.free_text(&place, value, spot);
            }
            _ => reader.free_text(&place, value, spot),
        }
        reader.key(&place, key, spot);
    }
}

/// Tools by their names; what the provider runs by the word of its kind where it has no name.
pub(super) fn tools<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    for (at, (key, value)) in reader.entries(value, &["tools", "toolChoice"])?.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "tools" => {
                for (index, tool) in reader.items(value)?.iter().enumerate() {
                    let place = place.child(index);
                    for (kind, inner) in reader.entries(tool, &["toolSpec", "systemTool"])? {
                        match (kind.as_ref(), reader.inner(inner, "name")) {
                            ("cachePoint", _) => {}
                            (_, Ok(Some(Json::String(name)))) if !name.is_empty() => reader.tool(name, &place),
                            ("toolSpec" | "systemTool", _) => return Err(reader.shape()),
                            (kind, _) => reader.tool(kind, &place),
                        }
                    }
                }
            }
            "toolChoice" if !matches!(value, Json::Null) => {
                if let Some(tool) = reader.inner(value, "tool")? {
                    let name = reader.inner_text(tool, "name")?;
                    reader.tool(name, &place);
                }
            }
            _ => {}
        }
    }
    reader.free_text(path, value, Spot::DEVELOPER);
    Ok(())
}

/// Fields of a model maker's own, at any depth, among which caps, tools and a budget for thoughts are known.
pub(super) fn own_fields(reader: &mut Reader<'_, '_>, path: &Path, value: &Json<'_>) -> Result<(), Denial> {
    let Json::Object(entries) = value else { return Ok(()) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            (_, Json::Null) => {}
            (key, Json::Number(_)) if CAPS.contains(&key) => reader.cap(place, value)?,
            ("tools", Json::Array(tools)) => {
                for (index, tool) in tools.iter().enumerate() {
                    own_tool(reader, &place.child(index), tool)?;
                }
            }
            (key, Json::Object(_)) => {
                if let ("thinking", Ok(Some((at, budget @ Json::Number(_))))) = (key, value.field("budget_tokens"))
                    && let Some(tokens) = reader.number(budget)?
                {
                    reader.out.thinking_budget = Some(ThinkingBudget { place: place.child(at), tokens });
                }
                own_fields(reader, &place, value)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A tool by each name that a maker has for it: which of them the model's server reads is its own affair.
pub(super) fn names_of<'t>(tool: &'t Json<'_>) -> impl Iterator<Item = &'t str> {
    let holders = [Some(tool), tool.get("function"), tool.get("custom"), tool.get("toolSpec")];
    holders.into_iter().flatten().filter_map(|holder| holder.get("name")?.as_str())
}

/// A tool by its names. One that has none is called by its type.
fn own_tool(reader: &mut Reader<'_, '_>, path: &Path, tool: &Json<'_>) -> Result<(), Denial> {
    let mut names = names_of(tool).peekable();
    if names.peek().is_none() {
        let kind = tool.get("type").and_then(Json::as_str).ok_or(reader.shape())?;
        reader.tool(kind, path);
    }
    names.for_each(|name| reader.tool(name, path));
    Ok(())
}

/// Enumerations below: words that no sentence fits.
fn words<'j>(reader: &mut Reader<'_, 'j>, value: &Json<'j>) {
    if let Json::Object(entries) = value {
        entries.iter().for_each(|(_, value)| _ = reader.parameter(value, Form::Name));
    }
}

/// Where texts of a flat body are.
pub(super) const FLAT: Spot = Spot::new(Zone::User, Position::Current);
