//! A stream's texts are running texts: what is cut over events is found, in whatever place of an event the pieces are.
//!
//! Generated: every string of every event of every golden stream, and of streams of the kinds that the golden files do
//! not hold, is where a secret and the system prompt's token come in two and in three pieces. How many places were tried
//! is printed (`cargo test --test suite pieces -- --nocapture`).

use crate::common;

use std::collections::BTreeMap;

use bartizan::protocol::frames::Framing;
use common::golden::{golden, message, said};
use common::pipeline::Pipeline;
use serde_json::{Value, json};

const SECRET: &str = "AKIAQ7EXAMPL3TE5TKXQ";
const FORBIDDEN: &str = "delete_everything";

/// A stream of one of the formats.
struct Sample {
    name: String,
    path: &'static str,
    framing: Framing,
    events: Vec<String>,
}

impl Sample {
    /// The stream's bytes, its event at `number` replaced by these.
    fn with(&self, number: usize, data: &[Value]) -> Vec<Vec<u8>> {
        if self.framing == Framing::Messages {
            let events = self.events.iter().map(|event| serde_json::from_str(event).unwrap());
            let mut events: Vec<Value> = events.collect();
            // An event of a stream of messages has a type.
            let typed = data.iter().map(|data| {
                if *data == json!({}) && !self.is_models() { json!({ "messageStart": {} }) } else { data.clone() }
            });
            events.splice(number..=number, typed);
            return events.iter().map(|event| message(event, self.is_models())).collect();
        }
        let mut out: Vec<Vec<u8>> = self.events.iter().map(|event| event.clone().into_bytes()).collect();
        let event = &self.events[number];
        let head = event.find("data:").map_or("", |start| &event[..start + "data:".len()]);
        let end = if self.framing == Framing::Sse { "\n\n" } else { "\n" };
        out.splice(number..=number, data.iter().map(|data| format!("{head}{data}{end}").into_bytes()));
        out
    }

    fn data(&self, number: usize) -> Option<Value> {
        let event = &self.events[number];
        let start = event.find("data:").map_or(0, |start| start + "data:".len());
        serde_json::from_str(event[start..].trim()).ok()
    }

    fn content_type(&self) -> &'static str {
        match self.framing {
            Framing::Sse => "text/event-stream",
            Framing::Lines => "application/x-ndjson",
            Framing::Messages => "application/vnd.amazon.eventstream",
        }
    }

    /// The events are a model's own, inside those of its server.
    fn is_models(&self) -> bool {
        self.path.contains("/invoke")
    }

    /// What a client got: of messages, what they say.
    fn readable(&self, bytes: &[u8]) -> String {
        if self.framing != Framing::Messages {
            return String::from_utf8(bytes.to_vec()).unwrap();
        }
        said(bytes).expect("messages").join("\n")
    }
}

fn path_of(folder: &str) -> &'static str {
    match folder {
        "openai-chat" => "/v1/chat/completions",
        "openai-completions" => "/v1/completions",
        "openai-responses" => "/v1/responses",
        "anthropic-chat" => "/anthropic/v1/messages",
        "gemini-chat" => "/gemini/v1beta/models/m:streamGenerateContent",
        "bedrock-chat" => "/bedrock/model/m/converse-stream",
        "bedrock+invoke-chat" => "/bedrock/model/m/invoke-with-response-stream",
        "langserve-chat" => "/langserve/chain/stream",
        "langserve+wait-chat" => "/langserve/runs/stream",
        "ollama-chat" => "/ollama/api/chat",
        "ollama-generate" => "/ollama/api/generate",
        "tgi-generate" => "/tgi/generate",
        "cohere-chat" => "/cohere/v2/chat",
        "mcp-mcp" => "/mcp",
        other => panic!("{other}: which path is it sent to?"),
    }
}

