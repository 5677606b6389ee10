//! Reading: one hash, one shard, no allocation.
//!
//! Decision: a hit takes a read lock only and marks its use through the policy's atomics, unless the policy
//! must reorder a queue on every hit. An entry that is found expired is left for a writer or the timers to
//! take out, because taking it out would need the write lock.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use crate::entry::Meta;
use crate::eviction::{Hits, Policy};
use crate::memory::Memory;
use crate::shard::Shard;

impl<K, V, P, S> Memory<K, V, P, S>
where
    K: Hash + Eq,
    P: Policy,
    S: BuildHasher,
{
    /// A clone of the key's value. Counts as a use, and as a hit or a miss.
    ///
    /// # Cost
    ///
    /// One hash, one read lock (a write lock if the policy has
    /// [exclusive hits](Hits::Exclusive)), the clone. Allocates nothing itself.
    #[inline]
    pub fn get<Q>(&self, key: &Q, now: u64) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.get_with(key, now, V::clone)
    }

    /// What `read` makes of the key's value, which it sees under the shard's lock. Counts as a use, and as a
    /// hit or a miss.
    #[inline]
    pub fn get_with<Q, R>(&self, key: &Q, now: u64, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let (_, cell) = self.cell_of(hash);
        let answer = if P::HITS == Hits::Exclusive {
            let mut shard = cell.lock.write();
            let answer = use_exclusively(&mut shard, hash, key, now, read);
            if answer.is_none() {
                shard.policy.miss(hash);
            }
            answer
        } else {
            let shard = cell.lock.read();
            if let Some((slot, entry)) = shard.live(hash, key, now) {
                shard.touch(slot, entry, now);
                Some(read(&entry.value))
            } else {
                None
            }
        };
        let counter = if answer.is_some() { &cell.counters.hits } else { &cell.counters.misses };
        counter.add(1);
        answer
    }

    /// A clone of the key's value, without counting as a use, a hit or a miss.
    pub fn peek<Q>(&self, key: &Q, now: u64) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.peek_with(key, now, |value, _| value.clone())
    }

    /// What `read` makes of the key's value and what the engine knows about it, without counting as a use, a
    /// hit or a miss.
    pub fn peek_with<Q, R>(&self, key: &Q, now: u64, read: impl FnOnce(&V, Meta) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.cell_of(hash).1.lock.read();
        let (slot, entry) = shard.live(hash, key, now)?;
        Some(read(&entry.value, shard.meta(slot, entry)))
    }

    /// Whether the key has a live entry, without counting as a use, a hit or a miss.
    pub fn contains<Q>(&self, key: &Q, now: u64) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        self.cell_of(hash).1.lock.read().live(hash, key, now).is_some()
    }
}

fn use_exclusively<K, V, P, Q, R>(
    shard: &mut Shard<K, V, P>,
    hash: u64,
    key: &Q,
    now: u64,
    read: impl FnOnce(&V) -> R,
) -> Option<R>
where
    K: Borrow<Q>,
    Q: Eq + ?Sized,
    P: Policy,
{
    let (slot, entry) = shard.live(hash, key, now)?;
    if entry.timed {
        shard.wheel.touch(slot, now);
    }
    shard.policy.used(slot, &shard.marks);
    shard.slab.get(slot).map(|entry| read(&entry.value))
}
