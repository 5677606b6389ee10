//! The writes: what a write finds under its key, whether its condition holds, and what it then puts there.
//!
//! All of it happens while the stripe of the key is locked. A write that needs one row is one insert; one that
//! needs more, for its deadline or a batch, is one batch of the engine, which a crash keeps wholly or not at all.

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::RandomState;
use terrace_store::capability::{Change as Told, Outcome, Write};
use terrace_store::store::VALUE_LIMIT;
use terrace_store::{
    Compress, Condition, DeleteOptions, Deleted, Entry, Error, ErrorKind, Key, PutOptions, Result, Version,
    Written,
};

use super::engine::{self, Engine, Space};
use super::folder::Folder;
use super::row::{self, Due};
use super::rows::recovered;
use crate::record::{self, Summary};
use crate::spaces::Amount;
use crate::watchers::Watchers;

/// What a write finds under its key.
#[derive(Clone, Debug, Default)]
pub(super) struct Prior {
    /// The record, if there is one that can be read and no clear has buried it.
    pub(super) summary: Option<Summary>,
    /// Why the record that is there cannot be read.
    pub(super) damaged: Option<Error>,
    /// Whether a clear has buried what is there.
    pub(super) buried: bool,
    /// What it counts for.
    pub(super) amount: Amount,
    /// Its row in `expiry`.
    pub(super) due: Option<Due>,
}

impl Prior {
    /// What a row holds.
    ///
    /// # Errors
    /// `Conflict` if it is another key's.
    pub(super) fn weigh<E: Engine>(folder: &Folder<E>, key: &Key, row: &Bytes, value: Bytes) -> Result<Self> {
        let stored = (row.len() + value.len()) as u64;
        let read = row::envelope(key, row, value).and_then(|envelope| record::summary(key, &envelope));
        let summary = match read {
            Ok(summary) => summary,
            Err(error) if error.kind() == ErrorKind::Conflict => return Err(error),
            Err(error) => {
                folder.damage.note();
                let amount = Amount { count: 1, bytes: key.bytes().len() as u64, stored };
                return Ok(Self { damaged: Some(error), amount, ..Self::default() });
            }
        };
        let due = summary.deadline_ms.map(if summary.tombstone { Due::Floor } else { Due::Entry });
        if folder.spaces.bury(key, summary.version) {
            return Ok(Self { buried: true, due, ..Self::default() });
        }
        let amount = if summary.tombstone {
            Amount::default()
        } else {
            Amount { count: 1, bytes: key.bytes().len() as u64 + summary.value_len, stored }
        };
        Ok(Self { summary: Some(summary), due, amount, ..Self::default() })
    }

    /// What lies in each of these rows, which somebody is about to write.
    fn read_all<E: Engine>(
        folder: &Folder<E>,
        operation: &'static str,
        keys: &[&Key],
        rows: &[Bytes],
    ) -> Result<Vec<Self>> {
        let mut priors = Vec::with_capacity(rows.len());
        folder.engine.before(operation, rows, |at, found| {
            priors.push(Self::found(folder, keys[at], &rows[at], found));
        });
        priors.into_iter().collect()
    }

    fn read<E: Engine>(folder: &Folder<E>, operation: &'static str, key: &Key, row: &Bytes) -> Result<Self> {
        let mut prior = Ok(Self::default());
        folder.engine.before(operation, std::slice::from_ref(row), |_, found| {
            prior = Self::found(folder, key, row, found);
        });
        prior
    }

    fn found<E: Engine>(
        folder: &Folder<E>,
        key: &Key,
        row: &Bytes,
        found: Result<Option<Bytes>>,
    ) -> Result<Self> {
        match recovered(&folder.engine, &folder.damage, row, found) {
            Ok(None) => Ok(Self::default()),
            Ok(Some(value)) => Self::weigh(folder, key, row, value),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                Ok(Self { damaged: Some(error), ..Self::default() })
            }
            Err(error) => Err(error),
        }
    }

    /// The version of the live entry.
    pub(super) fn current(&self, wall_ms: u64) -> Option<Version> {
        self.summary.filter(|summary| summary.is_live(wall_ms)).map(|summary| summary.version)
    }
}

/// A write that will be done: what lies in its row, and what will.
struct Change {
    key: Key,
    row: Bytes,
    version: Version,
    value: Bytes,
    before: Amount,
    after: Amount,
    old_due: Option<Due>,
    due: Option<Due>,
}