/// The golden streams, and one for each kind of piece that they lack.
fn samples() -> Vec<Sample> {
    let mut samples: Vec<Sample> = golden(".stream")
        .into_iter()
        .map(|one| {
            let path = path_of(&one.folder);
            if one.protocol.stream(one.operation).framing() == Framing::Messages {
                let (name, events) = (format!("{}/{}", one.folder, one.file), said(&one.bytes).unwrap());
                return Sample { name, path, framing: Framing::Messages, events };
            }
            let text = String::from_utf8(one.bytes).unwrap();
            let (framing, cut) = if text.contains("data:") { (Framing::Sse, "\n\n") } else { (Framing::Lines, "\n") };
            let events = text.split_inclusive(cut).map(str::to_owned).collect();
            Sample { name: format!("{}/{}", one.folder, one.file), path, framing, events }
        })
        .collect();
    let mut add = |path: &'static str, name: &str, events: Vec<Value>| {
        let events = events.into_iter().map(|event| format!("data: {event}\n\n")).collect();
        samples.push(Sample { name: name.to_owned(), path, framing: Framing::Sse, events });
    };
    for (name, delta) in [
        ("content list", json!({ "content": [{ "type": "text", "text": "a" }] })),
        (
            "thinking in a content list",
            json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "a" }] }] }),
        ),
        (
            "reasoning_details",
            json!({ "reasoning_details": [{ "type": "reasoning.text", "text": "a", "signature": "b", "index": 0 }] }),
        ),
        (
            "reasoning twice",
            json!({ "reasoning": "a", "reasoning_details": [{ "type": "reasoning.text", "text": "a" }] }),
        ),
        (
            "thinking_blocks",
            json!({ "reasoning_content": "a", "thinking_blocks": [{ "type": "thinking", "thinking": "a", "signature": "b" }] }),
        ),
        ("two parts by index", json!({ "content": [{ "index": 1, "text": "a" }, { "index": 2, "text": "x y" }] })),
        ("refusal", json!({ "refusal": "a" })),
        ("audio", json!({ "audio": { "id": "i", "transcript": "a", "data": "UklG" } })),
        ("function_call", json!({ "function_call": { "name": "f", "arguments": "a" } })),
        (
            "custom call",
            json!({ "tool_calls": [{ "index": 0, "id": "c", "type": "custom", "custom": { "name": "f", "input": "a" } }] }),
        ),
        ("unknown", json!({ "x_new": "a", "x_list": [{ "deep": ["a"] }], "annotations": [{ "title": "a" }] })),
    ] {
        let event = |delta: Value, finish: Value| json!({ "id": "c", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
        add(
            "/v1/chat/completions",
            name,
            vec![event(delta.clone(), Value::Null), event(delta, Value::Null), event(json!({}), json!("stop"))],
        );
    }
    for (kind, extra) in [
        ("response.output_text.delta", json!({ "content_index": 0 })),
        ("response.refusal.delta", json!({ "content_index": 0 })),
        ("response.reasoning_text.delta", json!({ "content_index": 0 })),
        ("response.reasoning_summary_text.delta", json!({ "summary_index": 0 })),
        ("response.function_call_arguments.delta", json!({})),
        ("response.custom_tool_call_input.delta", json!({})),
        ("response.code_interpreter_call_code.delta", json!({})),
        ("response.mcp_call_arguments.delta", json!({})),
        ("response.audio.transcript.delta", json!({})),
        ("response.shell_call_command.delta", json!({ "command_index": 0 })),
        ("response.shell_call_output_content.delta", json!({ "command_index": 0, "stdout": "a" })),
        ("response.compaction.delta", json!({ "x_summary": "a" })),
        ("response.hologram.delta", json!({ "beam": { "x": ["a"] } })),
    ] {
        let mut event = json!({ "type": kind, "item_id": "i_1", "output_index": 0, "delta": "a" });
        event.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let added = json!({ "type": "response.output_item.added", "output_index": 0,
            "item": { "type": "function_call", "id": "i_1", "call_id": "c", "name": "f", "arguments": "" } });
        add(
            "/v1/responses",
            kind,
            vec![added, event.clone(), event, json!({ "type": "response.completed", "response": {} })],
        );
    }
    for (name, delta) in [
        ("compaction_delta", json!({ "content": "a" })),
        ("signature_delta", json!({ "signature": "a" })),
        ("citations_delta", json!({ "citation": { "cited_text": "a", "document_title": "a" } })),
        ("hologram_delta", json!({ "beam": "a" })),
    ] {
        let mut delta = delta;
        delta["type"] = name.into();
        let event = json!({ "type": "content_block_delta", "index": 0, "delta": delta });
        add("/anthropic/v1/messages", name, vec![event.clone(), event, json!({ "type": "message_stop" })]);
    }
    samples
}

fn pipeline(tools: &[&str]) -> Pipeline {
    Pipeline::new(|document| {
        document["authn"] = json!({ "unsafeAnonymous": true });
        document["roles"] = json!({ "anonymous": {
            "operations": ["chat", "completions", "responses", "generate", "mcp"], "mayWrite": ["system"],
            "models": ["*"], "tools": { "allow": tools } } });
        document["guards"]["standard"] = json!({ "output": { "secrets": "mask", "canary": "remove" } });
        document["unscanned"] = json!({ "default": "flag" });
        document["routes"] = json!([
            { "match": { "pathPrefix": "/v1/" }, "protocol": "openai" },
            { "match": { "pathPrefix": "/anthropic/v1/" }, "protocol": "anthropic" },
            { "match": { "pathPrefix": "/gemini/v1beta/" }, "protocol": "gemini" },
            { "match": { "pathPrefix": "/bedrock/" }, "protocol": "bedrock" },
            { "match": { "pathPrefix": "/langserve/" }, "protocol": "langserve" },
            { "match": { "pathPrefix": "/ollama/api/" }, "protocol": "ollama" },
            { "match": { "pathPrefix": "/cohere/v2/" }, "protocol": "cohere" },
            { "match": { "pathPrefix": "/tgi/" }, "protocol": "tgi" },
            { "match": { "path": "/mcp" }, "protocol": "mcp" }]);
        document["audit"] = json!({});
    })
}

/// A request for a stream, with instructions where the format has a place for them, and what follows them there.
fn request(path: &str) -> (Value, Option<&'static str>) {
    let user = json!({ "role": "user", "content": "hello" });
    let messages = json!([{ "role": "system", "content": "Be kind." }, user]);
    match path {
        "/v1/completions" => (json!({ "model": "m", "prompt": "hello", "stream": true }), None),
        "/v1/responses" => (
            json!({ "model": "m", "input": "hello", "stream": true, "instructions": "Be kind." }),
            Some("/instructions"),
        ),
        "/anthropic/v1/messages" => (
            json!({ "model": "m", "max_tokens": 9, "messages": [user], "stream": true, "system": "Be kind." }),
            Some("/system"),
        ),
        "/gemini/v1beta/models/m:streamGenerateContent" => (
            json!({ "contents": [{ "parts": [{ "text": "hello" }] }], "systemInstruction": { "parts": [{ "text": "Be kind." }] } }),
            Some("/systemInstruction/parts/0/text"),
        ),
        "/bedrock/model/m/converse-stream" => (
            json!({ "messages": [{ "role": "user", "content": [{ "text": "hello" }] }], "system": [{ "text": "Be kind." }] }),
            Some("/system/0/text"),
        ),
        "/bedrock/model/m/invoke-with-response-stream" => (json!({ "prompt": "hello" }), None),
        "/langserve/chain/stream" => (json!({ "input": "hello" }), None),
        "/langserve/runs/stream" => (json!({ "assistant_id": "m", "input": { "question": "hello" } }), None),
        "/ollama/api/generate" => {
            (json!({ "model": "m", "prompt": "hello", "stream": true, "system": "Be kind." }), Some("/system"))
        }
        "/tgi/generate" => (json!({ "inputs": "hello", "stream": true }), None),
        _ => (json!({ "model": "m", "messages": messages, "stream": true }), Some("/messages/0/content")),
    }
}

fn answer(pipeline: &mut Pipeline, sample: &Sample, pieces: &[Vec<u8>]) -> String {
    let ask = request(sample.path).0;
    sample.readable(&pipeline.streamed_bytes(sample.path, &ask, sample.content_type(), pieces, true).1)
}

/// The system prompt's token, where the format has a system prompt.
fn token(pipeline: &mut Pipeline, sample: &Sample) -> Option<String> {
    let (ask, pointer) = request(sample.path);
    let (sent, _) = pipeline.streamed(sample.path, &ask, sample.content_type(), &[], true);
    let prompt = sent.pointer(pointer?)?.as_str()?;
    Some(prompt.rsplit(' ').next()?.trim_end_matches(']').to_owned())
}

/// Every string of an event, as a pointer.
fn strings(value: &Value, at: &str, out: &mut Vec<String>) {
    let child = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::String(_) => out.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(nth, item)| strings(item, &child(&nth.to_string()), out))
        }
        Value::Object(entries) => entries.iter().for_each(|(key, item)| strings(item, &child(key), out)),
        _ => {}
    }
}

