//! The caches that are measured, each as it ships: its own defaults, its own hash, only the room is said.

use std::future::IntoFuture;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use parking_lot::Mutex;
use terrace::store::block_on;
use terrace::store::block_on::poll_once;
use terrace::{Cache, CacheKey, Get, Put};
use terrace_memory::{Config, ENTRY_OVERHEAD, Memory, Options};

use super::subject::{Contender, Subject};
use crate::suite::Failure;

/// All that take `u64` keys, with room for so many entries.
pub(super) fn words(room: usize) -> Result<Vec<Box<dyn Subject<u64>>>, Failure> {
    Ok(vec![
        Box::new(typed::<u64>(room)?),
        Box::new(mixed::<u64>(room)?),
        Box::new(Memory::<u64, u64>::new(Config::entries(room as u64))),
        Box::new(quick_cache::sync::Cache::<u64, u64>::new(room)),
        Box::new(moka::sync::Cache::<u64, u64>::new(room as u64)),
        Box::new(papaya::HashMap::<u64, u64, foldhash::fast::RandomState>::default()),
        Box::new(dashmap::DashMap::<u64, u64, foldhash::fast::RandomState>::default()),
        Box::new(Limit::new(room)),
    ])
}

/// All that take `String` keys and are asked with `&str`.
pub(super) fn strings<'a>(room: usize) -> Result<Vec<Box<dyn Subject<&'a str>>>, Failure> {
    Ok(vec![
        Box::new(typed::<String>(room)?),
        Box::new(mixed::<String>(room)?),
        Box::new(quick_cache::sync::Cache::<String, u64>::new(room)),
        Box::new(moka::sync::Cache::<String, u64>::new(room as u64)),
    ])
}

/// What every entry is said to weigh, in bytes of key and value: with this and the engine's overhead, a budget in
/// bytes is exactly one in entries.
const WEIGHT: u64 = 64;

fn bytes_for(room: usize) -> u64 {
    room as u64 * (WEIGHT + u64::from(ENTRY_OVERHEAD))
}

fn typed<K: CacheKey>(room: usize) -> Result<Cache<K, u64>, Failure> {
    Ok(Cache::builder("typed").hot(bytes_for(room)).weigher(|_, _| WEIGHT).build_blocking()?)
}

fn mixed<K: CacheKey>(room: usize) -> Result<Cache<K>, Failure> {
    Ok(Cache::builder("mixed").hot(bytes_for(room)).weigher(|_, _| WEIGHT).build_blocking()?)
}

/// What a read that is ready at once answers. One that has to wait, or fails, counts as a miss, which the tally
/// then tells.
#[inline]
fn now(get: Get<Option<u64>>) -> Option<u64> {
    poll_once(get).ok().and_then(Result::ok).flatten()
}

/// Does a put. One that fails leaves no value, which the tally then tells.
fn store<K: CacheKey, V: terrace::Slot>(put: Put<'_, K, V>) {
    if let Err(waiting) = poll_once(put.into_future()) {
        let _ = block_on(waiting);
    }
}

/// One cache for both kinds of keys: how it is asked with a key, and what it keeps.
macro_rules! contenders {
    ($($kept:ty, $key:ident: $asked:ty, $borrowed:expr, $owned:expr;)*) => {$(
        impl Contender<$asked> for Cache<$kept, u64> {
            const NAME: &'static str = "terrace";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                now(Cache::<$kept, u64>::get(self, $borrowed))
            }
            fn put(&self, $key: $asked, value: u64) {
                store(Cache::<$kept, u64>::put(self, $owned, value));
            }
        }

        impl Contender<$asked> for Cache<$kept> {
            const NAME: &'static str = "terrace-mixed";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                now(Cache::<$kept>::get::<u64>(self, $borrowed))
            }
            fn put(&self, $key: $asked, value: u64) {
                store(Cache::<$kept>::put(self, $owned, &value));
            }
        }

        impl Contender<$asked> for quick_cache::sync::Cache<$kept, u64> {
            const NAME: &'static str = "quick_cache";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                quick_cache::sync::Cache::get(self, $borrowed)
            }
            fn put(&self, $key: $asked, value: u64) {
                self.insert($owned, value);
            }
        }

        impl Contender<$asked> for moka::sync::Cache<$kept, u64> {
            const NAME: &'static str = "moka";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                moka::sync::Cache::get(self, $borrowed)
            }
            fn put(&self, $key: $asked, value: u64) {
                self.insert($owned, value);
            }
            fn settle(&self) {
                self.run_pending_tasks();
            }
        }
    )*};
}
contenders! {
    u64, key: u64, &key, key;
    String, key: &str, key, key.to_owned();
}

