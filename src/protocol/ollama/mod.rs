//! Ollama's own API, after its public reference: `/api/chat`, `/api/generate`, embeddings, models. Replies
//! stream as lines of JSON unless the request says otherwise.

mod keys;

use serde_json::{Value, json};

use super::adapter::Adapter;
use super::form::Form;
use super::frames::{Frame, Framing};
use super::keys::Keys;
use super::reply::{Channel, End, Ending, Facts, Plain, ReplyFormat, TextKind, ToolCall, Walk};
use super::request::{Reader, Spot};
use super::system::{last_message, text_at};
use super::turns::{self, Roles};
use super::{Json, Path, Told, UnscannedKind, Usage};
use crate::enums::{Operation, Zone};
use crate::host::Timestamp;
use crate::protocol::Position;
use crate::reason::Denial;

/// The format.
#[derive(Debug)]
pub(super) struct Ollama;

/// Replies of `chat` and `generate`.
#[derive(Debug)]
struct Lines {
    chat: bool,
}

const CHAT: Lines = Lines { chat: true };
const GENERATE: Lines = Lines { chat: false };
const PLAIN: Plain = Plain { usage };

impl Adapter for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &[
            ("chat", Operation::Chat),
            ("generate", Operation::Generate),
            ("embed", Operation::Embeddings),
            ("embeddings", Operation::Embeddings),
            ("tags", Operation::Models),
            ("ps", Operation::Models),
            ("version", Operation::Models),
            ("show", Operation::ModelCard),
        ]
    }

    /// Its clients often send no type.
    fn takes_any_type(&self) -> bool {
        true
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn read(&self, operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        read(operation, reader)
    }

    fn system_prompt(&self, operation: Operation, body: &Json<'_>) -> Option<Path> {
        match operation {
            Operation::Chat => last_message(body, "messages"),
            Operation::Generate => text_at(body, "system"),
            _ => None,
        }
    }

    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        error_body(told)
    }

    fn withheld(&self, operation: Operation, _told: &Told<'_>, model: &str, _now: Timestamp) -> Option<Vec<u8>> {
        withheld(operation, model)
    }

    fn reply(&self, operation: Operation) -> &dyn ReplyFormat {
        match operation {
            Operation::Chat => &CHAT,
            Operation::Generate => &GENERATE,
            _ => &PLAIN,
        }
    }
}

impl ReplyFormat for Lines {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        read_reply(walk, reply);
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn remove_calls(&self, reply: &mut Json<'_>, paths: &[&Path], notice: &str) {
        reply.remove(paths);
        without_calls(reply, notice);
    }

    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        close(ending.facts, self.chat, ending.why("length", "content_filter"))
    }

    fn calls_come_whole(&self) -> bool {
        self.chat
    }
}

fn read(operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.model()?;
    match operation {
        Operation::Chat => {
            tools(reader)?;
            messages(reader)?;
        }
        Operation::Generate => generate(reader)?,
        Operation::Embeddings => {
            for name in ["input", "prompt"] {
                reader.texts(name, Spot::new(Zone::Document, Position::Current))?;
            }
        }
        _ => return Ok(()),
    }
    if operation != Operation::Embeddings {
        reader.stream(true)?;
        options(reader)?;
    }
    Ok(())
}

fn options(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.out.output_cap_key = &["options", "num_predict"];
    let Some((path, options)) = reader.take("options")? else { return Ok(()) };
    for (at, (key, value)) in reader.entries(options, &["num_predict"])?.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("num_predict", Json::Null) => {}
            ("num_predict", _) => reader.cap(place.clone(), value)?,
            _ => reader.free_text(&place, value, Spot::USER),
        }
        reader.key(&place, key, Spot::USER);
    }
    Ok(())
}

fn tools(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let Some((path, value)) = reader.take("tools")? else { return Ok(()) };
    for (position, tool) in reader.items(value)?.iter().enumerate() {
        let function = reader.inner(tool, "function")?.ok_or(reader.shape())?;
        let name = reader.inner_text(function, "name")?;
        reader.tool(name, &path.child(position));
        reader.free_text(&path.child(position), tool, Spot::DEVELOPER);
    }
    Ok(())
}

/// A model's template may know roles of its own: they are the caller's words.
const ROLES: Roles = Roles {
    known: &[("system", Zone::System), ("user", Zone::User), ("assistant", Zone::Assistant), ("tool", Zone::Tool)],
    others: Some(Zone::User),
};

fn messages(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let Some((path, value)) = reader.take("messages")? else { return Ok(()) };
    turns::read(reader, &path, value, &ROLES, &["content", "images"], &|reader, path, (key, value), spot| match key {
        "images" => {
            images(reader, path, value, spot);
            Ok(true)
        }
        _ => Ok(false),
    })
}

/// A list of pictures in base64. Clients send an empty one with every message.
fn images<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>, spot: Spot) {
    let Json::Array(pictures) = value else { return reader.free_text(path, value, spot) };
    if !pictures.is_empty() {
        reader.unscanned(UnscannedKind::Image, path);
    }
    for (position, picture) in pictures.iter().enumerate() {
        let place = path.child(position);
        if !reader.parameter(picture, Form::Base64) {
            reader.free_text(&place, picture, spot);
        }
    }
}

