//! InvokeModel: bodies of the model makers' own. Each is told by its shape: Anthropic's messages, chats as OpenAI has them,
//! Nova's as Converse has them, and flat ones with one prompt.

use super::super::adapter::Adapter;
use super::super::form::Form;
use super::super::frames::{Frame, Framing};
use super::super::reply::{Ending, ReplyFormat, TextKind, Walk};
use super::super::request::Reader;
use super::super::{Json, Path, Told, Usage, anthropic, eventstream, openai};
use super::converse::{CAP, CAPS, FLAT, cap, names_of, own_fields};
use super::model::{answers_without_text, maker};
use super::reply::{CONVERSED, withheld as conversed};
use super::{converse, exception};
use crate::enums::Operation;
use crate::host::Timestamp;
use crate::reason::Denial;

/// The counts of an invocation, in the last event of its stream.
const METRICS: &str = "amazon-bedrock-invocationMetrics";

/// The shape of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Anthropic,
    Openai,
    Nova,
    Flat,
}

impl Shape {
    /// Of a request for a model of this maker.
    fn of_request(body: &Json<'_>, maker: Option<&str>) -> Shape {
        let has = |key| body.get(key).is_some();
        match maker {
            Some("anthropic") => Shape::Anthropic,
            _ if has("anthropic_version") => Shape::Anthropic,
            Some("amazon") if has("messages") => Shape::Nova,
            _ if has("messages") => Shape::Openai,
            _ => Shape::Flat,
        }
    }

    /// Of a reply, or of an event that tells it.
    fn of_reply(reply: &Json<'_>) -> Shape {
        let kind = reply.get("type").and_then(Json::as_str).unwrap_or_default();
        let has = |key| reply.get(key).is_some();
        if kind.starts_with("message") || kind.starts_with("content_block") || kind == "ping" {
            Shape::Anthropic
        } else if has("choices") {
            Shape::Openai
        } else if has("messageStart")
            || has("contentBlockDelta")
            || reply.get("output").is_some_and(|o| o.get("message").is_some())
        {
            Shape::Nova
        } else {
            Shape::Flat
        }
    }
}

/// True for a key of one of the makers' formats.
pub(super) fn knows_key(key: &str) -> bool {
    anthropic::KEYS.knows(key) || openai::KEYS.knows(key)
}

pub(super) fn read(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.model()?;
    let name = reader.out.model.clone();
    let maker = maker(&name);
    match Shape::of_request(reader.body, maker) {
        Shape::Anthropic => anthropic::Anthropic::default().read(Operation::Chat, reader)?,
        Shape::Openai => openai::Openai::default().read(Operation::Chat, reader)?,
        Shape::Nova => nova(reader)?,
        Shape::Flat => flat(reader, maker)?,
    }
    if let Json::Object(entries) = reader.body {
        let tools = entries.iter().enumerate().find(|(_, (key, _))| key == "tools");
        if let Some((at, (_, Json::Array(tools)))) = tools {
            for (index, tool) in tools.iter().enumerate() {
                names_of(tool).for_each(|name| reader.tool(name, &Path::default().child(at).child(index)));
            }
        }
    }
    if let Some((_, version)) = reader.take("anthropic_version")? {
        reader.parameter(version, Form::Name);
    }
    // The path says which models answer a stream.
    reader.out.stream = false;
    Ok(())
}

/// Nova's messages: as Converse has them, and a cap by either of two names.
fn nova(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    converse::message(reader, &Path::default(), reader.body)?;
    cap(reader, reader.body, CAP, &["max_new_tokens"]);
    if let Some((_, value)) = reader.take("schemaVersion")? {
        reader.parameter(value, Form::Name);
    }
    Ok(())
}

/// One prompt and its parameters: every text is the caller's.
fn flat(reader: &mut Reader<'_, '_>, maker: Option<&str>) -> Result<(), Denial> {
    let (path, body) = (Path::default(), reader.body);
    own_fields(reader, &path, body)?;
    for (at, (key, value)) in reader.entries(body, &CAPS)?.iter().enumerate() {
        reader.key(&path.child(at), key, FLAT);
        reader.free_text(&path.child(at), value, FLAT);
    }
    if answers_without_text(&reader.out.model) {
        // There is no answer that a cap could bound, and the model refuses a field that it does not know.
        reader.out.output_cap_key = &[];
        return Ok(());
    }
    match maker {
        _ if body.get("inputText").is_some() => cap(reader, body, &["textGenerationConfig", "maxTokenCount"], &[]),
        Some("meta") => cap(reader, body, &["max_gen_len"], &[]),
        _ => cap(reader, body, &["max_tokens"], &CAPS),
    }
    Ok(())
}

