//! A store in the memory of the process, over [`terrace_memory`]: the authority of a server that runs without a
//! disk, and the fastest copy for everybody else.
//!
//! Everything completes in the call that polls it first. What happens when it is full is the caller's choice
//! ([`Evict`]): refuse, give up what has a deadline, or give up anything. With `None` and without a deadline it
//! loses nothing but with the process.
//!
//! # Cost
//! A read hashes once and takes one shard's read lock; a write takes its write lock, and besides counts what
//! it changed in its namespace. A deadline costs an ordered index some 300 nanoseconds a change. Listing in the
//! order of keys looks at every entry for each page; in any order it does not. A clear looks at every entry.
//! Batches, transactions, clears and snapshots keep all other writers waiting; readers never wait for them.
//!
//! # Floors
//! A delete's floor is kept for its time by monotonic clock, up to 65,536 of them. Beyond that, and for evicted
//! entries, the floor of all keys with a similar hash rises instead: some late writes are refused that need not
//! be, and none is admitted that must not.

mod batch;
mod config;
mod evict;
mod floors;
mod held;
mod list;
mod lock;
mod publish;
mod snapshot;
mod table;
mod transaction;
mod watch;

use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::{
    BoxFuture, Capabilities, Clock, DeleteOptions, Deleted, Durability, Entry, Error, ErrorKind, Health, Key,
    PutOptions, Result, Store, Swept, Version, Versions, Written,
};

pub use config::{Evict, MemoryConfig};
use table::Table;

pub(crate) const NAME: &str = "memory";

/// A store in memory. See the [module's documentation](self).
pub struct MemoryStore(Arc<Open>);

/// The table, until the store is closed.
struct Open {
    table: Table,
    closed: AtomicBool,
}

impl Open {
    fn table(&self, operation: &'static str) -> Result<&Table> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, operation).with("store", NAME));
        }
        Ok(&self.table)
    }
}

impl MemoryStore {
    /// An empty store.
    ///
    /// # Errors
    /// `Config` if it shall evict but has no capacity.
    pub fn open(config: MemoryConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        config.check()?;
        let table = Table::new(config, clock);
        Ok(Self(Arc::new(Open { table, closed: AtomicBool::new(false) })))
    }

    /// Evicts by another rule from now on, whatever the store was opened with.
    ///
    /// # Errors
    /// `Config` if it shall evict but has no capacity; `Closed`.
    ///
    /// # Cost
    /// A look at every entry, and a write of each that may be evicted now and could not before, or the other way
    /// round, some 0.7 microseconds each; other writers wait. Those entries count as just written.
    pub fn set_evict(&self, evict: Evict) -> Result<()> {
        self.table("set_evict")?.set_evict(evict)
    }

    /// How many entries were evicted to make room. Those that ended by themselves are not counted.
    pub fn evictions(&self) -> u64 {
        self.0.table.evictions.count.load(Ordering::Relaxed)
    }

    /// The keys of entries that were evicted since the last call, the oldest first: at most
    /// [`report_evicted`](MemoryConfig::report_evicted) of them.
    pub fn drain_evicted(&self) -> Vec<Key> {
        let mut recent = self.0.table.evictions.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.drain(..).collect()
    }

    /// How many bytes the entries take, as the capacity counts them.
    pub fn used_bytes(&self) -> u64 {
        self.0.table.engine.weight()
    }

    fn table(&self, operation: &'static str) -> Result<&Table> {
        self.0.table(operation)
    }
}

/// A future that is done already.
fn done<'a, T: Send + 'a>(result: T) -> BoxFuture<'a, T> {
    Box::pin(ready(result))
}

#[deny(clippy::missing_trait_methods)]
impl Store for MemoryStore {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: Versions::Assigned,
            durability: Durability::Process,
            persistent: false,
            atomic_batches: true,
            in_place: true,
        }
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        done(self.table("get").map(|table| table.get(key)))
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        done(self.table("put").and_then(|table| table.put(key, entry, options)))
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        done(self.table("delete").and_then(|table| table.delete(key, options)))
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        done(self.table("exists").map(|table| table.exists(key)))
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        done(self.table("reserve").map(Table::next_version))
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        done(self.table("commit").map(drop))
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        done(self.table("flush").map(drop))
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        done(self.table("sweep").map(|table| table.sweep(limit)))
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        done(match self.table("health") {
            Ok(_) => Health::Up,
            Err(_) => Health::Down("it was closed".into()),
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        if !self.0.closed.swap(true, Ordering::AcqRel) {
            let table = &self.0.table;
            table.watchers.close();
            table.channels.close();
            table.engine.clear();
        }
        done(Ok(()))
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        Some(self)
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        Some(self)
    }

    fn as_transact(&self) -> Option<&dyn Transact> {
        Some(self)
    }

    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        Some(self)
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        Some(self)
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        Some(self)
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        Some(self)
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        None
    }
}
