//! The Model Context Protocol over Streamable HTTP, and over the earlier HTTP+SSE transport ([`http_sse`]): JSON-RPC messages from a client to a
//! server.
//!
//! Revisions: 2025-03-26, 2025-06-18, 2025-11-25 and 2026-07-28; a message of any other is refused, and
//! so is a method that is not in their lists. A tool is known by its name, a prompt as `prompt:NAME`, a
//! resource as `resource:URI`: the role's `tools.allow` decides over all three. The model is `default`.

mod http_sse;
mod keys;
mod reply;
mod uri;

use base64::Engine as _;
use serde_json::json;

use super::adapter::{Adapter, Asserted, HeaderPairs};
use super::form::{Form, is_base64};
use super::frames::{Frame, Framing};
use super::keys::Keys;
use super::reply::{Asked, Ending, Facts, ReplyFormat, Walk};
use super::request::{Reader, Spot};
use super::{Json, Path, Told, UnscannedKind};
use crate::enums::Operation;
use crate::reason::{Denial, Reason};

/// The revisions of the specification that are known here, oldest first.
pub const REVISIONS: [&str; 4] = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];

/// The newest revision that begins with a handshake.
const HANDSHAKE: &str = "2025-11-25";

/// The revision without sessions, in which headers repeat the body.
const STATELESS: &str = "2026-07-28";

/// What of a revision's name is said again in an error, in characters.
const MAX_REVISION: usize = 32;

/// The code of a refusal by policy, in the range that JSON-RPC leaves to servers.
const REFUSED: i32 = -32_010;
/// A header does not say what the body says (revision 2026-07-28).
const HEADER_MISMATCH: i32 = -32_020;
/// The revision is not known (revision 2026-07-28).
const UNSUPPORTED_REVISION: i32 = -32_022;

/// What a client may ask for, or tell; sorted.
const METHODS: [&str; 29] = [
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/elicitation/complete",
    "notifications/initialized",
    "notifications/message",
    "notifications/progress",
    "notifications/prompts/list_changed",
    "notifications/resources/updated",
    "notifications/roots/list_changed",
    "notifications/tasks/status",
    "notifications/tools/list_changed",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tools/call",
    "tools/list",
];

/// The format, messages of both sides.
#[derive(Debug)]
pub(super) struct Mcp;

impl Adapter for Mcp {
    fn name(&self) -> &'static str {
        "mcp"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &[("mcp", Operation::Mcp)]
    }

    fn only_operation(&self) -> Option<Operation> {
        Some(Operation::Mcp)
    }

    /// GET opens the server's own stream, DELETE ends a session.
    fn methods(&self, _operation: Operation) -> &'static [&'static str] {
        &["POST", "GET", "DELETE"]
    }

    fn reads_body(&self, _operation: Operation, method: &str) -> bool {
        method == "POST"
    }

    fn guards_reply(&self, _operation: Operation, method: &str) -> bool {
        method == "GET"
    }

    fn serves_tools(&self) -> bool {
        true
    }

    fn session_header(&self) -> Option<&'static str> {
        Some("mcp-session-id")
    }

    fn stand_in(&self, id: &str) -> Option<Vec<u8>> {
        Some(http_sse::ping(id))
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn asserted(&self, headers: HeaderPairs<'_, '_>, is_http_sse: bool) -> Result<Option<Box<dyn Asserted>>, Denial> {
        Ok(Some(Box::new(AssertedHeaders { is_http_sse, ..AssertedHeaders::read(headers)? })))
    }

    fn request_id(&self, body: &Json<'_>) -> Option<String> {
        id(body)
    }

    fn rpc_method<'j>(&self, body: &'j Json<'_>) -> Option<&'j str> {
        body.get("method").and_then(Json::as_str)
    }

    fn read(&self, _operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        read(reader)
    }

    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        error_body(told)
    }

    fn reply(&self, _operation: Operation) -> &dyn ReplyFormat {
        self
    }
}

