//! The one budget that all shards share.
//!
//! Decision: a single atomic sum instead of a fixed slice per shard, so that an entry may be as heavy as the
//! whole cache and no shard wastes room another one needs. Weight is reserved before an entry becomes
//! reachable and released after it no longer is, so the sum never understates and never passes the limit.

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct Budget {
    used: AtomicU64,
    /// What reservations are held to. It falls before `capacity` does, and rises after it.
    limit: AtomicU64,
    /// What readers are told, so that none ever sees more weight than capacity.
    capacity: AtomicU64,
}

impl Budget {
    pub(crate) fn new(capacity: u64) -> Self {
        Budget {
            used: AtomicU64::new(0),
            limit: AtomicU64::new(capacity),
            capacity: AtomicU64::new(capacity),
        }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Acquire)
    }

    /// Takes `weight` out of what is left, or takes nothing and answers no.
    pub(crate) fn reserve(&self, weight: u64) -> bool {
        let limit = self.limit();
        // A cache that is full is told so by a load.
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                used.checked_add(weight).filter(|sum| *sum <= limit)
            })
            .is_ok()
    }

    /// Whether so much could be reserved now.
    #[inline]
    pub(crate) fn has_room_for(&self, weight: u64) -> bool {
        self.used.load(Ordering::Relaxed).checked_add(weight).is_some_and(|sum| sum <= self.limit())
    }

    pub(crate) fn release(&self, weight: u64) {
        let before = self.used.fetch_sub(weight, Ordering::AcqRel);
        debug_assert!(before >= weight, "released {weight} of {before}");
    }

    /// The first half of a change of capacity: from now on reservations obey the smaller of old and new.
    pub(crate) fn begin_resize(&self, capacity: u64) {
        if capacity < self.capacity() {
            self.limit.store(capacity, Ordering::Release);
        }
    }

    /// The second half, once what had to leave has left.
    pub(crate) fn finish_resize(&self, capacity: u64) {
        self.capacity.store(capacity, Ordering::Release);
        self.limit.store(capacity, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_stop_exactly_at_the_limit() {
        let budget = Budget::new(10);
        assert!(budget.reserve(10));
        assert!(!budget.reserve(1));
        assert!(budget.reserve(0));
        budget.release(4);
        assert!(!budget.reserve(u64::MAX));
        assert!(budget.reserve(4));
        assert_eq!(budget.used(), 10);
    }

    #[test]
    fn a_shrinking_capacity_binds_writers_before_readers_hear_of_it() {
        let budget = Budget::new(10);
        assert!(budget.reserve(8));
        budget.begin_resize(5);
        assert!(!budget.reserve(1));
        assert_eq!(budget.capacity(), 10);
        budget.release(4);
        budget.finish_resize(5);
        assert!(budget.reserve(1));
        assert_eq!((budget.used(), budget.capacity()), (5, 5));
    }
}
