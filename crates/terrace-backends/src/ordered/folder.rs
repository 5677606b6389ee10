//! An open folder: the engine, the lock that keeps others out, and what is kept in memory beside it.
//!
//! ```text
//! folder/terrace.lock   held while the store is open
//! folder/terrace.closed what the last clean close held, see `mark.rs`
//! folder/FILE           the engine's file or folder, see `Engine::FILE`, with three spaces
//!   entries, expiry     see `row.rs`
//!   meta   "format"             -> u32 BE: 1
//!          "sequence"           -> u64 BE: no version above it was ever used
//!          "clean"              -> what the last close counted; gone while the store is open
//!          "floor", namespace   -> version: u64 BE, wall ms from which it may be forgotten: u64 BE
//! ```
//!
//! Counters live in memory. A clean close writes them down; after anything else they are counted anew when the
//! folder is opened, by reading every row once.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use terrace_store::store::FLOOR_RETENTION;
use terrace_store::{Clock, Durability, Error, ErrorKind, Result, Version};

use super::engine::{Change, Engine, Space};
use super::mark::{self, Mark};
use super::recovery::recover_sequence;
use super::sequence::Sequence;
use super::stripes::Stripes;
use crate::spaces::Spaces;
use crate::watchers::Watchers;

/// The format of the folder that this release writes, and the newest it reads.
pub(super) const FORMAT: u32 = 1;

pub(super) const FORMAT_KEY: &[u8] = b"format";
pub(super) const SEQUENCE_KEY: &[u8] = b"sequence";
pub(super) const CLEAN_KEY: &[u8] = b"clean";
pub(super) const FLOOR_KEY: &[u8] = b"floor";

/// What the engines of this release keep in a folder, so that none is taken for empty by another.
const FILES: [(&str, &str); 4] =
    [("fjall", "fjall"), ("redb", "terrace.redb"), ("sled", "sled"), ("sqlite", "terrace.sqlite")];

/// How a store over an engine is set up, whichever the engine is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder; it is made if it is not there.
    pub path: PathBuf,
    /// When a write is acknowledged. [`Durability::Process`] is refused.
    pub durability: Durability,
    /// How many bytes all keys and records together may have; a put beyond it is `Full`.
    pub capacity: Option<u64>,
    /// From which length on a value is compressed by itself, where the put does not say.
    pub compress_from: Option<usize>,
}

impl Settings {
    /// Refuses what no store on disk can do.
    fn check(&self, engine: &str) -> Result<()> {
        let why = match self.durability {
            Durability::Process => "a store on disk has a durability of at least `never`",
            Durability::Interval(Duration::ZERO) => "an interval of zero is `always`; ask for that",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Config, "open").with("store", engine).because(why))
    }
}

/// How often something was met that cannot be read.
#[derive(Debug, Default)]
pub(super) struct Damage(AtomicU64);

impl Damage {
    /// Something was.
    pub(super) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An open folder.
pub(super) struct Folder<E> {
    pub(super) engine: E,
    pub(super) spaces: Spaces,
    pub(super) stripes: Stripes,
    /// What clears left: the floor of each namespace (the empty name: of all), and when it may be forgotten.
    pub(super) floors: Mutex<HashMap<Bytes, (Version, u64)>>,
    /// How many clears have left buried rows that their purge has yet to remove.
    pub(super) purges_due: AtomicUsize,
    pub(super) capacity: Option<u64>,
    pub(super) compress_from: Option<usize>,
    pub(super) sequence: Sequence,
    pub(super) damage: Damage,
    /// What an open found to be missing, in words.
    pub(super) loss: OnceLock<String>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) path: PathBuf,
    /// Wall time less monotonic time when the folder was opened, in milliseconds.
    origin_ms: u64,
    /// Declared last, so that it is released last.
    _lock: File,
}

