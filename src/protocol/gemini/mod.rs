//! Google's Gemini API and what Vertex AI serves, after their public references: content, streams of it, counts and
//! embeddings. The path names the model.
//!
//! Servers read each key in two spellings, `maxOutputTokens` and `max_output_tokens`. A body that has both of one key is
//! refused: which of them counts is the server's own affair.

mod embeddings;
mod keys;
mod parts;
mod reply;

use serde_json::json;

use super::adapter::{Adapter, Protocol};
use super::form::Form;
use super::keys::Keys;
use super::reply::{Plain, ReplyFormat};
use super::request::{Reader, Spot, host_of, newest_turn, spot_of};
use super::{Json, Path, Told, UnscannedKind, anthropic, openai};
use crate::enums::{Operation, Zone};
use crate::host::Timestamp;
use crate::reason::Denial;
use crate::sorted;
use keys::camel;

/// The format.
#[derive(Debug)]
pub(super) struct Gemini {
    /// The path asks for a stream. One that was not asked for as events is a list of replies.
    pub(super) streams: bool,
    /// The path is "predict".
    pub(super) predicts: bool,
}

const PLAIN: Plain = Plain { usage: embeddings::usage };
const COUNTS: Plain = Plain { usage: |_| None };

/// What asks for arguments of calls in pieces.
const PIECES: &str = "streamFunctionCallArguments";

/// Vertex AI's path of Anthropic's models. The body is Anthropic's, but for the model, which the path names.
const ANTHROPIC: &str = "publishers/anthropic/models/{model}:";
/// The same of Mistral's.
const MISTRAL: &str = "publishers/mistralai/models/{model}:";