impl Change {
    /// What a later write of the same batch finds.
    fn as_prior(&self, summary: Summary) -> Prior {
        Prior { summary: Some(summary), due: self.due, amount: self.after, ..Prior::default() }
    }

    /// Tells those who watch.
    fn tell(&self, watchers: &Watchers) {
        watchers.tell(&self.key, || {
            let (key, version) = (self.key.clone(), self.version);
            if self.after.count == 0 { Told::Deleted { key, version } } else { Told::Put { key, version } }
        });
    }
}

/// The time as a write sees it.
#[derive(Clone, Copy)]
pub(super) struct Now {
    /// Wall time.
    pub(super) wall_ms: u64,
    /// From when on a floor left now may be forgotten.
    pub(super) floor_deadline_ms: u64,
}

/// A change with what it says of the record, or the live version that stands against it.
type Planned = std::result::Result<(Change, Summary), Option<Version>>;

impl<E: Engine> Folder<E> {
    /// Writes an entry.
    pub(super) fn put(&self, key: &Key, entry: &Entry, options: PutOptions, now: Now) -> Result<Written> {
        check_value(entry)?;
        let row = row::row(key);
        let _stripe = self.stripes.lock(&row);
        let prior = Prior::read(self, "put", key, &row)?;
        let replaced = prior.current(now.wall_ms).is_some();
        match self.plan_put(key, row, &prior, entry, options, now)? {
            Err(current) => Ok(Written::Conflict { current }),
            Ok((change, _)) => {
                let version = change.version;
                self.write_one("put", change)?;
                Ok(Written::Stored { version, replaced })
            }
        }
    }

    /// Removes an entry and leaves a floor.
    pub(super) fn delete(&self, key: &Key, options: DeleteOptions, now: Now) -> Result<Deleted> {
        check_delete(options)?;
        let row = row::row(key);
        let _stripe = self.stripes.lock(&row);
        let prior = Prior::read(self, "delete", key, &row)?;
        let existed = prior.current(now.wall_ms).is_some();
        match self.plan_delete(key, row, &prior, options, now)? {
            Err(current) => Ok(Deleted::Conflict { current }),
            Ok((change, _)) => {
                let version = change.version;
                self.write_one("delete", change)?;
                Ok(Deleted::Done { version, existed })
            }
        }
    }

    /// Applies writes in order, as one. If `unchanged` names versions that were read, they must still be there.
    ///
    /// # Errors
    /// `Conflict` if they are not; nothing was applied then, nor after any other error.
    pub(super) fn apply(
        &self,
        writes: &[Write],
        unchanged: &[(Key, Option<Version>)],
        now: Now,
    ) -> Result<Vec<Outcome>> {
        for write in writes {
            match write {
                Write::Put(_, entry, _) => check_value(entry)?,
                Write::Delete(_, options) => check_delete(*options)?,
            }
        }
        let rows: Vec<Bytes> = writes.iter().map(|write| row::row(write.key())).collect();
        let read: Vec<Bytes> = unchanged.iter().map(|(key, _)| row::row(key)).collect();
        let _stripes = self.stripes.lock_many(rows.iter().chain(&read).map(|row| &row[..]));
        let read_keys: Vec<&Key> = unchanged.iter().map(|(key, _)| key).collect();
        let found = Prior::read_all(self, "commit", &read_keys, &read)?;
        for ((key, version), prior) in unchanged.iter().zip(found) {
            if prior.current(now.wall_ms) != *version {
                return Err(Error::new(ErrorKind::Conflict, "commit")
                    .with("key", format_args!("{key:?}"))
                    .because("somebody changed what the transaction has read; run it again"));
            }
        }
        let keys: Vec<&Key> = writes.iter().map(Write::key).collect();
        let priors = Prior::read_all(self, "apply", &keys, &rows)?;
        let mut changes: Vec<Change> = Vec::with_capacity(writes.len());
        let mut places: HashMap<Bytes, (usize, Summary), RandomState> =
            HashMap::with_capacity_and_hasher(writes.len(), RandomState::default());
        let mut outcomes = Vec::with_capacity(writes.len());
        for ((write, row), prior) in writes.iter().zip(rows).zip(priors) {
            let place = places.get(&row).copied();
            let prior = match place {
                Some((at, summary)) => changes[at].as_prior(summary),
                None => prior,
            };
            let live = prior.current(now.wall_ms).is_some();
            let planned = match write {
                Write::Put(key, entry, options) => {
                    self.plan_put(key, row.clone(), &prior, entry, *options, now)?
                }
                Write::Delete(key, options) => self.plan_delete(key, row.clone(), &prior, *options, now)?,
            };
            outcomes.push(outcome(write, &planned, live));
            let Ok((mut change, summary)) = planned else { continue };
            match place {
                Some((at, _)) => {
                    // The row is written once, and what lay there before the batch is what it replaces.
                    change.before = changes[at].before;
                    change.old_due = changes[at].old_due;
                    changes[at] = change;
                    places.insert(row, (at, summary));
                }
                None => {
                    places.insert(row, (changes.len(), summary));
                    changes.push(change);
                }
            }
        }
        self.write_many("apply", changes)?;
        Ok(outcomes)
    }