/// What counts the events of a format.
fn counts(sample: &Sample) -> &'static [&'static str] {
    match sample.path {
        "/tgi/generate" => &["index"],
        "/v1/responses" => &["sequence_number"],
        _ => &["created"],
    }
}

/// What names something: no client joins the values of two events. What holds them whole is found by `completeness`.
fn is_name(pointer: &str) -> bool {
    let names = [
        "model",
        "object",
        "type",
        "role",
        "status",
        "created_at",
        "finish_reason",
        "stop_reason",
        "done_reason",
        "finishReason",
        "modelVersion",
        "stopReason",
        "responseId",
    ];
    let key = pointer.rsplit('/').next().unwrap();
    key == "id" || key.ends_with("_id") || names.contains(&key)
}

/// What an event has whole, in the place of what came before it: no client joins the texts of two.
fn is_whole(sample: &Sample, pointer: &str) -> bool {
    match sample.path {
        "/v1/responses" => {
            pointer != "/delta"
                && ["/text", "/arguments", "/item/", "/part/", "/response/output/"]
                    .iter()
                    .any(|whole| pointer.starts_with(whole))
        }
        "/anthropic/v1/messages" => pointer.starts_with("/content_block/input"),
        "/gemini/v1beta/models/m:streamGenerateContent" => pointer.contains("/functionCall/"),
        "/bedrock/model/m/converse-stream" => pointer.ends_with("/p"),
        // A message of a state, not a piece of one.
        "/langserve/runs/stream" => pointer.contains("messages/"),
        "/ollama/api/chat" => pointer.starts_with("/message/tool_calls/"),
        "/tgi/generate" => pointer == "/generated_text",
        _ => false,
    }
}