impl Adapter for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &[
            ("models/{model}:generateContent", Operation::Chat),
            ("models/{model}:streamGenerateContent", Operation::Chat),
            ("tunedModels/{model}:generateContent", Operation::Chat),
            ("tunedModels/{model}:streamGenerateContent", Operation::Chat),
            ("publishers/{publisher}/models/{model}:generateContent", Operation::Chat),
            ("publishers/{publisher}/models/{model}:streamGenerateContent", Operation::Chat),
            ("publishers/anthropic/models/{model}:rawPredict", Operation::Chat),
            ("publishers/anthropic/models/{model}:streamRawPredict", Operation::Chat),
            ("publishers/mistralai/models/{model}:rawPredict", Operation::Chat),
            ("publishers/mistralai/models/{model}:streamRawPredict", Operation::Chat),
            (
                "projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:generateContent",
                Operation::Chat,
            ),
            (
                "projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:streamGenerateContent",
                Operation::Chat,
            ),
            ("projects/{project}/locations/{location}/publishers/anthropic/models/{model}:rawPredict", Operation::Chat),
            ("projects/{project}/locations/{location}/publishers/mistralai/models/{model}:rawPredict", Operation::Chat),
            (
                "projects/{project}/locations/{location}/publishers/mistralai/models/{model}:streamRawPredict",
                Operation::Chat,
            ),
            (
                "projects/{project}/locations/{location}/publishers/anthropic/models/{model}:streamRawPredict",
                Operation::Chat,
            ),
            ("projects/{project}/locations/{location}/endpoints/{model}:generateContent", Operation::Chat),
            ("projects/{project}/locations/{location}/endpoints/{model}:streamGenerateContent", Operation::Chat),
            ("projects/{project}/locations/{location}/endpoints/openapi/chat/completions", Operation::Chat),
            ("models", Operation::Models),
            ("models/", Operation::Models),
            ("tunedModels", Operation::Models),
            ("tunedModels/", Operation::Models),
            ("publishers/{publisher}/models", Operation::Models),
            ("publishers/{publisher}/models/{model}", Operation::Models),
            ("models/{model}:embedContent", Operation::Embeddings),
            ("models/{model}:batchEmbedContents", Operation::Embeddings),
            ("publishers/{publisher}/models/{model}:embedContent", Operation::Embeddings),
            (
                "projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:embedContent",
                Operation::Embeddings,
            ),
            ("publishers/{publisher}/models/{model}:predict", Operation::Embeddings),
            (
                "projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:predict",
                Operation::Embeddings,
            ),
            ("models/{model}:countTokens", Operation::CountTokens),
            ("tunedModels/{model}:countTokens", Operation::CountTokens),
            ("publishers/{publisher}/models/{model}:countTokens", Operation::CountTokens),
            (
                "projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:countTokens",
                Operation::CountTokens,
            ),
            ("projects/{project}/locations/{location}/endpoints/{model}:countTokens", Operation::CountTokens),
            (
                "projects/{project}/locations/{location}/publishers/anthropic/models/count-tokens:rawPredict",
                Operation::CountTokens,
            ),
        ]
    }

    fn of_path(&self, known: &str) -> Option<Protocol> {
        let is_anthropics = known.contains(ANTHROPIC) || known.ends_with("/count-tokens:rawPredict");
        let is_openais = known.ends_with("/chat/completions");
        if known.contains(MISTRAL) {
            return Protocol::new(openai::Openai::default()).in_dialect("mistral");
        }
        if known.ends_with(":streamGenerateContent") {
            return Some(Protocol::new(Gemini { streams: true, predicts: false }));
        }
        if known.ends_with(":predict") {
            return Some(Protocol::new(Gemini { streams: false, predicts: true }));
        }
        if is_openais {
            return Protocol::new(openai::Openai::default()).in_dialect("gemini");
        }
        is_anthropics.then(|| Protocol::new(anthropic::Anthropic::default()))
    }

    /// Google's APIs take a key, or a token of OAuth, in the query.
    fn credential_parameters(&self) -> &'static [&'static str] {
        &["key", "$key", "access_token", "$access_token", "oauth_token", "$oauth_token"]
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn knows_key(&self, key: &str) -> bool {
        keys::KEYS.knows(&camel(key))
    }

    fn read(&self, operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        twins(reader, reader.body)?;
        reader.model()?;
        let (path, body) = (Path::default(), reader.body);
        match operation {
            Operation::Embeddings if self.predicts => embeddings::predictions(reader, body),
            Operation::Embeddings => embeddings::read(reader, &path, body),
            Operation::Chat => {
                reader.require("contents")?;
                message(reader, &path, body, true)
            }
            _ => message(reader, &path, body, false),
        }
    }

    fn system_prompt(&self, operation: Operation, body: &Json<'_>) -> Option<Path> {
        if operation != Operation::Chat {
            return None;
        }
        let (path, instruction) = named(&Path::default(), body, "systemInstruction")?;
        let (path, parts) = named(&path, instruction, "parts")?;
        list(&path, parts).into_iter().rev().find_map(|(path, part)| {
            let (path, text) = named(&path, part, "text")?;
            text.as_str().filter(|text| !text.is_empty()).map(|_| path)
        })
    }

    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        error_body(told)
    }

    fn withheld(&self, operation: Operation, told: &Told<'_>, model: &str, _now: Timestamp) -> Option<Vec<u8>> {
        let body = json!({
            "candidates": [{ "content": { "role": "model", "parts": [] }, "finishReason": "SAFETY",
                "finishMessage": told.message, "index": 0 }],
            "usageMetadata": { "promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0 },
            "modelVersion": model,
        });
        let body = if self.streams { json!([body]) } else { body };
        (operation == Operation::Chat).then(|| body.to_string().into_bytes())
    }

    fn reply(&self, operation: Operation) -> &dyn ReplyFormat {
        match operation {
            Operation::Chat => &reply::Candidates,
            Operation::CountTokens => &COUNTS,
            _ => &PLAIN,
        }
    }
}

/// The entry of this name, in either spelling.
fn named<'v, 'j>(path: &Path, value: &'v Json<'j>, name: &str) -> Option<(Path, &'v Json<'j>)> {
    let Json::Object(entries) = value else { return None };
    let at = entries.iter().position(|(key, _)| camel(key) == name)?;
    Some((path.child(at), &entries.get(at)?.1))
}

/// What may come more than once: servers take a value that is no list as a list of one.
fn list<'v, 'j>(path: &Path, value: &'v Json<'j>) -> Vec<(Path, &'v Json<'j>)> {
    match value {
        Json::Array(items) => items.iter().enumerate().map(|(at, item)| (path.child(at), item)).collect(),
        Json::Null => Vec::new(),
        one => vec![(path.clone(), one)],
    }
}

