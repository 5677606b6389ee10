//! Maps, which drop nothing: what reads and writes cost without a policy.

use std::borrow::Borrow;
use std::hash::BuildHasher;

use hashbrown::{HashMap, HashTable};
use parking_lot::{Mutex, RwLock};

use super::super::subject::{Contender, Tally};
use super::super::value::{Keyed, Shared, Valued};
use super::Hash;

/// On a cache line of its own.
#[repr(align(128))]
struct Shard<K, V>(Mutex<HashTable<(K, V)>>);

/// Hash tables behind 16 locks, which count nothing.
pub(super) struct Locked<K, V> {
    shards: [Shard<K, V>; 16],
    hash: Hash,
}

impl<K: std::hash::Hash + Eq, V> Locked<K, V> {
    pub(super) fn new(room: usize) -> Self {
        let shard = |_| Shard(Mutex::new(HashTable::with_capacity(room / 16)));
        Self { shards: std::array::from_fn(shard), hash: Hash::default() }
    }

    #[inline]
    fn shard<Q: std::hash::Hash + ?Sized>(&self, key: &Q) -> (u64, &Mutex<HashTable<(K, V)>>) {
        let hash = self.hash.hash_one(key);
        // The table itself looks at the lowest and the highest bits.
        (hash, &self.shards[(hash >> 40) as usize % self.shards.len()].0)
    }

    #[inline]
    fn word<Q>(&self, key: &Q) -> Option<u64>
    where
        K: Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
        V: Valued,
    {
        let (hash, shard) = self.shard(key);
        shard.lock().find(hash, |entry| entry.0.borrow() == key).map(|entry| entry.1.word())
    }

    fn store(&self, key: K, value: V) {
        let (hash, shard) = self.shard(&key);
        let mut table = shard.lock();
        if let Some(entry) = table.find_mut(hash, |entry| entry.0 == key) {
            entry.1 = value;
            return;
        }
        table.insert_unique(hash, (key, value), |entry| self.hash.hash_one(&entry.0));
    }
}

/// The limit: a hash table that whoever reads has for himself. The lock is taken once for a whole loop.
pub(super) struct Plain<K, V>(RwLock<HashMap<K, V, Hash>>);

impl<K, V> Plain<K, V> {
    pub(super) fn new(room: usize) -> Self {
        Self(RwLock::new(HashMap::with_capacity_and_hasher(room, Hash::default())))
    }
}

macro_rules! contenders {
    ($($kept:ty, $value:ty, $key:ident: $asked:ty, $borrowed:expr, $owned:expr;)*) => {$(
        impl Contender<$asked> for papaya::HashMap<$kept, $value, Hash> {
            const NAME: &'static str = "papaya";
            const EVICTS: bool = false;
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                self.pin().get($borrowed).map(Valued::word)
            }
            fn put(&self, $key: $asked, word: u64) {
                self.pin().insert($owned, <$value>::of(word));
            }
        }

        impl Contender<$asked> for dashmap::DashMap<$kept, $value, Hash> {
            const NAME: &'static str = "dashmap";
            const EVICTS: bool = false;
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                dashmap::DashMap::get(self, $borrowed).map(|value| value.word())
            }
            fn put(&self, $key: $asked, word: u64) {
                self.insert($owned, <$value>::of(word));
            }
        }

        impl Contender<$asked> for Locked<$kept, $value> {
            const NAME: &'static str = "locked hashbrown";
            const EVICTS: bool = false;
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                self.word($borrowed)
            }
            fn put(&self, $key: $asked, word: u64) {
                self.store($owned, <$value>::of(word));
            }
        }

        impl Contender<$asked> for Plain<$kept, $value> {
            const NAME: &'static str = "hashbrown";
            const EVICTS: bool = false;
            fn get(&self, $key: $asked) -> Option<u64> {
                self.0.read().get($borrowed).map(Valued::word)
            }
            fn put(&self, $key: $asked, word: u64) {
                self.0.write().insert($owned, <$value>::of(word));
            }
            fn reads(&self, keys: &[$asked]) -> Tally {
                let map = self.0.read();
                let mut tally = Tally::default();
                for $key in keys.iter().copied() {
                    tally.add(map.get($borrowed).map(Valued::word));
                }
                tally
            }
            fn writes(&self, keys: &[$asked]) {
                let mut map = self.0.write();
                for $key in keys.iter().copied() {
                    map.insert($owned, <$value>::of($key.value()));
                }
            }
        }
    )*};
}
contenders! {
    u64, u64, key: u64, &key, key;
    String, Shared, key: &str, key, key.to_owned();
}
