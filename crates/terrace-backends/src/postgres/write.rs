//! Writes: one call of a function for one or many.

use terrace_store::capability::{Outcome, Write};
use terrace_store::{Condition, Deleted, Key, Namespace, Result, Swept, Version, Written};
use tokio_postgres::Row;

use super::Postgres;
use super::link::writes;
use super::names::{self, ms, part, signed};
use super::read::corrupt;
use crate::record;
use crate::remote::{Place, validate};

/// What the function for writes is given, an array a column.
#[derive(Default)]
struct Columns {
    kinds: Vec<&'static str>,
    spaces: Vec<Vec<u8>>,
    heads: Vec<Vec<u8>>,
    hashes: Vec<Vec<u8>>,
    flats: Vec<Vec<u8>>,
    parts: Vec<i32>,
    conditions: Vec<&'static str>,
    givens: Vec<i64>,
    ends: Vec<i64>,
    sizes: Vec<i64>,
    records: Vec<Vec<u8>>,
}

impl Postgres {
    /// Applies writes, if these keys still have the versions they were read with.
    ///
    /// # Errors
    /// `Conflict` if one has not; otherwise as [`Store::put`](terrace_store::Store::put).
    pub(super) async fn write(
        &self,
        operation: &'static str,
        list: &[Write],
        unchanged: &[(Key, Option<Version>)],
    ) -> Result<Vec<Outcome>> {
        let mut c = Columns::default();
        validate(list)?;
        for write in list {
            self.add(&mut c, write)?;
        }
        self.ready(operation).await?;
        let keys = list.iter().map(Write::key).chain(unchanged.iter().map(|(key, _)| key));
        let (spaces, locks) = self.locks_of(keys);
        let (heads, hashes): (Vec<_>, Vec<_>) =
            unchanged.iter().map(|(key, _)| Place::of(key)).map(|at| (at.head, at.hash)).unzip();
        let versions: Vec<Option<i64>> = unchanged.iter().map(|(_, version)| version.map(signed)).collect();
        let rows = self
            .link
            .query(
                writes(operation),
                &self.sql.apply,
                &[
                    &self.locks.store(),
                    &spaces,
                    &locks,
                    &self.wall(),
                    &ms(self.life.floor_deadline()),
                    &self.changes,
                    &heads,
                    &hashes,
                    &versions,
                    &c.kinds,
                    &c.spaces,
                    &c.heads,
                    &c.hashes,
                    &c.flats,
                    &c.parts,
                    &c.conditions,
                    &c.givens,
                    &c.ends,
                    &c.sizes,
                    &c.records,
                ],
            )
            .await?;
        if rows.len() != list.len() {
            return Err(corrupt("a function that says something else"));
        }
        Ok(list.iter().zip(&rows).map(|(write, row)| outcome(write, row)).collect())
    }

    fn add(&self, c: &mut Columns, write: &Write) -> Result<()> {
        let key = write.key();
        let (condition, kind, ends, size, record) = match write {
            Write::Put(key, entry, options) => {
                let mut record = Vec::with_capacity(entry.value.len() + 128);
                let from = self.config.compress_from;
                record::seal(key, entry, Version::ZERO, options.compress, from, &mut record)?;
                // An end of zero would be none.
                let ends = entry.deadline_ms().map_or(0, |ends| ms(ends.max(1)));
                (options.condition, "P", ends, key.bytes().len() + entry.value.len(), record)
            }
            Write::Delete(_, options) => (options.condition, "D", 0, 0, Vec::new()),
        };
        let (sign, version) = match condition {
            Condition::Any => ("*", Version::ZERO),
            Condition::Absent => ("0", Version::ZERO),
            Condition::Match(version) => ("=", version),
            Condition::Newer(version) => (">", version),
        };
        let Place { head, hash } = Place::of(key);
        c.kinds.push(kind);
        c.spaces.push(key.namespace().flat_prefix().to_vec());
        c.heads.push(head);
        c.hashes.push(hash);
        c.flats.push(key.flat().to_vec());
        c.parts.push(part(key));
        c.conditions.push(sign);
        c.givens.push(signed(version));
        c.ends.push(ends);
        c.sizes.push(i64::try_from(size).unwrap_or(i64::MAX));
        c.records.push(record);
        Ok(())
    }

    /// The locks of these keys and of their namespaces, each once and in one order for all, so that no two calls
    /// wait for each other.
    fn locks_of<'a>(&self, keys: impl Iterator<Item = &'a Key>) -> (Vec<i64>, Vec<i64>) {
        let (mut spaces, mut locks): (Vec<i64>, Vec<i64>) = keys
            .map(|key| (self.locks.space(key.namespace().flat_prefix()), self.locks.key(key.flat())))
            .unzip();
        for list in [&mut spaces, &mut locks] {
            list.sort_unstable();
            list.dedup();
        }
        (spaces, locks)
    }

    /// Removes every entry of a namespace, or of all.
    pub(super) async fn clear_all(&self, namespace: Option<&Namespace>) -> Result<u64> {
        self.ready("clear").await?;
        let prefix = namespace.map(Namespace::flat_prefix);
        let lock = prefix.map_or(0, |prefix| self.locks.space(prefix));
        let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 6] = [
            &self.locks.store(),
            &lock,
            &prefix,
            &self.wall(),
            &ms(self.life.floor_deadline()),
            &self.changes,
        ];
        let rows = self.link.query(writes("clear"), &self.sql.clear, &arguments).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).cast_unsigned()))
    }

    pub(super) async fn sweep_once(&self, limit: usize) -> Result<Swept> {
        self.ready("sweep").await?;
        // One more is asked for, to see whether there is one.
        let limit = i64::try_from(limit).unwrap_or(i64::MAX).min(i64::MAX - 1);
        let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 6] = [
            &self.locks.store(),
            &limit,
            &self.wall(),
            &ms(self.life.floor_now()),
            &ms(self.life.floor_deadline()),
            &self.changes,
        ];
        let rows = self.link.query(writes("sweep"), &self.sql.sweep, &arguments).await?;
        let row = rows.first().ok_or_else(|| corrupt("a sweep that says nothing"))?;
        let number = |n: usize| row.get::<_, i64>(n).cast_unsigned();
        Ok(Swept { expired: number(0), floors: number(1), more: row.get(2) })
    }
}

fn outcome(write: &Write, row: &Row) -> Outcome {
    let version = row.get::<_, Option<i64>>(1).map(names::version);
    match (write, row.get(0), version) {
        (Write::Put(..), true, Some(version)) => {
            Outcome::Put(Written::Stored { version, replaced: row.get(2) })
        }
        (Write::Delete(..), true, Some(version)) => {
            Outcome::Delete(Deleted::Done { version, existed: row.get(2) })
        }
        (Write::Put(..), _, current) => Outcome::Put(Written::Conflict { current }),
        (Write::Delete(..), _, current) => Outcome::Delete(Deleted::Conflict { current }),
    }
}
