//! Writing: reserve, evict, publish.
//!
//! Decision: a write holds its shard's lock from the look at the old value to the publication of the new one,
//! so a decision on the old value is still true when the new one appears. Room is made in the own shard first.
//! If that holds nothing to evict, or far less than its part, other shards are asked with `try_lock`: a lock
//! that is not waited for cannot deadlock. What leaves to make room in the own shard lends its weight to what comes,
//! so a cache that is full changes the common budget only where the two differ.
//!
//! A new value that is refused takes the old one with it: the caller has said that the old one is out of date.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::Ordering;

use crate::cell::Pair;
use crate::entry::{Cause, Decision, Inserted, Options, Outcome, Upserted};
use crate::eviction::Policy;
use crate::gone::{Evicted, Evictions, Gone};
use crate::memory::Memory;
use crate::shard::{Incoming, Locked, Victim, index_hash};
use crate::sync::yield_now;
use crate::wheel::Lifetime;

/// How often the other shards are asked before a value is refused because all of them were busy.
const ROUNDS: usize = 64;

/// A value that somebody wants stored.
struct Offer<K, V> {
    hash: u64,
    pair: Pair<K, V>,
    options: Options,
    now: u64,
}

/// What a write has caused so far.
struct Effects<'a, K, V> {
    replaced: Option<Gone<'a, K, V>>,
    evicted: Evictions<'a, K, V>,
    /// The weight of what was taken out of the own shard and is not yet given back to the budget.
    lent: u64,
}

