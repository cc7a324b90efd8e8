//! Anthropic's messages API, after its public reference: "Create a message" and "Count tokens".

mod keys;
mod reply;

use serde_json::json;

use super::adapter::{Adapter, Protocol};
use super::dialect::{Dialect, named};
use super::form::Form;
use super::keys::Keys;
use super::parameters;
use super::reply::{Plain, ReplyFormat};
use super::request::{Reader, Spot, host_of};
use super::system::{last_message, text_at};
use super::turns::{self, Roles};
use super::{Json, Path, Told, UnscannedKind, Usage};
use crate::enums::{Operation, Zone};
use crate::host::Timestamp;
use crate::reason::{Denial, Reason};

/// The format, in a dialect.
#[derive(Debug, Default)]
pub(super) struct Anthropic {
    dialect: Option<&'static Dialect>,
}

/// Its words, and how its messages read, for a provider that has them behind an API of its own.
#[cfg(feature = "bedrock")]
pub(super) use keys::KEYS;
pub(super) const MESSAGES: &dyn ReplyFormat = &reply::Messages;

const PLAIN: Plain = Plain { usage: |reply| reply.get("usage").and_then(Usage::of_counts) };

impl Adapter for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn dialects(&self) -> &'static [&'static str] {
        &["openrouter", "litellm", "vercel"]
    }

    fn in_dialect(&self, word: &str) -> Option<Protocol> {
        let dialect = Some(named(word, self.dialects())?);
        Some(Protocol::new(Anthropic { dialect }))
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &[
            ("messages", Operation::Chat),
            ("messages/count_tokens", Operation::CountTokens),
            ("models", Operation::Models),
            ("models/", Operation::Models),
        ]
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn read(&self, operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        parameters::read(reader, self.dialect)?;
        match operation {
            Operation::Chat | Operation::CountTokens => read(operation, reader),
            _ => Err(Reason::BodyShape.into()),
        }
    }

    fn system_prompt(&self, operation: Operation, body: &Json<'_>) -> Option<Path> {
        match operation {
            Operation::Chat => last_message(body, "messages").or_else(|| text_at(body, "system")),
            _ => None,
        }
    }

    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        error_body(told)
    }

    fn id_header(&self) -> &'static str {
        "request-id"
    }

    fn withheld(&self, operation: Operation, told: &Told<'_>, model: &str, _now: Timestamp) -> Option<Vec<u8>> {
        withheld(operation, told, model)
    }

    fn reply(&self, operation: Operation) -> &dyn ReplyFormat {
        match operation {
            Operation::Chat => &reply::Messages,
            _ => &PLAIN,
        }
    }
}

fn read(operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.model()?;
    reader.stream(false)?;
    // Counting costs nothing that a cap could bound.
    reader.caps(
        &["max_tokens", "max_tokens_to_sample"],
        if operation == Operation::Chat { &["max_tokens"] } else { &[] },
    )?;
    reader.thinking_budget("budget_tokens")?;
    if let Some((path, value)) = reader.take("system")? {
        content(reader, &path, value, Spot::SYSTEM)?;
    }
    tools(reader)?;
    messages(reader)?;
    if let Some((path, value)) = reader.take("container")? {
        reader.unscanned(UnscannedKind::State, &path);
        reader.free_text(&path, value, Spot::USER);
    }
    Ok(())
}

/// Tools by their own names, those that run at the provider too; the tools of a remote MCP server are
/// `mcp:` and its name.
fn tools(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    if let Some((path, value)) = reader.take("tools")? {
        for (position, tool) in reader.items(value)?.iter().enumerate() {
            offer(reader, &path.child(position), tool)?;
            reader.free_text(&path.child(position), tool, Spot::DEVELOPER);
        }
    }
    if let Some((path, value)) = reader.take("tool_choice")? {
        if reader.inner(value, "name")?.is_some() {
            let name = reader.inner_text(value, "name")?;
            reader.tool(name, &path);
        }
        reader.free_text(&path, value, Spot::DEVELOPER);
    }
    if let Some((path, value)) = reader.take("mcp_servers")? {
        for (position, server) in reader.items(value)?.iter().enumerate() {
            let name = format!("mcp:{}", reader.inner_text(server, "name")?);
            let host = reader.inner(server, "url")?.and_then(Json::as_str).map(host_of);
            reader.remote_tool(&name, &path.child(position), host);
            reader.credentials(&path.child(position), server);
        }
        reader.free_text(&path, value, Spot::DEVELOPER);
    }
    Ok(())
}

