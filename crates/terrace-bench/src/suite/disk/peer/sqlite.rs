//! SQLite: a B-tree with a write-ahead log.

use std::path::Path;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};

use super::CACHE;
use crate::suite::Failure;
use crate::suite::disk::engine::{Engine, Pair, Sync};

/// One connection writes, and one for each reader would read; the suite reads from one thread.
struct Sqlite(Mutex<Connection>);

pub(super) fn open(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    let connection = Connection::open(folder.join("values.sqlite"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", if sync == Sync::Each { "FULL" } else { "OFF" })?;
    connection.pragma_update(None, "cache_size", -(CACHE as i64 / 1024))?;
    connection
        .execute("CREATE TABLE IF NOT EXISTS pairs (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID", [])?;
    Ok(Box::new(Sqlite(Mutex::new(connection))))
}

impl Engine for Sqlite {
    fn write(&self, pairs: &[Pair]) -> Result<(), Failure> {
        let mut connection = self.0.lock();
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO pairs VALUES (?1, ?2)")?;
            for (key, value) in pairs {
                insert.execute((key.as_slice(), value.as_slice()))?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn read(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        let connection = self.0.lock();
        let mut select = connection.prepare_cached("SELECT value FROM pairs WHERE key = ?1")?;
        let copy = |row: &rusqlite::Row<'_>| {
            out.extend_from_slice(row.get_ref(0)?.as_blob()?);
            Ok(())
        };
        Ok(select.query_row([key], copy).optional()?.is_some())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.0.into_inner().close().map_err(|(_, error)| error)?)
    }
}
