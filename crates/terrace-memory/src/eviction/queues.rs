//! The queues of one policy and which of them each entry stands in.
//!
//! Decision: an entry stands in at most one queue, so one byte a slot says which, and 0 says that the slot is
//! not known at all. Calls that name a slot the policy does not know then fall out here, once for all policies.

use super::Marks;
use super::queue::{Links, Queue};
use crate::slab::cover;

/// `N` queues over one set of slots; they are named by their index.
#[derive(Debug)]
pub(super) struct Queues<const N: usize> {
    links: Links,
    /// The index of the queue and one more; 0 for a slot that stands in none.
    places: Vec<u8>,
    queues: [Queue; N],
}

impl<const N: usize> Default for Queues<N> {
    fn default() -> Self {
        Queues {
            links: Links::default(),
            places: Vec::new(),
            queues: std::array::from_fn(|_| Queue::default()),
        }
    }
}

impl<const N: usize> Queues<N> {
    /// The queue a slot stands in.
    #[inline]
    pub(super) fn place(&self, slot: u32) -> Option<usize> {
        self.places.get(slot as usize).and_then(|place| usize::from(*place).checked_sub(1))
    }

    /// Puts a slot that stands in no queue at the head of one.
    pub(super) fn push_head(&mut self, queue: usize, slot: u32, weight: u32) {
        self.settle(queue, slot);
        self.queues[queue].push_head(&mut self.links, slot, weight);
    }

    fn settle(&mut self, queue: usize, slot: u32) {
        // A slot that is inserted twice without having left would tear its queue apart.
        self.unlink(slot);
        cover(&mut self.places, slot);
        self.places[slot as usize] = queue as u8 + 1;
    }

    /// Takes a slot out of its queue, if it stands in one, and returns that queue and the entry's weight.
    pub(super) fn unlink(&mut self, slot: u32) -> Option<(usize, u32)> {
        let queue = self.place(slot)?;
        let weight = self.links.weight(slot);
        self.queues[queue].unlink(&mut self.links, slot);
        self.places[slot as usize] = 0;
        Some((queue, weight))
    }

    /// Moves a slot that stands in some queue to the head of this one.
    pub(super) fn promote(&mut self, queue: usize, slot: u32) {
        match self.place(slot) {
            Some(place) if place == queue => self.queues[queue].refresh(&mut self.links, slot),
            Some(_) => {
                if let Some((_, weight)) = self.unlink(slot) {
                    self.push_head(queue, slot, weight);
                }
            }
            None => {}
        }
    }

    /// Takes the oldest entry out of a queue.
    pub(super) fn pop_tail(&mut self, queue: usize) -> Option<u32> {
        let slot = self.tail(queue)?;
        self.unlink(slot);
        Some(slot)
    }

    /// Takes the oldest entry that is not marked out of a queue; those that are go to its head, without their mark.
    pub(super) fn pop_unused<M: Marks>(&mut self, queue: usize, marks: &M) -> Option<u32> {
        // After one round every mark is clear, but for those of hits at this very moment.
        for _ in 0..self.len(queue) {
            let slot = self.tail(queue)?;
            if marks.get(slot) == 0 {
                break;
            }
            marks.set(slot, 0);
            self.promote(queue, slot);
        }
        self.pop_tail(queue)
    }

    pub(super) fn reweigh(&mut self, slot: u32, weight: u32) {
        if let Some(queue) = self.place(slot) {
            self.queues[queue].reweigh(&mut self.links, slot, weight);
        }
    }

    #[inline]
    pub(super) fn tail(&self, queue: usize) -> Option<u32> {
        self.queues[queue].tail()
    }

    /// The entry that came into the same queue after this one.
    #[inline]
    pub(super) fn newer(&self, slot: u32) -> Option<u32> {
        self.links.newer(slot)
    }

    /// The entries of a queue, from its tail to its head.
    pub(super) fn oldest_first(&self, queue: usize) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(self.tail(queue), |slot| self.newer(*slot))
    }

    /// What an entry weighs that stands in some queue.
    #[inline]
    pub(super) fn weight_of(&self, slot: u32) -> u32 {
        self.links.weight(slot)
    }

    pub(super) fn len(&self, queue: usize) -> usize {
        self.queues[queue].len()
    }

    pub(super) fn weight(&self, queue: usize) -> u64 {
        self.queues[queue].weight()
    }

    /// How many entries stand in all queues together.
    pub(super) fn total_len(&self) -> usize {
        self.queues.iter().map(Queue::len).sum()
    }

    /// What the entries of all queues weigh together.
    pub(super) fn total_weight(&self) -> u64 {
        self.queues.iter().map(Queue::weight).sum()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.links.heap_bytes() + self.places.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_move_between_queues_with_their_weight_and_unknown_ones_are_ignored() {
        let mut queues: Queues<2> = Queues::default();
        for slot in 0..4 {
            queues.push_head(0, slot, 10 + slot);
        }
        queues.promote(1, 2);
        queues.promote(0, 0);
        queues.promote(1, 99);
        queues.reweigh(3, 1);
        queues.reweigh(77, 1);
        assert_eq!((queues.unlink(50), queues.place(50)), (None, None));
        assert_eq!((queues.weight(0), queues.weight(1), queues.total_weight()), (22, 12, 34));
        assert_eq!((queues.len(0), queues.len(1), queues.total_len()), (3, 1, 4));
        assert_eq!((queues.newer(1), queues.newer(3), queues.newer(0)), (Some(3), Some(0), None));
        let order: Vec<_> = std::iter::from_fn(|| queues.pop_tail(0)).collect();
        assert_eq!(order, [1, 3, 0]);
        assert_eq!((queues.pop_tail(1), queues.pop_tail(1)), (Some(2), None));
        assert_eq!((queues.total_len(), queues.total_weight()), (0, 0));
    }

    #[test]
    fn a_slot_put_in_twice_stands_in_one_place() {
        let mut queues: Queues<2> = Queues::default();
        queues.push_head(0, 1, 5);
        queues.push_head(1, 1, 6);
        assert_eq!((queues.len(0), queues.len(1), queues.total_weight()), (0, 1, 6));
    }
}
