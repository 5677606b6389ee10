//! A folder of objects, and the lock that keeps other processes out of it.
//!
//! A file system replaces a file whatever is in it, so it cannot judge a condition. Here this process judges, one write of
//! a key at a time, and nobody else may write: that is what the lock is for.

use std::fs::File;
use std::path::Path;

use object_store::local::LocalFileSystem;
use terrace_store::{Durability, Error, ErrorKind, Result};

use super::NAME;

/// The file that is locked. Its name is none of an object's.
const LOCK: &str = "lock";

/// Opens a folder, and makes it if it is not there. The file is to be kept as long as it is used.
pub(super) fn open(path: &Path, durability: Durability) -> Result<(LocalFileSystem, File)> {
    let failed = |source: std::io::Error| Error::from(source).with("path", path.display());
    std::fs::create_dir_all(path).map_err(failed)?;
    let lock = File::options().create(true).append(true).open(path.join(LOCK)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            return Err(Error::new(ErrorKind::Config, "open").with("path", path.display()).because(
                "another process, or another store of this one, has this folder open; a folder of objects is one \
                 process's",
            ));
        }
        Err(std::fs::TryLockError::Error(source)) => return Err(failed(source)),
    }
    let folder = LocalFileSystem::new_with_prefix(path)
        .map_err(|source| Error::new(ErrorKind::Config, "open").with("store", NAME).caused_by(source))?;
    Ok((folder.with_fsync(durability.is_durable()), lock))
}

/// Makes all that was written to the file system of a folder durable.
pub(super) fn sync(path: &Path) -> Result<()> {
    let folder = File::open(path)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&folder).map_err(|error| Error::from(std::io::Error::from(error)))?;
    #[cfg(not(target_os = "linux"))]
    {
        folder.sync_all()?;
        rustix::fs::sync();
    }
    Ok(())
}
