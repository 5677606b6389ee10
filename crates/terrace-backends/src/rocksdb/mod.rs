//! `rocksdb:` a durable store in a folder, over [RocksDB](https://rocksdb.org), which is built into the program.
//!
//! What the contract asks for beyond rows in order is in [`ordered`](crate::ordered). Its three spaces are column
//! families that are written with one batch and flushed together.
//!
//! # Cost
//! A deferred write stays in the process until it is committed, so that a batch of them costs one system call. Blocks are
//! compressed with LZ4, those of the last level with Zstandard, and found through a filter of 10 bits a key. The first
//! build takes some ten minutes, for half a million lines of C++, and needs libclang.
//!
//! # Durability
//! All words up to `always`, which is its ceiling. With `never` and `interval` a write is acknowledged once the log is
//! with the operating system, with `group` and `always` after an fsync of it, which writers share. After a crash the log
//! is read up to its first damaged place.
//!
//! # What of RocksDB it does not use, and why
//! *Optimistic transactions*: the store's compare versions, which RocksDB does not know; what they write is one batch.
//! *A column family for each namespace*: a namespace is a range of rows, and clearing one of any size takes one row;
//! thousands of families would each have buffers. *Merge operators*: a counter that is merged has neither a version nor
//! a condition; [`update`](terrace_store::StoreExt::update) has both. *A comparator of one's own*: keys are ordered by
//! their bytes in every store, and listings and copies rest on that. *Expiry by compaction*: what vanished so would leave
//! no floor, be counted still, and be told to nobody; a [`sweep`](terrace_store::Store::sweep) does it in order.
//!
//! # Backups
//! [`RocksdbStore::backup`] copies an open store, [`RocksdbStore::restore`] makes a folder of a copy.

mod backup;
mod config;
mod engine;
mod error;

use std::sync::Arc;

use terrace_store::{Clock, Result, Spawn};

use crate::ordered::OrderedStore;
pub use config::RocksdbConfig;
pub use engine::{Rocksdb, RocksdbRows, RocksdbView};

pub(crate) const NAME: &str = "rocksdb";

/// A durable store in a folder. See the [module's documentation](self).
pub type RocksdbStore = OrderedStore<Rocksdb>;

impl RocksdbStore {
    /// Opens the folder, or makes it. Blocks while it reads what is there: after a close that was not clean,
    /// every row once.
    ///
    /// # Errors
    /// `Busy` if another store has it open, `Config` if a newer release wrote it or a setting is wrong,
    /// `Corrupt` if it is damaged, `Denied` or `Full` as the disk says.
    #[allow(clippy::needless_pass_by_value, reason = "a store takes its configuration over")]
    pub fn open(config: RocksdbConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        Self::over(&config.settings(), clock, spawn, |folder| Rocksdb::open(&config, folder))
    }
}
