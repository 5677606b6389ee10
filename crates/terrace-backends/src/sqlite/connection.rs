//! Connections: how each is set up, how the database is made or refused, and those kept for reading.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::rusqlite::{Connection, OpenFlags};
use terrace_store::{Error, ErrorKind, Result};

use super::config::SqliteConfig;
use super::error::translate;

/// What tells a store's database from any other: "TRRC".
pub(super) const APPLICATION_ID: i32 = 0x5452_5243;
/// The schema that this release writes, and the newest it reads.
pub(super) const SCHEMA: i32 = 1;
/// How long a lock of another program is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// Makes the tables. The expiry of an entry stands first in the key of its row in `expiry`, so what is due is a range.
const TABLES: &str = "
    BEGIN IMMEDIATE;
    CREATE TABLE entries (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE expiry (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE meta (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
    PRAGMA application_id = 0x54525243;
    PRAGMA user_version = 1;
    COMMIT;";

fn failed(source: ::rusqlite::Error) -> Error {
    translate("open", source)
}

fn connect(config: &SqliteConfig, file: &Path) -> Result<Connection> {
    // Each connection is used by one thread at a time, which we see to ourselves; a path is no URL.
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    let cache_kib = i64::try_from(config.cache_bytes >> 10).unwrap_or(i64::MAX).max(1);
    connection.pragma_update(None, "cache_size", -cache_kib).map_err(failed)?;
    // What a stranger put into the schema is not run.
    connection.pragma_update(None, "trusted_schema", false).map_err(failed)?;
    connection.pragma_update(None, "cell_size_check", true).map_err(failed)?;
    Ok(connection)
}

fn number(connection: &Connection, pragma: &str) -> Result<i32> {
    connection.pragma_query_value(None, pragma, |row| row.get(0)).map_err(failed)
}

/// The connection that writes, to a database that is a store's, made if there was none.
pub(super) fn writer(config: &SqliteConfig, file: &Path) -> Result<Connection> {
    let connection = connect(config, file)?;
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let (application, schema) =
        (number(&connection, "application_id")?, number(&connection, "user_version")?);
    let new = (objects, application, schema) == (0, 0, 0);
    if !new {
        check_owner(application, schema)?;
    } else {
        // Has to come before the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Error::new(ErrorKind::Config, "open").because(format!(
            "the file system takes no write-ahead log, as one over a network may not (journal_mode is `{mode}`): \
             choose another folder"
        )));
    }
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", config.checkpoint_pages).map_err(failed)?;
    if new {
        connection.execute_batch(TABLES).map_err(failed)?;
    }
    if config.check {
        check(&connection)?;
    }
    Ok(connection)
}

fn check_owner(application: i32, schema: i32) -> Result<()> {
    let refused = |why: String| Err(Error::new(ErrorKind::Config, "open").because(why));
    match (application, schema) {
        (APPLICATION_ID, SCHEMA) => Ok(()),
        (APPLICATION_ID, newer) if newer > SCHEMA => refused(format!(
            "a newer release wrote the database, with schema {newer}; this release reads up to schema {SCHEMA}: use \
             the newer one"
        )),
        (APPLICATION_ID, other) => refused(format!("no release wrote a database with schema {other}")),
        (other, _) => refused(format!(
            "the database is another program's (its application_id is {other}): choose another folder"
        )),
    }
}

fn check(connection: &Connection) -> Result<()> {
    let found: String =
        connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(failed)?;
    if found == "ok" {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Corrupt, "open").because(format!("the database file is damaged: {found}")))
}

/// Connections for reading that nobody uses now.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    config: SqliteConfig,
    file: PathBuf,
}

impl Readers {
    pub(super) fn new(config: &SqliteConfig, file: &Path) -> Self {
        Self { idle: Mutex::default(), config: config.clone(), file: file.to_owned() }
    }

    /// A connection for reading, which is nobody else's.
    pub(super) fn take(&self) -> Result<Connection> {
        if let Some(idle) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(idle);
        }
        let connection = connect(&self.config, &self.file)?;
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
        Ok(connection)
    }

    /// Keeps it for the next, if there are not enough.
    pub(super) fn put_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.config.readers {
            idle.push(connection);
        }
    }

    /// Reads with a connection of its own.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let connection = self.take()?;
        let done = work(&connection);
        self.put_back(connection);
        done
    }
}
