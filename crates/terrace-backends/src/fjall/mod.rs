//! A durable store in a folder, over [fjall](https://docs.rs/fjall), a log-structured merge tree in pure Rust.
//!
//! It assigns versions from a sequence that never goes back, keeps what is acknowledged as its durability says,
//! orders its keys, counts them without a scan, and clears a namespace of any size at once. How it does that over
//! rows in order is in [`ordered`](crate::ordered).
//!
//! # Cost
//! Reads and deferred writes work in the call that polls them first: a system call at most, and for what is not
//! in memory a read from the disk. A write reads what it replaces. An entry without a deadline is one row, one
//! with a deadline two; a delete leaves two until its floor is forgotten. Syncs, sweeps, clears and long pages
//! are moved to a thread that may block. When compaction falls behind, fjall itself keeps writers waiting.
//!
//! # Durability
//! With `Interval` and `Never` a write is acknowledged after write(2): a killed process loses nothing. A deferred
//! write stays in the process until [`commit`], so that a batch of them costs one system call. With `Group` and
//! `Always` writers share an fsync. After an fsync that failed nothing more is written; what can still be read is
//! served. After a crash the journal is read up to its first damaged place. After a clean close too, but then
//! [`health`] says how much is missing. A data block that is damaged costs its own keys: they are `Corrupt` to a
//! `get`, and listings leave them out.
//!
//! # What it is not
//! One process at a time; no leases. The budget counts keys and records, not what fjall needs
//! besides, which is up to about 600 MiB of journals and buffers.
//!
//! [`commit`]: terrace_store::Store::commit
//! [`health`]: terrace_store::Store::health

mod config;
mod engine;
mod error;

use std::sync::Arc;

use terrace_store::{Clock, Result, Spawn};

use crate::ordered::OrderedStore;
pub use config::FjallConfig;
pub use engine::{Fjall, FjallRows, FjallView};

pub(crate) const NAME: &str = "fjall";

/// A durable store in a folder. See the [module's documentation](self).
pub type FjallStore = OrderedStore<Fjall>;

impl FjallStore {
    /// Opens the folder, or makes it. Blocks while it reads what is there: after a close that was not clean,
    /// every row once.
    ///
    /// # Errors
    /// `Busy` if another store has it open, `Config` if a newer release wrote it or a setting is wrong,
    /// `Corrupt` if it is damaged, `Denied` or `Full` as the disk says.
    #[allow(clippy::needless_pass_by_value, reason = "a store takes its configuration over")]
    pub fn open(config: FjallConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        Self::over(&config.settings(), clock, spawn, |folder| Fjall::open(&config, folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use terrace_store::fakes::FrozenClock;
    use terrace_store::tokio_runtime::TokioSpawn;
    use terrace_store::{Durability, Entry, Error, ErrorKind, Health, Key, PutOptions, Store, Written};

    fn open(folder: &tempfile::TempDir, durability: Durability, clock: &FrozenClock) -> FjallStore {
        let config = FjallConfig { durability, ..FjallConfig::new(folder.path()) };
        let spawn = Arc::new(TokioSpawn::current().unwrap());
        FjallStore::open(config, Arc::new(clock.clone()), spawn).unwrap()
    }

    fn key() -> Key {
        Key::new("n", "k").unwrap()
    }

    async fn put(store: &FjallStore) -> Result<Written> {
        store.put(&key(), Entry::new("v"), PutOptions::default()).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_written_is_synced_when_its_interval_is_over() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), FrozenClock::default());
        let store = open(&folder, Durability::Interval(Duration::from_secs(5)), &clock);
        for _ in 0..3 {
            let _ = put(&store).await.unwrap();
            while clock.sleepers() == 0 {
                tokio::task::yield_now().await;
            }
            clock.advance_ms(4_999);
            tokio::task::yield_now().await;
            assert!(store.shared.progress.is_dirty());
            clock.advance_ms(1);
            while store.shared.progress.is_dirty() {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn after_a_failed_fsync_writes_are_refused_and_reads_go_on() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), FrozenClock::default());
        let store = open(&folder, Durability::Always, &clock);
        let _ = put(&store).await.unwrap();
        store.shared.progress.settle(0, Err(Error::new(ErrorKind::Unavailable, "fsync")));
        assert_eq!(put(&store).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(store.commit().await.unwrap_err().kind(), ErrorKind::Unknown);
        assert!(store.get(&key()).await.unwrap().is_some());
        assert!(matches!(store.health().await, Health::Down(_)));
        store.close().await.unwrap();
        let _ = put(&open(&folder, Durability::Always, &clock)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_group_waits_for_others_and_then_syncs() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), FrozenClock::default());
        let store = Arc::new(open(&folder, Durability::Group(Duration::from_millis(2)), &clock));
        let writer = Arc::clone(&store);
        let written = tokio::spawn(async move { put(&writer).await });
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!written.is_finished());
        clock.advance_ms(2);
        let _ = written.await.unwrap().unwrap();
        assert!(!store.shared.progress.is_dirty());
    }
}
