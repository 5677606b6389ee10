//! cache: a bounded memory cache over any store, evicted by LRU, LFU, ARC or the default policy of
//! [`terrace_memory`].
//!
//! Decision: coherent with every write that goes through it, without asking the store. Each write takes a ticket from the
//! stripe of its key before it is made, which drops what is cached, and gives it back afterwards; a read takes the number
//! of the stripe with it and is kept only if the number is still the same and nothing is being written there. So a value
//! that was read before a write is never cached after it. A put that nobody overlapped leaves its entry in the cache. A
//! write whose outcome is unknown, or that was dropped, may still be applied later: nothing of its stripe is cached for
//! [`UNSETTLED`].
//!
//! Writes that go round it are seen when an entry is older than `max_age`, and at once where the store can be watched
//! ([`Cache::follow`]). Listings, snapshots and transactions read the store.
//!
//! # Cost
//! A hit is a lookup and three reference counts. A miss costs two short locks on top of the store.

mod capability;
mod coherence;
#[cfg(test)]
mod tests;
mod transaction;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use terrace_memory::eviction::{Adaptive, AdaptiveReplacement, Lfu, Lru};
use terrace_memory::{Config, Memory, Options};
use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::{
    BoxFuture, Capabilities, Clock, DeleteOptions, Deleted, Entry, Health, Key, PutOptions, Result, Store,
    Swept, Version, Written,
};

use self::coherence::{Stripe, Ticket};
use crate::stripes::Stripes;
use crate::world::World;

/// For how long nothing is cached beside a write that may still be applied.
pub const UNSETTLED: Duration = Duration::from_secs(60);

/// Who leaves when there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CachePolicy {
    /// Whoever was not used for longest.
    Lru,
    /// Whoever was used least often.
    Lfu,
    /// As recency and frequency turn out to be worth (ARC; Megiddo and Modha, FAST 2003).
    Arc,
    /// What adapts itself to the workload.
    #[default]
    Adaptive,
}

/// How much a cache may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// So many bytes of keys, values and what an entry needs besides.
    Bytes(u64),
    /// So many entries, however long they are.
    Entries(u64),
}

/// How large a cache is, and what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// How much it may hold.
    pub capacity: Capacity,
    /// Who leaves when there is no room.
    pub policy: CachePolicy,
    /// An older copy is read again; `None` where nobody writes round it.
    pub max_age: Option<Duration>,
    /// Longer values are not cached, in bytes.
    pub longest: usize,
}

impl Default for CacheConfig {
    /// 64 MiB, the adaptive policy, copies of at most a minute, values of at most a megabyte.
    fn default() -> Self {
        Self {
            capacity: Capacity::Bytes(64 << 20),
            policy: CachePolicy::Adaptive,
            max_age: Some(Duration::from_secs(60)),
            longest: 1 << 20,
        }
    }
}

/// An entry as it was read or written, and when.
#[derive(Clone)]
struct Copy {
    entry: Entry,
    at: Duration,
}

/// The engine, whichever its policy.
enum Engine {
    Lru(Memory<Key, Copy, Lru>),
    Lfu(Memory<Key, Copy, Lfu>),
    Arc(Memory<Key, Copy, AdaptiveReplacement>),
    Adaptive(Memory<Key, Copy, Adaptive>),
}

macro_rules! each {
    ($engine:expr, $memory:ident => $do:expr) => {
        match $engine {
            Engine::Lru($memory) => $do,
            Engine::Lfu($memory) => $do,
            Engine::Arc($memory) => $do,
            Engine::Adaptive($memory) => $do,
        }
    };
}

/// What the cache has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Reads of one key that it answered.
    pub hits: u64,
    /// Reads of one key that the store was asked for.
    pub misses: u64,
    /// Entries in it.
    pub entries: u64,
    /// Bytes they weigh, or their number where entries are counted.
    pub weight: u64,
}