/// Refuses both spellings of one key in one object. What a tool is called with has keys of its own. Depth is bounded by
/// the parser.
fn twins(reader: &Reader<'_, '_>, value: &Json<'_>) -> Result<(), Denial> {
    match value {
        Json::Array(items) => items.iter().try_for_each(|item| twins(reader, item)),
        Json::Object(entries) => {
            let own = entries.iter().filter(|(key, _)| reader.is_own_key(key));
            let mut words: Vec<_> = own.map(|(key, _)| camel(key)).collect();
            sorted::by(&mut words, Ord::cmp);
            if words.windows(2).any(|pair| pair.first() == pair.last()) {
                return Err(reader.shape());
            }
            let inner = entries.iter().filter(|(key, _)| !matches!(key.as_ref(), "args" | "response" | "properties"));
            inner.map(|(_, value)| value).try_for_each(|value| twins(reader, value))
        }
        _ => Ok(()),
    }
}

/// A request for content, which is the body itself or what is to be counted.
fn message<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>, is_chat: bool) -> Result<(), Denial> {
    const NAMES: [&str; 5] = ["contents", "systemInstruction", "tools", "toolConfig", "generationConfig"];
    for (at, (key, value)) in reader.entries(value, &NAMES)?.iter().enumerate() {
        let place = path.child(at);
        match camel(key).as_ref() {
            "contents" => contents(reader, &place, value)?,
            "systemInstruction" => content(reader, &place, value, Spot::SYSTEM)?,
            "tools" => tools(reader, &place, value)?,
            "toolConfig" => tool_config(reader, &place, value)?,
            "generationConfig" => config(reader, &place, value)?,
            "cachedContent" if !matches!(value, Json::Null) => {
                reader.unscanned(UnscannedKind::State, &place);
                reader.free_text(&place, value, Spot::USER);
            }
            "safetySettings" => words(reader, value),
            "generateContentRequest" => message(reader, &place, value, false)?,
            "model" => model(reader, &place, value),
            _ => {}
        }
    }
    if is_chat {
        let holder = ["generation_config", "generationConfig"].into_iter().find_map(|name| value.get(name));
        let is_older = holder.is_some_and(|holder| holder.get("max_output_tokens").is_some());
        reader.out.output_cap_key = match (value.get("generation_config").is_some(), is_older) {
            (true, true) => &["generation_config", "max_output_tokens"],
            (true, false) => &["generation_config", "maxOutputTokens"],
            (false, true) => &["generationConfig", "max_output_tokens"],
            (false, false) => &["generationConfig", "maxOutputTokens"],
        };
    }
    Ok(())
}

/// What the body calls the model. Where that is another than the path's, the role must allow both.
fn model<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) {
    let Some(text) = value.as_str() else { return };
    let name = text.rsplit('/').next().unwrap_or(text).to_owned();
    if name != reader.out.model {
        reader.out.models.push(name);
    }
    if !reader.parameter(value, Form::Name) {
        reader.free_text(path, value, Spot::USER);
    }
}

/// Enumerations below: words that no sentence fits.
fn words<'j>(reader: &mut Reader<'_, 'j>, value: &Json<'j>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| words(reader, item)),
        Json::Object(entries) => entries.iter().for_each(|(_, value)| words(reader, value)),
        value => _ = reader.parameter(value, Form::Name),
    }
}

fn contents<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    if let Json::Array(_) = value {
        reader.items(value)?;
    }
    let turns = list(path, value);
    let mut zones = Vec::with_capacity(turns.len());
    for (_, turn) in &turns {
        let role = named(path, turn, "role").and_then(|(_, role)| role.as_str());
        zones.push(match role {
            Some("model") => Zone::Assistant,
            Some("function" | "tool") => Zone::Tool,
            // No server takes it, but one may.
            Some("system") => Zone::System,
            // Any other role is one that no server knows: the caller's words.
            _ => Zone::User,
        });
    }
    let current = newest_turn(&zones);
    for (index, ((path, turn), zone)) in turns.into_iter().zip(zones).enumerate() {
        content(reader, &path, turn, spot_of(zone, index, current))?;
    }
    Ok(())
}

