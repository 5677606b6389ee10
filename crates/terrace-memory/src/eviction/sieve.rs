//! SIEVE ("SIEVE is simpler than LRU", Zhang et al., NSDI 2024).
//!
//! Like CLOCK, but what was used stays where it stands while the hand passes over it, so that new entries meet
//! the hand soon and old popular ones gather at the tail.
//!
//! Decision: the mark says whether the entry was used since the hand last passed it.

use std::sync::Arc;

use super::queues::Queues;
use super::{Hits, Marks, Policy, Setup};

/// Evicts the first entry that the hand finds unused on its way from the oldest to the newest and around.
#[derive(Debug, Default)]
pub struct Sieve {
    queue: Queues<1>,
    /// The entry the hand points at; the oldest if there is none.
    hand: Option<u32>,
}

impl Policy for Sieve {
    const NAME: &'static str = "sieve";
    const HITS: Hits = Hits::Mark;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(_setup: Setup, _shared: &Arc<()>) -> Self {
        Sieve::default()
    }

    #[inline]
    fn on_hit(_mark: u8) -> u8 {
        1
    }

    fn set_capacity(&mut self, _setup: Setup) {}

    fn insert<M: Marks>(&mut self, slot: u32, _hash: u64, weight: u32, marks: &M) {
        self.queue.push_head(0, slot, weight);
        marks.set(slot, 0);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queue.reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        if self.hand == Some(slot) {
            self.hand = self.queue.newer(slot);
        }
        self.queue.unlink(slot);
    }

    fn victim<M: Marks>(&mut self, marks: &M) -> Option<u32> {
        let mut slot = self.hand.or(self.queue.tail(0))?;
        // After one round every mark is clear, but for those of hits at this very moment.
        for _ in 0..self.queue.len(0) {
            if marks.get(slot) == 0 {
                break;
            }
            marks.set(slot, 0);
            slot = self.queue.newer(slot).or(self.queue.tail(0))?;
        }
        self.hand = self.queue.newer(slot);
        self.queue.unlink(slot);
        Some(slot)
    }

    fn clear(&mut self) {
        *self = Sieve::default();
    }

    fn survey<M: Marks>(&self, marks: &M, show: &mut dyn FnMut(u32, f64)) {
        let from_hand = std::iter::successors(self.hand, |slot| self.queue.newer(*slot));
        let to_hand = self.queue.oldest_first(0).take_while(|slot| self.hand != Some(*slot));
        let all = from_hand.chain(to_hand);
        all.for_each(|slot| show(slot, f64::from(marks.get(slot))));
    }

    fn heap_bytes(&self) -> usize {
        self.queue.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    #[test]
    fn what_was_used_keeps_its_place_and_the_hand_goes_on_from_where_it_was() {
        let (mut sieve, marks): (Sieve, _) = (alone(5), PlainMarks::new(6));
        for slot in 0..5 {
            sieve.insert(slot, 0, 1, &marks);
        }
        marks.hit::<Sieve>(0);
        marks.hit::<Sieve>(2);
        assert_eq!(sieve.victim(&marks), Some(1));
        sieve.insert(5, 0, 1, &marks);
        assert_eq!(sieve.victim(&marks), Some(3));
        // The hand points at 4; once that is gone, at 5, and from the newest it goes around to the oldest.
        sieve.remove(4, &marks);
        marks.hit::<Sieve>(5);
        assert_eq!([(); 4].map(|()| sieve.victim(&marks)), [Some(0), Some(2), Some(5), None]);
    }
}
