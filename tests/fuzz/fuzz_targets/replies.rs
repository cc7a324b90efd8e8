//! Golden replies and streams, changed by their structure, with a credential in them, whole or in pieces.
//!
//! Nothing may panic. The client never gets the credential unless the record says that something was not scanned.
//! However a stream is cut, the client gets the same bytes and the record says the same.

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bartizan_fuzz::proxy::{Proxy, Run, Upstream, open, unscanned};
use bartizan_fuzz::shape::{Hand, Place, Pool, at, documents, is_edit_of, places, strings};
use bartizan_fuzz::wire::{self, Event};
use bartizan_fuzz::{Draw, SECRET, Unstructured, golden};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

struct Setup {
    proxy: Proxy,
    whole: Vec<(&'static str, Value)>,
    streams: Vec<(&'static str, Vec<Event>, bool)>,
    pool: Pool,
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let proxy = open(|_| {});
    let files = golden::golden(".reply.json");
    let whole: Vec<_> =
        files.iter().map(|one| (one.path, serde_json::from_str::<Value>(&one.text).expect("JSON"))).collect();
    let streams: Vec<_> = golden::golden(".stream").iter().map(|one| {
        let (events, is_sse) = wire::events(&one.text);
        (one.path, events, is_sse)
    }).collect();
    let values = streams.iter().flat_map(|(_, events, _)| events).filter_map(|event| event.data.as_ref().ok());
    let pool = Pool::new(whole.iter().map(|(_, body)| body).chain(values));
    Setup { proxy, whole, streams, pool }
});

/// What a client joins, event by event.
const JOINED: &[&str] = &[
    "content", "text", "reasoning_content", "arguments", "partial_json", "thinking", "delta", "refusal", "response",
];

fn is_refused(run: &Run) -> bool {
    run.refused.is_some() || run.record["bartizan.verdict"] == "block"
}

fn whole(setup: &Setup, u: &mut Unstructured<'_>) -> Draw<()> {
    let (path, mut body) = u.choose(&setup.whole)?.clone();
    setup.pool.change(&mut body, u)?;
    setup.pool.plant(&mut body, SECRET, u)?;
    let text = Hand::draw(u)?.write(&body);
    let request = golden::request_for(path, false).to_string();
    let upstream = Upstream { content_type: "application/json", pieces: &[text.as_bytes()] };
    let run = setup.proxy.exchange(path, request.as_bytes(), Some(upstream));
    let client = String::from_utf8(run.client.clone()).expect("JSON is UTF-8");
    let there = documents(&client).iter().any(|value| strings(value).iter().any(|text| text.contains(SECRET)));
    assert!(!there || !unscanned(&run.record).is_empty(), "{path}: {text}\nreached the client as {client}");
    let got: Value = serde_json::from_str(&client).expect("the client gets JSON");
    if !is_refused(&run) {
        assert!(is_edit_of(&got, &body, SECRET, &[]), "{path}: {body}\nbecame {got}");
    }
    Ok(())
}

/// Puts a credential in pieces into a text that clients join: the event once a piece.
fn split(events: &mut Vec<Event>, u: &mut Unstructured<'_>) -> Draw<()> {
    let joined = |place: &Place| place.last().and_then(Value::as_str).is_some_and(|key| JOINED.contains(&key));
    let mut found = Vec::new();
    for (number, event) in events.iter().enumerate() {
        let Ok(value) = &event.data else { continue };
        // Other events say a text whole.
        if value["type"].as_str().is_some_and(|kind| !kind.contains("delta")) {
            continue;
        }
        let texts = places(value).into_iter().filter(|place| at(&mut value.clone(), place).is_string());
        found.extend(texts.filter(joined).map(|place| (number, place)));
    }
    if found.is_empty() {
        return Ok(());
    }
    let (number, place) = u.choose(&found)?.clone();
    let Some(Ok(value)) = events.get(number).map(|event| event.data.clone()) else { return Ok(()) };
    let name = events[number].name.clone();
    // Arguments are JSON of their own: a text in it stays a text.
    let text = format!(" {SECRET} ");
    let cuts = wire::cuts(text.len(), u)?;
    let pieces = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]);
    let made: Vec<Event> = pieces
        .map(|piece| {
            let mut value = value.clone();
            *at(&mut value, &place) = piece.into();
            Event { name: name.clone(), data: Ok(value) }
        })
        .collect();
    events.splice(number..=number, made);
    Ok(())
}

