//! Tools taken out of a request, and the hashes of what a server defines.

use sha2::{Digest, Sha256};

use super::{Json, Path};
use crate::hex::hex;
use crate::sorted;

/// Lists of tools, and what means nothing without any.
const LISTS: [&str; 3] = ["tools", "functions", "mcp_servers"];
const CHOICES: [&str; 5] = ["tool_choice", "function_call", "parallel_tool_calls", "toolConfig", "tool_config"];
/// Lists in an element of `tools`.
const DECLARATIONS: [&str; 4] = ["functionDeclarations", "function_declarations", "mcpServers", "mcp_servers"];

/// Takes out what is at these places, and what then no longer means anything: providers refuse an empty list,
/// and a choice among no tools.
pub fn remove_tools(body: &mut Json<'_>, paths: &[&Path]) {
    body.remove(paths);
    if let Some(tools) = body.get_mut("tools") {
        without_empty_namespaces(tools);
        without_empty_declarations(tools);
    }
    for config in ["toolConfig", "tool_config"] {
        let calling = body.get_mut(config).and_then(calling);
        if let Some(Json::Object(entries)) = calling {
            let is_emptied = |key: &str, value: &Json<'_>| names_functions(key) && is_empty(value);
            if entries.iter().any(|(key, value)| is_emptied(key, value)) {
                // Without names it means any function: the model may call those that are left, or none.
                entries.clear();
            }
        }
    }
    let Json::Object(entries) = body else { return };
    entries.retain(|(key, value)| !(LISTS.contains(&key.as_ref()) && is_empty(value)));
    let left = entries.iter().any(|(key, value)| LISTS.contains(&key.as_ref()) && !matches!(value, Json::Null));
    entries.retain(|(key, value)| {
        let allowed = value.get("allowed_tools").unwrap_or(value).get("tools");
        let is_moot = !left || allowed.is_some_and(is_empty);
        !CHOICES.contains(&key.as_ref()) || holds_tools(value) || !is_moot
    });
}

/// True for Bedrock's `toolConfig` while a tool is left in it. A mark of its cache is none.
fn holds_tools(config: &Json<'_>) -> bool {
    let is_tool = |tool: &Json<'_>| tool.get("toolSpec").is_some() || tool.get("systemTool").is_some();
    matches!(config.get("tools"), Some(Json::Array(tools)) if tools.iter().any(is_tool))
}

fn is_empty(value: &Json<'_>) -> bool {
    match value {
        Json::Array(items) => items.is_empty(),
        Json::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

fn calling<'v, 'j>(config: &'v mut Json<'j>) -> Option<&'v mut Json<'j>> {
    let Json::Object(entries) = config else { return None };
    let is_calling = |key: &str| matches!(key, "functionCallingConfig" | "function_calling_config");
    entries.iter_mut().find(|(key, _)| is_calling(key)).map(|(_, value)| value)
}

fn names_functions(key: &str) -> bool {
    matches!(key, "allowedFunctionNames" | "allowed_function_names")
}

/// Elements of `tools` that declared nothing but what is gone.
fn without_empty_declarations(tools: &mut Json<'_>) {
    let prune = |tool: &mut Json<'_>| {
        let Json::Object(entries) = tool else { return };
        entries.retain(|(key, value)| !(DECLARATIONS.contains(&key.as_ref()) && is_empty(value)));
    };
    match tools {
        Json::Array(tools) => {
            tools.iter_mut().for_each(prune);
            tools.retain(|tool| !matches!(tool, Json::Object(entries) if entries.is_empty()));
        }
        one => prune(one),
    }
}

/// Namespaces that hold no tool any more. Depth is bounded by the parser.
fn without_empty_namespaces(tools: &mut Json<'_>) {
    let Json::Array(tools) = tools else { return };
    tools.retain_mut(|tool| {
        if tool.get("type").and_then(Json::as_str) != Some("namespace") {
            return true;
        }
        let Some(inner) = tool.get_mut("tools") else { return true };
        without_empty_namespaces(inner);
        !matches!(inner, Json::Array(items) if items.is_empty())
    });
}

/// True when a schema in the body asks the model for mail addresses: an object with `format: email`. Which of the body's
/// schemas a server holds the model to is its own affair.
pub fn asks_for_addresses(body: &Json<'_>) -> bool {
    match body {
        Json::Array(items) => items.iter().any(asks_for_addresses),
        Json::Object(entries) => entries.iter().any(|(key, value)| {
            (key == "format" && matches!(value.as_str(), Some("email" | "idn-email"))) || asks_for_addresses(value)
        }),
        _ => false,
    }
}

/// The SHA-256 of one definition, keys in order: one that changes after it was approved has another.
pub fn pin(definition: &Json<'_>) -> String {
    hex(&Sha256::digest(sorted(definition).to_bytes()))
}

fn sorted<'a>(value: &Json<'a>) -> Json<'a> {
    match value {
        Json::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            sorted::by(&mut entries, |(a, _), (b, _)| a.cmp(b));
            Json::Object(entries)
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_that_changes_has_another_hash() {
        let pin = |text: &str| pin(&Json::parse(text.as_bytes(), 16).unwrap());
        let one = pin(r#"{"name":"a","description":"b"}"#);
        assert_eq!(one, pin(r#"{"description":"b","name":"a"}"#));
        assert_ne!(one, pin(r#"{"name":"a","description":"b and more"}"#));
        assert_eq!(one.len(), 64);
    }
}
