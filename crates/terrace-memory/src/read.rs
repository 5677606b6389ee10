//! Reading: one hash, two cache lines, no lock, no allocation.
//!
//! Decision: a hit pins with a plain store to a line of its own thread, finds the entry, and marks its use with a
//! store only if that changes anything; unless the policy must reorder a queue on every hit, which takes the
//! shard's lock. An entry that is found expired is left for a writer or the timers to take out.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use crate::cell::flag;
use crate::core::Found;
use crate::entry::Meta;
use crate::eviction::{Hits, Policy};
use crate::memory::Memory;
use crate::shard::{Shard, index_hash, mark_use, meta};

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
    /// One hash and the clone; a lock only if the policy has [exclusive hits](Hits::Exclusive). Allocates nothing
    /// itself, and never waits.
    #[inline]
    pub fn get<Q>(&self, key: &Q, now: u64) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.get_with(key, now, V::clone)
    }

    /// What `read` makes of the key's value, which it sees where it is. Counts as a use, and as a hit or a miss.
    ///
    /// No lock is held while `read` runs, but whatever leaves the engine meanwhile is kept until it returns, so it
    /// should not take long.
    #[inline]
    pub fn get_with<Q, R>(&self, key: &Q, now: u64, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_at(key, || now, read)
    }

    /// The same for a caller to whom the time costs something: `now` is asked only if the entry may expire.
    #[inline]
    pub fn get_at<Q, R>(&self, key: &Q, now: impl FnOnce() -> u64, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_hashed(self.hash(key), key, now, read)
    }

    /// The same with the key's hash at hand.
    #[inline]
    pub(crate) fn get_hashed<Q, R>(
        &self,
        hash: u64,
        key: &Q,
        now: impl FnOnce() -> u64,
        read: impl FnOnce(&V) -> R,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let (_, shard) = self.shard_of(hash);
        let pin = self.readers.pin();
        // One way for a hit and one for a miss: where they meet, what was found would have to be kept in memory.
        if let Some(found) = shard.core.find(&pin, index_hash(hash), key)
            && found.use_at(now)
        {
            pin.count_hit();
            if P::samples(&self.policy, hash) {
                self.observe_hit(hash, shard, found.number);
            }
            match P::HITS {
                Hits::Mark => mark_use::<P, _, _>(found.cell),
                Hits::Exclusive => use_exclusively(shard, &found),
            }
            return Some(read(&found.pair().value));
        }
        pin.count_miss();
        self.missed(shard, hash);
        None
    }

    #[inline]
    fn missed(&self, shard: &Shard<K, V, P>, hash: u64) {
        if P::samples(&self.policy, hash) {
            self.observe_miss(hash);
        }
        if P::HITS == Hits::Exclusive {
            shard.lock().state.policy.miss(hash);
        }
    }

    #[cold]
    fn observe_hit(&self, hash: u64, shard: &Shard<K, V, P>, number: u32) {
        P::observe(&self.policy, hash, shard.core.slab.weight(number), true);
    }

    #[cold]
    fn observe_miss(&self, hash: u64) {
        P::observe(&self.policy, hash, self.overhead.saturating_add(1), false);
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
    /// hit or a miss. As with [`get_with`](Memory::get_with), no lock is held.
    pub fn peek_with<Q, R>(&self, key: &Q, now: u64, read: impl FnOnce(&V, Meta) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let core = &self.shard_of(hash).1.core;
        let pin = self.readers.pin();
        let found = core.find(&pin, index_hash(hash), key).filter(|found| found.dead(now).is_none())?;
        Some(read(&found.pair().value, meta(core, found.number)))
    }

    /// Whether the key has a live entry, without counting as a use, a hit or a miss.
    pub fn contains<Q>(&self, key: &Q, now: u64) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let pin = self.readers.pin();
        let found = self.shard_of(hash).1.core.find(&pin, index_hash(hash), key);
        found.is_some_and(|found| found.dead(now).is_none())
    }
}

/// Tells the policy of a hit, unless the entry has left since it was found.
fn use_exclusively<K, V, P: Policy>(shard: &Shard<K, V, P>, found: &Found<'_, K, V>) {
    let mut locked = shard.lock();
    if found.cell.is(flag::LIVE) {
        locked.used(found.number);
    }
}
