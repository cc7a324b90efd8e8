//! Which texts of a stream's events are pieces of one: those at the same place of their events.
//!
//! Two texts that come side by side, under two keys or two indices, must not be read in turns: a key that is cut in two
//! would have the other text's piece between its halves.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::json::Step;
use super::parts::TextKind;
use super::{Json, Path};

/// A place of a format, as a hash of the keys and indices on the way. Two places with one hash would be read as one text:
/// nothing is left unread by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(u64);

impl Lane {
    /// The lane of a text of a known kind at `top`, or below it in a list of parts.
    pub(super) fn of_text(root: &Json<'_>, top: &Path, place: &Path, kind: TextKind) -> Lane {
        let mut hasher = DefaultHasher::new();
        root.key_at(top).hash(&mut hasher);
        if top.depth() == 1 {
            event_type(root).hash(&mut hasher);
        }
        // Which call an argument is of is told by more than its index.
        let steps = root.steps(place).enumerate().filter(|_| kind != TextKind::ToolArguments);
        for (depth, step) in steps {
            // `content: "..."` and `content: [{"text": "..."}]` are one text.
            if let Some(key) = step.key.filter(|key| depth >= top.depth() && !matches!(*key, "text" | "content")) {
                key.hash(&mut hasher);
            }
            // A part of a list, or a choice, that says its number. An event's own may count the events.
            if let Some(number) = index_of(step.holder, step.position).filter(|number| *number > 0) {
                number.hash(&mut hasher);
            }
        }
        Lane(hasher.finish())
    }

    /// The lane of any other text.
    pub(super) fn of_place(root: &Json<'_>, place: &Path) -> Lane {
        let mut hasher = DefaultHasher::new();
        event_type(root).hash(&mut hasher);
        for Step { holder, key, position } in root.steps(place) {
            match key {
                Some(key) => {
                    numbers(holder).for_each(|number| number.hash(&mut hasher));
                    key.hash(&mut hasher);
                }
                None => index_of(holder, position).unwrap_or(position as u64).hash(&mut hasher),
            }
        }
        Lane(hasher.finish())
    }
}

/// What an event is, where its data says so.
fn event_type<'j>(root: &'j Json<'_>) -> Option<&'j str> {
    root.get("type").and_then(Json::as_str)
}

/// The numbers by which an object says which part it is of: `output_index` and the like.
fn numbers(holder: &Json<'_>) -> impl Iterator<Item = u64> {
    let entries = match holder {
        Json::Object(entries) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().filter(|(key, _)| key.ends_with("_index")).filter_map(|(_, value)| value.as_u64())
}

/// The number that an element of a list says it has.
fn index_of(list: &Json<'_>, position: usize) -> Option<u64> {
    match list {
        Json::Array(items) => items.get(position)?.get("index")?.as_u64(),
        _ => None,
    }
}
