//! Least recently used: the yardstick every other policy is measured with.
//!
//! Decision: exact, so each hit moves its entry to the head and therefore needs the shard's write lock.

use super::Policy;
use super::queue::{Links, Queue};

/// Evicts whatever was used longest ago.
#[derive(Debug, Default)]
pub struct Lru {
    links: Links,
    queue: Queue,
    /// Slots standing in the queue.
    known: Vec<bool>,
}

impl Policy for Lru {
    const NAME: &'static str = "lru";
    const EXCLUSIVE_HITS: bool = true;

    fn with_capacity(_capacity: u64) -> Self {
        Lru::default()
    }

    fn set_capacity(&mut self, _capacity: u64) {}

    fn insert(&mut self, slot: u32, _hash: u64, weight: u32) {
        crate::slab::cover(&mut self.known, slot);
        self.known[slot as usize] = true;
        self.queue.push_head(&mut self.links, slot, weight);
    }

    /// Shared access cannot reorder the queue; the engine calls [`hit_exclusive`](Policy::hit_exclusive).
    fn hit(&self, _slot: u32) {}

    fn hit_exclusive(&mut self, slot: u32) {
        if self.knows(slot) {
            self.queue.refresh(&mut self.links, slot);
        }
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        if self.knows(slot) {
            self.queue.reweigh(&mut self.links, slot, weight);
        }
    }

    fn remove(&mut self, slot: u32) {
        if self.knows(slot) {
            self.known[slot as usize] = false;
            self.queue.unlink(&mut self.links, slot);
        }
    }

    fn victim(&mut self) -> Option<u32> {
        let slot = self.queue.tail()?;
        self.remove(slot);
        Some(slot)
    }

    fn clear(&mut self) {
        *self = Lru::default();
    }

    fn heap_bytes(&self) -> usize {
        self.links.heap_bytes() + self.known.capacity()
    }
}

impl Lru {
    fn knows(&self, slot: u32) -> bool {
        self.known.get(slot as usize).copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_leaves_first() {
        let mut lru = Lru::with_capacity(4);
        for slot in 0..4 {
            lru.insert(slot, 0, 1);
        }
        lru.hit_exclusive(0);
        lru.hit_exclusive(2);
        lru.remove(3);
        lru.hit_exclusive(3);
        assert_eq!(std::iter::from_fn(|| lru.victim()).collect::<Vec<_>>(), [1, 0, 2]);
    }
}
