//! The operations whose bodies are a few fields: older completions, embeddings, moderations, batches, media.

use super::super::request::{Reader, Spot};
use super::super::{Json, UnscannedKind};
use super::{CHOICES, OUTPUT_CAPS};
use crate::enums::Zone;
use crate::protocol::Position;
use crate::reason::Denial;

/// `extra_body.google` of Google's OpenAI-compatible endpoint: `cached_content` is what the provider keeps. All else is
/// text.
pub(super) fn extra_body(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let Some((path, extra)) = reader.take("extra_body")? else { return Ok(()) };
    let Json::Object(entries) = extra else { return Ok(()) };
    for (at, (_, options)) in entries.iter().enumerate() {
        let Json::Object(options) = options else { continue };
        let kept = options.iter().position(|(key, _)| matches!(key.as_ref(), "cached_content" | "cachedContent"));
        if let Some(position) = kept {
            reader.unscanned(UnscannedKind::State, &path.child(at).child(position));
        }
    }
    Ok(())
}

/// "Create completion". A prompt of token numbers can't be read without the model's vocabulary.
pub(super) fn completions(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.model()?;
    reader.stream(false)?;
    // With `echo` a cap of zero asks for the prompt's probabilities.
    reader.zero_is_nothing = true;
    reader.choices(&CHOICES)?;
    reader.caps(&OUTPUT_CAPS, &["max_tokens"])?;
    reader.out.repeats_prompt = matches!(reader.take("echo")?, Some((_, Json::Bool(true))));
    // Each prompt of a list has answers of its own.
    reader.out.prompts = prompts(reader, "prompt", Spot::USER)?;
    Ok(())
}

/// "Create embeddings". What is embedded is a document that somebody will find.
pub(super) fn embeddings(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.model()?;
    // Current: a vector of another text would be a lie, so a finding refuses.
    prompts(reader, "input", Spot::new(Zone::Document, Position::Current))?;
    Ok(())
}

/// "Create moderation". `model` may be absent.
pub(super) fn moderations(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.out.model = "default".to_owned();
    if reader.body.field("model")?.is_some() {
        reader.model()?;
    }
    let (path, input) = reader.require("input")?;
    match input {
        Json::String(_) => reader.segment(&path, false, Spot::USER),
        _ => {
            for (index, part) in reader.items(input)?.iter().enumerate() {
                super::chat::read_part(reader, &path.child(index), part, Spot::USER)?;
            }
        }
    }
    Ok(())
}

/// "Create batch": the requests are in a file that was uploaded before.
pub(super) fn batch(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let (path, file) = reader.require("input_file_id")?;
    reader.unscanned(UnscannedKind::Reference, &path);
    reader.free_text(&path, file, Spot::USER);
    Ok(())
}

/// Images and speech made from a prompt: every string is the caller's.
pub(super) fn media(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.model()?;
    reader.choices(&["n"])
}

/// A string, a list of strings, or token numbers. Gives how many prompts they are.
fn prompts(reader: &mut Reader<'_, '_>, name: &'static str, spot: Spot) -> Result<u64, Denial> {
    let (path, value) = reader.require(name)?;
    let Json::Array(_) = value else {
        if value.as_str().is_none() {
            return Err(reader.shape());
        }
        reader.segment(&path, false, spot);
        return Ok(1);
    };
    let (mut tokens, mut prompts) = (false, 0u64);
    for (index, prompt) in reader.items(value)?.iter().enumerate() {
        match prompt {
            Json::String(_) => reader.segment(&path.child(index), false, spot),
            Json::Number(_) | Json::Array(_) => tokens = true,
            _ => return Err(reader.shape()),
        }
        prompts += u64::from(!matches!(prompt, Json::Number(_)));
        // Strings that are among the numbers are still text.
        if let Json::Array(_) = prompt {
            reader.free_text(&path.child(index), prompt, spot);
        }
    }
    if tokens {
        reader.unscanned(UnscannedKind::Tokens, &path);
    }
    // A list of numbers is one prompt.
    Ok(prompts.max(1))
}
