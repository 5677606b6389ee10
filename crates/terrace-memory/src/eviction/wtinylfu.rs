//! W-TinyLFU: a window for what is new, and admission to the rest by frequency ("TinyLFU: a highly efficient
//! cache admission policy", Einziger, Friedman and Manes, ACM ToS 2017).
//!
//! New entries enter an LRU window of some hundredths of the capacity. Whatever falls out of it competes with
//! the next victim of the main part, a segmented LRU: the one that was asked for less often, by a sketch of all
//! keys, leaves.
//!
//! Decision: the window's part is a parameter of the type, because it is the main thing to choose: 1 suits
//! databases and search, 20 and more suits recency. A tie goes to the entry that is in already.

use std::sync::Arc;

use super::queues::Queues;
use super::sketch::Sketch;
use super::slru::four_fifths;
use super::{Hits, Marks, Policy, Setup};
use crate::slab::cover;

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

/// W-TinyLFU with a window of `PERCENT` hundredths of the capacity.
#[derive(Debug)]
pub struct WTinyLfu<const PERCENT: u8 = 1> {
    tiny: Windowed,
}

impl<const PERCENT: u8> Policy for WTinyLfu<PERCENT> {
    const NAME: &'static str = match PERCENT {
        1 => "wtinylfu",
        20 => "wtinylfu20",
        _ => "wtinylfu-other",
    };
    const HITS: Hits = Hits::Exclusive;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(setup: Setup, _shared: &Arc<()>) -> Self {
        WTinyLfu { tiny: Windowed::new(setup.capacity, hundredths(setup.capacity, PERCENT)) }
    }

    fn set_capacity(&mut self, setup: Setup) {
        self.tiny.resize(setup.capacity, hundredths(setup.capacity, PERCENT));
    }

    fn insert<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, _marks: &M) {
        self.tiny.insert(slot, hash, weight);
    }

    fn used<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.tiny.used(slot);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.tiny.queues.reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.tiny.queues.unlink(slot);
    }

    fn victim<M: Marks>(&mut self, _marks: &M) -> Option<u32> {
        self.tiny.victim()
    }

    fn miss(&mut self, hash: u64) {
        self.tiny.miss(hash);
    }

    fn clear(&mut self) {
        self.tiny = Windowed::new(self.tiny.capacity, self.tiny.most_window);
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        self.tiny.survey(show);
    }

    fn heap_bytes(&self) -> usize {
        self.tiny.heap_bytes()
    }
}

/// So many hundredths, rounded down.
fn hundredths(capacity: u64, percent: u8) -> u64 {
    (u128::from(capacity) * u128::from(percent) / 100) as u64
}

/// The structure itself, with a window of any size.
#[derive(Debug)]
pub(super) struct Windowed {
    pub(super) capacity: u64,
    pub(super) most_window: u64,
    queues: Queues<3>,
    hashes: Vec<u64>,
    sketch: Sketch,
    /// The hash of a key that was asked for and counted and may come in now.
    counted: Option<u64>,
}

impl Windowed {
    pub(super) fn new(capacity: u64, window: u64) -> Self {
        Windowed {
            capacity,
            most_window: window.max(1),
            queues: Queues::default(),
            hashes: Vec::new(),
            sketch: Sketch::default(),
            counted: None,
        }
    }

    /// Changes the sizes. Entries move as others come and go.
    pub(super) fn resize(&mut self, capacity: u64, window: u64) {
        (self.capacity, self.most_window) = (capacity, window.max(1));
    }

    pub(super) fn len(&self) -> usize {
        self.queues.total_len()
    }

    pub(super) fn insert(&mut self, slot: u32, hash: u64, weight: u32) {
        if self.counted.take() != Some(hash) {
            self.sketch.count(hash, self.queues.total_len());
        }
        cover(&mut self.hashes, slot);
        self.hashes[slot as usize] = hash;
        self.queues.push_head(WINDOW, slot, weight);
        self.sketch.cover(self.queues.total_len());
        while self.queues.weight(WINDOW) > self.most_window
            && let Some(slot) = self.queues.tail(WINDOW)
        {
            self.queues.promote(PROBATION, slot);
        }
    }

    pub(super) fn used(&mut self, slot: u32) {
        let Some(queue) = self.queues.place(slot) else { return };
        self.sketch.count(self.hashes[slot as usize], self.queues.total_len());
        if queue == WINDOW {
            self.queues.promote(WINDOW, slot);
            return;
        }
        self.queues.promote(PROTECTED, slot);
        let most_protected = four_fifths(self.capacity.saturating_sub(self.most_window));
        while self.queues.weight(PROTECTED) > most_protected
            && let Some(slot) = self.queues.tail(PROTECTED)
        {
            self.queues.promote(PROBATION, slot);
        }
    }

    pub(super) fn victim(&mut self) -> Option<u32> {
        // An entry on its way in is going to push this one out of the window.
        let candidate = self.queues.tail(WINDOW).filter(|_| self.queues.weight(WINDOW) >= self.most_window);
        let victim = self.queues.tail(PROBATION).or_else(|| self.queues.tail(PROTECTED));
        let loser = match (candidate, victim) {
            (Some(candidate), Some(victim)) if self.frequency(candidate) > self.frequency(victim) => victim,
            (Some(candidate), _) => candidate,
            (None, Some(victim)) => victim,
            (None, None) => self.queues.tail(WINDOW)?,
        };
        self.queues.unlink(loser);
        Some(loser)
    }

    pub(super) fn miss(&mut self, hash: u64) {
        self.sketch.count(hash, self.queues.total_len());
        self.counted = Some(hash);
    }

    fn frequency(&self, slot: u32) -> u64 {
        self.sketch.estimate(self.hashes[slot as usize])
    }

    /// Those that may have to compete, by frequency; then those that are protected.
    pub(super) fn survey(&self, show: &mut dyn FnMut(u32, f64)) {
        for queue in [PROBATION, WINDOW] {
            self.queues.oldest_first(queue).for_each(|slot| show(slot, self.frequency(slot) as f64));
        }
        let most = f64::from(u8::MAX);
        self.queues.oldest_first(PROTECTED).for_each(|slot| show(slot, most + self.frequency(slot) as f64));
    }

    pub(super) fn queues(&mut self) -> &mut Queues<3> {
        &mut self.queues
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.queues.heap_bytes() + self.hashes.capacity() * size_of::<u64>() + self.sketch.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::Chance;
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    #[test]
    fn what_is_asked_for_more_often_gets_in() {
        let (mut tiny, marks): (WTinyLfu<1>, _) = (alone(100), PlainMarks::new(101));
        let mut chance = Chance::new(5);
        for slot in 0..100 {
            tiny.insert(slot, chance.next(), 1, &marks);
        }
        for slot in 50..99 {
            tiny.used(slot, &marks);
        }
        // 99 stands in the window and was used once, as 0 was: the tie goes to 0.
        assert_eq!(tiny.victim(&marks), Some(99));
        let wanted = chance.next();
        for _ in 0..3 {
            tiny.miss(wanted);
        }
        tiny.insert(99, wanted, 1, &marks);
        assert_eq!(tiny.victim(&marks), Some(0));
    }
}
