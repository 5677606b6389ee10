//! `fs`: a file for each entry, in a folder.
//!
//! The plainest store on disk: no engine, nothing to repair, values that any tool can copy. It suits values of some
//! KiB and more, in numbers whose index fits the memory; for many small ones an engine with a log is faster.
//!
//! Decisions: no byte of a key is part of a path (`object.rs`); a new file stands beside the old one until it is
//! durable (`sync.rs`); an index in memory answers misses, listings of keys and counts (`index.rs`); versions come
//! from a sequence that never goes back (`sequence.rs`); a clear is one durable floor (`cleared.rs`).
//!
//! # Costs
//! Opening reads the head of every file: a few system calls each. Memory: 180 to 250 bytes for an entry with a
//! short key, 290 for each delete of the last hour. A get is an open, a read and a close; a put creates and renames a
//! file, and with [`Durability::Always`] waits for one or two fsyncs shared with all who write at that time.
//! Values up to 64 KiB are read and written on the calling task; larger ones, fsyncs and walks go to
//! [`Spawn::spawn_blocking`].
//!
//! # Durability
//! - `Never`: a put is in the hands of the operating system. After a power cut a key that was being replaced may be
//!   damaged, which is noticed.
//! - `Interval(t)`: synced at most `t` later; a power cut takes back at most that, to values that were whole.
//! - `Group` and `Always`: synced before a put returns; writers that come together share their fsyncs. `Group`
//!   does not wait for others to come.
//!
//! After kill -9 nothing that was acknowledged is lost, with any of them. A failed fsync is not tried again: the
//! store refuses writes until it is opened anew.
//!
//! # Damage
//! A damaged file is `Corrupt` for its key and for no other, until the key is written or deleted; it is counted in
//! the store's health, as are files in the folder that are not the store's.
//!
//! # Cancellation
//! A write whose future is dropped before it was polled is not done; one that was polled is done, whole.

mod cleared;
mod config;
mod folder;
mod index;
mod object;
mod paths;
mod read;
mod scan;
mod sequence;
mod sync;
mod write;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use terrace_store::capability::{Batch, Cursor, Iterate, List, Outcome, Page, Paths, Write};
use terrace_store::spawn::offload;
use terrace_store::{
    BoxFuture, Capabilities, Clock, DeleteOptions, Deleted, Durability, Entry, Error, ErrorKind, Health, Key,
    Namespace, PutOptions, Result, Spawn, Store, Swept, Tasks, Version, Versions, Written,
};

pub use config::FsConfig;
use folder::Folder;
use index::Index;
use sequence::Sequence;
use sync::Unsynced;

const NAME: &str = "fs";
/// Up to which length values are read and written on the calling task.
const INLINE: u64 = 64 * 1024;
const STRIPES: usize = 64;

/// A store that keeps each entry in a file. See the [module's documentation](self). Dropping it lets go of the
/// folder, too, but blocks while it syncs what an interval promised: better to [`close`](Store::close) it.
pub struct FsStore(Arc<Shared>);

struct Shared {
    folder: Folder,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    durability: Durability,
    compress_from: Option<usize>,
    /// Closed to writers by `close` and `clear`.
    gate: RwLock<()>,
    stripes: Vec<Mutex<()>>,
    index: RwLock<Index>,
    sequence: Sequence,
    unsynced: Unsynced,
    /// One pass at a time.
    passes: Mutex<()>,
    scheduled: AtomicBool,
    /// Whether room is kept for deletes on a full disk.
    spare: AtomicBool,
    closed: AtomicBool,
    /// What was found amiss at open, in words.
    amiss: Vec<String>,
}

impl FsStore {
    /// Opens the store in this folder, or makes one. Blocks while it reads what is there.
    ///
    /// # Errors
    /// `Config` if the configuration asks for what the store cannot do, or the folder holds something else;
    /// `Unavailable` if another store has the folder open; `NotSupported` if a newer release wrote it; `Denied` if
    /// the folder cannot be written; `Corrupt` if the record of cleared namespaces is damaged.
    pub fn open(config: FsConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        let FsConfig { path, durability, compress_from } = config;
        let folder = Folder::open(&path)?;
        let cleared = cleared::Cleared::read(&folder)?;
        let scan = scan::scan(&folder, cleared, clock.wall_ms(), clock.now_ms())?;
        let (sequence, lost) = Sequence::open(folder.path("sequence"), scan.greatest)?;
        let mut amiss = Vec::new();
        if lost {
            amiss.push(
                "the file of the versions was lost; they go on far above all that are there".to_owned(),
            );
        }
        if let Some(one) = scan.strangers.first() {
            amiss.push(format!("{} foreign files in the folder, such as `{one}`", scan.strangers.len()));
        }
        let spare = AtomicBool::new(folder.keep_spare());
        Ok(Self(Arc::new(Shared {
            folder,
            clock,
            tasks: Tasks::new(spawn),
            durability,
            compress_from,
            gate: RwLock::new(()),
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            index: RwLock::new(scan.index),
            sequence,
            unsynced: Unsynced::default(),
            passes: Mutex::new(()),
            scheduled: AtomicBool::new(false),
            spare,
            closed: AtomicBool::new(false),
            amiss,
        })))
    }

