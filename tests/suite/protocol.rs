//! Golden exchanges: `tests/data/protocol/PROTOCOL-OPERATION/NAME.{request.json,reply.json,stream}`. What an
//! adapter finds in each is a snapshot; what must hold for all of them is asserted.

use crate::common;

use std::fmt::Write as _;

use bartizan::enums::Operation;
use bartizan::protocol::frames::{Frame, Frames, Framing};
use bartizan::protocol::reply::{ReplyParts, ReplyText, Stream, TextKind, ToolCall};
use bartizan::protocol::{Json, Path, Protocol, Told};
use bartizan::reason::{Denial, Reason};
use common::golden::{golden, protocol};

const DEPTH: usize = 64;

fn text<'j>(json: &'j Json<'_>, path: &Path, is_key: bool) -> &'j str {
    if is_key { json.key_at(path).unwrap() } else { json.at(path).and_then(Json::as_str).unwrap() }
}

fn pointer(json: &Json<'_>, path: &Path, protocol: &Protocol) -> String {
    json.pointer(path, &|key| protocol.knows_key(key))
}

#[test]
fn requests() {
    let mut out = String::new();
    for one in golden(".request.json") {
        let json = one.protocol.parse(&one.bytes, DEPTH).unwrap();
        writeln!(out, "== {}/{}", one.folder, one.file).unwrap();
        let exchange = match one.protocol.read_request(one.operation, one.model(), &json) {
            Ok(exchange) => exchange,
            Err(denial) => {
                writeln!(out, "refused: {} {}", denial.reason, denial.param.unwrap_or("-")).unwrap();
                continue;
            }
        };
        let cap = exchange
            .output_cap
            .as_ref()
            .map(|cap| format!("{} {}", pointer(&json, &cap.places[0], &one.protocol), cap.tokens));
        writeln!(out, "model {:?}, stream {}, choices {}", exchange.model, exchange.stream, exchange.answers())
            .unwrap();
        let tools: Vec<&str> = exchange.tools.iter().map(|tool| tool.name.as_str()).collect();
        writeln!(out, "cap {cap:?}, tools {tools:?}").unwrap();
        for (kind, path) in &exchange.unscanned {
            writeln!(out, "unscanned {} {}", kind.name(), pointer(&json, path, &one.protocol)).unwrap();
        }
        for segment in &exchange.segments {
            let text = text(&json, &segment.path, segment.is_key);
            let key = if segment.is_key { " key" } else { "" };
            let place = pointer(&json, &segment.path, &one.protocol);
            writeln!(out, "{:?} {:?}{key} {place} {text:?}", segment.zone, segment.position).unwrap();
        }
    }
    insta::assert_snapshot!(out);
}

/// Words of the API, and what the provider alone can read.
const OPAQUE: [&str; 26] = [
    "/query/source",
    "/stream_mode/0",
    "/stream_mode/1",
    "/multitask_strategy",
    "/on_disconnect",
    "/if_exists",
    "/ttl",
    "/latency",
    "/format",
    "/status",
    "/anthropic_version",
    "/taskType",
    "/task_type",
    "/mimeType",
    "/responseMimeType",
    "/category",
    "/threshold",
    "/jsonrpc",
    "/method",
    "/content/data",
    "/role",
    "/type",
    "/signature",
    "/encrypted_content",
    "/content/1/data",
    "/media_type",
];

/// Every string of every golden request is a segment, or a known key, or a parameter that `hidden` names.
#[test]
fn requests_hide_nothing() {
    for one in golden(".request.json") {
        let json = one.protocol.parse(&one.bytes, DEPTH).unwrap();
        let Ok(exchange) = one.protocol.read_request(one.operation, one.model(), &json) else { continue };
        json.visit_strings(&Path::default(), &mut |path, is_key, text| {
            let place = pointer(&json, path, &one.protocol);
            let known = text.is_empty()
                || (is_key && one.protocol.knows_key(text))
                || (!is_key
                    && (text == exchange.model
                        || exchange.models.iter().any(|model| text.ends_with(model))
                        || OPAQUE.iter().any(|key| place.ends_with(key))));
            let seen = exchange.segments.iter().any(|segment| segment.path == *path && segment.is_key == is_key);
            let unscanned = exchange.unscanned.iter().any(|(_, base)| path.below(base).is_some());
            assert!(known || seen || unscanned, "{}/{}: {place} {text:?} is nowhere", one.folder, one.file);
        });
    }
}

