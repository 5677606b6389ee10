//! Random eviction: the baseline that knows nothing.

use std::sync::Arc;

use super::chance::Chance;
use super::members::Members;
use super::{Hits, Marks, Policy, Setup};

/// Evicts any entry, each with the same probability.
#[derive(Debug)]
pub struct Random {
    members: Members,
    chance: Chance,
}

impl Policy for Random {
    const NAME: &'static str = "random";
    const HITS: Hits = Hits::Mark;
    type Shared = ();

    fn shared(_setup: Setup) {}

    fn new(setup: Setup, _shared: &Arc<()>) -> Self {
        Random { members: Members::default(), chance: Chance::new(setup.seed) }
    }

    fn set_capacity(&mut self, _setup: Setup) {}

    fn insert<M: Marks>(&mut self, slot: u32, _hash: u64, _weight: u32, _marks: &M) {
        self.members.insert(slot);
    }

    fn reweigh(&mut self, _slot: u32, _weight: u32) {}

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.members.remove(slot);
    }

    fn victim<M: Marks>(&mut self, _marks: &M) -> Option<u32> {
        let slot = self.members.draw(&mut self.chance)?;
        self.members.remove(slot);
        Some(slot)
    }

    fn clear(&mut self) {
        self.members = Members::default();
    }

    fn survey<M: Marks>(&self, _marks: &M, show: &mut dyn FnMut(u32, f64)) {
        // All are the same to it.
        self.members.all().iter().for_each(|slot| show(*slot, 0.0));
    }

    fn heap_bytes(&self) -> usize {
        self.members.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PlainMarks, alone};
    use super::*;

    #[test]
    fn every_entry_leaves_once_and_the_first_is_any_of_them() {
        let mut firsts = [0; 4];
        for seed in 0..400 {
            let setup = Setup::alone(4, seed);
            let (mut random, marks) = (Random::new(setup, &Arc::new(())), PlainMarks::new(5));
            for slot in 0..5 {
                random.insert(slot, 0, 1, &marks);
            }
            random.remove(4, &marks);
            random.remove(4, &marks);
            let mut order: Vec<_> = std::iter::from_fn(|| random.victim(&marks)).collect();
            firsts[order[0] as usize] += 1;
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3]);
        }
        assert!(firsts.iter().all(|count| (70..130).contains(count)), "{firsts:?}");
        assert!(alone::<Random>(3).victim(&PlainMarks::new(0)).is_none());
    }
}
