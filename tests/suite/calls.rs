//! Streamed tool calls: however a client joins their pieces, it reads no tool that the role may not call, and every
//! allowed call is whole.

use crate::common;

use std::collections::BTreeMap;

use common::pipeline::{Pipeline, ask};
use proptest::prelude::*;
use serde_json::{Value, json};

const SSE: &str = "text/event-stream";

fn pipeline() -> Pipeline {
    Pipeline::new(|document| {
        document["roles"]["analyst"]["tools"]["allow"] = json!(["get_weather", "get_time", "search_*"]);
        document["roles"]["analyst"]["quotas"] = json!([]);
        document["guards"]["standard"] = json!({});
    })
}

fn event(calls: &Value, finish: &Value) -> String {
    let data = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "small",
        "choices": [{ "index": 0, "delta": { "tool_calls": calls }, "finish_reason": finish }] });
    format!("data: {data}\n\n")
}

/// A stream of these pieces, one an event.
fn stream(pieces: &[Value]) -> String {
    let events: String = pieces.iter().map(|piece| event(&json!([piece]), &Value::Null)).collect();
    let data = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "small",
        "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
    format!("{events}data: {data}\n\ndata: [DONE]\n\n")
}

/// The pieces of a stream that has left.
fn pieces(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.flat_map(|data| {
        let event: Value = serde_json::from_str(data).unwrap();
        event["choices"][0]["delta"]["tool_calls"].as_array().cloned().unwrap_or_default()
    })
    .collect()
}

type Call = (String, String);

/// What clients read: names joined by index (the OpenAI SDK), the last and the first name of an index, and calls told
/// apart by id where there is one.
fn readings(text: &str) -> Vec<Vec<Call>> {
    let read = |by_id: bool, join: fn(&mut String, &str)| {
        let mut calls: BTreeMap<(u64, String), Call> = BTreeMap::new();
        for piece in pieces(text) {
            let index = piece["index"].as_u64().unwrap_or(0);
            let id = piece["id"].as_str().unwrap_or_default();
            let last = calls.keys().rev().find(|(other, _)| *other == index).map(|(_, id)| id.clone());
            let id = match last {
                Some(last) if !by_id || id.is_empty() || last.is_empty() => last,
                _ => id.to_owned(),
            };
            let call = calls.entry((index, id)).or_default();
            if let Some(name) = piece["function"]["name"].as_str().filter(|name| !name.is_empty()) {
                join(&mut call.0, name);
            }
            call.1 += piece["function"]["arguments"].as_str().unwrap_or_default();
        }
        calls.into_values().collect()
    };
    let joined: fn(&mut String, &str) = |all, name| all.push_str(name);
    let last: fn(&mut String, &str) = |all, name| name.clone_into(all);
    let first: fn(&mut String, &str) = |all, name| {
        if all.is_empty() {
            name.clone_into(all);
        }
    };
    vec![read(false, joined), read(false, first), read(true, joined), read(true, last)]
}

fn answered(pipeline: &mut Pipeline, text: &str, step: usize) -> String {
    let chunks: Vec<&[u8]> = text.as_bytes().chunks(step).collect();
    pipeline.answered(&ask("hi"), SSE, &chunks).1.text()
}

fn call(index: Option<u64>, id: Option<&str>, name: Option<&str>, arguments: Option<&str>) -> Value {
    let mut call = json!({ "function": {} });
    if let Some(index) = index {
        call["index"] = json!(index);
    }
    if let Some(id) = id {
        call["id"] = json!(id);
        call["type"] = json!("function");
    }
    if let Some(name) = name {
        call["function"]["name"] = json!(name);
    }
    if let Some(arguments) = arguments {
        call["function"]["arguments"] = json!(arguments);
    }
    call
}

