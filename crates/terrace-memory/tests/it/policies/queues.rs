//! FIFO, LRU, CLOCK, SIEVE, segmented LRU.

use terrace_memory::eviction::{Clock, Fifo, Lru, Sieve, Slru};

use super::{Item, Naive, agrees, compare, item, place, set_weight, steps, take, weigh};

pub(crate) struct NaiveFifo(Vec<Item>);

impl Naive for NaiveFifo {
    fn new(_: u64) -> Self {
        NaiveFifo(Vec::new())
    }
    fn insert(&mut self, key: u8, weight: u64) {
        self.0.push(item(key, weight));
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        set_weight(&mut self.0, key, weight);
    }
    fn remove(&mut self, key: u8) {
        take(&mut self.0, key);
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        (!self.0.is_empty()).then(|| self.0.remove(0).key)
    }
}

pub(crate) struct NaiveLru(NaiveFifo);

impl Naive for NaiveLru {
    fn new(capacity: u64) -> Self {
        NaiveLru(NaiveFifo::new(capacity))
    }
    fn insert(&mut self, key: u8, weight: u64) {
        self.0.insert(key, weight);
    }
    fn hit(&mut self, key: u8) {
        let used = take(&mut self.0.0, key).unwrap();
        self.0.0.push(used);
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        self.0.reweigh(key, weight);
    }
    fn remove(&mut self, key: u8) {
        self.0.remove(key);
    }
    fn victim(&mut self, chosen: Option<u8>) -> Option<u8> {
        self.0.victim(chosen)
    }
}

/// A circle of pages with a reference bit each, and a hand.
struct NaiveClock(Vec<Item>);

impl Naive for NaiveClock {
    fn new(_: u64) -> Self {
        NaiveClock(Vec::new())
    }
    fn insert(&mut self, key: u8, weight: u64) {
        self.0.push(item(key, weight));
    }
    fn hit(&mut self, key: u8) {
        let place = place(&self.0, key).unwrap();
        self.0[place].uses = 1;
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        set_weight(&mut self.0, key, weight);
    }
    fn remove(&mut self, key: u8) {
        take(&mut self.0, key);
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        while self.0.first()?.uses == 1 {
            let first = self.0.remove(0);
            self.0.push(Item { uses: 0, ..first });
        }
        Some(self.0.remove(0).key)
    }
}

/// The listing of the paper: the hand is a place in the queue, which runs from old to new.
struct NaiveSieve {
    queue: Vec<Item>,
    hand: usize,
}

impl Naive for NaiveSieve {
    fn new(_: u64) -> Self {
        NaiveSieve { queue: Vec::new(), hand: 0 }
    }
    fn insert(&mut self, key: u8, weight: u64) {
        // A hand that went past the newest begins again at the oldest, whatever comes in.
        if self.hand == self.queue.len() {
            self.hand = 0;
        }
        self.queue.push(item(key, weight));
    }
    fn hit(&mut self, key: u8) {
        let place = place(&self.queue, key).unwrap();
        self.queue[place].uses = 1;
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        set_weight(&mut self.queue, key, weight);
    }
    fn remove(&mut self, key: u8) {
        let place = place(&self.queue, key).unwrap();
        self.queue.remove(place);
        if place < self.hand {
            self.hand -= 1;
        }
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        loop {
            if self.hand >= self.queue.len() {
                self.hand = 0;
            }
            if self.queue[self.hand].uses == 0 {
                return Some(self.queue.remove(self.hand).key);
            }
            self.queue[self.hand].uses = 0;
            self.hand += 1;
        }
    }
}

struct NaiveSlru {
    most_protected: u64,
    probation: Vec<Item>,
    protected: Vec<Item>,
}

impl NaiveSlru {
    fn demote(&mut self) {
        while weigh(&self.protected) > self.most_protected {
            self.probation.push(self.protected.remove(0));
        }
    }
}

impl Naive for NaiveSlru {
    fn new(capacity: u64) -> Self {
        NaiveSlru { most_protected: capacity * 4 / 5, probation: Vec::new(), protected: Vec::new() }
    }
    fn insert(&mut self, key: u8, weight: u64) {
        self.probation.push(item(key, weight));
    }
    fn hit(&mut self, key: u8) {
        let used = take(&mut self.probation, key).or_else(|| take(&mut self.protected, key));
        self.protected.extend(used);
        self.demote();
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        set_weight(self.probation.iter_mut().chain(&mut self.protected), key, weight);
        self.demote();
    }
    fn remove(&mut self, key: u8) {
        take(&mut self.probation, key);
        take(&mut self.protected, key);
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        let from = if self.probation.is_empty() { &mut self.protected } else { &mut self.probation };
        (!from.is_empty()).then(|| from.remove(0).key)
    }
}

agrees!(fifo, Fifo, NaiveFifo);
agrees!(lru, Lru, NaiveLru);
agrees!(clock, Clock, NaiveClock);
agrees!(sieve, Sieve, NaiveSieve);
agrees!(slru, Slru, NaiveSlru);
