//! A durable store in a folder, over [SQLite](https://sqlite.org), which is built into the program.
//!
//! What the contract asks for beyond rows in order is in [`ordered`](crate::ordered).
//!
//! # Cost
//! There is one connection that writes and several that read, none of which waits for another: the database keeps a
//! write-ahead log. Statements are prepared once a connection. A write on its own is one statement and some write(2);
//! several in a batch are one transaction. Every so many pages of the log ([`checkpoint_pages`]) the writer whose turn
//! it is moves them into the database, which waits for the disk. A sweep removes what has expired and gives the
//! pages that became free back to the file system, some at a time.
//!
//! # Durability
//! A transaction is with the operating system once it is committed, so with `never` and `interval` a killed process
//! loses nothing, and a power cut at most what was not synced, never the database. Syncs, of `interval`, `group` and
//! `always`, sync the log through a file of our own while others write; before the log is begun anew SQLite itself
//! syncs it and the database.
//!
//! # What is in the file
//! `terrace.sqlite` has the `application_id` of a Terrace store, its format in `user_version`, and three tables,
//! `entries`, `expiry` and `meta`, each of a `key` and a `value`. Any SQLite may read it meanwhile; one that writes to
//! it breaks what is counted. A database of another program or of a newer release is refused.
//!
//! # What it is good for
//! A file that every tool can open and back up, moderate numbers of writes, keys in order.
//!
//! [`checkpoint_pages`]: SqliteConfig::checkpoint_pages

mod config;
mod connection;
mod engine;
mod error;
mod rows;

use std::sync::Arc;

use terrace_store::{Clock, Result, Spawn};

use crate::ordered::OrderedStore;
pub use config::SqliteConfig;
pub use engine::{Sqlite, SqliteView};
pub use rows::SqliteRows;

pub(crate) const NAME: &str = "sqlite";

/// A durable store in a folder. See the [module's documentation](self).
pub type SqliteStore = OrderedStore<Sqlite>;

impl SqliteStore {
    /// Opens the folder, or makes it. Blocks while it reads what is there: after a close that was not clean,
    /// every row once.
    ///
    /// # Errors
    /// `Busy` if another store has it open, `Config` if a newer release or another program wrote it or a setting is
    /// wrong, `Corrupt` if it is damaged, `Denied` or `Full` as the disk says.
    #[allow(clippy::needless_pass_by_value, reason = "a store takes its configuration over")]
    pub fn open(config: SqliteConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.verify()?;
        Self::over(&config.settings(), clock, spawn, |file| Sqlite::open(&config, file))
    }
}
