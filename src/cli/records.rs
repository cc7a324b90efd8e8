//! Lines of logs, one at a time: what a record is behind or wrapped in, and what is no record.
//!
//! A log may hold anything. No line is kept in memory that is longer than a record can be.

use std::collections::HashSet;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// A longer line is no record: 32 findings with long paths are some 20 KiB.
pub(super) const MAX_LINE: usize = 1 << 20;

/// Records whose names are remembered at least, to find them once more.
const REMEMBERED: usize = 2_000_000;

/// The names of records that were read, without what is long ago.
pub(super) struct Seen {
    random: std::hash::RandomState,
    now: HashSet<u64>,
    before: HashSet<u64>,
}

impl Seen {
    pub(super) fn new() -> Seen {
        Seen { random: std::hash::RandomState::new(), now: HashSet::new(), before: HashSet::new() }
    }

    /// Worker, sequence and time name a record. A provisional one has no worker yet: its request does. One without any
    /// name is new.
    pub(super) fn is_new_record(
        &mut self,
        place: Option<(&str, u64)>,
        request: Option<&str>,
        time: Option<&str>,
    ) -> bool {
        match (place, request) {
            (Some(place), _) => self.is_new((place, time)),
            (None, Some(request)) => self.is_new((request, time)),
            (None, None) => true,
        }
    }

    /// Any other name.
    pub(super) fn is_new(&mut self, name: impl std::hash::Hash) -> bool {
        let hash = self.random.hash_one(name);
        if self.before.contains(&hash) || !self.now.insert(hash) {
            return false;
        }
        if self.now.len() >= REMEMBERED {
            self.before = std::mem::take(&mut self.now);
        }
        true
    }
}

/// Members of a capture that was opened.
const OPENED: [&str; 4] = ["body", "caller", "path", "record"];

/// Wrappings that are opened.
const MAX_DEPTH: usize = 4;

/// What one is asked of what an object of ours may begin: how many bytes it is, where it is one.
pub(super) type Take<'t> = &'t mut dyn FnMut(&str) -> Option<usize>;

/// Objects of a line that are tried: each may be as long as the line.
const MAX_TRIES: usize = 256;

/// Calls `take` with every place of a line at which an object of ours may begin. Access loggers and shippers wrap records:
/// then it is a string in an object of theirs, and a line may hold several.
///
/// What is left of the line when all that was taken is gone; `None`: nothing was.
pub(super) fn each(line: &str, take: Take<'_>) -> Option<String> {
    if !line.contains("bartizan.") && !line.contains("\"MESSAGE\":[") {
        return None;
    }
    let mut tries = MAX_TRIES;
    let mut left = String::new();
    each_at(line, 0, &mut tries, take, &mut left).then_some(left)
}

/// The same for a reader who sums up: of a line with a prefix, which may hold a caller's text, only the last object counts.
pub(super) fn open(line: &str, take: Take<'_>) -> bool {
    let own = line.rfind("{\"@timestamp\":").filter(|_| !line.trim_start().starts_with(['{', '[']));
    let last = own.and_then(|start| line.get(start..)).filter(|text| text.contains("bartizan."));
    last.is_some_and(|text| take(text).is_some()) || each(line, take).is_some()
}

fn each_at(text: &str, depth: usize, tries: &mut usize, take: Take<'_>, left: &mut String) -> bool {
    let (mut rest, mut is_taken) = (text, false);
    while let Some((before, object)) = rest.find("{\"").and_then(|start| rest.split_at_checked(start)) {
        left.push_str(before);
        if *tries == 0 {
            rest = object;
            break;
        }
        *tries -= 1;
        let mut length = take(object);
        if length.is_some() {
            is_taken = true;
        } else {
            // A wrapping: the text of the record is one of its strings.
            let mut values = serde_json::Deserializer::from_str(object).into_iter::<Value>();
            if let Some(Ok(value)) = values.next()
                && depth < MAX_DEPTH
                && wrapped(&value, depth, tries, take)
            {
                is_taken = true;
                length = Some(values.byte_offset());
            }
        }
        let length = length.unwrap_or(1);
        if length == 1 {
            left.push('{');
        }
        rest = object.get(length..).unwrap_or_default();
    }
    left.push_str(rest);
    is_taken
}