    /// Runs work on the store where it holds nobody up.
    async fn offload<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> T {
        let shared = Arc::clone(&self.0);
        offload(&**self.0.tasks.runtime(), name, move || work(&shared)).await
    }

    /// The future of a write that was applied, until it is as durable as the store was opened with.
    async fn acknowledge(&self, deferred: bool) -> Result<()> {
        if deferred && self.0.durability.is_durable() {
            return Ok(());
        }
        self.0.settle().await.map_err(unknown)
    }
}

/// A write that was applied, and whose durability is in doubt.
fn unknown(error: Error) -> Error {
    Error::new(ErrorKind::Unknown, "sync")
        .because("the write is visible, but may not outlive a power cut")
        .with("store", NAME)
        .caused_by(error)
}

impl Shared {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the writers that began before the store was closed; none begins any more.
    fn wait_for_writers(&self) {
        drop(self.gate.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn health(&self) -> Health {
        if self.closed.load(Ordering::Acquire) {
            return Health::Down("closed".to_owned());
        }
        if let Some(failure) = self.unsynced.failure() {
            return Health::Down(failure.to_string());
        }
        let mut amiss = self.amiss.clone();
        let damaged = self.index().damage_count();
        if damaged > 0 {
            amiss.push(format!("{damaged} damaged files"));
        }
        if !self.spare.load(Ordering::Relaxed) {
            amiss.push("the disk is full; the room kept for deletes is in use".to_owned());
        }
        if amiss.is_empty() { Health::Up } else { Health::Degraded(amiss.join("; ")) }
    }
}

/// A store that goes away without a word is closed, but for the syncs that nobody was promised.
impl Drop for FsStore {
    fn drop(&mut self) {
        if self.0.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.0.wait_for_writers();
        let promised = matches!(self.0.durability, Durability::Interval(_)) && !self.0.unsynced.is_empty();
        if promised && self.0.unsynced.failure().is_none() {
            // Nobody is left to be told; the next open finds what there is.
            let _ = self.0.sync_here();
        }
        self.0.folder.release();
    }
}

impl Store for FsStore {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: Versions::Assigned,
            durability: self.0.durability,
            persistent: true,
            atomic_batches: false,
            in_place: false,
        }
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move {
            self.0.check_open("get")?;
            match self.0.find_live(key)? {
                None => Ok(None),
                Some(slot) if slot.value_len <= INLINE => self.0.read(key),
                Some(_) => {
                    let key = key.clone();
                    self.offload("fs-get", move |shared| shared.read(&key)).await
                }
            }
        })
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let written = if entry.value.len() as u64 <= INLINE {
                self.0.put(key, &entry, options)?
            } else {
                let key = key.clone();
                self.offload("fs-put", move |shared| shared.put(&key, &entry, options)).await?
            };
            if written.version().is_some() {
                self.acknowledge(options.deferred).await?;
            }
            Ok(written)
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(async move {
            let deleted = self.0.delete(key, options)?;
            if matches!(deleted, Deleted::Done { .. }) {
                self.acknowledge(options.deferred).await?;
            }
            Ok(deleted)
        })
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.0.check_open("exists")?;
            Ok(self.0.find_live(key)?.is_some())
        })
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        Box::pin(async move {
            self.0.check_open("reserve")?;
            self.0.sequence.next()
        })
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.0.check_open("commit")?;
            self.0.settle_deferred().await
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.0.check_open("flush")?;
            self.0.sync().await
        })
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        Box::pin(async move {
            let swept = self.offload("fs-sweep", move |shared| shared.sweep(limit)).await?;
            if swept.expired > 0 {
                self.acknowledge(false).await?;
            }
            Ok(swept)
        })
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move { self.0.health() })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if self.0.closed.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
            self.0.wait_for_writers();
            let synced = self.0.sync().await;
            self.0.tasks.close(&*self.0.clock, Duration::ZERO).await;
            self.0.folder.release();
            synced
        })
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        Some(self)
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        Some(self)
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        Some(self)
    }
}

impl Batch for FsStore {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        Box::pin(async move {
            self.0.check_open("get_many")?;
            let keys = keys.to_vec();
            self.offload("fs-get", move |shared| keys.iter().map(|key| shared.read(key)).collect()).await
        })
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        Box::pin(async move {
            let deferred = writes.iter().all(|write| match write {
                Write::Put(_, _, options) => options.deferred,
                Write::Delete(_, options) => options.deferred,
            });
            let outcomes = self.offload("fs-apply", move |shared| shared.apply(&writes)).await?;
            self.acknowledge(deferred).await?;
            Ok(outcomes)
        })
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let namespace = namespace.cloned();
            self.offload("fs-clear", move |shared| shared.clear(namespace.as_ref())).await
        })
    }
}

impl Iterate for FsStore {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            if list.keys_only {
                return self.0.page(list, cursor);
            }
            let (list, cursor) = (list.clone(), cursor.cloned());
            self.offload("fs-list", move |shared| shared.page(&list, cursor.as_ref())).await
        })
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.0.check_open("count")?;
            Ok(self.0.index().usage(namespace).0)
        })
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.0.check_open("bytes")?;
            Ok(self.0.index().usage(namespace).1)
        })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        Box::pin(async move {
            self.0.check_open("namespaces")?;
            Ok(self.0.index().namespaces())
        })
    }
}
