//! Writes: one call of a procedure each, several of them in one transaction.

use mysql_async::prelude::Queryable;
use mysql_async::{Params, Transaction, Value};
use terrace_store::capability::{Outcome, Write};
use terrace_store::{Condition, Deleted, Error, ErrorKind, Key, Namespace, Result, Version, Written};

use super::link::{AsyncAlone, Met, writes};
use super::read::corrupt;
use super::{Mysql, NAME};
use crate::record;
use crate::remote::{Place, validate};

/// What became of a write: whether it was done, the version it has or that stands against it, whether there was one.
type Done = (bool, Option<u64>, bool);

impl Mysql {
    /// What makes a transaction the only one.
    pub(super) fn lock(&self) -> String {
        self.sql("SELECT value FROM {p}_sequence WHERE id = 1 FOR UPDATE")
    }

    /// Applies writes.
    pub(super) async fn write(&self, operation: &'static str, list: &[Write]) -> Result<Vec<Outcome>> {
        let [write] = list else { return self.transact(operation, list, &[]).await };
        validate(list)?;
        let arguments = self.arguments(write)?;
        self.ready(operation).await?;
        let call = self.sql("CALL {p}_write(?,?,?,?,?,?,?,?,?,?,?,?)");
        let done: Vec<Done> =
            self.link.query(writes(operation), &call, Params::Positional(arguments)).await?;
        let done = done.first().ok_or_else(|| corrupt("a procedure that says nothing"))?;
        Ok(vec![outcome(write, *done)])
    }

    /// Applies writes in one transaction, if these keys still have the versions they were read with.
    ///
    /// # Errors
    /// `Conflict` if one has not; otherwise as [`Store::put`](terrace_store::Store::put).
    pub(super) async fn transact(
        &self,
        operation: &'static str,
        list: &[Write],
        unchanged: &[(Key, Option<Version>)],
    ) -> Result<Vec<Outcome>> {
        validate(list)?;
        let calls = list.iter().map(|write| self.arguments(write)).collect::<Result<Vec<_>>>()?;
        self.ready(operation).await?;
        if list.is_empty() && unchanged.is_empty() {
            return Ok(Vec::new());
        }
        let work = Batch {
            operation,
            look: self.sql(
                "SELECT version FROM {p}_entries WHERE head = ? AND hash = ? AND (ends = 0 OR ends > ?)",
            ),
            call: self.sql("CALL {p}_apply(?,?,?,?,?,?,?,?,?,?,?,?)"),
            unchanged: unchanged.iter().map(|(key, version)| (Place::of(key), *version)).collect(),
            now: self.life.wall_ms(),
            calls,
        };
        let done = self.link.alone(writes(operation), &self.lock(), work).await?;
        Ok(list.iter().zip(done).map(|(write, done)| outcome(write, done)).collect())
    }

    /// What the procedure for a write is given.
    fn arguments(&self, write: &Write) -> Result<Vec<Value>> {
        let key = write.key();
        let (condition, kind, ends, size, record) = match write {
            Write::Put(key, entry, options) => {
                let mut record = Vec::with_capacity(entry.value.len() + 128);
                let from = self.config.compress_from;
                record::seal(key, entry, Version::ZERO, options.compress, from, &mut record)?;
                // An end of zero would be none.
                let ends = entry.deadline_ms().map_or(0, |ends| ends.max(1));
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
        Ok(vec![
            kind.into(),
            Value::Bytes(key.namespace().flat_prefix().to_vec()),
            Value::Bytes(head),
            Value::Bytes(hash),
            Value::Bytes(key.flat().to_vec()),
            sign.into(),
            version.0.into(),
            self.life.wall_ms().into(),
            self.life.floor_deadline().into(),
            ends.into(),
            (size as u64).into(),
            Value::Bytes(record),
        ])
    }

    /// Removes every entry of a namespace, or of all.
    pub(super) async fn clear_all(&self, namespace: Option<&Namespace>) -> Result<u64> {
        self.ready("clear").await?;
        let space = namespace.map_or(&b""[..], Namespace::flat_prefix).to_vec();
        let of = if namespace.is_some() { "space = ?" } else { "'' = ?" };
        let work = Clear {
            count: self
                .sql(&format!("SELECT COUNT(*) FROM {{p}}_entries WHERE {of} AND (ends = 0 OR ends > ?)")),
            removals: ["entries", "amounts"]
                .map(|table| self.sql(&format!("DELETE FROM {{p}}_{table} WHERE {of}"))),
            draw: self.sql("UPDATE {p}_sequence SET value = value + 1 WHERE id = 1"),
            floor: self.sql(
                "INSERT INTO {p}_floors SELECT ?, value, ? FROM {p}_sequence WHERE id = 1 \
                 ON DUPLICATE KEY UPDATE version = VALUES(version), ends = VALUES(ends)",
            ),
            now: self.life.wall_ms(),
            forget: self.life.floor_deadline(),
            space,
        };
        self.link.alone(writes("clear"), &self.lock(), work).await
    }
}

struct Batch {
    operation: &'static str,
    look: String,
    call: String,
    unchanged: Vec<(Place, Option<Version>)>,
    now: u64,
    calls: Vec<Vec<Value>>,
}

impl AsyncAlone<Vec<Done>> for Batch {
    async fn run(self, transaction: &mut Transaction<'_>) -> Result<Met<Vec<Done>>, mysql_async::Error> {
        for (Place { head, hash }, version) in self.unchanged {
            let found: Option<u64> = transaction.exec_first(&*self.look, (head, hash, self.now)).await?;
            if found.map(Version) != version {
                return Ok(Err(Error::new(ErrorKind::Conflict, self.operation)
                    .with("store", NAME)
                    .because("something that was read has changed meanwhile; begin again")));
            }
        }
        let mut all = Vec::with_capacity(self.calls.len());
        for arguments in self.calls {
            let done: Vec<Done> = transaction.exec(&*self.call, Params::Positional(arguments)).await?;
            match done.first() {
                Some(done) => all.push(*done),
                None => return Ok(Err(corrupt("a procedure that says nothing"))),
            }
        }
        Ok(Ok(all))
    }
}

struct Clear {
    count: String,
    removals: [String; 2],
    draw: String,
    floor: String,
    space: Vec<u8>,
    now: u64,
    forget: u64,
}

impl AsyncAlone<u64> for Clear {
    async fn run(self, transaction: &mut Transaction<'_>) -> Result<Met<u64>, mysql_async::Error> {
        let live: Option<u64> = transaction.exec_first(self.count, (&self.space, self.now)).await?;
        for removal in self.removals {
            transaction.exec_drop(removal, (&self.space,)).await?;
        }
        transaction.query_drop(self.draw).await?;
        transaction.exec_drop(self.floor, (&self.space, self.forget)).await?;
        Ok(Ok(live.unwrap_or(0)))
    }
}

fn outcome(write: &Write, (done, version, existed): Done) -> Outcome {
    let version = version.map(Version);
    match (write, done, version) {
        (Write::Put(..), true, Some(version)) => Outcome::Put(Written::Stored { version, replaced: existed }),
        (Write::Delete(..), true, Some(version)) => Outcome::Delete(Deleted::Done { version, existed }),
        (Write::Put(..), _, current) => Outcome::Put(Written::Conflict { current }),
        (Write::Delete(..), _, current) => Outcome::Delete(Deleted::Conflict { current }),
    }
}
