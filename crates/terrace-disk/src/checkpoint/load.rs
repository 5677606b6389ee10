//! Reading an index snapshot.
//!
//! Decision: every byte is touched once while it is in the processor's cache: a thread reads a shard into a buffer of
//! its own, checks it there and builds the table from it. That each checksum continues the one before is no obstacle: a
//! part is checked with the checksum that is written in front of it, and the chain holds if every link does.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::head::Head;
use super::{FORMAT, MAGIC};
use crate::index::table::Table;
use crate::index::{Index, SHARDS, Slot};
use crate::io::File;
use crate::varint::Reader;

/// The length of what stands in front of the parts.
const START: u64 = 20;
/// Length and checksum of a part.
const PART: u64 = 12;
/// Entries are 16 bytes.
const ENTRY: usize = 16;
/// A head is shorter than this, however many segments and groups there are; more is damage.
const LONGEST_HEAD: u64 = 1 << 30;

/// A snapshot that was read and checks.
pub(crate) struct Loaded {
    pub(crate) head: Head,
    shards: Vec<Table>,
}

/// Where a part of the file is, and what it has to be checked with.
#[derive(Clone, Copy)]
struct Part {
    at: u64,
    len: u64,
    /// The checksum of what stands before it.
    before: u32,
    crc: u32,
}

impl Part {
    /// The part that begins here; `None` if the file ends before it does.
    fn at(file: &dyn File, at: u64, before: u32, end: u64) -> io::Result<Option<Self>> {
        let mut bytes = [0; PART as usize];
        if file.read_at(&mut bytes, at)? != bytes.len() {
            return Ok(None);
        }
        let mut reader = Reader::new(&bytes);
        let (Ok(len), Ok(crc)) = (reader.u64(), reader.u32()) else { return Ok(None) };
        let at = at + PART;
        Ok((len <= end.saturating_sub(at)).then_some(Self { at, len, before, crc }))
    }

    /// Reads it into the buffer; `false` if it does not check.
    fn read(self, file: &dyn File, bytes: &mut Vec<u8>) -> io::Result<bool> {
        // What the buffer holds already is overwritten.
        bytes.resize(usize::try_from(self.len).map_err(|_| io::ErrorKind::InvalidData)?, 0);
        if file.read_at(bytes, self.at)? != bytes.len() {
            return Ok(false);
        }
        let len = crc32c::crc32c_append(!self.before, &self.len.to_le_bytes());
        Ok(crc32c::crc32c_append(len, bytes) == self.crc)
    }
}

impl Loaded {
    /// The snapshot in a file of this log; `None` if it is none or damaged.
    ///
    /// # Errors
    /// Those of the device.
    pub(crate) fn read(file: &dyn File, store: u64, threads: usize) -> io::Result<Option<Self>> {
        let end = file.len()?;
        let mut start = [0; START as usize];
        let read = file.read_at(&mut start, 0)?;
        let Some(rest) = start.get(..read).and_then(|start| start.strip_prefix(MAGIC)) else {
            return Ok(None);
        };
        let mut reader = Reader::new(rest);
        if reader.u32() != Ok(FORMAT) || reader.u64() != Ok(store) {
            return Ok(None);
        }
        let Some(first) = Part::at(file, START, 0, end)?.filter(|part| part.len <= LONGEST_HEAD) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        if !first.read(file, &mut bytes)? {
            return Ok(None);
        }
        let Ok(head) = Head::parse(&bytes) else { return Ok(None) };
        let Some(parts) = parts(file, first, end)? else { return Ok(None) };
        let shards = Tables { file, parts: &parts, listed: listed(&head) }.build(threads)?;
        Ok(shards.map(|shards| Self { head, shards }))
    }

    /// Fills the index, but for entries of segments that the closure does not know.
    pub(crate) fn fill(&mut self, index: &Index, known: impl Fn(u16) -> bool) {
        let complete = self.head.segments.iter().all(|listed| known(listed.slot));
        for (shard, mut table) in std::mem::take(&mut self.shards).into_iter().enumerate() {
            if !complete {
                table.retain(|slot| known(slot.place().slot));
            }
            *index.write(shard) = table;
        }
    }
}

/// Where the shards are; `None` if they are not exactly what follows.
fn parts(file: &dyn File, first: Part, end: u64) -> io::Result<Option<Vec<Part>>> {
    let (mut parts, mut last) = (Vec::with_capacity(SHARDS), first);
    for _ in 0..SHARDS {
        match Part::at(file, last.at + last.len, last.crc, end)? {
            Some(part) if part.len.is_multiple_of(ENTRY as u64) => last = part,
            _ => return Ok(None),
        }
        parts.push(last);
    }
    Ok((last.at + last.len == end).then_some(parts))
}

/// Which slots of segments the snapshot knows, one bit each.
fn listed(head: &Head) -> Vec<u64> {
    let mut bits = vec![0; (1 << 16) / 64];
    for segment in &head.segments {
        if let Some(word) = bits.get_mut(usize::from(segment.slot / 64)) {
            *word |= 1 << (segment.slot % 64);
        }
    }
    bits
}

/// Tables that are being built.
struct Tables<'a> {
    file: &'a dyn File,
    parts: &'a [Part],
    listed: Vec<u64>,
}

