//! The queue that the policies are made of: a doubly linked list threaded through a vector indexed by slot.
//!
//! Decision: several queues share one vector of links, since an entry stands in at most one of them; indices
//! instead of pointers keep it safe code. Weights take memory only once they differ: where entries are counted, or
//! all weigh the same, a slot costs eight bytes.

use crate::slab::{NIL, cover};

/// The place of one entry in the queue it stands in.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// Towards the head: inserted later.
    newer: u32,
    /// Towards the tail: inserted earlier.
    older: u32,
}

impl Default for Link {
    fn default() -> Self {
        Link { newer: NIL, older: NIL }
    }
}

/// The links of all slots of a shard.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: Vec<Link>,
    weights: Weights,
}

/// What slots weigh.
#[derive(Debug, Default)]
pub(super) enum Weights {
    #[default]
    Unknown,
    /// All that ever came in weigh the same.
    Alike(u32),
    Each(Vec<u32>),
}

impl Weights {
    #[inline]
    pub(super) fn of(&self, slot: u32) -> u32 {
        match self {
            Weights::Alike(weight) => *weight,
            Weights::Unknown => 0,
            Weights::Each(weights) => weights.get(slot as usize).copied().unwrap_or(0),
        }
    }

    /// Notes what one of so many slots weighs.
    #[inline]
    pub(super) fn set(&mut self, slot: u32, weight: u32, slots: usize) {
        match self {
            Weights::Alike(common) if *common == weight => {}
            _ => self.set_own(slot, weight, slots),
        }
    }

    fn set_own(&mut self, slot: u32, weight: u32, slots: usize) {
        match self {
            Weights::Unknown => *self = Weights::Alike(weight),
            Weights::Alike(common) => {
                let mut weights = vec![*common; slots];
                cover(&mut weights, slot);
                weights[slot as usize] = weight;
                *self = Weights::Each(weights);
            }
            Weights::Each(weights) => {
                cover(weights, slot);
                weights[slot as usize] = weight;
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Weights::Each(weights) => weights.capacity() * size_of::<u32>(),
            _ => 0,
        }
    }
}

impl Links {
    #[inline]
    pub(super) fn weight(&self, slot: u32) -> u32 {
        self.weights.of(slot)
    }

    #[inline]
    fn set_weight(&mut self, slot: u32, weight: u32) {
        self.weights.set(slot, weight, self.links.len());
    }

    /// The slot that stands one place nearer to the head of the same queue.
    #[inline]
    pub(super) fn newer(&self, slot: u32) -> Option<u32> {
        self.links.get(slot as usize).map(|link| link.newer).filter(|newer| *newer != NIL)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>() + self.weights.heap_bytes()
    }
}

/// One queue: entries come in at the head and leave at the tail.
#[derive(Debug)]
pub(super) struct Queue {
    head: u32,
    tail: u32,
    len: usize,
    weight: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Queue { head: NIL, tail: NIL, len: 0, weight: 0 }
    }
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    pub(super) fn tail(&self) -> Option<u32> {
        (self.tail != NIL).then_some(self.tail)
    }

    pub(super) fn push_head(&mut self, links: &mut Links, slot: u32, weight: u32) {
        cover(&mut links.links, slot);
        links.links[slot as usize] = Link { newer: NIL, older: self.head };
        links.set_weight(slot, weight);
        match self.head {
            NIL => self.tail = slot,
            head => links.links[head as usize].newer = slot,
        }
        self.head = slot;
        self.len += 1;
        self.weight += u64::from(weight);
    }

    /// Takes out an entry that stands in this queue.
    pub(super) fn unlink(&mut self, links: &mut Links, slot: u32) {
        let Link { newer, older } = links.links[slot as usize];
        match newer {
            NIL => self.head = older,
            newer => links.links[newer as usize].older = older,
        }
        match older {
            NIL => self.tail = newer,
            older => links.links[older as usize].newer = newer,
        }
        self.len -= 1;
        self.weight -= u64::from(links.weight(slot));
    }

    /// Moves an entry of this queue to its head.
    pub(super) fn refresh(&mut self, links: &mut Links, slot: u32) {
        if self.head != slot {
            let weight = links.weight(slot);
            self.unlink(links, slot);
            self.push_head(links, slot, weight);
        }
    }

    pub(super) fn reweigh(&mut self, links: &mut Links, slot: u32, weight: u32) {
        self.weight = self.weight - u64::from(links.weight(slot)) + u64::from(weight);
        links.set_weight(slot, weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut Queue, links: &mut Links) -> Vec<u32> {
        std::iter::from_fn(|| queue.tail().inspect(|slot| queue.unlink(links, *slot))).collect()
    }

    #[test]
    fn entries_leave_in_the_order_they_came_unless_refreshed() {
        let (mut queue, mut links) = (Queue::default(), Links::default());
        for slot in 0..5 {
            queue.push_head(&mut links, slot, 10 + slot);
        }
        assert_eq!((queue.len(), queue.weight()), (5, 60));
        queue.refresh(&mut links, 0);
        queue.refresh(&mut links, 2);
        queue.refresh(&mut links, 2);
        queue.unlink(&mut links, 3);
        queue.reweigh(&mut links, 4, 1);
        assert_eq!((queue.len(), queue.weight()), (4, 34));
        assert_eq!(drain(&mut queue, &mut links), [1, 4, 0, 2]);
        assert_eq!((queue.len(), queue.weight(), queue.tail()), (0, 0, None));
    }

    #[test]
    fn weights_take_memory_only_once_they_differ() {
        let (mut queue, mut links) = (Queue::default(), Links::default());
        for slot in 0..16 {
            queue.push_head(&mut links, slot, 7);
        }
        assert_eq!((links.heap_bytes(), queue.weight(), links.weight(3)), (16 * 8, 112, 7));
        queue.reweigh(&mut links, 3, 9);
        queue.push_head(&mut links, 16, 1);
        queue.unlink(&mut links, 0);
        assert_eq!([3, 4, 16].map(|slot| links.weight(slot)), [9, 7, 1]);
        assert_eq!(queue.weight(), 14 * 7 + 9 + 1);
    }

    #[test]
    fn two_queues_share_the_links() {
        let (mut a, mut b, mut links) = (Queue::default(), Queue::default(), Links::default());
        a.push_head(&mut links, 0, 1);
        b.push_head(&mut links, 1, 1);
        a.push_head(&mut links, 2, 1);
        a.unlink(&mut links, 0);
        b.push_head(&mut links, 0, 1);
        assert_eq!(drain(&mut a, &mut links), [2]);
        assert_eq!(drain(&mut b, &mut links), [1, 0]);
    }
}
