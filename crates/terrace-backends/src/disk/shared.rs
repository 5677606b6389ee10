//! What the store, its tasks and its snapshots share.

use std::cell::RefCell;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use terrace_disk::io::OsIo;
use terrace_disk::{Delete, Disk, Entry as Stored, Health as DiskHealth, Put};
use terrace_store::spawn::offload;
use terrace_store::store::FLOOR_RETENTION;
use terrace_store::{
    BoxFuture, Clock, Compress, Condition, DeleteOptions, Deleted, Durability, Entry, Error, ErrorKind,
    Health, Key, PutOptions, Result, Spawn, Swept, Tasks, Version, Written,
};

use super::config::DiskConfig;
use super::error::translate;
use super::groups::Groups;
use super::{NAME, meta};
use crate::progress::{Journal, Progress, synced, unknown};
use crate::watchers::Watchers;

/// What is shared.
pub(super) struct Shared {
    pub(super) disk: Disk,
    pub(super) groups: Groups,
    pub(super) watchers: Arc<Watchers>,
    pub(super) progress: Arc<Progress>,
    pub(super) durability: Durability,
    pub(super) compaction_bytes_per_second: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
    /// Wall time at the clock's zero, so that floors do not go by a wall clock that jumps.
    origin_ms: u64,
    /// What was found when it was opened, if it was not sound.
    found: Option<String>,
    closed: AtomicBool,
}

impl Journal for Shared {
    fn hand_over(&self) -> Result<()> {
        self.disk.flush().map_err(|error| translate("commit", error))
    }

    fn sync(&self) -> Result<()> {
        self.disk.sync().map_err(|error| translate("commit", error))
    }
}

thread_local! {
    static META: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Shared {
    pub(super) fn open(
        config: &DiskConfig,
        clock: Arc<dyn Clock>,
        spawn: Arc<dyn Spawn>,
    ) -> Result<Arc<Self>> {
        let engine = config.engine()?;
        let (now_ms, wall_ms) = (clock.now_ms(), clock.wall_ms());
        let folder = OsIo::new(&config.path).map_err(|source| {
            Error::from(source).with("store", NAME).with("folder", config.path.display())
        })?;
        super::migrate::refuse_earlier(&config.path)?;
        let folder = Arc::new(folder);
        let opened = match &config.keys {
            None => Disk::open(folder, engine, wall_ms),
            Some(keys) => Disk::open_encrypted(folder, engine, Arc::clone(keys), wall_ms),
        };
        let (disk, report) =
            opened.map_err(|error| translate("open", error).with("folder", config.path.display()))?;
        let groups = Groups::read(&disk, wall_ms)?;
        let shared = Self {
            disk,
            groups,
            watchers: Arc::default(),
            progress: Arc::default(),
            durability: config.durability,
            compaction_bytes_per_second: config.compaction_bytes_per_second,
            clock,
            tasks: Tasks::new(spawn),
            origin_ms: wall_ms.saturating_sub(now_ms),
            found: (!report.is_sound()).then(|| format!("{}: {report}", config.path.display())),
            closed: AtomicBool::new(false),
        };
        shared.hold_floors();
        Ok(Arc::new(shared))
    }

    pub(super) fn check_open(&self, operation: &'static str) -> Result<()> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::new(ErrorKind::Closed, operation).with("store", NAME)),
            false => Ok(()),
        }
    }

    /// The wall time from which a floor left now may be forgotten.
    pub(super) fn floor_deadline_ms(&self) -> u64 {
        let now = self.clock.wall_ms().max(self.origin_ms + self.clock.now_ms());
        now.saturating_add(u64::try_from(FLOOR_RETENTION.as_millis()).unwrap_or(u64::MAX))
    }

    /// No floor goes because the wall clock went ahead of time.
    pub(super) fn hold_floors(&self) {
        self.disk.hold_floors(self.clock.wall_ms().min(self.origin_ms + self.clock.now_ms()));
    }

    pub(super) fn read(&self, key: &Key) -> Result<Option<Entry>> {
        let found =
            self.disk.get(key.flat(), self.clock.wall_ms()).map_err(|error| translate("get", error))?;
        found.map(|stored| entry_of("get", stored)).transpose()
    }

    /// The number under which a key's namespace is counted.
    pub(super) fn group(&self, key: &Key, now_ms: u64) -> Result<u32> {
        self.groups.number(&self.disk, &key.flat()[..1 + key.namespace_name().len()], now_ms)
    }

    pub(super) fn put(&self, key: &Key, entry: &Entry, options: PutOptions) -> Result<Written> {
        options.validate(entry)?;
        let now = self.clock.wall_ms();
        let group = self.group(key, now)?;
        let written = META.with_borrow_mut(|meta| {
            meta.clear();
            meta::append(entry, meta);
            let put = put_of(entry, meta, group, options);
            self.disk.put(key.flat(), &put, now).map_err(|error| translate("put", error))
        })?;
        self.progress.wrote();
        self.written(written)
    }

    /// What became of a put, in the contract's words.
    pub(super) fn written(&self, written: terrace_disk::Written) -> Result<Written> {
        Ok(match written {
            terrace_disk::Written::Stored { version, replaced } => {
                Written::Stored { version: Version(version), replaced }
            }
            terrace_disk::Written::Conflict { current } => {
                Written::Conflict { current: current.map(Version) }
            }
            // A cache may evict at any time, also at once.
            terrace_disk::Written::NotAdmitted => {
                let version =
                    self.disk.reserve(self.clock.wall_ms()).map_err(|error| translate("put", error))?;
                Written::Stored { version: Version(version), replaced: false }
            }
        })
    }

    pub(super) fn delete(&self, key: &Key, options: DeleteOptions) -> Result<Deleted> {
        options.validate()?;
        let now = self.clock.wall_ms();
        let group = self.group(key, now)?;
        let delete = delete_of(group, options, self.floor_deadline_ms());
        let deleted =
            self.disk.delete(key.flat(), &delete, now).map_err(|error| translate("delete", error))?;
        self.progress.wrote();
        Ok(deleted_of(deleted))
    }

    pub(super) fn sweep(&self, limit: usize) -> Result<Swept> {
        self.hold_floors();
        let swept =
            self.disk.sweep(limit, self.clock.wall_ms()).map_err(|error| translate("sweep", error))?;
        Ok(Swept { expired: swept.expired, floors: swept.floors, more: swept.more })
    }

    pub(super) fn offload<'a, T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> BoxFuture<'a, T> {
        let spawn = Arc::clone(self.tasks.runtime());
        Box::pin(async move { offload(&*spawn, name, work).await })
    }

    /// Gives deferred writes the durability the store was opened with.
    pub(super) fn commit(self: &Arc<Self>) -> BoxFuture<'_, Result<()>> {
        let failed = self.progress.failure().map_or(Ok(()), |failure| Err(unknown(failure)));
        match self.check_open("commit").and(failed) {
            Ok(()) => self.acknowledge(()),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn acknowledge<'a, T: Send + 'a>(self: &Arc<Self>, done: T) -> BoxFuture<'a, Result<T>> {
        let gather = match self.durability {
            Durability::Group(gather) => gather,
            Durability::Always => Duration::ZERO,
            Durability::Process | Durability::Never | Durability::Interval(_) => {
                let outcome = self.progress.hand_over(&**self);
                return Box::pin(ready(outcome.map_err(unknown).map(|()| done)));
            }
        };
        let shared = Arc::clone(self);
        Box::pin(async move {
            synced(&shared.progress, &shared, &shared.tasks, &shared.clock, gather).await?;
            Ok(done)
        })
    }

    /// What a write returns: at once if the caller commits later, else when it has its durability.
    pub(super) fn finish<'a, T: Send + 'a>(
        self: &Arc<Self>,
        done: Result<T>,
        deferred: bool,
    ) -> BoxFuture<'a, Result<T>> {
        match done {
            Ok(done) if !deferred => self.acknowledge(done),
            done => Box::pin(ready(done)),
        }
    }

    pub(super) fn health(&self) -> Health {
        if self.closed.load(Ordering::Acquire) {
            return Health::Down("it was closed".into());
        }
        if let Some(failure) = self.progress.failure() {
            return Health::Down(format!(
                "it takes no writes until it is opened again, since one could not be finished: {failure}"
            ));
        }
        match (self.disk.health(), &self.found) {
            (DiskHealth::Down(why), _) => Health::Down(why),
            (_, Some(found)) => Health::Degraded(found.clone()),
            (DiskHealth::Degraded(why), None) => Health::Degraded(why),
            (DiskHealth::Up, None) => Health::Up,
        }
    }

    /// Writes everything down and lets go of the folder.
    pub(super) fn shut(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let outcome = self.disk.close().map_err(|error| translate("close", error));
        self.progress.settle(u64::MAX, outcome.clone());
        self.watchers.close();
        outcome
    }
}

