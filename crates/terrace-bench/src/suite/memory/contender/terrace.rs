//! Terrace itself: the cache, the cache of many types, and the bare engine.

use std::future::IntoFuture;

use terrace::store::block_on;
use terrace::store::block_on::poll_once;
use terrace::{Cache, CacheKey, Get, Put};
use terrace_memory::{Config, ENTRY_OVERHEAD, Memory, Options};

use super::super::subject::{Contender, Maker, Tally};
use super::super::value::{Shared, Valued};
use crate::suite::Failure;

/// What every entry is said to weigh, in bytes of key and value: with this and the engine's overhead, a budget in
/// bytes is exactly one in entries.
const WEIGHT: u64 = 64;

fn bytes_for(room: usize) -> u64 {
    room as u64 * (WEIGHT + u64::from(ENTRY_OVERHEAD))
}

pub(super) fn typed<K: CacheKey, V: Valued>(room: usize) -> Result<Cache<K, V>, Failure> {
    Ok(Cache::builder("typed").hot(bytes_for(room)).weigher(|_, _| WEIGHT).build_blocking()?)
}

/// A cache of many types, and which of them is asked for.
pub(super) struct Mixed<K: CacheKey, V>(Cache<K>, std::marker::PhantomData<fn() -> V>);

pub(super) fn mixed<K: CacheKey, V>(room: usize) -> Result<Mixed<K, V>, Failure> {
    let cache = Cache::builder("mixed").hot(bytes_for(room)).weigher(|_, _| WEIGHT).build_blocking()?;
    Ok(Mixed(cache, std::marker::PhantomData))
}

pub(super) fn engine<K, V>(room: usize) -> Memory<K, V> {
    Memory::new(Config::entries(room as u64))
}

/// The engine, read without a clone of the value.
pub(super) struct InPlace<K, V>(pub(super) Memory<K, V>);

/// The engine, read many keys at a time.
pub(super) struct Batches<K, V>(pub(super) Memory<K, V>);

/// The cache, read many keys at a time.
pub(super) struct Many<K: CacheKey, V: terrace::Slot>(pub(super) Cache<K, V>);

/// How many keys a batch has.
const BATCH: usize = 64;

/// The engine, with entries that all end, though not soon.
pub(super) struct Ending(pub(super) Memory<u64, u64>);

/// What a read that is ready at once answers. One that has to wait, or fails, counts as a miss, which the tally
/// then tells.
#[inline]
fn now<V: Valued>(get: Get<Option<V>>) -> Option<u64> {
    poll_once(get).ok().and_then(Result::ok).flatten().map(|value| value.word())
}

/// Does a put. One that fails leaves no value, which the tally then tells.
fn store<K: CacheKey, V: terrace::Slot>(put: Put<'_, K, V>) {
    if let Err(waiting) = poll_once(put.into_future()) {
        let _ = block_on(waiting);
    }
}

/// One cache for both kinds of keys: how it is asked with a key, and what it keeps.
macro_rules! contenders {
    ($($kept:ty, $value:ty, $key:ident: $asked:ty, $borrowed:expr, $owned:expr, $in_batch:expr;)*) => {$(
        impl Contender<$asked> for Cache<$kept, $value> {
            const NAME: &'static str = "terrace";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                now(Cache::<$kept, $value>::get(self, $borrowed))
            }
            fn put(&self, $key: $asked, word: u64) {
                store(Cache::<$kept, $value>::put(self, $owned, <$value>::of(word)));
            }
        }

        impl Contender<$asked> for Mixed<$kept, $value> {
            const NAME: &'static str = "terrace-mixed";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                now(self.0.get::<$value>($borrowed))
            }
            fn put(&self, $key: $asked, word: u64) {
                store(self.0.put($owned, &<$value>::of(word)));
            }
        }

        impl Contender<$asked> for Memory<$kept, $value> {
            const NAME: &'static str = "terrace-memory";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                Memory::get(self, $borrowed, 0).map(|value| value.word())
            }
            fn put(&self, $key: $asked, word: u64) {
                drop(self.insert($owned, <$value>::of(word), Options::default(), 0));
            }
        }

        impl Contender<$asked> for InPlace<$kept, $value> {
            const NAME: &'static str = "in place";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                self.0.get_with($borrowed, 0, Valued::word)
            }
            fn put(&self, $key: $asked, word: u64) {
                drop(self.0.insert($owned, <$value>::of(word), Options::default(), 0));
            }
        }

        impl Contender<$asked> for Many<$kept, $value> {
            const NAME: &'static str = "terrace in batches";
            #[inline]
            fn get(&self, key: $asked) -> Option<u64> {
                Contender::get(&self.0, key)
            }
            fn put(&self, key: $asked, word: u64) {
                Contender::put(&self.0, key, word);
            }
            fn reads(&self, keys: &[$asked]) -> Tally {
                let mut tally = Tally::default();
                for keys in keys.chunks(BATCH) {
                    // Hits only, which wait for nothing.
                    let found = block_on(self.0.get_many(keys.iter().map(|$key| $in_batch)));
                    found.into_iter().flatten().for_each(|value| tally.add(value.map(|value| value.word())));
                }
                tally
            }
        }

        impl Contender<$asked> for Batches<$kept, $value> {
            const NAME: &'static str = "in batches";
            #[inline]
            fn get(&self, $key: $asked) -> Option<u64> {
                self.0.get_with($borrowed, 0, Valued::word)
            }
            fn put(&self, $key: $asked, word: u64) {
                drop(self.0.insert($owned, <$value>::of(word), Options::default(), 0));
            }
            fn reads(&self, keys: &[$asked]) -> Tally {
                let mut tally = Tally::default();
                let mut batch = Vec::with_capacity(BATCH);
                for keys in keys.chunks(BATCH) {
                    batch.clear();
                    batch.extend(keys.iter().map(|$key| $in_batch));
                    self.0.get_many_with(&batch, 0, |_, value| tally.add(value.map(Valued::word)));
                }
                tally
            }
        }
    )*};
}
contenders! {
    u64, u64, key: u64, &key, key, key;
    String, Shared, key: &str, key, key.to_owned(), *key;
}

impl Maker<u64> for Memory<u64, u64> {
    fn get_or_make(&self, key: u64, word: u64) -> u64 {
        self.get_or_insert_with(key, 0, || (word, Options::default())).value
    }
}

impl Contender<u64> for Ending {
    const NAME: &'static str = "terrace-memory, TTL";
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key, 0)
    }
    fn put(&self, key: u64, word: u64) {
        drop(self.0.insert(key, word, Options::default().expires_at(3_600_000), 0));
    }
}
