//! LFU with dynamic aging ("Evaluating content management techniques for web proxy caches", Arlitt et al.,
//! Performance Evaluation Review 2000).
//!
//! An entry's priority is its count of uses plus the *age* of the cache when it was last used; the age is the
//! priority of the last victim. So what was popular long ago falls behind what is popular now.
//!
//! Decision: a heap, O(log n) an access, because ages make any number of different priorities.

use std::sync::Arc;

use super::heap::Heap;
use super::{Hits, Marks, Policy, Setup};
use crate::slab::cover;

/// Evicts what was used least often, counting the more for every use the more recent it is.
#[derive(Debug, Default)]
pub struct Lfu {
    heap: Heap,
    uses: Vec<u32>,
    age: f64,
}

impl Policy for Lfu {
    const NAME: &'static str = "lfu";
    const HITS: Hits = Hits::Exclusive;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(_setup: Setup, _shared: &Arc<()>) -> Self {
        Lfu::default()
    }

    fn set_capacity(&mut self, _setup: Setup) {}

    fn insert<M: Marks>(&mut self, slot: u32, _hash: u64, _weight: u32, _marks: &M) {
        cover(&mut self.uses, slot);
        self.uses[slot as usize] = 1;
        self.heap.set(slot, self.age + 1.0);
    }

    fn used<M: Marks>(&mut self, slot: u32, _marks: &M) {
        if self.heap.contains(slot) {
            let uses = &mut self.uses[slot as usize];
            *uses = uses.saturating_add(1);
            self.heap.set(slot, self.age + f64::from(*uses));
        }
    }

    fn reweigh(&mut self, _slot: u32, _weight: u32) {}

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
        *self = Lfu::default();
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        // Without the age, by which the shards differ.
        self.heap.ascending().into_iter().for_each(|(slot, priority)| show(slot, priority - self.age));
    }

    fn heap_bytes(&self) -> usize {
        self.heap.heap_bytes() + self.uses.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    #[test]
    fn the_least_used_leaves_and_age_overtakes_old_fame() {
        let (mut lfu, marks): (Lfu, _) = (alone(2), PlainMarks::new(2));
        lfu.insert(0, 0, 1, &marks);
        for _ in 0..3 {
            lfu.used(0, &marks);
        }
        // Each newcomer leaves and makes the next one worth one more, until the old favourite is passed.
        for _ in 0..4 {
            lfu.insert(1, 1, 1, &marks);
            if lfu.victim(&marks) == Some(0) {
                return;
            }
        }
        panic!("what was used once, long ago, stays for ever");
    }
}