impl ReplyFormat for Mcp {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        reply::read(walk, reply);
    }

    fn check(&self, reply: &Json<'_>, asked: Asked) -> Result<(), Reason> {
        reply::check(reply, asked)
    }

    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        close(ending.facts, ending.told)
    }

    fn calls_come_whole(&self) -> bool {
        true
    }

    fn events_are_whole(&self) -> bool {
        true
    }

    /// A server's own requests and notifications have other ids than the answer, or none. Where the request's is known, no
    /// other is repeated: nobody has looked for anything in it.
    fn note(&self, facts: &mut Facts, event: &Json<'_>) {
        let answers = !facts.is_asked && event.get("result").or(event.get("error")).is_some();
        facts.rpc_id = id(event).filter(|_| answers).or(facts.rpc_id.take());
    }
}

/// What the headers of a request say of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssertedHeaders {
    version: Option<String>,
    method: Option<String>,
    name: Option<String>,
    /// Arguments that are repeated in `Mcp-Param-*`.
    params: Vec<String>,
    /// The message is one of the HTTP+SSE transport.
    is_http_sse: bool,
}

impl AssertedHeaders {
    /// Reads the headers of one request.
    ///
    /// # Errors
    /// [`Reason::McpHeader`] when one is there twice or is no text, [`Reason::McpRevision`].
    pub fn read<'h>(headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Result<AssertedHeaders, Denial> {
        let mut found = AssertedHeaders::default();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            let param = name.starts_with(b"mcp-param-");
            let place = match name.as_slice() {
                b"mcp-protocol-version" => &mut found.version,
                b"mcp-method" => &mut found.method,
                b"mcp-name" => &mut found.name,
                _ if param => &mut None,
                _ => continue,
            };
            let text = std::str::from_utf8(value).ok().and_then(decoded).ok_or(Reason::McpHeader)?;
            if param {
                found.params.push(text);
            } else if place.replace(text).is_some() {
                return Err(Reason::McpHeader.into());
            }
        }
        match &found.version {
            Some(version) if !REVISIONS.contains(&version.as_str()) => Err(unknown_revision(version)),
            _ => Ok(found),
        }
    }

    /// Compares them with the body that came.
    ///
    /// # Errors
    /// [`Reason::McpHeader`], [`Reason::McpRevision`], or [`Reason::BodyShape`] for a batch where the revision has none.
    fn compare(&self, body: &Json<'_>) -> Result<(), Denial> {
        if let Json::Array(messages) = body {
            let asked = messages.iter().any(|message| asked_revision(message).is_some());
            let batches =
                !asked && !self.is_http_sse && self.version.as_deref().is_none_or(|version| version == "2025-03-26");
            let bare = self.method.is_none() && self.name.is_none() && self.params.is_empty();
            return if batches && bare { Ok(()) } else { Err(Reason::BodyShape.into()) };
        }
        if let Some(revision) =
            asked_revision(body).filter(|revision| *revision == http_sse::REVISION && !self.is_http_sse)
        {
            return Err(unknown_revision(revision));
        }
        let text = |value: Option<&Json<'_>>| value.and_then(Json::as_str).map(str::to_owned);
        let method = text(body.get("method"));
        let params = body.get("params");
        let name = params.and_then(|params| text(params.get("name")).or_else(|| text(params.get("uri"))));
        let named = matches!(method.as_deref(), Some("tools/call" | "prompts/get" | "resources/read"));
        let stateless = self.version.as_deref() == Some(STATELESS);
        let repeated = |said: &Option<String>, meant: &Option<String>, must: bool| match said {
            Some(_) => said == meant,
            None => !must || meant.is_none(),
        };
        let version = params.and_then(|params| params.get("_meta"));
        let version = version.and_then(|meta| text(meta.get("io.modelcontextprotocol/protocolVersion")));
        let agree = repeated(&self.method, &method, stateless)
            && repeated(&self.name, &name, stateless && named)
            && (version.is_none() || version == self.version)
            && self.params.iter().all(|said| params.is_some_and(|params| holds(params.get("arguments"), said)));
        if agree { Ok(()) } else { Err(Reason::McpHeader.into()) }
    }
}

impl Asserted for AssertedHeaders {
    fn check(&self, body: &Json<'_>) -> Result<(), Denial> {
        self.compare(body)
    }
}

