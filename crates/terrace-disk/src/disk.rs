//! The door to the engine.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backup::{Copied, Progress, Verified};
use crate::batch::{Outcome, Unchanged, Write};
use crate::codec::training::Trained;
use crate::compact::Compacted;
use crate::config::{Config, Durability, Mode};
use crate::error::Result;
use crate::io::Io;
use crate::list::{Now, Page, Range};
use crate::open::open;
use crate::point::point;
use crate::read::{Entry, Found};
use crate::report::OpenReport;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::stats::{Health, Stats};
use crate::sweep::Swept;
use crate::tally::Tally;
use crate::unordered::Unordered;
use crate::write::{Delete, Deleted, Put, Written};
use crate::writer::Purpose;

/// An open log. All methods may be called by any thread; `now_ms` is the time in milliseconds since 1970.
///
/// It starts no threads of its own: [`Disk::sweep`], [`Disk::compact_step`], [`Disk::sync`],
/// [`Disk::checkpoint`] and [`Disk::train`] are steps of background work that its owner calls.
pub struct Disk {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Disk {
    /// Opens the log in a folder, or makes one, and says what it came across.
    ///
    /// # Errors
    /// `Busy` if it is open elsewhere, `Newer` for a later format, `Foreign` if the folder holds something else,
    /// `Invalid` for a configuration that makes no sense, `Io`.
    ///
    /// # Cost
    /// With an index snapshot, reading that and what was written since; without, reading everything. Threads are
    /// used while it runs.
    pub fn open(io: Arc<dyn Io>, config: Config, now_ms: u64) -> Result<(Self, OpenReport)> {
        let (shared, report) = open(io, config, None, now_ms)?;
        Ok((Self { shared }, report))
    }

    /// The same, encrypted: new segments are written with the keyring's current key, and older ones are read with
    /// the key they were written with. Segments that are not encrypted are read as they are.
    ///
    /// # Errors
    /// `Denied` if a key is missing or is another than it was; and as of [`Disk::open`].
    #[cfg(feature = "crypt")]
    pub fn open_encrypted(
        io: Arc<dyn Io>,
        config: Config,
        keys: Arc<terrace_envelope::crypt::Keyring>,
        now_ms: u64,
    ) -> Result<(Self, OpenReport)> {
        let (shared, report) = open(io, config, Some(keys), now_ms)?;
        Ok((Self { shared }, report))
    }

    /// The entry of a key.
    ///
    /// # Errors
    /// `Corrupt` if the record that the index has does not check; never a wrong value.
    ///
    /// # Cost
    /// One read of the file, copied once more; none for a key that is not there.
    pub fn get(&self, key: &[u8], now_ms: u64) -> Result<Option<Entry>> {
        self.shared.get(key, now_ms)
    }

    /// Appends what is attached to the key's value, and the value, to `out`. Allocates nothing if `out` has room.
    ///
    /// # Errors
    /// As of [`Disk::get`]; `out` is as it was.
    pub fn get_into(&self, key: &[u8], now_ms: u64, out: &mut Vec<u8>) -> Result<Option<Found>> {
        self.shared.get_into(key, now_ms, out)
    }

    /// The entries of several keys, in their order; read in the order in which they lie on the disk.
    ///
    /// # Errors
    /// The first of [`Disk::get`].
    pub fn get_many(&self, keys: &[&[u8]], now_ms: u64) -> Result<Vec<Option<Entry>>> {
        self.shared.get_many(keys, now_ms)
    }

    /// What is known of the key's entry, which is not marked as used.
    ///
    /// # Errors
    /// As of [`Disk::get`].
    pub fn peek(&self, key: &[u8], now_ms: u64) -> Result<Option<Found>> {
        self.shared.peek(key, now_ms)
    }

    /// Puts a value.
    ///
    /// # Errors
    /// `Full`, `TooLarge`, `Invalid`, `Failed`, `Closed`: nothing was written. `Unknown`: it was, and may be lost
    /// in a power cut.
    pub fn put(&self, key: &[u8], put: &Put<'_>, now_ms: u64) -> Result<Written> {
        self.shared.put(key, put, now_ms)
    }

