//! bloom: what is certainly not in the store is not asked for.
//!
//! Decision: a filter may answer in the store's place only if it has seen every key, so it is **authoritative** only where
//! this process is the sole writer, and only from when it was built from a listing of the whole store or restored from
//! what the same layer left there. Until then, and everywhere else, it is **advisory**: every read goes to the store,
//! and [`Bloom::might_contain`] is a hint for whoever chooses where to ask first.
//!
//! A key goes into the filter before it is written, so there is no moment at which the store has what the filter has not.
//! Deleted and evicted keys stay in it, which costs reads and never an entry. When it holds a quarter more keys than it
//! was made for, a larger one is built in the background from a listing, while every write goes into both; a write whose
//! outcome is unknown is remembered and goes into every filter that is built later. An entry whose time was over when the
//! filter was built stays absent, also under a clock that goes back.
//!
//! With `keep`, closing leaves the filter in the store (namespace NUL `bloom`), and opening takes it out again before
//! anything is written, so after a crash there is none and it is built anew. It is taken only if every namespace holds
//! as many entries as then; who writes to the store while it is closed, past this layer, must remove that entry.
//!
//! # Cost
//! A check is a hash of the key, one line of memory and a count; it takes no lock. Building reads all keys.

mod build;
mod capability;
mod counts;
mod filter;
mod kept;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::{
    BoxFuture, Capabilities, Clock, DeleteOptions, Deleted, Entry, Error, ErrorKind, Health, Key, PutOptions,
    Result, Store, Swept, Tasks, Version, Written,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::counts::Counts;
pub use self::filter::{Filter, MOST_SHARDS};
pub(crate) use self::kept::NAMESPACE;
use crate::world::World;

/// How a filter is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BloomConfig {
    /// How many keys it is made for at first. It grows with the store.
    pub expected: u64,
    /// Bits for each of them. 10.5 make one mistake in a hundred.
    pub bits_per_key: f64,
    /// In how many shards, rounded up to a power of two and at most 64; `None` for as many as its size is worth.
    pub shards: Option<u32>,
    /// Whether nobody but this process writes to the store. Only then does it answer in the store's place.
    pub sole_writer: bool,
    /// Whether closing leaves it in the store, for the next opening.
    pub keep: bool,
}

impl Default for BloomConfig {
    /// A million keys at one mistake in a hundred, advisory, not kept.
    fn default() -> Self {
        Self { expected: 1_000_000, bits_per_key: 10.5, shards: None, sole_writer: false, keep: false }
    }
}

/// What a filter has done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BloomReport {
    /// Whether it answers in the store's place.
    pub authoritative: bool,
    /// About how many keys it holds.
    pub keys: u64,
    /// The memory it takes.
    pub bytes: u64,
    /// In how many shards it stands.
    pub shards: usize,
    /// The part of absent keys that it must be expected to take for present, from how full it is.
    pub expected_rate: f64,
    /// Keys that were looked up.
    pub checks: u64,
    /// Of those, how many it said are certainly not there.
    pub negatives: u64,
    /// How many it said may be there, and were not.
    pub false_positives: u64,
    /// How many it said are not there, and were: others have written them. Only an advisory filter finds out.
    pub foreign: u64,
    /// How many times it was built, or restored.
    pub built: u64,
    /// Writes of unknown outcome that it remembers.
    pub unsettled: u64,
}

impl BloomReport {
    /// The part of absent keys that it took for present.
    pub fn false_positive_rate(&self) -> f64 {
        let absent = self.negatives + self.false_positives - self.foreign;
        if absent == 0 { 0.0 } else { self.false_positives as f64 / absent as f64 }
    }
}

/// A store with a filter before it.
pub struct Bloom {
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    config: BloomConfig,
    seed: u64,
    /// What answers. It changes only under the lock of `filters`, so whoever holds that writes into the one that stays.
    current: ArcSwap<Current>,
    filters: RwLock<Filters>,
    /// Writes under way, of the generation of filters they began in.
    under_way: [AtomicU64; 2],
    unsettled: Mutex<HashSet<u64>>,
    /// More writes were left unsettled than can be remembered: no other filter can be built.
    overflowed: AtomicBool,
    building: AtomicBool,
    closing: AtomicBool,
    counts: Counts,
    built: AtomicU64,
}