    /// The version a write gets, or the live version that stands against it.
    fn judge(
        &self,
        key: &Key,
        prior: &Prior,
        condition: Condition,
        wall_ms: u64,
    ) -> Result<std::result::Result<Version, Option<Version>>> {
        if let (Some(damage), false) = (&prior.damaged, condition == Condition::Any) {
            return Err(damage.clone());
        }
        let current = prior.current(wall_ms);
        match condition {
            Condition::Any => self.next_version().map(Ok),
            Condition::Absent if current.is_none() => self.next_version().map(Ok),
            Condition::Match(expected) if current == Some(expected) => self.next_version().map(Ok),
            Condition::Newer(version) => {
                let known = prior.summary.map_or(Version::ZERO, |summary| summary.version);
                if version <= known.max(self.spaces.floor(key)) {
                    return Ok(Err(current));
                }
                self.raise_version(version)?;
                Ok(Ok(version))
            }
            _ => Ok(Err(current)),
        }
    }

    fn plan_put(
        &self,
        key: &Key,
        row: Bytes,
        prior: &Prior,
        entry: &Entry,
        options: PutOptions,
        now: Now,
    ) -> Result<Planned> {
        let version = match self.judge(key, prior, options.condition, now.wall_ms)? {
            Ok(version) => version,
            Err(current) => return Ok(Err(current)),
        };
        let value = self.seal(key, entry, version, options.compress)?;
        let value_len = entry.value.len() as u64;
        let deadline_ms = entry.deadline_ms();
        let after = Amount {
            count: 1,
            bytes: key.bytes().len() as u64 + value_len,
            stored: (row.len() + value.len()) as u64,
        };
        let summary = Summary { version, tombstone: false, deadline_ms, value_len };
        let due = deadline_ms.map(Due::Entry);
        let (before, old_due) = (prior.amount, prior.due);
        Ok(Ok((Change { key: key.clone(), row, version, value, before, after, old_due, due }, summary)))
    }

    fn plan_delete(
        &self,
        key: &Key,
        row: Bytes,
        prior: &Prior,
        options: DeleteOptions,
        now: Now,
    ) -> Result<Planned> {
        match self.judge(key, prior, options.condition, now.wall_ms)? {
            Ok(version) => self.plan_tombstone(key, row, prior, version, now).map(Ok),
            Err(current) => Ok(Err(current)),
        }
    }

    fn plan_tombstone(
        &self,
        key: &Key,
        row: Bytes,
        prior: &Prior,
        version: Version,
        now: Now,
    ) -> Result<(Change, Summary)> {
        let deadline = now.floor_deadline_ms;
        let mut value = Vec::with_capacity(64);
        row::put_prefix(key, &mut value);
        record::seal_tombstone(key, version, deadline, &mut value)?;
        let summary = Summary { version, tombstone: true, deadline_ms: Some(deadline), value_len: 0 };
        let change = Change {
            key: key.clone(),
            row,
            version,
            value: value.into(),
            before: prior.amount,
            after: Amount::default(),
            old_due: prior.due,
            due: Some(Due::Floor(deadline)),
        };
        Ok((change, summary))
    }

    /// Replaces an entry whose time is over by a floor at its version.
    pub(super) fn expire(
        &self,
        key: &Key,
        row: Bytes,
        prior: &Prior,
        version: Version,
        now: Now,
    ) -> Result<()> {
        let (change, _) = self.plan_tombstone(key, row, prior, version, now)?;
        self.write_one("sweep", change)
    }

