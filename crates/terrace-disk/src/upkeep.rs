//! Background work, in steps that the owner of a log calls: nothing here is called by itself.

use std::sync::atomic::Ordering;

use crate::codec::training::Trained;
use crate::compact::Compacted;
use crate::config::{Durability, Mode};
use crate::disk::Disk;
use crate::error::Result;
use crate::sweep::Swept;
use crate::writer::Purpose;

impl Disk {
    /// Whether something waits for a [`Disk::sync`] that nobody else will make: under `interval`, to be asked as
    /// often as the interval says.
    #[must_use]
    pub fn sync_due(&self) -> bool {
        let unsynced = || {
            let writer = self.shared.writer.lock();
            writer.active.is_some() && self.shared.commit.synced() < writer.position()
                || (!writer.doomed.is_empty() && !self.shared.has_snapshots())
        };
        !matches!(self.shared.config.durability, Durability::Never) && unsynced()
    }

    /// Removes at most so many expired entries and floors that are not needed any more. To be called now and then.
    ///
    /// # Errors
    /// `Io`, `Full`.
    ///
    /// # Cost
    /// One read for each; nothing for shards of the index in which nothing is due.
    pub fn sweep(&self, limit: usize, now_ms: u64) -> Result<Swept> {
        self.shared.sweep(limit, now_ms)
    }

    /// Judges floors by this time, in milliseconds since 1970, until it is told another, instead of by the time that
    /// is passed in, if that is later. For owners whose wall clock may jump ahead: a floor must outlive what it
    /// guards against.
    pub fn hold_floors(&self, time_ms: u64) {
        self.shared.floor_time_ms.store(time_ms, Ordering::Relaxed);
    }

    /// Goes through about so many bytes of the segment with the most garbage and appends again what is alive.
    ///
    /// # Errors
    /// As of [`Disk::put`].
    pub fn compact_step(&self, bytes: u64, now_ms: u64) -> Result<Compacted> {
        self.shared.compact_step(bytes, now_ms)
    }

    /// Whether [`Disk::compact_step`] would find something to do.
    #[must_use]
    pub fn compaction_due(&self) -> bool {
        self.shared.compaction_due()
    }

    /// Makes room in a cache ahead of the time it is needed, so that no put has to. Returns whether it did.
    ///
    /// # Errors
    /// As of [`Disk::put`].
    pub fn evict_step(&self, now_ms: u64) -> Result<bool> {
        let Mode::Cache { budget } = self.shared.config.mode else { return Ok(false) };
        let mut writer = self.shared.writer.lock();
        self.shared.begin(&mut writer, 64, Purpose::Reserve, now_ms)?;
        let before = writer.doomed.len();
        self.shared.evict_ahead(&mut writer, budget, now_ms)?;
        Ok(writer.doomed.len() > before)
    }

    /// Whether an index snapshot is due.
    #[must_use]
    pub fn checkpoint_due(&self) -> bool {
        self.shared.checkpoint_due()
    }

    /// Writes an index snapshot while the log is in use. It makes opening fast, nothing else.
    ///
    /// # Errors
    /// `Io`, `Full`, `Failed`: nothing is lost by it.
    pub fn checkpoint(&self) -> Result<()> {
        self.shared.checkpoint(false)
    }

    /// Whether learning a dictionary is likely to pay.
    #[must_use]
    pub fn wants_training(&self) -> bool {
        let appended = self.shared.counters.appended.load(Ordering::Relaxed);
        self.shared.wants_training(appended)
    }

    /// Learns a dictionary from the newest values, and adopts it if that pays.
    ///
    /// # Errors
    /// `Io`, `Failed`.
    ///
    /// # Cost
    /// A few hundred milliseconds and some MiB, without a lock that readers or writers take.
    pub fn train(&self) -> Result<Trained> {
        let appended = self.shared.counters.appended.load(Ordering::Relaxed);
        self.shared.train(appended)
    }
}
