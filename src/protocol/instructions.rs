//! Which texts of a request instruct the model, where a role may send pinned prompts alone.
//!
//! A part with the role `system` or `developer` does, and so does what stands in a field that is named for instructions.
//! Servers know more of these than one reference lists: `chat_template_kwargs`, `promptVariables`,
//! `additionalModelRequestFields`.

use super::{Exchange, Json, Segment};
use crate::enums::{Operation, Zone};

/// Where the conversation is: what its parts are their roles say, and keys below are the caller's.
const CONVERSATION: [&str; 3] = ["messages", "input", "contents"];
/// Where a JSON Schema has names of the caller's: of what the model is to write, or of a tool's arguments.
const SCHEMA: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
/// What no model reads: labels of the caller's, and how the provider finds its cache. The latter begin so.
const LABELS: &str = "metadata";
const CACHE: &str = "prompt_cache";
/// What fields for instructions have in their names, in lower-case letters.
const NAMES: [&str; 6] = ["system", "instruct", "prompt", "preamble", "template", "developer"];

/// True for an operation that a model answers with a text of its own.
pub fn converses(operation: Operation) -> bool {
    matches!(operation, Operation::Chat | Operation::Responses | Operation::Generate | Operation::Completions)
}

/// True for a text that instructs the model.
pub fn instructs(operation: Operation, exchange: &Exchange, json: &Json<'_>, segment: &Segment) -> bool {
    let keys = || json.keys_to(&segment.path);
    match segment.zone {
        Zone::System => true,
        // Definitions of tools are in this zone too.
        Zone::Developer => keys().any(|key| CONVERSATION.contains(&key)),
        _ if segment.is_key => false,
        _ if !converses(operation) && !exchange.operations.iter().copied().any(converses) => false,
        // There it is what the caller asks.
        _ if operation == Operation::Generate && segment.path.depth() == 1 && keys().eq(["prompt"]) => false,
        // What comes first on the way down tells what the rest is.
        _ => keys().find_map(meaning) == Some(true),
    }
}

/// Whether a field instructs; `None`: its name does not tell.
fn meaning(key: &str) -> Option<bool> {
    let is_other = CONVERSATION.contains(&key) || SCHEMA.contains(&key) || key == LABELS || key.starts_with(CACHE);
    if is_other { Some(false) } else { is_named(key).then_some(true) }
}

/// True for a field that is named for instructions, in whatever spelling.
fn is_named(key: &str) -> bool {
    let plain: String = key.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect();
    NAMES.iter().any(|name| plain.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_one() {
        for key in
            ["system", "systemInstruction", "system_instruction", "chat-template-kwargs", "PROMPT", "promptVariables"]
        {
            assert!(is_named(key), "{key}");
        }
        for key in ["user", "documents", "stop", "metadata", "promo", ""] {
            assert!(!is_named(key), "{key}");
        }
    }
}