fn list(out: &mut String, json: &Json<'_>, parts: &ReplyParts, protocol: &Protocol) {
    for one in &parts.texts {
        let text = text(json, &one.path, one.is_key);
        let (key, delta) = (if one.is_key { " key" } else { "" }, if one.delta { "+" } else { "" });
        let channel = one.channel;
        let place = pointer(json, &one.path, protocol);
        writeln!(out, "{:?}{delta} {}.{}{key} {place} {text:?}", channel.kind, channel.choice, channel.item).unwrap();
    }
    for call in &parts.calls {
        let named = if call.named { "" } else { " (goes on)" };
        let place = pointer(json, &call.path, protocol);
        writeln!(out, "call{named} {}.{} {place} {:?}", call.choice, call.item, call.name).unwrap();
    }
    for path in &parts.echoes {
        writeln!(out, "echo {}", pointer(json, path, protocol)).unwrap();
    }
    for (kind, path) in &parts.unscanned {
        writeln!(out, "unscanned {} {}", kind.name(), pointer(json, path, protocol)).unwrap();
    }
    for end in &parts.ends {
        writeln!(out, "end of {:?}.{:?}", end.choice, end.item).unwrap();
    }
    if parts.usage_only {
        writeln!(out, "usage only").unwrap();
    }
    if let Some(usage) = parts.usage {
        let count = |number: Option<u64>| number.map_or("?".to_owned(), |number| number.to_string());
        writeln!(out, "usage {} + {}", count(usage.input), count(usage.output)).unwrap();
    }
}

#[test]
fn replies() {
    let mut out = String::new();
    for one in golden(".reply.json") {
        let mut json = Json::parse(&one.bytes, DEPTH).unwrap();
        writeln!(out, "== {}/{}", one.folder, one.file).unwrap();
        let parts = one.protocol.read_reply(one.operation, &json);
        list(&mut out, &json, &parts, &one.protocol);
        if !parts.calls.is_empty() {
            one.protocol.remove_calls(one.operation, &mut json, &parts.calls, &|_| true, "[removed]");
            writeln!(out, "without calls {}", String::from_utf8(json.to_bytes()).unwrap()).unwrap();
            assert!(one.protocol.read_reply(one.operation, &json).calls.is_empty());
        }
    }
    insta::assert_snapshot!(out);
}

fn frames(reader: &Stream, bytes: &[u8], step: usize) -> Vec<Frame> {
    let mut frames = Frames::new(reader.framing(), 1 << 20);
    let mut out = Vec::new();
    bytes.chunks(step).for_each(|chunk| frames.push(chunk, &mut out).unwrap());
    out.extend(frames.finish());
    out
}

#[test]
fn streams() {
    let mut out = String::new();
    for one in golden(".stream") {
        writeln!(out, "== {}/{}", one.folder, one.file).unwrap();
        let protocol = one.protocol.clone();
        let mut reader = protocol.stream(one.operation);
        let mut early = Vec::new();
        for frame in frames(&reader, &one.bytes, usize::MAX) {
            let Some(data) = frame.data() else { continue };
            if reader.is_terminator(&data) {
                writeln!(out, "-- terminator").unwrap();
                continue;
            }
            let json = Json::parse(&data, DEPTH).unwrap();
            writeln!(out, "-- {}", frame.event().unwrap_or_default()).unwrap();
            let parts = reader.read(frame.event(), &json);
            reader.repeat(&json, &|_| true);
            list(&mut out, &json, &parts, &protocol);
            reader.sent(reader.progress());
            let close = readable(&reader, &reader.close(&Told::new(&Denial::of_reply(Reason::ScanOutput))));
            if early.last() != Some(&close) {
                early.push(close);
            }
        }
        for close in early {
            writeln!(out, "-- closed early\n{}", close.trim_end()).unwrap();
        }
    }
    insta::assert_snapshot!(out);
}

/// Bytes of a stream; of messages, what they say.
fn readable(reader: &Stream, bytes: &[u8]) -> String {
    if reader.framing() != Framing::Messages {
        return String::from_utf8(bytes.to_vec()).unwrap();
    }
    let said = |frame: &Frame| String::from_utf8(frame.data().unwrap().into_owned()).unwrap();
    frames(reader, bytes, usize::MAX).iter().map(said).collect::<Vec<_>>().join("\n")
}

#[test]
fn any_chunking_is_the_whole() {
    for one in golden(".stream") {
        let reader = one.protocol.stream(one.operation);
        let whole = frames(&reader, &one.bytes, usize::MAX);
        for step in (1..48).chain([100, 333]) {
            let pieces = frames(&reader, &one.bytes, step);
            assert_eq!(pieces.iter().flat_map(|frame| frame.raw().to_vec()).collect::<Vec<_>>(), one.bytes);
            assert!(
                whole.iter().map(Frame::data).eq(pieces.iter().map(Frame::data)),
                "{}/{} {step}",
                one.folder,
                one.file
            );
        }
    }
}

