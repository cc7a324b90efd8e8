//! What the policy's places say of one value.

use crate::protocol::queries::{Coordinate, Meaning};

fn fits(pattern: &str, name: &str) -> bool {
    pattern == "*" || pattern == name
}

/// Where a value is, as far as the policy's places tell: what it means, and which places may begin at or above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spotted {
    meaning: Meaning,
    /// It names a model, whatever else it means.
    is_model: bool,
    /// Places by their number, and how many of their keys lie above.
    open: Vec<(usize, usize)>,
}

impl Spotted {
    /// A value of no place.
    pub(super) const NOWHERE: Spotted = Spotted { meaning: Meaning::Other, is_model: false, open: Vec::new() };

    /// The value of this argument of a field, or of a directive (`@name`).
    pub(super) fn argument(places: &[Coordinate], field: &str, argument: &str) -> Spotted {
        let of_field = places.iter().enumerate().filter(|(_, place)| match place.field.strip_prefix('@') {
            Some(pattern) => field.strip_prefix('@').is_some_and(|name| fits(pattern, name)),
            None => !field.starts_with('@') && fits(&place.field, field),
        });
        let open = of_field.map(|(number, _)| (number, 0)).collect();
        Spotted { open, ..Spotted::NOWHERE }.below(places, argument)
    }

    /// The value of this key of an object.
    pub(super) fn below(&self, places: &[Coordinate], key: &str) -> Spotted {
        let mut found: Option<Meaning> = None;
        let (mut is_model, mut open) = (self.is_model, Vec::new());
        for (number, above) in &self.open {
            let Some(place) = places.get(*number) else { continue };
            if !place.keys.get(*above).is_some_and(|pattern| fits(pattern, key)) {
                continue;
            }
            match place.meaning {
                _ if above + 1 < place.keys.len() => open.push((*number, above + 1)),
                Meaning::Model => is_model = true,
                meaning => found = found.max(Some(meaning)),
            }
        }
        let meaning = match (self.meaning, found) {
            (Meaning::Other, Some(found)) => found,
            // What is named inside a prompt is a prompt all the same.
            (above, found) => above.max(found.unwrap_or(above)),
        };
        Spotted { meaning, is_model, open }
    }

    /// Both at once, where nothing but a prompt can be told from the caller's other texts.
    fn join(&mut self, other: &Spotted) {
        self.meaning = self.meaning.max(other.meaning).max(Meaning::Other);
        self.is_model |= other.is_model;
        let more: Vec<_> = other.open.iter().filter(|one| !self.open.contains(one)).copied().collect();
        self.open.extend(more);
    }
}

/// Where a variable is used. Of what its value means in several places the strictest counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses(Vec<Spotted>);

/// How many different places of one value are told apart. Of more of them a document is the caller's text.
const MAX_USES: usize = 8;

impl Uses {
    /// One more use. A value is read once for all of them.
    pub(super) fn add(&mut self, spotted: Spotted) {
        if self.0.contains(&spotted) {
            return;
        }
        match self.0.get_mut(MAX_USES - 1) {
            Some(last) => last.join(&spotted),
            None => self.0.push(spotted),
        }
    }

    /// The uses of another place of the same value.
    pub(super) fn join(&mut self, other: &Uses) {
        other.0.iter().for_each(|one| self.add(one.clone()));
    }

    /// The uses of what is under a key of the value.
    pub(super) fn below(&self, places: &[Coordinate], key: &str) -> Uses {
        let mut below = Uses::default();
        self.0.iter().for_each(|one| below.add(one.below(places, key)));
        below
    }

    /// What the value means. Nothing, where it is not used.
    pub(super) fn meaning(&self) -> Meaning {
        self.0.iter().map(|one| one.meaning).max().unwrap_or(Meaning::Other)
    }

    /// True if the value names a model in one of its uses.
    pub(super) fn is_model(&self) -> bool {
        self.0.iter().any(|one| one.is_model)
    }
}

impl From<Spotted> for Uses {
    fn from(spotted: Spotted) -> Uses {
        Uses(vec![spotted])
    }
}
