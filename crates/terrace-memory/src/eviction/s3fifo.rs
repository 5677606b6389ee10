//! S3-FIFO: three first-in-first-out queues ("FIFO queues are all you need for cache eviction", Yang et al.,
//! SOSP 2023).
//!
//! Most keys are asked for once. A new key therefore enters a *small* queue of a tenth of the weight and
//! leaves it soon, unless it is used twice there: then it moves to the *main* queue, which gives an entry one
//! more round for each use (up to three). A key that left the small queue unused is remembered as a *ghost*,
//! a fingerprint only; if it comes back soon it enters the main queue at once.
//!
//! Decision: queues, ghosts and counts are those of `small_main`; what is its own is that one use is not enough
//! to stay.

use std::sync::Arc;

use super::small_main::SmallMain;
use super::{Hits, Marks, Policy, Setup};

/// Uses in the small queue which earn a place in the main one.
const USES_TO_STAY: u8 = 2;

/// Evicts what was not used again soon after it came in, and otherwise what is oldest and not used.
#[derive(Debug, Default)]
pub struct S3Fifo {
    queues: SmallMain<USES_TO_STAY>,
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
        SmallMain::<USES_TO_STAY>::on_hit(mark)
    }

    fn set_capacity(&mut self, _setup: Setup) {}

    fn insert<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, marks: &M) {
        self.queues.insert(slot, hash, weight, marks);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queues.reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.queues.remove(slot);
    }

    fn victim<M: Marks>(&mut self, marks: &M) -> Option<u32> {
        self.queues.victim(marks)
    }

    fn clear(&mut self) {
        *self = S3Fifo::default();
    }

    fn heap_bytes(&self) -> usize {
        self.queues.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::small_main::{MAIN, SMALL};
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
        (policy.queues.queues.len(SMALL), policy.queues.queues.len(MAIN))
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
        assert_eq!(policy.queues.ghost.len(), 0);
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
        assert_eq!(policy.queues.queues.weight(SMALL), 100);
        marks.hit::<S3Fifo>(4);
        marks.hit::<S3Fifo>(4);
        for slot in 0..4 {
            assert_eq!(policy.victim(&marks), Some(slot));
        }
        assert_eq!(policy.victim(&marks), Some(5));
        assert_eq!((policy.queues.queues.weight(SMALL), policy.queues.queues.weight(MAIN)), (4, 91));
        for slot in 4..10 {
            policy.remove(slot, &marks);
            policy.remove(slot, &marks);
        }
        assert_eq!((policy.queues.queues.total_weight(), policy.victim(&marks)), (0, None));
    }

    #[test]
    fn hits_that_never_stop_do_not_keep_a_victim_from_being_found() {
        struct AlwaysHit;
        impl Marks for AlwaysHit {
            fn get(&self, _: u32) -> u8 {
                3
            }
            fn set(&self, _: u32, _: u8) {}
            fn hash(&self, slot: u32) -> u32 {
                slot
            }
        }
        let mut policy: S3Fifo = alone(10);
        for slot in 0..10 {
            policy.insert(slot, u64::from(slot), 1, &AlwaysHit);
        }
        assert!(policy.victim(&AlwaysHit).is_some());
    }
}
