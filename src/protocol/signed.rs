//! What a provider signed or sealed: thoughts with their signature, encrypted reasoning, compactions. It goes back as it
//! came or not at all, because the provider refuses a changed text under a signature that was kept.
//!
//! ```
//! use bartizan::protocol::Json;
//! use bartizan::protocol::signed::{drop_blocks, signed_blocks};
//!
//! let body = br#"{"messages": [{"role": "assistant", "content": [
//!     {"type": "thinking", "thinking": "So ...", "signature": "c2ln"}, {"type": "text", "text": "Hi."}]}]}"#;
//! let mut json = Json::parse(body, 64).unwrap();
//! let blocks = signed_blocks(&json);
//! assert_eq!(blocks.len(), 1);
//! drop_blocks(&mut json, &blocks, "[removed]");
//! assert!(signed_blocks(&json).is_empty());
//! ```

use std::borrow::Cow;

use super::{Json, Path};

/// The types of such blocks, by their beginning: `thinking`, `redacted_thinking`, `reasoning`, `reasoning.text`,
/// `compaction`.
const KINDS: [&str; 4] = ["thinking", "redacted_thinking", "reasoning", "compaction"];

/// What seals a block, where its text is readable.
const SEALS: [&str; 6] =
    ["signature", "encrypted_content", "encrypted", "data", "thought_signature", "thoughtSignature"];

/// The word of Bedrock's thoughts.
const REASONING: &str = "reasoningContent";

/// The elements of lists that a provider signed or sealed.
pub fn signed_blocks(body: &Json<'_>) -> Vec<Path> {
    let mut found = Vec::new();
    visit(body, &Path::default(), false, &mut found);
    found
}

/// Depth is bounded by the parser.
fn visit(value: &Json<'_>, path: &Path, is_element: bool, found: &mut Vec<Path>) {
    match value {
        Json::Object(_) if is_element && is_signed(value) => found.push(path.clone()),
        Json::Object(entries) => {
            for (at, (_, value)) in entries.iter().enumerate() {
                visit(value, &path.child(at), false, found);
            }
        }
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                visit(item, &path.child(at), true, found);
            }
        }
        _ => {}
    }
}

fn is_signed(block: &Json<'_>) -> bool {
    let is_sealed =
        || SEALS.iter().any(|seal| block.get(seal).and_then(Json::as_str).is_some_and(|seal| !seal.is_empty()));
    let Some(kind) = block.get("type").and_then(Json::as_str) else {
        // A part of Gemini's has no type, and a block of Bedrock's is under the word of its type.
        let is_thought = matches!(block.get("thought"), Some(Json::Bool(true)));
        let seal = |of: &Json<'_>, name| of.get(name).and_then(Json::as_str).is_some_and(|seal| !seal.is_empty());
        let is_reasoning = block.get(REASONING).is_some_and(|thoughts| {
            seal(thoughts, "redactedContent")
                || thoughts.get("reasoningText").is_some_and(|text| seal(text, "signature"))
        });
        return is_thought && is_sealed() || is_reasoning;
    };
    KINDS.iter().any(|known| kind.starts_with(known)) && (kind.starts_with("compaction") || is_sealed())
}

/// Takes these blocks out. A message whose content they were gets `notice` in their place: providers refuse an empty one.
pub fn drop_blocks(body: &mut Json<'_>, paths: &[Path], notice: &'static str) {
    let is_typed = !paths.iter().filter_map(|path| body.at(path)).any(|block| block.get(REASONING).is_some());
    body.remove(&paths.iter().collect::<Vec<_>>());
    fill(body, notice, is_typed);
}

/// Lists under `content` or `parts` that are empty.
fn fill(value: &mut Json<'_>, notice: &'static str, is_typed: bool) {
    match value {
        Json::Object(entries) => {
            let is_message = entries.iter().any(|(key, _)| key == "role");
            for (key, value) in entries {
                match value {
                    Json::Array(items) if is_message && is_typed && key == "content" && items.is_empty() => {
                        items.push(object(&[("type", "text"), ("text", notice)]));
                    }
                    Json::Array(items) if is_message && matches!(&**key, "content" | "parts") && items.is_empty() => {
                        items.push(object(&[("text", notice)]));
                    }
                    value => fill(value, notice, is_typed),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| fill(item, notice, is_typed)),
        _ => {}
    }
}

fn object(entries: &[(&'static str, &'static str)]) -> Json<'static> {
    let entry = |&(key, text)| (Cow::Borrowed(key), Json::String(Cow::Borrowed(text)));
    Json::Object(entries.iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(body: &str) -> String {
        let mut json = Json::parse(body.as_bytes(), 64).unwrap();
        let blocks = signed_blocks(&json);
        drop_blocks(&mut json, &blocks, "gone");
        String::from_utf8(json.to_bytes()).unwrap()
    }

    #[test]
    fn block_and_signature_go_together() {
        for (body, left) in [
            (
                r#"{"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"a","signature":"s"},{"type":"text","text":"b"}]}]}"#,
                r#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"b"}]}]}"#,
            ),
            (
                r#"{"messages":[{"role":"assistant","content":[{"type":"redacted_thinking","data":"s"}]}]}"#,
                r#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"gone"}]}]}"#,
            ),
            (
                r#"{"input":[{"type":"reasoning","summary":[],"encrypted_content":"s"},{"type":"compaction","content":"c"}]}"#,
                r#"{"input":[]}"#,
            ),
            (
                r#"{"contents":[{"role":"model","parts":[{"text":"a","thought":true,"thoughtSignature":"s"}]}]}"#,
                r#"{"contents":[{"role":"model","parts":[{"text":"gone"}]}]}"#,
            ),
            (
                r#"{"messages":[{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"a","signature":"s"}}}]}]}"#,
                r#"{"messages":[{"role":"assistant","content":[{"text":"gone"}]}]}"#,
            ),
            // The signature of a call is of the thoughts before it: without it the provider refuses the call.
            (
                r#"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f"},"thoughtSignature":"s"}]}]}"#,
                r#"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f"},"thoughtSignature":"s"}]}]}"#,
            ),
            // No seal: a text like any other.
            (
                r#"{"input":[{"type":"reasoning","summary":[{"type":"summary_text","text":"a"}]}]}"#,
                r#"{"input":[{"type":"reasoning","summary":[{"type":"summary_text","text":"a"}]}]}"#,
            ),
            (
                r#"{"content":[],"a":{"type":"thinking","signature":"s"}}"#,
                r#"{"content":[],"a":{"type":"thinking","signature":"s"}}"#,
            ),
        ] {
            assert_eq!(dropped(body), left);
        }
    }
}
