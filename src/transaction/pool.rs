//! What a worker buffers: bodies that are not whole, counted by caller and by connection.
//!
//! While less than half of the pool is in use, anybody may use it: in front of many a proxy there is one service with one
//! identity. Beyond that a caller, and a connection, that holds its share gets no more, so that the others are served.

use std::collections::HashMap;
use std::sync::Arc;

/// A caller or a connection.
pub(super) type Holder = Arc<[u8]>;

/// The share of one holder: this part of the pool.
const SHARE: usize = 8;

/// The bytes of bodies that a worker holds.
#[derive(Debug, Default)]
pub(super) struct BufferPool {
    total: usize,
    shares: HashMap<Holder, usize>,
}

impl BufferPool {
    /// Counts bytes that are held for these holders; false when the pool of `most` bytes has no room for them. A share is
    /// no less than `one` body.
    pub(super) fn hold(&mut self, bytes: usize, most: usize, one: usize, holders: &[Holder]) -> bool {
        let share = one.max(most / SHARE);
        let total = self.total.saturating_add(bytes);
        let holds = |holder: &Holder| self.shares.get(holder).copied().unwrap_or(0).saturating_add(bytes);
        if total > most || total > most / 2 && holders.iter().any(|holder| holds(holder) > share) {
            return false;
        }
        self.total = total;
        for holder in holders {
            *self.shares.entry(Arc::clone(holder)).or_default() += bytes;
        }
        true
    }

    /// True while, with `more` bytes, so much of a pool of `most` bytes is free that no connection's share is in question.
    pub(super) fn has_plenty(&self, more: usize, most: usize) -> bool {
        self.total.saturating_add(more) < most / 4
    }

    /// From now on bytes that are held already count for this holder too.
    pub(super) fn join(&mut self, bytes: usize, holder: &Holder) {
        if bytes > 0 {
            *self.shares.entry(Arc::clone(holder)).or_default() += bytes;
        }
    }

    /// The bytes that are held.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Counts bytes that are no longer held.
    pub(super) fn release(&mut self, bytes: usize, holders: &[Holder]) {
        self.total = self.total.saturating_sub(bytes);
        for holder in holders {
            if let Some(held) = self.shares.get_mut(holder) {
                *held = held.saturating_sub(bytes);
                if *held == 0 {
                    self.shares.remove(holder);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_leaves_room_for_others() {
        let mut pool = BufferPool::default();
        let holder = |name: &str| -> Holder { name.as_bytes().into() };
        let (greedy, other) = ([holder("c1"), holder("n1")], [holder("c2"), holder("n2")]);
        let mut held = 0;
        while pool.hold(10, 1600, 100, &greedy) {
            held += 10;
        }
        assert_eq!(held, 800, "half of the pool");
        assert!(!pool.hold(10, 1600, 100, &[holder("c3"), holder("n1")]), "another caller on the same connection");
        assert!(pool.hold(200, 1600, 100, &other), "another caller's share");
        assert!(!pool.hold(1, 1600, 100, &other), "and no more");
        pool.release(800, &greedy);
        assert!(pool.hold(600, 1600, 100, &other), "half of the pool is for anybody again");
        pool.release(800, &other);
        assert!(pool.hold(1500, 1600, 1600, &other), "one body may be larger than a share");
        pool.release(1500, &other);
        assert!(pool.total == 0 && pool.shares.is_empty());
    }

    #[test]
    fn who_joins_late_counts_for_all_that_is_held() {
        let mut pool = BufferPool::default();
        let holder = |name: &str| -> Holder { name.as_bytes().into() };
        let (caller, connection) = (holder("c"), holder("n"));
        assert!(pool.has_plenty(399, 1600) && !pool.has_plenty(400, 1600));
        assert!(pool.hold(300, 1600, 100, std::slice::from_ref(&caller)));
        pool.join(300, &connection);
        let both = [caller, connection.clone()];
        assert!(pool.hold(500, 1600, 100, &both), "anybody's half is not full yet");
        assert!(!pool.hold(1, 1600, 100, &[connection]), "its share is, with what was there before");
        pool.release(800, &both);
        assert!(pool.total == 0 && pool.shares.is_empty());
    }

    #[test]
    fn the_pool_is_never_passed() {
        let mut pool = BufferPool::default();
        let holders: Vec<Holder> = (0..64_u8).map(|n| [n].as_slice().into()).collect();
        let held: usize = holders.iter().filter(|one| pool.hold(100, 1000, 0, std::slice::from_ref(one))).count() * 100;
        assert_eq!(held, 1000);
        assert!(!pool.hold(usize::MAX, 1000, 0, &holders));
    }
}