/// A tool by its name; a set of tools of an MCP server is `mcp:` and the server's name; any other set is its type. Of two
/// names each must be allowed: which of them a server reads is its own affair.
fn offer(reader: &mut Reader<'_, '_>, path: &Path, tool: &Json<'_>) -> Result<(), Denial> {
    let server = reader.inner(tool, "mcp_server_name")?.is_some();
    if server {
        let name = format!("mcp:{}", reader.inner_text(tool, "mcp_server_name")?);
        reader.tool(&name, path);
    }
    let kind = reader.inner(tool, "type")?.and_then(Json::as_str).unwrap_or_default();
    match reader.inner(tool, "name")? {
        None if server => {}
        None if !matches!(kind, "" | "custom") => reader.tool(kind, path),
        _ => {
            let name = reader.inner_text(tool, "name")?;
            reader.tool(name, path);
        }
    }
    Ok(())
}

/// The tools that a block defines, or repeats the definition of.
fn defined(reader: &mut Reader<'_, '_>, path: &Path, block: &Json<'_>) -> Result<(), Denial> {
    let Json::Object(entries) = block else { return Ok(()) };
    if let Some(server) = reader.inner(block, "mcp_server_name")?.and_then(Json::as_str) {
        reader.tool(&format!("mcp:{server}"), path);
    }
    let _ = (reader.inner(block, "tools")?, reader.inner(block, "tool")?);
    for (at, (key, value)) in entries.iter().enumerate() {
        match (key.as_ref(), value) {
            ("tools", Json::Array(_)) => {
                for (position, tool) in reader.items(value)?.iter().enumerate() {
                    offer(reader, &path.child(at).child(position), tool)?;
                }
            }
            ("tool", Json::Object(_)) => offer(reader, path, value)?,
            _ => {}
        }
    }
    Ok(())
}

const ROLES: Roles =
    Roles { known: &[("user", Zone::User), ("assistant", Zone::Assistant), ("system", Zone::System)], others: None };

fn messages(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let (path, value) = reader.require("messages")?;
    turns::read(reader, &path, value, &ROLES, &["content"], &|reader, path, (key, value), spot| match key {
        "content" => content(reader, path, value, spot).map(|()| true),
        _ => Ok(false),
    })
}

/// A string or a list of blocks.
fn content<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>, spot: Spot) -> Result<(), Denial> {
    if let Json::String(_) = value {
        reader.segment(path, false, spot);
        return Ok(());
    }
    for (index, block) in reader.items(value)?.iter().enumerate() {
        read_block(reader, &path.child(index), block, spot)?;
    }
    Ok(())
}

/// The types of blocks that are read.
const TYPES: [&str; 24] = [
    "text",
    "tool_use",
    "tool_result",
    "thinking",
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "mcp_tool_use",
    "mcp_tool_result",
    "search_result",
    "document",
    "redacted_thinking",
    "image",
    "tool_reference",
    "tool_search_tool_result",
    "tool_search_tool_search_result",
    "web_search_result",
    "web_fetch_result",
    "code_execution_result",
    "bash_code_execution_result",
    "compaction",
];

