//! Every policy against a naive model of it, on random operations: both must name the same victims.
//!
//! The models are written from the papers with plain vectors and maps, keys instead of slots, and no thought of
//! speed. The oldest entry stands first in every vector.

mod engine;
mod frequency;
mod ghosts;
mod lirs;
mod queues;
mod tiny;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use terrace_memory::eviction::{Hits, Marks, Policy, Setup};

/// What a policy does, said in the plainest way.
trait Naive {
    fn new(capacity: u64) -> Self;
    fn miss(&mut self, _key: u8) {}
    fn insert(&mut self, key: u8, weight: u64);
    fn hit(&mut self, _key: u8) {}
    fn reweigh(&mut self, key: u8, weight: u64);
    fn remove(&mut self, key: u8);
    /// The victim, given what the policy chose: a model of a policy that draws lots only checks the choice.
    fn victim(&mut self, chosen: Option<u8>) -> Option<u8>;
}

/// A key with its weight and how often it was used.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Item {
    key: u8,
    weight: u64,
    uses: u8,
}

fn item(key: u8, weight: u64) -> Item {
    Item { key, weight, uses: 0 }
}

fn place(items: &[Item], key: u8) -> Option<usize> {
    items.iter().position(|item| item.key == key)
}

fn take(items: &mut Vec<Item>, key: u8) -> Option<Item> {
    place(items, key).map(|place| items.remove(place))
}

fn weigh(items: &[Item]) -> u64 {
    items.iter().map(|item| item.weight).sum()
}

fn set_weight<'a>(items: impl IntoIterator<Item = &'a mut Item>, key: u8, weight: u64) {
    items.into_iter().filter(|item| item.key == key).for_each(|item| item.weight = weight);
}

#[derive(Default)]
struct PlainMarks(Vec<Cell<u8>>, Vec<u32>);

impl Marks for PlainMarks {
    fn get(&self, slot: u32) -> u8 {
        self.0[slot as usize].get()
    }
    fn set(&self, slot: u32, mark: u8) {
        self.0[slot as usize].set(mark);
    }
    fn hash(&self, slot: u32) -> u32 {
        self.1[slot as usize]
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Ask for a key and store it with this weight if it is not there.
    Request(u8, u64),
    /// Store a key without having asked for it; only if it is not there.
    Store(u8, u64),
    Reweigh(u8, u64),
    Remove(u8),
    Clear,
}

fn steps(sized: bool, stored: bool) -> impl Strategy<Value = Vec<Step>> {
    let key = || prop_oneof![3 => 0..8u8, 2 => 0..20u8, 1 => 0..60u8];
    let weight = move || if sized { (1..6u64).boxed() } else { Just(1).boxed() };
    let step = prop_oneof![
        60 => (key(), weight()).prop_map(|(key, weight)| Step::Request(key, weight)),
        if stored { 4 } else { 0 } => (key(), weight()).prop_map(|(key, weight)| Step::Store(key, weight)),
        if sized { 3 } else { 0 } => (key(), weight()).prop_map(|(key, weight)| Step::Reweigh(key, weight)),
        3 => key().prop_map(Step::Remove),
    ];
    let all = prop_oneof![300 => step, 1 => Just(Step::Clear)];
    prop::collection::vec(all, 1..600)
}

/// A cache of names and weights around a policy, and the naive model of the same.
struct Pair<P: Policy, N> {
    capacity: u64,
    policy: P,
    naive: N,
    marks: PlainMarks,
    slots: HashMap<u8, (u32, u64)>,
    free: Vec<u32>,
}

fn hash(key: u8) -> u64 {
    let mixed = (u64::from(key) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

impl<P: Policy, N: Naive> Pair<P, N> {
    fn new(capacity: u64) -> Self {
        let setup = Setup::alone(capacity, 42);
        Pair {
            capacity,
            policy: P::new(setup, &Arc::new(P::shared(setup))),
            naive: N::new(capacity),
            marks: PlainMarks::default(),
            slots: HashMap::new(),
            free: Vec::new(),
        }
    }

    fn weight(&self) -> u64 {
        self.slots.values().map(|(_, weight)| weight).sum()
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Request(key, weight) => match self.slots.get(&key) {
                Some((slot, _)) => self.hit(*slot, key),
                None => {
                    self.policy.miss(hash(key));
                    self.naive.miss(key);
                    self.insert(key, weight)?;
                }
            },
            Step::Store(key, weight) if !self.slots.contains_key(&key) => self.insert(key, weight)?,
            Step::Reweigh(key, weight) => {
                if let Some((slot, held)) = self.slots.get_mut(&key) {
                    *held = weight;
                    self.policy.reweigh(*slot, weight as u32);
                    self.naive.reweigh(key, weight);
                    self.make_room(0)?;
                }
            }
            Step::Remove(key) => {
                if let Some((slot, _)) = self.slots.remove(&key) {
                    self.policy.remove(slot, &self.marks);
                    self.policy.remove(slot, &self.marks);
                    self.naive.remove(key);
                    self.free.push(slot);
                }
            }
            Step::Clear => {
                self.policy.clear();
                self.naive = N::new(self.capacity);
                self.free.extend(self.slots.drain().map(|(_, (slot, _))| slot));
            }
            Step::Store(..) => {}
        }
        Ok(())
    }

    fn hit(&mut self, slot: u32, key: u8) {
        match P::HITS {
            Hits::Mark => self.marks.set(slot, P::on_hit(self.marks.get(slot))),
            Hits::Exclusive => self.policy.used(slot, &self.marks),
        }
        self.naive.hit(key);
    }

    fn insert(&mut self, key: u8, weight: u64) -> Result<(), TestCaseError> {
        if weight > self.capacity {
            return Ok(());
        }
        self.make_room(weight)?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.marks.0.push(Cell::new(0));
            self.marks.1.push(0);
            (self.marks.0.len() - 1) as u32
        });
        self.slots.insert(key, (slot, weight));
        self.marks.1[slot as usize] = hash(key) as u32;
        self.policy.insert(slot, hash(key), weight as u32, &self.marks);
        self.naive.insert(key, weight);
        Ok(())
    }

    fn make_room(&mut self, weight: u64) -> Result<(), TestCaseError> {
        while self.weight() + weight > self.capacity {
            let chosen = self.policy.victim(&self.marks);
            let key = self.slots.iter().find(|(_, (slot, _))| Some(*slot) == chosen).map(|(key, _)| *key);
            prop_assert!(key.is_some(), "{} names slot {chosen:?}, which holds nothing", P::NAME);
            prop_assert_eq!(key, self.naive.victim(key), "{}", P::NAME);
            self.free.extend(key.and_then(|key| self.slots.remove(&key)).map(|(slot, _)| slot));
        }
        Ok(())
    }
}

fn compare<P: Policy, N: Naive>(capacity: u64, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut pair: Pair<P, N> = Pair::new(capacity);
    for step in steps {
        pair.step(step)?;
    }
    Ok(())
}

/// Tests that compare a policy with its model: one in entries, one with weights.
macro_rules! agrees {
    ($name:ident, $policy:ty, $naive:ty) => {
        mod $name {
            use super::*;
            use proptest::prelude::*;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(80))]

                #[test]
                fn agrees_with_its_model_in_entries(capacity in 1..30u64, steps in steps(false, true)) {
                    compare::<$policy, $naive>(capacity, steps)?;
                }

                #[test]
                fn agrees_with_its_model_by_weight(capacity in 1..80u64, steps in steps(true, true)) {
                    compare::<$policy, $naive>(capacity, steps)?;
                }
            }
        }
    };
}
use agrees;