#[test]
fn allowed_calls_are_whole_and_others_are_gone() {
    let (zero, weather, time, all) = (Some(0), Some("get_weather"), Some("get_time"), Some("delete_all"));
    let one = |name: &str, arguments: &str| vec![(name.to_owned(), arguments.to_owned())];
    let two = |first: &str, second: &str| [one(first, "{}"), one(second, "{}")].concat();
    for (sent, expected) in [
        // A second call under the same index.
        (
            vec![call(zero, Some("a"), weather, Some("{}")), call(zero, Some("b"), all, Some("{}"))],
            one("get_weather", "{}"),
        ),
        (
            vec![call(zero, Some("a"), weather, Some("{}")), call(zero, Some("b"), time, Some("{}"))],
            two("get_weather", "get_time"),
        ),
        (vec![call(zero, None, weather, Some("{}")), call(zero, None, all, Some("{}"))], one("get_weather", "{}")),
        (vec![call(zero, Some("a"), all, Some("{}")), call(zero, Some("b"), time, Some("{}"))], one("get_time", "{}")),
        // Without an index.
        (
            vec![call(None, Some("a"), weather, Some("{}")), call(None, Some("b"), time, Some("{}"))],
            two("get_weather", "get_time"),
        ),
        (
            vec![call(None, Some("a"), weather, Some("{}")), call(None, Some("b"), all, Some("{}"))],
            one("get_weather", "{}"),
        ),
        (vec![call(None, None, weather, Some("{}")), call(None, None, all, Some("{}"))], one("get_weather", "{}")),
        (vec![call(None, Some("a"), weather, Some("{")), call(None, None, None, Some("}"))], one("get_weather", "{}")),
        // The name again in each piece.
        (
            vec![call(zero, Some("a"), weather, Some("{\"c\"")), call(zero, Some("a"), weather, Some(":1}"))],
            one("get_weather", "{\"c\":1}"),
        ),
        (
            vec![call(zero, Some("a"), weather, Some("")), call(zero, None, weather, Some("{}"))],
            one("get_weather", "{}"),
        ),
        // A name in pieces: neither is known before the arguments begin.
        (
            vec![
                call(zero, Some("a"), Some("get_"), Some("")),
                call(zero, None, Some("weather"), None),
                call(zero, None, None, Some("{}")),
            ],
            one("get_weather", "{}"),
        ),
        (
            vec![
                call(zero, Some("a"), weather, Some("")),
                call(zero, None, Some("_and_delete"), None),
                call(zero, None, None, Some("{}")),
            ],
            vec![],
        ),
        (vec![call(zero, Some("a"), Some("get_"), None), call(zero, None, Some("time"), None)], one("get_time", "")),
        // Arguments before the name, and no name at all.
        (vec![call(zero, None, None, Some("{}")), call(zero, Some("a"), all, None)], vec![]),
        (vec![call(zero, None, None, Some("{}")), call(zero, Some("a"), weather, None)], one("get_weather", "{}")),
        (vec![call(zero, Some("a"), None, Some("{}"))], vec![]),
        // Two names.
        (
            vec![
                json!({ "index": 0, "id": "a", "x": { "name": "get_time" }, "function": { "name": "delete_all", "arguments": "{}" } }),
            ],
            vec![],
        ),
        (
            vec![json!({ "index": 0, "id": "a", "x": {}, "function": { "name": "delete_all", "arguments": "{}" } })],
            vec![],
        ),
        (
            vec![
                json!({ "index": 0, "id": "a", "name": "get_time", "function": { "name": "delete_all", "arguments": "{}" } }),
            ],
            vec![],
        ),
        // Parallel calls whose arguments come by turns.
        (
            vec![
                call(zero, Some("a"), weather, Some("")),
                call(Some(1), Some("b"), time, Some("")),
                call(zero, None, None, Some("{")),
                call(Some(1), None, None, Some("{")),
                call(zero, None, None, Some("}")),
                call(Some(1), None, None, Some("}")),
            ],
            two("get_weather", "get_time"),
        ),
    ] {
        let text = stream(&sent);
        for step in [7, text.len()] {
            let left = answered(&mut pipeline(), &text, step);
            for reading in readings(&left) {
                assert_eq!(reading, expected, "{text}\n{left}");
            }
            let finish = if expected.is_empty() { "\"stop\"" } else { "\"tool_calls\"" };
            assert!(left.contains(finish) && left.ends_with("data: [DONE]\n\n"), "{left}");
        }
    }
}

