//! "Upload file": what the file is for, and the lines of a batch or of training data, each read as the request that it is.

use super::super::form::Form;
use super::super::instructions::{converses, instructs};
use super::super::request::{Reader, Spot};
use super::super::upload::LINES;
use super::super::{Adapter, Json, Path, Segment, UnscannedKind};
use super::Openai;
use crate::enums::Operation;
use crate::reason::Denial;

/// What a file is for. Another word is refused: a lenient server might take it for one of these.
const PURPOSES: [&str; 7] = ["assistants", BATCH, "evals", TRAINING, "ocr", "user_data", "vision"];
const BATCH: &str = "batch";
const TRAINING: &str = "fine-tune";

/// The model of what names none, as in "Create moderation".
const UNNAMED: &str = "default";

/// What a line of a batch may call.
const CALLS: [Operation; 5] =
    [Operation::Chat, Operation::Completions, Operation::Responses, Operation::Embeddings, Operation::Moderations];

/// True for a form whose file has lines that are read.
pub(super) fn holds_lines(fields: &Json<'_>) -> bool {
    fields.get("purpose").and_then(Json::as_str).is_some_and(|purpose| matches!(purpose, BATCH | TRAINING))
}

/// The fields of the form.
pub(super) fn read(format: &Openai, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let (_, purpose) = reader.require("purpose")?;
    if !reader.parameter(purpose, Form::Word(&PURPOSES)) {
        return Err(reader.shape());
    }
    let purpose = purpose.as_str().unwrap_or_default();
    if purpose == TRAINING {
        reader.out.operations.push(Operation::TrainingFiles);
    }
    let (path, file) = reader.require("file")?;
    if let Some(kind) = reader.inner(file, "content_type")? {
        reader.parameter(kind, Form::MediaType);
    }
    let Some((lines, Json::Array(items))) = reader.take(LINES)? else {
        reader.unscanned(UnscannedKind::File, &path);
        return Ok(());
    };
    for (at, line) in items.iter().enumerate() {
        let place = lines.child(at);
        let read =
            if purpose == BATCH { call(format, reader, &place, line) } else { example(format, reader, &place, line) };
        read.map_err(|denial| denial.with_line(at + 1))?;
    }
    if reader.out.model.is_empty() {
        reader.out.model = UNNAMED.to_owned();
    }
    Ok(())
}

/// A line of a batch: `{"custom_id", "method", "url", "body"}`.
fn call<'b, 'j>(format: &Openai, reader: &mut Reader<'b, 'j>, place: &Path, line: &'b Json<'j>) -> Result<(), Denial> {
    let method = field(reader, line, "method")?;
    if !reader.parameter(method.1, Form::Word(&["POST"])) {
        return Err(reader.shape().with_param("method"));
    }
    let url = field(reader, line, "url")?;
    let called = url.1.as_str().and_then(|url| operation_of(format, url));
    let operation = called.ok_or(reader.shape().with_param("url"))?;
    let (at, body) = field(reader, line, "body")?;
    reader.out.operations.push(operation);
    reader.adopt(&place.child(at), body, None, |line| {
        format.read(operation, line)?;
        let is_instruction = |segment: &Segment| instructs(operation, &line.out, line.body, segment);
        let has_none = converses(operation) && !line.out.segments.iter().any(is_instruction);
        line.out.has_unseen_instructions |= has_none;
        Ok(())
    })
}

/// The operation of a path of the format's that a batch may call.
fn operation_of(format: &Openai, url: &str) -> Option<Operation> {
    let path = url.strip_prefix('/')?;
    let known = format.paths().iter().find(|(known, _)| *known == path)?;
    CALLS.contains(&known.1).then_some(known.1)
}

/// A line of training data: a conversation; for preferences one in `input`, and two answers; or else texts.
fn example<'b, 'j>(
    format: &Openai,
    reader: &mut Reader<'b, 'j>,
    place: &Path,
    line: &'b Json<'j>,
) -> Result<(), Denial> {
    let Json::Object(_) = line else { return Err(reader.shape().with_param("file")) };
    let input = line.field("input").map_err(Denial::new)?;
    let (place, conversation) = match input {
        Some((at, input @ Json::Object(_))) => (place.child(at), input),
        _ => (place.clone(), line),
    };
    if reader.inner(conversation, "messages")?.is_none() {
        // Prompt and completion: two texts of the caller's.
        reader.free_text(&place, conversation, Spot::USER);
        return Ok(());
    }
    reader.adopt(&place, conversation, Some(UNNAMED), |line| {
        format.read(Operation::Chat, line)?;
        // Nobody answers an example: it needs no cap.
        line.out.output_cap_key = &[];
        Ok(())
    })
}

/// A field of a line that must be there.
fn field<'b, 'j>(
    reader: &Reader<'_, 'j>,
    line: &'b Json<'j>,
    name: &'static str,
) -> Result<(usize, &'b Json<'j>), Denial> {
    let Json::Object(_) = line else { return Err(reader.shape().with_param("file")) };
    let found = line.field(name).map_err(|reason| Denial::new(reason).with_param(name))?;
    found.ok_or(reader.shape().with_param(name))
}
