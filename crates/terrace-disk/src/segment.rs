//! An open segment: a file, and for the one that is being written the bytes that are not in it yet.
//!
//! Decision: the buffer belongs to the segment and stands behind a lock of its own, so that readers find a
//! record wherever it is without knowing which segment is written. A flush writes the whole buffer, so a record
//! is either in the buffer or in the file, never half in each.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use crate::cipher::Seal;
use crate::io::{File, Map};
use crate::point::bug;
use crate::record::{Form, Head, Location, total_len};

/// A segment.
pub(crate) struct Segment {
    /// Its place in the table that the index refers to.
    pub(crate) slot: u16,
    pub(crate) id: u64,
    pub(crate) base: u64,
    pub(crate) capacity: u64,
    pub(crate) file: Arc<dyn File>,
    pub(crate) cipher: Option<Arc<dyn Seal>>,
    form: Form,
    /// How many bytes are in the file.
    written: AtomicU64,
    /// How many of them are on the disk for sure.
    synced: AtomicU64,
    sealed: AtomicBool,
    buffer: RwLock<Buffer>,
    map: OnceLock<Option<Arc<dyn Map>>>,
    /// Whether it was there when the log was opened.
    recovered: bool,
    /// Whether a record may have a version that is not that of its place.
    given_versions: AtomicBool,
}

/// What is appended and not in the file yet.
#[derive(Default)]
struct Buffer {
    start: u64,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("id", &self.id).field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// What a segment is made of.
pub(crate) struct Parts {
    pub(crate) slot: u16,
    pub(crate) id: u64,
    pub(crate) base: u64,
    pub(crate) capacity: u64,
    pub(crate) file: Arc<dyn File>,
    pub(crate) cipher: Option<Arc<dyn Seal>>,
    /// The length that most keys have; 0 for none.
    pub(crate) usual_key: u16,
}

impl Segment {
    /// A segment whose file holds this many bytes.
    pub(crate) fn new(parts: Parts, written: u64, sealed: bool) -> Self {
        let Parts { slot, id, base, capacity, file, cipher, usual_key } = parts;
        let overhead = cipher.as_ref().map_or(0, |cipher| cipher.overhead());
        Self {
            slot,
            id,
            base,
            capacity,
            file,
            cipher,
            form: Form { usual_key, overhead },
            written: AtomicU64::new(written),
            synced: AtomicU64::new(0),
            sealed: AtomicBool::new(sealed),
            buffer: RwLock::new(Buffer { start: written, bytes: Vec::new() }),
            map: OnceLock::new(),
            recovered: sealed,
            given_versions: AtomicBool::new(false),
        }
    }

    /// What all of its records have in common.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// By how much encryption lengthens a record.
    pub(crate) fn overhead(&self) -> usize {
        self.form.overhead
    }

    /// How long a record with this head is.
    pub(crate) fn record_len(&self, head: &Head) -> usize {
        total_len(head, head.len(self.form.usual_key), self.form.overhead)
    }

    pub(crate) fn at(&self, offset: u32) -> Location {
        Location { segment: self.id, offset }
    }

    /// The version that goes with a place.
    pub(crate) fn version_at(&self, offset: u32) -> u64 {
        self.base + u64::from(offset) + 1
    }

    /// Whether the time of one of its records is over.
    pub(crate) fn is_over(&self, expires_ms: Option<u64>, time: u64) -> bool {
        let late = if bug("ttl_extended_on_restart") && self.recovered { 3_600_000 } else { 0 };
        expires_ms.is_some_and(|at| at.saturating_add(late) <= time)
    }

    /// Whether a record may have a version that is not that of its place.
    pub(crate) fn has_given_versions(&self) -> bool {
        self.given_versions.load(Ordering::Acquire)
    }

    pub(crate) fn note_given_version(&self) {
        self.set_given_versions(true);
    }

    pub(crate) fn set_given_versions(&self, given: bool) {
        self.given_versions.store(given, Ordering::Release);
    }

    /// How many bytes are in the file.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// How many bytes are on the disk for sure.
    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    pub(crate) fn note_synced(&self, at: u64) {
        self.synced.fetch_max(at, Ordering::AcqRel);
    }

    /// How many bytes are in the buffer.
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.read().bytes.len()
    }

    /// How many bytes it has in all.
    pub(crate) fn len(&self) -> u64 {
        let buffer = self.buffer.read();
        buffer.start + buffer.bytes.len() as u64
    }

    /// Appends to the buffer by way of a closure that may add bytes and nothing else. For the writer only.
    pub(crate) fn append<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        write(&mut self.buffer.write().bytes)
    }

    /// Takes back what was appended last, down to this length of the segment. For the writer only.
    pub(crate) fn take_back(&self, len: u64) {
        let mut buffer = self.buffer.write();
        let keep = len.saturating_sub(buffer.start) as usize;
        buffer.bytes.truncate(keep);
    }

    /// Writes the buffer to the file. For the writer only. After an error the buffer is as it was.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let buffer = self.buffer.read();
        if buffer.bytes.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(&buffer.bytes, buffer.start)?;
        drop(buffer);
        let mut buffer = self.buffer.write();
        buffer.start += buffer.bytes.len() as u64;
        buffer.bytes.clear();
        self.written.store(buffer.start, Ordering::Release);
        Ok(())
    }

    /// What is in the file ends here, as recovery found.
    pub(crate) fn set_len(&self, len: u64) {
        self.buffer.write().start = len;
        self.written.store(len, Ordering::Release);
    }

    /// Nothing will be appended any more. Gives back the buffer's memory for the next segment.
    pub(crate) fn seal(&self) -> Vec<u8> {
        self.sealed.store(true, Ordering::Release);
        std::mem::take(&mut self.buffer.write().bytes)
    }

    /// Lends memory to the buffer of a new segment.
    pub(crate) fn lend(&self, mut memory: Vec<u8>) {
        memory.clear();
        self.buffer.write().bytes = memory;
    }

    /// Appends the bytes from an offset on to `out`; fewer than `len` if the segment ends before.
    pub(crate) fn read(&self, offset: u32, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let offset = u64::from(offset);
        loop {
            let written = self.written();
            if offset < written {
                let len = (written - offset).min(len as u64) as usize;
                let start = out.len();
                out.resize(start + len, 0);
                let room = out.get_mut(start..).unwrap_or_default();
                let read = self.file.read_at(room, offset);
                out.truncate(start + *read.as_ref().unwrap_or(&0));
                return read.map(drop);
            }
            let buffer = self.buffer.read();
            // Flushed meanwhile: then it is in the file.
            let Some(from) = offset.checked_sub(buffer.start) else { continue };
            let rest = buffer.bytes.get(from as usize..).unwrap_or_default();
            out.extend_from_slice(rest.get(..len).unwrap_or(rest));
            return Ok(());
        }
    }

    /// Whether nothing will be appended any more.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// The sealed segment, mapped; `None` if it is not sealed, or cannot be mapped here.
    pub(crate) fn map(&self) -> Option<&Arc<dyn Map>> {
        if !self.is_sealed() {
            return None;
        }
        self.map.get_or_init(|| self.file.map(self.written()).ok().flatten()).as_ref()
    }
}