#[test]
fn an_ordinary_call_leaves_byte_for_byte() {
    let text = stream(&[
        call(Some(0), Some("a"), Some("get_weather"), Some("")),
        call(Some(0), None, None, Some("{\"city\"")),
        call(Some(0), None, None, Some(":\"Oslo\"}")),
    ]);
    assert_eq!(answered(&mut pipeline(), &text, 50), text);
    // The name goes on with the first arguments.
    let some: usize = text.match_indices("\n\n").nth(1).unwrap().0 + 2;
    let (_, answer) = pipeline().answered(&ask("hi"), SSE, &[&text.as_bytes()[..some]]);
    assert_eq!(answer.text(), text[..some]);
}

#[test]
fn the_older_function_call_is_one() {
    let delta = |call: Value| {
        let data = json!({ "choices": [{ "index": 0, "delta": { "function_call": call }, "finish_reason": null }] });
        format!("data: {data}\n\n")
    };
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"function_call\"}]}\n\n";
    let whole = "\"function_call\":{\"name\":\"get_time\"";
    for (calls, kept) in [
        (vec![json!({ "name": "get_" }), json!({ "name": "time" }), json!({ "arguments": "{}" })], true),
        (vec![json!({ "name": "delete_" }), json!({ "name": "all" }), json!({ "arguments": "{}" })], false),
        (vec![json!({ "name": "delete_all", "arguments": "{}" })], false),
        (vec![json!({ "name": "get_time" }), json!({ "arguments": "{}" }), json!({ "name": "delete_all" })], true),
    ] {
        let text: String = calls.iter().cloned().map(delta).chain([end.to_owned()]).collect();
        let left = answered(&mut pipeline(), &text, 9);
        assert!(!left.contains("delete_"), "{left}");
        assert_eq!(left.contains(whole), kept, "{left}");
    }
}

#[test]
fn a_call_is_judged_by_its_own_name_whatever_stands_at_its_place() {
    let mut pipeline = Pipeline::new(|document| {
        document["roles"]["analyst"]["operations"] = json!(["responses"]);
        document["routes"] = json!([{ "match": { "path": "/v1/responses" }, "protocol": "openai" }]);
        document["guards"]["standard"] = json!({});
    });
    let item =
        |name: &str| json!({ "type": "function_call", "id": "f", "call_id": "c", "name": name, "arguments": "{}" });
    let event = json!({ "type": "response.output_item.done", "output_index": 0, "item": item("delete_all"),
        "response": { "output": [item("search_web")] } });
    let asked = json!({ "model": "small", "input": "hi", "stream": true });
    let (_, answer) =
        pipeline.answered_at("/v1/responses", &asked, SSE, |_| vec![format!("data: {event}\n\n").into_bytes()]);
    assert!(!answer.text().contains("delete_all"), "{}", answer.text());
}

fn any_piece() -> impl Strategy<Value = Value> {
    let names = ["get_", "weather", "get_weather", "get_time", "delete_all", "search_x", ""];
    (
        prop::option::of(0u64..3),
        prop::option::of(prop::sample::select(vec!["a", "b", ""])),
        prop::option::of(prop::sample::select(names.to_vec())),
        prop::option::of(prop::sample::select(vec!["", "{", "}", "{}"])),
    )
        .prop_map(|(index, id, name, arguments)| call(index, id, name, arguments))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_reading_of_any_stream_names_another_tool(
        groups in prop::collection::vec(prop::collection::vec(any_piece(), 1..3), 1..6), step in 1usize..200, ends in any::<bool>(),
    ) {
        let mut text: String = groups.iter().map(|group| event(&json!(group), &Value::Null)).collect();
        if ends {
            text += "data: [DONE]\n\n";
        }
        let left = answered(&mut pipeline(), &text, step);
        for (name, _) in readings(&left).into_iter().flatten() {
            let allowed = ["get_weather", "get_time"].contains(&name.as_str()) || name.starts_with("search_");
            prop_assert!(allowed, "{name:?}\n{text}\n{left}");
        }
    }
}
