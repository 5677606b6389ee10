//! Reading: one hash, two cache lines, no lock, no allocation.
//!
//! Decision: a hit pins with a plain store to a line of its own thread, finds the entry, and marks its use with a
//! store only if that changes anything; unless the policy must reorder a queue on every hit, which takes the
//! shard's lock. An entry that is found expired is left for a writer or the timers to take out.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::Ordering;

use crate::cell::flag;
use crate::core::Found;
use crate::entry::Meta;
use crate::eviction::{Hits, Policy};
use crate::memory::Memory;
use crate::readers::Pinned;
use crate::shard::{Shard, index_hash, mark_use, meta};

/// For so many keys at once the lines are asked for ahead: about as many as a processor can wait for.
const AHEAD: usize = 16;
/// Fewer entries are in the processor's caches anyway, and asking for them would only be more to do.
const FAR: usize = 1 << 15;

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
        self.get_at(key, move || now, read)
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
        match self.readers.usual_pin() {
            Some(pin) => self.read_pinned(pin.token(), hash, key, now, read),
            None => self.read_rarely(hash, key, now, read),
        }
    }

    /// By a thread that is reading already, or that is one of very many.
    #[cold]
    #[inline(never)]
    fn read_rarely<Q, R>(
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
        self.read_pinned(self.readers.pin().token(), hash, key, now, read)
    }

    #[inline(always)]
    fn read_pinned<Q, R>(
        &self,
        pin: Pinned<'_>,
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
        let mut at_home = shard.core.at_home(pin, index_hash(hash));
        // The whole of a hit within the search. Behind it, where all ways meet, whatever was found would have to be told
        // again; and what hangs on a line that is still under way keeps the processor from the reads after this one.
        for number in at_home.by_ref() {
            let found = shard.core.candidate(pin, number);
            if found.pair().key.borrow() == key {
                return self.take_note(pin, shard, hash, &found, now).then(|| read(&found.pair().value));
            }
        }
        if at_home.sends_on(index_hash(hash)) {
            return self.read_further(pin, hash, key, now, read);
        }
        pin.count_miss();
        self.missed(shard, hash);
        None
    }

    /// For one key in some fifty: it may not be where it would be looked for first.
    #[cold]
    #[inline(never)]
    fn read_further<Q, R>(
        &self,
        pin: Pinned<'_>,
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
        if let Some(found) = shard.core.find(pin, index_hash(hash), key) {
            return self.take_note(pin, shard, hash, &found, now).then(|| read(&found.pair().value));
        }
        pin.count_miss();
        self.missed(shard, hash);
        None
    }

    /// Counts the hit and marks the use, or the miss if what was found is dead, and tells which of them it is.
    #[inline(always)]
    fn take_note(
        &self,
        pin: Pinned<'_>,
        shard: &Shard<K, V, P>,
        hash: u64,
        found: &Found<'_, K, V>,
        now: impl FnOnce() -> u64,
    ) -> bool {
        if !found.use_at(now) {
            pin.count_miss();
            self.missed(shard, hash);
            return false;
        }
        pin.count_hit();
        if P::samples(&self.policy, hash) {
            self.observe_hit(hash, shard, found.number);
        }
        match P::HITS {
            Hits::Mark => mark_use::<P, _, _>(found.cell),
            Hits::Exclusive => use_exclusively(shard, found),
        }
        true
    }

    /// Shows `read` the value of each of these keys, or nothing where there is none, with the key's place among them and
    /// in their order. Otherwise as so many calls of [`get_with`](Memory::get_with).
    ///
    /// # Cost
    ///
    /// As so many calls where the entries are in the processor's caches. Where they are not, their lines are asked for
    /// ahead, those of sixteen keys at once, so that one is waited for while others are on their way.
    #[inline]
    pub fn get_many_with<Q>(&self, keys: &[&Q], now: u64, read: impl FnMut(usize, Option<&V>))
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_many_at(keys, move || now, read);
    }

    /// The same for a caller to whom the time costs something: `now` is asked only for entries that may expire.
    #[inline]
    pub fn get_many_at<Q>(
        &self,
        keys: &[&Q],
        now: impl Fn() -> u64 + Copy,
        mut read: impl FnMut(usize, Option<&V>),
    ) where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.is_far() {
            for (place, key) in keys.iter().enumerate() {
                if self.get_at(*key, now, |value| read(place, Some(value))).is_none() {
                    read(place, None);
                }
            }
            return;
        }
        let mut place = 0;
        for keys in keys.chunks(AHEAD) {
            let pin = self.readers.pin();
            let mut hashes = [0; AHEAD];
            for (hash, key) in hashes.iter_mut().zip(keys) {
                *hash = self.hash(*key);
                self.shard_of(*hash).1.core.prefetch_index(pin.token(), index_hash(*hash));
            }
            for hash in &hashes[..keys.len()] {
                self.shard_of(*hash).1.core.prefetch_entry(pin.token(), index_hash(*hash));
            }
            for (hash, key) in hashes.iter().zip(keys) {
                if self.read_pinned(pin.token(), *hash, *key, now, |value| read(place, Some(value))).is_none()
                {
                    read(place, None);
                }
                place += 1;
            }
        }
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

    /// Whether there are too many entries for the processor's caches, as far as one shard can tell.
    fn is_far(&self) -> bool {
        let first = self.shards.first().map_or(0, |shard| shard.writers.len.load(Ordering::Relaxed));
        first.saturating_mul(self.shards.len()) >= FAR
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
        let found =
            core.find(pin.token(), index_hash(hash), key).filter(|found| found.dead(now).is_none())?;
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
        let found = self.shard_of(hash).1.core.find(pin.token(), index_hash(hash), key);
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
