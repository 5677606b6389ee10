//! How requests reach the learner: without waiting, from any thread.
//!
//! Decision: who finds the learner free feeds it at once; who finds it busy leaves the request in a small
//! ring for the next one who does. Only what does not fit the ring is lost, and counted. With one thread nothing is ever
//! left there, so what is learned repeats exactly.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::super::Aim;
use super::learner::Learner;
use super::report::Report;
use super::rules::List;

const RING: usize = 128;
/// Weights have 31 bits in the ring; what is heavier counts as this.
const HEAVIEST: u32 = u32::MAX >> 1;

/// The learning part, shared by the shards of one cache.
#[derive(Debug)]
pub struct Learning {
    rules: Rules,
    learner: Mutex<Learner>,
    waiting: AtomicUsize,
    /// Low half of the hash, whether it was a hit, and the weight; 0 where nothing was written yet.
    ring: Box<[AtomicU64]>,
    lost: AtomicU32,
}

/// What every hit reads: on lines apart from what sampled hits write.
#[derive(Debug)]
#[repr(align(128))]
struct Rules {
    /// A key is in the sample if these bits of its hash are zero.
    mask: AtomicU64,
    chosen: AtomicUsize,
}

impl Learning {
    pub(super) fn new(total: u64, aim: Aim) -> Self {
        Learning {
            rules: Rules { mask: AtomicU64::new(0), chosen: AtomicUsize::new(List::ALIKE.first) },
            learner: Mutex::new(Learner::new(total, aim)),
            waiting: AtomicUsize::new(0),
            ring: (0..RING).map(|_| AtomicU64::new(0)).collect(),
            lost: AtomicU32::new(0),
        }
    }

    /// One that wants to see nothing and stays with the rules it begins with.
    pub(super) fn off(total: u64, aim: Aim) -> Self {
        Learning { ring: Box::default(), ..Learning::new(total, aim) }
    }

    #[inline]
    pub(super) fn samples(&self, hash: u64) -> bool {
        hash & self.rules.mask.load(Ordering::Relaxed) == 0
    }

    #[inline]
    pub(super) fn chosen(&self) -> usize {
        self.rules.chosen.load(Ordering::Relaxed)
    }

    #[cold]
    pub(super) fn observe(&self, hash: u64, weight: u32, hit: bool) {
        // The lowest half tells keys apart; the bits that chose the sample are in the other.
        let hash = hash | 1;
        let weight = weight.min(HEAVIEST);
        let Some(mut learner) = self.learner.try_lock() else {
            let place = self.waiting.fetch_add(1, Ordering::Relaxed);
            match self.ring.get(place) {
                Some(cell) => {
                    cell.store(hash << 32 | u64::from(hit) << 31 | u64::from(weight), Ordering::Relaxed);
                }
                None => drop(self.lost.fetch_add(1, Ordering::Relaxed)),
            }
            return;
        };
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.drain(&mut learner);
        }
        learner.request(hash, weight, hit);
        self.publish(&learner);
    }

    fn drain(&self, learner: &mut Learner) {
        let waiting = self.waiting.swap(0, Ordering::Relaxed).min(RING);
        for cell in &self.ring[..waiting] {
            let request = cell.swap(0, Ordering::Relaxed);
            if request != 0 {
                let (hash, rest) = (request >> 32, request as u32);
                learner.request(hash, rest & HEAVIEST, rest > HEAVIEST);
            }
        }
    }

    fn publish(&self, learner: &Learner) {
        // Stored only if they differ: every hit reads the mask.
        let mask = ((1u64 << learner.wanted_shift().min(30)) - 1) << 32;
        if self.rules.mask.load(Ordering::Relaxed) != mask {
            self.rules.mask.store(mask, Ordering::Relaxed);
        }
        if self.chosen() != learner.chosen() {
            self.rules.chosen.store(learner.chosen(), Ordering::Relaxed);
        }
    }

    /// Makes one candidate rule until the learner next says something.
    #[cfg(test)]
    pub(super) fn force(&self, candidate: usize) {
        self.rules.chosen.store(candidate, Ordering::Relaxed);
    }

    pub(super) fn set_total(&self, total: u64) {
        let mut learner = self.learner.lock();
        learner.set_total(total);
        self.publish(&learner);
    }

    /// The index of the rules that apply now.
    pub fn report_chosen(&self) -> usize {
        self.chosen()
    }

    /// What has been learned.
    pub fn report(&self) -> Report {
        Report { lost: u64::from(self.lost.load(Ordering::Relaxed)), ..self.learner.lock().report() }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.learner.lock().heap_bytes() + self.ring.len() * size_of::<u64>()
    }
}
