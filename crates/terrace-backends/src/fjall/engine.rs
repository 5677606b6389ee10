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
use bytes::{Buf, BufMut, Bytes, BytesMut};
use terrace_store::store::FLOOR_RETENTION;
use terrace_store::{Clock, Error, ErrorKind, Result, Version};

use super::NAME;
use super::config::FjallConfig;
use super::error::translate;
use super::mark::{self, Found, Mark};
use super::row;
use super::rows::Rows;
use super::sequence::{BLOCK, Sequence};
use super::stripes::Stripes;
use super::write::Prior;
use crate::spaces::{Amount, Spaces};

/// The format of the folder that this release writes, and the newest it reads.
const FORMAT: u32 = 1;

const FORMAT_KEY: &[u8] = b"format";
const SEQUENCE_KEY: &[u8] = b"sequence";
const CLEAN_KEY: &[u8] = b"clean";
const FLOOR_KEY: &[u8] = b"floor";

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
    sequence: Sequence,
    damaged: AtomicU64,
    /// What an open found to be missing, in words.
    loss: OnceLock<String>,
    journal: Mutex<Option<(u64, File)>>,
    /// The folder, and fjall's in it.
    outer: PathBuf,
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

    /// Checks the format, and restores or counts anew what is kept in memory.
    fn recover(&self, found: Found) -> Result<()> {
        let format = self.meta_get(FORMAT_KEY)?;
        format.as_deref().map_or(Ok(()), check_format)?;
        self.recover_floors()?;
        let clean = self.meta_get(CLEAN_KEY)?;
        match clean.clone().map(read_counters).transpose()? {
            Some(counters) if found.mark().is_none_or(|mark| self.was_closed_so(mark, &counters)) => {
                counters.into_iter().for_each(|(prefix, amount)| self.spaces.restore(prefix, amount));
            }
            _ => {
                let highest = self.recount()?;
                self.compare(found, highest)?;
            }
        }
        if found == Found::Unreadable {
            self.note_loss(
                "the mark that its last close left is damaged, so it is not known whether \
                            anything else is; nothing was found to be missing"
                    .into(),
            );
        }
        mark::remove(&self.outer)?;
        if format.is_none() {
            self.meta_put(FORMAT_KEY, &FORMAT.to_be_bytes())?;
        }
        if clean.is_some() {
            self.meta.remove(CLEAN_KEY).map_err(|source| translate("open", source))?;
        }
        self.sync()
    }

    /// Whether the database stands as this mark says.
    fn was_closed_so(&self, mark: Mark, counters: &[(Bytes, Amount)]) -> bool {
        let entries: u64 = counters.iter().map(|(_, amount)| amount.count).sum();
        mark.entries == entries && mark.highest.0 == self.sequence.last()
    }

    /// Compares what was counted, and the highest version met, with what the last close left.
    fn compare(&self, found: Found, highest: Version) -> Result<()> {
        let Some(mark) = found.mark() else {
            // Without a bound the journal that held it was taken away, and with it what used versions below it.
            let lost = if self.sequence.last() == 0 && highest.0 != 0 { BLOCK } else { 0 };
            return self.raise_version(Version(highest.0.saturating_add(lost)));
        };
        // The bound may have been lost as well, and no version is used twice.
        self.raise_version(highest.max(mark.highest))?;
        let entries: u64 = self.spaces.amounts().iter().map(|(_, amount)| amount.count).sum();
        // What is ahead of the mark was written since, by a release that knew no marks.
        let ahead = highest > mark.highest;
        if !ahead && (highest, entries) != (mark.highest, mark.entries) {
            self.note_loss(format!(
                "{} is behind its last clean close, so a file in it was cut or changed since: it ends at version \
                 {highest}, {} versions before the last, and has {entries} entries of {}; what is missing is \
                 in a copy of the folder, if there is one",
                self.outer.display(),
                mark.highest.0 - highest.0,
                mark.entries
            ));
        }
        Ok(())
    }

    fn note_loss(&self, words: String) {
        self.note_damage();
        let _ = self.loss.set(words);
    }

    /// What was missing when the folder was opened, in words.
    pub(super) fn loss(&self) -> Option<&str> {
        self.loss.get().map(String::as_str)
    }

    fn recover_floors(&self) -> Result<()> {
        for row in self.meta.prefix(FLOOR_KEY) {
            let (key, value) = row.into_inner().map_err(|source| translate("open", source))?;
            let prefix = Bytes::copy_from_slice(&key[FLOOR_KEY.len()..]);
            let mut value = &value[..];
            if value.len() != 16 {
                return Err(Error::new(ErrorKind::Corrupt, "open").because("a namespace's floor is damaged"));
            }
            let (floor, deadline) = (Version(value.get_u64()), value.get_u64());
            self.spaces.raise_floor(&prefix, floor);
            self.floors().insert(prefix, (floor, deadline));
        }
        Ok(())
    }

    /// Counts every row, removes those that a clear had buried, and returns the highest version it met.
    fn recount(&self) -> Result<Version> {
        let mut amounts: HashMap<Bytes, Amount> = HashMap::new();
        let mut highest = self.floors().values().map(|(floor, _)| *floor).max().unwrap_or(Version::ZERO);
        let mut buried = false;
        let mut rows = Rows::new(self, None, &[]);
        while let Some((row, value)) = rows.next("open")? {
            let Ok((key, _)) = row::parts(&row, &value) else {
                self.note_damage();
                continue;
            };
            let prior = Prior::weigh(self, &key, &row, value)?;
            buried |= prior.buried;
            highest = highest.max(prior.summary.map_or(Version::ZERO, |summary| summary.version));
            if prior.amount.count != 0 {
                let prefix = key.flat_bytes().slice(..1 + key.namespace_name().len());
                let amount = amounts.entry(prefix).or_default();
                amount.count += prior.amount.count;
                amount.bytes += prior.amount.bytes;
                amount.stored += prior.amount.stored;
            }
        }
        for (prefix, amount) in amounts {
            self.spaces.restore(Bytes::copy_from_slice(&prefix), amount);
        }
        if buried {
            match self.purge(&[]) {
                Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
                // The floors stay, so nobody sees what could not be removed; the next open tries again.
                Err(_) => drop(self.purges_due.fetch_add(1, Ordering::AcqRel)),
                Ok(()) => {}
            }
        }
        Ok(highest)
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

    fn meta_get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.meta.get(key).map_err(|source| translate("open", source))?;
        Ok(value.map(Bytes::from))
    }

    fn meta_put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.meta.insert(key, value).map_err(|source| translate("put", source))
    }
}

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
    open().map_err(|source| {
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

fn check_format(bytes: &[u8]) -> Result<()> {
    match bytes.try_into().map(u32::from_be_bytes) {
        Ok(FORMAT) => Ok(()),
        Ok(newer) if newer > FORMAT => Err(Error::new(ErrorKind::Config, "open").because(format!(
            "a newer release wrote it, in format {newer}; this release reads up to format {FORMAT}: use the newer one"
        ))),
        _ => Err(Error::new(ErrorKind::Corrupt, "open").because("its format marker is damaged")),
    }
}

/// The counter as it stands on disk: where the last close left it, or at the bound that was reserved.
fn recover_sequence(meta: &Keyspace) -> Result<Sequence> {
    let bound = match meta.get(SEQUENCE_KEY).map_err(|source| translate("open", source))? {
        None => 0,
        Some(bytes) => row::number(&bytes).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "open").because("its version counter is damaged")
        })?,
    };
    Ok(Sequence::new(bound, bound))
}

