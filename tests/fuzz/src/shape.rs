//! JSON that is changed by its structure, and written in a form that any reader takes for the same.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::{Draw, Unstructured};

/// A place of a value: the keys and positions on the way.
pub type Place = Vec<Value>;

/// Keys and words that formats know, beside those of the golden files.
const WORDS: &[&str] = &[
    "content", "text", "type", "role", "user", "assistant", "system", "tool", "developer", "input", "input_text",
    "output_text", "message", "messages", "name", "arguments", "parameters", "function", "tool_calls", "image_url",
    "url", "data", "id", "model", "stream", "reasoning_content", "thinking", "refusal", "annotations", "_meta",
    "metadata", "tool_result", "tool_use", "document", "source", "base64", "media_type", "citations", "prompt",
    "suffix", "inputs", "images", "format", "json_schema", "schema", "description", "enum", "default", "data:", "",
    "data:image/png;base64,iVBORw0KGgo=", "data:text/plain,hello", "AAAA", "call_1", "x_new", "Content", "TEXT",
    "tex\u{200b}t", "ｔext", "delta", "choices", "params", "result", "method", "tools", "namespace", "hologram",
];

/// Every place, the whole value first.
pub fn places(value: &Value) -> Vec<Place> {
    fn walk(value: &Value, at: &mut Place, out: &mut Vec<Place>) {
        out.push(at.clone());
        match value {
            Value::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    at.push(position.into());
                    walk(item, at, out);
                    at.pop();
                }
            }
            Value::Object(entries) => {
                for (key, item) in entries {
                    at.push(key.as_str().into());
                    walk(item, at, out);
                    at.pop();
                }
            }
            _ => {}
        }
    }
    let mut out = Vec::new();
    walk(value, &mut Vec::new(), &mut out);
    out
}

/// What is at a place.
pub fn at<'v>(value: &'v mut Value, place: &[Value]) -> &'v mut Value {
    place.iter().fold(value, |value, step| match step {
        Value::String(key) => &mut value[key.as_str()],
        step => &mut value[step.as_u64().unwrap_or(0) as usize],
    })
}

/// Takes out what is at a place.
pub fn remove(value: &mut Value, place: &[Value]) {
    let Some((last, way)) = place.split_last() else { return };
    match (at(value, way), last) {
        (Value::Object(entries), Value::String(key)) => drop(entries.remove(key.as_str())),
        (Value::Array(items), step) => drop(items.remove(step.as_u64().unwrap_or(0) as usize)),
        _ => {}
    }
}

/// Every string and key.
pub fn strings(value: &Value) -> Vec<&str> {
    fn walk<'v>(value: &'v Value, out: &mut Vec<&'v str>) {
        match value {
            Value::String(text) => out.push(text),
            Value::Array(items) => items.iter().for_each(|item| walk(item, out)),
            Value::Object(entries) => entries.iter().for_each(|(key, item)| {
                out.push(key);
                walk(item, out);
            }),
            _ => {}
        }
    }
    let mut out = Vec::new();
    walk(value, &mut out);
    out
}

/// A few values that bodies are changed with.
pub struct Pool {
    words: Vec<String>,
    parts: Vec<Value>,
}