impl<K, V> Default for Effects<'_, K, V> {
    fn default() -> Self {
        Effects { replaced: None, evicted: Evictions::default(), lent: 0 }
    }
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
    /// One hash, one lock, and the evictions that its weight makes necessary. Allocates when the shard grows or
    /// more than one entry is evicted.
    pub fn insert(&self, key: K, value: V, options: Options, now: u64) -> Inserted<'_, K, V> {
        let hash = self.hash(&key);
        self.insert_hashed(hash, key, now, |_| Decision::Put(value, options), |_| ())
    }

    /// Stores what `decide` says, and then does something else under the same lock.
    #[inline]
    pub(crate) fn insert_hashed<F>(
        &self,
        hash: u64,
        key: K,
        now: u64,
        decide: F,
        then: impl FnOnce(&mut Locked<'_, K, V, P>),
    ) -> Inserted<'_, K, V>
    where
        F: FnOnce(Option<&V>) -> Decision<V>,
    {
        let mut effects = Effects::default();
        let outcome = self.write(hash, key, now, decide, then, &mut effects);
        let Effects { replaced, evicted, .. } = effects;
        Inserted { stored: outcome == Outcome::Stored, replaced, evicted }
    }

    /// Looks at the key's live value and does what `decide` says, with nothing in between: insert if absent,
    /// insert if newer, compare and swap, or compute a value from the old one.
    ///
    /// Looking is not a use; putting is. A refused value is treated as by [`insert`](Memory::insert).
    ///
    /// # Panics
    ///
    /// If `decide` panics the panic goes on to the caller, and the engine is as it was.
    pub fn upsert<F>(&self, key: K, now: u64, decide: F) -> Upserted<'_, K, V>
    where
        F: FnOnce(Option<&V>) -> Decision<V>,
    {
        let mut effects = Effects::default();
        let hash = self.hash(&key);
        let outcome = self.write(hash, key, now, decide, |_| (), &mut effects);
        let Effects { replaced, evicted, .. } = effects;
        Upserted { outcome, replaced, evicted }
    }

    #[inline]
    fn write<'a, F>(
        &'a self,
        hash: u64,
        key: K,
        now: u64,
        decide: F,
        then: impl FnOnce(&mut Locked<'a, K, V, P>),
        effects: &mut Effects<'a, K, V>,
    ) -> Outcome
    where
        F: FnOnce(Option<&V>) -> Decision<V>,
    {
        let (index, shard) = self.shard_of(hash);
        let mut locked = shard.lock();
        let (mut found, dead, decision) = {
            let found = locked.core.locate(&locked.state.space, index_hash(hash), &key);
            let dead = found.as_ref().and_then(|found| found.dead(now));
            let current = found.as_ref().filter(|_| dead.is_none());
            let decision = decide(current.map(|found| &found.pair().value));
            (found.map(|found| found.number), dead, decision)
        };
        if let (Some(number), Some(cause)) = (found, dead) {
            effects.evicted.push(self.evict(&mut locked, number, cause));
            found = None;
        }
        let outcome = match (decision, found) {
            (Decision::Keep, _) | (Decision::Remove, None) => Outcome::Kept,
            (Decision::Remove, Some(number)) => {
                effects.replaced = Some(self.take_out(&mut locked, number));
                locked.writers.counters.removals.add(1);
                Outcome::Removed
            }
            (Decision::Put(value, options), found) => {
                let offer = Offer { hash, pair: Pair { key, value }, options, now };
                match self.put(index, &mut locked, found, offer, effects) {
                    true => Outcome::Stored,
                    false => Outcome::Refused,
                }
            }
        };
        then(&mut locked);
        locked.publish_totals();
        drop(locked);
        shard.core.reclaim_old_index();
        outcome
    }

    /// Removes the key's entry and returns it, unless it has expired: then it is dropped.
    pub fn remove<Q>(&self, key: &Q, now: u64) -> Option<Gone<'_, K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.remove_if(key, now, |_| true)
    }

    /// Removes the key's entry if its live value satisfies `condition`, with nothing in between, and returns
    /// the entry. One that has expired is dropped without being asked about.
    pub fn remove_if<Q>(
        &self,
        key: &Q,
        now: u64,
        condition: impl FnOnce(&V) -> bool,
    ) -> Option<Gone<'_, K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let mut locked = self.shard_of(hash).1.lock();
        let (number, dead) = {
            let found = locked.core.locate(&locked.state.space, index_hash(hash), key)?;
            let dead = found.dead(now);
            if dead.is_none() && !condition(&found.pair().value) {
                return None;
            }
            (found.number, dead)
        };
        let gone = self.take_out(&mut locked, number);
        match dead {
            Some(cause) => locked.writers.counters.left(cause),
            None => locked.writers.counters.removals.add(1),
        }
        locked.publish_totals();
        drop(locked);
        dead.is_none().then_some(gone)
    }

    /// Gives the key's live entry another lifetime, counted from `now`, in place of the one it had, and tells
    /// whether there was such an entry. A lifetime that has ended already makes it miss from now on.
    pub fn reschedule<Q>(&self, key: &Q, lifetime: Lifetime, now: u64) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let mut locked = self.shard_of(hash).1.lock();
        let number = {
            let found = locked.core.locate(&locked.state.space, index_hash(hash), key);
            found.filter(|found| found.dead(now).is_none()).map(|found| found.number)
        };
        let Some(number) = number else { return false };
        // An idle limit of nothing is an end, not the absence of a limit.
        let over = lifetime.idle == Some(0);
        let lifetime = if over { Lifetime { expires_at: Some(now), idle: None } } else { lifetime };
        locked.set_lifetime(number, lifetime, now);
        true
    }

    /// Stores or refuses a value whose key has its live entry in `found`, under the shard's lock.
    #[inline]
    fn put<'a>(
        &'a self,
        index: usize,
        locked: &mut Locked<'a, K, V, P>,
        mut found: Option<u32>,
        offer: Offer<K, V>,
        effects: &mut Effects<'a, K, V>,
    ) -> bool {
        if let Some(number) = found {
            locked.used(number);
        }
        let weight = offer.options.weight.saturating_add(u64::from(self.overhead));
        let room = self.admit(weight, &offer).and_then(|admitted| {
            let room = self.make_room(index, locked, &mut found, weight, offer.now, effects);
            if room { Ok(admitted) } else { Err(Cause::Full) }
        });
        let done = match room {
            Ok(admitted) => {
                self.publish(locked, found, offer, admitted, effects).map_err(|pair| (pair, Cause::Full))
            }
            Err(cause) => Err((offer.pair, cause)),
        };
        if done.is_ok() {
            locked.writers.counters.inserts.add(1);
        }
        let stored = done.is_ok();
        if let Err((pair, cause)) = done {
            // The old value leaves with the one that was to replace it.
            if let Some(number) = found {
                effects.replaced = Some(self.take_out(locked, number));
            }
            locked.writers.counters.left(cause);
            let gone = Gone::own(pair.key, pair.value);
            effects.evicted.push(Evicted { gone, weight, cause });
        }
        self.give_back(std::mem::take(&mut effects.lent));
        stored
    }

    /// The weight as it is stored, unless the entry can be refused without looking for room.
    fn admit(&self, weight: u64, offer: &Offer<K, V>) -> Result<u32, Cause> {
        if let Some(cause) = offer.options.dead_on_arrival(offer.now) {
            return Err(cause);
        }
        let fits = weight <= self.budget.limit();
        u32::try_from(weight).ok().filter(|_| fits).ok_or(Cause::TooHeavy)
    }

    /// Reserves what `weight` needs beyond what the entry in `found` holds already and what was lent, evicting
    /// for it. The entry itself may be the victim; then its value counts as replaced and `found` becomes `None`.
    #[inline]
    fn make_room<'a>(
        &'a self,
        index: usize,
        locked: &mut Locked<'a, K, V, P>,
        found: &mut Option<u32>,
        weight: u64,
        now: u64,
        effects: &mut Effects<'a, K, V>,
    ) -> bool {
        loop {
            let held = found.map_or(0, |number| u64::from(locked.core.slab.weight(number))) + effects.lent;
            if weight <= held {
                return true;
            }
            if self.budget.reserve(weight - held) {
                effects.lent += weight - held;
                return true;
            }
            // The number of shards is a power of two.
            let share = self.budget.limit() >> self.shards.len().trailing_zeros();
            let starved = self.shards.len() > 1 && locked.state.weight + weight <= share / 2;
            if starved && self.evict_elsewhere(index, share, now, 1, effects) {
                continue;
            }
            let Some(Victim { number, weight, cause }) = locked.take_victim(now) else {
                if self.evict_elsewhere(index, 0, now, ROUNDS, effects) {
                    continue;
                }
                return false;
            };
            effects.lent += u64::from(weight);
            let gone = Gone::unlinked(locked.core, number);
            if *found == Some(number) {
                effects.replaced = Some(gone);
                *found = None;
            } else {
                locked.writers.counters.left(cause);
                effects.evicted.push(Evicted { gone, weight: u64::from(weight), cause });
            }
        }
    }

    /// Evicts one entry from another shard that weighs more than `heavier_than`, if one can be had within so
    /// many rounds over shards that may be busy.
    fn evict_elsewhere<'a>(
        &'a self,
        index: usize,
        heavier_than: u64,
        now: u64,
        rounds: usize,
        effects: &mut Effects<'a, K, V>,
    ) -> bool {
        for _ in 0..rounds {
            let mut busy = false;
            for step in 1..self.shards.len() {
                let shard = &self.shards[(index + step) & (self.shards.len() - 1)];
                if shard.writers.weight.load(Ordering::Relaxed) <= heavier_than {
                    continue;
                }
                let Some(mut locked) = shard.try_lock() else {
                    busy = true;
                    continue;
                };
                if let Some(victim) = locked.take_victim(now) {
                    effects.evicted.push(self.evicted(&locked, victim));
                    locked.publish_totals();
                    return true;
                }
            }
            if !busy {
                return false;
            }
            yield_now();
        }
        false
    }

    /// Makes a value reachable whose weight has been found. What is lent beyond that stays lent.
    #[inline]
    fn publish<'a>(
        &'a self,
        locked: &mut Locked<'a, K, V, P>,
        found: Option<u32>,
        offer: Offer<K, V>,
        weight: u32,
        effects: &mut Effects<'a, K, V>,
    ) -> Result<(), Pair<K, V>> {
        let Offer { hash, pair, options, now } = offer;
        let lifetime = Lifetime { expires_at: options.expires_at, idle: options.idle };
        let new = Incoming { hash, pair, weight, pinned: options.pinned, lifetime };
        match found {
            Some(number) => {
                locked.replace(number, new, now)?;
                effects.lent += u64::from(locked.core.slab.weight(number));
                effects.replaced = Some(Gone::unlinked(locked.core, number));
            }
            None => locked.add(new, now)?,
        }
        effects.lent -= u64::from(weight);
        Ok(())
    }
}