/// The refusal of a revision.
fn unknown_revision(asked: &str) -> Denial {
    let asked: String = asked.chars().take(MAX_REVISION).collect();
    Denial::new(Reason::McpRevision).with_detail(Some(&asked))
}

/// The revision that an `initialize` asks for.
fn asked_revision<'m>(message: &'m Json<'_>) -> Option<&'m str> {
    let initialize = message.get("method").and_then(Json::as_str) == Some("initialize");
    message.get("params").filter(|_| initialize)?.get("protocolVersion")?.as_str()
}

/// A header's value; what a header can't hold comes as `=?base64?...?=`.
fn decoded(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(value.to_owned());
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(inner).ok()?;
    String::from_utf8(bytes).ok()
}

/// True when one of the values below is written like this.
fn holds(value: Option<&Json<'_>>, said: &str) -> bool {
    match value {
        Some(Json::String(text)) => text == said,
        Some(Json::Bool(value)) => said == if *value { "true" } else { "false" },
        Some(Json::Number(number)) => number.as_str() == said,
        Some(Json::Array(items)) => items.iter().any(|item| holds(Some(item), said)),
        Some(Json::Object(entries)) => entries.iter().any(|(_, value)| holds(Some(value), said)),
        Some(Json::Null) | None => false,
    }
}

fn read(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.out.model = "default".to_owned();
    let body = reader.body;
    match body {
        Json::Array(messages) if messages.is_empty() || messages.len() > 100 => return Err(reader.shape()),
        Json::Array(messages) => {
            for (position, message) in messages.iter().enumerate() {
                read_message(reader, &Path::default().child(position), message)?;
            }
        }
        _ => read_message(reader, &Path::default(), body)?,
    }
    Ok(())
}

fn read_message<'j>(reader: &mut Reader<'_, 'j>, path: &Path, message: &Json<'j>) -> Result<(), Denial> {
    let entries = reader.entries(message, &["jsonrpc", "id", "method", "params", "result", "error"])?;
    if reader.inner(message, "jsonrpc")?.and_then(Json::as_str) != Some("2.0") {
        return Err(reader.shape());
    }
    match message.get("method") {
        Some(method) => {
            let method = method.as_str().ok_or(reader.shape())?;
            if METHODS.binary_search(&method).is_err() {
                return Err(reader.shape().with_param("method"));
            }
            let at = entries.iter().position(|(key, _)| key == "params").unwrap_or_default();
            name_tools(reader, method, message.get("params"), &path.child(at))?;
            name_answers(reader, message.get("params"))?;
        }
        // An answer to what the server asked: sampling, elicitation, roots.
        None if message.get("result").is_some() != message.get("error").is_some() => {
            name_blocks(reader, message.get("result"))?;
        }
        None => return Err(reader.shape()),
    }
    for (at, (key, value)) in entries.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "jsonrpc" if reader.parameter(value, Form::Word(&["2.0"])) => {}
            "method" if reader.parameter(value, Form::Word(&METHODS)) => {}
            // What the client answers may hold pictures; what it asks is JSON of any form, and all of it text.
            "result" => {
                let mut payloads = Vec::new();
                visit_payloads(value, &place, &mut |kind, path| payloads.push((kind, path.clone())));
                for (kind, path) in payloads {
                    if let Some(bytes) = reader.body.at(&path) {
                        reader.parameter(bytes, Form::Base64);
                    }
                    reader.unscanned(kind, &path);
                }
                // Every other string of it is left to the end, and is the caller's.
            }
            _ => reader.free_text(&place, value, Spot::USER),
        }
        reader.key(&place, key, Spot::USER);
    }
    Ok(())
}