/// A text in this number of pieces, with words before and behind it or only blanks: a longer word is another word.
fn cut(text: &str, count: usize, words: bool) -> Vec<String> {
    let size = text.len().div_ceil(count);
    let mut pieces: Vec<String> =
        text.as_bytes().chunks(size).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect();
    pieces[0].insert_str(0, if words { "the key " } else { " " });
    pieces.last_mut().unwrap().push_str(if words { " is new" } else { " " });
    pieces
}

#[test]
fn what_is_cut_over_events_is_found_in_every_place() {
    let mut pipeline = pipeline(&["*"]);
    let mut missed = Vec::new();
    let (mut tried, mut places) = (0, 0);
    for sample in samples().iter().filter(|sample| sample.path != "/mcp") {
        let token = token(&mut pipeline, sample);
        for number in 0..sample.events.len() {
            let Some(body) = sample.data(number) else { continue };
            let mut found = Vec::new();
            strings(&body, "", &mut found);
            found.retain(|pointer| !is_name(pointer) && !is_whole(sample, pointer));
            for pointer in found {
                places += 1;
                for hostile in [Some(SECRET), token.as_deref()].into_iter().flatten() {
                    for (count, words, pause) in
                        [(2, false, false), (2, true, false), (3, false, false), (3, true, true), (2, true, true)]
                    {
                        tried += 1;
                        let pieces = cut(hostile, count, words);
                        let mut events = Vec::new();
                        for (nth, piece) in pieces.iter().enumerate() {
                            let mut event = body.clone();
                            for count in counts(sample) {
                                let number = event[*count].as_u64().map(|number| number + nth as u64);
                                if let Some(number) = number {
                                    event[*count] = number.into();
                                }
                            }
                            *event.pointer_mut(&pointer).unwrap() = piece.as_str().into();
                            events.push(event);
                            if pause {
                                // An event of the stream that has nothing at this place.
                                events.push(json!({}));
                            }
                        }
                        let text = answer(&mut pipeline, sample, &sample.with(number, &events));
                        let last = cut(hostile, count, false).pop().unwrap();
                        if text.contains(last.trim_end()) {
                            let what = if hostile == SECRET { "secret" } else { "token" };
                            missed.push(format!(
                                "{} {number} {pointer}: {what} in {count}, {words} {pause}",
                                sample.name
                            ));
                        }
                    }
                }
            }
        }
    }
    println!("{places} places, {tried} streams tried");
    assert!(missed.is_empty(), "{} of {tried} reached the client:\n{}", missed.len(), missed.join("\n"));
    assert!(places > 60, "{places}");
}

