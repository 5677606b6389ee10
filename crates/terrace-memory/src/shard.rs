//! One shard: a hash table of slots, the slots themselves, the policy's queues and the timers.
//!
//! Decision: everything here runs under the shard's lock and knows nothing of the budget; weights are released
//! by whoever takes an entry out. The table stores slots only, and each entry keeps its hash, so that growing
//! the table and evicting never hash a key again.

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::entry::{Cause, Meta};
use crate::eviction::{Hits, Marks, Policy, Setup};
use crate::slab::{Slab, cover};
use crate::stats::Counters;
use crate::wheel::{Lifetime, Wheel};

/// A shard with its lock and what may be read without it, on cache lines of its own.
#[repr(align(128))]
pub(crate) struct Cell<K, V, P> {
    pub(crate) lock: RwLock<Shard<K, V, P>>,
    pub(crate) counters: Counters,
    pub(crate) len: AtomicUsize,
    pub(crate) weight: AtomicU64,
}

impl<K, V, P: Policy> Cell<K, V, P> {
    pub(crate) fn new(setup: Setup, shared: &Arc<P::Shared>) -> Self {
        Cell {
            lock: RwLock::new(Shard::new(setup, shared)),
            counters: Counters::default(),
            len: AtomicUsize::new(0),
            weight: AtomicU64::new(0),
        }
    }

    /// Called under the write lock after anything that changed them.
    pub(crate) fn publish_totals(&self, shard: &Shard<K, V, P>) {
        self.len.store(shard.slab.len(), Ordering::Relaxed);
        self.weight.store(shard.weight, Ordering::Relaxed);
    }
}

pub(crate) struct Entry<K, V> {
    pub(crate) hash: u64,
    pub(crate) weight: u32,
    pub(crate) timed: bool,
    pub(crate) pinned: bool,
    pub(crate) key: K,
    pub(crate) value: V,
}

/// The policy's mark of each slot.
#[derive(Default)]
pub(crate) struct Bytes(Vec<AtomicU8>);

impl Bytes {
    /// Sees to it that this slot has a mark. Slots come into use one after another.
    fn cover(&mut self, slot: u32) {
        cover(&mut self.0, slot);
    }

    #[inline]
    fn hit<P: Policy>(&self, slot: u32) {
        let Some(mark) = self.0.get(slot as usize) else { return };
        let before = mark.load(Ordering::Relaxed);
        let after = P::on_hit(before);
        // Two hits at once may count as one. That is cheaper than an atomic change and harms nothing.
        if after != before {
            mark.store(after, Ordering::Relaxed);
        }
    }
}

impl Marks for Bytes {
    fn get(&self, slot: u32) -> u8 {
        self.0.get(slot as usize).map_or(0, |mark| mark.load(Ordering::Relaxed))
    }

    fn set(&self, slot: u32, mark: u8) {
        if let Some(place) = self.0.get(slot as usize) {
            place.store(mark, Ordering::Relaxed);
        }
    }
}

pub(crate) struct Shard<K, V, P> {
    table: HashTable<u32>,
    pub(crate) slab: Slab<Entry<K, V>>,
    pub(crate) policy: P,
    pub(crate) marks: Bytes,
    pub(crate) wheel: Wheel,
    pub(crate) weight: u64,
}

/// How many timers a writer looks at before it asks the policy for a victim.
const STEPS_BEFORE_EVICTION: usize = 8;

impl<K, V, P: Policy> Shard<K, V, P> {
    fn new(setup: Setup, shared: &Arc<P::Shared>) -> Self {
        Shard {
            table: HashTable::new(),
            slab: Slab::default(),
            policy: P::new(setup, shared),
            marks: Bytes::default(),
            wheel: Wheel::default(),
            weight: 0,
        }
    }

    #[inline]
    pub(crate) fn find<Q>(&self, hash: u64, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let slab = &self.slab;
        let same = |slot: &u32| slab.get(*slot).is_some_and(|entry| entry.key.borrow() == key);
        self.table.find(hash, same).copied()
    }

