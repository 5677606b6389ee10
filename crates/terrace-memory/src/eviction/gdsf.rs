//! GreedyDual-Size-Frequency: uses per byte, with aging ("Improving WWW proxies performance with
//! Greedy-Dual-Size-Frequency caching policy", Cherkasova, HP Labs 1998).
//!
//! An entry's priority is its count of uses divided by its weight, plus the age of the cache when it was last
//! used; the age is the priority of the last victim. Made for objects of different sizes where hits count, not
//! bytes; with equal weights it is [`Lfu`](super::Lfu).
//!
//! Decision: a heap, O(log n) an access.

use std::sync::Arc;

use super::heap::Heap;
use super::{Hits, Marks, Policy, Setup};
use crate::slab::cover;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    uses: u32,
    weight: u32,
    /// The age of the cache when it was last used.
    age: f64,
}

impl Entry {
    fn priority(&self) -> f64 {
        self.age + f64::from(self.uses) / f64::from(self.weight.max(1))
    }
}

/// Evicts what gives the fewest uses for its weight.
#[derive(Debug, Default)]
pub struct Gdsf {
    heap: Heap,
    entries: Vec<Entry>,
    age: f64,
}

impl Policy for Gdsf {
    const NAME: &'static str = "gdsf";
    const HITS: Hits = Hits::Exclusive;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(_setup: Setup, _shared: &Arc<()>) -> Self {
        Gdsf::default()
    }

    fn set_capacity(&mut self, _setup: Setup) {}

    fn insert<M: Marks>(&mut self, slot: u32, _hash: u64, weight: u32, _marks: &M) {
        cover(&mut self.entries, slot);
        self.set(slot, Entry { uses: 1, weight, age: self.age });
    }

    fn used<M: Marks>(&mut self, slot: u32, _marks: &M) {
        if self.heap.contains(slot) {
            let Entry { uses, weight, .. } = self.entries[slot as usize];
            self.set(slot, Entry { uses: uses.saturating_add(1), weight, age: self.age });
        }
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        if self.heap.contains(slot) {
            self.set(slot, Entry { weight, ..self.entries[slot as usize] });
        }
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.heap.remove(slot);
    }

    fn victim<M: Marks>(&mut self, _marks: &M) -> Option<u32> {
        let (slot, priority) = self.heap.first()?;
        self.heap.remove(slot);
        self.age = priority;
        Some(slot)
    }

    fn clear(&mut self) {
        *self = Gdsf::default();
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        // Without the age, by which the shards differ.
        self.heap.ascending().into_iter().for_each(|(slot, priority)| show(slot, priority - self.age));
    }

    fn heap_bytes(&self) -> usize {
        self.heap.heap_bytes() + self.entries.capacity() * size_of::<Entry>()
    }
}

impl Gdsf {
    fn set(&mut self, slot: u32, entry: Entry) {
        self.entries[slot as usize] = entry;
        self.heap.set(slot, entry.priority());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    #[test]
    fn the_heaviest_of_equally_popular_entries_leaves_first() {
        let (mut gdsf, marks): (Gdsf, _) = (alone(1000), PlainMarks::new(4));
        for (slot, weight) in [(0, 10), (1, 500), (2, 30), (3, 40)] {
            gdsf.insert(slot, 0, weight, &marks);
        }
        for _ in 0..4 {
            gdsf.used(3, &marks);
        }
        gdsf.reweigh(2, 5);
        assert_eq!([(); 4].map(|()| gdsf.victim(&marks)), [1, 0, 3, 2].map(Some));
    }
}
