//! S3-FIFO: three first-in-first-out queues ("FIFO queues are all you need for cache eviction", Yang et al.,
//! SOSP 2023).
//!
//! Most keys are asked for once. A new key therefore enters a *small* queue of a tenth of the weight and
//! leaves it soon, unless it is used twice there: then it moves to the *main* queue, which gives an entry one
//! more round for each use (up to three). A key that left the small queue unused is remembered as a *ghost*,
//! a fingerprint only; if it comes back soon it enters the main queue at once.
//!
//! Decision: the sizes of the queues follow what the shard holds at the moment instead of its nominal share,
//! because all shards draw on one budget. A hit only raises a two-bit count in a byte of its own, and not even
//! that once it is three: hits need no more than shared access.

use std::sync::atomic::{AtomicU8, Ordering};

use super::Policy;
use super::ghost::Ghost;
use super::queue::{Links, Queue};
use crate::slab::cover;

/// The small queue gets one part in this many of the weight.
const SMALL_PART: u64 = 10;
/// Uses in the small queue which earn a place in the main one.
const USES_TO_STAY: u8 = 2;
/// Uses are counted this far.
const MOST_USES: u8 = 3;

/// Which queue an entry stands in, in the bits above its count of uses.
const USES: u8 = 0b0011;
const SMALL: u8 = 0b0100;
const MAIN: u8 = 0b1000;
const PLACE: u8 = SMALL | MAIN;

/// Evicts what was not used again soon after it came in, and otherwise what is oldest and not used.
#[derive(Default)]
pub struct S3Fifo {
    links: Links,
    /// Queue and count of uses, one byte a slot.
    marks: Vec<AtomicU8>,
    fingerprints: Vec<u32>,
    small: Queue,
    main: Queue,
    ghost: Ghost,
}

impl std::fmt::Debug for S3Fifo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Fifo")
            .field("small", &self.small)
            .field("main", &self.main)
            .field("ghosts", &self.ghost.len())
            .finish()
    }
}

impl Policy for S3Fifo {
    const NAME: &'static str = "s3fifo";
    const EXCLUSIVE_HITS: bool = false;

    fn with_capacity(_capacity: u64) -> Self {
        S3Fifo::default()
    }

    fn set_capacity(&mut self, _capacity: u64) {}

    fn insert(&mut self, slot: u32, hash: u64, weight: u32) {
        cover(&mut self.marks, slot);
        cover(&mut self.fingerprints, slot);
        let fingerprint = fingerprint(hash);
        self.fingerprints[slot as usize] = fingerprint;
        if self.ghost.recall(fingerprint) {
            self.set_mark(slot, MAIN);
            self.main.push_head(&mut self.links, slot, weight);
        } else {
            self.set_mark(slot, SMALL);
            self.small.push_head(&mut self.links, slot, weight);
        }
    }

    #[inline]
    fn hit(&self, slot: u32) {
        let Some(mark) = self.marks.get(slot as usize) else { return };
        let seen = mark.load(Ordering::Relaxed);
        // Two hits at once may count as one. That is cheaper than an atomic addition and harms nothing.
        if seen & USES < MOST_USES && seen & PLACE != 0 {
            mark.store(seen + 1, Ordering::Relaxed);
        }
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        match self.mark(slot) & PLACE {
            SMALL => self.small.reweigh(&mut self.links, slot, weight),
            MAIN => self.main.reweigh(&mut self.links, slot, weight),
            _ => {}
        }
    }

    fn remove(&mut self, slot: u32) {
        match self.mark(slot) & PLACE {
            SMALL => self.small.unlink(&mut self.links, slot),
            MAIN => self.main.unlink(&mut self.links, slot),
            _ => return,
        }
        self.set_mark(slot, 0);
    }

    fn victim(&mut self) -> Option<u32> {
        let total = self.small.weight() + self.main.weight();
        let small_is_large = self.small.weight().saturating_mul(SMALL_PART) >= total;
        if small_is_large && let Some(slot) = self.victim_of_small(total) {
            return Some(slot);
        }
        self.victim_of_main().or_else(|| self.victim_of_small(total))
    }

    fn clear(&mut self) {
        *self = S3Fifo::default();
    }

