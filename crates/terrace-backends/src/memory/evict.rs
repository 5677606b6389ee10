//! What a full store gives up, and how that is changed while it is in use.
//!
//! What may not be evicted is pinned in the engine and counts against the budget, so a change has to look at every
//! entry. It does so with the gate to itself and the engine's own limit out of the way: nothing is evicted by one
//! rule while it is counted by the other.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU8, Ordering};

use terrace_memory::Decision;
use terrace_store::{Key, Result};

use super::config::{Evict, MemoryConfig};
use super::held::Held;
use super::table::Table;

/// How many slots of the engine are looked at under one lock.
const STEP: usize = 1024;

/// The choice in force.
pub(super) struct Choice(AtomicU8);

impl Choice {
    pub(super) fn new(evict: Evict) -> Self {
        Self(AtomicU8::new(evict as u8))
    }

    pub(super) fn get(&self) -> Evict {
        match self.0.load(Ordering::Acquire) {
            0 => Evict::None,
            1 => Evict::Expiring,
            _ => Evict::All,
        }
    }

    fn set(&self, evict: Evict) {
        self.0.store(evict as u8, Ordering::Release);
    }
}

impl Evict {
    /// Whether an entry is to stay whatever happens.
    pub(super) fn pins(self, held: &Held) -> bool {
        match self {
            Self::None => true,
            Self::Expiring => held.deadline_ms().is_none(),
            Self::All => false,
        }
    }
}

/// What the engine is limited to. Where nothing may be evicted it must not want to: the budget is kept outside.
pub(super) fn engine_capacity(config: &MemoryConfig, evict: Evict) -> u64 {
    match evict {
        Evict::None => u64::MAX,
        Evict::Expiring | Evict::All => config.capacity.unwrap_or(u64::MAX),
    }
}

impl Table {
    /// Evicts by another rule from now on.
    pub(super) fn set_evict(&self, evict: Evict) -> Result<()> {
        MemoryConfig { evict, ..*self.config() }.check()?;
        let _alone = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        if self.choice.get() == evict {
            return Ok(());
        }
        let none = self.engine.set_capacity(u64::MAX, 0);
        debug_assert!(none.is_empty(), "more room evicts nothing");
        let mut slot = 0;
        loop {
            let mut changed: Vec<(Key, Held)> = Vec::new();
            slot = self.engine.scan(slot, STEP, 0, |key, held, about| {
                if about.pinned != evict.pins(held) {
                    changed.push((key.clone(), held.clone()));
                }
            });
            changed.into_iter().for_each(|(key, held)| self.repin(key, held, evict));
            if slot == 0 {
                break;
            }
        }
        self.choice.set(evict);
        for evicted in self.engine.set_capacity(engine_capacity(self.config(), evict), 0) {
            self.note_eviction(&evicted.key, &evicted.value);
        }
        Ok(())
    }

    /// Pins an entry or lets it loose, and moves it into or out of the budget. Nobody else writes meanwhile.
    fn repin(&self, key: Key, held: Held, evict: Evict) {
        let (before, after) = (self.amount(&key, &held), self.amount_under(evict, &key, &held));
        self.spaces.reserve(after.stored, None);
        self.spaces.release(before.stored);
        self.spaces.replace(&key, before, after);
        let options = self.options_under(evict, &key, &held);
        let done = self.engine.upsert(key, 0, |_| Decision::Put(held, options));
        debug_assert!(done.evicted.is_empty(), "the engine has no limit now");
    }
}