/// A filter at work.
struct Current {
    filter: Arc<Filter>,
    authoritative: bool,
}

struct Filters {
    /// The one that is being built.
    next: Option<Arc<Filter>>,
    /// Which of two counters writes that begin now are counted in.
    generation: usize,
    /// How many keys the current one was made for.
    expected: u64,
}

/// How many writes of unknown outcome are remembered.
const MOST_UNSETTLED: usize = 1 << 16;

/// How long closing waits for a filter that is being built.
const GRACE: Duration = Duration::from_secs(1);

impl Bloom {
    /// Puts a filter before the store: restored if one was kept, else built from a listing of all keys.
    ///
    /// # Errors
    /// Whatever the store answers. A store that cannot list gets a filter that is advisory for good.
    pub async fn open(inner: Arc<dyn Store>, config: BloomConfig, world: &World) -> Result<Self> {
        let kept = kept::take(&*inner).await?;
        let seed = kept.as_ref().map_or_else(|| world.rng.next_u64(), |kept| kept.seed);
        let expected = kept.as_ref().map_or(config.expected, |kept| kept.expected);
        let filter = Arc::new(Filter::sharded(expected, config.bits_per_key, config.shards));
        let restored = kept.is_some_and(|kept| config.keep && kept.fill(&filter, config.bits_per_key));
        let current = Current { filter, authoritative: restored && config.sole_writer };
        let shared = Arc::new(Shared {
            inner,
            clock: Arc::clone(&world.clock),
            config,
            seed,
            current: ArcSwap::from_pointee(current),
            filters: RwLock::new(Filters { next: None, generation: 0, expected }),
            under_way: Default::default(),
            unsettled: Mutex::default(),
            overflowed: AtomicBool::new(false),
            building: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            counts: Counts::default(),
            built: AtomicU64::new(u64::from(restored)),
        });
        if !restored && shared.inner.as_iterate().is_some() {
            shared.build().await?;
        }
        Ok(Self { shared, tasks: Tasks::new(Arc::clone(&world.spawn)) })
    }

    /// Whether the store may have the key; `false` is certain if the filter is authoritative, else a guess.
    pub fn might_contain(&self, key: &Key) -> bool {
        let shared = &self.shared;
        shared.current.load().filter.contains(shared.hash(key))
    }

    /// Builds another filter from a listing of all keys, sized for what is there, and uses it from then on.
    ///
    /// # Errors
    /// `NotSupported` if the store cannot list; `Busy` if one is being built; whatever the store answers. The one that is
    /// there stays then.
    pub async fn rebuild(&self) -> Result<()> {
        self.shared.build().await
    }

    /// What it has done.
    pub fn report(&self) -> BloomReport {
        let current = self.shared.current.load_full();
        let (filter, counted) = (&current.filter, self.shared.counts.sum());
        BloomReport {
            authoritative: current.authoritative,
            keys: filter.len(),
            bytes: filter.bytes(),
            shards: filter.shards(),
            expected_rate: filter.false_positive_rate(),
            checks: counted.negatives + counted.positives,
            negatives: counted.negatives,
            false_positives: counted.false_positives,
            foreign: counted.foreign,
            built: self.shared.built.load(Ordering::Relaxed),
            unsettled: self.shared.unsettled.lock().len() as u64,
        }
    }

    /// Starts to build a larger filter if this one is full.
    fn grow(&self) {
        let full = {
            let filters = self.shared.filters.read();
            filters.next.is_none() && self.shared.current.load().filter.len() > most(filters.expected)
        };
        let shared = &self.shared;
        let can = shared.inner.as_iterate().is_some() && !shared.overflowed.load(Ordering::Relaxed);
        if full && can && !shared.building.load(Ordering::Relaxed) {
            let shared = Arc::clone(shared);
            self.tasks.spawn("bloom", async move {
                // If it fails the old one goes on, and the next write tries again.
                let _ = shared.build().await;
            });
        }
    }
}

/// A quarter more than it was made for makes twice as many mistakes.
fn most(expected: u64) -> u64 {
    expected.saturating_add(expected / 4)
}

/// What the filter says of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Absent,
    /// It says so, but the store is to be asked.
    Doubtful,
    Maybe,
}