impl<K, V, P: Policy, S> Memory<K, V, P, S> {
    fn give_back(&self, weight: u64) {
        if weight > 0 {
            self.budget.release(weight);
        }
    }

    /// Takes an entry out of its shard and gives its weight back to the budget.
    pub(crate) fn take_out<'a>(&self, locked: &mut Locked<'a, K, V, P>, number: u32) -> Gone<'a, K, V> {
        let weight = locked.take(number);
        self.give_back(u64::from(weight));
        Gone::unlinked(locked.core, number)
    }

    /// Gives a victim's weight back to the budget, counts it and hands it over.
    pub(crate) fn evicted<'a>(&self, locked: &Locked<'a, K, V, P>, victim: Victim) -> Evicted<'a, K, V> {
        let Victim { number, weight, cause } = victim;
        self.give_back(u64::from(weight));
        locked.writers.counters.left(cause);
        Evicted { gone: Gone::unlinked(locked.core, number), weight: u64::from(weight), cause }
    }

    /// Takes an entry out for a cause, counts it and hands it over.
    pub(crate) fn evict<'a>(
        &self,
        locked: &mut Locked<'a, K, V, P>,
        number: u32,
        cause: Cause,
    ) -> Evicted<'a, K, V> {
        let gone = self.take_out(locked, number);
        locked.writers.counters.left(cause);
        Evicted { weight: u64::from(locked.core.slab.weight(number)), gone, cause }
    }
}
