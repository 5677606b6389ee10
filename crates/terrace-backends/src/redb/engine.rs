//! What the store asks of redb.
//!
//! Readers share one read transaction until something is written: beginning one, and finding the tables in it, costs
//! more than the read. A write replaces it once it is committed and before it returns, so whoever reads after a write
//! reads what it wrote.

use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use ::redb::{
    Database, Durability, Range, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition,
    WriteTransaction,
};
use bytes::Bytes;
use terrace_store::{Error, Result};

use super::config::RedbConfig;
use super::error::{ends_writing, guarded, translate};
use crate::ordered::{Change, Engine, Read, Space};

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

fn definition(space: Space) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(space.name())
}

/// redb's database in a file.
pub struct Redb {
    db: Database,
    latest: RwLock<Option<Arc<RedbView>>>,
}

/// The rows as they were. While it lives their pages are not used again.
pub struct RedbView {
    entries: Table,
    expiry: Table,
    meta: Table,
}

impl RedbView {
    fn of(&self, space: Space) -> &Table {
        match space {
            Space::Entries => &self.entries,
            Space::Expiry => &self.expiry,
            Space::Meta => &self.meta,
        }
    }

    fn in_transaction(operation: &'static str, transaction: &ReadTransaction) -> Result<Self> {
        let table =
            |space| transaction.open_table(definition(space)).map_err(|source| translate(operation, source));
        Ok(Self { entries: table(Space::Entries)?, expiry: table(Space::Expiry)?, meta: table(Space::Meta)? })
    }
}

/// Rows in order.
pub struct RedbRows {
    range: Option<Range<'static, &'static [u8], &'static [u8]>>,
    failed: Option<Error>,
    operation: &'static str,
}

impl Iterator for RedbRows {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let (range, operation) = (self.range.as_mut()?, self.operation);
        let row = guarded(operation, || match range.next() {
            None => Ok(None),
            Some(Ok((row, value))) => {
                Ok(Some((Bytes::copy_from_slice(row.value()), Bytes::copy_from_slice(value.value()))))
            }
            Some(Err(source)) => Err(translate(operation, source)),
        });
        if row.is_err() {
            self.range = None;
        }
        row.transpose()
    }
}

impl Read for RedbView {
    type Rows = RedbRows;

    fn get(&self, operation: &'static str, space: Space, row: &[u8]) -> Result<Option<Bytes>> {
        guarded(operation, || {
            let value = self.of(space).get(row).map_err(|source| translate(operation, source))?;
            Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
        })
    }

    fn range(&self, operation: &'static str, space: Space, from: &[u8], before: Option<&[u8]>) -> RedbRows {
        // An end before the beginning is an empty range, not a mistake.
        if before.is_some_and(|before| before <= from) {
            return RedbRows { range: None, failed: None, operation };
        }
        let bounds = (Bound::Included(from), before.map_or(Bound::Unbounded, Bound::Excluded));
        let range = guarded(operation, || {
            self.of(space).range::<&[u8]>(bounds).map_err(|source| translate(operation, source))
        });
        match range {
            Ok(range) => RedbRows { range: Some(range), failed: None, operation },
            Err(error) => RedbRows { range: None, failed: Some(error), operation },
        }
    }
}

impl Redb {
    /// Opens redb's file, or makes it.
    pub(super) fn open(config: &RedbConfig, file: &Path) -> Result<Self> {
        let mut builder = Database::builder();
        builder.set_cache_size(usize::try_from(config.cache_bytes).unwrap_or(usize::MAX));
        builder.set_check_integrity_on_open(config.check);
        let db = builder.create(file).map_err(|source| translate("open", source))?;
        let engine = Self { db, latest: RwLock::default() };
        // A reader finds no table that was never written to.
        let transaction = engine.begin("open", Durability::Immediate)?;
        for space in Space::ALL {
            transaction.open_table(definition(space)).map_err(|source| translate("open", source))?;
        }
        transaction.commit().map_err(|source| translate("open", source))?;
        Ok(engine)
    }

