//! Appending to the log: one writer at a time, one segment that is written.
//!
//! Decision: whatever changes anything is appended under one lock, so *later in the log is newer* for each key,
//! and recovery needs no other rule. Before a segment's first byte is written its predecessor is on the disk
//! whole: so what a crash can lose is the end of the last segment, and recovery is a prefix.

use std::sync::Arc;

use parking_lot::RwLockWriteGuard;

use crate::checkpoint::Dump;
use crate::config::Mode;
use crate::control::{Control, Manifest};
use crate::error::{Error, Result, is_full};
use crate::header::{HEADER_LEN, Header, segment_name};
use crate::index::table::Table;
use crate::index::{Hash, Place, Slot};
use crate::io::File;
use crate::point::{bug, point};
use crate::record::{Draft, Head, Kind, Location};
use crate::segment::{Parts, Segment};
use crate::shared::Shared;
use crate::tally::Tallies;

/// What is buffered at most before it is written out although nobody waits for it.
const BUFFER: usize = 256 << 10;
/// A segment's offsets have 32 bits.
pub(crate) const LONGEST_SEGMENT: u64 = u32::MAX as u64;
/// The room a mark takes.
const MARK_LEN: u64 = 12;
/// The file that keeps room for deletes and compaction on a full disk, and how long it is at most.
pub(crate) const SPARE: &str = "spare.seg";
const LONGEST_SPARE: u64 = 4 << 20;

