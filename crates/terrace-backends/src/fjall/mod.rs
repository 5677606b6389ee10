//! A durable store in a folder, over [fjall](https://docs.rs/fjall), a log-structured merge tree in pure Rust.
//!
//! It assigns versions from a sequence that never goes back, keeps what is acknowledged as its
//! [`Durability`] says, orders its keys, counts them without a scan, and clears a namespace of any size at once.
//!
//! # Cost
//! Reads and deferred writes work in the call that polls them first: a system call at most, and for what is not
//! in memory a read from the disk. A write reads what it replaces. An entry without a deadline is one row, one
//! with a deadline two; a delete leaves two until its floor is forgotten. Syncs, sweeps, clears and long pages
//! are moved to a thread that may block. When compaction falls behind, fjall itself keeps writers waiting.
//!
//! # Durability
//! With `Interval` and `Never` a write is acknowledged after write(2): a killed process loses nothing. A deferred
//! write stays in the process until [`Store::commit`], so that a batch of them costs one system call. With
//! `Group` and `Always` writers share an fsync. After an fsync that failed nothing more is written; what can
//! still be read is served. After a crash the journal is read up to its first damaged place. After a clean close
//! too, but then [`Store::health`] says how much is missing. A data block that is damaged costs its own keys: they
//! are `Corrupt` to a `get`, and listings leave them out.
//!
//! # What it is not
//! One process at a time; no watching, no leases. The budget counts keys and records, not what fjall needs
//! besides, which is up to about 600 MiB of journals and buffers.

mod capability;
mod config;
mod engine;
mod error;
mod list;
mod mark;
mod recovery;
mod row;
mod rows;
mod sequence;
mod shared;
mod snapshot;
mod stripes;
mod sweep;
mod write;

use std::future::ready;
use std::sync::{Arc, OnceLock, RwLock, Weak};
use std::time::Duration;

use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::spawn::offload;
use terrace_store::{
    BoxFuture, Capabilities, Clock, DeleteOptions, Deleted, Durability, Entry, Health, Key, PutOptions,
    Result, Spawn, Store, Swept, Tasks, Version, Versions, Written,
};

use crate::progress::unknown;
pub use config::FjallConfig;
use engine::Engine;
use shared::Shared;

pub(crate) const NAME: &str = "fjall";
/// Pages of at most so many entries are read in place; longer ones on a thread that may block.
const IN_PLACE_ROWS: usize = 128;

/// A durable store in a folder. See the [module's documentation](self).
pub struct FjallStore {
    shared: Arc<Shared>,
}

impl FjallStore {
    /// Opens the folder, or makes it. Blocks while it reads what is there: after a close that was not clean,
    /// every row once.
    ///
    /// # Errors
    /// `Busy` if another store has it open, `Config` if a newer release wrote it or a setting is wrong,
    /// `Corrupt` if it is damaged, `Denied` or `Full` as the disk says.
    #[allow(clippy::needless_pass_by_value, reason = "a store takes its configuration over")]
    pub fn open(config: FjallConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        let engine = Engine::open(&config, &*clock)?;
        let shared = Arc::new(Shared {
            engine: RwLock::new(Some(engine)),
            progress: Arc::default(),
            ended: OnceLock::new(),
            durability: config.durability,
            clock,
            tasks: Tasks::new(spawn),
        });
        if let Durability::Interval(interval) = config.durability {
            let regularly = sync_regularly(Arc::downgrade(&shared), Arc::clone(&shared.clock), interval);
            shared.tasks.spawn("fjall interval sync", regularly);
        }
        Ok(Self { shared })
    }
}