impl<E: Engine> Folder<E> {
    /// Opens a folder, or makes it; `open` opens the engine's file or folder in it, or makes that.
    ///
    /// # Errors
    /// `Busy` if it is open already, `Config` if a newer release or another engine wrote it, `Corrupt` if it is
    /// damaged.
    pub(super) fn open(
        settings: &Settings,
        clock: &dyn Clock,
        open: impl FnOnce(&Path) -> Result<E>,
    ) -> Result<Self> {
        settings.check(E::NAME)?;
        let path = &settings.path;
        let opening = |error| opening(E::NAME, path, error);
        std::fs::create_dir_all(path).map_err(|source| opening(source.into()))?;
        check_foreign::<E>(path)?;
        let lock = lock(E::NAME, path)?;
        // Before the engine touches its journal: what it cannot read there, it may cut off.
        let found = mark::read(path).map_err(opening)?;
        let file = path.join(E::FILE);
        // A damaged folder may trip an assertion in the engine; that must not take the process down.
        let engine = catch_unwind(AssertUnwindSafe(|| open(&file)))
            .unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Corrupt, "open").because("the engine cannot read its own files"))
            })
            .map_err(opening)?;
        let folder = Self {
            sequence: recover_sequence(&engine).map_err(opening)?,
            engine,
            spaces: Spaces::default(),
            stripes: Stripes::default(),
            floors: Mutex::default(),
            purges_due: AtomicUsize::new(0),
            capacity: settings.capacity,
            compress_from: settings.compress_from,
            damage: Damage::default(),
            loss: OnceLock::new(),
            watchers: Arc::default(),
            path: path.clone(),
            origin_ms: clock.wall_ms().saturating_sub(clock.now_ms()),
            _lock: lock,
        };
        folder.recover(found).map_err(opening)?;
        Ok(folder)
    }

    /// Writes the counters down, syncs, and lets go of the folder.
    pub(super) fn shut(self) -> Result<()> {
        let mut mark = None;
        if self.purges_due.load(Ordering::Acquire) == 0 {
            let mut clean = BytesMut::new();
            let mut entries = 0;
            for (prefix, amount) in self.spaces.amounts() {
                entries += amount.count;
                clean.put_u8((prefix.len() - 1) as u8);
                clean.put_slice(&prefix);
                clean.put_u64(amount.count);
                clean.put_u64(amount.bytes);
                clean.put_u64(amount.stored);
            }
            let last = self.sequence.last();
            let meta = |key: &'static [u8], value| Change::Put(Space::Meta, Bytes::from_static(key), value);
            let sequence = Bytes::copy_from_slice(&last.to_be_bytes());
            self.engine
                .write("close", vec![meta(CLEAN_KEY, clean.freeze()), meta(SEQUENCE_KEY, sequence)])?;
            mark = Some(Mark { highest: Version(last), entries });
        }
        self.engine.close("close")?;
        // A close that leaves no mark is a good close all the same.
        let _ = mark.map(|mark| mark::write(&self.path, mark));
        Ok(())
    }

    /// The next version. To be drawn while the stripe of the key is locked.
    pub(super) fn next_version(&self) -> Result<Version> {
        self.sequence.next(|bound| self.reserve_versions(bound))
    }

    /// Lets all later versions be above this one.
    pub(super) fn raise_version(&self, version: Version) -> Result<()> {
        self.sequence.raise(version, |bound| self.reserve_versions(bound))
    }

    fn reserve_versions(&self, bound: u64) -> Result<()> {
        self.meta_put("put", SEQUENCE_KEY, &bound.to_be_bytes())?;
        self.engine.sync("put")
    }

    /// The wall time before which floors may be forgotten. It runs no faster than monotonic time while the
    /// folder is open, so a wall clock that jumps ahead forgets nothing too early.
    pub(super) fn floor_now(&self, clock: &dyn Clock) -> u64 {
        clock.wall_ms().min(self.origin_ms + clock.now_ms())
    }

    /// The wall time from which a floor left now may be forgotten.
    pub(super) fn floor_deadline(&self, clock: &dyn Clock) -> u64 {
        let now = clock.wall_ms().max(self.origin_ms + clock.now_ms());
        now.saturating_add(u64::try_from(FLOOR_RETENTION.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn floors(&self) -> MutexGuard<'_, HashMap<Bytes, (Version, u64)>> {
        self.floors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down the floor of a namespace.
    pub(super) fn put_floor(&self, prefix: &[u8], floor: Version, deadline_ms: u64) -> Result<()> {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&floor.0.to_be_bytes());
        value[8..].copy_from_slice(&deadline_ms.to_be_bytes());
        self.meta_put("clear", &[FLOOR_KEY, prefix].concat(), &value)
    }

    /// Forgets the floor of a namespace.
    pub(super) fn remove_floor(&self, prefix: &[u8]) -> Result<()> {
        self.meta_remove("sweep", &[FLOOR_KEY, prefix].concat())
    }

    pub(super) fn meta_get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.engine.get("open", Space::Meta, key)
    }

    pub(super) fn meta_put(&self, operation: &'static str, key: &[u8], value: &[u8]) -> Result<()> {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        self.engine.write(operation, vec![Change::Put(Space::Meta, key, value)])
    }

    pub(super) fn meta_remove(&self, operation: &'static str, key: &[u8]) -> Result<()> {
        self.engine.write(operation, vec![Change::Remove(Space::Meta, Bytes::copy_from_slice(key))])
    }
}

/// Refuses a folder in which another engine keeps a store.
fn check_foreign<E: Engine>(path: &Path) -> Result<()> {
    let is_there = |name: &str| path.join(name).exists();
    let refused = |why: &str| Err(opening(E::NAME, path, Error::new(ErrorKind::Config, "open").because(why)));
    if is_there("terrace-disk") {
        return refused("it holds a log: open it as `disk`");
    }
    if is_there("fjall.migrated") || (is_there("migration") && !is_there("fjall")) {
        return refused("its migration to a log did not end: run `terrace disk migrate` again");
    }
    if is_there(E::FILE) {
        return Ok(());
    }
    match FILES.into_iter().find(|(_, file)| path.join(file).exists()) {
        None => Ok(()),
        Some((other, file)) => Err(Error::new(ErrorKind::Config, "open")
            .with("store", E::NAME)
            .with("folder", path.display())
            .because(format!(
                "the folder holds a store of `{other}`, in `{file}`: open it with `{other}:`, or choose another folder"
            ))),
    }
}

/// How often a folder that is locked is tried, and how long is waited in between: a process that this one has just
/// started holds the lock of a store that was closed meanwhile, until it is a program of its own.
const ATTEMPTS: (usize, Duration) = (20, Duration::from_millis(50));

fn lock(store: &'static str, path: &Path) -> Result<File> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("terrace.lock"))
        .map_err(|source| opening(store, path, source.into()))?;
    let mut tried = lock.try_lock();
    for _ in 1..ATTEMPTS.0 {
        if !matches!(tried, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(ATTEMPTS.1);
        tried = lock.try_lock();
    }
    match tried {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::new(ErrorKind::Busy, "open")
            .with("store", store)
            .with("folder", path.display())
            .transient(false)
            .because("another store has this folder open; close it, or choose another folder")),
        Err(TryLockError::Error(source)) => Err(opening(store, path, source.into())),
    }
}

fn opening(store: &'static str, path: &Path, cause: Error) -> Error {
    Error::new(cause.kind(), "open")
        .transient(cause.is_transient())
        .with("store", store)
        .with("folder", path.display())
        .because("the folder cannot be opened")
        .caused_by(cause)
}
