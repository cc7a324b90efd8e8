//! Known paths of formats, and what other paths have in their places.
//!
//! ```
//! use bartizan::protocol::paths::{ends_as, parameter_of};
//!
//! assert_eq!(parameter_of("models/{model}:generateContent", "models/gemini:generateContent"), Some("gemini"));
//! assert!(ends_as("chat/completions", "/v1/chat/completions"));
//! ```

/// What of a format's path is any one part, or the rest of one, and names the model.
pub const PARAMETER: &str = "{model}";

/// True for a path that has parts which may be any.
pub fn is_template(known: &str) -> bool {
    known.contains('{')
}

/// What of a format's path names what the provider keeps.
const KEPT: &str = "{id}";

/// The model that this path names, where it is one of the template: an empty one, where the template names none.
pub fn parameter_of<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    named_in(PARAMETER, template, path)
}

/// What this path has in the place of a name in braces, where it is one of the template: nothing, where it has no such name.
fn named_in<'p>(wanted: &str, template: &str, path: &'p str) -> Option<&'p str> {
    let (mut known, mut parts) = (template.split('/'), path.split('/'));
    let mut found = "";
    loop {
        let (known, part) = match (known.next(), parts.next()) {
            (None, None) => return Some(found),
            (known, part) => (known?, part?),
        };
        let Some((before, rest)) = known.split_once('{') else {
            if known != part {
                return None;
            }
            continue;
        };
        let (name, after) = rest.split_once('}')?;
        let value = part.strip_prefix(before)?.strip_suffix(after)?;
        // What is behind the value begins with the last of these signs.
        // A server that cleans a path reads another one where a part climbs.
        if matches!(value, "" | "." | "..") || (after.starts_with(':') && value.contains(':')) {
            return None;
        }
        if name == wanted.trim_matches(['{', '}']) {
            found = value;
        }
    }
}

/// The end of a path, with as many parts as this path of a format has; `None`: nothing is before them.
fn tail<'p>(known: &str, path: &'p str) -> Option<&'p str> {
    let parts = known.split('/').count();
    let (at, _) = path.rmatch_indices('/').nth(parts.checked_sub(1)?)?;
    path.get(at + 1..)
}

/// True for a path that ends as this path of a format does.
pub fn ends_as(known: &str, path: &str) -> bool {
    let known = known.trim_end_matches('/');
    tail(known, path).is_some_and(|tail| parameter_of(known, tail).is_some())
}

/// What a path has in the place of a name in braces, where it ends as this path of a format does.
pub(super) fn named_at<'p>(name: &str, known: &str, path: &'p str) -> Option<&'p str> {
    named_in(name, known, tail(known, path)?).filter(|value| !value.is_empty())
}

/// The model that a path names which ends as this path of a format does; `None`: it does not end so.
pub fn model_in<'p>(known: &str, path: &'p str) -> Option<&'p str> {
    if !is_template(known) {
        return None;
    }
    parameter_of(known, tail(known, path)?).filter(|model| !model.is_empty())
}

/// The same for the id of what the provider keeps.
pub fn kept_in<'p>(known: &str, path: &'p str) -> Option<&'p str> {
    if !is_template(known) {
        return None;
    }
    kept_of(known, tail(known, path)?)
}

/// The id of what the provider keeps that this path names, where it is one of the template.
pub fn kept_of<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    named_in(KEPT, template, path).filter(|id| !id.is_empty())
}
