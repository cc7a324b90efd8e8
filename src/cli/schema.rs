//! `bartizan schema`: the JSON Schema of the document and the table of its keys, both from the code.
//!
//! Their documentation says what the types can't, in a fixed form: `Required` makes a key
//! required, `Default x.` names what an absent key means.

use serde_json::{Map, Value, json};

use super::output::{Exit, print, print_json};
use crate::audit::{Record, VERSION};
use crate::document::Document;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print a Markdown table of all keys instead
    #[arg(long)]
    markdown: bool,
    /// Print the schema of the audit record instead
    #[arg(long, conflicts_with = "markdown")]
    record: bool,
    /// Accepted for uniformity: the schema is JSON already
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let _ = arguments.json;
    if arguments.markdown {
        print(&markdown())?;
    } else if arguments.record {
        print_json(&record_schema())?;
    } else {
        print_json(&schema())?;
    }
    Ok(Exit::Fine)
}

/// The JSON Schema (draft 2020-12) of the policy document.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Document).to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "Bartizan policy".into());
    }
    tidy(&mut schema);
    schema
}

/// The JSON Schema (draft 2020-12) of the audit record. What a chain adds to a line is part of it.
pub fn record_schema() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Record>().to_value();
    tidy(&mut schema);
    let chained = [
        (
            "previous",
            "Of a chain: the digest of the worker's record before this one. Absent in the first.",
            text_of(43),
        ),
        (
            "every",
            "Of a chain's first record: each so many records one is signed.",
            json!({ "type": "integer", "minimum": 1 }),
        ),
        (
            "digest",
            "Of a chain: SHA-256 over `bartizan.chain.1`, a line end, and the line before this member; base64url.",
            text_of(43),
        ),
        ("key", "Of a signed record: the first 16 hex digits of the public key's SHA-256.", text_of(16)),
        (
            "signature",
            "Of a signed record: Ed25519 over `bartizan.chain.1`, a line end, and the line before this member; base64url.",
            text_of(86),
        ),
    ];
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "Bartizan audit record".into());
        root.insert("$id".to_owned(), format!("urn:bartizan:audit-record:{VERSION}").into());
        root.insert("additionalProperties".to_owned(), false.into());
        if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
            for (name, words, mut property) in chained {
                if let Some(property) = property.as_object_mut() {
                    property.insert("description".to_owned(), words.into());
                }
                properties.insert(format!("bartizan.chain.{name}"), property);
            }
        }
    }
    schema
}

/// The record's fields as a Markdown table.
pub fn record_markdown() -> String {
    let schema = record_schema();
    let mut rows = String::from("| field | meaning |\n|---|---|\n");
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let target = property.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        let target = target.and_then(|pointer| schema.pointer(pointer)).unwrap_or(property);
        let text = description(property).or_else(|| description(target)).unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        rows.push_str(&format!("| `{name}` | {text} |\n"));
    }
    rows
}

fn text_of(length: usize) -> Value {
    json!({ "type": "string", "minLength": length, "maxLength": length })
}

/// Nulls are refused, a `Required` key is required, and defaults of the Rust types are no defaults of the document.
fn tidy(node: &mut Value) {
    match node {
        Value::Object(object) => {
            object.remove("default");
            object.remove("format");
            drop_null(object);
            let required: Vec<Value> = object
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter(|(_, property)| description(property).is_some_and(is_required))
                .map(|(key, _)| key.as_str().into())
                .collect();
            if !required.is_empty() {
                object.insert("required".to_owned(), required.into());
            }
            for (word, below) in object.iter_mut() {
                match below {
                    // The names below these are the document's, not the schema's.
                    Value::Object(named) if word == "properties" || word == "$defs" => {
                        named.values_mut().for_each(tidy);
                    }
                    below => tidy(below),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn drop_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    let is_null = |choice: &Value| choice.get("type").is_some_and(|name| name == "null");
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| !is_null(choice));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            only.into_iter().for_each(|(key, value)| {
                object.entry(key).or_insert(value);
            });
        }
    }
}

fn description(node: &Value) -> Option<&str> {
    node.get("description").and_then(Value::as_str)
}

fn is_required(text: &str) -> bool {
    text.split(". ").any(|sentence| sentence.starts_with("Required") && !sentence.starts_with("Required unless"))
}

/// `Default x.` in a key's documentation.
fn default_of(text: &str) -> &str {
    let Some((_, rest)) = text.split_once("Default: ").or_else(|| text.split_once("Default ")) else { return "" };
    let end =
        rest.find([',', ';', ':']).into_iter().chain(rest.find(". ")).chain(rest.strip_suffix('.').map(str::len)).min();
    rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest)
}

/// One row a key: path, type, default, meaning.
pub fn markdown() -> String {
    let schema = schema();
    let mut rows = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    let mut walk = Walk { schema: &schema, rows: &mut rows };
    walk.keys(&schema, "");
    rows
}

struct Walk<'s> {
    schema: &'s Value,
    rows: &'s mut String,
}

impl<'s> Walk<'s> {
    fn resolve(&self, node: &'s Value) -> &'s Value {
        let target = node.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        target.and_then(|pointer| self.schema.pointer(pointer)).unwrap_or(node)
    }

    fn keys(&mut self, node: &'s Value, path: &str) {
        for (key, property) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            // A choice with settings is documented as a whole.
            let text = description(property).or_else(|| description(node)).unwrap_or_default();
            let default = if is_required(text) { "required" } else { default_of(text) };
            let cell = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
            let kind = cell(&self.kind(property));
            self.rows.push_str(&format!("| `{path}` | {kind} | {} | {} |\n", cell(default), cell(text)));
            self.below(property, &path);
        }
    }

    /// The keys of what a key holds.
    fn below(&mut self, node: &'s Value, path: &str) {
        let node = self.resolve(node);
        self.keys(node, path);
        if let Some(items) = node.get("items") {
            self.below(items, &format!("{path}[]"));
        }
        if let Some(values) = node.get("additionalProperties").filter(|values| values.is_object()) {
            self.below(values, &format!("{path}.*"));
        }
        for choice in node.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
            self.keys(choice, path);
        }
    }

    fn kind(&self, node: &'s Value) -> String {
        let own = self.resolve(node);
        if let Some(words) = words(own) {
            return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        }
        match own.get("type").and_then(Value::as_str) {
            Some("array") => {
                let items = own.get("items").map(|items| self.kind(items)).unwrap_or_default();
                format!("list of {items}")
            }
            Some("object") => "object".to_owned(),
            Some("integer") => "number".to_owned(),
            Some("string") if own.get("pattern").is_some() => "duration".to_owned(),
            Some(other) => other.to_owned(),
            None => "any".to_owned(),
        }
    }
}

/// The words of a choice.
fn words(node: &Value) -> Option<Vec<&str>> {
    if let Some(Value::Array(words)) = node.get("enum") {
        return Some(words.iter().filter_map(Value::as_str).collect());
    }
    let choices = node.get("oneOf")?.as_array()?;
    choices
        .iter()
        .map(|choice| {
            choice
                .get("const")
                .and_then(Value::as_str)
                .or_else(|| choice.get("properties")?.as_object()?.keys().next().map(String::as_str))
        })
        .collect()
}
