//! Hyperbolic caching: uses per time since the entry came in ("Hyperbolic caching: flexible caching for web
//! applications", Blankstein, Sen and Freedman, USENIX ATC 2017).
//!
//! Decision: as in the paper, the priorities of all entries change all the time, so none is kept in order: the
//! victim is the worst of 64 drawn at random. Time is counted in requests. Weights count: an entry's worth is
//! its use per time and weight.

use std::cmp::Ordering;
use std::sync::Arc;

use super::chance::Chance;
use super::members::Members;
use super::{Hits, Marks, Policy, Setup};
use crate::slab::cover;

/// Entries looked at for a victim.
const DRAWN: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    uses: u32,
    weight: u32,
    since: u64,
}

/// Evicts the entry with the fewest uses per time and weight, of some drawn at random.
#[derive(Debug)]
pub struct Hyperbolic {
    members: Members,
    entries: Vec<Entry>,
    chance: Chance,
    now: u64,
}

impl Policy for Hyperbolic {
    const NAME: &'static str = "hyperbolic";
    const HITS: Hits = Hits::Exclusive;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(setup: Setup, _shared: &Arc<()>) -> Self {
        let chance = Chance::new(setup.seed);
        Hyperbolic { members: Members::default(), entries: Vec::new(), chance, now: 0 }
    }

    fn set_capacity(&mut self, _setup: Setup) {}

    fn insert<M: Marks>(&mut self, slot: u32, _hash: u64, weight: u32, _marks: &M) {
        self.now += 1;
        cover(&mut self.entries, slot);
        self.entries[slot as usize] = Entry { uses: 1, weight, since: self.now };
        self.members.insert(slot);
    }

    fn used<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.now += 1;
        if self.members.contains(slot) {
            let uses = &mut self.entries[slot as usize].uses;
            *uses = uses.saturating_add(1);
        }
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        if self.members.contains(slot) {
            self.entries[slot as usize].weight = weight;
        }
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.members.remove(slot);
    }

    fn victim<M: Marks>(&mut self, _marks: &M) -> Option<u32> {
        let drawn = if self.members.len() <= DRAWN {
            self.members.all().iter().copied().reduce(|a, b| self.worse(a, b))
        } else {
            let mut worst = self.members.draw(&mut self.chance)?;
            for _ in 1..DRAWN {
                let other = self.members.draw(&mut self.chance)?;
                worst = self.worse(worst, other);
            }
            Some(worst)
        };
        self.members.remove(drawn?);
        drawn
    }

    fn clear(&mut self) {
        (self.members, self.entries, self.now) = (Members::default(), Vec::new(), 0);
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        let mut slots = self.members.all().to_vec();
        slots.sort_unstable_by(|a, b| self.order(*a, *b));
        slots.iter().for_each(|slot| show(*slot, self.worth(*slot)));
    }

    fn heap_bytes(&self) -> usize {
        self.members.heap_bytes() + self.entries.capacity() * size_of::<Entry>()
    }
}

impl Hyperbolic {
    fn worse(&self, a: u32, b: u32) -> u32 {
        if self.order(b, a).is_lt() { b } else { a }
    }

    fn order(&self, a: u32, b: u32) -> Ordering {
        // Older is worse among equals, so that entries which were never used leave in order.
        let [x, y] = [a, b].map(|slot| (self.worth(slot), self.entries[slot as usize].since));
        x.0.total_cmp(&y.0).then(x.1.cmp(&y.1))
    }

    fn worth(&self, slot: u32) -> f64 {
        let Entry { uses, weight, since } = self.entries[slot as usize];
        f64::from(uses) / ((self.now - since + 1) as f64 * f64::from(weight.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    #[test]
    fn uses_count_by_age_and_weight() {
        let (mut policy, marks): (Hyperbolic, _) = (alone(10), PlainMarks::new(4));
        policy.insert(0, 0, 1, &marks);
        for slot in [0, 0, 0, 0] {
            policy.used(slot, &marks);
        }
        for slot in 1..4 {
            policy.insert(slot, 0, 1, &marks);
        }
        policy.reweigh(3, 9);
        // Five uses in eight requests; one in three, two and one, the last at nine times the weight.
        assert_eq!([(); 5].map(|()| policy.victim(&marks)), [Some(3), Some(1), Some(2), Some(0), None]);
    }
}
