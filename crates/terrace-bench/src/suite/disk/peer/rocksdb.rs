//! RocksDB: a log-structured merge tree in C++. Built only with `--cfg terrace_rocksdb`, because building it takes
//! longer than everything else together.

use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, DB, Options, WriteBatch, WriteOptions};

use super::CACHE;
use crate::suite::Failure;
use crate::suite::disk::engine::{Engine, Pair, Sync};

struct Rocks {
    database: DB,
    sync: Sync,
}

pub(super) fn open(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(CACHE));
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    Ok(Box::new(Rocks { database: DB::open(&options, folder)?, sync }))
}

impl Engine for Rocks {
    fn write(&self, pairs: &[Pair]) -> Result<(), Failure> {
        let mut batch = WriteBatch::default();
        for (key, value) in pairs {
            batch.put(key, value);
        }
        let mut options = WriteOptions::default();
        options.set_sync(self.sync == Sync::Each);
        Ok(self.database.write_opt(batch, &options)?)
    }

    fn read(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        let found = self.database.get_pinned(key)?;
        Ok(found.map(|value| out.extend_from_slice(&value)).is_some())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.database.flush()?)
    }
}
