//! From one segment to the next.
//!
//! Decision: everything that the next segment relies on is durable before it is used: its predecessor whole, its own
//! header and list, its name in the folder. Room is reserved for all of it at once, so a full disk shows here and
//! not in the middle of a record.

use std::sync::Arc;

use crate::config::Mode;
use crate::control::{Control, Manifest};
use crate::error::{DISK_FULL, Error, Result, is_full};
use crate::header::{HEADER_LEN, Header, segment_name};
use crate::io::File;
use crate::point::point;
use crate::record::{Head, Kind};
use crate::segment::{Parts, Segment};
use crate::shared::Shared;
use crate::writer::{Purpose, Writer};

/// A segment's offsets have 32 bits.
pub(crate) const LONGEST_SEGMENT: u64 = u32::MAX as u64;
/// The file that keeps room for deletes and compaction on a full disk, and how long it is at most.
pub(crate) const SPARE: &str = "spare.seg";
const LONGEST_SPARE: u64 = 4 << 20;

impl Shared {
    /// Begins a new segment with room for so many bytes.
    pub(crate) fn roll(&self, writer: &mut Writer, bytes: u64, purpose: Purpose, now: u64) -> Result<()> {
        self.seal_active(writer)?;
        self.release_doomed(writer)?;
        let manifest_len = 64
            + 20 * (self.segments.read().len() + writer.unreadable.len()) as u64
            + 40 * (self.floors.all().len() + self.horizons.all().len()) as u64;
        let least = HEADER_LEN + manifest_len + bytes;
        let capacity = self.config.segment_len().max(least);
        if capacity > LONGEST_SEGMENT {
            return Err(Error::TooLarge { what: "batch", limit: LONGEST_SEGMENT });
        }
        if let Mode::Cache { budget } = self.config.mode {
            self.make_room(writer, budget, capacity)?;
        }
        self.floors.forget(self.oldest_segment(), self.floor_time(now));
        self.horizons.forget(self.oldest_segment());
        let mut created = self.create_segment(writer, capacity, least, purpose, now);
        // The disk may be fuller than the budget says: a cache gives way.
        while matches!(self.config.mode, Mode::Cache { .. })
            && created.as_ref().is_err_and(Error::is_full)
            && !self.has_snapshots()
            && self.drop_oldest(writer)?
        {
            created = self.create_segment(writer, capacity, least, purpose, now);
        }
        if matches!(self.config.mode, Mode::Store { .. }) {
            // Told in the health until there is room again.
            let refused = purpose == Purpose::Put && created.as_ref().is_err_and(Error::is_full);
            writer.low = refused || writer.spare.is_none();
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
        let (store, usual_key) = (self.mark.store, writer.usual_key.len());
        let header = Header { store, id, base, capacity, created_ms: now, random, key, usual_key };
        let parts = Parts { slot, id, base, capacity, file, cipher, usual_key };
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
                return Error::Full(DISK_FULL);
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
            horizons: self.horizons.all(),
            max_version: writer.max_version.max(writer.reserved.announced),
            segments: listed,
            floors: self.floors.all(),
        }
    }

    /// A new file with room.
    fn allocate(&self, name: &str, capacity: u64) -> Result<Arc<dyn File>> {
        point("segment.create.before_allocate");
        let file = self.io.create(name).map_err(|error| {
            if is_full(&error) {
                return Error::Full(DISK_FULL);
            }
            Error::Io { op: "create", name: name.to_owned(), source: error }
        })?;
        if let Err(error) = file.allocate(capacity) {
            drop(file);
            let _ = self.io.remove(name);
            if is_full(&error) {
                return Err(Error::Full(DISK_FULL));
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
