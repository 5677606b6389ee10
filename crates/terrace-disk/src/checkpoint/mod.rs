//! The index snapshot: the index as it was at one position of the log, so that opening reads only what follows.
//!
//! Decision: exact without stopping writers. At the position, the writer notes that a dump has begun; from then on
//! whoever is about to change a shard that was not dumped yet dumps it first. Everything an entry replaces later
//! is thus replayed onto exactly what was there.
//!
//! **Why segments may be removed without a new snapshot.** A snapshot may name segments that are gone when it is
//! loaded. Such a segment was retired, which the newest manifest or a note behind it proves, and it was retired only
//! when the index of that time did not refer to it any more. So for each key that the snapshot has there, something
//! happened after the snapshot: it was copied, overwritten, deleted or cleared, and that record is in the tail
//! that is replayed, or in a segment retired later, of which the same is true, or its time was over, or the cache
//! evicted it. In each case what the snapshot says of that segment must be forgotten, entries and their share
//! of the tallies, *before* the tail is replayed; and the tallies can forget exactly that share, because they are
//! kept for each segment. A segment that is gone without such a proof is missing, and is reported.

mod head;
mod load;

use self::head::{Head, Listed};
use crate::config::Mode;
use crate::error::{Error, Result};
use crate::header::id_of;
use crate::index::table::Table;
use crate::index::{Index, SHARDS};
use crate::point::point;
use crate::record::Location;
use crate::shared::Shared;
use crate::writer::Writer;

pub(crate) use self::load::Loaded;

const MAGIC: &[u8; 8] = b"terrindx";
const FORMAT: u32 = 1;

/// A dump in progress.
pub(crate) struct Dump {
    shards: Vec<Option<Vec<u8>>>,
    done: Vec<bool>,
}

impl Dump {
    fn new() -> Self {
        Self { shards: vec![None; SHARDS], done: vec![false; SHARDS] }
    }

    /// Keeps a shard as it is now, unless that was done before.
    pub(crate) fn keep(&mut self, shard: usize, index: &Index) {
        let (Some(done), Some(kept)) = (self.done.get_mut(shard), self.shards.get_mut(shard)) else { return };
        if !std::mem::replace(done, true) {
            *kept = Some(dump(&index.read(shard)));
        }
    }

    fn take(&mut self, shard: usize, index: &Index) -> Vec<u8> {
        self.keep(shard, index);
        self.shards.get_mut(shard).and_then(Option::take).unwrap_or_default()
    }
}

fn dump(table: &Table) -> Vec<u8> {
    let mut out = Vec::with_capacity(table.len() * 16);
    for slot in table.iter() {
        out.extend_from_slice(&slot.0.to_le_bytes());
        out.extend_from_slice(&slot.1.to_le_bytes());
    }
    out
}

