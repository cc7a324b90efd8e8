//! Places of one tree, asked for by what lies below them.

use std::collections::BTreeMap;

use super::Path;

/// A value for each of these places. A question costs a look-up for each step of its path, however many places there are.
#[derive(Clone, Debug)]
pub struct Places<T> {
    /// Where the value of each place is. A tree of the values themselves would be compiled for each type of them.
    index: BTreeMap<Path, usize>,
    values: Vec<T>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Places { index: BTreeMap::new(), values: Vec::new() }
    }
}

impl<T> Places<T> {
    /// Sets the value of a place, and gives the one that it had.
    pub fn insert(&mut self, place: Path, value: T) -> Option<T> {
        if let Some(known) = self.get_mut(&place) {
            return Some(std::mem::replace(known, value));
        }
        self.index.insert(place, self.values.len());
        self.values.push(value);
        None
    }

    /// The value of this very place.
    pub fn get(&self, place: &Path) -> Option<&T> {
        self.values.get(*self.index.get(place)?)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, place: &Path) -> Option<&mut T> {
        self.values.get_mut(*self.index.get(place)?)
    }

    /// True if this very place has a value.
    pub fn contains_key(&self, place: &Path) -> bool {
        self.index.contains_key(place)
    }

    /// The places, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Path> {
        self.index.keys()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The outermost place that is this one or holds it.
    pub fn holding(&self, path: &Path) -> Option<(&Path, &T)> {
        self.first(path, path.0.len())
    }

    /// The outermost place that holds this one and is another.
    pub fn above(&self, path: &Path) -> Option<(&Path, &T)> {
        self.first(path, path.0.len().checked_sub(1)?)
    }

    fn first(&self, path: &Path, most: usize) -> Option<(&Path, &T)> {
        let known = (0..=most).find_map(|depth| self.index.get_key_value(path.0.get(..depth)?));
        known.and_then(|(place, at)| Some((place, self.values.get(*at)?)))
    }
}

impl<T> FromIterator<(Path, T)> for Places<T> {
    /// Of two values for one place the last counts.
    fn from_iter<I: IntoIterator<Item = (Path, T)>>(places: I) -> Self {
        let mut made = Places::default();
        for (place, value) in places {
            made.insert(place, value);
        }
        made
    }
}

impl std::borrow::Borrow<[u32]> for Path {
    fn borrow(&self) -> &[u32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// As asking every place in turn.
        #[test]
        fn the_outermost_place_is_found(
            places in proptest::collection::vec(proptest::collection::vec(0u32..3, 0..4), 0..12),
            path in proptest::collection::vec(0u32..3, 0..6),
        ) {
            let path = Path(path);
            let all: Vec<Path> = places.into_iter().map(Path).collect();
            let index: Places<()> = all.iter().map(|place| (place.clone(), ())).collect();
            let first = |other: bool| {
                let holding = all.iter().filter(|place| path.is_in(place) && !(other && **place == path));
                holding.min_by_key(|place| place.depth())
            };
            prop_assert_eq!(index.holding(&path).map(|(place, ())| place), first(false));
            prop_assert_eq!(index.above(&path).map(|(place, ())| place), first(true));
        }
    }
}
