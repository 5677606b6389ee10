//! A store in a folder, over [sled](https://docs.rs/sled) 0.34, a log-structured B-tree in pure Rust.
//!
//! What the contract asks for beyond rows in order is in [`ordered`](crate::ordered). 0.34 is the last stable release
//! of sled; its successor has been an alpha for years. This store is for those who have sled already; for a new
//! folder take `fjall`.
//!
//! # Cost
//! All namespaces share one tree, so that a batch over several of them is one transaction; a second tree holds what
//! expires and a third what is known of the whole. A write on its own is one insert; several are a transaction, which
//! keeps every other writer and reader of sled's waiting. sled keeps its own cache ([`cache_bytes`]), gathers what is
//! written in a buffer, and writes that down when it is full, every [`flush_every_ms`], and when it is told to. Being
//! told waits for the disk, and is done where that holds nobody up.
//!
//! # Durability
//! `never` is all it can promise: a killed process loses nothing that was acknowledged. Everything beyond is refused.
//! On Linux sled writes its log back with `sync_file_range`, which leaves it in the caches of the disk, and it syncs
//! none of the files in which it keeps large values, so a power cut may cost what was acknowledged and more. What was
//! closed is there again when it is opened, with nothing to be counted or loaded.
//!
//! # What it is not
//! sled keeps no old rows, so there are no snapshots. Its subscriptions keep writers waiting for a reader that is
//! slow, so watching is the store's own.
//!
//! [`cache_bytes`]: SledConfig::cache_bytes
//! [`flush_every_ms`]: SledConfig::flush_every_ms

mod config;
mod engine;
mod error;

use std::sync::Arc;

use terrace_store::{Clock, Result, Spawn};

use crate::ordered::OrderedStore;
pub use config::SledConfig;
pub use engine::{Sled, SledRows};

pub(crate) const NAME: &str = "sled";

/// A store in a folder. See the [module's documentation](self).
pub type SledStore = OrderedStore<Sled>;

impl SledStore {
    /// Opens the folder, or makes it. Blocks while it reads what is there: after a close that was not clean,
    /// every row once.
    ///
    /// # Errors
    /// `Busy` if another store has it open, `Config` if a newer release wrote it or a setting is wrong,
    /// `Corrupt` if it is damaged, `Denied` or `Full` as the disk says.
    #[allow(clippy::needless_pass_by_value, reason = "a store takes its configuration over")]
    pub fn open(config: SledConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.verify()?;
        Self::over(&config.settings(), clock, spawn, |folder| Sled::open(&config, folder))
    }
}