/// Syncs what was written, once in every interval, until the store is gone.
async fn sync_regularly(shared: Weak<Shared>, clock: Arc<dyn Clock>, interval: Duration) {
    loop {
        clock.sleep(interval).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.progress.is_dirty() && shared.progress.failure().is_none() {
            let spawn = Arc::clone(shared.tasks.runtime());
            // A failure is remembered, and told to whoever writes next.
            let _ = offload(&*spawn, "fjall fsync", move || shared.progress.sync(&*shared)).await;
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for FjallStore {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: Versions::Assigned,
            durability: self.shared.durability,
            persistent: true,
            atomic_batches: true,
            // A deferred write waits for nobody, whatever its commit will wait for.
            in_place: true,
        }
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(ready(self.shared.read(key)))
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        let done = self.shared.write("put", |engine, now| engine.put(key, &entry, options, now));
        let deferred = options.deferred || matches!(done, Ok(Written::Conflict { .. }));
        self.shared.finish(done, deferred)
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        let done = self.shared.write("delete", |engine, now| engine.delete(key, options, now));
        let deferred = options.deferred || matches!(done, Ok(Deleted::Conflict { .. }));
        self.shared.finish(done, deferred)
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(ready(self.shared.exists(key)))
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        Box::pin(ready(self.shared.with("reserve", Engine::next_version)))
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        let open = self.shared.with("commit", |_| Ok(()));
        let failed = self.shared.progress.failure().map_or(Ok(()), |failure| Err(unknown(failure)));
        match open.and(failed) {
            Ok(()) => self.shared.acknowledge(()),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        let shared = Arc::clone(&self.shared);
        self.shared.offload("fjall fsync", move || shared.progress.sync(&*shared))
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        let shared = Arc::clone(&self.shared);
        let sweep = move || shared.write("sweep", |engine, now| engine.sweep(limit, now, &*shared.clock));
        self.shared.offload("fjall sweep", sweep)
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(ready(self.shared.health()))
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let shut = Arc::clone(&shared);
            let outcome = shared.offload("fjall close", move || shut.shut()).await;
            shared.tasks.close(&*shared.clock, Duration::ZERO).await;
            outcome
        })
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
        None
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        None
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        None
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_store::fakes::FrozenClock;
    use terrace_store::tokio_runtime::TokioSpawn;
    use terrace_store::{Error, ErrorKind};

    fn open(folder: &tempfile::TempDir, durability: Durability, clock: &FrozenClock) -> FjallStore {
        let config = FjallConfig { durability, ..FjallConfig::new(folder.path()) };
        let spawn = Arc::new(TokioSpawn::current().unwrap());
        FjallStore::open(config, Arc::new(clock.clone()), spawn).unwrap()
    }

    fn key() -> Key {
        Key::new("n", "k").unwrap()
    }

    async fn put(store: &FjallStore) -> Result<Written> {
        store.put(&key(), Entry::new("v"), PutOptions::default()).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_written_is_synced_when_its_interval_is_over() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), FrozenClock::default());
        let store = open(&folder, Durability::Interval(Duration::from_secs(5)), &clock);
        for _ in 0..3 {
            let _ = put(&store).await.unwrap();
            while clock.sleepers() == 0 {
                tokio::task::yield_now().await;
            }
            clock.advance_ms(4_999);
            tokio::task::yield_now().await;
            assert!(store.shared.progress.is_dirty());
            clock.advance_ms(1);
            while store.shared.progress.is_dirty() {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn after_a_failed_fsync_writes_are_refused_and_reads_go_on() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), FrozenClock::default());
        let store = open(&folder, Durability::Always, &clock);
        let _ = put(&store).await.unwrap();
        store.shared.progress.settle(0, Err(Error::new(ErrorKind::Unavailable, "fsync")));
        assert_eq!(put(&store).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(store.commit().await.unwrap_err().kind(), ErrorKind::Unknown);
        assert!(store.get(&key()).await.unwrap().is_some());
        assert!(matches!(store.health().await, Health::Down(_)));
        store.close().await.unwrap();
        let _ = put(&open(&folder, Durability::Always, &clock)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_group_waits_for_others_and_then_syncs() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), FrozenClock::default());
        let store = Arc::new(open(&folder, Durability::Group(Duration::from_millis(2)), &clock));
        let writer = Arc::clone(&store);
        let written = tokio::spawn(async move { put(&writer).await });
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!written.is_finished());
        clock.advance_ms(2);
        let _ = written.await.unwrap().unwrap();
        assert!(!store.shared.progress.is_dirty());
    }
}