/// What the caller may use, by name.
fn name_tools(reader: &mut Reader<'_, '_>, method: &str, params: Option<&Json<'_>>, path: &Path) -> Result<(), Denial> {
    let params = params.unwrap_or(&Json::Null);
    let shape = reader.shape();
    let text = |key: &str| params.field(key).ok().flatten().and_then(|(_, value)| value.as_str()).ok_or(shape.clone());
    match method {
        "tools/call" => reader.calls(text("name")?),
        "prompts/get" => reader.calls(&format!("prompt:{}", text("name")?)),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
            name_resource(reader, text("uri")?);
        }
        "completion/complete" => {
            let (_, about) = params.field("ref").ok().flatten().ok_or(shape.clone())?;
            let text = |key: &str| {
                let found = about.field(key).map_err(|_| shape.clone())?;
                Ok::<_, Denial>(found.and_then(|(_, value)| value.as_str()))
            };
            match (text("name")?, text("uri")?) {
                (Some(name), None) => reader.calls(&format!("prompt:{name}")),
                (None, Some(uri)) => name_resource(reader, uri),
                _ => return Err(shape),
            }
        }
        // The HTTP+SSE transport's own is refused in the other one by `AssertedHeaders::check`.
        "initialize" => {
            match text("protocolVersion")? {
                // It has no handshake.
                STATELESS => return Err(unknown_revision(STATELESS)),
                revision if revision == http_sse::REVISION || REVISIONS.contains(&revision) => {}
                // The server answers with one that it knows, of those that are read here.
                _ => {
                    let (at, _) = params.field("protocolVersion").ok().flatten().ok_or(shape)?;
                    reader.out.rewrites.push((path.child(at), HANDSHAKE));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The tools that a client's model calls in its answers to a server's questions (`inputResponses`, revision 2026-07-28).
fn name_answers(reader: &mut Reader<'_, '_>, params: Option<&Json<'_>>) -> Result<(), Denial> {
    let Some(params @ Json::Object(_)) = params else { return Ok(()) };
    let Some(Json::Object(answers)) = reader.inner(params, "inputResponses")? else { return Ok(()) };
    answers.iter().try_for_each(|(_, answer)| name_blocks(reader, Some(answer)))
}

/// The tools that one answer of a client's model calls.
fn name_blocks(reader: &mut Reader<'_, '_>, answer: Option<&Json<'_>>) -> Result<(), Denial> {
    let Some(answer @ Json::Object(_)) = answer else { return Ok(()) };
    let blocks = match reader.inner(answer, "content")? {
        Some(Json::Array(blocks)) => blocks.as_slice(),
        Some(block) => std::slice::from_ref(block),
        None => &[],
    };
    for block in blocks.iter().filter(|block| block.get("type").and_then(Json::as_str) == Some("tool_use")) {
        reader.calls(reader.inner_text(block, "name")?);
    }
    Ok(())
}

/// A resource by its URI as it is written there, and as servers may read it: all must be allowed.
fn name_resource(reader: &mut Reader<'_, '_>, uri: &str) {
    reader.calls(&format!("resource:{uri}"));
    for reading in uri::readings(uri) {
        reader.calls(&format!("resource:{reading}"));
    }
}

/// The bytes of pictures, sounds and files, which can't be scanned.
fn visit_payloads(value: &Json<'_>, path: &Path, visit: &mut dyn FnMut(UnscannedKind, &Path)) {
    match value {
        Json::Object(entries) => {
            let kind = value.get("type").and_then(Json::as_str);
            for (at, (key, inner)) in entries.iter().enumerate() {
                let place = path.child(at);
                let payload = match (key.as_ref(), kind) {
                    ("data", Some("image")) => Some(UnscannedKind::Image),
                    ("data", Some("audio")) => Some(UnscannedKind::Audio),
                    ("blob", _) if value.get("uri").is_some() => Some(UnscannedKind::File),
                    _ => None,
                };
                match (payload, inner.as_str()) {
                    (Some(kind), Some(text)) if is_base64(text) => visit(kind, &place),
                    _ => visit_payloads(inner, &place, visit),
                }
            }
        }
        Json::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                visit_payloads(inner, &path.child(at), visit);
            }
        }
        _ => {}
    }
}

/// The request's id, as JSON, for the answer to it.
fn id(body: &Json<'_>) -> Option<String> {
    match body.get("id")? {
        id @ (Json::Number(_) | Json::String(_)) => String::from_utf8(id.to_bytes()).ok().filter(|id| id.len() <= 256),
        _ => None,
    }
}

/// A JSON-RPC error.
fn error_body(told: &Told<'_>) -> Vec<u8> {
    let denial = told.denial;
    let code = match denial.reason {
        Reason::BodyMalformed | Reason::BodyDuplicateKey | Reason::BodyDepth => -32_700,
        Reason::BodyShape if denial.param == Some("method") => -32_601,
        Reason::BodyShape => -32_600,
        Reason::RbacTool => -32_602,
        Reason::McpHeader => HEADER_MISMATCH,
        // One that a server answers with was asked for by nobody.
        Reason::McpRevision if denial.detail.is_some() => UNSUPPORTED_REVISION,
        Reason::Internal | Reason::Overloaded => -32_603,
        _ => REFUSED,
    };
    error(code, told)
}

fn error(code: i32, told: &Told<'_>) -> Vec<u8> {
    let id: serde_json::Value = told.answers.and_then(|id| serde_json::from_str(id).ok()).unwrap_or_default();
    let mut data = serde_json::Map::new();
    data.insert("reason".to_owned(), told.denial.reason.code().into());
    if let Some(request) = told.request {
        data.insert("requestId".to_owned(), request.into());
    }
    if code == UNSUPPORTED_REVISION {
        data.insert("supported".to_owned(), json!(REVISIONS));
        data.insert("requested".to_owned(), json!(told.denial.detail));
    }
    let error = json!({ "code": code, "message": told.message, "data": data });
    json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string().into_bytes()
}

fn close(facts: &Facts, told: &Told<'_>) -> Vec<u8> {
    let told = Told { answers: facts.rpc_id.as_deref(), ..told.clone() };
    Frame::of_data(Framing::Sse, None, &error(REFUSED, &told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;

    fn asserted(headers: &[(&str, &str)]) -> Result<AssertedHeaders, Reason> {
        AssertedHeaders::read(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
            .map_err(|d| d.reason)
    }

    const CALL: &str =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_x","arguments":{"q":"für","n":7}}}"#;

    #[test]
    fn methods_are_sorted() {
        assert!(METHODS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn headers_must_say_what_the_body_says() {
        let body = Json::parse(CALL.as_bytes(), 16).unwrap();
        let check = |headers: &[(&str, &str)]| asserted(headers).and_then(|c| c.compare(&body).map_err(|d| d.reason));
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[("MCP-Protocol-Version", "2025-11-25")]), Ok(()));
        assert_eq!(check(&[("mcp-protocol-version", "2027-01-01")]), Err(Reason::McpRevision));
        let all = [("mcp-protocol-version", STATELESS), ("mcp-method", "tools/call"), ("mcp-name", "search_x")];
        assert_eq!(check(&all), Ok(()));
        assert_eq!(check(&all[..2]), Err(Reason::McpHeader));
        assert_eq!(check(&[all[0], all[2]]), Err(Reason::McpHeader));
        assert_eq!(check(&[all[0], all[1], ("mcp-name", "search_y")]), Err(Reason::McpHeader));
        assert_eq!(check(&[all[0], all[1], all[1], all[2]]), Err(Reason::McpHeader));
        assert_eq!(check(&[("mcp-name", "search_y")]), Err(Reason::McpHeader));
        let with = |value| [all[0], all[1], all[2], ("mcp-param-q", value)];
        assert_eq!(check(&with("=?base64?ZsO8cg==?=")), Ok(()));
        assert_eq!(check(&with("7")), Ok(()));
        assert_eq!(check(&with("other")), Err(Reason::McpHeader));
    }

    #[test]
    fn messages_name_what_they_use() {
        let read = |text: &str| {
            let json = Json::parse(text.as_bytes(), 16).unwrap();
            Protocol::new(Mcp)
                .read_request(Operation::Mcp, None, &json)
                .map(|exchange| exchange.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(" "))
                .map_err(|denial| denial.reason)
        };
        let of = |method: &str, params: &str| {
            read(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#))
        };
        assert_eq!(read(CALL).as_deref(), Ok("search_x"));
        assert_eq!(of("prompts/get", r#"{"name":"p"}"#).as_deref(), Ok("prompt:p"));
        assert_eq!(of("resources/read", r#"{"uri":"file:///a"}"#).as_deref(), Ok("resource:file:///a"));
        assert_eq!(of("initialize", r#"{"protocolVersion":"2025-06-18"}"#).as_deref(), Ok(""));
        assert_eq!(of("initialize", r#"{"protocolVersion":"2027-01-15"}"#).as_deref(), Ok(""));
        assert_eq!(of("initialize", r#"{"protocolVersion":"2026-07-28"}"#), Err(Reason::McpRevision));
        let names = of("resources/read", r#"{"uri":"file:///ok/../etc/passwd"}"#).unwrap();
        assert_eq!(names, "resource:file:///ok/../etc/passwd resource:file:///etc/passwd");
        assert_eq!(of("completion/complete", r#"{"ref":{"type":"ref/prompt","Name":"x"}}"#), Err(Reason::BodyShape));
        for (method, params) in [("tools/call", "{}"), ("tools/call", r#"{"Name":"x"}"#), ("tools/run", "{}")] {
            assert_eq!(of(method, params), Err(Reason::BodyShape), "{method} {params}");
        }
        assert_eq!(read(&format!("[{CALL},{CALL}]")).as_deref(), Ok("search_x search_x"));
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":3,"result":{"action":"accept"}}"#).as_deref(), Ok(""));
        // What the client's model calls, in the answer to a server's question.
        let call = r#"{"role":"assistant","model":"m","content":{"type":"tool_use","id":"t","name":"x","input":{}}}"#;
        let calls = call.replace("{\"type", "[{\"type\":\"text\",\"text\":\"y\"},{\"type").replace("{}}", "{}}]");
        for answer in [call, &calls] {
            assert_eq!(read(&format!(r#"{{"jsonrpc":"2.0","id":3,"result":{answer}}}"#)).as_deref(), Ok("x"));
            let params = format!(r#"{{"name":"search_x","inputResponses":{{"q":{answer}}},"requestState":"s"}}"#);
            assert_eq!(of("tools/call", &params).as_deref(), Ok("search_x x"));
            let disguised = params.replace("\"name\":\"x\"", "\"Name\":\"x\"");
            assert_eq!(of("tools/call", &disguised), Err(Reason::BodyShape));
            assert_eq!(of("tools/call", &params.replace("inputR", "InputR")), Err(Reason::BodyShape));
        }
        for bad in ["[]", "7", r#"{"id":1,"method":"ping"}"#, r#"{"jsonrpc":"2.0","id":1}"#] {
            assert_eq!(read(bad), Err(Reason::BodyShape), "{bad}");
        }
    }

    #[test]
    fn an_unknown_revision_is_named_in_the_refusal() {
        let body = br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2026-07-28"}}"#;
        let json = Json::parse(body, 16).unwrap();
        let mcp = Protocol::new(Mcp);
        let of_body = mcp.read_request(Operation::Mcp, None, &json).unwrap_err();
        let long = "9".repeat(300);
        let of_header =
            |version: &str| AssertedHeaders::read([(&b"mcp-protocol-version"[..], version.as_bytes())].into_iter());
        for (denial, requested) in [
            (of_body, "2026-07-28"),
            (of_header("2027-01-01").unwrap_err(), "2027-01-01"),
            (of_header(&long).unwrap_err(), &long[..MAX_REVISION]),
        ] {
            let error: serde_json::Value =
                serde_json::from_slice(&mcp.error_body(&Told { answers: Some("7"), ..Told::new(&denial) })).unwrap();
            assert_eq!((&error["id"], &error["error"]["code"]), (&json!(7), &json!(UNSUPPORTED_REVISION)));
            let data = json!({ "reason": "mcp.revision", "supported": REVISIONS, "requested": requested });
            assert_eq!(error["error"]["data"], data);
        }
        // One that nobody asked for has no name.
        let other: serde_json::Value =
            serde_json::from_slice(&mcp.error_body(&Told::new(&Reason::McpRevision.into()))).unwrap();
        assert_eq!(other["error"]["code"], REFUSED);
    }
}