/// The names of the calls of a chat's stream, as clients join them.
fn names(text: &str) -> Vec<String> {
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    for data in text.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok()) {
        for call in data["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let inner = [&call["function"]["name"], &call["custom"]["name"]];
            let name: String = inner.into_iter().filter_map(Value::as_str).collect();
            names.entry(call["index"].as_u64().unwrap_or(u64::MAX)).or_default().push_str(&name);
        }
        names
            .entry(u64::MAX)
            .or_default()
            .push_str(data["choices"][0]["delta"]["function_call"]["name"].as_str().unwrap_or(""));
    }
    names.into_values().collect()
}

/// Where a client joins the pieces of a name, the whole name is judged.
#[test]
fn a_forbidden_tool_in_pieces_is_not_called() {
    let mut pipeline = pipeline(&["e*", "f", "search_*", "delete_e", "delete_", "everything", "thing"]);
    let mut tried = 0;
    for sample in samples().iter().filter(|sample| sample.path == "/v1/chat/completions") {
        for number in 0..sample.events.len() {
            let Some(body) = sample.data(number) else { continue };
            let mut found = Vec::new();
            strings(&body, "", &mut found);
            for pointer in found.iter().filter(|pointer| pointer.ends_with("/name") && pointer.contains("call")) {
                for (count, bare) in [(2, true), (2, false), (3, true), (3, false)] {
                    tried += 1;
                    let mut events = Vec::new();
                    for (nth, piece) in cut(FORBIDDEN, count, false).iter().enumerate() {
                        let mut event = body.clone();
                        *event.pointer_mut(pointer).unwrap() = piece.trim().into();
                        // The arguments come with the last piece, or with each.
                        let holder = pointer.strip_suffix("/name").unwrap();
                        if bare && nth + 1 < count {
                            event.pointer_mut(holder).unwrap()["arguments"] = "".into();
                        }
                        events.push(event);
                    }
                    let text = answer(&mut pipeline, sample, &sample.with(number, &events));
                    let names = names(&text);
                    assert!(!names.iter().any(|name| name == FORBIDDEN), "{} {pointer} {text}", sample.name);
                }
            }
        }
    }
    println!("{tried} names tried");
    assert!(tried >= 4, "{tried}");
}

/// What is not of one text does not wait for it: thoughts that have ended, and a field that is repeated.
#[test]
fn a_text_that_has_no_more_pieces_holds_nothing_back() {
    let mut pipeline = pipeline(&["*"]);
    let sample =
        Sample { name: String::new(), path: "/v1/chat/completions", framing: Framing::Sse, events: Vec::new() };
    let event = |delta: Value| {
        format!("data: {}\n\n", json!({ "id": "c", "x_vendor": "zone7", "choices": [{ "index": 0, "delta": delta }] }))
            .into_bytes()
    };
    let mut events = vec![event(json!({ "reasoning_content": "Two towers" }))];
    events.extend((0..20).map(|_| event(json!({ "content": "word " }))));
    // No event ends the stream: what has left by then is what did not wait.
    let ask = request(sample.path).0;
    let (_, seen) = pipeline.streamed(sample.path, &ask, sample.content_type(), &events, false);
    assert!(seen.contains("Two towers") && seen.matches("word ").count() >= 12, "{seen}");
    // A field of the vendor's, which every event repeats, waits in the first one only.
    let events: Vec<Vec<u8>> = (0..4).map(|_| event(json!({ "content": "word " }))).collect();
    let (_, seen) = pipeline.streamed(sample.path, &ask, sample.content_type(), &events, false);
    assert_eq!(seen.matches("word ").count(), 4, "{seen}");
}

