//! Other caches.

use std::hash::Hash as Hashable;

use stretto::ValueRef;

use super::super::subject::{Contender, Maker};
use super::super::value::{Shared, Valued};
use super::Hash;
use crate::suite::Failure;

/// What a key must be for foyer.
pub(super) trait Key: Hashable + Eq + Send + Sync + 'static {}

impl<K: Hashable + Eq + Send + Sync + 'static> Key for K {}

/// foyer's cache in memory, with its default policy.
pub(super) struct Foyer<K: Key, V: Send + Sync + 'static>(foyer_memory::Cache<K, V>);

impl<K: Key, V: Send + Sync + 'static> Foyer<K, V> {
    pub(super) fn new(room: usize) -> Self {
        Self(foyer_memory::CacheBuilder::new(room).build())
    }
}

/// stretto: writes go to a thread of its own, which may drop them when it is behind.
pub(super) struct Stretto<K, V>(stretto::Cache<K, V>)
where
    K: Hashable + Eq,
    V: Send + Sync + 'static;

impl<K: Hashable + Eq, V: Send + Sync + 'static> Stretto<K, V> {
    pub(super) fn new(room: usize) -> Result<Self, Failure> {
        // Ten counters an entry, as its documentation asks for, and a cost of one each.
        let builder = stretto::Cache::builder(room * 10, room as i64).set_ignore_internal_cost(true);
        Ok(Self(builder.finalize()?))
    }
}

macro_rules! contenders {
    ($($kept:ty, $value:ty, $key:ident: $asked:ty, $borrowed:expr, $owned:expr;)*) => {$(
        impl Contender<$asked> for quick_cache::sync::Cache<$kept, $value> {
            const NAME: &'static str = "quick_cache";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                quick_cache::sync::Cache::get(self, $borrowed).map(|value| value.word())
            }
            fn put(&self, $key: $asked, word: u64) {
                self.insert($owned, <$value>::of(word));
            }
        }

        impl Contender<$asked> for moka::sync::Cache<$kept, $value> {
            const NAME: &'static str = "moka";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                moka::sync::Cache::get(self, $borrowed).map(|value| value.word())
            }
            fn put(&self, $key: $asked, word: u64) {
                self.insert($owned, <$value>::of(word));
            }
            fn settle(&self) {
                self.run_pending_tasks();
            }
        }

        impl Contender<$asked> for Foyer<$kept, $value> {
            const NAME: &'static str = "foyer";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                self.0.get($borrowed).map(|entry| entry.value().word())
            }
            fn put(&self, $key: $asked, word: u64) {
                drop(self.0.insert($owned, <$value>::of(word)));
            }
        }

        impl Contender<$asked> for Stretto<$kept, $value> {
            const NAME: &'static str = "stretto";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                self.0.get($borrowed).map(|value: ValueRef<'_, $value>| value.value().word())
            }
            fn put(&self, $key: $asked, word: u64) {
                self.0.insert($owned, <$value>::of(word), 1);
            }
            fn settle(&self) {
                // It fails only if its thread has ended, and then reads show that.
                let _ = self.0.wait();
            }
        }

        impl Contender<$asked> for scc::HashCache<$kept, $value, Hash> {
            const NAME: &'static str = "scc";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                self.read_sync($borrowed, |_, value| value.word())
            }
            fn put(&self, $key: $asked, word: u64) {
                drop(self.entry_sync($owned).put_entry(<$value>::of(word)));
            }
        }
    )*};
}
contenders! {
    u64, u64, key: u64, &key, key;
    String, Shared, key: &str, key, key.to_owned();
}

impl Contender<u64> for mini_moka::sync::Cache<u64, u64> {
    const NAME: &'static str = "mini-moka";
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        mini_moka::sync::Cache::get(self, &key)
    }
    fn put(&self, key: u64, word: u64) {
        self.insert(key, word);
    }
    fn settle(&self) {
        mini_moka::sync::ConcurrentCacheExt::sync(self);
    }
}

impl Maker<u64> for quick_cache::sync::Cache<u64, u64> {
    fn get_or_make(&self, key: u64, word: u64) -> u64 {
        let made = self.get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(word));
        match made {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }
}

impl Maker<u64> for moka::sync::Cache<u64, u64> {
    fn get_or_make(&self, key: u64, word: u64) -> u64 {
        self.get_with(key, || word)
    }
}

impl Maker<u64> for scc::HashCache<u64, u64, Hash> {
    fn get_or_make(&self, key: u64, word: u64) -> u64 {
        *self.entry_sync(key).or_put(word).1.get()
    }
}
