//! Sorting with one function for every type. The standard library's sorts are compiled for each type apart, ten kilobytes
//! of code a piece; what is sorted here is short.

use std::cmp::Ordering;
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
    }
}
