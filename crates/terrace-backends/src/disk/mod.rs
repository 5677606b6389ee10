//! A durable store in a folder, over Terrace's own log ([`terrace_disk`]).
//!
//! It assigns versions that never go back, keeps what is acknowledged as its [`Durability`](terrace_store::Durability) says, counts its keys
//! without a scan, and clears a namespace of any size at once.
//!
//! # Cost
//! A key that is not there costs no system call, one that is costs one read of the file; a deferred write costs a copy
//! until it is committed, and reads what it replaces. Listing in the order of keys walks every segment once when it is
//! first asked for, and keeps four bytes a record from then on; a page then costs a search in each segment. Listing in any
//! order goes by the index and costs a read an entry, unless the namespace has only a small part of all entries. Syncs,
//! sweeps and listings, but for short pages in any order, are moved to a thread that may block.
//!
//! # Durability
//! With `Interval` and `Never` a write is acknowledged after write(2): a killed process loses nothing. A deferred write
//! stays in the process until [`Store::commit`]. With `Group` and `Always` writers share an fsync. After an fsync that
//! failed nothing more is written; what can still be read is served. `docs/recovery.md` says what is lost when.
//!
//! # As a cache
//! With [`DiskConfig::cache`] the oldest entries leave when the budget is used up, and those that were read are kept.
//!
//! # What it is not
//! One process at a time; no leases.

mod capability;
mod config;
mod error;
mod groups;
mod list;
mod meta;
pub mod migrate;
mod shared;
mod upkeep;
mod view;
mod watch;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::{
    BoxFuture, Capabilities, Clock, DeleteOptions, Deleted, Entry, Health, Key, PutOptions, Result, Spawn,
    Store, Swept, Version, Versions, Written,
};

pub use config::DiskConfig;
use error::translate;
use shared::Shared;
pub use terrace_envelope::crypt;

pub(crate) const NAME: &str = "disk";

/// A durable store in a folder. See the [module's documentation](self).
pub struct DiskStore {
    shared: Arc<Shared>,
}

impl DiskStore {
    /// Opens the folder, or makes it. Blocks while it reads what is there: an index snapshot and what was written since,
    /// or everything if there is no such snapshot.
    ///
    /// # Errors
    /// `Busy` if another store has it open, `Config` if a newer release or another store wrote it or a setting is wrong,
    /// `Denied` or `Full` as the disk says.
    #[allow(clippy::needless_pass_by_value, reason = "a store takes its configuration over")]
    pub fn open(config: DiskConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        let shared = Shared::open(&config, clock, spawn)?;
        shared.tasks.spawn("disk upkeep", upkeep::keep(&shared));
        Ok(Self { shared })
    }

    /// What the log holds, and what it did.
    pub fn stats(&self) -> DiskStats {
        let stats = self.shared.disk.stats();
        DiskStats {
            file_bytes: stats.file_bytes,
            segments: stats.segments,
            index_bytes: stats.index_bytes,
            evicted: stats.evicted,
            appended_bytes: stats.appended_bytes,
        }
    }
}

/// What a [`DiskStore`] takes, and what it did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Bytes of its files.
    pub file_bytes: u64,
    /// Segments of the log.
    pub segments: u64,
    /// Bytes of memory that the index takes.
    pub index_bytes: u64,
    /// Entries that left because a cache was full.
    pub evicted: u64,
    /// Bytes written to the log, for whatever reason.
    pub appended_bytes: u64,
}

#[deny(clippy::missing_trait_methods)]
impl Store for DiskStore {
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
        let done = self.shared.put(key, &entry, options);
        let deferred = options.deferred || matches!(done, Ok(Written::Conflict { .. }));
        self.shared.finish(done, deferred)
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        let done = self.shared.delete(key, options);
        let deferred = options.deferred || matches!(done, Ok(Deleted::Conflict { .. }));
        self.shared.finish(done, deferred)
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        let found = self.shared.disk.peek(key.flat(), self.shared.clock.wall_ms());
        Box::pin(ready(found.map(|found| found.is_some()).map_err(|error| translate("exists", error))))
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        let version = self.shared.disk.reserve(self.shared.clock.wall_ms());
        Box::pin(ready(version.map(Version).map_err(|error| translate("reserve", error))))
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        self.shared.commit()
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        let shared = Arc::clone(&self.shared);
        self.shared.offload("disk fsync", move || shared.progress.sync(&*shared))
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        let shared = Arc::clone(&self.shared);
        self.shared.offload("disk sweep", move || shared.sweep(limit))
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(ready(self.shared.health()))
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let shut = Arc::clone(&shared);
            let outcome = shared.offload("disk close", move || shut.shut()).await;
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
        Some(self)
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
