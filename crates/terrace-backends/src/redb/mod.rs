//! A durable store in a folder, over [redb](https://docs.rs/redb), a copy-on-write B-tree in one file, in pure Rust.
//!
//! What the contract asks for beyond rows in order is in [`ordered`](crate::ordered).
//!
//! # Cost
//! Each write is a transaction of redb's, which copies the pages from the root to the row; there is one writer at a
//! time. Reads take no lock that a writer holds, and share one of redb's read transactions until something is
//! written. What is written stays in memory until a commit syncs it.
//!
//! # Durability
//! redb keeps a transaction in this process until it commits with an fsync; there is nothing in between that would
//! outlive a killed process and no power cut. So `never` and `interval`, which promise the first, are refused rather
//! than paid for with an fsync each; `group` and `always` are what they say, and writers share the fsync. While it
//! lasts no other transaction is begun. A write that failed for the disk ends all writing until the store is opened
//! again.
//!
//! # Damage
//! redb trusts a file that was closed in order, and checks the pages of one that was not. With
//! [`check`](RedbConfig::check) it checks all pages at every open. A page that is found damaged while the store is
//! open is `Corrupt` to whom it concerns.
//!
//! # What it is good for
//! Much reading, few and short write transactions, one file to carry about.

mod config;
mod engine;
mod error;

use std::sync::Arc;

use terrace_store::{Clock, Result, Spawn};

use crate::ordered::OrderedStore;
pub use config::RedbConfig;
pub use engine::{Redb, RedbRows, RedbView};

pub(crate) const NAME: &str = "redb";

/// A durable store in a folder. See the [module's documentation](self).
pub type RedbStore = OrderedStore<Redb>;

impl RedbStore {
    /// Opens the folder, or makes it. Blocks while it reads what is there: after a close that was not clean,
    /// every row once.
    ///
    /// # Errors
    /// `Busy` if another store has it open, `Config` if a newer release wrote it or a setting is wrong,
    /// `Corrupt` if it is damaged, `Denied` or `Full` as the disk says.
    #[allow(clippy::needless_pass_by_value, reason = "a store takes its configuration over")]
    pub fn open(config: RedbConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.verify()?;
        Self::over(&config.settings(), clock, spawn, |file| Redb::open(&config, file))
    }
}
