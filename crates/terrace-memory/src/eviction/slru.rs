//! Segmented LRU ("Caching strategies to improve disk system performance", Karedla, Love and Wherry, IEEE
//! Computer 1994).
//!
//! What was used at least twice stands in a protected segment of four fifths of the capacity; what falls out
//! of it goes through the probation segment once more before it leaves.

use std::sync::Arc;

use super::queues::Queues;
use super::{Hits, Marks, Policy, Setup};

const PROBATION: usize = 0;
const PROTECTED: usize = 1;

/// Evicts the least recently used of what was used once, and only then of the rest.
#[derive(Debug)]
pub struct Slru {
    queues: Queues<2>,
    most_protected: u64,
}

impl Policy for Slru {
    const NAME: &'static str = "slru";
    const HITS: Hits = Hits::Exclusive;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(setup: Setup, _shared: &Arc<()>) -> Self {
        Slru { queues: Queues::default(), most_protected: four_fifths(setup.capacity) }
    }

    fn set_capacity(&mut self, setup: Setup) {
        self.most_protected = four_fifths(setup.capacity);
        self.demote();
    }

    fn insert<M: Marks>(&mut self, slot: u32, _hash: u64, weight: u32, _marks: &M) {
        self.queues.push_head(PROBATION, slot, weight);
    }

    fn used<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.queues.promote(PROTECTED, slot);
        self.demote();
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queues.reweigh(slot, weight);
        self.demote();
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.queues.unlink(slot);
    }

    fn victim<M: Marks>(&mut self, _marks: &M) -> Option<u32> {
        self.queues.pop_tail(PROBATION).or_else(|| self.queues.pop_tail(PROTECTED))
    }

    fn clear(&mut self) {
        self.queues = Queues::default();
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        for queue in [PROBATION, PROTECTED] {
            self.queues.oldest_first(queue).for_each(|slot| show(slot, queue as f64));
        }
    }

    fn heap_bytes(&self) -> usize {
        self.queues.heap_bytes()
    }
}

impl Slru {
    fn demote(&mut self) {
        while self.queues.weight(PROTECTED) > self.most_protected
            && let Some(slot) = self.queues.tail(PROTECTED)
        {
            self.queues.promote(PROBATION, slot);
        }
    }
}

/// Four fifths, rounded down, without overflow.
pub(super) fn four_fifths(capacity: u64) -> u64 {
    capacity - capacity.div_ceil(5)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    #[test]
    fn the_protected_outlive_the_rest_and_fall_back_into_probation() {
        let (mut slru, marks): (Slru, _) = (alone(5), PlainMarks::new(5));
        for slot in 0..5 {
            slru.insert(slot, 0, 1, &marks);
        }
        for slot in [0, 1, 2, 3, 4, 1] {
            slru.used(slot, &marks);
        }
        // Four are protected; 0 fell back.
        assert_eq!(slru.queues.len(PROTECTED), 4);
        assert_eq!(std::iter::from_fn(|| slru.victim(&marks)).collect::<Vec<_>>(), [0, 2, 3, 4, 1]);
    }
}