fn generate(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.texts("system", Spot::SYSTEM)?;
    reader.texts("template", Spot::SYSTEM)?;
    reader.texts("prompt", Spot::USER)?;
    if let Some((path, value)) = reader.take("images")? {
        images(reader, &path, value, Spot::USER);
    }
    // Token numbers of an earlier conversation.
    if let Some((path, value)) = reader.take("context")?
        && !matches!(value, Json::Array(tokens) if tokens.is_empty())
    {
        reader.unscanned(UnscannedKind::State, &path);
        reader.free_text(&path, value, Spot::USER);
    }
    Ok(())
}

/// `{"error":"..."}`.
fn error_body(told: &Told<'_>) -> Vec<u8> {
    json!({ "error": told.message }).to_string().into_bytes()
}

/// A reply that the content filter has ended.
fn withheld(operation: Operation, model: &str) -> Option<Vec<u8>> {
    let is_chat = match operation {
        Operation::Chat => true,
        Operation::Generate => false,
        _ => return None,
    };
    let facts = Facts { model: Some(model.to_owned()), ..Facts::default() };
    Some(close(&facts, is_chat, "content_filter"))
}

fn read_reply(walk: &mut Walk<'_>, reply: &Json<'_>) {
    let Json::Object(entries) = reply else { return walk.others(&Path::default(), reply) };
    let done = matches!(reply.get("done"), Some(Json::Bool(true)));
    for (at, (key, value)) in entries.iter().enumerate() {
        let path = Path::default().child(at);
        match (key.as_ref(), value) {
            ("message", Json::Object(_)) => read_message(walk, &path, value),
            ("response", _) => walk.text(&path, value, 0, 0, TextKind::Text),
            ("thinking", _) => walk.text(&path, value, 0, 0, TextKind::Reasoning),
            ("context" | "logprobs", Json::Array(_)) => walk.parts.echoes.push(path),
            _ => walk.rest(&path, key, value),
        }
    }
    if done {
        walk.finish(reply.get("done_reason"));
        walk.parts.ends.push(End::ALL);
    }
    walk.parts.usage = usage(reply);
}

/// A prompt that is still in the server's memory is not counted: the count is then left out. Embeddings have no
/// answer to count.
fn usage(reply: &Json<'_>) -> Option<Usage> {
    let count = |name: &str| reply.get(name).and_then(Json::as_u64);
    let (input, output) = (count("prompt_eval_count"), count("eval_count"));
    let embeds = reply.get("embeddings").or(reply.get("embedding")).is_some();
    let output = if embeds { Some(0) } else { output };
    (input.is_some() || output.is_some()).then_some(Usage { input, output, ..Usage::default() })
}

fn read_message(walk: &mut Walk<'_>, path: &Path, message: &Json<'_>) {
    let Json::Object(entries) = message else { return };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("content", _) => walk.text(&place, value, 0, 0, TextKind::Text),
            ("thinking", _) => walk.text(&place, value, 0, 0, TextKind::Reasoning),
            ("images", Json::Array(pictures)) => {
                for (position, picture) in pictures.iter().enumerate() {
                    walk.payload(UnscannedKind::Image, &place.child(position), picture);
                }
            }
            ("tool_calls", Json::Array(calls)) => {
                for (position, call) in calls.iter().enumerate() {
                    let item = u32::try_from(position).unwrap_or(u32::MAX);
                    let function = call.get("function").unwrap_or(&Json::Null);
                    let name = function.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
                    let path = place.child(position);
                    let channel = Channel { choice: 0, item, kind: TextKind::ToolArguments };
                    walk.strings(&path, call, channel);
                    walk.parts.calls.push(ToolCall { name, choice: 0, item, path, named: true });
                }
            }
            _ => walk.rest(&place, key, value),
        }
    }
}

/// Takes away what tells of calls that are gone.
fn without_calls(reply: &mut Json<'_>, notice: &str) {
    let Some(Json::Object(entries)) = reply.get_mut("message") else { return };
    let before = entries.len();
    entries.retain(|(key, value)| key != "tool_calls" || !matches!(value, Json::Array(calls) if calls.is_empty()));
    if entries.len() < before
        && let Some((_, content)) = entries.iter_mut().find(|(key, _)| key == "content")
        && content.as_str() == Some("")
    {
        *content = Json::String(notice.to_owned().into());
    }
}

fn close(facts: &Facts, chat: bool, why: &str) -> Vec<u8> {
    let body =
        if chat { json!({ "message": { "role": "assistant", "content": "" } }) } else { json!({ "response": "" }) };
    line(facts, body, Some(why))
}

fn line(facts: &Facts, mut body: Value, done: Option<&str>) -> Vec<u8> {
    if let Value::Object(fields) = &mut body {
        fields.insert("model".to_owned(), facts.model.as_deref().unwrap_or_default().into());
        fields.insert("created_at".to_owned(), facts.created_at.as_deref().unwrap_or("1970-01-01T00:00:00Z").into());
        fields.insert("done".to_owned(), done.is_some().into());
        if let Some(why) = done {
            fields.insert("done_reason".to_owned(), why.into());
        }
    }
    Frame::of_data(Framing::Lines, None, body.to_string().as_bytes())
}
