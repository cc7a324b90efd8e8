//! Tools taken out of a request, and the hashes of what a server defines.

use sha2::{Digest, Sha256};

use super::{Json, Path};

/// Lists of tools, and what means nothing without any.
const LISTS: [&str; 3] = ["tools", "functions", "mcp_servers"];
const CHOICES: [&str; 3] = ["tool_choice", "function_call", "parallel_tool_calls"];

/// Takes out what is at these places, and what then no longer means anything: providers refuse an empty list,
/// and a choice among no tools.
pub fn remove_tools(body: &mut Json<'_>, paths: &[&Path]) {
    body.remove(paths);
    let is_empty = |value: &Json<'_>| matches!(value, Json::Array(items) if items.is_empty());
    if let Some(tools) = body.get_mut("tools") {
        without_empty_namespaces(tools);
    }
    let Json::Object(entries) = body else { return };
    entries.retain(|(key, value)| !(LISTS.contains(&key.as_ref()) && is_empty(value)));
    let left = entries.iter().any(|(key, value)| LISTS.contains(&key.as_ref()) && !matches!(value, Json::Null));
    entries.retain(|(key, value)| {
        let allowed = value.get("allowed_tools").unwrap_or(value).get("tools");
        !(CHOICES.contains(&key.as_ref()) && (!left || allowed.is_some_and(is_empty)))
    });
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
    Sha256::digest(sorted(definition).to_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sorted<'a>(value: &Json<'a>) -> Json<'a> {
    match value {
        Json::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
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
