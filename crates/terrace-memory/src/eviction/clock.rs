//! CLOCK: first in, first out, with a second chance for what was used ("A paging experiment with the Multics
//! system", Corbató, 1968).
//!
//! Decision: the hand is the tail of a queue, and what gets its second chance goes to the head. The mark says
//! whether the entry was used since it last stood at the head.

use std::sync::Arc;

use super::queues::Queues;
use super::{Hits, Marks, Policy, Setup};

/// Evicts the oldest entry that was not used since it came in or since its last second chance.
#[derive(Debug, Default)]
pub struct Clock {
    queue: Queues<1>,
}

impl Policy for Clock {
    const NAME: &'static str = "clock";
    const HITS: Hits = Hits::Mark;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(_setup: Setup, _shared: &Arc<()>) -> Self {
        Clock::default()
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
        self.queue.unlink(slot);
    }

    fn victim<M: Marks>(&mut self, marks: &M) -> Option<u32> {
        self.queue.pop_unused(0, marks)
    }

    fn clear(&mut self) {
        *self = Clock::default();
    }

    fn survey<M: Marks>(&self, marks: &M, show: &mut dyn FnMut(u32, f64)) {
        self.queue.oldest_first(0).for_each(|slot| show(slot, f64::from(marks.get(slot))));
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
    fn use_earns_one_more_round() {
        let (mut clock, marks): (Clock, _) = (alone(4), PlainMarks::new(4));
        for slot in 0..4 {
            clock.insert(slot, 0, 1, &marks);
        }
        marks.hit::<Clock>(0);
        marks.hit::<Clock>(0);
        marks.hit::<Clock>(2);
        assert_eq!(std::iter::from_fn(|| clock.victim(&marks)).collect::<Vec<_>>(), [1, 3, 0, 2]);
    }
}
