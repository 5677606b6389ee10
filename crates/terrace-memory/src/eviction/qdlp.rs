//! QD-LP-FIFO: quick demotion and lazy promotion ("FIFO can be better than LRU: the power of lazy promotion and
//! quick demotion", Yang et al., HotOS 2023).
//!
//! A small first-in-first-out queue of a tenth of the capacity filters new keys; whatever was used once there
//! moves on to a main queue, a CLOCK with two bits. A key that left the small queue unused is remembered as a
//! ghost and enters the main queue at once if it comes back soon.
//!
//! Decision: as in [`S3Fifo`](super::S3Fifo), which grew out of it, queues are sized by what the shard holds.

use std::sync::Arc;

use super::small_main::SmallMain;
use super::{Hits, Marks, Policy, Setup};

/// Evicts what was not used in a short trial, and otherwise what is oldest and not used.
#[derive(Debug, Default)]
pub struct Qdlp {
    queues: SmallMain<1>,
}

impl Policy for Qdlp {
    const NAME: &'static str = "qdlp";
    const HITS: Hits = Hits::Mark;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(_setup: Setup, _shared: &Arc<()>) -> Self {
        Qdlp::default()
    }

    #[inline]
    fn on_hit(mark: u8) -> u8 {
        SmallMain::<1>::on_hit(mark)
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
        *self = Qdlp::default();
    }

    fn survey<M: Marks>(&self, marks: &M, show: &mut dyn FnMut(u32, f64)) {
        self.queues.survey(marks, show);
    }

    fn heap_bytes(&self) -> usize {
        self.queues.heap_bytes()
    }
}
