//! What the suite asks of an engine.

use std::path::Path;

use crate::suite::Failure;

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::suite) enum Sync {
    /// Whenever the engine likes.
    Never,
    /// After an fsync that covers it.
    Each,
}

/// Keys and values that are written at once.
pub(in crate::suite) type Pair = ([u8; 16], Vec<u8>);

/// An open engine.
pub(in crate::suite) trait Engine: Send + std::marker::Sync {
    /// Writes all of them.
    fn write(&self, pairs: &[Pair]) -> Result<(), Failure>;

    /// Reads a value into `out`, and tells whether there is one.
    fn read(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure>;

    /// Brings everything that was written to the files, and ends.
    fn close(self: Box<Self>) -> Result<(), Failure>;
}

/// An engine that can be opened.
pub(in crate::suite) struct Peer {
    pub(in crate::suite) name: &'static str,
    pub(in crate::suite) open: fn(&Path, Sync) -> Result<Box<dyn Engine>, Failure>,
    /// Whether it can be asked for an fsync with each write.
    pub(in crate::suite) syncs: bool,
    /// Whether it is an engine that is there already, with other settings.
    pub(in crate::suite) variant: bool,
}

/// The bytes that the files of a folder take on the disk.
pub(in crate::suite) fn bytes_on_disk(folder: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { bytes_on_disk(&entry.path())? } else { about.blocks() * 512 };
    }
    Ok(bytes)
}