    /// Deletes a key, and leaves a floor whether or not there was an entry.
    ///
    /// # Errors
    /// As of [`Disk::put`], but there is room for deletes when the disk is full.
    pub fn delete(&self, key: &[u8], delete: &Delete, now_ms: u64) -> Result<Deleted> {
        self.shared.delete(key, delete, now_ms)
    }

    /// Applies several writes, of which all outlive a crash or none. Conditions are judged one by one, and a
    /// later write of a key sees the earlier; a conflict of one does not keep the others from being applied.
    /// If something in `unchanged` is not as it says, nothing is applied, and the result is `None`.
    ///
    /// # Errors
    /// As of [`Disk::put`]; then nothing was applied.
    pub fn apply(
        &self,
        writes: &[Write<'_>],
        unchanged: &[Unchanged<'_>],
        now_ms: u64,
    ) -> Result<Option<Vec<Outcome>>> {
        self.shared.apply(writes, unchanged, now_ms)
    }

    /// Removes every entry of a group, or of all, and returns how many there were whose time was not over. Until `floor_deadline_ms` no
    /// version from before can be put either.
    ///
    /// # Errors
    /// As of [`Disk::delete`].
    ///
    /// # Cost
    /// One record, and a read for each entry whose time is over. The room is won back by compaction or eviction.
    pub fn clear(&self, group: Option<u32>, floor_deadline_ms: u64, now_ms: u64) -> Result<u64> {
        self.shared.clear(group, floor_deadline_ms, now_ms)
    }

    /// A version above that of every write so far, and below that of every later one that is given none. No restart
    /// and no crash makes it be given again.
    ///
    /// # Errors
    /// As of [`Disk::delete`].
    ///
    /// # Cost
    /// An fsync for the first since the log was opened, and then for one of some thousand million.
    pub fn reserve(&self, now_ms: u64) -> Result<u64> {
        self.shared.reserve(now_ms)
    }

    /// Returns when every write so far has the durability the log was opened with.
    ///
    /// # Errors
    /// `Unknown`: what was deferred may be lost.
    pub fn commit(&self) -> Result<()> {
        let shared = &*self.shared;
        shared.check_open()?;
        let mut writer = shared.writer.lock();
        let position = writer.position();
        let flushed = shared.flush(&mut writer);
        drop(writer);
        flushed.map_err(|error| crate::Error::Unknown(error.to_string()))?;
        if shared.config.durability.is_durable() {
            shared.wait_synced(position)?;
        }
        Ok(())
    }

    /// Hands every write so far to the operating system: a process that is killed then loses none of them.
    ///
    /// # Errors
    /// `Full` or `Io`: what was deferred is still here, and is tried again. `Closed`, `Failed`.
    pub fn flush(&self) -> Result<()> {
        self.shared.check_open()?;
        self.shared.flush(&mut self.shared.writer.lock())
    }

    /// Returns when every write so far is on the disk, whatever durability the log was opened with.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn sync(&self) -> Result<()> {
        self.shared.check_open()?;
        let position = self.shared.writer.lock().position();
        self.shared.wait_synced(position)?;
        self.shared.release_doomed(&mut self.shared.writer.lock())
    }

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

    /// A page of entries in the order of keys. Not a snapshot: an entry that is there, unchanged, from the first
    /// page to the last is listed exactly once.
    ///
    /// # Errors
    /// `Io`, `Closed`; entries that are damaged are left out and counted.
    ///
    /// # Cost
    /// The first listing walks every segment once and keeps four bytes a record. A page costs a binary search in
    /// each segment and two reads an entry.
    pub fn list(&self, range: &Range<'_>, limit: usize, now_ms: u64) -> Result<Page> {
        self.shared.list(&Now { shared: &self.shared, now: now_ms }, range, limit)
    }

    /// A page of entries in the order of the hashes of their keys, which costs a log that was never listed nothing. Not
    /// a snapshot: an entry that is there, unchanged, from the first page to the last is listed exactly once.
    ///
    /// # Errors
    /// `Io`, `Closed`, `Invalid` for a place that no page named; entries that are damaged are left out and counted.
    ///
    /// # Cost
    /// One read for each entry that is looked at.
    pub fn list_unordered(&self, what: &Unordered<'_>, now_ms: u64) -> Result<Page> {
        self.shared.list_unordered(what, now_ms)
    }

    /// The log as it is now, for reading later.
    ///
    /// # Errors
    /// `Closed`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::take(&self.shared)
    }