/// Appends a part of the file: length, checksum, bytes. Each checksum continues the one before, so a part that checks
/// stands where it belongs, in the snapshot it belongs to, and none is left out.
fn append_part(bytes: &[u8], chain: &mut u32, out: &mut Vec<u8>) {
    let len = (bytes.len() as u64).to_le_bytes();
    *chain = crc32c::crc32c_append(crc32c::crc32c_append(!*chain, &len), bytes);
    out.extend_from_slice(&len);
    out.extend_from_slice(&chain.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The name of a snapshot.
pub(crate) fn snapshot_name(number: u64) -> String {
    format!("index-{number:08}.snap")
}

/// The number in a snapshot's name.
pub(crate) fn snapshot_number(name: &str) -> Option<u64> {
    id_of(name, "index-", ".snap")
}

/// Magic, format and store.
const FILE_HEAD_LEN: u64 = 20;
/// What stands in front of the head and of each shard: length and checksum.
const PARTS_LEN: u64 = 12 * (1 + SHARDS as u64);
const SLOT_LEN: u64 = 16;
/// A head is seldom longer.
const USUAL_HEAD: u64 = 8 << 10;

/// The log grows by at least so many bytes between two snapshots.
const EVERY: u64 = 256 << 20;

impl Shared {
    /// Whether the log has grown enough since the last snapshot that another one pays.
    pub(crate) fn checkpoint_due(&self) -> bool {
        let since = self.writer.lock().since_checkpoint;
        let every = match self.config.mode {
            Mode::Cache { budget } => EVERY.min(budget / 2),
            Mode::Store { .. } => EVERY,
        };
        since >= every.max(4 * 16 * self.index.len() as u64)
    }

    /// Writes an index snapshot. Without it nothing is lost but time when the log is opened.
    pub(crate) fn checkpoint(&self, clean: bool) -> Result<()> {
        let _one = self.checkpointing.lock();
        self.check_writable()?;
        let names = self.io.list().map_err(Error::io("list", "the folder"))?;
        let older: Vec<u64> = names.iter().filter_map(|name| snapshot_number(name)).collect();
        let name = snapshot_name(older.iter().max().map_or(1, |last| last + 1));
        let temporary = format!("{name}.new");
        let written = self.write_snapshot(&temporary, clean, &older);
        self.writer.lock().dump = None;
        let len = match written {
            Ok(len) => len,
            Err(error) => {
                let _ = self.io.remove(&temporary);
                self.writer.lock().checkpoint_bytes = self.snapshot_bytes();
                return Err(error);
            }
        };
        point("checkpoint.before_rename");
        self.io.rename(&temporary, &name).map_err(Error::io("rename", &temporary))?;
        point("checkpoint.before_sync_dir");
        self.sync_folder()?;
        point("checkpoint.before_remove_old");
        self.remove_snapshots(&older);
        self.writer.lock().checkpoint_bytes = len;
        Ok(())
    }

    fn remove_snapshots(&self, numbers: &[u64]) {
        for number in numbers {
            let _ = self.io.remove(&snapshot_name(*number));
        }
    }

    /// How long the newest snapshot is.
    pub(crate) fn snapshot_bytes(&self) -> u64 {
        let names = self.io.list().unwrap_or_default();
        let newest = names.iter().filter_map(|name| snapshot_number(name)).max();
        let len = |number| self.io.open(&snapshot_name(number), false).and_then(|file| file.len());
        newest.map_or(0, |number| len(number).unwrap_or(0))
    }

    /// About how long an index snapshot would be now.
    pub(crate) fn snapshot_estimate(&self) -> u64 {
        match self.config.mode {
            Mode::Cache { .. } => USUAL_HEAD + PARTS_LEN + SLOT_LEN * self.index.len() as u64,
            Mode::Store { .. } => 0,
        }
    }

    /// Sees to it that a snapshot of this length does not make a cache larger than its budget: if it must, those before
    /// it go first. Then a crash before it is written makes opening slow, and nothing else.
    fn make_room_for_snapshot(&self, writer: &mut Writer, len: u64, older: &[u64]) -> Result<()> {
        let Mode::Cache { budget } = self.config.mode else { return Ok(()) };
        let room = budget.saturating_sub(self.bytes_without_snapshot(writer));
        if len > room {
            return Err(Error::Full("the budget has no room for an index snapshot"));
        }
        if writer.checkpoint_bytes + len > room {
            self.remove_snapshots(older);
            writer.checkpoint_bytes = 0;
        }
        Ok(())
    }

    fn write_snapshot(&self, name: &str, clean: bool, older: &[u64]) -> Result<u64> {
        let mut bytes = Vec::new();
        {
            let mut writer = self.writer.lock();
            self.flush(&mut writer)?;
            writer.dump = Some(Dump::new());
            self.head(&writer, clean).append(&mut bytes);
            let len = FILE_HEAD_LEN + bytes.len() as u64 + PARTS_LEN + SLOT_LEN * self.index.len() as u64;
            self.make_room_for_snapshot(&mut writer, len, older)?;
            // What is written until it is there must not take its room.
            writer.checkpoint_bytes += len;
            writer.since_checkpoint = 0;
        }
        // What the snapshot holds must not be ahead of what the disk has of the log.
        self.sync_log()?;
        let _ = self.io.remove(name);
        let file = self.io.create(name).map_err(Error::io("create", name))?;
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.mark.store.to_le_bytes());
        let mut chain = 0;
        append_part(&bytes, &mut chain, &mut out);
        let mut at = 0;
        for shard in 0..SHARDS {
            let bytes = {
                let mut writer = self.writer.lock();
                let dump = writer.dump.as_mut();
                dump.map(|dump| dump.take(shard, &self.index)).unwrap_or_default()
            };
            append_part(&bytes, &mut chain, &mut out);
            if out.len() > 1 << 20 || shard + 1 == SHARDS {
                file.write_all_at(&out, at).map_err(Error::io("write", name))?;
                at += out.len() as u64;
                out.clear();
            }
        }
        point("checkpoint.before_sync");
        file.sync().map_err(Error::io("sync", name))?;
        Ok(at)
    }

    fn head(&self, writer: &Writer, clean: bool) -> Head {
        let segments = self.segments.read();
        let last = writer.active.as_ref().or_else(|| segments.iter().next_back());
        let position = last.map_or(Location::default(), |segment| segment.at(segment.len() as u32));
        let doomed = |id: u64| writer.doomed.iter().any(|(segment, _)| segment.id == id);
        let listed = segments.iter().filter(|segment| !doomed(segment.id)).map(|segment| Listed {
            slot: segment.slot,
            id: segment.id,
            given_versions: segment.has_given_versions(),
            groups: writer.tallies.share_of(segment.slot).filter(|(_, tally)| tally.count != 0).collect(),
        });
        let segments_listed = listed.collect();
        drop(segments);
        Head { clean, position, manifest: self.manifest(writer), segments: segments_listed }
    }
}