/// A store with a cache before it.
pub struct Cache {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    config: CacheConfig,
    engine: Engine,
    stripes: Stripes<Stripe>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Few enough to be small, and enough that writes seldom keep others' reads out of the cache.
const STRIPES: usize = 1_024;

impl Cache {
    /// Puts a cache before the store.
    pub fn over(inner: Arc<dyn Store>, config: CacheConfig, world: &World) -> Self {
        let sized = match config.capacity {
            Capacity::Bytes(bytes) => Config::bytes(bytes),
            Capacity::Entries(entries) => Config::entries(entries),
        };
        let engine = match config.policy {
            CachePolicy::Lru => Engine::Lru(Memory::with_policy(sized)),
            CachePolicy::Lfu => Engine::Lfu(Memory::with_policy(sized)),
            CachePolicy::Arc => Engine::Arc(Memory::with_policy(sized)),
            CachePolicy::Adaptive => Engine::Adaptive(Memory::with_policy(sized)),
        };
        let shared = Shared {
            inner,
            clock: Arc::clone(&world.clock),
            config,
            engine,
            stripes: Stripes::new(STRIPES),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// What it has done.
    pub fn stats(&self) -> CacheStats {
        let shared = &self.shared;
        let (entries, weight) = each!(&shared.engine, memory => (memory.len() as u64, memory.weight()));
        CacheStats {
            hits: shared.hits.load(Ordering::Relaxed),
            misses: shared.misses.load(Ordering::Relaxed),
            entries,
            weight,
        }
    }
}

impl Shared {
    /// The cached entry, if it may be served.
    fn cached(&self, key: &Key) -> Option<Entry> {
        let copy = each!(&self.engine, memory => memory.get(key, 0))?;
        let too_old = self.config.max_age.is_some_and(|age| self.clock.now() >= copy.at.saturating_add(age));
        if too_old || copy.entry.is_expired(self.clock.wall_ms()) {
            self.drop_copy(key);
            return None;
        }
        Some(copy.entry)
    }

    fn look(&self, key: &Key) -> Option<Entry> {
        let found = self.cached(key);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn drop_copy(&self, key: &Key) {
        each!(&self.engine, memory => drop(memory.remove(key, 0)));
    }

    fn drop_all(&self) {
        each!(&self.engine, memory => drop(memory.clear()));
    }

    /// Keeps a copy. The stripe's lock is held.
    fn keep(&self, key: &Key, entry: Entry) {
        if entry.value.len() > self.config.longest || entry.is_expired(self.clock.wall_ms()) {
            self.drop_copy(key);
            return;
        }
        let weight = match self.config.capacity {
            Capacity::Entries(_) => 1,
            Capacity::Bytes(_) => {
                let bytes = key.flat().len() as u64 + entry.size().max(entry.value.len() as u64);
                bytes + size_of::<(Key, Copy)>() as u64
            }
        };
        let copy = Copy { entry, at: self.clock.now() };
        each!(&self.engine, memory => drop(memory.insert(key.clone(), copy, Options::weighing(weight), 0)));
    }

    /// What was read of a key, unless something was written there since.
    fn fill(&self, key: &Key, ticket: Option<u64>, entry: &Entry) {
        let Some(ticket) = ticket else { return };
        let mut stripe = self.stripes.at(self.stripes.index(key)).lock();
        if stripe.is_quiet(ticket, self.clock.now()) {
            self.keep(key, entry.clone());
        }
    }

    /// The number to read under; `None` if what is read now cannot be kept.
    fn before_read(&self, key: &Key) -> Option<u64> {
        self.stripes.at(self.stripes.index(key)).lock().number(self.clock.now())
    }

    fn write(&self, key: &Key) -> Ticket<'_> {
        self.write_all(std::iter::once(key))
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Cache {
    fn name(&self) -> &str {
        self.shared.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.inner.capabilities()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        let shared = &*self.shared;
        if let Some(entry) = shared.look(key) {
            return Box::pin(std::future::ready(Ok(Some(entry))));
        }
        Box::pin(async move {
            let ticket = shared.before_read(key);
            let found = shared.inner.get(key).await?;
            if let Some(entry) = &found {
                shared.fill(key, ticket, entry);
            }
            Ok(found)
        })
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let shared = &*self.shared;
            let ticket = shared.write(key);
            let copy = (entry.value.len() <= shared.config.longest).then(|| entry.clone());
            let written = shared.inner.put(key, entry, options).await;
            match (&written, copy) {
                (Ok(Written::Stored { version, .. }), Some(copy)) => {
                    ticket.keep(key, Entry { version: *version, ..copy });
                }
                (result, _) => ticket.settle(result),
            }
            written
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(async move {
            let ticket = self.shared.write(key);
            let deleted = self.shared.inner.delete(key, options).await;
            ticket.settle(&deleted);
            deleted
        })
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        if self.shared.look(key).is_some() {
            return Box::pin(std::future::ready(Ok(true)));
        }
        self.shared.inner.exists(key)
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        self.shared.inner.reserve()
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        self.shared.inner.commit()
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        self.shared.inner.flush()
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        Box::pin(async move {
            let swept = self.shared.inner.sweep(limit).await?;
            // What was swept must not come back by a clock that goes back.
            if swept.expired > 0 {
                let wall_ms = self.shared.clock.wall_ms();
                each!(&self.shared.engine, memory => {
                    memory.retain(0, |_, copy| !copy.entry.is_expired(wall_ms))
                });
            }
            Ok(swept)
        })
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        self.shared.inner.health()
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            // Never settled, so nothing is cached again.
            std::mem::forget(self.shared.write_everything());
            self.shared.inner.close().await
        })
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        self.shared.inner.as_batch().map(|_| self as &dyn Batch)
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        self.shared.inner.as_iterate()
    }

    fn as_transact(&self) -> Option<&dyn Transact> {
        self.shared.inner.as_transact().map(|_| self as &dyn Transact)
    }

    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        self.shared.inner.as_snapshot()
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        self.shared.inner.as_watch()
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        self.shared.inner.as_lock()
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        self.shared.inner.as_publish()
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        self.shared.inner.as_paths()
    }
}
