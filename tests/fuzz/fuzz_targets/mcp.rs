//! The Model Context Protocol both ways: messages and replies, changed by their structure.
//!
//! Nothing may panic. A tool that no role may use is neither called nor shown, however a message is nested; a
//! credential in a reply never reaches the client unless the record says that something was not scanned.

#![no_main]

use std::sync::LazyLock;

use bartizan_fuzz::proxy::{Proxy, Upstream, open, unscanned};
use bartizan_fuzz::shape::{Hand, Pool, documents, strings};
use bartizan_fuzz::wire::{self, Event};
use bartizan_fuzz::{Draw, SECRET, Unstructured, golden};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// A tool that no role may use.
const FORBIDDEN: &str = "delete_everything";

struct Setup {
    proxy: Proxy,
    requests: Vec<Value>,
    replies: Vec<Value>,
    pool: Pool,
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let proxy = open(|document| {
        let first = "abcefghijklnoqstuvwxyz_";
        let mut globs: Vec<String> = first.chars().map(|letter| format!("{letter}*")).collect();
        globs.push("delete_c*".to_owned());
        document["roles"]["anonymous"]["tools"] = json!({ "allow": globs });
    });
    let values = |kind: &str| -> Vec<Value> {
        let files = golden::golden(kind);
        let own = files.iter().filter(|one| one.path == "/mcp");
        own.map(|one| serde_json::from_str(&one.text).expect("JSON")).collect()
    };
    let mut requests = values(".request.json");
    requests.push(json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": FORBIDDEN, "arguments": {} } }));
    requests.push(json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" }));
    requests.push(json!({ "jsonrpc": "2.0", "id": 7, "method": "initialize", "params": { "protocolVersion": "2025-06-18",
        "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } } }));
    requests.push(json!({ "jsonrpc": "2.0", "id": 7, "method": "completion/complete", "params": {
        "ref": { "type": "ref/prompt", "name": "p" }, "argument": { "name": "a", "value": "b" } } }));
    requests.push(json!({ "jsonrpc": "2.0", "id": 7, "method": "resources/read", "params": { "uri": "file:///a" } }));
    let mut replies = values(".reply.json");
    let tools = json!([{ "name": "search_castles", "description": "Finds." }, { "name": FORBIDDEN, "description": "x" }]);
    replies.push(json!({ "jsonrpc": "2.0", "id": 7, "result": { "tools": tools } }));
    replies.push(json!({ "jsonrpc": "2.0", "id": 7, "result": { "tools": tools, "nextCursor": "2" } }));
    replies.push(json!({ "jsonrpc": "2.0", "id": 7, "error": { "code": -32000, "message": "no", "data": { "x": "y" } } }));
    replies.push(json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "x" } }));
    let pool = Pool::new(requests.iter().chain(&replies));
    Setup { proxy, requests, replies, pool }
});

/// A message by which a lenient server would call the forbidden tool.
fn calls(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(calls),
        Value::Object(_) => value["method"] == "tools/call" && value["params"]["name"] == FORBIDDEN,
        _ => false,
    }
}

/// A list by which a lenient client would know the forbidden tool.
fn shows(value: &Value) -> bool {
    let listed = |tools: &Value| match tools {
        Value::Array(items) => items.iter().any(|tool| tool["name"] == FORBIDDEN),
        tools => tools["name"] == FORBIDDEN || tools.get(FORBIDDEN).is_some(),
    };
    match value {
        Value::Array(items) => items.iter().any(shows),
        Value::Object(entries) => entries.iter().any(|(key, inner)| {
            key.eq_ignore_ascii_case("result") && inner.as_object().is_some_and(|result| {
                result.iter().any(|(key, tools)| key.eq_ignore_ascii_case("tools") && listed(tools))
            })
        }),
        _ => false,
    }
}

fn batch(value: Value, setup: &Setup, more: &[Value], u: &mut Unstructured<'_>) -> Draw<Value> {
    Ok(match u.int_in_range(0..=5u8)? {
        0 => json!([value]),
        1 => {
            let mut other = u.choose(more)?.clone();
            setup.pool.change(&mut other, u)?;
            json!([other, value])
        }
        2 => json!([[value]]),
        _ => value,
    })
}

fn request(setup: &Setup, u: &mut Unstructured<'_>) -> Draw<()> {
    let mut body = u.choose(&setup.requests)?.clone();
    setup.pool.change(&mut body, u)?;
    if u.ratio(1u8, 3u8)? {
        setup.pool.plant(&mut body, FORBIDDEN, u)?;
    }
    let body = batch(body, setup, &setup.requests, u)?;
    let text = Hand::draw(u)?.write(&body);
    let run = setup.proxy.ask("/mcp", text.as_bytes());
    if run.refused.is_none() {
        let sent: Value = serde_json::from_slice(&run.sent).expect("what is sent on is JSON");
        assert!(!calls(&sent), "passed: {text}");
    }
    Ok(())
}

fn reply(setup: &Setup, u: &mut Unstructured<'_>) -> Draw<()> {
    let mut bodies = Vec::new();
    for _ in 0..u.int_in_range(1..=3u8)? {
        let mut body = u.choose(&setup.replies)?.clone();
        setup.pool.change(&mut body, u)?;
        if u.arbitrary()? {
            setup.pool.plant(&mut body, SECRET, u)?;
        }
        bodies.push(batch(body, setup, &setup.replies, u)?);
    }
    let is_sse: bool = u.arbitrary()?;
    let body = if is_sse {
        let name = if u.arbitrary()? { Some("message".to_owned()) } else { None };
        let events: Vec<Event> = bodies.into_iter().map(|data| Event { name: name.clone(), data: Ok(data) }).collect();
        wire::write(&events, true, u)?
    } else {
        Hand::draw(u)?.write(&bodies[0]).into_bytes()
    };
    let asks = [
        json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "search_castles", "arguments": {} } }),
    ];
    let ask = u.choose(&asks)?.to_string();
    let content_type = if is_sse { "text/event-stream" } else { "application/json" };
    let cuts = wire::cuts(body.len(), u)?;
    let pieces = wire::pieces(&body, &cuts);
    let run = setup.proxy.exchange("/mcp", ask.as_bytes(), Some(Upstream { content_type, pieces: &pieces }));
    let shown = String::from_utf8_lossy(&body);
    let values: Vec<Value> = if is_sse {
        wire::read(&run.client, true).iter().filter_map(|data| serde_json::from_str(data).ok()).collect()
    } else {
        documents(&String::from_utf8_lossy(&run.client))
    };
    for value in &values {
        assert!(!shows(value), "{ask}: {shown}\nshows {value}");
        let there = strings(value).iter().any(|text| text.contains(SECRET));
        assert!(!there || !unscanned(&run.record).is_empty(), "{ask}: {shown}\nreached the client as {value}");
    }
    Ok(())
}

fn run(u: &mut Unstructured<'_>) -> Draw<()> {
    if u.arbitrary()? { request(&SETUP, u) } else { reply(&SETUP, u) }
}

fuzz_target!(|data: &[u8]| {
    let _ = run(&mut Unstructured::new(data));
});