impl Pool {
    /// The parts of these bodies.
    pub fn new<'v>(bodies: impl IntoIterator<Item = &'v Value>) -> Pool {
        let mut pool = Pool { words: WORDS.iter().map(|word| (*word).to_owned()).collect(), parts: Vec::new() };
        for body in bodies {
            for place in places(body) {
                let part = at(&mut body.clone(), &place).clone();
                if let Some(Value::String(key)) = place.last() {
                    pool.words.push(key.clone());
                }
                if !matches!(part, Value::Null | Value::Bool(_)) && part.to_string().len() < 400 {
                    pool.parts.push(part);
                }
            }
        }
        pool.words.sort();
        pool.words.dedup();
        pool.parts.sort_by_cached_key(Value::to_string);
        pool.parts.dedup();
        pool
    }

    fn word(&self, u: &mut Unstructured<'_>) -> Draw<String> {
        Ok(u.choose(&self.words)?.clone())
    }

    /// A value: a part of a golden body, or something plain.
    fn value(&self, u: &mut Unstructured<'_>) -> Draw<Value> {
        Ok(match u.int_in_range(0..=9u8)? {
            0 => Value::Null,
            1 => u.arbitrary::<bool>()?.into(),
            2 => u.arbitrary::<i16>()?.into(),
            3 => json!([]),
            4 => json!({}),
            5 => self.word(u)?.into(),
            6 => u.arbitrary::<&str>()?.chars().take(24).collect::<String>().into(),
            _ => u.choose(&self.parts)?.clone(),
        })
    }

    /// Changes a body at some places.
    pub fn change(&self, body: &mut Value, u: &mut Unstructured<'_>) -> Draw<()> {
        for _ in 0..u.int_in_range(0..=6u8)? {
            let all = places(body);
            let place = u.choose(&all)?.clone();
            if body.to_string().len() > 16_384 {
                return Ok(());
            }
            let kind = u.int_in_range(0..=10u8)?;
            match kind {
                0 => remove(body, &place),
                1 => {
                    let copy = at(body, &place).clone();
                    if let Some((_, way)) = place.split_last()
                        && let Value::Array(items) = at(body, way)
                    {
                        items.push(copy);
                    }
                }
                2 => *at(body, &place) = self.value(u)?,
                3 => {
                    let from = u.choose(&all)?.clone();
                    let copy = at(body, &from).clone();
                    *at(body, &place) = copy;
                }
                4 => {
                    let inner = at(body, &place).take();
                    let key = self.word(u)?;
                    *at(body, &place) = json!({ key: inner });
                }
                5 => {
                    let inner = at(body, &place).take();
                    *at(body, &place) = json!([inner]);
                }
                6 => {
                    let inner = at(body, &place).take();
                    let kind = *u.choose(&["text", "input_text", "output_text", "thinking", "refusal", "json"])?;
                    *at(body, &place) = json!([{ "type": kind, "text": inner }]);
                }
                7 => {
                    // Another name for a key.
                    let to = self.word(u)?;
                    if let Some((Value::String(key), way)) = place.split_last()
                        && let Value::Object(entries) = at(body, way)
                        && let Some(inner) = entries.remove(key.as_str())
                    {
                        entries.insert(to, inner);
                    }
                }
                8 => {
                    for _ in 0..u.int_in_range(1..=40u8)? {
                        let inner = at(body, &place).take();
                        *at(body, &place) = json!([inner]);
                    }
                }
                _ => {
                    let (key, value) = (self.word(u)?, self.value(u)?);
                    match at(body, &place) {
                        Value::Object(entries) => drop(entries.insert(key, value)),
                        Value::Array(items) => items.push(value),
                        other => *other = value,
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a text into some place of a body, and tells the place; `None`: it is an object, and the text its key.
    pub fn plant(&self, body: &mut Value, text: &str, u: &mut Unstructured<'_>) -> Draw<()> {
        let all = places(body);
        let place = u.choose(&all)?.clone();
        let form = u.int_in_range(0..=5u8)?;
        let key = self.word(u)?;
        plant(body, &place, form, &key, text);
        Ok(())
    }
}

fn plant(body: &mut Value, place: &Place, form: u8, key: &str, text: &str) {
    let there = at(body, place);
    match (there, form) {
        (Value::Object(entries), 0) => drop(entries.insert(text.to_owned(), Value::Null)),
        (Value::Object(entries), _) => drop(entries.insert(key.to_owned(), text.into())),
        (Value::Array(items), _) => items.push(text.into()),
        (there, 1) => *there = format!("data:{text}").into(),
        (there, 2) => *there = json!({ key: text }),
        (there, 3) => *there = json!([text]),
        (Value::String(old), 4) => *old = format!("{old} {text} {key}"),
        (there, _) => *there = text.into(),
    }
}

/// How JSON is written: any reader takes it for the same value.
#[derive(Clone, Copy, Debug)]
pub struct Hand {
    /// Which characters are escaped: a pseudo-random choice by this number.
    pub escapes: u32,
    /// White space between tokens.
    pub spaces: bool,
}

impl Hand {
    /// A hand of the fuzzer's choice.
    pub fn draw(u: &mut Unstructured<'_>) -> Draw<Hand> {
        Ok(Hand { escapes: if u.ratio(1u8, 2u8)? { 0 } else { u.arbitrary()? }, spaces: u.arbitrary()? })
    }

    /// Writes a value.
    pub fn write(mut self, value: &Value) -> String {
        let mut out = String::new();
        self.value(value, &mut out);
        out
    }

    fn space(&mut self, out: &mut String) {
        if self.spaces {
            out.push_str([" ", "\n", "\t", ""][self.dice(4)]);
        }
    }

    fn dice(&mut self, limit: usize) -> usize {
        self.escapes = self.escapes.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.escapes >> 16) as usize % limit
    }

    fn string(&mut self, text: &str, out: &mut String) {
        if self.escapes == 0 {
            return out.push_str(&Value::from(text).to_string());
        }
        out.push('"');
        for c in text.chars() {
            if self.dice(4) == 0 || c < ' ' || c == '"' || c == '\\' {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = if self.dice(2) == 0 { write!(out, "\\u{unit:04x}") } else { write!(out, "\\u{unit:04X}") };
                }
            } else {
                out.push(c);
            }
        }
        out.push('"');
    }

    fn value(&mut self, value: &Value, out: &mut String) {
        self.space(out);
        match value {
            Value::String(text) => self.string(text, out),
            Value::Array(items) => {
                out.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    self.value(item, out);
                }
                self.space(out);
                out.push(']');
            }
            Value::Object(entries) => {
                out.push('{');
                for (position, (key, item)) in entries.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    self.space(out);
                    self.string(key, out);
                    self.space(out);
                    out.push(':');
                    self.value(item, out);
                }
                self.space(out);
                out.push('}');
            }
            other => out.push_str(&other.to_string()),
        }
    }
}