/// What only the writer knows.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) active: Option<Arc<Segment>>,
    /// The synced length of the active segment that was noted in it.
    marked: u64,
    pub(crate) next_id: u64,
    /// The base of the next segment is at least this.
    pub(crate) next_base: u64,
    pub(crate) max_version: u64,
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
    burnt: u64,
    /// Appended since the last index snapshot.
    pub(crate) since_checkpoint: u64,
    pub(crate) checkpoint_bytes: u64,
    sealing: Vec<u8>,
    control: Vec<u8>,
    memory: Vec<u8>,
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

    /// A version above every one given so far, and below every one given from now on.
    pub(crate) fn reserve(&mut self) -> u64 {
        let next = self.position();
        if self.max_version >= next {
            self.max_version += 1;
            return self.max_version;
        }
        next
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
            at + bytes + MARK_LEN <= active.capacity && !burnt
        });
        if !fits {
            self.roll(writer, bytes + MARK_LEN, purpose, now)?;
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
        let location = active.at(offset);
        let sealing = &mut writer.sealing;
        let appended = active.append(|out| draft.append(location, active.cipher.as_deref(), sealing, out));
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
                return Err(Error::Full("the disk is full"));
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

    /// Begins a new segment with room for so many bytes.
    pub(crate) fn roll(&self, writer: &mut Writer, bytes: u64, purpose: Purpose, now: u64) -> Result<()> {
        self.seal_active(writer)?;
        self.release_doomed(writer)?;
        let manifest_len = 64
            + 20 * (self.segments.read().len() + writer.unreadable.len()) as u64
            + 40 * self.floors.all().len() as u64;
        let least = HEADER_LEN + manifest_len + bytes;
        let capacity = self.config.segment_len().max(least);
        if capacity > LONGEST_SEGMENT {
            return Err(Error::TooLarge { what: "batch", limit: LONGEST_SEGMENT });
        }
        if let Mode::Cache { budget } = self.config.mode {
            self.make_room(writer, budget, capacity)?;
        }
        self.floors.forget(self.oldest_segment(), self.time(now));
        let mut created = self.create_segment(writer, capacity, least, purpose, now);
        // The disk may be fuller than the budget says: a cache gives way.
        while matches!(self.config.mode, Mode::Cache { .. })
            && created.as_ref().is_err_and(Error::is_full)
            && !self.has_snapshots()
            && self.drop_oldest(writer)?
        {
            created = self.create_segment(writer, capacity, least, purpose, now);
        }
        created?;
        if let Mode::Cache { budget } = self.config.mode {
            self.evict_ahead(writer, budget, now)?;
        }
        Ok(())
    }

    fn oldest_segment(&self) -> u64 {
        self.segments.read().iter().next().map_or(u64::MAX, |segment| segment.id)
    }

    /// Ends the active segment: all of it is on the disk when this returns.
    pub(crate) fn seal_active(&self, writer: &mut Writer) -> Result<()> {
        self.flush(writer)?;
        let Some(active) = writer.active.clone() else { return Ok(()) };
        let len = active.len();
        point("segment.seal.before_truncate");
        let cut = active.file.truncate(len);
        cut.map_err(|error| {
            let why = format!("cutting a segment to its length failed ({error})");
            self.commit.fail(&why);
            Error::Failed(why)
        })?;
        point("segment.seal.before_sync");
        self.sync_file(&*active.file, "the log")?;
        point("segment.seal.after_sync");
        self.commit.note_synced(active.base + len);
        active.note_synced(len);
        writer.memory = active.seal();
        writer.active = None;
        writer.next_base = writer.next_base.max(active.base + active.capacity).max(writer.max_version) + 1;
        Ok(())
    }

    /// Makes the file of a new segment and everything that has to be durable before it is written to.
    fn create_segment(
        &self,
        writer: &mut Writer,
        capacity: u64,
        least: u64,
        purpose: Purpose,
        now: u64,
    ) -> Result<()> {
        let id = writer.next_id;
        writer.next_id += 1;
        let name = segment_name(id);
        let full = |_| Error::Full("there are too many segments: choose larger ones");
        let slot = self.segments.write().free_slot().ok_or(()).map_err(full)?;
        let (file, capacity) = match self.allocate(&name, capacity) {
            Ok(file) => (file, capacity),
            Err(error) if error.is_full() && purpose == Purpose::Reserve => {
                self.take_spare(writer, &name, least).ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        let base = writer.next_base.max(writer.max_version + 1);
        let mut random = [0; 32];
        random_bytes(&mut random)?;
        let (cipher, key) = match &self.keys {
            Some(keys) => keys.begin(&random).map(|(cipher, key)| (Some(cipher), Some(key)))?,
            None => (None, None),
        };
        let header = Header { store: self.mark.store, id, base, capacity, created_ms: now, random, key };
        let parts = Parts { slot, id, base, capacity, file, cipher };
        let segment = Arc::new(Segment::new(parts, 0, false));
        segment.lend(std::mem::take(&mut writer.memory));
        segment.append(|out| header.append(out));
        writer.active = Some(Arc::clone(&segment));
        writer.marked = 0;
        writer.burnt = 0;
        let manifest = Control::Manifest(self.manifest(writer));
        let begun = self
            .append_control(writer, &manifest, Head::new(Kind::Control))
            .and_then(|_| self.make_durable(&segment));
        if let Err(error) = begun {
            // It never was part of the log. If the file stays behind, opening it finds it empty.
            writer.active = None;
            let _ = self.io.remove(&name);
            return Err(error);
        }
        writer.marked = segment.len();
        self.segments.write().insert(segment);
        self.commit.note_synced(writer.position());
        Ok(())
    }

    fn make_durable(&self, segment: &Segment) -> Result<()> {
        point("segment.create.before_header");
        segment.flush().map_err(|error| {
            if is_full(&error) {
                return Error::Full("the disk is full");
            }
            Error::Io { op: "write", name: segment_name(segment.id), source: error }
        })?;
        point("segment.create.before_sync");
        self.sync_file(&*segment.file, "a new segment")?;
        segment.note_synced(segment.len());
        point("segment.create.before_sync_dir");
        self.sync_folder()?;
        point("segment.create.after_sync_dir");
        Ok(())
    }

    /// What is to be known of the log by whoever opens it with this segment as its last.
    pub(crate) fn manifest(&self, writer: &Writer) -> Manifest {
        let doomed = |id: u64| writer.doomed.iter().any(|(segment, _)| segment.id == id);
        let segments = self.segments.read();
        let known = segments.iter().filter(|segment| !doomed(segment.id));
        let mut listed: Vec<(u64, u64)> = known.map(|segment| (segment.id, segment.len())).collect();
        listed.extend(&writer.unreadable);
        listed.sort_unstable();
        Manifest {
            horizon_ms: self.time(0),
            max_version: writer.max_version,
            segments: listed,
            floors: self.floors.all(),
        }
    }

    /// A new file with room.
    fn allocate(&self, name: &str, capacity: u64) -> Result<Arc<dyn File>> {
        point("segment.create.before_allocate");
        let file = self.io.create(name).map_err(|error| {
            if is_full(&error) {
                return Error::Full("the disk is full");
            }
            Error::Io { op: "create", name: name.to_owned(), source: error }
        })?;
        if let Err(error) = file.allocate(capacity) {
            drop(file);
            let _ = self.io.remove(name);
            if is_full(&error) {
                return Err(Error::Full("the disk is full"));
            }
            return Err(Error::Io { op: "allocate", name: name.to_owned(), source: error });
        }
        Ok(file)
    }

    /// The room that was kept for this moment, under the name of the new segment.
    fn take_spare(&self, writer: &mut Writer, name: &str, least: u64) -> Option<(Arc<dyn File>, u64)> {
        let spare = writer.spare.take()?;
        let len = spare.len().ok()?;
        writer.low = true;
        if len < least {
            writer.spare = Some(spare);
            return None;
        }
        point("spare.before_rename");
        self.io.rename(SPARE, name).ok()?;
        Some((spare, len))
    }

    /// Keeps room for deletes and compaction on a full disk.
    pub(crate) fn regain_spare(&self, writer: &mut Writer) -> Result<()> {
        if writer.spare.is_some() {
            writer.low = false;
            return Ok(());
        }
        writer.low = true;
        let len = self.config.segment_len().min(LONGEST_SPARE);
        let _ = self.io.remove(SPARE);
        let file = self.allocate(SPARE, len)?;
        self.sync_folder()?;
        (writer.spare, writer.low) = (Some(file), false);
        Ok(())
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

/// Bytes that nobody can foretell.
pub(crate) fn random_bytes(mut out: &mut [u8]) -> Result<()> {
    while !out.is_empty() {
        let filled = rustix::rand::getrandom(&mut *out, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| Error::io("read", "the system's random bytes")(error.into()))?;
        out = out.get_mut(filled..).unwrap_or_default();
    }
    Ok(())
}
