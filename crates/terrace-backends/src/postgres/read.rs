//! Reads: one statement each.

use bytes::Bytes;
use terrace_store::{Entry, Error, ErrorKind, Key, Result};
use tokio_postgres::Row;

use super::link::reads;
use super::names;
use super::{NAME, Postgres};
use crate::record::{self, Record};
use crate::remote::Place;

impl Postgres {
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Entry>> {
        self.ready("get").await?;
        let Place { head, hash } = Place::of(key);
        let rows = self.link.query(reads("get"), &self.sql.get, &[&head, &hash]).await?;
        rows.first().map_or(Ok(None), |row| self.entry(key, row, 0))
    }

    pub(super) async fn is_there(&self, key: &Key) -> Result<bool> {
        self.ready("exists").await?;
        let Place { head, hash } = Place::of(key);
        let rows = self.link.query(reads("exists"), &self.sql.exists, &[&head, &hash]).await?;
        let there = |row: &Row| row.get::<_, &[u8]>(0) == key.flat() && self.is_live(row.get(1));
        Ok(rows.first().is_some_and(there))
    }

    pub(super) async fn read_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.ready("get").await?;
        let mut entries = vec![None; keys.len()];
        if keys.is_empty() {
            return Ok(entries);
        }
        let (heads, hashes): (Vec<_>, Vec<_>) =
            keys.iter().map(Place::of).map(|at| (at.head, at.hash)).unzip();
        for row in self.link.query(reads("get"), &self.sql.many, &[&heads, &hashes]).await? {
            let n = usize::try_from(row.get::<_, i64>(0) - 1).ok();
            let Some((key, entry)) = n.and_then(|n| keys.get(n).zip(entries.get_mut(n))) else { continue };
            *entry = self.entry(key, &row, 1)?;
        }
        Ok(entries)
    }

    pub(super) fn is_live(&self, ends: i64) -> bool {
        ends == 0 || self.wall() < ends
    }

    /// The entry of a row whose flat key, version, end and record stand in this and the following columns, if it counts.
    pub(super) fn entry(&self, key: &Key, row: &Row, first: usize) -> Result<Option<Entry>> {
        if row.get::<_, &[u8]>(first) != key.flat() {
            return Err(Error::new(ErrorKind::Conflict, "read")
                .with("store", NAME)
                .because("two long keys have the same beginning and hash; shorten one of them"));
        }
        if !self.is_live(row.get(first + 2)) {
            return Ok(None);
        }
        let record = Bytes::from(row.get::<_, Vec<u8>>(first + 3));
        match record::open(key, &record)? {
            Record::Live(entry) => Ok(Some(Entry { version: names::version(row.get(first + 1)), ..entry })),
            Record::Tombstone { .. } => Err(corrupt("an entry whose envelope is a tombstone's")),
        }
    }
}

pub(super) fn corrupt(why: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "read").with("store", NAME).because(why)
}
