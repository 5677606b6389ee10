//! What the store asks of RocksDB.

use std::path::Path;
use std::sync::Arc;

use ::rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRawIteratorWithThreadMode, Options, ReadOptions, SnapshotWithThreadMode, WriteBatch,
};
use bytes::Bytes;
use self_cell::self_cell;
use terrace_store::{Error, ErrorKind, Result};

use super::config::RocksdbConfig;
use super::error::{ends_writing, translate};
use crate::ordered::{Change, Engine, Read, Space};

type Iter<'a> = DBRawIteratorWithThreadMode<'a, DB>;
type Snapshot<'a> = SnapshotWithThreadMode<'a, DB>;

/// RocksDB's database in a folder, a column family a space.
pub struct Rocksdb {
    pub(super) db: Arc<DB>,
}

self_cell!(
    /// A snapshot, and the database it is of.
    struct Held {
        owner: Arc<DB>,
        #[covariant]
        dependent: Snapshot,
    }
);

self_cell!(
    /// Rows of the database as it is.
    struct Current {
        owner: Arc<DB>,
        #[not_covariant]
        dependent: Iter,
    }
);

self_cell!(
    /// Rows as they were.
    struct Former {
        owner: Arc<Held>,
        #[not_covariant]
        dependent: Iter,
    }
);

/// The rows as they were. It keeps old ones from being compacted away while it lives.
pub struct RocksdbView(Arc<Held>);

/// Rows in order.
pub struct RocksdbRows {
    rows: Source,
    operation: &'static str,
}

enum Source {
    Current(Current),
    Former(Former),
    Failed(Option<Error>),
}

impl RocksdbRows {
    fn step(&mut self) -> Option<Result<(Bytes, Bytes), ::rocksdb::Error>> {
        fn step(iter: &mut Iter<'_>) -> Option<Result<(Bytes, Bytes), ::rocksdb::Error>> {
            let Some((row, value)) = iter.item() else { return iter.status().err().map(Err) };
            let item = (Bytes::copy_from_slice(row), Bytes::copy_from_slice(value));
            iter.next();
            Some(Ok(item))
        }
        match &mut self.rows {
            Source::Current(rows) => rows.with_dependent_mut(|_, iter| step(iter)),
            Source::Former(rows) => rows.with_dependent_mut(|_, iter| step(iter)),
            Source::Failed(_) => None,
        }
    }
}

impl Iterator for RocksdbRows {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Source::Failed(error) = &mut self.rows {
            return error.take().map(Err);
        }
        let item = self.step()?;
        if item.is_err() {
            // What comes behind damage is found by asking for it.
            self.rows = Source::Failed(None);
        }
        Some(item.map_err(|source| translate(self.operation, source)))
    }
}

fn family<'a>(db: &'a DB, operation: &'static str, space: Space) -> Result<&'a ColumnFamily> {
    db.cf_handle(space.name()).ok_or_else(|| {
        let error = Error::new(ErrorKind::Corrupt, operation).with("store", super::NAME);
        error.because(format!("the column family `{}` is gone", space.name()))
    })
}

fn bounded(before: Option<&[u8]>) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(before) = before {
        options.set_iterate_upper_bound(before);
    }
    options
}

impl Read for Rocksdb {
    type Rows = RocksdbRows;

    fn get(&self, operation: &'static str, space: Space, row: &[u8]) -> Result<Option<Bytes>> {
        let value = self.db.get_pinned_cf(family(&self.db, operation, space)?, row);
        let value = value.map_err(|source| translate(operation, source))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(
        &self,
        operation: &'static str,
        space: Space,
        from: &[u8],
        before: Option<&[u8]>,
    ) -> RocksdbRows {
        let rows = Current::try_new(Arc::clone(&self.db), |db| {
            let mut iter = db.raw_iterator_cf_opt(family(db, operation, space)?, bounded(before));
            iter.seek(from);
            Ok(iter)
        });
        RocksdbRows {
            rows: rows.map_or_else(|error| Source::Failed(Some(error)), Source::Current),
            operation,
        }
    }
}

impl Read for RocksdbView {
    type Rows = RocksdbRows;

    fn get(&self, operation: &'static str, space: Space, row: &[u8]) -> Result<Option<Bytes>> {
        let family = family(self.0.borrow_owner(), operation, space)?;
        let value = self.0.borrow_dependent().get_pinned_cf(family, row);
        let value = value.map_err(|source| translate(operation, source))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(
        &self,
        operation: &'static str,
        space: Space,
        from: &[u8],
        before: Option<&[u8]>,
    ) -> RocksdbRows {
        let rows = Former::try_new(Arc::clone(&self.0), |held| {
            let family = family(held.borrow_owner(), operation, space)?;
            let mut iter = held.borrow_dependent().raw_iterator_cf_opt(family, bounded(before));
            iter.seek(from);
            Ok(iter)
        });
        RocksdbRows { rows: rows.map_or_else(|error| Source::Failed(Some(error)), Source::Former), operation }
    }
}

impl Engine for Rocksdb {
    type View = RocksdbView;

    const NAME: &'static str = super::NAME;
    const FILE: &'static str = "rocksdb";

    /// One batch, which the log of RocksDB keeps wholly or not at all. It stays in the process until it is handed over.
    fn write(&self, operation: &'static str, changes: Vec<Change>) -> Result<()> {
        let mut batch = WriteBatch::default();
        for change in &changes {
            match change {
                Change::Put(space, row, value) => {
                    batch.put_cf(family(&self.db, operation, *space)?, row, value)
                }
                Change::Remove(space, row) => batch.delete_cf(family(&self.db, operation, *space)?, row),
            }
        }
        self.db.write(batch).map_err(|source| translate(operation, source))
    }

    fn insert(&self, operation: &'static str, row: Bytes, value: Bytes) -> Result<()> {
        let family = family(&self.db, operation, Space::Entries)?;
        self.db.put_cf(family, row, value).map_err(|source| translate(operation, source))
    }

    fn hand_over(&self, operation: &'static str) -> Result<()> {
        self.db.flush_wal(false).map_err(|source| translate(operation, source))
    }

    fn sync(&self, operation: &'static str) -> Result<()> {
        self.db.flush_wal(true).map_err(|source| translate(operation, source))
    }

    fn view(&self, _: &'static str) -> Result<Option<RocksdbView>> {
        Ok(Some(RocksdbView(Arc::new(Held::new(Arc::clone(&self.db), |db| db.snapshot())))))
    }

    fn ends_writing(error: &Error) -> bool {
        ends_writing(error)
    }

    fn close(self, operation: &'static str) -> Result<()> {
        self.sync(operation)?;
        self.db.cancel_all_background_work(true);
        Ok(())
    }
}

impl Rocksdb {
    /// Opens RocksDB's folder, or makes it.
    pub(super) fn open(config: &RocksdbConfig, folder: &Path) -> Result<Self> {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_lru_cache(config.block_cache_size));
        blocks.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_size(config.write_buffer_size);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        let mut database = options.clone();
        database.create_if_missing(true);
        database.create_missing_column_families(true);
        database.set_max_open_files(config.max_open_files);
        // Deferred writes cost no system call each.
        database.set_manual_wal_flush(true);
        // The spaces are as of one moment, whatever becomes of the log.
        database.set_atomic_flush(true);
        let families = Space::ALL.map(|space| ColumnFamilyDescriptor::new(space.name(), options.clone()));
        let db = DB::open_cf_descriptors(&database, folder, families)
            .map_err(|source| translate("open", source))?;
        Ok(Self { db: Arc::new(db) })
    }
}
