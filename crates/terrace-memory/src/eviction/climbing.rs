//! W-TinyLFU whose window climbs towards more hits ("Adaptive software cache management", Einziger, Eytan,
//! Friedman and Manes, Middleware 2018).
//!
//! After each period the window's size takes a step: in the same direction if the period hit more than the one
//! before, else in the other one. Steps shrink, and grow again when the hits change a lot.
//!
//! Decision: the constants of the paper's hill climber: periods of ten requests an entry, a first step of a
//! sixteenth of the capacity, shrinking by a fiftieth, renewed by a change of five points.

use std::sync::Arc;

use super::wtinylfu::Windowed;
use super::{Hits, Marks, Policy, Setup};

/// Requests a period for each entry held.
const PERIOD: u64 = 10;
/// The first step, as a part of the capacity.
const STEP: f64 = 0.0625;
/// What is left of a step after each period.
const DECAY: f64 = 0.98;
/// A change of the hit ratio that begins anew with large steps.
const RESTART: f64 = 0.05;
/// The window at first, as a part of the capacity.
const FIRST: f64 = 0.01;
/// The window is never more than this part of the capacity.
const MOST: f64 = 0.8;

/// W-TinyLFU that chooses the size of its window by trying.
#[derive(Debug)]
pub struct ClimbingWTinyLfu {
    tiny: Windowed,
    /// The window, as a part of the capacity.
    window: f64,
    /// The next step, with its direction.
    step: f64,
    hits: u64,
    requests: u64,
    last_ratio: Option<f64>,
}

impl Policy for ClimbingWTinyLfu {
    const NAME: &'static str = "wtinylfu-climbing";
    const HITS: Hits = Hits::Exclusive;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(setup: Setup, _shared: &Arc<()>) -> Self {
        ClimbingWTinyLfu {
            tiny: Windowed::new(setup.capacity, part(setup.capacity, FIRST)),
            window: FIRST,
            step: STEP,
            hits: 0,
            requests: 0,
            last_ratio: None,
        }
    }

    fn set_capacity(&mut self, setup: Setup) {
        self.tiny.resize(setup.capacity, part(setup.capacity, self.window));
    }

    fn insert<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, _marks: &M) {
        self.tiny.insert(slot, hash, weight);
        self.request(false);
    }

    fn used<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.tiny.used(slot);
        self.request(true);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.tiny.queues().reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.tiny.queues().unlink(slot);
    }

    fn victim<M: Marks>(&mut self, _marks: &M) -> Option<u32> {
        self.tiny.victim()
    }

    fn miss(&mut self, hash: u64) {
        self.tiny.miss(hash);
    }

    fn clear(&mut self) {
        *self = Self::new(Setup::alone(self.tiny.capacity, 0), &Arc::new(()));
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        self.tiny.survey(show);
    }

    fn heap_bytes(&self) -> usize {
        self.tiny.heap_bytes()
    }
}

impl ClimbingWTinyLfu {
    fn request(&mut self, hit: bool) {
        self.requests += 1;
        self.hits += u64::from(hit);
        if self.requests >= PERIOD * self.tiny.len().max(1) as u64 {
            self.climb();
        }
    }

    fn climb(&mut self) {
        let ratio = self.hits as f64 / self.requests as f64;
        (self.hits, self.requests) = (0, 0);
        let Some(last) = self.last_ratio.replace(ratio) else { return };
        let change = ratio - last;
        let direction = if change >= 0.0 { self.step } else { -self.step };
        self.window = (self.window + direction).clamp(0.0, MOST);
        self.step = if change.abs() >= RESTART { STEP.copysign(direction) } else { direction * DECAY };
        self.tiny.resize(self.tiny.capacity, part(self.tiny.capacity, self.window));
    }
}

/// A part of the capacity.
fn part(capacity: u64, part: f64) -> u64 {
    (capacity as f64 * part) as u64
}

#[cfg(test)]
mod tests {
    use super::super::testing::alone;
    use super::*;

    /// Lets a period pass with so many hits in a hundred.
    fn period(policy: &mut ClimbingWTinyLfu, percent: u64) -> f64 {
        for request in 0..PERIOD * 100 {
            policy.request(request % 100 < percent);
        }
        policy.window
    }

    #[test]
    fn the_window_grows_while_that_pays_and_turns_around_when_it_does_not() {
        let mut policy: ClimbingWTinyLfu = alone(1000);
        for slot in 0..100 {
            policy.tiny.insert(slot, u64::from(slot), 1);
        }
        period(&mut policy, 50);
        let first = period(&mut policy, 52);
        assert!((first - 0.0725).abs() < 1e-9, "{first}");
        assert!(period(&mut policy, 53) > first);
        let turned = period(&mut policy, 50);
        assert!(turned < 0.0725 + STEP * DECAY);
        assert_eq!(policy.tiny.most_window, part(1000, turned));
    }
}
