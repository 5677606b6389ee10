//! What a clean close leaves beside the database, so that the next open can tell whether something was lost since.
//!
//! The database reads its journal up to the first place it cannot read, for that is what a crash leaves; a journal
//! that was cut after a clean close looks the same. The mark tells the two apart. It lies outside the database,
//! is written when everything else is on the disk, and is gone before the first write: where it is missing, the
//! last end was a crash, or a release that knew no marks.
//!
//! ```text
//! folder/terrace.closed   magic: 8 bytes, highest version: u64 BE, entries: u64 BE, XXH3-64 of these: u64 BE
//! ```

use std::fs::{self, File};
use std::io::{ErrorKind as Io, Write};
use std::path::Path;

use terrace_store::{Result, Version};
use xxhash_rust::xxh3::xxh3_64;

const NAME: &str = "terrace.closed";
/// Under which name it is written, so that no crash leaves half of one.
const UNFINISHED: &str = "terrace.closed.new";
const MAGIC: [u8; 8] = *b"TRRCEND1";
const LENGTH: usize = 32;

/// What a folder held when it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// No version above it had been used.
    pub(super) highest: Version,
    /// How many entries were counted.
    pub(super) entries: u64,
}

/// What an open finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Mark(Mark),
    Missing,
    /// There is one, but it is damaged itself.
    Unreadable,
}

impl Found {
    pub(super) fn mark(self) -> Option<Mark> {
        match self {
            Self::Mark(mark) => Some(mark),
            Self::Missing | Self::Unreadable => None,
        }
    }
}

/// Reads the mark of a folder.
pub(super) fn read(folder: &Path) -> Result<Found> {
    match fs::read(folder.join(NAME)) {
        Ok(bytes) => Ok(decode(&bytes).map_or(Found::Unreadable, Found::Mark)),
        Err(error) if error.kind() == Io::NotFound => Ok(Found::Missing),
        Err(error) => Err(error.into()),
    }
}

/// Leaves a mark. Everything it speaks of is on the disk already.
pub(super) fn write(folder: &Path, mark: Mark) -> Result<()> {
    let unfinished = folder.join(UNFINISHED);
    let mut file = File::create(&unfinished)?;
    file.write_all(&encode(mark))?;
    file.sync_all()?;
    fs::rename(unfinished, folder.join(NAME))?;
    sync(folder)
}

/// Removes the mark, for good.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_file(folder.join(NAME)) {
        Ok(()) => sync(folder),
        Err(error) if error.kind() == Io::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn sync(folder: &Path) -> Result<()> {
    Ok(File::open(folder)?.sync_all()?)
}

fn encode(mark: Mark) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&mark.highest.0.to_be_bytes());
    bytes[16..24].copy_from_slice(&mark.entries.to_be_bytes());
    let checksum = xxh3_64(&bytes[..24]);
    bytes[24..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Mark> {
    let (said, checksum) = bytes.split_last_chunk::<8>()?;
    let number = |at: usize| Some(u64::from_be_bytes(*said.get(at..)?.first_chunk()?));
    let whole = bytes.len() == LENGTH && said.starts_with(&MAGIC) && xxh3_64(said).to_be_bytes() == *checksum;
    whole.then_some(())?;
    Some(Mark { highest: Version(number(8)?), entries: number(16)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { highest: Version(300), entries: 7 };

    #[test]
    fn a_mark_is_read_as_it_was_left_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), Found::Missing);
        write(folder.path(), MARK).unwrap();
        assert_eq!(read(folder.path()).unwrap(), Found::Mark(MARK));
        remove(folder.path()).unwrap();
        remove(folder.path()).unwrap();
        assert_eq!(read(folder.path()).unwrap(), Found::Missing);
    }

    #[test]
    fn a_mark_with_any_bit_flipped_or_cut_anywhere_is_none() {
        let whole = encode(MARK);
        assert_eq!(decode(&whole), Some(MARK));
        for bit in 0..8 * LENGTH {
            let mut flipped = whole;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "bit {bit}");
        }
        assert!((0..LENGTH).all(|length| decode(&whole[..length]).is_none()));
    }
}