    fn begin(&self, operation: &'static str, durability: Durability) -> Result<WriteTransaction> {
        let mut transaction = self.db.begin_write().map_err(|source| translate(operation, source))?;
        transaction.set_durability(durability).map_err(|source| translate(operation, source))?;
        Ok(transaction)
    }

    /// The rows as they are.
    fn latest(&self, operation: &'static str) -> Result<Arc<RedbView>> {
        if let Some(latest) = &*self.latest.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(latest));
        }
        // The lock is held meanwhile, so that what a writer then takes away is no older than what is put here.
        let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(latest) = &*latest {
            return Ok(Arc::clone(latest));
        }
        let view = Arc::new(self.begin_read(operation)?);
        *latest = Some(Arc::clone(&view));
        Ok(view)
    }

    fn begin_read(&self, operation: &'static str) -> Result<RedbView> {
        guarded(operation, || {
            let transaction = self.db.begin_read().map_err(|source| translate(operation, source))?;
            RedbView::in_transaction(operation, &transaction)
        })
    }

    fn apply(operation: &'static str, transaction: &WriteTransaction, changes: &[Change]) -> Result<()> {
        for space in Space::ALL {
            let mut table = None;
            for change in changes {
                let (Change::Put(of, ..) | Change::Remove(of, _)) = change;
                if *of != space {
                    continue;
                }
                let table = match &mut table {
                    Some(table) => table,
                    none => none.insert(
                        transaction
                            .open_table(definition(space))
                            .map_err(|source| translate(operation, source))?,
                    ),
                };
                let done = match change {
                    Change::Put(_, row, value) => table.insert(&row[..], &value[..]).map(drop),
                    Change::Remove(_, row) => table.remove(&row[..]).map(drop),
                };
                done.map_err(|source| translate(operation, source))?;
            }
        }
        Ok(())
    }
}

impl Read for Redb {
    type Rows = RedbRows;

    fn get(&self, operation: &'static str, space: Space, row: &[u8]) -> Result<Option<Bytes>> {
        self.latest(operation)?.get(operation, space, row)
    }

    fn range(&self, operation: &'static str, space: Space, from: &[u8], before: Option<&[u8]>) -> RedbRows {
        match self.latest(operation) {
            Ok(latest) => latest.range(operation, space, from, before),
            Err(error) => RedbRows { range: None, failed: Some(error), operation },
        }
    }
}

impl Engine for Redb {
    type View = RedbView;

    const NAME: &'static str = super::NAME;
    const FILE: &'static str = "terrace.redb";
    const HANDS_OVER_IN_PLACE: bool = false;

    fn write(&self, operation: &'static str, changes: Vec<Change>) -> Result<()> {
        guarded(operation, || {
            let transaction = self.begin(operation, Durability::None)?;
            Self::apply(operation, &transaction, &changes)?;
            transaction.commit().map_err(|source| translate(operation, source))
        })?;
        self.latest.write().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }

    /// From one view for all of them.
    fn before(
        &self,
        operation: &'static str,
        rows: &[Bytes],
        mut tell: impl FnMut(usize, Result<Option<Bytes>>),
    ) {
        let latest = self.latest(operation);
        for (at, row) in rows.iter().enumerate() {
            tell(
                at,
                latest
                    .as_ref()
                    .map_err(Clone::clone)
                    .and_then(|latest| latest.get(operation, Space::Entries, row)),
            );
        }
    }

    fn hand_over(&self, operation: &'static str) -> Result<()> {
        self.sync(operation)
    }

    /// A transaction that changes nothing, but makes those before it durable.
    fn sync(&self, operation: &'static str) -> Result<()> {
        guarded(operation, || {
            let transaction = self.begin(operation, Durability::Immediate)?;
            transaction.commit().map_err(|source| translate(operation, source))
        })
    }

    fn view(&self, operation: &'static str) -> Result<Option<RedbView>> {
        self.begin_read(operation).map(Some)
    }

    fn ends_writing(error: &Error) -> bool {
        ends_writing(error)
    }

    fn close(self, operation: &'static str) -> Result<()> {
        self.sync(operation)?;
        drop(self.latest);
        self.db.close().map_err(|source| translate(operation, source))
    }
}
