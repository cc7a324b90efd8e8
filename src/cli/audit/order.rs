//! Which records are not in their place.

use std::collections::BTreeSet;

/// The places of the fewest numbers without which the others rise or stay.
pub(super) fn out_of_order(numbers: &[u64]) -> BTreeSet<usize> {
    if numbers.is_sorted() {
        return BTreeSet::new();
    }
    // The last place of the best rising row of each length, and the place before each.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(numbers.len());
    let number = |place: usize| numbers.get(place).copied().unwrap_or_default();
    for (place, one) in numbers.iter().enumerate() {
        let length = ends.partition_point(|end| number(*end) <= *one);
        before.push(length.checked_sub(1).and_then(|length| ends.get(length).copied()));
        match ends.get_mut(length) {
            Some(end) => *end = place,
            None => ends.push(place),
        }
    }
    let mut moved: BTreeSet<usize> = (0..numbers.len()).collect();
    let mut place = ends.last().copied();
    while let Some(at) = place {
        moved.remove(&at);
        place = before.get(at).copied().flatten();
    }
    moved
}
