//! The operating system's files, read many at a time by io_uring.
//!
//! Decision: only reads of many places go through a ring. One system call hands over up to [`DEPTH`] of them, and a
//! device works on all at once; a single read is one system call either way, and stays a positioned one
//! (`docs/decisions/0018-io-uring.md`). The kernel reads into buffers that belong to the ring: whoever asked may be
//! gone by the time it writes to them, the ring is not. Waiting is the kernel's: nothing spins, and a ring that nobody
//! uses costs nothing but its memory.

#![allow(unsafe_code, reason = "a ring is told addresses and file descriptors; UNSAFE.md says why they hold")]

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use ::io_uring::{IoUring, Probe, opcode, types};
use parking_lot::Mutex;

use super::{File, Io, OsIo, Span, read_one};

/// So many reads are under way at once.
const DEPTH: usize = 64;
/// Longer ones are positioned reads: a ring has little to add to them, and its buffers would grow.
const LONGEST: usize = 32 << 10;
/// So many rings are kept for later; with more threads that read at once the others are made anew.
const MOST_RINGS: usize = 8;

/// A folder of the operating system that is read by io_uring where that pays. Everything else is as of [`OsIo`].
pub struct UringIo {
    folder: OsIo,
    idle: Mutex<Vec<Ring>>,
}

impl std::fmt::Debug for UringIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UringIo").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl UringIo {
    /// Reads this folder by io_uring.
    ///
    /// # Errors
    /// `PermissionDenied` or `Unsupported`, in words, if the kernel or a container does not allow it.
    pub fn new(folder: OsIo) -> io::Result<Self> {
        let ring = Ring::new().map_err(|error| {
            let why = format!("the kernel or a container does not allow io_uring ({error})");
            io::Error::new(error.kind(), why)
        })?;
        Ok(Self { folder, idle: Mutex::new(vec![ring]) })
    }
}

impl Io for UringIo {
    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.folder.create(name)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        self.folder.open(name, write)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.folder.sync_dir()
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        self.folder.lock()
    }

    fn read_many(&self, spans: &[Span<'_>], each: &mut dyn FnMut(usize, io::Result<&[u8]>)) {
        let idle = self.idle.lock().pop();
        let Some(mut ring) = idle.or_else(|| Ring::new().ok()) else {
            // Out of memory or descriptors: what worked once is not an error later.
            return self.folder.read_many(spans, each);
        };
        ring.read_many(spans, each);
        let mut idle = self.idle.lock();
        if ring.is_sound() && idle.len() < MOST_RINGS {
            idle.push(ring);
        }
    }

    fn ringed(&self) -> io::Result<Arc<dyn Io>> {
        self.folder.ringed()
    }
}

/// A ring, with the memory that it reads into.
struct Ring {
    ring: IoUring,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Reads that the kernel has and has not ended.
    under_way: usize,
}

/// A read.
#[derive(Default)]
struct Slot {
    bytes: Vec<u8>,
    /// The number of the span it reads, while it does.
    span: Option<usize>,
}

