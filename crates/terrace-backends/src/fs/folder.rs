//! The folder of a store: where its files lie, who holds it, and how a file comes to be.
//!
//! ```text
//! format      one line: the name of the format and its number
//! lock        locked by the process that has the store open
//! sequence    the versions that may have been given (see `sequence.rs`)
//! cleared     the floors that clears left (see `cleared.rs`)
//! spare       room kept for deletes on a full disk
//! tmp/        files being written; emptied at open
//! objects/    00 to ff, each with the files whose names begin so (see `object.rs`)
//! ```
//!
//! Every file but `lock`, `sequence` and `spare` is written under a name in `tmp/` and renamed when it is whole,
//! so that a file under its own name is never half a file unless the power was cut.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use terrace_store::{Error, ErrorKind, Result};

use super::object::Name;

const MARKER: &str = "terrace-fs";
const FORMAT: u32 = 1;
/// What the folder holds beside `objects`.
const KNOWN: [&str; 7] = ["format", "lock", "sequence", "cleared", "spare", "tmp", "objects"];
/// Room for some floors, whatever the block size.
const SPARE: usize = 64 * 1024;

/// A store's folder, held by this process.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    next: AtomicU64,
    /// Held for its lock, until the store is closed.
    lock: Mutex<Option<File>>,
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.release();
    }
}

impl Folder {
    /// Makes the folder if need be, takes it for this process, and clears away what a crash left half done.
    ///
    /// # Errors
    /// `Unavailable` if another store has it open, `NotSupported` if a newer release wrote it, `Config` if it is
    /// something else, `Denied` and others as the system says.
    pub(super) fn open(root: &Path) -> Result<Self> {
        make_folder(root)?;
        let lock = take(root)?;
        check_marker(root)?;
        let folder = Self { root: root.to_owned(), next: AtomicU64::new(0), lock: Mutex::new(Some(lock)) };
        folder.make_folders().map_err(|error| failed("open", root, error))?;
        Ok(folder)
    }

    fn make_folders(&self) -> io::Result<()> {
        let temporary = self.root.join("tmp");
        let _ = make_one(&temporary)?;
        for file in fs::read_dir(&temporary)? {
            fs::remove_file(file?.path())?;
        }
        let objects = self.objects();
        let mut made = make_one(&objects)?;
        for byte in 0..=u8::MAX {
            made |= make_one(&objects.join(format!("{byte:02x}")))?;
        }
        if made {
            sync_folder(&objects)?;
            sync_folder(&self.root)?;
        }
        Ok(())
    }

    /// Lets others open the folder.
    pub(super) fn release(&self) {
        if let Some(file) = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Closing the file would leave the lock to a child that was forked just now and has not begun its own
            // program yet. What fails is undone when the last copy is closed.
            let _ = file.unlock();
        }
    }

    /// The path of one of the files beside `objects`.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// The folder of the fan-out folders.
    pub(super) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// The path of an object.
    pub(super) fn object(&self, name: &Name) -> PathBuf {
        let text = name.to_string();
        self.root.join("objects").join(&text[..2]).join(text)
    }

    /// Writes an object, whole or not at all. It is not synced.
    pub(super) fn write_object(&self, name: &Name, parts: [&[u8]; 2]) -> Result<()> {
        let target = self.object(name);
        self.write(&target, &parts, false).map_err(|error| failed("write", &target, error))
    }

    /// Replaces one of the files beside `objects`, whole or not at all, and durably.
    pub(super) fn replace(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let target = self.path(file);
        let write = self.write(&target, &[bytes], true).and_then(|()| sync_folder(&self.root));
        write.map_err(|error| failed("write", &target, error))
    }

    fn write(&self, target: &Path, parts: &[&[u8]], sync: bool) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let temporary = self.root.join("tmp").join(number.to_string());
        let fill = || {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            parts.iter().try_for_each(|part| file.write_all(part))?;
            if sync {
                file.sync_all()?;
            }
            drop(file);
            fs::rename(&temporary, target)
        };
        let filled = fill();
        if filled.is_err() {
            // What was half written takes room that others may need. If it stays, the next open removes it.
            let _ = fs::remove_file(&temporary);
        }
        filled
    }

    /// Removes an object. One that is gone already is `Ok`.
    pub(super) fn remove_object(&self, name: &Name) -> io::Result<()> {
        match fs::remove_file(self.object(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes room that deletes can use when there is no other. `false` if there is none to take.
    pub(super) fn keep_spare(&self) -> bool {
        let path = self.path("spare");
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == SPARE as u64) {
            return true;
        }
        let fill = || {
            let mut file = File::create(&path)?;
            // Not zeros: a file system that stores holes or compresses would keep no room for them.
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            let mut noise = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            };
            file.write_all(&(0..SPARE).map(|_| noise()).collect::<Vec<u8>>())?;
            file.sync_all()
        };
        let kept: io::Result<()> = fill();
        if kept.is_err() {
            self.give_spare();
        }
        kept.is_ok()
    }

    /// Gives that room back, for a delete.
    pub(super) fn give_spare(&self) {
        let _ = fs::remove_file(self.path("spare"));
    }

    /// The names in the store's folder that are not the store's.
    pub(super) fn strangers(&self) -> io::Result<Vec<String>> {
        let mut strangers = Vec::new();
        for file in fs::read_dir(&self.root)? {
            let name = file?.file_name();
            if !KNOWN.iter().any(|known| name == *known) {
                strangers.push(name.to_string_lossy().into_owned());
            }
        }
        Ok(strangers)
    }
}

