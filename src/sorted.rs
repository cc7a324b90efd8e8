//! Sorting with one function for every type. The standard library's sorts are compiled for each type apart, ten kilobytes
//! of code a piece; what is sorted here is short.

use std::borrow::Borrow;
use std::cmp::Ordering;
#[cfg(feature = "cli")]
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Sorts by a comparison. Equal items keep their order.
pub(crate) fn by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let of_places = &mut |a: usize, b: usize| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    };
    for (a, b) in swaps(items.len(), of_places) {
        items.swap(a, b);
    }
}

/// Sorts by a key. Equal items keep their order.
pub(crate) fn by_key<T, K: Ord>(items: &mut [T], mut key: impl FnMut(&T) -> K) {
    by(items, |a, b| key(a).cmp(&key(b)));
}

/// Sorts, and leaves each item once.
pub(crate) fn once<T: Ord>(items: &mut Vec<T>) {
    by(items, T::cmp);
    items.dedup();
}

/// What a set is made of, item by item: a set that is collected sorts it first.
pub(crate) fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut made = BTreeSet::new();
    made.extend(items);
    made
}

/// A map that is made once: a sorted list of its entries. A tree would be compiled for each type of value apart, with all
/// that it takes to change one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        SortedMap(Vec::new())
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// Of these entries. Of two with the same key the last counts.
    pub fn of(mut entries: Vec<(K, V)>) -> Self {
        entries.reverse();
        by(&mut entries, |(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|later, first| later.0 == first.0);
        SortedMap(entries)
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let at = self.0.binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// True if there is such a key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }
}

impl<K, V> SortedMap<K, V> {
    /// The entries, by key.
    pub fn iter(&self) -> Entries<'_, K, V> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> + Clone {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, by key.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        SortedMap::of(entries.into_iter().collect())
    }
}

/// The entries of a [`SortedMap`].
pub type Entries<'m, K, V> = std::iter::Map<std::slice::Iter<'m, (K, V)>, fn(&'m (K, V)) -> (&'m K, &'m V)>;

impl<'m, K, V> IntoIterator for &'m SortedMap<K, V> {
    type Item = (&'m K, &'m V);
    type IntoIter = Entries<'m, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The schema of a map that has these values.
#[cfg(feature = "cli")]
impl<K, V: schemars::JsonSchema> schemars::JsonSchema for SortedMap<K, V> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        BTreeMap::<String, V>::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        BTreeMap::<String, V>::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<String, V>::json_schema(generator)
    }

    fn inline_schema() -> bool {
        BTreeMap::<String, V>::inline_schema()
    }
}

/// The swaps, in order, that sort so many items.
#[inline(never)]
fn swaps(length: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<(usize, usize)> {
    let mut swaps = Vec::new();
    if (1..length).all(|at| compare(at - 1, at).is_le()) {
        return swaps;
    }
    let mut order: Vec<usize> = (0..length).collect();
    order.sort_by(|a, b| compare(*a, *b));
    // Where each item goes.
    let mut goal = vec![0; length];
    for (to, from) in order.into_iter().enumerate() {
        if let Some(goal) = goal.get_mut(from) {
            *goal = to;
        }
    }
    for at in 0..length {
        while let Some(to) = goal.get(at).copied().filter(|to| *to != at) {
            swaps.push((at, to));
            goal.swap(at, to);
        }
    }
    swaps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_the_standard_library_sorts(items in prop::collection::vec((0_u8..20, any::<u8>()), 0..200)) {
            let (mut ours, mut theirs) = (items.clone(), items.clone());
            super::by_key(&mut ours, |(key, _)| *key);
            theirs.sort_by_key(|(key, _)| *key);
            prop_assert_eq!(&ours, &theirs);
            super::once(&mut ours);
            theirs.sort();
            theirs.dedup();
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn as_a_tree_keeps_them(entries in prop::collection::vec((0_u8..20, any::<u8>()), 0..100)) {
            let map: super::SortedMap<u8, u8> = entries.iter().copied().collect();
            let tree: std::collections::BTreeMap<u8, u8> = entries.into_iter().collect();
            prop_assert!(map.iter().eq(tree.iter()) && map.keys().eq(tree.keys()) && map.values().eq(tree.values()));
            prop_assert!((0..=20).all(|key| map.get(&key) == tree.get(&key)));
            prop_assert!(map.into_iter().eq(tree));
        }
    }
}