impl Ring {
    fn new() -> io::Result<Self> {
        let ring = IoUring::new(DEPTH as u32)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::Read::CODE) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "it is too old to read by it"));
        }
        let slots = (0..DEPTH).map(|_| Slot::default()).collect();
        Ok(Self { ring, slots, free: (0..DEPTH).collect(), under_way: 0 })
    }

    /// Whether it can be used again.
    fn is_sound(&self) -> bool {
        self.under_way == 0
    }

    fn read_many(&mut self, spans: &[Span<'_>], each: &mut dyn FnMut(usize, io::Result<&[u8]>)) {
        let mut waiting = spans.iter().enumerate();
        loop {
            let rest = self.fill(spans, &mut waiting, each);
            if self.under_way == 0 {
                return;
            }
            // With more to come it goes on as soon as one has ended; else all have to.
            let wanted = if rest { 1 } else { self.under_way };
            match self.ring.submit_and_wait(wanted) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.abandon(spans, waiting, each),
            }
            self.reap(spans, each);
        }
    }

    /// Hands over as many reads as there are slots free; says whether any are left.
    fn fill<'a>(
        &mut self,
        spans: &[Span<'_>],
        waiting: &mut impl ExactSizeIterator<Item = (usize, &'a Span<'a>)>,
        each: &mut dyn FnMut(usize, io::Result<&[u8]>),
    ) -> bool {
        while waiting.len() > 0 {
            let Some(slot) = self.free.pop() else { return true };
            let Some((number, span)) = waiting.next() else { break };
            if !self.hand_over(slot, number, span) {
                self.free.push(slot);
                self.positioned(number, spans, each);
            }
        }
        false
    }

    /// Gives the kernel a read to do into a slot that is free. False if it is none for a ring.
    fn hand_over(&mut self, slot: usize, number: usize, span: &Span<'_>) -> bool {
        let Some(file) = span.file.descriptor().filter(|_| span.len <= LONGEST) else { return false };
        let Some(place) = self.slots.get_mut(slot) else { return false };
        if place.bytes.len() < span.len {
            place.bytes.resize(span.len, 0);
        }
        let read = opcode::Read::new(types::Fd(file.as_raw_fd()), place.bytes.as_mut_ptr(), span.len as u32)
            .offset(span.at)
            .build()
            .user_data(slot as u64);
        // SAFETY: the descriptor is open for as long as `span` is borrowed, and the kernel takes hold of the file
        // when the read is submitted, which is before the borrow ends. The memory is the slot's, at least as long
        // as is said, and nothing else looks at it or moves it until the kernel has ended the read: a slot is used
        // again only when `reap` has seen it end, and a ring that is dropped with a read under way leaks its slots.
        let pushed = unsafe { self.ring.submission().push(&read) };
        if pushed.is_ok() {
            place.span = Some(number);
            self.under_way += 1;
        }
        pushed.is_ok()
    }

    /// Hands over what has been read.
    fn reap(&mut self, spans: &[Span<'_>], each: &mut dyn FnMut(usize, io::Result<&[u8]>)) {
        loop {
            let Some(ended) = self.ring.completion().next() else { return };
            let slot = ended.user_data() as usize;
            let Some(place) = self.slots.get_mut(slot) else { continue };
            let Some(number) = place.span.take() else { continue };
            self.under_way -= 1;
            self.free.push(slot);
            let wanted = spans.get(number).map_or(0, |span| span.len);
            match usize::try_from(ended.result()) {
                Ok(read) if read == wanted => each(number, Ok(place.bytes.get(..read).unwrap_or_default())),
                // Short at the end of a file, or interrupted, or for reasons of the file system: a positioned read
                // knows which, and says what is wrong.
                _ => self.positioned(number, spans, each),
            }
        }
    }

    /// Reads one as if there were no ring.
    fn positioned(&self, number: usize, spans: &[Span<'_>], each: &mut dyn FnMut(usize, io::Result<&[u8]>)) {
        let (Some(span), mut bytes) = (spans.get(number), Vec::new()) else { return };
        each(number, read_one(span, &mut bytes).map(|()| bytes.as_slice()));
    }

    /// The ring failed: what it was to read is read without it, and the ring is not used again.
    fn abandon<'a>(
        &mut self,
        spans: &[Span<'_>],
        waiting: impl Iterator<Item = (usize, &'a Span<'a>)>,
        each: &mut dyn FnMut(usize, io::Result<&[u8]>),
    ) {
        let numbers: Vec<usize> = self.slots.iter_mut().filter_map(|slot| slot.span.take()).collect();
        for number in numbers.into_iter().chain(waiting.map(|(number, _)| number)) {
            self.positioned(number, spans, each);
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.under_way > 0 {
            // The kernel may still write to them.
            std::mem::forget(std::mem::take(&mut self.slots));
        }
    }
}
