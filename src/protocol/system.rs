//! Where the application's instructions end in a request.

use super::{Json, Path};

/// The place and value of a field of the body.
fn field<'b, 'j>(body: &'b Json<'j>, name: &str) -> Option<(Path, &'b Json<'j>)> {
    let Json::Object(entries) = body else { return None };
    let at = entries.iter().position(|(key, _)| key == name)?;
    Some((Path::default().child(at), &entries.get(at)?.1))
}

/// The last text of a field.
pub(super) fn text_at(body: &Json<'_>, name: &str) -> Option<Path> {
    field(body, name).and_then(|(path, value)| last_text(&path, value))
}

/// The text of the last message that a system or a developer wrote, in the list of this field.
pub(super) fn last_message(body: &Json<'_>, name: &str) -> Option<Path> {
    let (path, messages) = field(body, name)?;
    let Json::Array(messages) = messages else { return None };
    messages.iter().enumerate().rev().find_map(|(number, message)| {
        let role = message.get("role").and_then(Json::as_str)?;
        let Json::Object(entries) = message else { return None };
        if !matches!(role, "system" | "developer") {
            return None;
        }
        let at = entries.iter().position(|(key, _)| key == "content")?;
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
