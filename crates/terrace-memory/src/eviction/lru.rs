//! Least recently used: the yardstick every other policy is measured with.
//!
//! Decision: exact, so each hit moves its entry to the head and therefore needs the shard's write lock.

use std::sync::Arc;

use super::queues::Queues;
use super::{Hits, Marks, Policy, Setup};

/// Evicts whatever was used longest ago.
#[derive(Debug, Default)]
pub struct Lru {
    queue: Queues<1>,
}

impl Policy for Lru {
    const NAME: &'static str = "lru";
    const HITS: Hits = Hits::Exclusive;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(_setup: Setup, _shared: &Arc<()>) -> Self {
        Lru::default()
    }

    fn set_capacity(&mut self, _setup: Setup) {}

    fn insert<M: Marks>(&mut self, slot: u32, _hash: u64, weight: u32, _marks: &M) {
        self.queue.push_head(0, slot, weight);
    }

    fn used<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.queue.promote(0, slot);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queue.reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.queue.unlink(slot);
    }

    fn victim<M: Marks>(&mut self, _marks: &M) -> Option<u32> {
        self.queue.pop_tail(0)
    }

    fn clear(&mut self) {
        *self = Lru::default();
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        self.queue.oldest_first(0).for_each(|slot| show(slot, 0.0));
    }

    fn heap_bytes(&self) -> usize {
        self.queue.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    #[test]
    fn the_least_recently_used_leaves_first() {
        let (mut lru, marks): (Lru, _) = (alone(4), PlainMarks::new(4));
        for slot in 0..4 {
            lru.insert(slot, 0, 1, &marks);
        }
        lru.used(0, &marks);
        lru.used(2, &marks);
        lru.remove(3, &marks);
        lru.used(3, &marks);
        assert_eq!(std::iter::from_fn(|| lru.victim(&marks)).collect::<Vec<_>>(), [1, 0, 2]);
    }
}
