//! What the store asks of sled.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use ::sled::transaction::{ConflictableTransactionError, TransactionError};
use ::sled::{Batch, Db, IVec, Transactional, Tree};
use bytes::Bytes;
use terrace_store::{Error, ErrorKind, Result};

use super::config::SledConfig;
use super::error::{ends_writing, guarded, translate};
use crate::ordered::{Change, Engine, NoView, Read, Space};

/// sled's database in a folder.
pub struct Sled {
    entries: Tree,
    expiry: Tree,
    meta: Tree,
    db: Db,
    log: File,
}

/// Rows in order.
pub struct SledRows {
    iter: ::sled::Iter,
    operation: &'static str,
    ended: bool,
}

impl Iterator for SledRows {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let operation = self.operation;
        let row = guarded(operation, || match self.iter.next() {
            None => Ok(None),
            Some(Ok((row, value))) => Ok(Some((own(&row), own(&value)))),
            Some(Err(source)) => Err(translate(operation, source)),
        });
        // After an error it would go on for ever with the same one.
        self.ended = row.is_err();
        row.transpose()
    }
}

fn own(bytes: &IVec) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// How often a folder that is locked is tried, and how long is waited in between: a database that was just closed may
/// still be letting go of it.
const ATTEMPTS: (usize, Duration) = (10, Duration::from_millis(100));

impl Sled {
    /// Opens sled's folder, or makes it.
    pub(super) fn open(config: &SledConfig, folder: &Path) -> Result<Self> {
        let open = || {
            ::sled::Config::new()
                .path(folder)
                .cache_capacity(config.cache_bytes)
                .flush_every_ms(config.flush_every_ms)
                .open()
        };
        let mut opened = open();
        for _ in 1..ATTEMPTS.0 {
            if !opened.as_ref().is_err_and(is_locked) {
                break;
            }
            std::thread::sleep(ATTEMPTS.1);
            opened = open();
        }
        let db = opened.map_err(|source| {
            let locked = is_locked(&source);
            let error = translate("open", source);
            if !locked {
                return error;
            }
            Error::new(ErrorKind::Busy, "open")
                .transient(false)
                .because("another process has sled's folder open")
                .caused_by(error)
        })?;
        let tree = |space: Space| db.open_tree(space.name()).map_err(|source| translate("open", source));
        let (entries, expiry, meta) = (tree(Space::Entries)?, tree(Space::Expiry)?, tree(Space::Meta)?);
        let log = File::open(folder.join("db"))?;
        Ok(Self { entries, expiry, meta, db, log })
    }

    fn of(&self, space: Space) -> &Tree {
        match space {
            Space::Entries => &self.entries,
            Space::Expiry => &self.expiry,
            Space::Meta => &self.meta,
        }
    }

    /// Changes in several trees, as one transaction.
    fn transact(&self, operation: &'static str, changes: &[Change]) -> Result<()> {
        let trees = Space::ALL.map(|space| self.of(space));
        let done = trees[..].transaction(|trees| {
            for change in changes {
                match change {
                    Change::Put(space, row, value) => {
                        trees[*space as usize].insert(IVec::from(&row[..]), IVec::from(&value[..]))?;
                    }
                    Change::Remove(space, row) => {
                        trees[*space as usize].remove(IVec::from(&row[..]))?;
                    }
                }
            }
            Ok::<_, ConflictableTransactionError<()>>(())
        });
        done.map_err(|error| match error {
            TransactionError::Storage(source) => translate(operation, source),
            // Nobody aborts.
            TransactionError::Abort(()) => Error::new(ErrorKind::Unavailable, operation),
        })
    }
}

fn is_locked(error: &::sled::Error) -> bool {
    let ::sled::Error::Io(source) = error else { return false };
    source.kind() == std::io::ErrorKind::WouldBlock || source.to_string().contains("could not acquire lock")
}

impl Read for Sled {
    type Rows = SledRows;

    fn get(&self, operation: &'static str, space: Space, row: &[u8]) -> Result<Option<Bytes>> {
        guarded(operation, || {
            let value = self.of(space).get(row).map_err(|source| translate(operation, source))?;
            Ok(value.as_ref().map(own))
        })
    }

    fn range(&self, operation: &'static str, space: Space, from: &[u8], before: Option<&[u8]>) -> SledRows {
        let tree = self.of(space);
        let (iter, ended) = match before {
            None => (tree.range(from..), false),
            // sled takes an end before the beginning for a mistake; here it is an empty range.
            Some(before) if before <= from => (tree.range(from..), true),
            Some(before) => (tree.range(from..before), false),
        };
        SledRows { iter, operation, ended }
    }
}

impl Engine for Sled {
    type View = NoView;

    const NAME: &'static str = super::NAME;
    const FILE: &'static str = "sled";
    const HANDS_OVER_IN_PLACE: bool = false;
    const VIEWS: bool = false;

    fn write(&self, operation: &'static str, changes: Vec<Change>) -> Result<()> {
        guarded(operation, || {
            let failed = |source| translate(operation, source);
            let mut spaces = changes.iter().map(|(Change::Put(space, ..) | Change::Remove(space, _))| *space);
            let Some(first) = spaces.next() else { return Ok(()) };
            if !spaces.all(|space| space == first) {
                return self.transact(operation, &changes);
            }
            let mut batch = Batch::default();
            for change in changes {
                match change {
                    Change::Put(_, row, value) => batch.insert(&row[..], &value[..]),
                    Change::Remove(_, row) => batch.remove(&row[..]),
                }
            }
            self.of(first).apply_batch(batch).map_err(failed)
        })
    }

    fn insert(&self, operation: &'static str, row: Bytes, value: Bytes) -> Result<()> {
        guarded(operation, || {
            self.entries.insert(row, &value[..]).map(drop).map_err(|source| translate(operation, source))
        })
    }

    fn hand_over(&self, operation: &'static str) -> Result<()> {
        guarded(operation, || self.db.flush().map(drop).map_err(|source| translate(operation, source)))
    }

    /// As durable as sled's medium can make it: the log is synced too, the files of large values are not.
    fn sync(&self, operation: &'static str) -> Result<()> {
        self.hand_over(operation)?;
        Ok(self.log.sync_data()?)
    }

    fn view(&self, _: &'static str) -> Result<Option<NoView>> {
        Ok(None)
    }

    fn ends_writing(error: &Error) -> bool {
        ends_writing(error)
    }

    fn close(self, operation: &'static str) -> Result<()> {
        self.sync(operation)
    }
}