impl Drop for Shared {
    /// As a close, as far as it can be done without waiting.
    fn drop(&mut self) {
        let _ = self.shut();
    }
}

/// The contract's entry.
pub(super) fn entry_of(operation: &'static str, stored: Stored) -> Result<Entry> {
    let Stored { found, meta, value } = stored;
    meta::entry(&meta, value, Version(found.version), found.expires_ms).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, operation)
            .with("store", NAME)
            .because("what is kept beside the value was not written by this store")
    })
}

pub(super) fn put_of<'a>(entry: &'a Entry, meta: &'a [u8], group: u32, options: PutOptions) -> Put<'a> {
    Put {
        value: &entry.value,
        meta,
        group,
        expires_ms: entry.deadline_ms(),
        condition: condition_of(options.condition),
        compress: match options.compress {
            Compress::Default => terrace_disk::Compress::Default,
            Compress::Never => terrace_disk::Compress::Never,
            Compress::Always => terrace_disk::Compress::Always,
        },
        // Its durability is this store's to wait for, without blocking.
        deferred: true,
    }
}

pub(super) fn delete_of(group: u32, options: DeleteOptions, floor_deadline_ms: u64) -> Delete {
    Delete { group, condition: condition_of(options.condition), floor_deadline_ms, deferred: true }
}

pub(super) fn deleted_of(deleted: terrace_disk::Deleted) -> Deleted {
    match deleted {
        terrace_disk::Deleted::Done { version, existed } => {
            Deleted::Done { version: Version(version), existed }
        }
        terrace_disk::Deleted::Conflict { current } => Deleted::Conflict { current: current.map(Version) },
    }
}

fn condition_of(condition: Condition) -> terrace_disk::Condition {
    match condition {
        Condition::Any => terrace_disk::Condition::Any,
        Condition::Absent => terrace_disk::Condition::Absent,
        Condition::Match(version) => terrace_disk::Condition::Match(version.0),
        Condition::Newer(version) => terrace_disk::Condition::Newer(version.0),
    }
}