/// Empty pieces of a text, as servers send them to keep a stream alive, end nothing.
#[test]
fn empty_pieces_between_two_halves_change_nothing() {
    let mut pipeline = pipeline(&["*"]);
    let sample =
        Sample { name: String::new(), path: "/v1/chat/completions", framing: Framing::Sse, events: Vec::new() };
    let event = |text: &str| {
        let delta = json!({ "content": text });
        format!("data: {}\n\n", json!({ "id": "c", "choices": [{ "index": 0, "delta": delta }] })).into_bytes()
    };
    let (first, second) = SECRET.split_at(9);
    let mut events = vec![event(&format!("the key {first}"))];
    events.extend((0..40).map(|_| event("")));
    events.push(event(&format!("{second} is new")));
    let seen = answer(&mut pipeline, &sample, &events);
    assert!(!seen.contains(second), "{seen}");
}

/// More places than the filter follows at a time: it forgets the ones that wait for nothing.
#[test]
fn a_long_stream_of_ever_new_places_goes_on() {
    let mut pipeline = pipeline(&["*"]);
    let sample =
        Sample { name: String::new(), path: "/v1/chat/completions", framing: Framing::Sse, events: Vec::new() };
    let event = |nth: usize| {
        let delta = json!({ "content": "word ", "annotations": [{ "index": nth, "title": format!("Page {nth}") }] });
        format!("data: {}\n\n", json!({ "id": "c", "choices": [{ "index": 0, "delta": delta }] })).into_bytes()
    };
    let events: Vec<Vec<u8>> = (0..2000).map(event).collect();
    let text = answer(&mut pipeline, &sample, &events);
    assert!(text.contains("Page 1999") && text.contains("Page 0\""), "{}", &text[text.len().saturating_sub(300)..]);
}

/// What the deltas of a stream say together.
fn deltas(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    data.filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// An event in the form of the last one is not read in full: one with a number of its own is.
    #[test]
    fn an_event_like_the_last_is_judged_as_one_that_is_read(
        words in proptest::collection::vec(
            "[a-z]{1,8} |[A-Z][a-z]{2,9}, |[0-9]{1,6} |AKIAQ7EX|AMPL3TE5TKXQ |ada@|lovelace\\.example |the api |key |\"|\\\\|\u{e9} |!\\[a\\]\\(http|://evil\\.example/x\\) |",
            1..60,
        ),
        // OpenAI's servers pad events so; a secret is none the less.
        padding in proptest::collection::vec("[A-Za-z0-9]{0,16}|AKIAQ7EXAMPL3TE5TKXQ|[a-z]{30,40}|a\\.b", 0..8),
    ) {
        let sample =
            Sample { name: String::new(), path: "/v1/chat/completions", framing: Framing::Sse, events: Vec::new() };
        let said = |is_alike: bool| {
            let event = |(nth, word): (usize, &String)| {
                let created = if is_alike { 1 } else { nth };
                let choices = json!([{ "index": 0, "delta": { "content": word }, "finish_reason": null }]);
                let mut event = json!({ "choices": choices, "created": created, "id": "c" });
                if let Some(padding) = padding.get(nth % 8) {
                    event["obfuscation"] = json!(padding);
                }
                format!("data: {event}\n\n").into_bytes()
            };
            let events: Vec<Vec<u8>> = words.iter().enumerate().map(event).collect();
            let answer = answer(&mut pipeline(&["*"]), &sample, &events);
            let data = answer.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
            let paddings: Vec<Value> = data.map(|event| event["obfuscation"].clone()).collect();
            (deltas(&answer), paddings)
        };
        proptest::prop_assert_eq!(said(true), said(false));
    }
}