/// A turn: a role and parts, or a text.
fn content<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>, spot: Spot) -> Result<(), Denial> {
    let Json::Object(_) = value else {
        reader.free_text(path, value, spot);
        return Ok(());
    };
    for (at, (key, value)) in reader.entries(value, &["parts", "role"])?.iter().enumerate() {
        let place = path.child(at);
        match camel(key).as_ref() {
            "role" if reader.parameter(value, Form::Word(&["user", "model", "function", "tool", "system"])) => {}
            "parts" => {
                for (place, part) in list(&place, value) {
                    parts::read(reader, &place, part, spot)?;
                }
            }
            _ => reader.free_text(&place, value, spot),
        }
        reader.key(&place, key, spot);
    }
    Ok(())
}

/// Functions by their names; what the provider runs by the word of its kind (`googleSearch`).
fn tools<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    for (path, tool) in list(path, value) {
        for (at, (key, inner)) in reader.entries(tool, &["functionDeclarations"])?.iter().enumerate() {
            let place = path.child(at);
            match camel(key).as_ref() {
                _ if matches!(inner, Json::Null) => {}
                "functionDeclarations" => {
                    for (place, function) in list(&place, inner) {
                        let name = reader.inner_text(function, "name")?;
                        reader.tool(name, &place);
                    }
                }
                "mcpServers" => {
                    for (place, server) in list(&place, inner) {
                        let name = format!("mcp:{}", reader.inner_text(server, "name")?);
                        let transport = named(&place, server, "streamableHttpTransport").map(|(_, inner)| inner);
                        let url = transport.and_then(|inner| inner.get("url")).and_then(Json::as_str);
                        reader.remote_tool(&name, &place, Some(url.map(host_of).unwrap_or_default()));
                    }
                }
                kind => {
                    let api = named(&place, inner, "externalApi").map(|(_, api)| api);
                    let host = api.map(|api| host_of(api.get("endpoint").and_then(Json::as_str).unwrap_or_default()));
                    reader.remote_tool(kind, &place, host);
                }
            }
        }
        reader.free_text(&path, tool, Spot::DEVELOPER);
    }
    Ok(())
}

/// The functions that the model may call, or must.
fn tool_config<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    let calling = named(path, value, "functionCallingConfig").filter(|(_, calling)| !matches!(calling, Json::Null));
    if let Some((path, calling)) = calling {
        let entries = reader.entries(calling, &["allowedFunctionNames"])?;
        // Arguments would come in pieces, each for a place that a JSONPath names: no filter could join them.
        if entries.iter().any(|(key, value)| camel(key) == PIECES && matches!(value, Json::Bool(true))) {
            return Err(reader.shape().with_param(PIECES));
        }
        if let Some((path, names)) = named(&path, calling, "allowedFunctionNames") {
            for (path, name) in list(&path, names) {
                reader.tool(name.as_str().ok_or(reader.shape())?, &path);
            }
        }
    }
    reader.free_text(path, value, Spot::DEVELOPER);
    Ok(())
}

fn config<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    if matches!(value, Json::Null) {
        return Ok(());
    }
    for (at, (key, value)) in reader.entries(value, &["maxOutputTokens", "candidateCount"])?.iter().enumerate() {
        let place = path.child(at);
        match camel(key).as_ref() {
            _ if matches!(value, Json::Null) => {}
            "maxOutputTokens" => reader.cap(place, value)?,
            "candidateCount" => reader.out.choices = reader.number(value)?.ok_or(reader.shape())?,
            "responseSchema" | "responseJsonSchema" | "_responseJsonSchema" | "ResponseJsonSchema" => {
                reader.free_text(&place, value, Spot::DEVELOPER);
            }
            "responseMimeType" => _ = reader.parameter(value, Form::MediaType),
            "responseModalities" | "mediaResolution" | "thinkingConfig" => words(reader, value),
            _ => {}
        }
    }
    Ok(())
}

/// `{"error":{"code","message","status","details"}}` with the words of `google.rpc.Code`.
fn error_body(told: &Told<'_>) -> Vec<u8> {
    let denial = told.denial;
    let code = denial.status();
    let status = match code {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        405 | 501 => "UNIMPLEMENTED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    };
    let mut details = Vec::new();
    if let Some(param) = denial.param {
        let violation = json!({ "field": param, "description": told.message });
        details.push(json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation] }));
    }
    if let Some(wait) = denial.retry_after {
        details.push(json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{wait}s") }));
    }
    if let Some(id) = told.request {
        details.push(json!({ "@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": id }));
    }
    let error = json!({ "code": code, "message": told.message, "status": status, "details": details });
    json!({ "error": error }).to_string().into_bytes()
}
