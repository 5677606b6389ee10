//! Values that are made when they are asked for: one maker per key, however many ask.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};

use crate::cell::Pair;
use crate::entry::{GotOrInserted, Inserted, Options};
use crate::eviction::Policy;
use crate::flight::Turn;
use crate::memory::Memory;
use crate::shard::{Incoming, Locked, Shard, index_hash};

/// Ends a flight whose maker failed.
struct Landing<'a, K, V, P: Policy> {
    shard: &'a Shard<K, V, P>,
    hash: u64,
}

impl<K, V, P: Policy> Drop for Landing<'_, K, V, P> {
    fn drop(&mut self) {
        let mut locked = self.shard.lock();
        locked.writers.counters.failed_loads.add(1);
        let gate = locked.state.flights.end(self.hash);
        drop(locked);
        if let Some(gate) = gate {
            gate.open();
        }
    }
}

impl<K, V, P, S> Memory<K, V, P, S>
where
    K: Hash + Eq,
    V: Clone,
    P: Policy,
    S: BuildHasher,
{
    /// The key's value; if it has none, the one that `make` makes, which is stored. While one thread makes a
    /// key's value, others that ask for it here wait and get the same. If it panics, one of them makes it.
    ///
    /// `make` runs without a lock and may use the engine. Two threads that each make a value and ask, while doing
    /// so, for the value that the other one makes, wait for each other for ever.
    pub fn get_or_insert_with(
        &self,
        key: K,
        now: u64,
        make: impl FnOnce() -> (V, Options),
    ) -> GotOrInserted<'_, K, V> {
        match self.try_get_or_insert_with(key, now, || Ok::<_, Infallible>(make())) {
            Ok(got) => got,
            Err(never) => match never {},
        }
    }

    /// As [`get_or_insert_with`](Memory::get_or_insert_with), with a maker that may fail. Its failure is its own:
    /// of those who waited the next one makes the value.
    ///
    /// # Errors
    ///
    /// Whatever `make` returns.
    pub fn try_get_or_insert_with<E>(
        &self,
        key: K,
        now: u64,
        make: impl FnOnce() -> Result<(V, Options), E>,
    ) -> Result<GotOrInserted<'_, K, V>, E> {
        let hash = self.hash(&key);
        if let Some(value) = self.get_hashed(hash, key.borrow(), || now, V::clone) {
            return Ok(GotOrInserted { value, inserted: None });
        }
        let (_, shard) = self.shard_of(hash);
        let landing = loop {
            let mut locked = shard.lock();
            let found = locked.core.locate(&locked.state.space, index_hash(hash), key.borrow());
            if found.is_some_and(|found| found.dead(now).is_none()) {
                drop(locked);
                if let Some(value) = self.peek(key.borrow(), now) {
                    return Ok(GotOrInserted { value, inserted: None });
                }
                continue;
            }
            match locked.state.flights.join(hash) {
                Turn::Make => break Some(Landing { shard, hash }),
                Turn::MakeWithin => break None,
                Turn::Wait(gate) => {
                    drop(locked);
                    gate.wait();
                }
            }
        };
        let (value, options) = make()?;
        let new = Incoming { hash, pair: Pair { key, value: value.clone() }, options, weight: 0 };
        let Some(landing) = landing else {
            let mut inserted = Inserted::nothing();
            self.store(new, now, |_| (), &mut inserted);
            return Ok(GotOrInserted { value, inserted: Some(inserted) });
        };
        // The flight ends under the lock that the value needs anyway; the guard ends it only if that panics.
        let mut gate = None;
        let mut inserted = Inserted::nothing();
        let land = |locked: &mut Locked<'_, K, V, P>| {
            locked.writers.counters.loads.add(1);
            gate = locked.state.flights.end(hash);
        };
        self.store(new, now, land, &mut inserted);
        std::mem::forget(landing);
        if let Some(gate) = gate {
            gate.open();
        }
        Ok(GotOrInserted { value, inserted: Some(inserted) })
    }
}