/// The values of a text: one, or one a line, or one an event.
pub fn documents(text: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
    std::iter::once(text).chain(lines).filter_map(|piece| serde_json::from_str(piece).ok()).collect()
}

/// What says a text again token by token goes when it is masked, and a request said again is the client's own.
const ECHOES: &[&str] = &["logprobs", "logits", "tokens", "prefill", "details", "instructions"];

/// True when a body is the other one but for strings that held `text`, what says them again, and `added` entries.
pub fn is_edit_of(new: &Value, old: &Value, text: &str, added: &[&str]) -> bool {
    match (new, old) {
        (Value::String(new), Value::String(old)) => new == old || old.contains(text) && !new.contains(text),
        (Value::Array(new), Value::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| is_edit_of(new, old, text, added))
        }
        (Value::Object(new), Value::Object(old)) => same_entries(new, old, text, added),
        (new, old) => new == old,
    }
}

fn same_entries(new: &Map<String, Value>, old: &Map<String, Value>, text: &str, added: &[&str]) -> bool {
    let kept = |(key, old): (&String, &Value)| match new.get(key) {
        Some(Value::Null) if ECHOES.contains(&key.as_str()) => true,
        // Of several caps the lowest holds for all.
        Some(Value::Number(_)) if old.is_number() && (key.contains("max_") || key.contains("predict")) => true,
        Some(new) => is_edit_of(new, old, text, added),
        // A key that held the text has another name.
        None => key.contains(text),
    };
    let extra = new.keys().filter(|key| !old.contains_key(*key) && !added.contains(&key.as_str())).count();
    old.iter().all(kept) && extra <= old.keys().filter(|key| key.contains(text)).count()
}