    /// The live entry of a key.
    #[inline]
    pub(crate) fn live<Q>(&self, hash: u64, key: &Q, now: u64) -> Option<(u32, &Entry<K, V>)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let slot = self.find(hash, key)?;
        let entry = self.slab.get(slot)?;
        (!entry.timed || self.wheel.dead(slot, now).is_none()).then_some((slot, entry))
    }

    /// Why the entry in this slot is dead, if it is.
    #[inline]
    pub(crate) fn dead(&self, slot: u32, now: u64) -> Option<Cause> {
        if self.slab.get(slot)?.timed { self.wheel.dead(slot, now) } else { None }
    }

    pub(crate) fn meta(&self, slot: u32, entry: &Entry<K, V>) -> Meta {
        let lifetime = if entry.timed { self.wheel.lifetime(slot) } else { Lifetime::default() };
        Meta {
            weight: u64::from(entry.weight),
            expires_at: lifetime.expires_at,
            idle: lifetime.idle,
            pinned: entry.pinned,
        }
    }

    /// Notes a use of an entry under shared access.
    #[inline]
    pub(crate) fn touch(&self, slot: u32, entry: &Entry<K, V>, now: u64) {
        self.marks.hit::<P>(slot);
        if entry.timed {
            self.wheel.touch(slot, now);
        }
    }

    /// Notes a use of an entry under the write lock.
    pub(crate) fn used(&mut self, slot: u32) {
        match P::HITS {
            Hits::Mark => self.marks.hit::<P>(slot),
            Hits::Exclusive => self.policy.used(slot, &self.marks),
        }
    }

    /// Adds an entry under a key that has none.
    pub(crate) fn add(&mut self, entry: Entry<K, V>, lifetime: Lifetime, now: u64) {
        let Entry { hash, weight, pinned, .. } = entry;
        let slot = self.slab.insert(entry);
        let slab = &self.slab;
        self.table.insert_unique(hash, slot, |slot| slab.get(*slot).map_or(0, |entry| entry.hash));
        if !pinned {
            self.marks.cover(slot);
            self.policy.insert(slot, hash, weight, &self.marks);
        }
        self.weight += u64::from(weight);
        self.set_lifetime(slot, lifetime, now);
    }

    /// Gives a key's entry another value and returns the old one.
    pub(crate) fn replace(&mut self, slot: u32, new: Replacement<V>, now: u64) -> Option<V> {
        let entry = self.slab.get_mut(slot)?;
        let old = std::mem::replace(&mut entry.value, new.value);
        self.weight = self.weight - u64::from(entry.weight) + u64::from(new.weight);
        entry.weight = new.weight;
        let hash = entry.hash;
        match (std::mem::replace(&mut entry.pinned, new.pinned), new.pinned) {
            (false, false) => self.policy.reweigh(slot, new.weight),
            (false, true) => self.policy.remove(slot, &self.marks),
            (true, false) => {
                self.marks.cover(slot);
                self.policy.insert(slot, hash, new.weight, &self.marks);
            }
            (true, true) => {}
        }
        self.set_lifetime(slot, new.lifetime, now);
        Some(old)
    }

    pub(crate) fn set_lifetime(&mut self, slot: u32, lifetime: Lifetime, now: u64) {
        let Some(entry) = self.slab.get_mut(slot) else { return };
        if lifetime.ends() {
            entry.timed = true;
            self.wheel.arm(slot, lifetime, now);
        } else if std::mem::replace(&mut entry.timed, false) {
            self.wheel.disarm(slot);
        }
    }

    /// Takes an entry out of everything. The caller releases its weight.
    pub(crate) fn take(&mut self, slot: u32) -> Option<Entry<K, V>> {
        let entry = self.slab.remove(slot)?;
        if let Ok(found) = self.table.find_entry(entry.hash, |other| *other == slot) {
            found.remove();
        }
        if !entry.pinned {
            self.policy.remove(slot, &self.marks);
        }
        if entry.timed {
            self.wheel.disarm(slot);
        }
        self.weight -= u64::from(entry.weight);
        Some(entry)
    }

    /// The entry that should leave next, and why: a dead one if the timers have one at hand, else the policy's
    /// choice. It is still in its slot.
    pub(crate) fn victim(&mut self, now: u64) -> Option<(u32, Cause)> {
        let mut steps = STEPS_BEFORE_EVICTION;
        if let Some(dead) = self.wheel.expire(now, &mut steps) {
            return Some(dead);
        }
        let slot = self.policy.victim(&self.marks)?;
        Some((slot, self.dead(slot, now).unwrap_or(Cause::Capacity)))
    }

    /// Empties the shard, gives its memory back, and returns what it held.
    pub(crate) fn drain(&mut self) -> (Slab<Entry<K, V>>, u64) {
        self.table = HashTable::new();
        self.policy.clear();
        self.marks = Bytes::default();
        self.wheel.clear();
        (std::mem::take(&mut self.slab), std::mem::take(&mut self.weight))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.table.allocation_size()
            + self.slab.heap_bytes()
            + self.policy.heap_bytes()
            + self.marks.0.capacity()
            + self.wheel.heap_bytes()
    }

    /// Everything that must agree, compared entry by entry. For tests.
    pub(crate) fn check(&self) -> Result<(), String> {
        let weight: u64 = self.slab.iter().map(|(_, entry)| u64::from(entry.weight)).sum();
        if weight != self.weight {
            return Err(format!("entries weigh {weight}, the shard says {}", self.weight));
        }
        if self.table.len() != self.slab.len() {
            return Err(format!("{} slots in the table, {} in use", self.table.len(), self.slab.len()));
        }
        for (slot, entry) in self.slab.iter() {
            if self.table.find(entry.hash, |other| *other == slot).is_none() {
                return Err(format!("slot {slot} is not in the table"));
            }
        }
        Ok(())
    }
}

/// What takes an old value's place.
pub(crate) struct Replacement<V> {
    pub(crate) value: V,
    pub(crate) weight: u32,
    pub(crate) pinned: bool,
    pub(crate) lifetime: Lifetime,
}
