//! Writing: reserve, evict, publish.
//!
//! Decision: a write holds its shard's lock from the look at the old value to the publication of the new one,
//! so a decision on the old value is still true when the new one appears. Room is made in the own shard first.
//! If that holds nothing to evict, or far less than its part, other shards are asked with `try_write`: a lock
//! that is not waited for cannot deadlock.
//!
//! A new value that is refused takes the old one with it: the caller has said that the old one is out of date.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::Ordering;

use crate::entry::{Cause, Decision, Evicted, Inserted, Options, Outcome, Upserted};
use crate::eviction::Policy;
use crate::memory::Memory;
use crate::shard::{Cell, Entry, Replacement, Shard};
use crate::wheel::Lifetime;

/// How often the other shards are asked before a value is refused because all of them were busy.
const ROUNDS: usize = 64;

/// A value on its way in.
struct Incoming<K, V> {
    hash: u64,
    key: K,
    value: V,
    options: Options,
    now: u64,
}

/// What a write has caused so far.
struct Effects<K, V> {
    replaced: Option<V>,
    evicted: Vec<Evicted<K, V>>,
}

impl<K, V, P, S> Memory<K, V, P, S>
where
    K: Hash + Eq,
    P: Policy,
    S: BuildHasher,
{
    /// Stores a value under a key, in place of any it had.
    ///
    /// The entry is refused, and the key holds nothing afterwards, if it is heavier than the capacity, if no
    /// room can be made because the rest is pinned, or if it is dead on arrival; `stored` and the cause in
    /// `evicted` say so.
    ///
    /// # Cost
    ///
    /// One hash, one write lock, and the evictions that its weight makes necessary. Allocates when the shard
    /// grows or something is evicted.
    pub fn insert(&self, key: K, value: V, options: Options, now: u64) -> Inserted<K, V> {
        let done = self.upsert(key, now, |_| Decision::Put(value, options));
        Inserted { stored: done.outcome == Outcome::Stored, replaced: done.replaced, evicted: done.evicted }
    }

    /// Looks at the key's live value and does what `decide` says, with nothing in between: insert if absent,
    /// insert if newer, compare and swap, or compute a value from the old one.
    ///
    /// Looking is not a use; putting is. A refused value is treated as by [`insert`](Memory::insert).
    ///
    /// # Panics
    ///
    /// If `decide` panics the panic goes on to the caller, and the engine is as it was.
    pub fn upsert<F>(&self, key: K, now: u64, decide: F) -> Upserted<K, V>
    where
        F: FnOnce(Option<&V>) -> Decision<V>,
    {
        let hash = self.hash(&key);
        let (index, cell) = self.cell_of(hash);
        let mut effects = Effects { replaced: None, evicted: Vec::new() };
        let mut shard = cell.lock.write();
        let mut found = shard.find(hash, &key);
        let dead = found.and_then(|slot| shard.dead(slot, now));
        let current = if dead.is_some() { None } else { found };
        let decision = decide(current.and_then(|slot| shard.slab.get(slot)).map(|entry| &entry.value));
        if let (Some(slot), Some(cause)) = (found, dead) {
            self.evict(cell, &mut shard, slot, cause, &mut effects.evicted);
            found = None;
        }
        let outcome = match (decision, found) {
            (Decision::Keep, _) | (Decision::Remove, None) => Outcome::Kept,
            (Decision::Remove, Some(slot)) => {
                effects.replaced = self.take_out(&mut shard, slot).map(|entry| entry.value);
                cell.counters.removals.add(1);
                Outcome::Removed
            }
            (Decision::Put(value, options), found) => {
                let incoming = Incoming { hash, key, value, options, now };
                match self.put(index, &mut shard, found, incoming, &mut effects) {
                    true => Outcome::Stored,
                    false => Outcome::Refused,
                }
            }
        };
        cell.publish_totals(&shard);
        Upserted { outcome, replaced: effects.replaced, evicted: effects.evicted }
    }

    /// Removes the key's entry and returns its value, unless it has expired: then it is dropped.
    pub fn remove<Q>(&self, key: &Q, now: u64) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.remove_if(key, now, |_| true)
    }

    /// Removes the key's entry if its live value satisfies `condition`, with nothing in between, and returns
    /// the value. An entry that has expired is dropped without being asked about.
    pub fn remove_if<Q>(&self, key: &Q, now: u64, condition: impl FnOnce(&V) -> bool) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let cell = self.cell_of(hash).1;
        let mut shard = cell.lock.write();
        let slot = shard.find(hash, key)?;
        let dead = shard.dead(slot, now);
        if dead.is_none() && !shard.slab.get(slot).is_some_and(|entry| condition(&entry.value)) {
            return None;
        }
        let entry = self.take_out(&mut shard, slot)?;
        cell.publish_totals(&shard);
        drop(shard);
        match dead {
            Some(cause) => {
                cell.counters.left(cause);
                None
            }
            None => {
                cell.counters.removals.add(1);
                Some(entry.value)
            }
        }
    }

    /// Gives the key's live entry another lifetime, counted from `now`, in place of the one it had, and tells
    /// whether there was such an entry. A lifetime that has ended already makes it miss from now on.
    pub fn reschedule<Q>(&self, key: &Q, lifetime: Lifetime, now: u64) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let mut shard = self.cell_of(hash).1.lock.write();
        let Some((slot, _)) = shard.live(hash, key, now) else { return false };
        // An idle limit of nothing is an end, not the absence of a limit.
        let over = lifetime.idle == Some(0);
        let lifetime = if over { Lifetime { expires_at: Some(now), idle: None } } else { lifetime };
        shard.set_lifetime(slot, lifetime, now);
        true
    }

    /// Stores or refuses a value whose key has its live entry in `found`, under the shard's lock.
    fn put(
        &self,
        index: usize,
        shard: &mut Shard<K, V, P>,
        mut found: Option<u32>,
        incoming: Incoming<K, V>,
        effects: &mut Effects<K, V>,
    ) -> bool {
        if let Some(slot) = found {
            shard.used(slot);
        }
        let weight = incoming.options.weight.saturating_add(u64::from(self.overhead));
        let admitted = self.admit(weight, &incoming).and_then(|admitted| {
            let room = self.make_room(index, shard, &mut found, weight, incoming.now, effects);
            let slot = found.is_some() || !shard.slab.is_full();
            if room && !slot {
                self.budget.release(weight);
            }
            if room && slot { Ok(admitted) } else { Err(Cause::Full) }
        });
        match admitted {
            Ok(weight) => {
                self.publish(shard, found, incoming, weight, effects);
                self.cells[index].counters.inserts.add(1);
            }
            Err(cause) => {
                // The old value leaves with the one that was to replace it.
                if let Some(slot) = found {
                    effects.replaced = self.take_out(shard, slot).map(|entry| entry.value);
                }
                self.cells[index].counters.left(cause);
                effects.evicted.push(Evicted { key: incoming.key, value: incoming.value, weight, cause });
            }
        }
        admitted.is_ok()
    }

    /// The weight as it is stored, unless the entry can be refused without looking for room.
    fn admit(&self, weight: u64, incoming: &Incoming<K, V>) -> Result<u32, Cause> {
        if let Some(cause) = incoming.options.dead_on_arrival(incoming.now) {
            return Err(cause);
        }
        let fits = weight <= self.budget.limit();
        u32::try_from(weight).ok().filter(|_| fits).ok_or(Cause::TooHeavy)
    }

    /// Reserves what `weight` needs beyond what the entry in `found` holds already, evicting for it. The entry
    /// itself may be the victim; then its value counts as replaced and `found` becomes `None`.
    fn make_room(
        &self,
        index: usize,
        shard: &mut Shard<K, V, P>,
        found: &mut Option<u32>,
        weight: u64,
        now: u64,
        effects: &mut Effects<K, V>,
    ) -> bool {
        let cell = &self.cells[index];
        loop {
            let held = found.and_then(|slot| shard.slab.get(slot)).map_or(0, |entry| u64::from(entry.weight));
            if weight <= held || self.budget.reserve(weight - held) {
                return true;
            }
            let share = self.budget.limit() / self.cells.len() as u64;
            let starved = self.cells.len() > 1 && shard.weight + weight <= share / 2;
            if starved && self.evict_elsewhere(index, share, now, 1, effects) {
                continue;
            }
            let Some((slot, cause)) = shard.victim(now) else {
                if self.evict_elsewhere(index, 0, now, ROUNDS, effects) {
                    continue;
                }
                return false;
            };
            if *found == Some(slot) {
                effects.replaced = self.take_out(shard, slot).map(|entry| entry.value);
                *found = None;
            } else {
                self.evict(cell, shard, slot, cause, &mut effects.evicted);
            }
        }
    }

    /// Evicts one entry from another shard that weighs more than `heavier_than`, if one can be had within so
    /// many rounds over shards that may be busy.
    fn evict_elsewhere(
        &self,
        index: usize,
        heavier_than: u64,
        now: u64,
        rounds: usize,
        effects: &mut Effects<K, V>,
    ) -> bool {
        for _ in 0..rounds {
            let mut busy = false;
            for step in 1..self.cells.len() {
                let cell = &self.cells[(index + step) & (self.cells.len() - 1)];
                if cell.weight.load(Ordering::Relaxed) <= heavier_than {
                    continue;
                }
                let Some(mut shard) = cell.lock.try_write() else {
                    busy = true;
                    continue;
                };
                if let Some((slot, cause)) = shard.victim(now) {
                    self.evict(cell, &mut shard, slot, cause, &mut effects.evicted);
                    cell.publish_totals(&shard);
                    return true;
                }
            }
            if !busy {
                return false;
            }
            std::thread::yield_now();
        }
        false
    }

    /// Makes a value reachable whose weight has been reserved.
    fn publish(
        &self,
        shard: &mut Shard<K, V, P>,
        found: Option<u32>,
        incoming: Incoming<K, V>,
        weight: u32,
        effects: &mut Effects<K, V>,
    ) {
        let Incoming { hash, key, value, options, now } = incoming;
        let lifetime = Lifetime { expires_at: options.expires_at, idle: options.idle };
        let pinned = options.pinned;
        match found {
            Some(slot) => {
                let before = shard.slab.get(slot).map_or(0, |entry| entry.weight);
                let new = Replacement { value, weight, pinned, lifetime };
                effects.replaced = shard.replace(slot, new, now);
                self.budget.release(u64::from(before.saturating_sub(weight)));
            }
            None => shard.add(Entry { hash, weight, timed: false, pinned, key, value }, lifetime, now),
        }
    }
}

impl<K, V, P: Policy, S> Memory<K, V, P, S> {
    /// Takes an entry out of its shard and gives its weight back to the budget.
    pub(crate) fn take_out(&self, shard: &mut Shard<K, V, P>, slot: u32) -> Option<Entry<K, V>> {
        let entry = shard.take(slot)?;
        self.budget.release(u64::from(entry.weight));
        Some(entry)
    }

    /// Takes an entry out for a cause, counts it and hands it over.
    pub(crate) fn evict(
        &self,
        cell: &Cell<K, V, P>,
        shard: &mut Shard<K, V, P>,
        slot: u32,
        cause: Cause,
        evicted: &mut Vec<Evicted<K, V>>,
    ) {
        if let Some(Entry { key, value, weight, .. }) = self.take_out(shard, slot) {
            cell.counters.left(cause);
            evicted.push(Evicted { key, value, weight: u64::from(weight), cause });
        }
    }
}
