//! Random operations against a naive model of the whole cache: one map, and the naive models of the policies.
//! Contents, return values and the order of evictions must agree exactly.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use terrace_memory::eviction::{Fifo, Lru, Policy, S3Fifo};
use terrace_memory::{Cause, Config, Memory, Options};

use crate::policies::Naive;
use crate::policies::ghosts::NaiveSmallMain;
use crate::policies::queues::{NaiveFifo, NaiveLru};

#[derive(Clone, Copy, Debug, PartialEq)]
struct Held {
    value: u32,
    weight: u64,
    pinned: bool,
}

struct Model<O> {
    capacity: u64,
    entries: BTreeMap<u8, Held>,
    order: O,
}

#[derive(Debug, PartialEq)]
struct Effect {
    stored: bool,
    replaced: Option<u32>,
    evicted: Vec<(u8, Cause)>,
}

impl<O: Naive> Model<O> {
    fn new(capacity: u64) -> Self {
        Model { capacity, entries: BTreeMap::new(), order: O::new(capacity) }
    }

    /// The value, which counts as used if the policy knows it.
    fn use_of(&mut self, key: u8) -> Option<u32> {
        let held = self.entries.get(&key)?;
        if !held.pinned {
            self.order.hit(key);
        }
        Some(held.value)
    }

    fn weight(&self) -> u64 {
        self.entries.values().map(|held| held.weight).sum()
    }

    fn take(&mut self, key: u8) -> Option<Held> {
        self.order.remove(key);
        self.entries.remove(&key)
    }

    fn insert(&mut self, key: u8, new: Held) -> Effect {
        let mut effect = Effect { stored: false, replaced: None, evicted: Vec::new() };
        self.use_of(key);
        let mut refusal = (new.weight > self.capacity).then_some(Cause::TooHeavy);
        while refusal.is_none() {
            let held = self.entries.get(&key).map_or(0, |held| held.weight);
            if self.weight() - held + new.weight <= self.capacity || new.weight <= held {
                break;
            }
            match self.order.victim(None) {
                Some(victim) if victim == key => {
                    effect.replaced = self.entries.remove(&victim).map(|held| held.value);
                }
                Some(victim) => {
                    self.entries.remove(&victim);
                    effect.evicted.push((victim, Cause::Capacity));
                }
                None => refusal = Some(Cause::Full),
            }
        }
        if let Some(cause) = refusal {
            if let Some(old) = self.take(key) {
                effect.replaced = Some(old.value);
            }
            effect.evicted.push((key, cause));
            return effect;
        }
        effect.stored = true;
        match self.entries.insert(key, new) {
            Some(old) => {
                effect.replaced = Some(old.value);
                match (old.pinned, new.pinned) {
                    (false, false) => self.order.reweigh(key, new.weight),
                    (false, true) => self.order.remove(key),
                    (true, false) => self.order.insert(key, new.weight),
                    (true, true) => {}
                }
            }
            None if new.pinned => {}
            None => self.order.insert(key, new.weight),
        }
        effect
    }

    fn set_capacity(&mut self, capacity: u64) -> Vec<u8> {
        let mut evicted = Vec::new();
        while self.weight() > capacity
            && let Some(victim) = self.order.victim(None)
        {
            self.entries.remove(&victim);
            evicted.push(victim);
        }
        self.capacity = capacity.max(self.weight());
        evicted
    }
}

#[derive(Clone, Debug)]
enum Step {
    Get(u8),
    Insert { key: u8, weight: u64, pinned: bool },
    Remove(u8),
    Capacity(u64),
    Clear,
}

fn steps(unit: bool) -> impl Strategy<Value = Vec<Step>> {
    let key = || prop_oneof![0..6u8, 0..40u8];
    let weight = if unit { (1..2u64).boxed() } else { prop_oneof![8 => 0..8u64, 1 => 0..40u64].boxed() };
    let pinned = prop::bool::weighted(if unit { 0.0 } else { 0.05 });
    let step = prop_oneof![
        40 => key().prop_map(Step::Get),
        30 => (key(), weight, pinned).prop_map(|(key, weight, pinned)| Step::Insert { key, weight, pinned }),
        5 => key().prop_map(Step::Remove),
        1 => (0..40u64).prop_map(Step::Capacity),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 1..400)
}

fn compare<P: Policy, O: Naive>(capacity: u64, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let config = Config::entries(capacity).shards(1);
    let engine: Memory<u8, u32, P> = Memory::with_policy(config);
    let mut model = Model::<O>::new(capacity);
    for (value, step) in steps.into_iter().enumerate() {
        let value = value as u32;
        match step {
            Step::Get(key) => {
                prop_assert_eq!(engine.get(&key, 0), model.use_of(key));
            }
            Step::Insert { key, weight, pinned } => {
                let expect = model.insert(key, Held { value, weight, pinned });
                let options = Options { weight, pinned, ..Options::default() };
                let done = engine.insert(key, value, options, 0);
                let evicted = done.evicted.iter().map(|gone| (gone.key, gone.cause)).collect();
                prop_assert_eq!(
                    Effect { stored: done.stored, replaced: done.replaced.map(|gone| gone.value), evicted },
                    expect
                );
            }
            Step::Remove(key) => {
                prop_assert_eq!(
                    engine.remove(&key, 0).map(|gone| gone.value),
                    model.take(key).map(|held| held.value)
                );
            }
            Step::Capacity(capacity) => {
                let gone: Vec<u8> = engine.set_capacity(capacity, 0).iter().map(|gone| gone.key).collect();
                prop_assert_eq!(gone, model.set_capacity(capacity));
            }
            Step::Clear => {
                prop_assert_eq!(engine.clear(), model.entries.len());
                model.entries.clear();
                model.order = O::new(model.capacity);
            }
        }
        let mut held: HashMap<u8, Held> = HashMap::new();
        engine.scan(0, usize::MAX, 0, |key, value, meta| {
            held.insert(*key, Held { value: *value, weight: meta.weight, pinned: meta.pinned });
        });
        prop_assert_eq!(held, model.entries.iter().map(|(key, held)| (*key, *held)).collect());
        prop_assert_eq!(engine.weight(), model.weight());
        prop_assert_eq!(engine.capacity(), model.capacity);
        prop_assert_eq!(engine.len(), model.entries.len());
        prop_assert_eq!(engine.check(), Ok(()));
    }
    Ok(())
}

proptest! {
    #[test]
    fn fifo_agrees_with_its_model(capacity in 0..40u64, steps in steps(false)) {
        compare::<Fifo, NaiveFifo>(capacity, steps)?;
    }

    #[test]
    fn lru_agrees_with_its_model(capacity in 0..40u64, steps in steps(false)) {
        compare::<Lru, NaiveLru>(capacity, steps)?;
    }

    #[test]
    fn s3fifo_agrees_with_its_model(capacity in 0..40u64, steps in steps(false)) {
        compare::<S3Fifo, NaiveSmallMain<2>>(capacity, steps)?;
    }

    #[test]
    fn s3fifo_agrees_with_its_model_in_entries(capacity in 1..20u64, steps in steps(true)) {
        compare::<S3Fifo, NaiveSmallMain<2>>(capacity, steps)?;
    }
}
