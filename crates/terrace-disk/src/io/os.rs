//! The operating system's files.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;

use super::{File, Io, Map};

/// The file that is locked. Its content means nothing.
const LOCK: &str = "LOCK";

/// A folder of the operating system. It and its files can be read by their owner only.
#[derive(Debug)]
pub struct OsIo {
    path: PathBuf,
    folder: fs::File,
}

impl OsIo {
    /// Opens the folder, and makes it if it is not there.
    ///
    /// # Errors
    /// If it cannot be made or read.
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Self::existing(path)
    }

    /// Opens a folder that is there, and changes nothing.
    ///
    /// # Errors
    /// If it is not there or cannot be read.
    pub fn existing(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let folder = fs::File::open(&path)?;
        Ok(Self { path, folder })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle of the same folder.
    #[cfg(all(feature = "io_uring", target_os = "linux"))]
    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { path: self.path.clone(), folder: self.folder.try_clone()? })
    }

    fn at(&self, name: &str) -> io::Result<PathBuf> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file in the folder"));
        }
        Ok(self.path.join(name))
    }

    fn open_with(&self, name: &str, options: &mut fs::OpenOptions) -> io::Result<Arc<dyn File>> {
        let file = options.read(true).mode(0o600).open(self.at(name)?)?;
        Ok(Arc::new(OsFile(file)))
    }
}

impl Io for OsIo {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // Whatever has another kind of name or is no file is not ours.
            if let Some(name) = entry.file_name().to_str().filter(|_| entry.path().is_file()) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.open_with(name, fs::OpenOptions::new().write(true).create_new(true))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        self.open_with(name, fs::OpenOptions::new().write(write))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from)?, self.at(to)?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.folder.sync_all()
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let mut options = fs::OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(self.at(LOCK)?)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Box::new(Held(file))),
            Err(Errno::WOULDBLOCK) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(all(feature = "io_uring", target_os = "linux"))]
    fn ringed(&self) -> io::Result<Arc<dyn Io>> {
        Ok(Arc::new(super::UringIo::new(self.try_clone()?)?))
    }

    #[cfg(not(all(feature = "io_uring", target_os = "linux")))]
    fn ringed(&self) -> io::Result<Arc<dyn Io>> {
        let why = "this build has no io_uring: build for Linux with the feature `io_uring`";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }
}

/// A lock that is held.
struct Held(fs::File);

impl Drop for Held {
    fn drop(&mut self) {
        // Closing the file would leave the lock to a child that was forked just now and has not begun its own program
        // yet. What fails is undone when the last copy is closed.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// A file of the operating system.
#[derive(Debug)]
struct OsFile(fs::File);

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = buf.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, at + read as u64) {
                Ok(0) => break,
                Ok(some) => read += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_all_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(buf, at)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // Some file systems cannot; then a full disk shows when the bytes are written.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.0.set_len(len.max(self.len()?)),
            Err(error) => Err(error.into()),
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    #[allow(unsafe_code, reason = "a mapping is shared with the file; UNSAFE.md says why that is sound here")]
    fn map(&self, len: u64) -> io::Result<Option<Arc<dyn Map>>> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        if len == 0 || self.len()? < len as u64 {
            return Ok(None);
        }
        // SAFETY: only sealed segments are mapped. Nobody in this process writes to or truncates them any more,
        // the folder's lock keeps other processes of ours away, and the folder is its owner's alone. Removing
        // the file leaves the mapping's pages in place.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(&self.0)? };
        Ok(Some(Arc::new(OsMap(map))))
    }
}

/// A mapped file.
struct OsMap(memmap2::Mmap);

impl Map for OsMap {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_written_and_mapped_and_a_second_lock_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let io = OsIo::new(folder.path().join("deep/er")).unwrap();
        let file = io.create("a").unwrap();
        file.allocate(8192).unwrap();
        assert_eq!(file.len().unwrap(), 8192);
        file.write_all_at(b"hello", 10).unwrap();
        file.truncate(15).unwrap();
        file.sync().unwrap();
        let mut buf = [1; 20];
        assert_eq!(file.read_at(&mut buf, 9).unwrap(), 6);
        assert_eq!(&buf[..6], b"\0hello");
        assert_eq!(&file.map(15).unwrap().unwrap().bytes()[10..], b"hello");
        assert!(file.map(16).unwrap().is_none());
        assert_eq!(io.create("a").err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        io.rename("a", "b").unwrap();
        io.sync_dir().unwrap();
        let lock = io.lock().unwrap();
        let again = OsIo::new(io.path()).unwrap();
        assert_eq!(again.lock().err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        assert!(again.lock().is_ok());
        let mut names = io.list().unwrap();
        names.sort();
        assert_eq!(names, ["LOCK", "b"]);
        io.remove("b").unwrap();
        assert_eq!(io.open("b", false).err().unwrap().kind(), io::ErrorKind::NotFound);
        assert_eq!(io.open("../x", false).err().unwrap().kind(), io::ErrorKind::InvalidInput);
    }
}
