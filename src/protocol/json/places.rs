//! Places of one tree, asked for by what lies below them.

use std::collections::BTreeMap;

use super::Path;

/// A value for each of these places. A question costs a look-up for each step of its path, however many places there are.
#[derive(Clone, Debug)]
pub struct Places<T>(BTreeMap<Path, T>);

impl<T> Default for Places<T> {
    fn default() -> Self {
        Places(BTreeMap::new())
    }
}

impl<T> Places<T> {
    /// The outermost place that is this one or holds it.
    pub fn holding(&self, path: &Path) -> Option<(&Path, &T)> {
        self.first(path, path.0.len())
    }

    /// The outermost place that holds this one and is another.
    pub fn above(&self, path: &Path) -> Option<(&Path, &T)> {
        self.first(path, path.0.len().checked_sub(1)?)
    }

    fn first(&self, path: &Path, most: usize) -> Option<(&Path, &T)> {
        (0..=most).find_map(|depth| self.0.get_key_value(path.0.get(..depth)?))
    }
}

impl<T> FromIterator<(Path, T)> for Places<T> {
    /// Of two values for one place the last counts.
    fn from_iter<I: IntoIterator<Item = (Path, T)>>(places: I) -> Self {
        Places(places.into_iter().collect())
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
