//! 2Q, the full version ("2Q: a low overhead high performance buffer management replacement algorithm", Johnson
//! and Shasha, VLDB 1994).
//!
//! A new key enters a first-in-first-out queue, *in*, of a quarter of the capacity, where use does not count.
//! When it falls out it is remembered in *out*, for half the capacity; only if it comes back from there does it
//! enter the least-recently-used *main* queue.

use std::sync::Arc;

use super::ghost::{Ghost, fingerprint};
use super::queues::Queues;
use super::{Hits, Marks, Policy, Setup};
use crate::slab::cover;

const IN: usize = 0;
const MAIN: usize = 1;

/// Evicts from *in* while that is larger than a quarter, else the least recently used of *main*.
#[derive(Debug)]
pub struct TwoQ {
    capacity: u64,
    queues: Queues<2>,
    fingerprints: Vec<u32>,
    out: Ghost,
}

impl Policy for TwoQ {
    const NAME: &'static str = "2q";
    const HITS: Hits = Hits::Exclusive;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(setup: Setup, _shared: &Arc<()>) -> Self {
        TwoQ {
            capacity: setup.capacity,
            queues: Queues::default(),
            fingerprints: Vec::new(),
            out: Ghost::default(),
        }
    }

    fn set_capacity(&mut self, setup: Setup) {
        self.capacity = setup.capacity;
    }

    fn insert<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, _marks: &M) {
        cover(&mut self.fingerprints, slot);
        let fingerprint = fingerprint(hash);
        self.fingerprints[slot as usize] = fingerprint;
        let queue = if self.out.recall(fingerprint) { MAIN } else { IN };
        self.queues.push_head(queue, slot, weight);
    }

    fn used<M: Marks>(&mut self, slot: u32, _marks: &M) {
        if self.queues.place(slot) == Some(MAIN) {
            self.queues.promote(MAIN, slot);
        }
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queues.reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.queues.unlink(slot);
    }

    fn victim<M: Marks>(&mut self, _marks: &M) -> Option<u32> {
        let in_is_large = self.queues.weight(IN) > self.capacity / 4;
        if !in_is_large && let Some(slot) = self.queues.pop_tail(MAIN) {
            return Some(slot);
        }
        let slot = self.queues.tail(IN)?;
        let (_, weight) = self.queues.unlink(slot)?;
        // The count matters only where entries weigh nothing.
        let most_ghosts = self.queues.total_len() + 1;
        self.out.remember(self.fingerprints[slot as usize], weight, self.capacity / 2, most_ghosts);
        Some(slot)
    }

    fn clear(&mut self) {
        self.queues = Queues::default();
        self.fingerprints = Vec::new();
        self.out = Ghost::default();
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        for queue in [IN, MAIN] {
            self.queues.oldest_first(queue).for_each(|slot| show(slot, queue as f64));
        }
    }

    fn heap_bytes(&self) -> usize {
        self.queues.heap_bytes() + self.fingerprints.capacity() * size_of::<u32>() + self.out.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    #[test]
    fn only_what_comes_back_from_out_enters_main() {
        let (mut two_q, marks): (TwoQ, _) = (alone(4), PlainMarks::new(4));
        for slot in 0..4 {
            two_q.insert(slot, u64::from(slot), 1, &marks);
            two_q.used(slot, &marks);
        }
        assert_eq!(two_q.victim(&marks), Some(0));
        two_q.insert(0, 0, 1, &marks);
        assert_eq!(two_q.queues.place(0), Some(MAIN));
        // In holds more than a quarter until two of its three have left.
        assert_eq!([(); 3].map(|()| two_q.victim(&marks)), [Some(1), Some(2), Some(0)]);
        assert_eq!([(); 2].map(|()| two_q.victim(&marks)), [Some(3), None]);
    }
}
