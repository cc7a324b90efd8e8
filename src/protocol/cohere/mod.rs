//! Cohere's API, after its public reference: chat of version 2, embed and rerank of versions 1 and 2.

mod chat;
mod embed;
mod keys;
mod reply;
mod rerank;

use serde_json::json;

use super::adapter::Adapter;
use super::keys::Keys;
use super::reply::{Plain, ReplyFormat};
use super::request::Reader;
use super::system::last_message;
use super::{Json, Path, Told, Usage};
use crate::enums::Operation;
use crate::host::Timestamp;
use crate::reason::{Denial, Reason};

/// The format.
#[derive(Debug)]
pub(super) struct Cohere;

const RERANK: Plain = Plain { usage: |reply| reply.get("meta").and_then(usage) };
const EMBED: Plain = Plain { usage: embedding_usage };

impl Adapter for Cohere {
    fn name(&self) -> &'static str {
        "cohere"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &[("chat", Operation::Chat), ("embed", Operation::Embeddings), ("rerank", Operation::Rerank)]
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn read(&self, operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        match operation {
            Operation::Chat => chat::read(reader),
            Operation::Embeddings => embed::read(reader),
            Operation::Rerank => rerank::read(reader),
            _ => Err(Reason::BodyShape.into()),
        }
    }

    fn system_prompt(&self, operation: Operation, body: &Json<'_>) -> Option<Path> {
        (operation == Operation::Chat).then(|| last_message(body, "messages")).flatten()
    }

    /// `{"message"}`, as Cohere's own errors.
    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        json!({ "message": told.message }).to_string().into_bytes()
    }

    /// A chat says why in a text, because callers take the first text of a message.
    fn withheld(&self, operation: Operation, told: &Told<'_>, _model: &str, _now: Timestamp) -> Option<Vec<u8>> {
        let id = told.request.unwrap_or("0");
        let body = match operation {
            Operation::Chat => json!({ "id": id, "finish_reason": reply::WITHHELD,
                "message": { "role": "assistant", "content": [{ "type": "text", "text": told.message }] },
                "usage": { "tokens": { "input_tokens": 0, "output_tokens": 0 } } }),
            Operation::Embeddings => {
                json!({ "id": id, "response_type": "embeddings_by_type", "embeddings": {}, "texts": [] })
            }
            Operation::Rerank => json!({ "id": id, "results": [] }),
            _ => return None,
        };
        Some(body.to_string().into_bytes())
    }

    fn reply(&self, operation: Operation) -> &dyn ReplyFormat {
        match operation {
            Operation::Chat => &reply::Messages,
            Operation::Embeddings => &EMBED,
            _ => &RERANK,
        }
    }
}

/// `tokens`, or what was billed where that is tokens. Searches are billed in units of their own, which tell no tokens.
/// The reference has these numbers as floats.
fn usage(value: &Json<'_>) -> Option<Usage> {
    let number = |holder: &Json<'_>, name: &str| match holder.get(name)? {
        Json::Number(number) => number.as_u64().or_else(|| u64::try_from(number.whole()?).ok()),
        _ => None,
    };
    let count = |name: &str| ["tokens", "billed_units"].into_iter().find_map(|key| number(value.get(key)?, name));
    // Tokens of pictures are counted apart.
    let input = match (count("input_tokens"), count("image_tokens")) {
        (Some(texts), images) => Some(texts.saturating_add(images.unwrap_or(0))),
        (None, images) => images,
    };
    let output = count("output_tokens");
    let cached = number(value, "cached_tokens");
    (input.is_some() || output.is_some()).then_some(Usage { input, output, cached, reasoning: None })
}

/// Embeddings have no answer, and no count of it.
fn embedding_usage(reply: &Json<'_>) -> Option<Usage> {
    let usage = usage(reply.get("meta")?)?;
    Some(Usage { output: usage.output.or(Some(0)), ..usage })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_are_no_tokens() {
        let usage = |meta: &str| usage(&Json::parse(meta.as_bytes(), 8).unwrap());
        let counts = |input, output, cached| Some(Usage { input, output, cached, reasoning: None });
        assert_eq!(usage(r#"{"billed_units":{"search_units":1}}"#), None);
        assert_eq!(
            usage(r#"{"billed_units":{"search_units":1,"input_tokens":5},"tokens":{"input_tokens":7}}"#),
            counts(Some(7), None, None)
        );
        assert_eq!(usage(r#"{"billed_units":{"input_tokens":9,"search_units":1}}"#), counts(Some(9), None, None));
        assert_eq!(
            usage(r#"{"tokens":{"input_tokens":9.0,"output_tokens":3.0},"cached_tokens":2.0}"#),
            counts(Some(9), Some(3), Some(2))
        );
        assert_eq!(usage(r#"{"billed_units":{"input_tokens":2,"image_tokens":40}}"#), counts(Some(42), None, None));
        assert_eq!(usage(r#"{"tokens":{"input_tokens":-9}}"#), None);
    }
}
