//! Where the application's instructions end in a request.

use super::{Json, Path, Protocol};
use crate::config::document::Operation;

impl Protocol {
    /// The text that the application's instructions end with, a string of the body. `None`: the request has none, or
    /// the protocol has no place for them.
    pub fn system_prompt(&self, operation: Operation, body: &Json<'_>) -> Option<Path> {
        let root = Path::default();
        let field = |name: &str| {
            let Json::Object(entries) = body else { return None };
            let at = entries.iter().position(|(key, _)| key == name)?;
            Some((root.child(at), &entries.get(at)?.1))
        };
        let messages = |name: &str, content: &str| {
            let (path, value) = field(name)?;
            last_message(&path, value, content)
        };
        let text = |name: &str| field(name).and_then(|(path, value)| last_text(&path, value));
        match (self, operation) {
            (Protocol::Openai | Protocol::Ollama, Operation::Chat) => messages("messages", "content"),
            (Protocol::Openai, Operation::Responses) => messages("input", "content").or_else(|| text("instructions")),
            (Protocol::Anthropic, Operation::Chat) => messages("messages", "content").or_else(|| text("system")),
            (Protocol::Ollama, Operation::Generate) => text("system"),
            _ => None,
        }
    }
}

/// The text of the last message that a system or a developer wrote.
fn last_message(path: &Path, messages: &Json<'_>, content: &str) -> Option<Path> {
    let Json::Array(messages) = messages else { return None };
    messages.iter().enumerate().rev().find_map(|(number, message)| {
        let role = message.get("role").and_then(Json::as_str)?;
        let Json::Object(entries) = message else { return None };
        if !matches!(role, "system" | "developer") {
            return None;
        }
        let at = entries.iter().position(|(key, _)| key == content)?;
        last_text(&path.child(number).child(at), &entries.get(at)?.1)
    })
}

/// A string, or the last text of a list of parts. An empty one is no prompt.
fn last_text(path: &Path, value: &Json<'_>) -> Option<Path> {
    match value {
        Json::String(text) => (!text.is_empty()).then(|| path.clone()),
        Json::Array(parts) => parts.iter().enumerate().rev().find_map(|(number, part)| match part {
            Json::Object(entries) => {
                let at = entries.iter().position(|(key, _)| key == "text")?;
                last_text(&path.child(number).child(at), &entries.get(at)?.1)
            }
            _ => last_text(&path.child(number), part),
        }),
        _ => None,
    }
}
