//! What the store asks of fjall.

use std::fs::File;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use bytes::Bytes;
use terrace_store::{Error, Result};

use super::config::FjallConfig;
use super::error::{ends_writing, translate};
use crate::ordered::{Change, Engine, Read, Space};

/// fjall's database in a folder.
pub struct Fjall {
    spaces: Keyspaces,
    db: Database,
    journal: Mutex<Option<(u64, File)>>,
    folder: PathBuf,
}

#[derive(Clone)]
struct Keyspaces {
    entries: Keyspace,
    expiry: Keyspace,
    meta: Keyspace,
}

impl Keyspaces {
    fn of(&self, space: Space) -> &Keyspace {
        match space {
            Space::Entries => &self.entries,
            Space::Expiry => &self.expiry,
            Space::Meta => &self.meta,
        }
    }
}

/// The rows as they were. It keeps old ones from being compacted away while it lives.
pub struct FjallView {
    spaces: Keyspaces,
    snapshot: Snapshot,
}

/// Rows in order.
pub struct FjallRows {
    iter: ::fjall::Iter,
    operation: &'static str,
}

impl Iterator for FjallRows {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.iter.next()?.into_inner() {
            Ok((row, value)) => Some(Ok((row.into(), value.into()))),
            Err(source) => Some(Err(translate(self.operation, source))),
        }
    }
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

fn bounds<'a>(from: &'a [u8], before: Option<&'a [u8]>) -> Bounds<'a> {
    (Bound::Included(from), before.map_or(Bound::Unbounded, Bound::Excluded))
}

impl Read for Fjall {
    type Rows = FjallRows;

    fn get(&self, operation: &'static str, space: Space, row: &[u8]) -> Result<Option<Bytes>> {
        let value = self.spaces.of(space).get(row).map_err(|source| translate(operation, source))?;
        Ok(value.map(Bytes::from))
    }

    fn range(&self, operation: &'static str, space: Space, from: &[u8], before: Option<&[u8]>) -> FjallRows {
        FjallRows { iter: self.spaces.of(space).range::<&[u8], _>(bounds(from, before)), operation }
    }
}

impl Read for FjallView {
    type Rows = FjallRows;

    fn get(&self, operation: &'static str, space: Space, row: &[u8]) -> Result<Option<Bytes>> {
        let value = self.snapshot.get(self.spaces.of(space), row);
        Ok(value.map_err(|source| translate(operation, source))?.map(Bytes::from))
    }

    fn range(&self, operation: &'static str, space: Space, from: &[u8], before: Option<&[u8]>) -> FjallRows {
        let iter = self.snapshot.range::<&[u8], _>(self.spaces.of(space), bounds(from, before));
        FjallRows { iter, operation }
    }
}

impl Engine for Fjall {
    type View = FjallView;

    const NAME: &'static str = super::NAME;
    const FILE: &'static str = "fjall";

    fn write(&self, operation: &'static str, changes: Vec<Change>) -> Result<()> {
        let failed = |source| translate(operation, source);
        // One row needs no batch.
        if changes.len() == 1 {
            return changes.into_iter().try_for_each(|change| match change {
                Change::Put(space, row, value) => self.spaces.of(space).insert(row, value).map_err(failed),
                Change::Remove(space, row) => self.spaces.of(space).remove(row).map_err(failed),
            });
        }
        let mut batch = ::fjall::OwnedWriteBatch::with_capacity(self.db.clone(), changes.len());
        for change in changes {
            match change {
                Change::Put(space, row, value) => batch.insert(self.spaces.of(space), row, value),
                Change::Remove(space, row) => batch.remove(self.spaces.of(space), row),
            }
        }
        batch.commit().map_err(failed)
    }

    fn insert(&self, operation: &'static str, row: Bytes, value: Bytes) -> Result<()> {
        self.spaces.entries.insert(row, value).map_err(|source| translate(operation, source))
    }

    fn hand_over(&self, operation: &'static str) -> Result<()> {
        self.db.persist(PersistMode::Buffer).map_err(|source| translate(operation, source))
    }

    /// fjall would hold its journal locked meanwhile, and every writer with it, so the journal is synced through
    /// a file of our own. That covers the same writes: before fjall begins a new journal it syncs the old one,
    /// so whatever was handed over is in the newest journal or on the disk.
    fn sync(&self, operation: &'static str) -> Result<()> {
        self.hand_over(operation)?;
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(newest) = newest_journal(&self.folder)? else {
            return self.db.persist(PersistMode::SyncAll).map_err(|source| translate(operation, source));
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

    fn view(&self, _: &'static str) -> Result<Option<FjallView>> {
        Ok(Some(FjallView { spaces: self.spaces.clone(), snapshot: self.db.snapshot() }))
    }

    fn ends_writing(error: &Error) -> bool {
        ends_writing(error)
    }

    fn close(self, operation: &'static str) -> Result<()> {
        self.db.persist(PersistMode::SyncAll).map_err(|source| translate(operation, source))
    }
}

/// How often a folder that is locked is tried, a fifth of a second each: threads of a database that was just closed
/// may still be letting go of it.
const ATTEMPTS: usize = 5;

impl Fjall {
    /// Opens fjall's folder, or makes it.
    pub(super) fn open(config: &FjallConfig, folder: &Path) -> Result<Self> {
        let open = || {
            let db = Database::builder(folder)
                .cache_size(config.cache_bytes)
                // Large values are not compressed while the writer waits; blocks are, when they are written.
                .journal_compression(::fjall::CompressionType::None)
                .manual_journal_persist(true)
                .open()?;
            let keyspace = |space: Space| {
                db.keyspace(space.name(), || {
                    KeyspaceCreateOptions::default()
                        .manual_journal_persist(true)
                        .max_memtable_size(config.memtable_bytes)
                })
            };
            let spaces = Keyspaces {
                entries: keyspace(Space::Entries)?,
                expiry: keyspace(Space::Expiry)?,
                meta: keyspace(Space::Meta)?,
            };
            Ok(Self { spaces, db, journal: Mutex::default(), folder: folder.to_owned() })
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