/// One block. Blocks nest (a tool's result holds blocks); the parser bounds the depth.
fn read_block<'j>(reader: &mut Reader<'_, 'j>, path: &Path, block: &Json<'j>, spot: Spot) -> Result<(), Denial> {
    if let Json::String(_) = block {
        reader.segment(path, false, spot);
        return Ok(());
    }
    let kind = reader.inner_text(block, "type")?;
    defined(reader, path, block)?;
    let spot = match kind {
        "tool_result" | "mcp_tool_result" => Spot::TOOL,
        "document" | "search_result" => Spot::DOCUMENT,
        kind if kind.ends_with("_tool_result") => Spot::TOOL,
        "tool_use" | "server_tool_use" | "mcp_tool_use" | "thinking" | "redacted_thinking" => Spot::ASSISTANT,
        _ => spot,
    };
    match kind {
        "image" => reader.unscanned(UnscannedKind::Image, path),
        "container_upload" => reader.unscanned(UnscannedKind::Reference, path),
        _ if TYPES.contains(&kind) => {}
        _ => {
            reader.unknown(path, block, kind, spot);
            return Ok(());
        }
    }
    if kind == "tool_reference" {
        let name = reader.inner_text(block, "tool_name")?;
        reader.tool(name, path);
    }
    for (at, (key, value)) in reader.entries(block, &["text", "content", "source", "tool_name"])?.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("type", _) if reader.parameter(value, Form::Word(&TYPES)) => {}
            ("source", Json::Object(_)) => read_source(reader, &place, value, spot, kind == "document")?,
            ("content", Json::Array(blocks)) if blocks.iter().all(|block| block.get("type").is_some()) => {
                content(reader, &place, value, spot)?;
            }
            // What only the provider can read: the model's own thoughts, come back as they were.
            ("signature" | "encrypted_content" | "encrypted_index", Json::String(_)) => {
                reader.opaque(&place, value, spot);
            }
            ("data", Json::String(_)) if kind == "redacted_thinking" => reader.opaque(&place, value, spot),
            _ => reader.free_text(&place, value, spot),
        }
        reader.key(&place, key, spot);
    }
    Ok(())
}

/// The types of sources.
const SOURCES: [&str; 5] = ["text", "content", "base64", "url", "file"];

/// Where a block's content comes from: text, blocks, bytes, a link or an uploaded file.
fn read_source<'j>(
    reader: &mut Reader<'_, 'j>,
    path: &Path,
    source: &Json<'j>,
    spot: Spot,
    document: bool,
) -> Result<(), Denial> {
    let kind = reader.inner_text(source, "type")?;
    let text = matches!(kind, "text" | "content");
    if document && !text {
        let is_here = !matches!(kind, "url" | "file");
        reader.unscanned(if is_here { UnscannedKind::File } else { UnscannedKind::Reference }, path);
    }
    for (at, (key, value)) in reader.entries(source, &["data", "content", "url"])?.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "data" if !text && reader.parameter(value, Form::Base64) => {}
            "content" if matches!(value, Json::Array(_)) => content(reader, &place, value, spot)?,
            "type" if reader.parameter(value, Form::Word(&SOURCES)) => {}
            "media_type" if reader.parameter(value, Form::MediaType) => {}
            _ => reader.free_text(&place, value, spot),
        }
        reader.key(&place, key, spot);
    }
    Ok(())
}

/// `{"type":"error","error":{"type","message"}}` with the types that Anthropic's SDKs know.
fn error_body(told: &Told<'_>) -> Vec<u8> {
    let denial = told.denial;
    let kind = match denial.status() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let kind = if denial.reason == Reason::RbacModel { "not_found_error" } else { kind };
    let mut body = json!({ "type": "error", "error": { "type": kind, "message": told.message } });
    if let (Some(id), Some(fields)) = (told.request, body.as_object_mut()) {
        fields.insert("request_id".to_owned(), id.into());
    }
    body.to_string().into_bytes()
}

/// The reply of a model that refuses. It says why in a text, because a message without one is none that a caller can send
/// back.
fn withheld(operation: Operation, told: &Told<'_>, model: &str) -> Option<Vec<u8>> {
    let body = json!({
        "id": format!("msg_{}", told.request.unwrap_or("0")), "type": "message", "role": "assistant", "model": model,
        "content": [{ "type": "text", "text": told.message }],
        "stop_reason": "refusal", "stop_sequence": null, "usage": { "input_tokens": 0, "output_tokens": 0 },
    });
    (operation == Operation::Chat).then(|| body.to_string().into_bytes())
}
