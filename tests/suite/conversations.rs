//! Long conversations of everyday work pass whole in the shipped policy; with masking on, exactly what their files mark is
//! masked.
//!
//! A conversation is a file of `tests/data/conversations`. As clients do, the whole of it is sent again with each turn of the
//! user and each result of a tool. Where a file says `{{email:jane@example.org}}`, the address is sent, and must be masked
//! when masking is on. `not-mended.txt` lists turns that are still refused or changed; a turn that passes must leave it.

use crate::common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use common::pipeline::Pipeline;
use serde::Deserialize;
use serde_json::{Value, json};

const ENVOY: &str = include_str!("../../envoy/envoy.yaml");
const CHART: &str = include_str!("../../charts/bartizan/values.yaml");

/// The labels that a file may use, and the words of their placeholders.
const LABELS: [(&str, &str); 9] = [
    ("email", "EMAIL"),
    ("phone", "PHONE"),
    ("card", "CARD"),
    ("iban", "IBAN"),
    ("ssn", "SSN"),
    ("id", "NATIONAL_ID"),
    ("ip", "IP"),
    ("mac", "MAC"),
    ("birth", "BIRTH_DATE"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Conversation {
    form: Form,
    system: String,
    /// The tools that the client declares: names and descriptions.
    #[serde(default)]
    tools: BTreeMap<String, String>,
    turns: Vec<Turn>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Form {
    Chat,
    Messages,
    Responses,
}

/// One message: of the user, of the assistant (with a call of a tool), or a tool's result.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    user: Option<String>,
    assistant: Option<String>,
    call: Option<Call>,
    result: Option<String>,
    /// What the client adds by itself to a turn of the user or to a result.
    reminder: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    tool: String,
    with: Value,
}

/// A turn that is refused or changed though it should not be: the file's name, the number of the turn from 1 (0: before
/// the first turn), and whether masking was on.
type Failure = (String, usize, &'static str);

impl Conversation {
    /// The request that ends with turn `last` (from 0); `text` makes the words that are sent from those of the file.
    fn body(&self, last: usize, text: &dyn Fn(&str) -> String) -> Value {
        let turns: Vec<Value> = (0..=last).flat_map(|at| self.messages(at, text)).collect();
        let tools = self.tools.iter().map(|(name, description)| {
            let (description, schema) = (text(description), json!({ "type": "object" }));
            match self.form {
                Form::Chat => json!({ "type": "function",
                    "function": { "name": name, "description": description, "parameters": schema } }),
                Form::Messages => json!({ "name": name, "description": description, "input_schema": schema }),
                Form::Responses => {
                    json!({ "type": "function", "name": name, "description": description, "parameters": schema })
                }
            }
        });
        let mut body = json!({ "model": "smollm2" });
        // A request without a limit gets the role's.
        body[if self.form == Form::Responses { "max_output_tokens" } else { "max_tokens" }] = 512.into();
        match self.form {
            Form::Chat => {
                let system = json!({ "role": "system", "content": text(&self.system) });
                body["messages"] = [vec![system], turns].concat().into();
            }
            Form::Messages => {
                body["system"] = text(&self.system).into();
                body["messages"] = turns.into();
            }
            Form::Responses => {
                body["store"] = false.into();
                body["instructions"] = text(&self.system).into();
                body["input"] = turns.into();
            }
        }
        if !self.tools.is_empty() {
            body["tools"] = tools.collect();
        }
        body
    }

    /// The messages of the turn `at`; with [`Form::Responses`] a turn can be several items.
    fn messages(&self, at: usize, text: &dyn Fn(&str) -> String) -> Vec<Value> {
        let turn = &self.turns[at];
        let said = |words: &Option<String>| words.as_deref().map(text);
        let id = |at: usize| format!("call_{at:04}");
        let arguments = |call: &Call| every_string(&call.with, text);
        let reminder = said(&turn.reminder);
        match self.form {
            Form::Chat if turn.user.is_some() => {
                let words = said(&turn.user).unwrap() + &reminder.unwrap_or_default();
                vec![json!({ "role": "user", "content": words })]
            }
            Form::Chat if turn.result.is_some() => {
                vec![json!({ "role": "tool", "tool_call_id": id(at - 1), "content": said(&turn.result) })]
            }
            Form::Chat => {
                let mut message = json!({ "role": "assistant", "content": said(&turn.assistant) });
                if let Some(call) = &turn.call {
                    message["tool_calls"] = json!([{ "id": id(at), "type": "function",
                        "function": { "name": call.tool, "arguments": arguments(call).to_string() } }]);
                }
                vec![message]
            }
            Form::Messages => {
                let part = |words: String| json!({ "type": "text", "text": words });
                let mut content: Vec<Value> =
                    said(&turn.user).or(said(&turn.assistant)).map(part).into_iter().collect();
                if let Some(call) = &turn.call {
                    let input = arguments(call);
                    content.push(json!({ "type": "tool_use", "id": id(at), "name": call.tool, "input": input }));
                }
                if let Some(words) = said(&turn.result) {
                    content.push(json!({ "type": "tool_result", "tool_use_id": id(at - 1), "content": words }));
                }
                content.extend(reminder.map(part));
                let role = if turn.user.is_some() || turn.result.is_some() { "user" } else { "assistant" };
                vec![json!({ "role": role, "content": content })]
            }
            Form::Responses => {
                let message = |role: &str, kind: &str, words: String| json!({ "type": "message", "role": role, "content": [{ "type": kind, "text": words }] });
                let mut items = Vec::new();
                items.extend(said(&turn.user).map(|words| message("user", "input_text", words)));
                items.extend(said(&turn.assistant).map(|words| message("assistant", "output_text", words)));
                if let Some(call) = &turn.call {
                    let arguments = arguments(call).to_string();
                    items.push(json!({ "type": "function_call", "call_id": id(at), "name": call.tool,
                        "arguments": arguments }));
                }
                if let Some(words) = said(&turn.result) {
                    items.push(json!({ "type": "function_call_output", "call_id": id(at - 1), "output": words }));
                }
                items
            }
        }
    }

    fn path(&self) -> &'static str {
        match self.form {
            Form::Chat => "/v1/chat/completions",
            Form::Messages => "/v1/messages",
            Form::Responses => "/v1/responses",
        }
    }

    /// The shipped policy, with the role's tools, and the guard's keys of `guard` in the place of the shipped ones.
    fn pipeline(&self, guard: &[(&str, Value)]) -> Pipeline {
        Pipeline::new(|document| {
            let authn = document["authn"].take();
            *document = shipped();
            document["authn"] = authn;
            let analyst = &mut document["roles"]["analyst"];
            analyst["operations"] = json!(["chat", "responses"]);
            analyst["tools"] = json!({ "allow": self.tools.keys().collect::<Vec<_>>() });
            analyst["quotas"] = json!([]);
            let routes = document["routes"].as_array_mut().unwrap();
            routes.push(json!({ "match": { "path": "/v1/messages" }, "protocol": "anthropic" }));
            routes.push(json!({ "match": { "path": "/v1/responses" }, "protocol": "openai" }));
            for (key, value) in guard {
                document["guards"]["standard"][*key] = value.clone();
            }
        })
    }
}

/// The policy of `envoy/envoy.yaml`.
fn shipped() -> Value {
    let (_, after) = ENVOY.split_once("value: |\n").unwrap();
    let lines: Vec<&str> = after.lines().take_while(|line| line.starts_with("                    ")).collect();
    serde_json::from_str(&lines.join("\n")).unwrap()
}

/// This value with `text` applied to all its strings but keys.
fn every_string(value: &Value, text: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(words) => text(words).into(),
        Value::Array(all) => all.iter().map(|value| every_string(value, text)).collect(),
        Value::Object(all) => all.iter().map(|(key, value)| (key.clone(), every_string(value, text))).collect(),
        other => other.clone(),
    }
}

/// The text with each mark replaced by what `of` makes of its word and value.
fn marks(text: &str, of: &mut dyn FnMut(&str, &str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let inside = &rest[open + 2..];
        let mark = inside.split_once("}}").and_then(|(mark, after)| {
            let (label, value) = mark.split_once(':')?;
            let (_, word) = LABELS.iter().find(|(known, _)| *known == label)?;
            Some((word, value, after))
        });
        let Some((word, value, after)) = mark else {
            out.push_str(&rest[..open + 2]);
            rest = inside;
            continue;
        };
        out.push_str(&rest[..open]);
        out.push_str(&of(word, value));
        rest = after;
    }
    out + rest
}

/// The text as it is sent.
fn plain(text: &str) -> String {
    marks(text, &mut |_, value| value.to_owned())
}

/// The text as it must go on, all placeholders without their numbers.
fn masked(text: &str) -> String {
    marks(text, &mut |word, _| format!("[{word}_#]"))
}

/// The text with placeholders that have lost their numbers; `numbered` gets each as it was.
fn unnumbered(text: &str, numbered: &mut BTreeSet<String>) -> String {
    let mut out = text.to_owned();
    let mut from = 0;
    while let Some(open) = out[from..].find('[').map(|at| from + at) {
        from = open + 1;
        let Some((inside, _)) = out[from..].split_once(']') else { break };
        let Some((word, number)) = inside.rsplit_once('_') else { continue };
        if LABELS.iter().any(|(_, known)| *known == word) && number.bytes().all(|byte| byte.is_ascii_digit()) {
            numbered.insert(inside.to_owned());
            let at = from + word.len() + 1;
            out.replace_range(at..at + number.len(), "#");
        }
    }
    out
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/conversations")
}

fn conversations() -> Vec<(String, Conversation)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            all.push((name.clone(), serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))));
        }
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