    /// How much a group holds, those included whose time is over but which no sweep has removed.
    #[must_use]
    pub fn tally(&self, group: u32) -> Tally {
        self.shared.writer.lock().tallies.group(group)
    }

    /// How much it holds in all, counted as of [`Disk::tally`].
    #[must_use]
    pub fn total(&self) -> Tally {
        self.shared.writer.lock().tallies.total()
    }

    /// The groups that hold anything.
    #[must_use]
    pub fn groups(&self) -> Vec<(u32, Tally)> {
        self.shared.writer.lock().tallies.groups().collect()
    }

    /// Copies the log as it is now into an empty folder, while it is read and written.
    ///
    /// # Errors
    /// `Invalid` if the folder is not empty, `Io`.
    pub fn backup(&self, to: &dyn Io, progress: Progress<'_>) -> Result<Copied> {
        self.shared.backup(to, progress)
    }

    /// Reads everything and checks it.
    ///
    /// # Errors
    /// `Io`; damage is in the result.
    pub fn verify(&self, progress: Progress<'_>) -> Result<Verified> {
        self.shared.verify(progress)
    }

    /// What it holds and what it did.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &*self.shared;
        let writer = shared.writer.lock();
        let total = writer.tallies.total();
        let mut stats = Stats {
            entries: total.count,
            bytes: total.bytes,
            stored_bytes: total.stored,
            file_bytes: shared.file_bytes(&writer),
            retired_segments: writer.doomed.len() as u64,
            low: writer.low,
            ..Stats::default()
        };
        drop(writer);
        stats.segments = shared.segments.read().len() as u64;
        stats.index_slots = shared.index.len() as u64;
        stats.index_bytes = shared.index.heap_bytes() as u64;
        stats.not_admitted = shared.gate.refused();
        stats.damaged = shared.damaged.load(Ordering::Relaxed);
        shared.counters.fill(&mut stats);
        stats
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        let shared = &*self.shared;
        if let Err(error) = shared.check_writable() {
            return Health::Down(error.to_string());
        }
        match shared.damaged.load(Ordering::Relaxed) {
            0 if shared.writer.lock().low && matches!(shared.config.mode, Mode::Store { .. }) => {
                Health::Degraded(
                    "there is no room: puts are refused, deletes and compaction go on".to_owned(),
                )
            }
            0 => Health::Up,
            times => Health::Degraded(format!("damage was come across {times} times: verify it")),
        }
    }

    /// Makes everything durable, writes an index snapshot, and refuses all later calls. A second call is `Ok`.
    ///
    /// # Errors
    /// If it cannot be made durable. It is closed all the same.
    pub fn close(&self) -> Result<()> {
        let shared = &*self.shared;
        if shared.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let closed = self.settle();
        // Whoever still removes files is waited for before others may open the folder.
        let writer = shared.writer.lock();
        shared.closed.store(true, Ordering::Release);
        drop(writer);
        shared.lock.lock().take();
        closed
    }

    fn settle(&self) -> Result<()> {
        let shared = &*self.shared;
        shared.commit.check()?;
        shared.seal_active(&mut shared.writer.lock())?;
        shared.release_doomed(&mut shared.writer.lock())?;
        point("close.before_checkpoint");
        // Opening without it takes longer, and that is all.
        match shared.checkpoint(true) {
            Err(error) if !error.is_full() => return Err(error),
            _ => {}
        }
        point("close.after_checkpoint");
        Ok(())
    }
}