impl Tables<'_> {
    /// All of them, by several threads; `None` if one does not check.
    fn build(&self, threads: usize) -> io::Result<Option<Vec<Table>>> {
        let tables: Vec<Mutex<Table>> = self.parts.iter().map(|_| Mutex::default()).collect();
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || -> io::Result<()> {
            let mut bytes = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let (Some(part), Some(place)) = (self.parts.get(number), tables.get(number)) else { break };
                if !part.read(self.file, &mut bytes)? {
                    failed.store(true, Ordering::Relaxed);
                    break;
                }
                *place.lock() = self.table(&bytes);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads.min(SHARDS)).map(|_| scope.spawn(work)).collect();
            let ours = work();
            let lost = || Err(io::Error::other("a thread that read the index snapshot ended early"));
            others.into_iter().map(|other| other.join().unwrap_or_else(|_| lost())).fold(ours, Result::and)
        })?;
        let sound = !failed.load(Ordering::Relaxed);
        Ok(sound.then(|| tables.into_iter().map(Mutex::into_inner).collect()))
    }

    fn table(&self, bytes: &[u8]) -> Table {
        let known = |slot: u16| {
            self.listed.get(usize::from(slot / 64)).is_some_and(|word| word >> (slot % 64) & 1 != 0)
        };
        let slots = bytes.as_chunks::<ENTRY>().0.iter().map(|entry| {
            let [first, second] = [entry.first_chunk(), entry.last_chunk()]
                .map(|word: Option<&[u8; 8]>| word.map_or(0, |word| u64::from_le_bytes(*word)));
            Slot(first, second)
        });
        // A little too large if some are left out, which spares a second pass over all of them.
        let count = bytes.len() / ENTRY;
        Table::load(slots.filter(|slot| !slot.is_empty() && known(slot.place().slot)), count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::head::Listed;
    use super::super::{append_part, dump};
    use super::*;
    use crate::control::Manifest;
    use crate::index::Place;
    use crate::io::Io;
    use crate::io::sim::SimDisk;
    use crate::record::Location;
    use crate::tally::Tally;

    fn file(bytes: &[u8]) -> Arc<dyn File> {
        let file = SimDisk::new(1).create("index").unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    fn head() -> Head {
        let tally = Tally { count: 1, bytes: 2, stored: 3 };
        let listed =
            |slot, id| Listed { slot, id, given_versions: id == 5, groups: vec![(0, tally), (7, tally)] };
        Head {
            clean: true,
            position: Location { segment: 5, offset: 1000 },
            manifest: Manifest { max_version: 9, segments: vec![(5, 1000)], ..Manifest::default() },
            segments: vec![listed(3, 5), listed(4, 6)],
        }
    }

    fn written(head: &Head, index: &Index) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&6_u64.to_le_bytes());
        let mut bytes = Vec::new();
        head.append(&mut bytes);
        let mut chain = 0;
        append_part(&bytes, &mut chain, &mut out);
        (0..SHARDS).for_each(|shard| append_part(&dump(&index.read(shard)), &mut chain, &mut out));
        out
    }

    #[test]
    fn a_snapshot_comes_back_and_damage_anywhere_is_noticed() {
        let index = Index::new(1);
        for (tag, slot) in [(77, 3), (78, 4), (79, 9)] {
            index.write(200).insert(Slot::new(tag, Place { slot, offset: 96 }, 100, None, false));
        }
        let out = written(&head(), &index);
        for (threads, known, left) in [(1, 3..4, 1), (3, 3..5, 2), (3, 0..100, 2)] {
            let mut loaded = Loaded::read(&*file(&out), 6, threads).unwrap().unwrap();
            assert_eq!(loaded.head, head());
            let again = Index::new(1);
            loaded.fill(&again, |slot| known.contains(&slot));
            assert_eq!(again.len(), left, "of segments that are there, and that it lists");
        }
        assert!(Loaded::read(&*file(&out), 7, 1).unwrap().is_none());
        for at in 0..out.len() {
            let mut damaged = out.clone();
            damaged[at] ^= 0x10;
            assert!(Loaded::read(&*file(&damaged), 6, 1).unwrap().is_none(), "byte {at}");
        }
        for len in 0..out.len() {
            assert!(Loaded::read(&*file(&out[..len]), 6, 1).unwrap().is_none(), "{len} bytes");
        }
        let longer = [&out[..], &[0]].concat();
        assert!(Loaded::read(&*file(&longer), 6, 1).unwrap().is_none());
    }

    #[test]
    fn parts_of_another_snapshot_or_in_another_order_do_not_check() {
        let index = Index::new(1);
        for shard in [1, 2] {
            let slot = Slot::new(shard, Place { slot: 3, offset: 96 }, 100, None, false);
            index.write(shard as usize).insert(slot);
        }
        let mut exchanged = written(&head(), &index);
        // The last 254 shards are empty; the two before them are exchanged with their frames.
        let second = exchanged.len() - 254 * 12 - 28 + 12;
        exchanged.copy_within(second - 28..second, second);
        assert!(Loaded::read(&*file(&exchanged), 6, 2).unwrap().is_none());
    }
}
