//! Lines of logs, one at a time: what a record is behind or wrapped in, and what is no record.
//!
//! A log may hold anything. No line is kept in memory that is longer than a record can be.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// A longer line is no record: 32 findings with long paths are some 20 KiB.
pub(super) const MAX_LINE: usize = 1 << 20;

/// Members of a capture that was opened.
const OPENED: [&str; 4] = ["body", "caller", "path", "record"];

/// Wrappings that are opened.
const MAX_DEPTH: usize = 4;

/// Calls `take` with what an object of ours may begin, whatever is before it on its line, until `take` says that it is
/// one. Access loggers and shippers wrap records: then it is a string in an object of theirs, and a line may hold several.
///
/// True when one was taken.
pub(super) fn open(line: &str, take: &mut dyn FnMut(&str) -> bool) -> bool {
    line.contains("bartizan.") && open_at(line, 0, take)
}

fn open_at(text: &str, depth: usize, take: &mut dyn FnMut(&str) -> bool) -> bool {
    // Ours begin so, and no string of ours can hold it; what stands before it may be a caller's.
    let start = text.rfind("{\"@timestamp\":").or_else(|| text.find("{\""));
    let Some(text) = start.and_then(|start| text.get(start..)) else { return false };
    if take(text) {
        return true;
    }
    match first::<Value>(text) {
        Some(value) if depth < MAX_DEPTH => wrapped(&value, depth, take),
        _ => false,
    }
}

fn wrapped(value: &Value, depth: usize, take: &mut dyn FnMut(&str) -> bool) -> bool {
    match value {
        Value::String(text) => text.contains("\"bartizan.") && open_at(text, depth + 1, take),
        Value::Array(items) => all(items.iter(), depth, take),
        Value::Object(members) => all(members.values(), depth, take),
        _ => false,
    }
}

/// Opens each.
fn all<'v>(values: impl Iterator<Item = &'v Value>, depth: usize, take: &mut dyn FnMut(&str) -> bool) -> bool {
    values.filter(|value| wrapped(value, depth, take)).count() > 0
}

/// The value that a text begins with. What is behind it is not looked at.
fn first<'t, T: serde::Deserialize<'t>>(text: &'t str) -> Option<T> {
    serde_json::Deserializer::from_str(text).into_iter::<T>().next()?.ok()
}

/// The objects of ours in a log: records, sealed captures, whatever is around them; and captures that were opened, one
/// a line, each of which holds a record.
pub(super) fn objects(text: &str) -> Vec<Value> {
    let mut objects = Vec::new();
    for line in text.lines() {
        let opened = line.starts_with('{').then(|| first::<Value>(line)).flatten();
        if let Some(capture) = opened.filter(|value| OPENED.iter().all(|key| value.get(key).is_some())) {
            objects.push(capture);
            continue;
        }
        open(line, &mut |text| {
            let value = first::<Value>(text).filter(|value| {
                let dataset = value.get("event.dataset").and_then(Value::as_str);
                dataset.is_some_and(|dataset| dataset.starts_with("bartizan."))
            });
            let is_ours = value.is_some();
            objects.extend(value);
            is_ours
        });
    }
    objects
}

/// Calls `each` with every line of a file, without its end, and with the bytes that it took. `None` is a line that is
/// too long or no UTF-8. `-` is stdin.
pub(super) fn lines(path: &Path, each: &mut dyn FnMut(Option<&str>, usize)) -> anyhow::Result<()> {
    let name = || path.display().to_string();
    let mut source: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(BufReader::new(std::io::stdin().lock()))
    } else {
        Box::new(BufReader::with_capacity(1 << 18, File::open(path).with_context(name)?))
    };
    let mut line: Vec<u8> = Vec::new();
    loop {
        line.clear();
        let mut taken = 0;
        let mut is_whole = true;
        loop {
            let held = source.fill_buf().with_context(name)?;
            let end = memchr::memchr(b'\n', held);
            let part = held.get(..end.unwrap_or(held.len())).unwrap_or_default();
            is_whole &= line.len() + part.len() <= MAX_LINE;
            if is_whole {
                line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            source.consume(used);
            taken += used;
            if end.is_some() || used == 0 {
                break;
            }
        }
        if taken == 0 {
            return Ok(());
        }
        let text = if is_whole { std::str::from_utf8(&line).ok() } else { None };
        each(text.map(|text| text.strip_suffix('\r').unwrap_or(text)), taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What access loggers, container runtimes and shippers make of a line.
    fn wrappings(record: &str) -> Vec<String> {
        let wrap = |key: &str, text: &str| serde_json::json!({ "stream": "stdout", key: text, "n": 1 }).to_string();
        vec![
            record.to_owned(),
            format!("{record}\r"),
            format!("[2026-11-28 10:00:00.000][12][info][wasm] [source/log.cc:1] wasm log: {record}"),
            format!("2026-11-28T10:00:00Z stdout F {record}"),
            format!("{{\"half\": {record}"),
            wrap("log", record),
            wrap("message", &format!("{record}\n")),
            wrap("log", &wrap("MESSAGE", record)),
            serde_json::json!([{ "a": { "b": [record] } }]).to_string(),
        ]
    }

    #[test]
    fn a_record_is_found_in_whatever_is_around_it() {
        let record =
            r#"{"@timestamp":"2026-11-28T10:00:00.000Z","event.dataset":"bartizan.audit","url.path":"/a\"{b"}"#;
        for line in wrappings(record) {
            let found = objects(&line);
            assert_eq!(found.len(), 1, "{line}");
            assert_eq!(found[0], serde_json::from_str::<Value>(record).unwrap(), "{line}");
        }
    }

    #[test]
    fn lines_of_others_are_none_of_ours() {
        let deep = (0..9).fold("\"bartizan.audit\"".to_owned(), |text, _| {
            serde_json::json!({ "log": format!("{{\"x\":{text}}}") }).to_string()
        });
        for line in ["", "{", "GET /bartizan.audit", r#"{"event.dataset":"nginx.access"}"#, deep.as_str()] {
            assert!(objects(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_capture_that_was_opened_is_more_than_its_record() {
        let line = r#"{"version":1,"path":"/","caller":{},"record":{"@timestamp":"t","event.dataset":"bartizan.audit"},"body":""}"#;
        assert!(objects(line)[0].get("body").is_some());
    }
}