/// The error of an operation on a path, in words where they help.
pub(super) fn failed(operation: &'static str, path: &Path, error: io::Error) -> Error {
    let kind = Error::from(io::Error::from(error.kind())).kind();
    let reason = match kind {
        ErrorKind::Full => "there is no room on the disk",
        ErrorKind::Denied => "the system does not allow it; look at the owner and mode of the folder",
        _ => "a file could not be used",
    };
    Error::new(kind, operation)
        .because(reason)
        .with("store", "fs")
        .with("path", path.display())
        .transient(false)
        .caused_by(error)
}

fn make_folder(root: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    // What is stored is nobody else's to read.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(root).map_err(|error| failed("open", root, error))
}

/// Makes a folder, and says whether it was not there.
fn make_one(path: &Path) -> io::Result<bool> {
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn take(root: &Path) -> Result<File> {
    let path = root.join("lock");
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(|error| failed("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(ErrorKind::Unavailable, "open")
            .transient(false)
            .because("another process, or another store in this one, has this folder open")
            .with("path", root.display())),
        Err(TryLockError::Error(error)) => Err(failed("open", &path, error)),
    }
}

fn check_marker(root: &Path) -> Result<()> {
    let path = root.join("format");
    let mut text = String::new();
    match File::open(&path).and_then(|file| file.take(1024).read_to_string(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return first_marker(root, &path),
        Err(error) => return Err(failed("open", &path, error)),
    }
    let number = text.trim_end().strip_prefix(MARKER).and_then(|rest| rest.trim().parse::<u32>().ok());
    match number {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => Err(Error::new(ErrorKind::NotSupported, "open")
            .because(format!(
                "a newer release wrote this store: its format is {newer}, this release reads {FORMAT}"
            ))
            .with("path", root.display())),
        _ => Err(Error::new(ErrorKind::Config, "open")
            .because("this folder holds something else: its file `format` is not this store's")
            .with("path", root.display())),
    }
}

fn first_marker(root: &Path, path: &Path) -> Result<()> {
    // The marker is the first file of a store. Objects without one are not ours, or have lost it.
    if root.join("objects").exists() {
        return Err(Error::new(ErrorKind::Config, "open")
            .because("this folder has objects but no file `format`: it is no store, or a damaged one")
            .with("path", root.display()));
    }
    let write = || {
        let temporary = root.join("format.new");
        let mut file = File::create(&temporary)?;
        writeln!(file, "{MARKER} {FORMAT}")?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(root)?;
        match root.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
            _ => Ok(()),
        }
    };
    write().map_err(|error| failed("open", path, error))
}

/// Makes the names in a folder durable.
#[cfg(unix)]
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Elsewhere the system gives no way to ask for it.
#[cfg(not(unix))]
pub(super) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes the bytes of a file durable.
pub(super) fn sync_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().read(true).write(true).open(path)?.sync_all()
}