    /// The value of an entry's row.
    fn seal(&self, key: &Key, entry: &Entry, version: Version, compress: Compress) -> Result<Bytes> {
        /// Small records are made here and copied out, so that each lies in an allocation of its exact size.
        const SCRATCH: usize = 16 << 10;
        thread_local! {
            static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let seal = |out: &mut Vec<u8>| {
            row::put_prefix(key, out);
            record::seal(key, entry, version, compress, self.compress_from, out)
        };
        if entry.value.len() > SCRATCH || row::is_cut(key.flat()) {
            let mut out = Vec::new();
            seal(&mut out)?;
            return Ok(out.into());
        }
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            seal(buffer)?;
            let sealed = Bytes::copy_from_slice(buffer);
            buffer.shrink_to(4 * SCRATCH);
            Ok(sealed)
        })
    }

    fn write_one(&self, operation: &'static str, mut change: Change) -> Result<()> {
        if change.old_due.is_some() || change.due.is_some() {
            return self.write_many(operation, vec![change]);
        }
        let grown = change.after.stored.saturating_sub(change.before.stored);
        if !self.spaces.reserve(grown, self.capacity) {
            return Err(self.full(operation));
        }
        let (row, value) = (std::mem::take(&mut change.row), std::mem::take(&mut change.value));
        if let Err(error) = self.engine.insert(operation, row, value) {
            self.spaces.release(grown);
            return Err(error);
        }
        self.spaces.release(change.before.stored.saturating_sub(change.after.stored));
        self.spaces.replace(&change.key, change.before, change.after);
        change.tell(&self.watchers);
        Ok(())
    }

    fn write_many(&self, operation: &'static str, changes: Vec<Change>) -> Result<()> {
        let before: u64 = changes.iter().map(|change| change.before.stored).sum();
        let after: u64 = changes.iter().map(|change| change.after.stored).sum();
        let grown = after.saturating_sub(before);
        if !self.spaces.reserve(grown, self.capacity) {
            return Err(self.full(operation));
        }
        let mut rows = Vec::with_capacity(3 * changes.len());
        for change in &changes {
            rows.push(engine::Change::Put(Space::Entries, change.row.clone(), change.value.clone()));
            if let Some(old) = change.old_due.filter(|old| Some(*old) != change.due) {
                rows.push(engine::Change::Remove(Space::Expiry, old.key(&change.row)));
            }
            if let Some(due) = change.due {
                let version = row::version_bytes(change.version);
                rows.push(engine::Change::Put(Space::Expiry, due.key(&change.row), version));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.engine.write(operation, rows) {
            self.spaces.release(grown);
            return Err(error);
        }
        self.spaces.release(before.saturating_sub(after));
        for change in changes {
            self.spaces.replace(&change.key, change.before, change.after);
            change.tell(&self.watchers);
        }
        Ok(())
    }

    fn full(&self, operation: &'static str) -> Error {
        Error::new(ErrorKind::Full, operation)
            .with("store", E::NAME)
            .with("capacity", self.capacity.unwrap_or(u64::MAX))
            .because("the byte budget is used up; delete something or raise it")
    }
}

fn outcome(write: &Write, planned: &Planned, live: bool) -> Outcome {
    match (write, planned) {
        (Write::Put(..), Ok((change, _))) => {
            Outcome::Put(Written::Stored { version: change.version, replaced: live })
        }
        (Write::Put(..), Err(current)) => Outcome::Put(Written::Conflict { current: *current }),
        (Write::Delete(..), Ok((change, _))) => {
            Outcome::Delete(Deleted::Done { version: change.version, existed: live })
        }
        (Write::Delete(..), Err(current)) => Outcome::Delete(Deleted::Conflict { current: *current }),
    }
}

fn check_value(entry: &Entry) -> Result<()> {
    if entry.value.len() <= VALUE_LIMIT {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, "put")
        .with("length", entry.value.len())
        .because(format!("a value is at most {VALUE_LIMIT} bytes long")))
}

fn check_delete(options: DeleteOptions) -> Result<()> {
    if options.condition != Condition::Absent {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, "delete").because("a delete cannot depend on the entry's absence"))
}
