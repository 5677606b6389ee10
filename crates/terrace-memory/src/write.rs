//! Writing: reserve, evict, publish.
//!
//! Decision: a write holds its shard's lock from the look at the old value to the publication of the new one,
//! so a decision on the old value is still true when the new one appears. Room is made in the own shard first.
//! If that holds nothing to evict, or far less than its part, other shards are asked with `try_lock`: a lock
//! that is not waited for cannot deadlock.
//!
//! What a write has caused is written where the caller will find it, from the first: an insert that evicts is short, and
//! handing that on from call to call was a tenth of it.

mod exchange;
mod put;
mod room;

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use crate::cell::Pair;
use crate::entry::{Decision, Inserted, Options, Outcome, Upserted};
use crate::eviction::Policy;
use crate::gone::Gone;
use crate::memory::Memory;
use crate::shard::{Incoming, Locked, index_hash};
use crate::wheel::Lifetime;

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
        let new = Incoming { hash: self.hash(&key), pair: Pair { key, value }, options, weight: 0 };
        let mut done = Inserted::nothing();
        self.store(new, now, |_| (), &mut done);
        done
    }

    /// Stores a value, and then does something else under the same lock.
    #[inline]
    pub(crate) fn store<'a>(
        &'a self,
        new: Incoming<K, V>,
        now: u64,
        then: impl FnOnce(&mut Locked<'a, K, V, P>),
        done: &mut Inserted<'a, K, V>,
    ) {
        let (_, shard) = self.shard_of(new.hash);
        let mut locked = shard.lock();
        let found = {
            let found = locked.core.locate(&locked.state.space, index_hash(new.hash), &new.pair.key);
            found.map(|found| (found.number, found.dead(now)))
        };
        let found = match found {
            Some((number, Some(cause))) => {
                done.evicted.push(self.evict(&mut locked, number, cause));
                locked.publish_totals();
                None
            }
            found => found.map(|(number, _)| number),
        };
        self.put(&mut locked, found, new, now, done);
        then(&mut locked);
        drop(locked);
        shard.core.reclaim_old_index();
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
        let mut done = Inserted::nothing();
        let hash = self.hash(&key);
        let outcome = self.write(hash, key, now, decide, &mut done);
        let Inserted { replaced, evicted, .. } = done;
        Upserted { outcome, replaced, evicted }
    }

    #[inline]
    fn write<'a, F>(
        &'a self,
        hash: u64,
        key: K,
        now: u64,
        decide: F,
        done: &mut Inserted<'a, K, V>,
    ) -> Outcome
    where
        F: FnOnce(Option<&V>) -> Decision<V>,
    {
        let (_, shard) = self.shard_of(hash);
        let mut locked = shard.lock();
        let (mut found, dead, decision) = {
            let found = locked.core.locate(&locked.state.space, index_hash(hash), &key);
            let dead = found.as_ref().and_then(|found| found.dead(now));
            let current = found.as_ref().filter(|_| dead.is_none());
            let decision = decide(current.map(|found| &found.pair().value));
            (found.map(|found| found.number), dead, decision)
        };
        if let (Some(number), Some(cause)) = (found, dead) {
            done.evicted.push(self.evict(&mut locked, number, cause));
            found = None;
        }
        let outcome = match (decision, found) {
            (Decision::Keep, _) | (Decision::Remove, None) => Outcome::Kept,
            (Decision::Remove, Some(number)) => {
                done.replaced = Some(self.take_out(&mut locked, number));
                locked.writers.counters.removals.add(1);
                Outcome::Removed
            }
            (Decision::Put(value, options), found) => {
                let new = Incoming { hash, pair: Pair { key, value }, options, weight: 0 };
                self.put(&mut locked, found, new, now, done);
                if done.stored { Outcome::Stored } else { Outcome::Refused }
            }
        };
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
}
