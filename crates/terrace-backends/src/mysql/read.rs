//! Reads: one statement each.

use bytes::Bytes;
use mysql_async::{Params, Value};
use terrace_store::{Entry, Error, ErrorKind, Key, Result, Version};

use super::link::reads;
use super::{Mysql, NAME};
use crate::record::{self, Record};
use crate::remote::Place;

/// How many keys are asked for in one statement.
const TOGETHER: usize = 256;

/// A row: flat key, version, end, record.
type Row = (Vec<u8>, u64, u64, Vec<u8>);

impl Mysql {
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Entry>> {
        self.ready("get").await?;
        let Place { head, hash } = Place::of(key);
        let statement =
            self.sql("SELECT flat, version, ends, record FROM {p}_entries WHERE head = ? AND hash = ?");
        let rows: Vec<Row> = self.link.query(reads("get"), &statement, (head, hash)).await?;
        rows.into_iter().next().map_or(Ok(None), |row| self.entry(key, row))
    }

    pub(super) async fn is_there(&self, key: &Key) -> Result<bool> {
        self.ready("exists").await?;
        let Place { head, hash } = Place::of(key);
        let statement = self.sql("SELECT flat, ends FROM {p}_entries WHERE head = ? AND hash = ?");
        let rows: Vec<(Vec<u8>, u64)> = self.link.query(reads("exists"), &statement, (head, hash)).await?;
        Ok(rows.first().is_some_and(|(flat, ends)| flat == key.flat() && self.is_live(*ends)))
    }

    pub(super) async fn read_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.ready("get").await?;
        let mut entries = Vec::with_capacity(keys.len());
        for keys in keys.chunks(TOGETHER) {
            let marks = vec!["(?,?)"; keys.len()].join(",");
            let statement = self.sql(&format!(
                "SELECT flat, version, ends, record FROM {{p}}_entries WHERE (head, hash) IN ({marks})"
            ));
            let places = keys.iter().map(Place::of);
            let arguments: Vec<Value> =
                places.flat_map(|place| [Value::Bytes(place.head), Value::Bytes(place.hash)]).collect();
            let rows: Vec<Row> =
                self.link.query(reads("get"), &statement, Params::Positional(arguments)).await?;
            let mut found: std::collections::HashMap<Vec<u8>, Row> =
                rows.into_iter().map(|row| (row.0.clone(), row)).collect();
            for (n, key) in keys.iter().enumerate() {
                let entry = match found.get(key.flat()) {
                    None => None,
                    // A key that is asked for again is read again; any other one takes the row's memory over.
                    Some(row) if keys[n + 1..].contains(key) => self.entry(key, row.clone())?,
                    Some(_) => found.remove(key.flat()).map_or(Ok(None), |row| self.entry(key, row))?,
                };
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    pub(super) fn is_live(&self, ends: u64) -> bool {
        ends == 0 || self.life.wall_ms() < ends
    }

    /// The entry of a row, if it counts.
    pub(super) fn entry(&self, key: &Key, (flat, version, ends, record): Row) -> Result<Option<Entry>> {
        if flat != key.flat() {
            return Err(Error::new(ErrorKind::Conflict, "read")
                .with("store", NAME)
                .because("two long keys have the same beginning and hash; shorten one of them"));
        }
        if !self.is_live(ends) {
            return Ok(None);
        }
        match record::open(key, &Bytes::from(record))? {
            Record::Live(entry) => Ok(Some(Entry { version: Version(version), ..entry })),
            Record::Tombstone { .. } => Err(corrupt("an entry whose envelope is a tombstone's")),
        }
    }
}

pub(super) fn corrupt(why: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "read").with("store", NAME).because(why)
}
