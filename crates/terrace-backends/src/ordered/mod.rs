//! A durable store in a folder over any ordered key-value engine in this process.
//!
//! An engine keeps rows of bytes in order and changes several of them at once ([`Engine`]); everything else that the
//! contract asks for is here and is the same over all of them: versions from a sequence that never goes back, floors,
//! deadlines, conditions, counts without a scan, clearing a namespace of any size at once, batches, listing, optimistic
//! transactions, snapshots where the engine has views, watching, and telling whether something was lost.
//!
//! # Cost
//! A write reads what it replaces. An entry without a deadline is one row, one with a deadline two; a delete leaves
//! two until its floor is forgotten. Syncs, sweeps, clears and long pages are moved to a thread that may block. The
//! calls of an engine are known when this is compiled; nothing is dispatched at run time.
//!
//! # Durability
//! A deferred write is with the engine, and perhaps nowhere else, until [`Store::commit`]. With `Interval` and `Never`
//! a write is acknowledged once it outlives the process, with `Group` and `Always` once it outlives a power cut;
//! writers share an fsync. After an fsync that failed nothing more is written; what can still be read is served.
//!
//! # What it is not
//! One process at a time; no leases. The budget counts keys and records, not what the engine needs besides.

mod capability;
mod engine;
mod folder;
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
mod watch;
mod write;

use std::future::ready;
use std::path::Path;
use std::sync::{Arc, OnceLock, RwLock, Weak};
use std::time::Duration;

use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::spawn::offload;
use terrace_store::{
    BoxFuture, Capabilities, Clock, DeleteOptions, Deleted, Durability, Entry, Health, Key, PutOptions,
    Result, Spawn, Store, Swept, Tasks, Version, Versions, Written,
};

use crate::progress::unknown;
pub use engine::{Change, Engine, NoView, Read, Space};
use folder::Folder;
pub use folder::Settings;
use shared::Shared;

/// Pages of at most so many entries are read in place; longer ones on a thread that may block.
const IN_PLACE_ROWS: usize = 128;

/// A durable store over an engine. See the [module's documentation](self).
pub struct OrderedStore<E: Engine> {
    pub(crate) shared: Arc<Shared<E>>,
}

impl<E: Engine> OrderedStore<E> {
    /// Opens the folder, or makes it; `open` opens the engine's file or folder at the path it is given, or makes that.
    /// Blocks while it reads what is there: after a close that was not clean, every row once.
    ///
    /// # Errors
    /// `Busy` if another store has it open, `Config` if a newer release or another engine wrote it or a setting is
    /// wrong, `Corrupt` if it is damaged, and what `open` says.
    pub fn over(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        spawn: Arc<dyn Spawn>,
        open: impl FnOnce(&Path) -> Result<E>,
    ) -> Result<Self> {
        let folder = Folder::open(settings, &*clock, open)?;
        let shared = Arc::new(Shared {
            watchers: Arc::clone(&folder.watchers),
            folder: RwLock::new(Some(folder)),
            progress: Arc::default(),
            ended: OnceLock::new(),
            durability: settings.durability,
            clock,
            tasks: Tasks::new(spawn),
            views: snapshot::Views::default(),
        });
        if let Durability::Interval(interval) = settings.durability {
            let regularly = sync_regularly(Arc::downgrade(&shared), Arc::clone(&shared.clock), interval);
            shared.tasks.spawn("interval sync", regularly);
        }
        Ok(Self { shared })
    }
}

/// Syncs what was written, once in every interval, until the store is gone.
async fn sync_regularly<E: Engine>(shared: Weak<Shared<E>>, clock: Arc<dyn Clock>, interval: Duration) {
    loop {
        clock.sleep(interval).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.progress.is_dirty() && shared.progress.failure().is_none() {
            let spawn = Arc::clone(shared.tasks.runtime());
            // A failure is remembered, and told to whoever writes next.
            let _ = offload(&*spawn, "fsync", move || shared.progress.sync(&*shared)).await;
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<E: Engine> Store for OrderedStore<E> {
    fn name(&self) -> &str {
        E::NAME
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
        let done = self.shared.write("put", |folder, now| folder.put(key, &entry, options, now));
        let deferred = options.deferred || matches!(done, Ok(Written::Conflict { .. }));
        self.shared.finish(done, deferred)
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        let done = self.shared.write("delete", |folder, now| folder.delete(key, options, now));
        let deferred = options.deferred || matches!(done, Ok(Deleted::Conflict { .. }));
        self.shared.finish(done, deferred)
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(ready(self.shared.exists(key)))
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        Box::pin(ready(self.shared.with("reserve", Folder::next_version)))
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
        self.shared.offload("fsync", move || shared.progress.sync(&*shared))
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        let shared = Arc::clone(&self.shared);
        self.shared.offload("sweep", move || shared.sweep(limit))
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(ready(self.shared.health()))
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let shut = Arc::clone(&shared);
            let outcome = shared.offload("close", move || shut.shut()).await;
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
        E::VIEWS.then_some(self as &dyn Snapshot)
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
