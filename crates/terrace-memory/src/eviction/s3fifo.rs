//! S3-FIFO: three first-in-first-out queues ("FIFO queues are all you need for cache eviction", Yang et al.,
//! SOSP 2023).
//!
//! Most keys are asked for once. A new key therefore enters a *small* queue of a tenth of the weight and
//! leaves it soon, unless it is used twice there: then it moves to the *main* queue, which gives an entry one
//! more round for each use (up to three). A key that left the small queue unused is remembered as a *ghost*,
//! a fingerprint only; if it comes back soon it enters the main queue at once.
//!
//! Decision: the sizes of the queues follow what the shard holds at the moment instead of its nominal share,
//! because all shards draw on one budget. The mark counts uses up to three and then is not written any more.

use std::sync::Arc;

use super::ghost::{Ghost, fingerprint};
use super::queues::Queues;
use super::{Hits, Marks, Policy, Setup};
use crate::slab::cover;

/// The small queue gets one part in this many of the weight.
const SMALL_PART: u64 = 10;
/// Uses in the small queue which earn a place in the main one.
const USES_TO_STAY: u8 = 2;
/// Uses are counted this far.
const MOST_USES: u8 = 3;

const SMALL: usize = 0;
const MAIN: usize = 1;

/// Evicts what was not used again soon after it came in, and otherwise what is oldest and not used.
#[derive(Debug, Default)]
pub struct S3Fifo {
    queues: Queues<2>,
    fingerprints: Vec<u32>,
    ghost: Ghost,
}

impl Policy for S3Fifo {
    const NAME: &'static str = "s3fifo";
    const HITS: Hits = Hits::Mark;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(_setup: Setup, _shared: &Arc<()>) -> Self {
        S3Fifo::default()
    }

    #[inline]
    fn on_hit(mark: u8) -> u8 {
        (mark + 1).min(MOST_USES)
    }

    fn set_capacity(&mut self, _setup: Setup) {}

    fn insert<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, marks: &M) {
        cover(&mut self.fingerprints, slot);
        let fingerprint = fingerprint(hash);
        self.fingerprints[slot as usize] = fingerprint;
        let queue = if self.ghost.recall(fingerprint) { MAIN } else { SMALL };
        self.queues.push_head(queue, slot, weight);
        marks.set(slot, 0);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queues.reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.queues.unlink(slot);
    }

    fn victim<M: Marks>(&mut self, marks: &M) -> Option<u32> {
        let total = self.queues.total_weight();
        let small_is_large = self.queues.weight(SMALL) >= total / SMALL_PART;
        if small_is_large && let Some(slot) = self.victim_of_small(total, marks) {
            return Some(slot);
        }
        self.victim_of_main(marks).or_else(|| self.victim_of_small(total, marks))
    }

    fn clear(&mut self) {
        *self = S3Fifo::default();
    }

    fn heap_bytes(&self) -> usize {
        self.queues.heap_bytes() + self.fingerprints.capacity() * size_of::<u32>() + self.ghost.heap_bytes()
    }
}

impl S3Fifo {
    fn victim_of_small<M: Marks>(&mut self, total: u64, marks: &M) -> Option<u32> {
        while let Some(slot) = self.queues.tail(SMALL) {
            if marks.get(slot) >= USES_TO_STAY {
                marks.set(slot, 0);
                self.queues.promote(MAIN, slot);
                continue;
            }
            let (_, weight) = self.queues.unlink(slot)?;
            let ghost_weight = total - total / SMALL_PART;
            // The count matters only where entries weigh nothing.
            let ghost_len = self.queues.total_len() + 1;
            self.ghost.remember(self.fingerprints[slot as usize], weight, ghost_weight, ghost_len);
            return Some(slot);
        }
        None
    }

    fn victim_of_main<M: Marks>(&mut self, marks: &M) -> Option<u32> {
        // Each round takes a use off an entry. Hits at the same moment could keep that from ending, so an
        // entry that was given as many rounds as there are uses to count leaves whatever its mark says.
        let mut rounds = self.queues.len(MAIN).saturating_mul(usize::from(MOST_USES) + 1);
        while let Some(slot) = self.queues.tail(MAIN) {
            let mark = marks.get(slot);
            if mark == 0 || rounds == 0 {
                return self.queues.pop_tail(MAIN);
            }
            rounds -= 1;
            marks.set(slot, mark - 1);
            self.queues.promote(MAIN, slot);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    /// Ten entries in slots 0 to 9, each with its slot as its hash.
    fn ten() -> (S3Fifo, PlainMarks) {
        let (mut policy, marks): (S3Fifo, _) = (alone(10), PlainMarks::new(10));
        for slot in 0..10 {
            policy.insert(slot, u64::from(slot), 1, &marks);
        }
        (policy, marks)
    }

    fn lengths(policy: &S3Fifo) -> (usize, usize) {
        (policy.queues.len(SMALL), policy.queues.len(MAIN))
    }

    #[test]
    fn what_is_used_once_or_never_leaves_in_order_and_what_is_used_twice_stays() {
        let (mut policy, marks) = ten();
        for slot in [1, 2, 2] {
            marks.hit::<S3Fifo>(slot);
        }
        assert_eq!([(); 3].map(|()| policy.victim(&marks)), [Some(0), Some(1), Some(3)]);
        assert_eq!(lengths(&policy), (6, 1));
    }

    #[test]
    fn a_ghost_comes_back_into_the_main_queue() {
        let (mut policy, marks) = ten();
        assert_eq!(policy.victim(&marks), Some(0));
        policy.insert(0, 0, 1, &marks);
        assert_eq!(lengths(&policy), (9, 1));
        assert_eq!(policy.ghost.len(), 0);
    }

    #[test]
    fn main_gives_one_round_per_use_and_counts_to_three() {
        let (mut policy, marks) = ten();
        for slot in 0..10 {
            for _ in 0..5 {
                marks.hit::<S3Fifo>(slot);
            }
        }
        // All move to main; their counts begin anew, so the oldest leaves.
        assert_eq!(policy.victim(&marks), Some(0));
        assert_eq!(lengths(&policy), (0, 9));
        marks.hit::<S3Fifo>(1);
        assert_eq!([(); 2].map(|()| policy.victim(&marks)), [Some(2), Some(3)]);
    }

    #[test]
    fn weights_move_with_their_entries_and_removal_leaves_nothing() {
        let (mut policy, marks) = ten();
        policy.reweigh(4, 91);
        assert_eq!(policy.queues.weight(SMALL), 100);
        marks.hit::<S3Fifo>(4);
        marks.hit::<S3Fifo>(4);
        for slot in 0..4 {
            assert_eq!(policy.victim(&marks), Some(slot));
        }
        assert_eq!(policy.victim(&marks), Some(5));
        assert_eq!((policy.queues.weight(SMALL), policy.queues.weight(MAIN)), (4, 91));
        for slot in 4..10 {
            policy.remove(slot, &marks);
            policy.remove(slot, &marks);
        }
        assert_eq!((policy.queues.total_weight(), policy.victim(&marks)), (0, None));
    }

    #[test]
    fn hits_that_never_stop_do_not_keep_a_victim_from_being_found() {
        struct AlwaysHit;
        impl Marks for AlwaysHit {
            fn get(&self, _: u32) -> u8 {
                MOST_USES
            }
            fn set(&self, _: u32, _: u8) {}
        }
        let mut policy: S3Fifo = alone(10);
        for slot in 0..10 {
            policy.insert(slot, u64::from(slot), 1, &AlwaysHit);
        }
        assert!(policy.victim(&AlwaysHit).is_some());
    }
}