fn not_mended() -> BTreeSet<(String, usize, String)> {
    let text = std::fs::read_to_string(folder().join("not-mended.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let mut next = || words.next().unwrap_or_else(|| panic!("{line}: expected file, turn and mode")).to_owned();
        (next(), next().parse().unwrap(), next())
    };
    lines.map(entry).collect()
}

/// Sends every prefix and collects what is refused, changed otherwise than expected, or not scanned whole.
fn failures(name: &str, talk: &Conversation, masking: bool) -> BTreeMap<Failure, String> {
    let mask = json!({ "action": "mask" });
    let guard = [("pii", mask.clone()), ("secrets", mask)];
    let mut pipeline = talk.pipeline(if masking { &guard } else { &[] });
    let mode = if masking { "mask" } else { "shipped" };
    let token = format!("Bearer {}", pipeline.token(&["analyst"], 600));
    let mut found = BTreeMap::new();
    for (last, turn) in talk.turns.iter().enumerate() {
        if turn.assistant.is_some() || turn.call.is_some() {
            continue;
        }
        let sent = talk.body(last, &plain);
        let run = pipeline.post(talk.path(), &[("authorization", token.as_str())], sent.to_string().as_bytes());
        let record = run.record();
        let why = format!("score {}, {}", record["bartizan.score"], attacks(&record));
        let mut fail = |turn: usize, what: String| {
            found.entry((name.to_owned(), turn, mode)).or_insert(what);
        };
        let Ok(edit) = &run.outcome else {
            fail(last + 1, format!("refused, {}, {why}", run.reason()));
            continue;
        };
        if record["bartizan.coverage"] != "full" {
            fail(last + 1, format!("not scanned whole: {}", record["bartizan.unscanned"]));
        }
        let mut became = edit.body.as_ref().map_or(sent, |body| serde_json::from_slice(body).unwrap());
        let mut numbered = BTreeSet::new();
        let text: &dyn Fn(&str) -> String = if masking {
            became = serde_json::from_str(&unnumbered(&became.to_string(), &mut numbered)).unwrap();
            &masked
        } else {
            &plain
        };
        let mut wanted = talk.body(last, text);
        if wanted == became {
            let values = std::cell::RefCell::new(BTreeSet::new());
            talk.body(last, &|text| {
                marks(text, &mut |word, value| {
                    // `+41 44 555` and `+4144555` are one value.
                    let value: String = value.chars().filter(|c| c.is_alphanumeric()).collect();
                    values.borrow_mut().insert(format!("{word} {value}"));
                    String::new()
                })
            });
            if masking && numbered.len() != values.borrow().len() {
                fail(last + 1, format!("placeholders {numbered:?} of {:?}", values.borrow()));
            }
            continue;
        }
        let messages = if talk.form == Form::Responses { "input" } else { "messages" };
        let (all, is) = (wanted[messages].take(), became[messages].take());
        let (all, is) = (all.as_array().unwrap(), is.as_array().unwrap());
        if wanted != became || all.len() != is.len() {
            fail(0, format!("changed, {why}: {}", difference(&wanted, &became)));
            continue;
        }
        // Turn 0 is the system prompt of a chat.
        let turns = (0..=last).flat_map(|at| vec![at + 1; talk.messages(at, text).len()]);
        let turns = std::iter::repeat_n(0, usize::from(talk.form == Form::Chat)).chain(turns);
        for ((turn, wanted), is) in turns.zip(all).zip(is).filter(|((_, wanted), is)| wanted != is) {
            fail(turn, format!("changed, {why}: {}", difference(wanted, is)));
        }
    }
    found
}

/// The attacks that a record names.
fn attacks(record: &Value) -> String {
    let found = record["bartizan.findings"].as_array().into_iter().flatten().filter_map(|finding| {
        let rule = finding["rule"].as_str().filter(|rule| !rule.starts_with("PD-"))?;
        Some(format!("{rule} {} {} {}-{}", finding["action"], finding["path"], finding["start"], finding["end"]))
    });
    found.collect::<Vec<_>>().join(", ")
}

/// The first place where the two differ, with some text around it.
fn difference(wanted: &Value, became: &Value) -> String {
    let (wanted, became) = (wanted.to_string(), became.to_string());
    let same = wanted.chars().zip(became.chars()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| text.chars().skip(same.saturating_sub(60)).take(160).collect::<String>();
    format!("\n  wanted {}\n  became {}", around(&wanted), around(&became))
}

#[test]
fn long_conversations_pass_whole_and_only_what_is_marked_is_masked() {
    let listed = not_mended();
    let all = conversations();
    assert!(all.len() >= 10, "the conversations are read");
    let mut found = BTreeMap::new();
    std::thread::scope(|scope| {
        let runs = [false, true].map(|masking| {
            let all = &all;
            scope.spawn(move || all.iter().flat_map(|(name, talk)| failures(name, talk, masking)).collect::<Vec<_>>())
        });
        for run in runs {
            found.extend(run.join().unwrap());
        }
    });
    let mut report = String::new();
    for ((name, turn, mode), what) in &found {
        if !listed.contains(&(name.clone(), *turn, (*mode).to_owned())) {
            report += &format!("{name} {turn} {mode}: {what}\n\n");
        }
    }
    for (name, turn, mode) in &listed {
        if !found.keys().any(|(other, at, how)| (other, at, how) == (name, turn, &mode.as_str())) {
            report += &format!("{name} {turn} {mode}: passes, and must leave not-mended.txt\n");
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn a_conversation_has_forty_turns_and_its_values_are_marked() {
    for (name, talk) in conversations() {
        assert!(talk.turns.len() >= 40, "{name}: {} turns", talk.turns.len());
        for (at, turn) in talk.turns.iter().enumerate() {
            let kinds = [turn.user.is_some(), turn.assistant.is_some() || turn.call.is_some(), turn.result.is_some()];
            assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "{name}, turn {}: one speaker", at + 1);
        }
        let last = talk.turns.len() - 1;
        assert_ne!(talk.body(last, &plain), talk.body(last, &masked), "{name}: nothing to mask");
    }
}

#[test]
fn the_chart_ships_the_same_guard() {
    let values: Value = serde_norway::from_str(CHART).unwrap();
    assert_eq!(values["policy"]["guards"], shipped()["guards"]);
}
