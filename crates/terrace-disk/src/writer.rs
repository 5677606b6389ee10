//! Appending to the log: one writer at a time, one segment that is written.
//!
//! Decision: whatever changes anything is appended under one lock, so *later in the log is newer* for each key,
//! and recovery needs no other rule. Before a segment's first byte is written its predecessor is on the disk
//! whole: so what a crash can lose is the end of the last segment, and recovery is a prefix.

use std::sync::Arc;

use parking_lot::RwLockWriteGuard;

use crate::checkpoint::Dump;
use crate::control::Control;
use crate::error::{DISK_FULL, Error, Result, is_full};
use crate::index::table::Table;
use crate::index::{Hash, Place, Slot};
use crate::io::File;
use crate::point::{bug, point};
use crate::record::{Draft, Head, Kind, Location};
use crate::reserve::{ANNOUNCEMENT_LEN, Reserved};
use crate::segment::Segment;
use crate::shared::Shared;
use crate::tally::Tallies;

/// What is buffered at most before it is written out although nobody waits for it.
const BUFFER: usize = 256 << 10;
/// The room a mark takes.
pub(crate) const MARK_LEN: u64 = 12;
/// The room of a mark and of an announcement, which may come before any record.
const NOTES_LEN: u64 = MARK_LEN + ANNOUNCEMENT_LEN;

/// What only the writer knows.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) active: Option<Arc<Segment>>,
    /// The synced length of the active segment that was noted in it.
    pub(crate) marked: u64,
    pub(crate) next_id: u64,
    /// The base of the next segment is at least this.
    pub(crate) next_base: u64,
    pub(crate) max_version: u64,
    pub(crate) usual_key: UsualKey,
    pub(crate) reserved: Reserved,
    pub(crate) tallies: Tallies,
    /// Segments that hold nothing anybody needs, with the position from which on that is written in the log.
    pub(crate) doomed: Vec<(Arc<Segment>, u64)>,
    /// Segments whose header is damaged, with their length: kept, so that nothing is destroyed.
    pub(crate) unreadable: Vec<(u64, u64)>,
    pub(crate) dump: Option<Dump>,
    pub(crate) spare: Option<Arc<dyn File>>,
    /// The spare is in use, or there never was room for it.
    pub(crate) low: bool,
    /// In an encrypted segment: up to where a write was tried that failed.
    pub(crate) burnt: u64,
    /// Appended since the last index snapshot.
    pub(crate) since_checkpoint: u64,
    pub(crate) checkpoint_bytes: u64,
    sealing: Vec<u8>,
    control: Vec<u8>,
    pub(crate) memory: Vec<u8>,
}

/// The length that most keys have lately: what the next segment leaves out.
///
/// A vote (Boyer and Moore, 1981): keys of the candidate's length are for it, others against it, and who has no votes
/// left is replaced. The votes are bounded, so that a change does not take long.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UsualKey {
    len: u16,
    votes: u16,
}

impl UsualKey {
    const MOST_VOTES: u16 = 1 << 12;

    /// Notes a key that is about to be put.
    pub(crate) fn note(&mut self, len: usize) {
        let len = u16::try_from(len).unwrap_or(0);
        if self.votes == 0 {
            *self = Self { len, votes: 1 };
        } else if self.len == len {
            self.votes = (self.votes + 1).min(Self::MOST_VOTES);
        } else {
            self.votes -= 1;
        }
    }

    /// The length; 0 for none.
    pub(crate) fn len(self) -> u16 {
        self.len
    }
}

/// What a write is for: deletes and compaction may use the room that is kept for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Put,
    Reserve,
}

/// What was appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    pub(crate) place: Place,
    pub(crate) location: Location,
    pub(crate) len: usize,
    pub(crate) version: u64,
}

impl Writer {
    /// The length of the active segment.
    pub(crate) fn at(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.len())
    }

    /// Where the next record will stand, in the order of the whole log.
    pub(crate) fn position(&self) -> u64 {
        self.active.as_ref().map_or(self.next_base, |active| active.base + active.len())
    }
}

