//! W-TinyLFU, with exact counts in place of the sketch.

use std::collections::HashMap;

use terrace_memory::eviction::{ClimbingWTinyLfu, WTinyLfu};

use super::{Item, Naive, agrees, compare, item, set_weight, steps, take, weigh};

struct NaiveTiny {
    capacity: u64,
    window_size: u64,
    window: Vec<Item>,
    probation: Vec<Item>,
    protected: Vec<Item>,
    counts: HashMap<u8, u64>,
    counted: u64,
    asked: Option<u8>,
}

impl NaiveTiny {
    fn with_window(capacity: u64, window_size: u64) -> Self {
        NaiveTiny {
            capacity,
            window_size: window_size.max(1),
            window: Vec::new(),
            probation: Vec::new(),
            protected: Vec::new(),
            counts: HashMap::new(),
            counted: 0,
            asked: None,
        }
    }

    fn len(&self) -> usize {
        self.window.len() + self.probation.len() + self.protected.len()
    }

    fn count(&mut self, key: u8) {
        let count = self.counts.entry(key).or_default();
        *count = (*count + 1).min(15);
        self.counted += 1;
        if self.counted >= 10 * self.len().max(16) as u64 {
            self.counts.values_mut().for_each(|count| *count /= 2);
            self.counted /= 2;
        }
    }

    fn estimate(&self, item: &Item) -> u64 {
        self.counts.get(&item.key).copied().unwrap_or(0)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Item> {
        self.window.iter_mut().chain(&mut self.probation).chain(&mut self.protected)
    }

    fn insert(&mut self, key: u8, weight: u64) {
        if self.asked.take() != Some(key) {
            self.count(key);
        }
        self.window.push(item(key, weight));
        while weigh(&self.window) > self.window_size {
            self.probation.push(self.window.remove(0));
        }
    }

    fn hit(&mut self, key: u8) {
        self.count(key);
        if let Some(used) = take(&mut self.window, key) {
            self.window.push(used);
            return;
        }
        let used = take(&mut self.probation, key).or_else(|| take(&mut self.protected, key));
        self.protected.extend(used);
        let main = self.capacity.saturating_sub(self.window_size);
        while weigh(&self.protected) > main * 4 / 5 {
            self.probation.push(self.protected.remove(0));
        }
    }

    fn remove(&mut self, key: u8) {
        for list in [&mut self.window, &mut self.probation, &mut self.protected] {
            take(list, key);
        }
    }

    fn victim(&mut self) -> Option<u8> {
        let full = weigh(&self.window) >= self.window_size;
        let candidate = self.window.first().filter(|_| full).copied();
        let victim = self.probation.first().or(self.protected.first()).copied();
        let loser = match (candidate, victim) {
            (Some(candidate), Some(victim)) if self.estimate(&candidate) > self.estimate(&victim) => victim,
            (Some(candidate), _) => candidate,
            (None, Some(victim)) => victim,
            (None, None) => *self.window.first()?,
        };
        self.remove(loser.key);
        Some(loser.key)
    }
}

/// With a window of so many hundredths.
struct NaiveFixed<const PERCENT: u64>(NaiveTiny);

impl<const PERCENT: u64> Naive for NaiveFixed<PERCENT> {
    fn new(capacity: u64) -> Self {
        NaiveFixed(NaiveTiny::with_window(capacity, capacity * PERCENT / 100))
    }
    fn miss(&mut self, key: u8) {
        self.0.count(key);
        self.0.asked = Some(key);
    }
    fn insert(&mut self, key: u8, weight: u64) {
        self.0.insert(key, weight);
    }
    fn hit(&mut self, key: u8) {
        self.0.hit(key);
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        set_weight(self.0.all(), key, weight);
    }
    fn remove(&mut self, key: u8) {
        self.0.remove(key);
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        self.0.victim()
    }
}

/// With a window that takes a step after each period of ten requests an entry.
struct NaiveClimbing {
    tiny: NaiveTiny,
    part: f64,
    step: f64,
    hits: u64,
    requests: u64,
    before: Option<f64>,
}

impl NaiveClimbing {
    fn request(&mut self, hit: bool) {
        self.requests += 1;
        self.hits += u64::from(hit);
        if self.requests < 10 * self.tiny.len().max(1) as u64 {
            return;
        }
        let ratio = self.hits as f64 / self.requests as f64;
        (self.hits, self.requests) = (0, 0);
        if let Some(before) = self.before {
            // Turn around if it got worse.
            let way = if ratio < before { -self.step } else { self.step };
            self.part = (self.part + way).clamp(0.0, 0.8);
            let much = (ratio - before).abs() >= 0.05;
            self.step = if much { 0.0625 * way.signum() } else { way * 0.98 };
            self.tiny.window_size = ((self.tiny.capacity as f64 * self.part) as u64).max(1);
        }
        self.before = Some(ratio);
    }
}

impl Naive for NaiveClimbing {
    fn new(capacity: u64) -> Self {
        let tiny = NaiveTiny::with_window(capacity, capacity / 100);
        NaiveClimbing { tiny, part: 0.01, step: 0.0625, hits: 0, requests: 0, before: None }
    }
    fn miss(&mut self, key: u8) {
        self.tiny.count(key);
        self.tiny.asked = Some(key);
    }
    fn insert(&mut self, key: u8, weight: u64) {
        self.tiny.insert(key, weight);
        self.request(false);
    }
    fn hit(&mut self, key: u8) {
        self.tiny.hit(key);
        self.request(true);
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        set_weight(self.tiny.all(), key, weight);
    }
    fn remove(&mut self, key: u8) {
        self.tiny.remove(key);
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        self.tiny.victim()
    }
}

agrees!(window_of_one_hundredth, WTinyLfu<1>, NaiveFixed<1>);
agrees!(window_of_a_fifth, WTinyLfu<20>, NaiveFixed<20>);
agrees!(climbing_window, ClimbingWTinyLfu, NaiveClimbing);