    fn heap_bytes(&self) -> usize {
        self.links.heap_bytes()
            + self.marks.capacity()
            + self.fingerprints.capacity() * size_of::<u32>()
            + self.ghost.heap_bytes()
    }
}

impl S3Fifo {
    fn victim_of_small(&mut self, total: u64) -> Option<u32> {
        while let Some(slot) = self.small.tail() {
            let weight = self.links.weight(slot);
            self.small.unlink(&mut self.links, slot);
            if self.mark(slot) & USES >= USES_TO_STAY {
                self.set_mark(slot, MAIN);
                self.main.push_head(&mut self.links, slot, weight);
                continue;
            }
            self.set_mark(slot, 0);
            let fingerprint = self.fingerprints[slot as usize];
            let ghost_weight = total - total / SMALL_PART;
            // The count matters only where entries weigh nothing.
            let ghost_len = self.small.len() + self.main.len() + 1;
            self.ghost.remember(fingerprint, weight, ghost_weight, ghost_len);
            return Some(slot);
        }
        None
    }

    fn victim_of_main(&mut self) -> Option<u32> {
        // Each round takes a use off an entry, so the loop ends after at most three rounds over the queue.
        while let Some(slot) = self.main.tail() {
            let mark = self.mark(slot);
            if mark & USES > 0 {
                self.set_mark(slot, mark - 1);
                self.main.refresh(&mut self.links, slot);
                continue;
            }
            self.main.unlink(&mut self.links, slot);
            self.set_mark(slot, 0);
            return Some(slot);
        }
        None
    }

    fn mark(&self, slot: u32) -> u8 {
        self.marks.get(slot as usize).map_or(0, |mark| mark.load(Ordering::Relaxed))
    }

    fn set_mark(&mut self, slot: u32, mark: u8) {
        *self.marks[slot as usize].get_mut() = mark;
    }
}

/// The part of the hash a ghost is known by. The high bits choose the shard, so the low ones are taken.
fn fingerprint(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten entries in slots 0 to 9, each with its slot as its hash.
    fn ten() -> S3Fifo {
        let mut policy = S3Fifo::with_capacity(10);
        for slot in 0..10 {
            policy.insert(slot, u64::from(slot), 1);
        }
        policy
    }

    #[test]
    fn what_is_used_once_or_never_leaves_in_order_and_what_is_used_twice_stays() {
        let mut policy = ten();
        policy.hit(1);
        policy.hit(2);
        policy.hit(2);
        assert_eq!([policy.victim(), policy.victim(), policy.victim()], [Some(0), Some(1), Some(3)]);
        assert_eq!((policy.small.len(), policy.main.len()), (6, 1));
    }

    #[test]
    fn a_ghost_comes_back_into_the_main_queue() {
        let mut policy = ten();
        assert_eq!(policy.victim(), Some(0));
        policy.insert(0, 0, 1);
        assert_eq!((policy.small.len(), policy.main.len()), (9, 1));
        assert_eq!(policy.ghost.len(), 0);
    }

    #[test]
    fn main_gives_one_round_per_use_and_counts_to_three() {
        let mut policy = ten();
        for slot in 0..10 {
            for _ in 0..5 {
                policy.hit(slot);
            }
        }
        // All move to main; their counts begin anew, so the oldest leaves.
        assert_eq!(policy.victim(), Some(0));
        assert_eq!((policy.small.len(), policy.main.len()), (0, 9));
        policy.hit(1);
        assert_eq!([policy.victim(), policy.victim()], [Some(2), Some(3)]);
    }

    #[test]
    fn weights_move_with_their_entries_and_removal_leaves_nothing() {
        let mut policy = ten();
        policy.reweigh(4, 91);
        assert_eq!(policy.small.weight(), 100);
        policy.hit(4);
        policy.hit(4);
        for slot in 0..4 {
            assert_eq!(policy.victim(), Some(slot));
        }
        assert_eq!(policy.victim(), Some(5));
        assert_eq!((policy.small.weight(), policy.main.weight()), (4, 91));
        for slot in 4..10 {
            policy.remove(slot);
            policy.remove(slot);
            policy.hit(slot);
        }
        assert_eq!((policy.small.weight(), policy.main.weight(), policy.victim()), (0, 0, None));
    }
}
