//! An open folder: fjall's database, the lock that keeps others out, and what is kept in memory beside it.
//!
//! ```text
//! folder/terrace.lock   held while the store is open
//! folder/terrace.closed what the last clean close held, see `mark.rs`
//! folder/fjall/         the database, with three keyspaces
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
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use bytes::{BufMut, Bytes, BytesMut};
use terrace_store::store::FLOOR_RETENTION;
use terrace_store::{Clock, Error, ErrorKind, Result, Version};

use super::NAME;
use super::config::FjallConfig;
use super::error::translate;
use super::mark::{self, Mark};
use super::recovery::recover_sequence;
use super::sequence::Sequence;
use super::stripes::Stripes;
use crate::spaces::Spaces;

/// The format of the folder that this release writes, and the newest it reads.
pub(super) const FORMAT: u32 = 1;

pub(super) const FORMAT_KEY: &[u8] = b"format";
pub(super) const SEQUENCE_KEY: &[u8] = b"sequence";
pub(super) const CLEAN_KEY: &[u8] = b"clean";
pub(super) const FLOOR_KEY: &[u8] = b"floor";

/// An open folder.
pub(super) struct Engine {
    pub(super) entries: Keyspace,
    pub(super) expiry: Keyspace,
    pub(super) meta: Keyspace,
    pub(super) db: Database,
    pub(super) spaces: Spaces,
    pub(super) stripes: Stripes,
    /// What clears left: the floor of each namespace (the empty name: of all), and when it may be forgotten.
    pub(super) floors: Mutex<HashMap<Bytes, (Version, u64)>>,
    /// How many clears have left buried rows that their purge has yet to remove.
    pub(super) purges_due: AtomicUsize,
    pub(super) capacity: Option<u64>,
    pub(super) compress_from: Option<usize>,
    pub(super) sequence: Sequence,
    damaged: AtomicU64,
    /// What an open found to be missing, in words.
    pub(super) loss: OnceLock<String>,
    journal: Mutex<Option<(u64, File)>>,
    /// The folder, and fjall's in it.
    pub(super) outer: PathBuf,
    folder: PathBuf,
    /// Wall time less monotonic time when the folder was opened, in milliseconds.
    origin_ms: u64,
    /// Declared last, so that it is released last.
    _lock: File,
}

impl Engine {
    /// Opens a folder, or makes it.
    ///
    /// # Errors
    /// `Busy` if it is open already, `Config` if a newer release wrote it, `Corrupt` if it is damaged.
    pub(super) fn open(config: &FjallConfig, clock: &dyn Clock) -> Result<Self> {
        config.check()?;
        std::fs::create_dir_all(&config.path).map_err(|source| opening(&config.path, source.into()))?;
        refuse_later(&config.path)?;
        let lock = lock(&config.path)?;
        // Before fjall touches its journal: what it cannot read there, it cuts off.
        let found = mark::read(&config.path).map_err(|error| opening(&config.path, error))?;
        let folder = config.path.join("fjall");
        // A damaged folder may trip an assertion in the engine; that must not take the process down.
        let opened = catch_unwind(AssertUnwindSafe(|| open_database(config, &folder)));
        let (db, [entries, expiry, meta]) = opened
            .unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Corrupt, "open").because("the engine cannot read its own files"))
            })
            .map_err(|error| opening(&config.path, error))?;
        let engine = Self {
            entries,
            expiry,
            sequence: recover_sequence(&meta)?,
            meta,
            db,
            spaces: Spaces::default(),
            stripes: Stripes::default(),
            floors: Mutex::default(),
            purges_due: AtomicUsize::new(0),
            capacity: config.capacity,
            compress_from: config.compress_from,
            damaged: AtomicU64::new(0),
            loss: OnceLock::new(),
            journal: Mutex::default(),
            outer: config.path.clone(),
            folder,
            origin_ms: clock.wall_ms().saturating_sub(clock.now_ms()),
            _lock: lock,
        };
        engine.recover(found).map_err(|error| opening(&config.path, error))?;
        Ok(engine)
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
            let mut batch = self.db.batch();
            batch.insert(&self.meta, CLEAN_KEY, clean.freeze());
            batch.insert(&self.meta, SEQUENCE_KEY, self.sequence.last().to_be_bytes());
            batch.commit().map_err(|source| translate("close", source))?;
            mark = Some(Mark { highest: Version(self.sequence.last()), entries });
        }
        self.db.persist(PersistMode::SyncAll).map_err(|source| translate("close", source))?;
        // A close that leaves no mark is a good close all the same.
        let _ = mark.map(|mark| mark::write(&self.outer, mark));
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
        self.meta_put(SEQUENCE_KEY, &bound.to_be_bytes())?;
        self.sync()
    }

    /// Hands what is buffered to the operating system.
    pub(super) fn hand_over(&self) -> Result<()> {
        self.db.persist(PersistMode::Buffer).map_err(|source| translate("commit", source))
    }

    /// Hands over, and waits until the disk has it.
    ///
    /// fjall would hold its journal locked meanwhile, and every writer with it, so the journal is synced through
    /// a file of our own. That covers the same writes: before fjall begins a new journal it syncs the old one,
    /// so whatever was handed over is in the newest journal or on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        self.hand_over()?;
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(newest) = newest_journal(&self.folder)? else {
            return self.db.persist(PersistMode::SyncAll).map_err(|source| translate("commit", source));
        };
        if journal.as_ref().is_none_or(|(open, _)| *open != newest) {
            match File::open(self.folder.join(format!("{newest}.jnl"))) {
                Ok(file) => *journal = Some((newest, file)),
                // It was replaced just now, and synced before.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        match &*journal {
            Some((_, file)) => file.sync_data().map_err(Error::from),
            None => Ok(()),
        }
    }

    /// A record was met that cannot be read.
    pub(super) fn note_damage(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a record was met that could not be read.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
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
        self.meta_put(&[FLOOR_KEY, prefix].concat(), &value)
    }

    /// Forgets the floor of a namespace.
    pub(super) fn remove_floor(&self, prefix: &[u8]) -> Result<()> {
        let key = [FLOOR_KEY, prefix].concat();
        self.meta.remove(key).map_err(|source| translate("sweep", source))
    }

    pub(super) fn meta_get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.meta.get(key).map_err(|source| translate("open", source))?;
        Ok(value.map(Bytes::from))
    }

    pub(super) fn meta_put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.meta.insert(key, value).map_err(|source| translate("put", source))
    }
}

