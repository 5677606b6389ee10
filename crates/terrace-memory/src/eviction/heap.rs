//! A priority queue of slots whose priorities change: a binary heap that knows where each slot stands in it.
//!
//! Decision: among equals, what was touched longest ago comes first, so that a policy by frequency is one by
//! recency among entries of one frequency, and a replay repeats exactly.

use std::cmp::Ordering;

use crate::slab::{cover, make_room};

/// Smaller comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Rank {
    priority: f64,
    /// When it was set.
    touched: u64,
}

impl Rank {
    fn order(&self, other: &Rank) -> Ordering {
        self.priority.total_cmp(&other.priority).then(self.touched.cmp(&other.touched))
    }

    fn is_before(&self, other: &Rank) -> bool {
        self.order(other).is_lt()
    }
}

#[derive(Debug, Default)]
pub(super) struct Heap {
    /// Each slot comes before those at twice its place and one or two more.
    order: Vec<u32>,
    /// One more than each slot's place in `order`; 0 for a slot that is not in it.
    places: Vec<u32>,
    ranks: Vec<Rank>,
    touches: u64,
}

impl Heap {
    pub(super) fn contains(&self, slot: u32) -> bool {
        self.places.get(slot as usize).is_some_and(|place| *place != 0)
    }

    /// The slot that comes first, with its priority.
    pub(super) fn first(&self) -> Option<(u32, f64)> {
        self.order.first().map(|slot| (*slot, self.ranks[*slot as usize].priority))
    }

    /// Adds a slot, or gives it another priority. O(log n).
    pub(super) fn set(&mut self, slot: u32, priority: f64) {
        cover(&mut self.places, slot);
        cover(&mut self.ranks, slot);
        self.touches += 1;
        self.ranks[slot as usize] = Rank { priority, touched: self.touches };
        if self.places[slot as usize] == 0 {
            make_room(&mut self.order);
            self.order.push(slot);
            self.places[slot as usize] = self.order.len() as u32;
        }
        let place = self.places[slot as usize] as usize - 1;
        let place = self.rise(place);
        self.sink(place);
    }

    /// Takes a slot out, if it is in. O(log n).
    pub(super) fn remove(&mut self, slot: u32) {
        if !self.contains(slot) {
            return;
        }
        let place = std::mem::take(&mut self.places[slot as usize]) as usize - 1;
        self.order.swap_remove(place);
        if place < self.order.len() {
            self.places[self.order[place] as usize] = place as u32 + 1;
            let place = self.rise(place);
            self.sink(place);
        }
    }

    /// All slots with their priorities, in their order. O(n log n).
    pub(super) fn ascending(&self) -> Vec<(u32, f64)> {
        let rank = |slot: &u32| self.ranks[*slot as usize];
        let mut slots = self.order.clone();
        slots.sort_unstable_by(|a, b| rank(a).order(&rank(b)));
        slots.iter().map(|slot| (*slot, rank(slot).priority)).collect()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        (self.order.capacity() + self.places.capacity()) * size_of::<u32>()
            + self.ranks.capacity() * size_of::<Rank>()
    }

    fn comes_before(&self, a: usize, b: usize) -> bool {
        self.ranks[self.order[a] as usize].is_before(&self.ranks[self.order[b] as usize])
    }

    fn exchange(&mut self, a: usize, b: usize) {
        self.order.swap(a, b);
        for place in [a, b] {
            self.places[self.order[place] as usize] = place as u32 + 1;
        }
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 && self.comes_before(place, (place - 1) / 2) {
            self.exchange(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = (2 * place + 1..self.order.len()).take(2);
            let Some(child) = children.reduce(|a, b| if self.comes_before(b, a) { b } else { a }) else {
                return;
            };
            if !self.comes_before(child, place) {
                return;
            }
            self.exchange(child, place);
            place = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_is_the_least_and_among_equals_the_one_touched_longest_ago(
            steps in prop::collection::vec((0..20u32, 0..6u32), 1..200),
        ) {
            let (mut heap, mut model): (Heap, Vec<(u32, f64)>) = Default::default();
            for (slot, what) in steps {
                model.retain(|(other, _)| *other != slot);
                if what == 0 {
                    heap.remove(slot);
                } else {
                    heap.set(slot, f64::from(what));
                    model.push((slot, f64::from(what)));
                }
                let first = model.iter().copied().reduce(|a, b| if b.1 < a.1 { b } else { a });
                prop_assert_eq!(heap.first(), first);
                prop_assert_eq!(heap.order.len(), model.len());
            }
        }
    }
}
