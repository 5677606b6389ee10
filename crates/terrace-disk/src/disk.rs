//! The door to the engine.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backup::{Copied, Progress, Verified};
use crate::batch::{Outcome, Unchanged, Write};
use crate::config::Config;
use crate::error::Result;
use crate::io::Io;
use crate::list::{Now, Page, Range};
use crate::open::open;
use crate::point::point;
use crate::read::{Entry, Found};
use crate::report::OpenReport;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::tally::Tally;
use crate::told::Listener;
use crate::unordered::Unordered;
use crate::write::{Delete, Deleted, Put, Written};

/// An open log. All methods may be called by any thread; `now_ms` is the time in milliseconds since 1970.
///
/// It starts no threads of its own: [`Disk::sweep`], [`Disk::compact_step`], [`Disk::sync`],
/// [`Disk::checkpoint`] and [`Disk::train`] are steps of background work that its owner calls (`upkeep.rs`).
pub struct Disk {
    pub(crate) shared: Arc<Shared>,
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
        self.shared.clear(group, floor_deadline_ms, now_ms, &|| {})
    }

    /// [`Disk::clear`] that calls `then` once everything is gone and before anything is written after it. It must be
    /// quick, and must not call the log.
    ///
    /// # Errors
    /// As of [`Disk::delete`].
    pub fn clear_then(
        &self,
        group: Option<u32>,
        floor_deadline_ms: u64,
        now_ms: u64,
        then: &dyn Fn(),
    ) -> Result<u64> {
        self.shared.clear(group, floor_deadline_ms, now_ms, then)
    }

    /// Tells a listener of all changes of keys from now on. `false` if there is one already, and this one is not told.
    pub fn listen(&self, listener: Box<dyn Listener>) -> bool {
        // Under the lock that changes are told under: one that is being made is told as a whole or not at all.
        let _writer = self.shared.writer.lock();
        self.shared.listener.set(listener).is_ok()
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
