//! The versions of a store: a sequence that never goes back, whatever is lost.
//!
//! Versions are given from memory; the file `sequence` says below which number they are. It is rewritten, and
//! synced, once for every 65,536 versions. Two slots are written in turns and in place: a torn write leaves the
//! other, and no room is needed, so that deletes work on a full disk.
//!
//! ```text
//! offset  size  what
//!      0     8  all versions given so far are at or below this number
//!      8     8  XXH3-64 of it
//!    512    16  the same again; the greater of the sound ones counts
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use terrace_store::{Result, Version};
use xxhash_rust::xxh3::xxh3_64;

use super::folder::failed;

const BLOCK: u64 = 1 << 16;
const SLOT: u64 = 512;
/// How far to jump when the file was lost: further than any store has counted.
const LEAP: u64 = 1 << 40;

/// A sequence of versions, kept in a file.
#[derive(Debug)]
pub(super) struct Sequence {
    last: AtomicU64,
    limit: AtomicU64,
    slots: Mutex<Slots>,
    path: PathBuf,
}

#[derive(Debug)]
struct Slots {
    file: File,
    turn: bool,
}

impl Sequence {
    /// Goes on above what the file says and above `seen`, the greatest version in the store. Says also whether
    /// the file of a store that holds something was lost or unreadable.
    pub(super) fn open(path: PathBuf, seen: Option<Version>) -> Result<(Self, bool)> {
        let open = || {
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            let mut bytes = Vec::new();
            (&mut file).take(2 * SLOT).read_to_end(&mut bytes)?;
            io::Result::Ok((file, bytes))
        };
        let (file, bytes) = open().map_err(|error| failed("open", &path, error))?;
        let slots = [slot(&bytes, 0), slot(&bytes, SLOT as usize)];
        let lost = slots == [None, None] && (seen.is_some() || !bytes.is_empty());
        let known = slots.into_iter().flatten().max().max(seen.map(|version| version.0)).unwrap_or(0);
        let sound = slots.iter().all(Option::is_some) || (bytes.is_empty() && seen.is_none());
        // One slot may have been torn by a power cut, or have rotted while it was the greater one.
        let last = if sound { known } else { known.saturating_add(LEAP) };
        let mut slots = Slots { file, turn: slots[0] > slots[1] };
        let limit = last.saturating_add(BLOCK);
        // Both at once, the lesser first: from now on they have their room.
        slots.write(limit).and_then(|()| slots.write(limit)).map_err(|error| failed("open", &path, error))?;
        let (last, limit, slots) = (AtomicU64::new(last), AtomicU64::new(limit), Mutex::new(slots));
        Ok((Self { last, limit, slots, path }, lost))
    }

    /// The next version.
    ///
    /// # Errors
    /// If the file could not be written; once in 65,536 calls it has to be.
    pub(super) fn next(&self) -> Result<Version> {
        let version = self.last.fetch_add(1, Ordering::AcqRel) + 1;
        self.cover(version)?;
        Ok(Version(version))
    }

    /// Takes note of a given version: the next ones are above it.
    ///
    /// # Errors
    /// As [`Sequence::next`].
    pub(super) fn raise(&self, version: Version) -> Result<()> {
        self.cover(version.0)?;
        self.last.fetch_max(version.0, Ordering::AcqRel);
        Ok(())
    }

    fn cover(&self, version: u64) -> Result<()> {
        if version < self.limit.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if version < self.limit.load(Ordering::Acquire) {
            return Ok(());
        }
        let limit = version.saturating_add(BLOCK);
        slots.write(limit).map_err(|error| failed("reserve", &self.path, error))?;
        self.limit.store(limit, Ordering::Release);
        Ok(())
    }
}

impl Slots {
    fn write(&mut self, limit: u64) -> io::Result<()> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&limit.to_le_bytes());
        bytes[8..].copy_from_slice(&xxh3_64(&limit.to_le_bytes()).to_le_bytes());
        self.file.seek(SeekFrom::Start(if self.turn { SLOT } else { 0 }))?;
        self.turn = !self.turn;
        self.file.write_all(&bytes)?;
        self.file.sync_all()
    }
}

fn slot(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes: &[u8; 16] = bytes.get(at..)?.first_chunk()?;
    let (limit, sum) = bytes.split_at(8);
    let limit = u64::from_le_bytes(limit.try_into().ok()?);
    (xxh3_64(&limit.to_le_bytes()).to_le_bytes() == sum).then_some(limit)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn open(path: &Path, seen: Option<u64>) -> (Sequence, bool) {
        Sequence::open(path.to_owned(), seen.map(Version)).unwrap()
    }

    #[test]
    fn versions_never_come_twice_whether_or_not_the_store_was_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sequence");
        let mut last = Version::ZERO;
        for round in 0..5 {
            let (sequence, lost) = open(&path, (round > 0).then_some(1));
            assert!(!lost);
            for _ in 0..3 {
                let next = sequence.next().unwrap();
                assert!(next > last, "{next} after {last}");
                last = next;
            }
            sequence.raise(Version(last.0 + 200_000)).unwrap();
            last = Version(last.0 + 200_000);
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_other_and_a_lost_file_a_leap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sequence");
        let (sequence, _) = open(&path, None);
        let last = (0..70_000).map(|_| sequence.next().unwrap()).last().unwrap();
        for damage in [&[3_usize][..], &[SLOT as usize + 3], &[3, SLOT as usize + 3]] {
            let mut bytes = std::fs::read(&path).unwrap();
            damage.iter().for_each(|at| bytes[*at] ^= 1);
            std::fs::write(&path, &bytes).unwrap();
            let (sequence, lost) = open(&path, Some(last.0));
            assert_eq!(lost, damage.len() == 2);
            assert!(sequence.next().unwrap() > last);
        }
        std::fs::remove_file(&path).unwrap();
        let (sequence, lost) = open(&path, Some(last.0));
        assert!(lost && sequence.next().unwrap().0 > last.0 + LEAP);
    }
}