/// What is written over an event unchanged reads the same.
#[test]
fn a_rewritten_event_reads_the_same() {
    for one in golden(".stream") {
        let reader = one.protocol.stream(one.operation);
        for frame in frames(&reader, &one.bytes, usize::MAX) {
            let Some(data) = frame.data() else { continue };
            let again = frames(&reader, &frame.with_data(&data), usize::MAX);
            assert_eq!((again[0].event(), again[0].data()), (frame.event(), frame.data()));
        }
    }
}

/// Denied calls leave a stream piece by piece, and nothing of them stays.
#[test]
fn denied_calls_leave_streams() {
    let mut out = String::new();
    for one in golden("calls.stream") {
        for all in [false, true] {
            writeln!(out, "== {}/{} {}", one.folder, one.file, if all { "all" } else { "some" }).unwrap();
            let mut reader = one.protocol.stream(one.operation);
            let denied = |call: &ToolCall| all || call.name.starts_with("delete");
            for frame in frames(&reader, &one.bytes, usize::MAX) {
                let Some(data) = frame.data() else { continue };
                let Ok(mut json) = Json::parse(&data, DEPTH) else { continue };
                let parts = reader.read(frame.event(), &json);
                parts.calls.iter().filter(|call| call.named && denied(call)).for_each(|call| reader.deny(call));
                if let Some(left) = reader.prune(&mut json, &parts, "[removed]") {
                    assert!(!left.calls.iter().any(denied));
                    let arguments = |one: &&ReplyText| one.channel.kind == TextKind::ToolArguments;
                    assert!(
                        !all || left.texts.iter().filter(arguments).all(|one| text(&json, &one.path, false).is_empty())
                    );
                }
                reader.sent(reader.progress());
                writeln!(out, "{}", String::from_utf8(json.to_bytes()).unwrap()).unwrap();
            }
        }
    }
    insta::assert_snapshot!(out);
}

