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

/// The lanes of all texts of one event.
pub(super) struct Lanes<'j> {
    root: &'j Json<'j>,
    kind: Option<&'j str>,
    /// By depth: where the last text was, and the numbers there. An object may have a hundred thousand texts, and each of
    /// its numbers is looked for among as many entries.
    known: Vec<(&'j Json<'j>, Option<usize>, Vec<u64>)>,
}

impl<'j> Lanes<'j> {
    pub(super) fn new(root: &'j Json<'j>) -> Self {
        Lanes { root, kind: event_type(root), known: Vec::new() }
    }

    /// The lane of a text of a known kind at `top`, or below it in a list of parts.
    pub(super) fn of_text(&mut self, top: &Path, place: &Path, kind: TextKind) -> Lane {
        let mut hasher = DefaultHasher::new();
        self.root.key_at(top).hash(&mut hasher);
        if top.depth() == 1 {
            self.kind.hash(&mut hasher);
        }
        // Which call an argument is of is told by more than its index.
        let steps = self.root.steps(place).enumerate().filter(|_| kind != TextKind::ToolArguments);
        for (depth, step) in steps {
            // `content: "..."` and `content: [{"text": "..."}]` are one text.
            if let Some(key) = step.key.filter(|key| depth >= top.depth() && !matches!(*key, "text" | "content")) {
                key.hash(&mut hasher);
            }
            // A part of a list, or a choice, that says its number. An event's own may count the events.
            if step.key.is_none()
                && let Some(number) = self.numbers(depth, &step).first().filter(|number| **number > 0)
            {
                number.hash(&mut hasher);
            }
        }
        Lane(hasher.finish())
    }

    /// The lane of any other text.
    pub(super) fn of_place(&mut self, place: &Path) -> Lane {
        let mut hasher = DefaultHasher::new();
        self.kind.hash(&mut hasher);
        for (depth, step) in self.root.steps(place).enumerate() {
            let numbers = self.numbers(depth, &step);
            match step.key {
                Some(key) => {
                    numbers.iter().for_each(|number| number.hash(&mut hasher));
                    key.hash(&mut hasher);
                }
                None => numbers.first().copied().unwrap_or(step.position as u64).hash(&mut hasher),
            }
        }
        Lane(hasher.finish())
    }

    /// The numbers of an object, or the one that an element of a list says it has.
    fn numbers(&mut self, depth: usize, step: &Step<'j, 'j>) -> &[u64] {
        let Step { holder, key, position } = *step;
        let element = if key.is_none() { Some(position) } else { None };
        let is_known = |(of, at, _): &(&Json<'_>, Option<usize>, _)| std::ptr::eq(*of, holder) && *at == element;
        if !self.known.get(depth).is_some_and(is_known) {
            let numbers = match element {
                None => numbers(holder).collect(),
                Some(position) => index_of(holder, position).into_iter().collect(),
            };
            self.known.truncate(depth);
            self.known.resize_with(depth, || (self.root, None, Vec::new()));
            self.known.push((holder, element, numbers));
        }
        self.known.get(depth).map(|(.., numbers)| numbers.as_slice()).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_one_place_says_nothing_of_another() {
        let text = br#"{"type":"t","output_index":3,"a":[{"index":1,"x":["p","q",{"c_index":4,"y":"r"}]},{"index":2,"x":["s"]}],
            "b":{"content_index":7,"k":"u","l":{"m":"v","n":["w",["x"]]}},"c":[["y"],[{"z":"1"},{"z":"2","index":1}]]}"#;
        let root = Json::parse(text, 16).unwrap();
        let mut places = Vec::new();
        root.visit_strings(&Path::default(), &mut |place, _, _| places.push(place.clone()));
        assert!(places.len() > 20);
        // In their order, backwards, and each twice.
        let orders = [places.clone(), places.iter().rev().cloned().collect(), [places.clone(), places].concat()];
        for order in orders {
            let mut lanes = Lanes::new(&root);
            for place in &order {
                assert_eq!(lanes.of_place(place), Lanes::new(&root).of_place(place), "{place:?}");
                for kind in [TextKind::Other, TextKind::ToolArguments] {
                    let fresh = Lanes::new(&root).of_text(place, place, kind);
                    assert_eq!(lanes.of_text(place, place, kind), fresh, "{place:?}");
                }
            }
        }
    }
}
