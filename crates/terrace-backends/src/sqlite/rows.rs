//! Reading a row, and rows in order: some at a time, so that no statement is left open between two of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ::rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use bytes::Bytes;
use terrace_store::Result;

use super::connection::Readers;
use super::error::translate;
use crate::ordered::Space;

/// How many rows are read at first, and at most, before the statement ends. Each time it is twice as many.
const ROWS: (usize, usize) = (16, 1_024);
/// How many bytes are read before the statement ends.
const BYTES: usize = 1 << 20;

/// Whose view of the rows it is.
#[derive(Clone)]
pub(super) enum Source {
    /// The rows as they are.
    Latest(Arc<Readers>),
    /// The rows as a connection's transaction sees them.
    Pinned(Arc<Mutex<Connection>>),
}

impl Source {
    pub(super) fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        match self {
            Self::Latest(readers) => readers.with(work),
            Self::Pinned(connection) => work(&connection.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    pub(super) fn get(&self, operation: &'static str, space: Space, row: &[u8]) -> Result<Option<Bytes>> {
        self.with(|connection| one(connection, operation, space, row))
    }

    pub(super) fn range(
        &self,
        operation: &'static str,
        space: Space,
        from: &[u8],
        before: Option<&[u8]>,
    ) -> SqliteRows {
        SqliteRows {
            source: self.clone(),
            space,
            operation,
            from: from.to_vec(),
            before: before.map(<[u8]>::to_vec),
            read: VecDeque::new(),
            rows: ROWS.0,
            done: false,
        }
    }
}

/// The value of a row as a connection sees it.
pub(super) fn one(
    connection: &Connection,
    operation: &'static str,
    space: Space,
    row: &[u8],
) -> Result<Option<Bytes>> {
    let value = connection
        .prepare_cached(match space {
            Space::Entries => "SELECT value FROM entries WHERE key = ?1",
            Space::Expiry => "SELECT value FROM expiry WHERE key = ?1",
            Space::Meta => "SELECT value FROM meta WHERE key = ?1",
        })
        .and_then(|mut get| get.query_row([row], |row| blob(row, 0)).optional());
    value.map_err(|source| translate(operation, source))
}

fn blob(row: &Row<'_>, column: usize) -> ::rusqlite::Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
}

/// Rows in order.
pub struct SqliteRows {
    source: Source,
    space: Space,
    operation: &'static str,
    from: Vec<u8>,
    before: Option<Vec<u8>>,
    read: VecDeque<(Bytes, Bytes)>,
    rows: usize,
    done: bool,
}

impl SqliteRows {
    /// Reads some more. What was read before an error is kept.
    fn fill(&mut self) -> Result<()> {
        let (operation, space) = (self.operation, self.space);
        let (from, before) = (&self.from[..], self.before.as_deref());
        let (read, rows) = (&mut self.read, self.rows);
        let more = self.source.with(|connection| {
            let statement = prepare(connection, space, before.is_some());
            let more = statement.and_then(|statement| take(statement, from, before, rows, read));
            more.map_err(|source| translate(operation, source))
        });
        self.rows = ROWS.1.min(2 * rows);
        if let Some((last, _)) = self.read.back() {
            self.from.clear();
            self.from.extend_from_slice(last);
            self.from.push(0);
        }
        self.done = !more?;
        Ok(())
    }
}

fn prepare(connection: &Connection, space: Space, bounded: bool) -> ::rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(match (space, bounded) {
        (Space::Entries, false) => "SELECT key, value FROM entries WHERE key >= ?1 ORDER BY key",
        (Space::Entries, true) => "SELECT key, value FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key",
        (Space::Expiry, false) => "SELECT key, value FROM expiry WHERE key >= ?1 ORDER BY key",
        (Space::Expiry, true) => "SELECT key, value FROM expiry WHERE key >= ?1 AND key < ?2 ORDER BY key",
        (Space::Meta, false) => "SELECT key, value FROM meta WHERE key >= ?1 ORDER BY key",
        (Space::Meta, true) => "SELECT key, value FROM meta WHERE key >= ?1 AND key < ?2 ORDER BY key",
    })
}

/// Takes rows until there are enough; `false` if there are no more.
fn take(
    mut statement: CachedStatement<'_>,
    from: &[u8],
    before: Option<&[u8]>,
    limit: usize,
    read: &mut VecDeque<(Bytes, Bytes)>,
) -> ::rusqlite::Result<bool> {
    let mut rows = match before {
        None => statement.query(params![from])?,
        Some(before) => statement.query(params![from, before])?,
    };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let (key, value) = (blob(row, 0)?, blob(row, 1)?);
        bytes += key.len() + value.len();
        read.push_back((key, value));
        if read.len() >= limit || bytes >= BYTES {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Iterator for SqliteRows {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty()
            && !self.done
            && let Err(error) = self.fill()
            // What was read before it comes first; then it is met again.
            && self.read.is_empty()
        {
            self.done = true;
            return Some(Err(error));
        }
        self.read.pop_front().map(Ok)
    }
}