/// The text that the instructions end with.
pub(super) fn system_prompt(body: &Json<'_>) -> Option<Path> {
    let chat = Operation::Chat;
    match Shape::of_request(body, None) {
        Shape::Anthropic => anthropic::Anthropic::default().system_prompt(chat, body),
        Shape::Openai if body.get("system").is_some() => converse::system_prompt(body),
        Shape::Openai => openai::Openai::default().system_prompt(chat, body),
        Shape::Nova | Shape::Flat => None,
    }
}

/// A reply as of a model that a filter has stopped, in the maker's form.
pub(super) fn withheld(told: &Told<'_>, model: &str, now: Timestamp) -> Option<Vec<u8>> {
    match maker(model) {
        Some("anthropic") => anthropic::Anthropic::default().withheld(Operation::Chat, told, model, now),
        Some("amazon") => Some(conversed(told)),
        Some("meta" | "mistral" | "cohere" | "ai21") | None => None,
        Some(_) => openai::Openai::default().withheld(Operation::Chat, told, model, now),
    }
}

/// Replies of InvokeModel: what comes first tells the maker's form.
#[derive(Debug)]
pub(super) struct Invoked;

impl ReplyFormat for Invoked {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        let Json::Object(entries) = reply else { return walk.others(&Path::default(), reply) };
        for (at, (key, value)) in entries.iter().enumerate() {
            let path = Path::default().child(at);
            match (key.as_ref(), value) {
                ("outputs" | "results" | "generations", Json::Array(items)) => {
                    for (position, item) in items.iter().enumerate() {
                        read_item(walk, &path.child(position), item, u32::try_from(position).unwrap_or(u32::MAX));
                    }
                }
                _ => read_entry(walk, &path, key, value, 0),
            }
        }
        let count = |name: &str| reply.get(name).and_then(Json::as_u64);
        let input = count("prompt_token_count").or(count("inputTextTokenCount"));
        let results = match reply.get("results") {
            Some(Json::Array(results)) => {
                results.iter().filter_map(|one| one.get("tokenCount")?.as_u64()).reduce(u64::saturating_add)
            }
            _ => None,
        };
        let usage = Usage { input, output: count("generation_token_count").or(results), ..Usage::default() };
        walk.parts.usage = (usage != Usage::default()).then_some(usage);
    }

    fn framing(&self) -> Framing {
        Framing::Messages
    }

    fn told_by(&self, reply: &Json<'_>) -> Option<&'static dyn ReplyFormat> {
        match Shape::of_reply(reply) {
            Shape::Anthropic => Some(anthropic::MESSAGES),
            Shape::Openai => Some(openai::CHATS),
            Shape::Nova => Some(CONVERSED),
            Shape::Flat => None,
        }
    }

    fn counts(&self, event: &Json<'_>) -> Option<Usage> {
        let metrics = event.get(METRICS)?;
        let count = |name: &str| metrics.get(name).and_then(Json::as_u64);
        let cached = count("cacheReadInputTokenCount");
        let input = count("inputTokenCount").map(|own| {
            let others = [count("cacheWriteInputTokenCount"), cached];
            others.into_iter().flatten().fold(own, u64::saturating_add)
        });
        Some(Usage { input, output: count("outputTokenCount"), cached, reasoning: None })
    }

    fn is_intercepted(&self, reply: &Json<'_>) -> bool {
        reply.get("amazon-bedrock-guardrailAction").and_then(Json::as_str) == Some("INTERVENED")
    }

    /// A maker's events go into chunks. Where none has come, or none has such words, an exception ends the stream.
    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        let message = serde_json::json!({ "message": ending.told.message }).to_string();
        eventstream::exception(exception(ending.told.denial.status()), message.as_bytes())
    }

    fn wrap(&self, event: &[u8]) -> Vec<u8> {
        Frame::of_data(Framing::Messages, None, event)
    }
}

fn read_item(walk: &mut Walk<'_>, path: &Path, item: &Json<'_>, choice: u32) {
    let Json::Object(entries) = item else { return walk.others(path, item) };
    for (at, (key, value)) in entries.iter().enumerate() {
        read_entry(walk, &path.child(at), key, value, choice);
    }
}

fn read_entry(walk: &mut Walk<'_>, path: &Path, key: &str, value: &Json<'_>, choice: u32) {
    match key {
        "generation" | "outputText" | "text" | "completion" | "response" => {
            walk.text(path, value, choice, 0, TextKind::Text);
        }
        _ => {
            if matches!(key, "stop_reason" | "finish_reason" | "completionReason") {
                walk.finish(Some(value));
            }
            walk.rest(path, key, value);
        }
    }
}
