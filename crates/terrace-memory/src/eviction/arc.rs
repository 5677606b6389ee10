//! ARC: an LRU queue for what was used once, another for what was used more often, and a border between them
//! that follows the ghosts of both ("ARC: a self-tuning, low overhead replacement cache", Megiddo and Modha,
//! FAST 2003).
//!
//! Decision: the paper looks for the key among the ghosts before it makes room. Here that happens when the miss
//! is told; without a miss told (a value stored unasked) it happens at the insertion, after room was made.
//! Sizes are weights, and the border moves by the weight of the ghost that came back.

use std::sync::Arc;

use super::ghost::{Ghost, fingerprint};
use super::queues::Queues;
use super::{Hits, Marks, Policy, Setup};
use crate::slab::cover;

/// T1 of the paper.
const ONCE: usize = 0;
/// T2 of the paper.
const OFTEN: usize = 1;

/// Where the key that is on its way in was remembered.
#[derive(Clone, Copy, Debug)]
struct Coming {
    hash: u64,
    from: Option<usize>,
}

/// Evicts the least recently used of one of two queues, whichever is larger than it has turned out to be worth.
///
/// The type is named `AdaptiveReplacement` because `Arc` is taken.
#[derive(Debug)]
pub struct AdaptiveReplacement {
    capacity: u64,
    /// What [`ONCE`] should weigh: p of the paper.
    target: u64,
    queues: Queues<2>,
    /// B1 and B2 of the paper.
    ghosts: [Ghost; 2],
    fingerprints: Vec<u32>,
    coming: Option<Coming>,
}

impl Policy for AdaptiveReplacement {
    const NAME: &'static str = "arc";
    const HITS: Hits = Hits::Exclusive;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(setup: Setup, _shared: &Arc<()>) -> Self {
        AdaptiveReplacement {
            capacity: setup.capacity,
            target: 0,
            queues: Queues::default(),
            ghosts: Default::default(),
            fingerprints: Vec::new(),
            coming: None,
        }
    }

    fn set_capacity(&mut self, setup: Setup) {
        self.capacity = setup.capacity;
        self.target = self.target.min(setup.capacity);
    }

    fn insert<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, _marks: &M) {
        let from = match self.coming.take() {
            Some(coming) if coming.hash == hash => coming.from,
            _ => self.recall(hash),
        };
        cover(&mut self.fingerprints, slot);
        self.fingerprints[slot as usize] = fingerprint(hash);
        let queue = if from.is_some() { OFTEN } else { ONCE };
        self.queues.push_head(queue, slot, weight);
    }

    fn used<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.queues.promote(OFTEN, slot);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queues.reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.queues.unlink(slot);
    }

    fn victim<M: Marks>(&mut self, _marks: &M) -> Option<u32> {
        let from = self.coming.and_then(|coming| coming.from);
        if from.is_none() {
            if self.queues.weight(ONCE) >= self.capacity && self.queues.len(ONCE) > 0 {
                // New keys fill the whole cache: their ghosts would tell nothing that the cache does not know.
                return self.queues.pop_tail(ONCE);
            }
            self.forget();
        }
        let once = self.queues.weight(ONCE);
        let once_is_large = once > self.target || (from == Some(OFTEN) && once == self.target);
        let queue = if once_is_large && self.queues.len(ONCE) > 0 { ONCE } else { OFTEN };
        self.replace(queue).or_else(|| self.replace(1 - queue))
    }

    fn miss(&mut self, hash: u64) {
        self.coming = Some(Coming { hash, from: self.recall(hash) });
    }

    fn clear(&mut self) {
        self.queues = Queues::default();
        self.ghosts = Default::default();
        self.fingerprints = Vec::new();
        (self.target, self.coming) = (0, None);
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        for queue in [ONCE, OFTEN] {
            self.queues.oldest_first(queue).for_each(|slot| show(slot, queue as f64));
        }
    }

    fn heap_bytes(&self) -> usize {
        let ghosts: usize = self.ghosts.iter().map(Ghost::heap_bytes).sum();
        self.queues.heap_bytes() + self.fingerprints.capacity() * size_of::<u32>() + ghosts
    }
}

impl AdaptiveReplacement {
    /// Looks for a key among the ghosts and moves the border in favour of the queue whose ghost it was.
    fn recall(&mut self, hash: u64) -> Option<usize> {
        let fingerprint = fingerprint(hash);
        let [once, often] = [self.ghosts[ONCE].weight(), self.ghosts[OFTEN].weight()];
        if let Some(weight) = self.ghosts[ONCE].take(fingerprint) {
            let step = step(weight, often, once);
            self.target = self.target.saturating_add(step).min(self.capacity);
            return Some(ONCE);
        }
        let weight = self.ghosts[OFTEN].take(fingerprint)?;
        self.target = self.target.saturating_sub(step(weight, once, often));
        Some(OFTEN)
    }

    /// Makes room among the ghosts for a key that was not among them: T1 and B1 together hold no more than the
    /// capacity, all four no more than twice that.
    fn forget(&mut self) {
        let [once, often] = [ONCE, OFTEN].map(|queue| self.queues.weight(queue));
        if once + self.ghosts[ONCE].weight() >= self.capacity {
            while once + self.ghosts[ONCE].weight() >= self.capacity && self.ghosts[ONCE].pop_oldest() {}
            return;
        }
        let held = once + often + self.ghosts[ONCE].weight();
        while held + self.ghosts[OFTEN].weight() >= self.capacity.saturating_mul(2)
            && self.ghosts[OFTEN].pop_oldest()
        {}
    }

    /// Evicts the least recently used of a queue and remembers it.
    fn replace(&mut self, queue: usize) -> Option<u32> {
        let slot = self.queues.tail(queue)?;
        let (_, weight) = self.queues.unlink(slot)?;
        // The count matters only where entries weigh nothing.
        let most_ghosts = self.queues.total_len() + 1;
        self.ghosts[queue].remember(self.fingerprints[slot as usize], weight, u64::MAX, most_ghosts);
        Some(slot)
    }
}

/// How far the border moves for a ghost of this weight: further if the other side has more ghosts.
fn step(weight: u32, other: u64, own: u64) -> u64 {
    u64::from(weight).saturating_mul((other / own.max(1)).max(1))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    #[test]
    fn ghosts_move_the_border() {
        let (mut arc, marks): (AdaptiveReplacement, _) = (alone(4), PlainMarks::new(4));
        for slot in 0..4 {
            arc.miss(u64::from(slot));
            arc.insert(slot, u64::from(slot), 1, &marks);
        }
        arc.used(0, &marks);
        arc.used(1, &marks);
        // Nothing is wanted in the first queue, so its oldest leaves.
        arc.miss(9);
        assert_eq!(arc.victim(&marks), Some(2));
        arc.insert(2, 9, 1, &marks);
        // 2 comes back: the first queue was too small.
        arc.miss(2);
        assert_eq!(arc.target, 1);
        assert_eq!(arc.victim(&marks), Some(3));
        arc.insert(3, 2, 1, &marks);
        assert_eq!((arc.queues.len(ONCE), arc.queues.len(OFTEN)), (1, 3));
    }
}