impl Shared {
    fn hash(&self, key: &Key) -> u64 {
        xxh3_64_with_seed(key.flat(), self.seed)
    }

    fn ask(&self, key: &Key) -> Answer {
        let hash = self.hash(key);
        let current = self.current.load();
        let found = current.filter.contains(hash);
        self.counts.checked(found);
        match found {
            true => Answer::Maybe,
            false if current.authoritative => Answer::Absent,
            false => Answer::Doubtful,
        }
    }

    /// Compares what the filter said with what the store has.
    fn learn(&self, said: Answer, found: bool) {
        match (said, found) {
            (Answer::Maybe, false) => self.counts.false_positive(),
            (Answer::Doubtful, true) => self.counts.foreign(),
            _ => {}
        }
    }

    /// Puts the keys into the filters, before they are written.
    fn write<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Result<Writing<'_>> {
        let hashes: Vec<u64> = keys.map(|key| self.hash(key)).collect();
        let filters = self.filters.read();
        let current = self.current.load();
        for hash in &hashes {
            current.filter.insert(*hash);
            if let Some(next) = &filters.next {
                next.insert(*hash);
            }
        }
        let generation = filters.generation;
        self.under_way[generation].fetch_add(1, Ordering::SeqCst);
        let writing = Writing { shared: self, generation, hashes };
        if self.closing.load(Ordering::SeqCst) {
            writing.settle(&Ok(()));
            return Err(Error::new(ErrorKind::Closed, "put").with("store", self.inner.name()));
        }
        Ok(writing)
    }

    /// Lets it answer for the store no more. Returns whether it did.
    fn retire(&self) -> bool {
        let _changing = self.filters.write();
        let current = self.current.load_full();
        let filter = Arc::clone(&current.filter);
        self.current.store(Arc::new(Current { filter, authoritative: false }));
        current.authoritative
    }

    /// Waits until no write of this generation is under way.
    async fn settled(&self, generation: usize) {
        while self.under_way[generation].load(Ordering::SeqCst) > 0 {
            self.clock.sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A write under way. Dropping it unsettled says that it may still be applied.
struct Writing<'a> {
    shared: &'a Shared,
    generation: usize,
    /// What was written; empty once that is certain.
    hashes: Vec<u64>,
}

impl Writing<'_> {
    fn settle<T>(mut self, result: &Result<T>) {
        if result.as_ref().err().map(Error::kind) != Some(ErrorKind::Unknown) {
            self.hashes.clear();
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.hashes.is_empty() {
            let mut unsettled = self.shared.unsettled.lock();
            unsettled.extend(self.hashes.drain(..));
            if unsettled.len() > MOST_UNSETTLED {
                self.shared.overflowed.store(true, Ordering::SeqCst);
                unsettled.clear();
            }
        }
        // After they are remembered: who waits for this count reads them then.
        self.shared.under_way[self.generation].fetch_sub(1, Ordering::SeqCst);
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Bloom {
    fn name(&self) -> &str {
        self.shared.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.inner.capabilities()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        let said = self.shared.ask(key);
        if said == Answer::Absent {
            return Box::pin(std::future::ready(Ok(None)));
        }
        Box::pin(async move {
            let found = self.shared.inner.get(key).await?;
            self.shared.learn(said, found.is_some());
            Ok(found)
        })
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let writing = self.shared.write(std::iter::once(key))?;
            let written = self.shared.inner.put(key, entry, options).await;
            writing.settle(&written);
            self.grow();
            written
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        self.shared.inner.delete(key, options)
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        let said = self.shared.ask(key);
        if said == Answer::Absent {
            return Box::pin(std::future::ready(Ok(false)));
        }
        Box::pin(async move {
            let found = self.shared.inner.exists(key).await?;
            self.shared.learn(said, found);
            Ok(found)
        })
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
        self.shared.inner.sweep(limit)
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        self.shared.inner.health()
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let shared = &*self.shared;
            if !shared.closing.swap(true, Ordering::SeqCst) {
                self.tasks.close(&*shared.clock, GRACE).await;
                if shared.retire() && shared.config.keep {
                    shared.settled(0).await;
                    shared.settled(1).await;
                    // Without it the next opening builds one: that is no reason not to close.
                    let _ = kept::leave(shared).await;
                }
            }
            shared.inner.close().await
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