/// The bare engine, without versions, invalidation and futures.
impl Contender<u64> for Memory<u64, u64> {
    const NAME: &'static str = "terrace-memory";
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        Memory::get(self, &key, 0)
    }
    fn put(&self, key: u64, value: u64) {
        drop(self.insert(key, value, Options::default(), 0));
    }
}

/// A map whose readers take no lock either: it drops nothing.
impl Contender<u64> for papaya::HashMap<u64, u64, foldhash::fast::RandomState> {
    const NAME: &'static str = "papaya";
    const EVICTS: bool = false;
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.pin().get(&key).copied()
    }
    fn put(&self, key: u64, value: u64) {
        self.pin().insert(key, value);
    }
}

/// A map behind sharded read and write locks: it drops nothing.
impl Contender<u64> for dashmap::DashMap<u64, u64, foldhash::fast::RandomState> {
    const NAME: &'static str = "dashmap";
    const EVICTS: bool = false;
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        dashmap::DashMap::get(self, &key).map(|value| *value)
    }
    fn put(&self, key: u64, value: u64) {
        self.insert(key, value);
    }
}

/// On a cache line of its own.
#[repr(align(128))]
struct Shard(Mutex<HashTable<(u64, u64)>>);

/// What no cache can beat by much: hash tables behind locks, which count nothing and drop nothing.
struct Limit {
    shards: [Shard; 16],
    hash: foldhash::fast::RandomState,
}

impl Limit {
    fn new(room: usize) -> Self {
        let shard = |_| Shard(Mutex::new(HashTable::with_capacity(room / 16)));
        Self { shards: std::array::from_fn(shard), hash: foldhash::fast::RandomState::default() }
    }

    #[inline]
    fn shard(&self, key: u64) -> (u64, &Mutex<HashTable<(u64, u64)>>) {
        let hash = self.hash.hash_one(key);
        // The table itself looks at the lowest and the highest bits.
        (hash, &self.shards[(hash >> 40) as usize % self.shards.len()].0)
    }
}

impl Contender<u64> for Limit {
    const NAME: &'static str = "hashbrown";
    const EVICTS: bool = false;
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        let (hash, shard) = self.shard(key);
        shard.lock().find(hash, |entry| entry.0 == key).map(|entry| entry.1)
    }
    fn put(&self, key: u64, value: u64) {
        let (hash, shard) = self.shard(key);
        let mut table = shard.lock();
        if let Some(entry) = table.find_mut(hash, |entry| entry.0 == key) {
            entry.1 = value;
            return;
        }
        table.insert_unique(hash, (key, value), |entry| self.hash.hash_one(entry.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_returns_what_was_stored_and_misses_the_rest() {
        let words = words(100).unwrap();
        assert_eq!(words.len(), 8);
        for subject in words {
            subject.writes(&[1, 2, 2, 3]);
            subject.settle();
            assert_eq!(subject.reads(&[1, 2, 3, 4]).found, 3, "{}", subject.name());
        }
        for subject in strings(100).unwrap() {
            subject.writes(&["user:00000001", "user:00000002"]);
            subject.settle();
            assert_eq!(subject.reads(&["user:00000002", "user:00000003"]).found, 1, "{}", subject.name());
        }
    }

    #[test]
    fn whoever_evicts_stays_within_its_room() {
        for subject in words(1000).unwrap().into_iter().filter(|subject| subject.evicts()) {
            let keys: Vec<u64> = (0..20_000).collect();
            subject.writes(&keys);
            subject.settle();
            assert!(subject.reads(&keys).found <= 1100, "{}", subject.name());
        }
    }
}