fn read_counters(mut clean: Bytes) -> Result<Vec<(Bytes, Amount)>> {
    let mut counters = Vec::new();
    while clean.has_remaining() {
        let length = usize::from(clean.get_u8()) + 1;
        if clean.remaining() < length + 24 {
            return Err(Error::new(ErrorKind::Corrupt, "open")
                .because("the counters that the last close wrote are damaged"));
        }
        let prefix = Bytes::copy_from_slice(&clean.split_to(length));
        let amount = Amount { count: clean.get_u64(), bytes: clean.get_u64(), stored: clean.get_u64() };
        counters.push((prefix, amount));
    }
    Ok(counters)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_as_they_were_written_and_damage_is_noticed() {
        let mut clean = BytesMut::new();
        clean.put_slice(b"\x02\x02ab");
        for number in [1_u64, 2, 3] {
            clean.put_u64(number);
        }
        let expected = (Bytes::from_static(b"\x02ab"), Amount { count: 1, bytes: 2, stored: 3 });
        let clean = clean.freeze();
        let cut = read_counters(clean.slice(..clean.len() - 1));
        assert_eq!(cut.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read_counters(clean).unwrap(), [expected]);
    }

    #[test]
    fn a_newer_format_is_refused_in_words() {
        let error = check_format(&7_u32.to_be_bytes()).unwrap_err();
        assert!(error.to_string().contains("format 7"), "{error}");
        assert_eq!(check_format(b"x").unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
