//! What the store asks of SQLite.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::rusqlite::{CachedStatement, Connection, params};
use bytes::Bytes;
use terrace_store::{Error, Result};

use super::config::SqliteConfig;
use super::connection::{self, Readers};
use super::error::translate;
use super::rows::{Source, SqliteRows, one};
use crate::ordered::{Change, Engine, Read, Space};

/// An SQLite database.
pub struct Sqlite {
    latest: Source,
    readers: Arc<Readers>,
    /// The log, which is there as long as the writer is.
    log: File,
    writer: Mutex<Connection>,
}

/// The rows as they were. While it lives the log cannot be begun anew, and grows.
pub struct SqliteView {
    source: Source,
}

impl Drop for SqliteView {
    fn drop(&mut self) {
        let Source::Pinned(connection) = &self.source else { return };
        // A connection whose transaction does not end is closed with the last who reads from it.
        let _ = connection.lock().unwrap_or_else(PoisonError::into_inner).execute_batch("ROLLBACK");
    }
}

impl Sqlite {
    /// Opens the database, or makes it.
    pub(super) fn open(config: &SqliteConfig, file: &Path) -> Result<Self> {
        let writer = connection::writer(config, file)?;
        // The log is made with the first write.
        writer
            .execute_batch("BEGIN IMMEDIATE; DELETE FROM meta WHERE key = x''; COMMIT")
            .map_err(|source| translate("open", source))?;
        let mut log = OsString::from(file);
        log.push("-wal");
        let log = File::open(log)?;
        // The names of the files outlive a power cut as well.
        file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
        let readers = Arc::new(Readers::new(config, file));
        Ok(Self { latest: Source::Latest(Arc::clone(&readers)), readers, log, writer: Mutex::new(writer) })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(connection: &Connection, space: Space) -> ::rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(match space {
        Space::Entries => {
            "INSERT INTO entries (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        }
        Space::Expiry => {
            "INSERT INTO expiry (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        }
        Space::Meta => {
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        }
    })
}

fn remove(connection: &Connection, space: Space) -> ::rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(match space {
        Space::Entries => "DELETE FROM entries WHERE key = ?1",
        Space::Expiry => "DELETE FROM expiry WHERE key = ?1",
        Space::Meta => "DELETE FROM meta WHERE key = ?1",
    })
}

fn apply(connection: &Connection, changes: &[Change]) -> ::rusqlite::Result<()> {
    changes.iter().try_for_each(|change| match change {
        Change::Put(space, row, value) => {
            put(connection, *space)?.execute(params![&row[..], &value[..]]).map(drop)
        }
        Change::Remove(space, row) => remove(connection, *space)?.execute(params![&row[..]]).map(drop),
    })
}

fn run(connection: &Connection, sql: &'static str) -> ::rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Applies changes as one transaction.
fn transact(connection: &Connection, changes: &[Change]) -> ::rusqlite::Result<()> {
    // One statement is a transaction of its own.
    if changes.len() == 1 {
        return apply(connection, changes);
    }
    run(connection, "BEGIN IMMEDIATE")?;
    let done = apply(connection, changes).and_then(|()| run(connection, "COMMIT"));
    if done.is_err() && !connection.is_autocommit() {
        // Whatever it says: without a COMMIT nothing was done, and SQLite rolls back by itself where this fails.
        let _ = run(connection, "ROLLBACK");
    }
    done
}

impl Read for Sqlite {
    type Rows = SqliteRows;

    fn get(&self, operation: &'static str, space: Space, row: &[u8]) -> Result<Option<Bytes>> {
        self.latest.get(operation, space, row)
    }

    fn range(&self, operation: &'static str, space: Space, from: &[u8], before: Option<&[u8]>) -> SqliteRows {
        self.latest.range(operation, space, from, before)
    }
}

impl Read for SqliteView {
    type Rows = SqliteRows;

    fn get(&self, operation: &'static str, space: Space, row: &[u8]) -> Result<Option<Bytes>> {
        self.source.get(operation, space, row)
    }

    fn range(&self, operation: &'static str, space: Space, from: &[u8], before: Option<&[u8]>) -> SqliteRows {
        self.source.range(operation, space, from, before)
    }
}

impl Engine for Sqlite {
    type View = SqliteView;

    const NAME: &'static str = super::NAME;
    const FILE: &'static str = "terrace.sqlite";

    fn write(&self, operation: &'static str, changes: Vec<Change>) -> Result<()> {
        transact(&self.writer(), &changes).map_err(|source| translate(operation, source))
    }

    /// By the connection that writes, whose pages are those of the last write: another one finds its own outdated by every
    /// write, and reads them anew from the log. Many are read in one transaction.
    fn before(
        &self,
        operation: &'static str,
        rows: &[Bytes],
        mut tell: impl FnMut(usize, Result<Option<Bytes>>),
    ) {
        let writer = self.writer();
        let together = rows.len() > 1 && run(&writer, "BEGIN").is_ok();
        for (at, row) in rows.iter().enumerate() {
            tell(at, one(&writer, operation, Space::Entries, row));
        }
        if together && run(&writer, "COMMIT").is_err() {
            // It only read.
            let _ = run(&writer, "ROLLBACK");
        }
    }

    /// What is committed is with the operating system.
    fn hand_over(&self, _: &'static str) -> Result<()> {
        Ok(())
    }

    /// Syncs the log through a file of our own, so that nobody who writes waits for it. That covers what was moved
    /// into the database too: before SQLite writes to the beginning of the log again, it syncs both.
    fn sync(&self, _: &'static str) -> Result<()> {
        Ok(self.log.sync_data()?)
    }

    fn view(&self, operation: &'static str) -> Result<Option<SqliteView>> {
        let connection = self.readers.take()?;
        // The transaction sees the rows as of its first read.
        connection
            .execute_batch("BEGIN; SELECT count(*) FROM (SELECT 1 FROM meta LIMIT 1)")
            .map_err(|source| translate(operation, source))?;
        let source = Source::Pinned(Arc::new(Mutex::new(connection)));
        Ok(Some(SqliteView { source }))
    }

    /// Gives some free pages back to the file system.
    fn trim(&self, operation: &'static str) -> Result<()> {
        // Each step of the statement frees one page.
        let trim = |connection: &Connection| {
            let mut trim = connection.prepare_cached("PRAGMA incremental_vacuum(256)")?;
            let mut pages = trim.query([])?;
            while pages.next()?.is_some() {}
            Ok(())
        };
        trim(&self.writer()).map_err(|source| translate(operation, source))
    }

    /// A transaction that fails is undone, and the next may succeed.
    fn ends_writing(_: &Error) -> bool {
        false
    }

    fn close(self, operation: &'static str) -> Result<()> {
        self.sync(operation)?;
        let writer = self.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        // The last to close moves the log into the database, and syncs it.
        drop((self.latest, self.readers));
        writer.close().map_err(|(_, source)| translate(operation, source))
    }
}
