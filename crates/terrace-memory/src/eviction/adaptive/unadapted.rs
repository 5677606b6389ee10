//! The structure alone, so that what learning costs can be measured.

use std::sync::Arc;

use super::super::{Hits, Marks, Policy, Setup};
use super::{Adaptive, Learning};

/// The structure of [`Adaptive`] under the rules with which that begins, which it keeps for ever: the same queues and
/// ghosts, with no sample, no miniature caches and no choice. It is there to be measured beside [`Adaptive`].
#[derive(Debug)]
pub struct Unadapted(Adaptive);

impl Policy for Unadapted {
    const NAME: &'static str = "adaptive-off";
    const HITS: Hits = Hits::Mark;
    type Shared = Learning;

    fn shared(setup: Setup) -> Learning {
        Learning::off(setup.total, setup.aim)
    }

    fn new(setup: Setup, shared: &Arc<Learning>) -> Self {
        Unadapted(Adaptive::new(setup, shared))
    }

    #[inline]
    fn on_hit(mark: u8) -> u8 {
        Adaptive::on_hit(mark)
    }

    fn set_capacity(&mut self, _setup: Setup) {}

    fn insert<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, marks: &M) {
        self.0.enter(slot, hash, weight, marks);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.0.reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, marks: &M) {
        self.0.remove(slot, marks);
    }

    fn victim<M: Marks>(&mut self, marks: &M) -> Option<u32> {
        self.0.victim(marks)
    }

    #[inline]
    fn upcoming(&self, queue: usize, later: usize) -> Option<u32> {
        self.0.upcoming(queue, later)
    }

    fn survey<M: Marks>(&self, marks: &M, show: &mut dyn FnMut(u32, f64)) {
        self.0.survey(marks, show);
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}
