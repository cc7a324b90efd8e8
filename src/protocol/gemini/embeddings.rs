//! Texts that become vectors: "embedContent", "batchEmbedContents", and "predict", as Vertex AI serves its older models of
//! embeddings.

use super::super::form::Form;
use super::super::request::{Reader, Spot};
use super::super::{Json, Path, UnscannedKind, Usage};
use super::keys::camel;
use super::{content, list, model, reply};
use crate::enums::Zone;
use crate::protocol::Position;
use crate::reason::Denial;

const SPOT: Spot = Spot::new(Zone::Document, Position::Current);

/// A body of the Gemini API, or one of its `requests`.
pub(super) fn read<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    for (at, (key, value)) in reader.entries(value, &["content", "requests", "model"])?.iter().enumerate() {
        let place = path.child(at);
        match camel(key).as_ref() {
            "content" => content(reader, &place, value, SPOT)?,
            "requests" => {
                for (place, request) in list(&place, value) {
                    read(reader, &place, request)?;
                }
            }
            "title" => reader.free_text(&place, value, SPOT),
            "taskType" => _ = reader.parameter(value, Form::Name),
            "model" => model(reader, &place, value),
            _ => {}
        }
    }
    Ok(())
}

/// `{"instances": [{"content", "title", "task_type"}], "parameters"}`. An instance of a model that reads pictures has `text`,
/// `image` and `video`.
///
/// The same path makes pictures of a `prompt`: that is another operation, and it is refused.
///
/// # Errors
///
/// `body.shape` for an instance with nothing to embed.
pub(super) fn predictions<'j>(reader: &mut Reader<'_, 'j>, body: &Json<'j>) -> Result<(), Denial> {
    reader.require("instances")?;
    for (at, (key, value)) in reader.entries(body, &["instances"])?.iter().enumerate() {
        if key == "instances" {
            for (place, instance) in list(&Path::default().child(at), value) {
                predicted(reader, &place, instance)?;
            }
        }
    }
    Ok(())
}

fn predicted<'j>(reader: &mut Reader<'_, 'j>, path: &Path, instance: &Json<'j>) -> Result<(), Denial> {
    let mut is_embedded = false;
    for (at, (key, value)) in reader.entries(instance, &["content", "text", "image", "video"])?.iter().enumerate() {
        let place = path.child(at);
        let word = camel(key);
        is_embedded |= matches!(word.as_ref(), "content" | "text" | "image" | "video");
        match word.as_ref() {
            "prompt" => return Err(reader.shape().with_param("prompt")),
            "taskType" => _ = reader.parameter(value, Form::Name),
            "image" => media(reader, &place, value, UnscannedKind::Image),
            "video" => media(reader, &place, value, UnscannedKind::File),
            _ => reader.free_text(&place, value, SPOT),
        }
    }
    if is_embedded { Ok(()) } else { Err(reader.shape().with_param("instances")) }
}

/// Bytes, or where they are.
fn media<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>, kind: UnscannedKind) {
    reader.unscanned(kind, path);
    let Json::Object(entries) = value else {
        return reader.free_text(path, value, SPOT);
    };
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match camel(key).as_ref() {
            "bytesBase64Encoded" => reader.bytes(&place, value, SPOT, kind),
            "mimeType" if reader.parameter(value, Form::MediaType) => {}
            _ => reader.free_text(&place, value, SPOT),
        }
        reader.key(&place, key, SPOT);
    }
}

/// What a reply counts: embeddings have no answer to count.
pub(super) fn usage(reply: &Json<'_>) -> Option<Usage> {
    let input = match reply.get("predictions") {
        Some(Json::Array(predictions)) => {
            let counts: Vec<u64> = predictions.iter().filter_map(predicted_tokens).collect();
            (!counts.is_empty()).then(|| counts.into_iter().fold(0, u64::saturating_add))
        }
        _ => reply::usage(reply.get("usageMetadata")?)?.input,
    };
    Some(Usage { input, output: Some(0), ..Usage::default() })
}

fn predicted_tokens(prediction: &Json<'_>) -> Option<u64> {
    let statistics = prediction.get("embeddings")?.get("statistics")?;
    statistics.get("token_count").or(statistics.get("tokenCount"))?.as_u64()
}
