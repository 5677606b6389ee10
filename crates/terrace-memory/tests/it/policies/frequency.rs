//! LFU with aging, GDSF, Hyperbolic, LeCaR.

use std::collections::HashMap;

use terrace_memory::eviction::{Gdsf, Hyperbolic, Lecar, Lfu, Random};

use super::{Naive, agrees, compare, steps};

#[derive(Clone, Copy)]
struct Used {
    uses: f64,
    weight: u64,
    /// The age of the cache at the last use.
    age: f64,
    /// When its priority was last set, and when it came in.
    set: u64,
    since: u64,
}

/// Uses divided by weight (or by one), plus the age of the cache, which is the last victim's priority.
struct NaiveGreedy<const BY_SIZE: bool> {
    held: HashMap<u8, Used>,
    age: f64,
    clock: u64,
}

impl<const BY_SIZE: bool> NaiveGreedy<BY_SIZE> {
    fn priority(used: &Used) -> f64 {
        used.age + if BY_SIZE { used.uses / used.weight as f64 } else { used.uses }
    }
}

impl<const BY_SIZE: bool> Naive for NaiveGreedy<BY_SIZE> {
    fn new(_: u64) -> Self {
        NaiveGreedy { held: HashMap::new(), age: 0.0, clock: 0 }
    }
    fn insert(&mut self, key: u8, weight: u64) {
        self.clock += 1;
        self.held.insert(key, Used { uses: 1.0, weight, age: self.age, set: self.clock, since: 0 });
    }
    fn hit(&mut self, key: u8) {
        self.clock += 1;
        let used = self.held.get_mut(&key).unwrap();
        *used = Used { uses: used.uses + 1.0, age: self.age, set: self.clock, ..*used };
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        if BY_SIZE {
            self.clock += 1;
            let used = self.held.get_mut(&key).unwrap();
            *used = Used { weight, set: self.clock, ..*used };
        }
    }
    fn remove(&mut self, key: u8) {
        self.held.remove(&key);
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        let rank = |used: &Used| (Self::priority(used), used.set);
        let (key, used) = self.held.iter().min_by(|a, b| rank(a.1).partial_cmp(&rank(b.1)).unwrap())?;
        self.age = Self::priority(used);
        let key = *key;
        self.held.remove(&key);
        Some(key)
    }
}

/// The fewest uses for time and weight, of all entries: they are too few to be drawn from.
struct NaiveHyperbolic {
    held: HashMap<u8, Used>,
    now: u64,
}

impl Naive for NaiveHyperbolic {
    fn new(_: u64) -> Self {
        NaiveHyperbolic { held: HashMap::new(), now: 0 }
    }
    fn insert(&mut self, key: u8, weight: u64) {
        self.now += 1;
        self.held.insert(key, Used { uses: 1.0, weight, age: 0.0, set: 0, since: self.now });
    }
    fn hit(&mut self, key: u8) {
        self.now += 1;
        self.held.get_mut(&key).unwrap().uses += 1.0;
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        self.held.get_mut(&key).unwrap().weight = weight;
    }
    fn remove(&mut self, key: u8) {
        self.held.remove(&key);
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        let worth = |used: &Used| used.uses / ((self.now - used.since + 1) as f64 * used.weight as f64);
        let rank = |used: &Used| (worth(used), used.since);
        let (key, _) = self.held.iter().min_by(|a, b| rank(a.1).partial_cmp(&rank(b.1)).unwrap())?;
        let key = *key;
        self.held.remove(&key);
        Some(key)
    }
}

/// Two experts; which of them is asked is drawn, so the model only checks that the victim is the choice of
/// one of them, and that their counts go on.
struct NaiveLecar {
    capacity: u64,
    held: HashMap<u8, Used>,
    /// Key, weight and uses of what left on the word of one expert alone.
    ghosts: [Vec<(u8, u64, f64)>; 2],
    asked: Option<(u8, f64)>,
    clock: u64,
}

impl NaiveLecar {
    fn past_uses(&mut self, key: u8) -> f64 {
        for list in &mut self.ghosts {
            if let Some(place) = list.iter().position(|(ghost, ..)| *ghost == key) {
                return list.remove(place).2;
            }
        }
        0.0
    }
}

impl Naive for NaiveLecar {
    fn new(capacity: u64) -> Self {
        NaiveLecar { capacity, held: HashMap::new(), ghosts: Default::default(), asked: None, clock: 0 }
    }
    fn miss(&mut self, key: u8) {
        self.asked = Some((key, self.past_uses(key)));
    }
    fn insert(&mut self, key: u8, weight: u64) {
        let uses = match self.asked.take() {
            Some((asked, uses)) if asked == key => uses,
            _ => self.past_uses(key),
        };
        self.clock += 1;
        self.held.insert(key, Used { uses: uses + 1.0, weight, age: 0.0, set: self.clock, since: 0 });
    }
    fn hit(&mut self, key: u8) {
        self.clock += 1;
        let used = self.held.get_mut(&key).unwrap();
        *used = Used { uses: used.uses + 1.0, set: self.clock, ..*used };
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        self.held.get_mut(&key).unwrap().weight = weight;
    }
    fn remove(&mut self, key: u8) {
        self.held.remove(&key);
    }
    fn victim(&mut self, chosen: Option<u8>) -> Option<u8> {
        let lru = *self.held.iter().min_by_key(|(_, used)| used.set)?.0;
        let rank = |used: &Used| (used.uses, used.set);
        let lfu = *self.held.iter().min_by(|a, b| rank(a.1).partial_cmp(&rank(b.1)).unwrap())?.0;
        let key = chosen.filter(|key| *key == lru || *key == lfu)?;
        let used = self.held.remove(&key)?;
        if lru != lfu {
            let list = &mut self.ghosts[usize::from(key == lfu)];
            list.push((key, used.weight, used.uses));
            let most = self.held.len() + 1;
            while list.iter().map(|(_, weight, _)| weight).sum::<u64>() > self.capacity || list.len() > most {
                list.remove(0);
            }
        }
        Some(key)
    }
}

/// Anything that is held will do.
struct NaiveRandom(Vec<u8>);

impl Naive for NaiveRandom {
    fn new(_: u64) -> Self {
        NaiveRandom(Vec::new())
    }
    fn insert(&mut self, key: u8, _: u64) {
        self.0.push(key);
    }
    fn reweigh(&mut self, _: u8, _: u64) {}
    fn remove(&mut self, key: u8) {
        self.0.retain(|other| *other != key);
    }
    fn victim(&mut self, chosen: Option<u8>) -> Option<u8> {
        let place = self.0.iter().position(|key| Some(*key) == chosen)?;
        Some(self.0.remove(place))
    }
}

agrees!(lfu, Lfu, NaiveGreedy<false>);
agrees!(gdsf, Gdsf, NaiveGreedy<true>);
agrees!(hyperbolic, Hyperbolic, NaiveHyperbolic);
agrees!(lecar, Lecar, NaiveLecar);
agrees!(random, Random, NaiveRandom);