/// How often a folder that is locked is tried, a fifth of a second each: threads of a database that was just closed
/// may still be letting go of it.
const ATTEMPTS: usize = 5;

fn open_database(config: &FjallConfig, folder: &Path) -> Result<(Database, [Keyspace; 3])> {
    let open = || {
        let db = Database::builder(folder)
            .cache_size(config.cache_bytes)
            // Large values are not compressed while the writer waits; blocks are, when they are written.
            .journal_compression(::fjall::CompressionType::None)
            .manual_journal_persist(true)
            .open()?;
        let options = || {
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(config.memtable_bytes)
        };
        let keyspaces = [
            db.keyspace("entries", options)?,
            db.keyspace("expiry", options)?,
            db.keyspace("meta", options)?,
        ];
        Ok((db, keyspaces))
    };
    let mut opened = open();
    for _ in 1..ATTEMPTS {
        if !matches!(opened, Err(::fjall::Error::Locked)) {
            break;
        }
        opened = open();
    }
    opened.map_err(|source| {
        let in_journal = matches!(source, ::fjall::Error::JournalRecovery(_));
        let error = translate("open", source);
        if in_journal { error.because(journal_advice(folder)) } else { error }
    })
}

/// What to do about a journal that cannot be read, and what that costs.
fn journal_advice(folder: &Path) -> String {
    let mut journals: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .map(|path| path.display().to_string())
        .collect();
    journals.sort();
    format!(
        "the journal is damaged before its end ({}): restore the folder from a copy, or move the journal away and \
         open the folder again, which keeps what is in sorted files and loses every write that is in the journal \
         alone",
        journals.join(", ")
    )
}

/// Nothing is made beside a log, or in the midst of a migration to one: see `disk/migrate.rs`.
fn refuse_later(path: &Path) -> Result<()> {
    let is_there = |name: &str| path.join(name).exists();
    let why = if is_there("terrace-disk") {
        "it holds a log: open it as `disk`"
    } else if is_there("fjall.migrated") || (is_there("migration") && !is_there("fjall")) {
        "its migration to a log did not end: run `terrace disk migrate` again"
    } else {
        return Ok(());
    };
    Err(opening(path, Error::new(ErrorKind::Config, "open").because(why)))
}

fn lock(path: &Path) -> Result<File> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("terrace.lock"))
        .map_err(|source| opening(path, source.into()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::new(ErrorKind::Busy, "open")
            .with("store", NAME)
            .with("folder", path.display())
            .transient(false)
            .because("another store has this folder open; close it, or choose another folder")),
        Err(TryLockError::Error(source)) => Err(opening(path, source.into())),
    }
}

fn opening(path: &Path, cause: Error) -> Error {
    Error::new(cause.kind(), "open")
        .transient(cause.is_transient())
        .with("store", NAME)
        .with("folder", path.display())
        .because("the folder cannot be opened")
        .caused_by(cause)
}

/// The number of the journal that fjall writes to.
fn newest_journal(folder: &Path) -> Result<Option<u64>> {
    let mut newest = None;
    for file in std::fs::read_dir(folder)? {
        let name = file?.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_suffix(".jnl")).and_then(|name| name.parse().ok());
        newest = newest.max(number);
    }
    Ok(newest)
}
