//! Hugging Face's text-generation-inference: `/generate`, `/generate_stream` and `/`, after its public
//! reference. Its OpenAI-compatible side is protocol `openai`.

mod keys;

use serde_json::json;

use super::adapter::{Adapter, HeaderPairs};
use super::frames::{Frame, Framing};
use super::keys::Keys;
use super::reply::{Channel, End, Ending, ReplyFormat, TextKind, Walk};
use super::request::{Reader, Spot};
use super::{Json, Path, Told, Usage};
use crate::enums::Operation;
use crate::host::Timestamp;
use crate::reason::Denial;

/// The format, requests and replies.
#[derive(Debug)]
pub(super) struct Tgi;

impl Adapter for Tgi {
    fn name(&self) -> &'static str {
        "tgi"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &[("generate", Operation::Generate), ("generate_stream", Operation::Generate), ("info", Operation::Models)]
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn read(&self, _operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        read(reader)
    }

    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        error_body(told)
    }

    fn usage_of(&self, headers: HeaderPairs<'_, '_>) -> Usage {
        usage_of(headers)
    }

    fn withheld(&self, _operation: Operation, _told: &Told<'_>, _model: &str, _now: Timestamp) -> Option<Vec<u8>> {
        Some(withheld())
    }

    fn reply(&self, _operation: Operation) -> &dyn ReplyFormat {
        self
    }
}

impl ReplyFormat for Tgi {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        read_reply(walk, reply);
    }

    fn is_terminator(&self, data: &[u8]) -> bool {
        // The SDKs look at the beginning only.
        data.starts_with(b"[DONE]")
    }

    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        close(ending.why("at its limit of tokens", "by the content policy"))
    }

    fn is_token(&self, event: &Json<'_>) -> bool {
        event.get("token").is_some()
    }
}

fn read(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    // A server has one model.
    reader.out.model = "default".to_owned();
    reader.stream(false)?;
    let (path, inputs) = reader.require("inputs")?;
    reader.free_text(&path, inputs, Spot::USER);
    reader.out.output_cap_key = &["parameters", "max_new_tokens"];
    if let Some((path, parameters)) = reader.take("parameters")? {
        for (at, (key, value)) in reader.entries(parameters, &["max_new_tokens", "best_of"])?.iter().enumerate() {
            let place = path.child(at);
            match (key.as_ref(), value) {
                (_, Json::Null) => {}
                ("max_new_tokens" | "max_tokens" | "max_length", _) => reader.cap(place.clone(), value)?,
                ("return_full_text", Json::Bool(repeats)) => reader.out.repeats_prompt = *repeats,
                ("best_of", _) => reader.out.choices = reader.number(value)?.ok_or(reader.shape())?,
                ("adapter_id" | "lora_id", _) => {
                    reader.out.choices_of_operator.push("adapter_id");
                    reader.free_text(&place, value, Spot::USER);
                }
                _ => reader.free_text(&place, value, Spot::USER),
            }
            reader.key(&place, key, Spot::USER);
        }
    }
    Ok(())
}

/// `{"error","error_type"}`. The types are the server's own; for what only a proxy refuses it has none, and
/// its SDK then raises by the status.
fn error_body(told: &Told<'_>) -> Vec<u8> {
    let message = &told.message;
    let kind = match told.denial.status() {
        401..=405 => return json!({ "error": message }).to_string().into_bytes(),
        429 | 503 => "overloaded",
        _ => "validation",
    };
    json!({ "error": message, "error_type": kind }).to_string().into_bytes()
}

/// An empty answer: the server has no word for a content filter.
fn withheld() -> Vec<u8> {
    json!({ "generated_text": "" }).to_string().into_bytes()
}

/// A whole reply tells its cost in headers.
fn usage_of(headers: HeaderPairs<'_, '_>) -> Usage {
    let mut usage = Usage::default();
    for (name, value) in headers {
        let place = match name {
            b"x-prompt-tokens" => &mut usage.input,
            b"x-generated-tokens" => &mut usage.output,
            _ => continue,
        };
        *place = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    }
    usage
}

fn read_reply(walk: &mut Walk<'_>, reply: &Json<'_>) {
    match reply {
        // `/` answers with a list.
        Json::Array(replies) => {
            for (position, one) in replies.iter().enumerate() {
                read_one(walk, &Path::default().child(position), one);
            }
        }
        _ => read_one(walk, &Path::default(), reply),
    }
}

fn read_one(walk: &mut Walk<'_>, path: &Path, reply: &Json<'_>) {
    let Json::Object(entries) = reply else { return walk.others(path, reply) };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            ("token", Json::Object(token)) => {
                for (at, (key, value)) in token.iter().enumerate() {
                    match key.as_ref() {
                        "text" => walk.text(&place.child(at), value, 0, 0, TextKind::Text),
                        _ => walk.rest(&place.child(at), key, value),
                    }
                }
            }
            ("generated_text", Json::String(_)) => {
                // In a stream it repeats all of the text: it is whole, and the last.
                walk.strings(&place, value, Channel { choice: 0, item: 0, kind: TextKind::Text });
                walk.parts.ends.push(End::ALL);
            }
            ("top_tokens", Json::Array(_)) => walk.parts.echoes.push(place),
            ("details", Json::Object(details)) => {
                for (at, (key, value)) in details.iter().enumerate() {
                    match key.as_ref() {
                        "tokens" | "prefill" | "top_tokens" => walk.parts.echoes.push(place.child(at)),
                        _ => walk.rest(&place.child(at), key, value),
                    }
                }
                walk.finish(value.get("finish_reason"));
                if let Some(output) = value.get("generated_tokens").and_then(Json::as_u64) {
                    let input = value.get("input_length").and_then(Json::as_u64);
                    let input = input.or_else(|| match value.get("prefill") {
                        Some(Json::Array(tokens)) if !tokens.is_empty() => Some(tokens.len() as u64),
                        _ => None,
                    });
                    walk.parts.usage = Some(Usage { input, output: Some(output), ..Usage::default() });
                }
            }
            _ => walk.rest(&place, key, value),
        }
    }
}

fn close(why: &str) -> Vec<u8> {
    event(&json!({ "error": format!("The reply was stopped {why}."), "error_type": "incomplete_generation" }))
}

fn event(value: &serde_json::Value) -> Vec<u8> {
    Frame::of_data(Framing::Sse, None, value.to_string().as_bytes())
}