fn stream(setup: &Setup, u: &mut Unstructured<'_>) -> Draw<()> {
    let (path, mut events, is_sse) = u.choose(&setup.streams)?.clone();
    // Nobody joins two messages of MCP.
    let is_split = u.arbitrary::<bool>()? && path != "/mcp";
    if is_split {
        split(&mut events, u)?;
    } else {
        for _ in 0..u.int_in_range(0..=3u8)? {
            let number = u.choose_index(events.len())?;
            if let Ok(value) = &mut events[number].data {
                setup.pool.change(value, u)?;
            }
        }
        let number = u.choose_index(events.len())?;
        if let Ok(value) = &mut events[number].data {
            setup.pool.plant(value, &format!(" {SECRET} "), u)?;
        }
        if u.ratio(1u8, 8u8)? {
            let (from, to) = (u.choose_index(events.len())?, u.choose_index(events.len())?);
            events.swap(from, to);
        }
        if u.ratio(1u8, 8u8)? {
            events.truncate(u.choose_index(events.len())?);
        }
    }
    let mut body = wire::write(&events, is_sse, u)?;
    if u.ratio(1u8, 8u8)? && !body.is_empty() {
        // Not a stream of events any more, as it may be.
        let place = u.choose_index(body.len())?;
        body[place] = u.arbitrary()?;
    }
    let content_type = if is_sse { "text/event-stream" } else { "application/x-ndjson" };
    let request = golden::request_for(path, true).to_string();
    let run = |cuts: &[usize]| {
        let pieces = wire::pieces(&body, cuts);
        setup.proxy.exchange(path, request.as_bytes(), Some(Upstream { content_type, pieces: &pieces }))
    };
    let one = run(&[0, body.len()]);
    let many = run(&wire::cuts(body.len(), u)?);
    let shown = String::from_utf8_lossy(&body);
    let (a, b) = (String::from_utf8_lossy(&one.client), String::from_utf8_lossy(&many.client));
    assert_eq!(a, b, "{path}, cut otherwise: {shown}");
    for field in ["bartizan.verdict", "bartizan.reason", "bartizan.unscanned", "bartizan.coverage"] {
        assert_eq!(one.record[field], many.record[field], "{path}: {field}, cut otherwise: {shown}");
    }
    let values: Vec<Value> =
        wire::read(&one.client, is_sse).iter().filter_map(|data| serde_json::from_str(data).ok()).collect();
    let mut found = values.iter().any(|value| strings(value).iter().any(|text| text.contains(SECRET)));
    if is_split {
        let mut joined: BTreeMap<String, String> = BTreeMap::new();
        for value in &values {
            for place in places(value) {
                if let Value::String(text) = at(&mut value.clone(), &place) {
                    *joined.entry(Value::from(place).to_string()).or_default() += text;
                }
            }
        }
        found |= joined.values().any(|text| text.contains(SECRET));
    }
    assert!(!found || !unscanned(&one.record).is_empty(), "{path}: {shown}\nreached the client as {a}\n{}", one.record);
    Ok(())
}

fn run(u: &mut Unstructured<'_>) -> Draw<()> {
    if u.ratio(1u8, 3u8)? { whole(&SETUP, u) } else { stream(&SETUP, u) }
}

fuzz_target!(|data: &[u8]| {
    let _ = run(&mut Unstructured::new(data));
});
