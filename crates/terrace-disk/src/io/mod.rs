//! The operating system behind a handful of methods, so that crashes, full disks and failing hardware are
//! ordinary tests.
//!
//! Decision: names instead of paths, because a store is one flat folder, and positioned reads and writes
//! instead of a cursor, because readers and the writer share the files. Nothing here is atomic: what a crash
//! leaves behind is described in `docs/recovery.md`, and the engine asks for nothing more.

#[cfg(all(feature = "io_uring", target_os = "linux"))]
mod io_uring;
mod os;
pub mod sim;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

#[cfg(all(feature = "io_uring", target_os = "linux"))]
pub use self::io_uring::UringIo;
pub use os::OsIo;

/// A folder of files.
pub trait Io: Send + Sync {
    /// The names of all files in the folder, in any order.
    ///
    /// # Errors
    /// Those of the operating system.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a new, empty file for reading and writing. Its name is durable only after [`Io::sync_dir`].
    ///
    /// # Errors
    /// `AlreadyExists` if there is one of this name, `StorageFull` if there is no room.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens a file that exists, for reading or for both.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`.
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>>;

    /// Removes a file. It is gone for good only after [`Io::sync_dir`]; open handles and mappings stay usable.
    ///
    /// # Errors
    /// `NotFound`.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Renames a file, replacing any that has the new name. Durable only after [`Io::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes every creation, renaming and removal so far durable.
    ///
    /// # Errors
    /// Whatever failed: then none of them may be relied on.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the folder for one user; dropping what it returns gives it back.
    ///
    /// # Errors
    /// `WouldBlock` if another process, or another handle in this one, has it.
    fn lock(&self) -> io::Result<Box<dyn Send + Sync>>;

    /// Reads several places and hands the bytes of each to the closure, with its number, in any order; fewer bytes than
    /// asked for only at the end of a file. Returns when all were handed over.
    fn read_many(&self, spans: &[Span<'_>], each: &mut dyn FnMut(usize, io::Result<&[u8]>)) {
        let mut bytes = Vec::new();
        for (number, span) in spans.iter().enumerate() {
            each(number, read_one(span, &mut bytes).map(|()| bytes.as_slice()));
        }
    }

    /// The same folder, with a [`Io::read_many`] that hands all of its reads to the kernel together.
    ///
    /// # Errors
    /// `Unsupported` where there is no such thing, `PermissionDenied` where it is forbidden, with the reason in words.
    fn ringed(&self) -> io::Result<Arc<dyn Io>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "these files cannot be read by io_uring"))
    }
}

/// A place to be read.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    /// Where.
    pub file: &'a dyn File,
    /// From which offset.
    pub at: u64,
    /// How many bytes.
    pub len: usize,
}

impl std::fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Span").field("at", &self.at).field("len", &self.len).finish_non_exhaustive()
    }
}

/// Reads a span by a positioned read; what was in the buffer before goes.
fn read_one(span: &Span<'_>, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize(span.len, 0);
    let read = span.file.read_at(bytes, span.at)?;
    bytes.truncate(read);
    Ok(())
}

/// An open file.
#[allow(clippy::len_without_is_empty, reason = "a file is no collection, and its length can fail")]
pub trait File: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    fn len(&self) -> io::Result<u64>;

    /// Reads into the buffer from this offset, and returns how many bytes that were. Fewer than asked for only
    /// at the end of the file.
    ///
    /// # Errors
    /// Those of the device.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of the buffer at this offset. After an error any beginning of it may have been written.
    ///
    /// # Errors
    /// `StorageFull`, and those of the device.
    fn write_all_at(&self, buf: &[u8], at: u64) -> io::Result<()>;

    /// Reserves room for this many bytes from the beginning, and makes the file at least that long. What was
    /// never written reads as zero.
    ///
    /// # Errors
    /// `StorageFull`.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Cuts the file to this length.
    ///
    /// # Errors
    /// Those of the operating system.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Waits until everything written so far, and the length, is on the disk.
    ///
    /// # Errors
    /// After one, nothing is known of what was written since the last success, and asking again proves
    /// nothing: the system may have marked as clean what it could not write.
    fn sync(&self) -> io::Result<()>;

    /// Maps the first `len` bytes for reading; `None` where files cannot be mapped. Only for files that nobody
    /// writes to or truncates any more.
    ///
    /// # Errors
    /// Those of the operating system.
    fn map(&self, len: u64) -> io::Result<Option<Arc<dyn Map>>>;

    /// The operating system's handle, if it is a file of its own: what [`Io::read_many`] may read by without asking the
    /// file.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A part of a file that is mapped into memory.
pub trait Map: Send + Sync {
    /// Its bytes.
    fn bytes(&self) -> &[u8];
}