impl Shared {
    /// A shard of the index, to be changed. A dump in progress first gets it as it was.
    pub(crate) fn change<'a>(&'a self, writer: &mut Writer, shard: usize) -> RwLockWriteGuard<'a, Table> {
        if let Some(dump) = &mut writer.dump {
            dump.keep(shard, &self.index);
        }
        self.index.write(shard)
    }

    /// Makes ready for so many bytes of records that must stand in one segment.
    pub(crate) fn begin(&self, writer: &mut Writer, bytes: u64, purpose: Purpose, now: u64) -> Result<()> {
        self.check_writable()?;
        if writer.active.as_ref().is_some_and(|active| active.buffered() >= BUFFER) {
            self.flush(writer)?;
        }
        let fits = writer.active.as_ref().is_some_and(|active| {
            let at = active.len();
            let burnt = active.cipher.is_some() && at < writer.burnt && !bug("nonce_reused");
            at + bytes + NOTES_LEN <= active.capacity && !burnt
        });
        if !fits {
            self.roll(writer, bytes + NOTES_LEN, purpose, now)?;
        } else if purpose == Purpose::Put && writer.low {
            self.regain_spare(writer)?;
        }
        self.mark_synced(writer)
    }

    /// Notes in the segment how much of it is synced, so that damage there can be told from a torn tail.
    fn mark_synced(&self, writer: &mut Writer) -> Result<()> {
        let Some(active) = &writer.active else { return Ok(()) };
        let synced = active.synced();
        if synced <= writer.marked {
            return Ok(());
        }
        writer.marked = synced;
        self.append_control(writer, &Control::Mark { synced: synced as u32 }, Head::new(Kind::Control))
            .map(drop)
    }

    /// Appends a record. `begin` has made room. `version` is what it must have; without one it gets the next.
    pub(crate) fn append(
        &self,
        writer: &mut Writer,
        draft: &mut Draft<'_>,
        version: Option<u64>,
    ) -> Result<Appended> {
        let Some(active) = writer.active.as_ref() else { return Err(Error::Closed) };
        let at = active.len();
        let offset = u32::try_from(at).map_err(|_| Error::Full("a segment ends at 4 GiB"))?;
        let natural = active.version_at(offset);
        let version = match version {
            Some(version) => version,
            None if writer.max_version >= natural => writer.max_version + 1,
            None => natural,
        };
        draft.head.version_delta = (version != natural).then(|| version.wrapping_sub(natural) as i64);
        if version != natural {
            active.note_given_version();
        }
        let location = active.at(offset);
        let sealing = &mut writer.sealing;
        let appended = active.append(|out| {
            draft.append(location, active.form().usual_key, active.cipher.as_deref(), sealing, out)
        });
        let len = match appended {
            Ok(len) => len,
            Err(why) => {
                self.take_back(writer, at);
                return Err(Error::Denied(why.to_owned()));
            }
        };
        writer.max_version = writer.max_version.max(version);
        writer.since_checkpoint += len as u64;
        self.counters.appended.fetch_add(len as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(Appended { place: Place { slot: active.slot, offset }, location, len, version })
    }

    /// Appends a note of the engine.
    pub(crate) fn append_control(
        &self,
        writer: &mut Writer,
        control: &Control,
        head: Head,
    ) -> Result<Appended> {
        let mut value = std::mem::take(&mut writer.control);
        value.clear();
        control.append(&mut value);
        let appended = self.append(writer, &mut Draft { head, key: &[], meta: &[], stored: &value }, None);
        writer.control = value;
        appended
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// `Full`: it is kept. `Failed` for any other failure, after which nothing is written any more.
    pub(crate) fn flush(&self, writer: &mut Writer) -> Result<()> {
        let Some(active) = &writer.active else { return Ok(()) };
        if active.buffered() == 0 {
            return Ok(());
        }
        self.commit.check()?;
        point("append.before_write");
        if let Err(error) = active.flush() {
            if is_full(&error) {
                return Err(Error::Full(DISK_FULL));
            }
            let why = format!("writing to the log failed ({error})");
            self.commit.fail(&why);
            return Err(Error::Failed(why));
        }
        point("append.after_write");
        Ok(())
    }

    /// Writes out what is buffered, or takes back everything from `start` on.
    pub(crate) fn flush_or_take_back(&self, writer: &mut Writer, start: u64) -> Result<()> {
        let flushed = self.flush(writer);
        if flushed.is_err() {
            self.take_back(writer, start);
        }
        flushed
    }

    /// Takes back what was appended from an offset on. In an encrypted segment nothing else may stand there.
    pub(crate) fn take_back(&self, writer: &mut Writer, start: u64) {
        if let Some(active) = &writer.active {
            writer.burnt = writer.burnt.max(active.len());
            active.take_back(start);
        }
    }

    /// Points the index to a record that was appended, in the place of what it had for the key.
    pub(crate) fn install(&self, writer: &mut Writer, hash: Hash, slot: Slot, old: Option<Place>) {
        let mut table = self.change(writer, hash.shard());
        match old.and_then(|place| table.find(hash.tag(), place)) {
            Some((position, _)) => table.replace(position, slot),
            None => table.insert(slot),
        }
    }

    /// Takes a place out of the index.
    pub(crate) fn uninstall(&self, writer: &mut Writer, hash: Hash, place: Place) {
        let mut table = self.change(writer, hash.shard());
        if let Some((position, _)) = table.find(hash.tag(), place) {
            table.remove(position);
        }
    }
}