fn wrapped(value: &Value, depth: usize, tries: &mut usize, take: Take<'_>) -> bool {
    let mut open = |text: &str, tries: &mut usize| {
        text.contains("\"bartizan.") && each_at(text, depth + 1, tries, &mut *take, &mut String::new())
    };
    match value {
        Value::String(text) => open(text, tries),
        // journald writes what is no plain text as its bytes.
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
            let bytes: Option<Vec<u8>> = items.iter().map(|item| u8::try_from(item.as_u64()?).ok()).collect();
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).is_some_and(|text| open(&text, tries))
        }
        Value::Array(items) => items.iter().filter(|item| wrapped(item, depth, tries, &mut *take)).count() > 0,
        Value::Object(members) => members.values().filter(|item| wrapped(item, depth, tries, &mut *take)).count() > 0,
        _ => false,
    }
}

/// A log as text. Bytes that are no UTF-8 are U+FFFD: no record has one.
pub(super) fn read_log(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let name = || path.display().to_string();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).with_context(name)?;
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|fault| String::from_utf8_lossy(fault.as_bytes()).into_owned()))
}

/// The value that a text begins with, and how long it is. What is behind it is not looked at.
pub(super) fn first<'t, T: serde::Deserialize<'t>>(text: &'t str) -> Option<(T, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<T>();
    let value = values.next()?.ok()?;
    Some((value, values.byte_offset()))
}

/// The objects of ours in a log: records, sealed captures, whatever is around them; and captures that were opened, one
/// a line, each of which holds a record.
pub(super) fn objects(text: &str) -> Vec<Value> {
    let mut objects = Vec::new();
    for line in text.lines() {
        let opened = line.starts_with('{').then(|| first::<Value>(line)).flatten();
        if let Some((capture, _)) = opened.filter(|(value, _)| OPENED.iter().all(|key| value.get(key).is_some())) {
            objects.push(capture);
            continue;
        }
        open(line, &mut |text| {
            let (value, length) = first::<Value>(text)?;
            let dataset = value.get("event.dataset").and_then(Value::as_str)?;
            if !dataset.starts_with("bartizan.") {
                return None;
            }
            objects.push(value);
            Some(length)
        });
    }
    objects
}

/// Calls `each` with every line of a file, without its end, and with the bytes that it took. `None` is a line that is too
/// long. `-` is stdin.
pub(super) fn lines(path: &Path, each: &mut dyn FnMut(Option<&[u8]>, usize)) -> anyhow::Result<()> {
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
        each(is_whole.then(|| line.strip_suffix(b"\r").unwrap_or(&line)), taken);
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
            format!("{{\"@timestamp\":\"t\",\"log\":{},\"of\":{{\"@timestamp\":\"t\"}}}}", serde_json::json!(record)),
            serde_json::json!({ "MESSAGE": record.as_bytes() }).to_string(),
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
    fn a_line_may_hold_several() {
        let record = |number: u32| {
            format!(r#"{{"@timestamp":"t","event.dataset":"bartizan.audit","bartizan.sequence":{number}}}"#)
        };
        let wrap = |number| format!("{{\"@timestamp\":\"t\",\"log\":{}}}", serde_json::json!(record(number)));
        for line in [
            format!("{}{}", record(1), record(2)),
            format!("[{},{}]", record(1), record(2)),
            format!("[{},{}]", wrap(1), wrap(2)),
            format!("{}{}{}", &record(9)[..60], record(1), record(2)),
        ] {
            let found: Vec<_> = objects(&line).iter().map(|one| one["bartizan.sequence"].as_u64().unwrap()).collect();
            assert_eq!(found, [1, 2], "{line}");
        }
        // A caller's text before it is not counted, and is seen by who wants all.
        let line = format!("curl {} {}", record(1), record(2));
        assert_eq!(objects(&line).len(), 1);
        let mut seen = 0;
        let left = each(&line, &mut |text| {
            seen += 1;
            first::<Value>(text).map(|(_, length)| length)
        });
        assert_eq!((seen, left.as_deref()), (2, Some("curl  ")));
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
