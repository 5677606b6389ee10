//! First in, first out: the baseline that ignores use altogether.

use super::Policy;
use super::queue::{Links, Queue};

/// Evicts whatever was inserted longest ago. A replaced value keeps its key's place.
#[derive(Debug, Default)]
pub struct Fifo {
    links: Links,
    queue: Queue,
    /// Slots standing in the queue.
    known: Vec<bool>,
}

impl Policy for Fifo {
    const NAME: &'static str = "fifo";
    const EXCLUSIVE_HITS: bool = false;

    fn with_capacity(_capacity: u64) -> Self {
        Fifo::default()
    }

    fn set_capacity(&mut self, _capacity: u64) {}

    fn insert(&mut self, slot: u32, _hash: u64, weight: u32) {
        crate::slab::cover(&mut self.known, slot);
        self.known[slot as usize] = true;
        self.queue.push_head(&mut self.links, slot, weight);
    }

    fn hit(&self, _slot: u32) {}

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
        *self = Fifo::default();
    }

    fn heap_bytes(&self) -> usize {
        self.links.heap_bytes() + self.known.capacity()
    }
}

impl Fifo {
    fn knows(&self, slot: u32) -> bool {
        self.known.get(slot as usize).copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_changes_nothing() {
        let mut fifo = Fifo::with_capacity(3);
        for slot in [2, 0, 1] {
            fifo.insert(slot, 0, 1);
        }
        fifo.hit(2);
        fifo.reweigh(2, 9);
        fifo.remove(0);
        fifo.remove(0);
        assert_eq!(std::iter::from_fn(|| fifo.victim()).collect::<Vec<_>>(), [2, 1]);
    }
}