#[test]
fn usage_is_asked_for_once() {
    let ask = |body: &str| {
        let mut json = Json::parse(body.as_bytes(), DEPTH).unwrap();
        let asked = protocol("openai").ask_usage(Operation::Chat, &mut json);
        (asked, String::from_utf8(json.to_bytes()).unwrap())
    };
    let with = r#"{"stream_options":{"include_usage":true}}"#;
    assert_eq!(ask("{}"), (true, with.to_owned()));
    assert_eq!(ask(r#"{"stream_options":null}"#), (true, with.to_owned()));
    assert_eq!(ask(r#"{"stream_options":{"include_usage":false}}"#), (true, with.to_owned()));
    assert_eq!(ask(with), (false, with.to_owned()));
    assert_eq!(ask(r#"{"stream_options":7}"#), (false, r#"{"stream_options":7}"#.to_owned()));
}

/// One line of the document covers a provider; what it does not know stays unmatched.
#[test]
fn a_prefix_covers_a_provider() {
    let document = r#"{"version":1,"name":"p","authn":{"unsafeAnonymous":true},
        "roles":{"anonymous":{"operations":["chat"],"models":["*"]}},
        "routes":[{"match":{"pathPrefix":"/v1/"},"protocol":"openai"},
            {"match":{"pathPrefix":"/v1/"},"protocol":"anthropic"},
            {"match":{"pathPrefix":"/api/"},"protocol":"ollama"},
            {"match":{"path":"/v1/embeddings"},"protocol":{"generic":{"prompt":["/input"]}}},
            {"match":{"pathPrefix":"/hf/generate/"},"protocol":"tgi"}]}"#;
    let policy = bartizan::policy::Policy::from_json(document.as_bytes(), &|_| None).unwrap();
    let seen = |path: &str| {
        policy
            .route(path, "POST")
            .map(|route| (route.protocol.name(), route.operation.as_str(), route.written.as_str()))
    };
    assert_eq!(seen("/v1/chat/completions"), Some(("openai", "chat", "/v1/")));
    assert_eq!(seen("/v1/completions"), Some(("openai", "completions", "/v1/")));
    assert_eq!(seen("/v1/responses"), Some(("openai", "responses", "/v1/")));
    assert_eq!(seen("/v1/responses/resp_1"), Some(("openai", "responses", "/v1/")));
    assert_eq!(seen("/v1/files/x/content"), Some(("openai", "files", "/v1/")));
    assert_eq!(seen("/v1/models/gpt-4o"), Some(("openai", "models", "/v1/")));
    assert_eq!(seen("/v1/messages"), Some(("anthropic", "chat", "/v1/")));
    assert_eq!(seen("/v1/messages/count_tokens"), Some(("anthropic", "countTokens", "/v1/")));
    assert_eq!(seen("/v1/deployments/gpt-4o/chat/completions"), Some(("openai", "chat", "/v1/")));
    let azure = "/v1/deployments/gpt-4o/chat/completions";
    assert_eq!(policy.route(azure, "POST").and_then(|route| route.matches.parameter(azure)), Some("gpt-4o"));
    assert_eq!(seen("/v1/embeddings"), Some(("generic", "generate", "/v1/embeddings")));
    assert_eq!(seen("/api/show"), Some(("ollama", "modelCard", "/api/")));
    assert_eq!(seen("/hf/generate/x"), Some(("tgi", "generate", "/hf/generate/")));
    for unknown in [
        "/v1/responses/resp_1/x",
        "/v1/files/x/y",
        "/v1/",
        "/api/pull",
        "/v1/chat",
        "/v1/messages/batches",
        "/v1/deployments/a/b/chat/completions",
    ] {
        assert_eq!(seen(unknown), None, "{unknown}");
    }
    assert!(policy.routes.iter().enumerate().all(|(place, route)| usize::from(route.index.0) == place));
}

/// One row of `tests/data/bodies/differentials.json`: bodies that parsers read differently, and what becomes of
/// each. `integration/tests/test_differentials.py` sends the same rows through Envoy.
#[derive(serde::Deserialize)]
struct Differential {
    name: String,
    body: Option<String>,
    hex: Option<String>,
    refused: Option<String>,
    headers: Option<std::collections::BTreeMap<String, String>>,
}

#[test]
fn what_parsers_read_differently_is_refused_and_the_rest_is_written_again_the_same() {
    let rows = include_str!("../data/bodies/differentials.json");
    let rows: Vec<Differential> = serde_json::from_str(rows).unwrap();
    for row in rows.into_iter().filter(|row| row.headers.is_none()) {
        let hex = |text: String| {
            let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
            digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<u8>>()
        };
        let body = row.body.map(String::into_bytes).or(row.hex.map(hex)).unwrap();
        let read = Json::parse(&body, DEPTH).and_then(|json| {
            protocol("openai").read_request(Operation::Chat, None, &json).map(|_| json).map_err(|denial| denial.reason)
        });
        match (read, row.refused) {
            (Ok(json), None) => {
                let again = json.to_bytes();
                assert_eq!(Json::parse(&again, DEPTH).unwrap(), json, "{}", row.name);
                let theirs = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
                assert_eq!(theirs(&again), theirs(&body), "{}", row.name);
            }
            (Err(reason), Some(expected)) => assert_eq!(reason.code(), expected, "{}", row.name),
            (read, expected) => panic!("{}: {:?}, expected {expected:?}", row.name, read.err()),
        }
    }
}

/// Azure's paths, by the prefixes that operators write.
#[test]
fn azures_paths_name_the_model() {
    use bartizan::policy::Policy;
    for (prefix, path, model) in [
        ("/openai/", "/openai/deployments/gpt-4o/chat/completions", Some("gpt-4o")),
        ("/openai/", "/openai/deployments/tts/audio/speech", Some("tts")),
        ("/openai/", "/openai/v1/chat/completions", None),
        ("/openai/", "/openai/v1/responses", None),
        ("/openai/", "/openai/deployments/gpt-4o/embeddings", Some("gpt-4o")),
        ("/openai/v1/", "/openai/v1/chat/completions", None),
        ("/v1/", "/v1/chat/completions", None),
    ] {
        let document = serde_json::json!({ "version": 1, "name": "azure", "authn": { "unsafeAnonymous": true },
            "roles": { "anonymous": { "operations": [], "models": [] } },
            "routes": [{ "match": { "pathPrefix": prefix }, "protocol": "openai", "dialect": "azure" }] });
        let policy = Policy::from_json(document.to_string().as_bytes(), &|_| None).unwrap();
        let route = policy.route(path, "POST").unwrap_or_else(|| panic!("{prefix} takes {path}"));
        assert_eq!(route.model_of(path).as_deref(), model, "{path}");
    }
    let exact = serde_json::json!({ "version": 1, "name": "azure", "authn": { "unsafeAnonymous": true },
        "roles": { "anonymous": { "operations": [], "models": [] } },
        "routes": [{ "match": { "path": "/openai/deployments/gpt-4o/chat/completions" }, "protocol": "openai" }] });
    let policy = Policy::from_json(exact.to_string().as_bytes(), &|_| None).unwrap();
    let path = "/openai/deployments/gpt-4o/chat/completions";
    assert_eq!(policy.route(path, "POST").unwrap().model_of(path).as_deref(), Some("gpt-4o"));
}
