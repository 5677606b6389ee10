//! First in, first out: the baseline that ignores use altogether.

use std::sync::Arc;

use super::queues::Queues;
use super::{Hits, Marks, Policy, Setup};

/// Evicts whatever was inserted longest ago. A replaced value keeps its key's place.
#[derive(Debug, Default)]
pub struct Fifo {
    queue: Queues<1>,
}

impl Policy for Fifo {
    const NAME: &'static str = "fifo";
    const HITS: Hits = Hits::Mark;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(_setup: Setup, _shared: &Arc<()>) -> Self {
        Fifo::default()
    }

    fn set_capacity(&mut self, _setup: Setup) {}

    fn insert<M: Marks>(&mut self, slot: u32, _hash: u64, weight: u32, _marks: &M) {
        self.queue.push_head(0, slot, weight);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queue.reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.queue.unlink(slot);
    }

    fn victim<M: Marks>(&mut self, _marks: &M) -> Option<u32> {
        self.queue.pop_tail(0)
    }

    fn clear(&mut self) {
        *self = Fifo::default();
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        self.queue.oldest_first(0).for_each(|slot| show(slot, 0.0));
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
    fn use_changes_nothing() {
        let (mut fifo, marks): (Fifo, _) = (alone(3), PlainMarks::new(3));
        for slot in [2, 0, 1] {
            fifo.insert(slot, 0, 1, &marks);
        }
        marks.hit::<Fifo>(2);
        fifo.reweigh(2, 9);
        fifo.remove(0, &marks);
        fifo.remove(0, &marks);
        assert_eq!(std::iter::from_fn(|| fifo.victim(&marks)).collect::<Vec<_>>(), [2, 1]);
    }
}
