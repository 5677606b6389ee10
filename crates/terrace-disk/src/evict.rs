//! Making room in a cache: the oldest segment goes, what of it was read stays.
//!
//! Decision: whole segments, strictly the oldest first, so nothing older than what is dropped can come back.
//! What was read since it was written is appended again, within a share of all that is written, the most read first. No
//! record is read to find out: the index alone knows what points into the segment and how often it was used.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::codec::with_workspace;
use crate::error::{Error, Result};
use crate::header::MARK_FILE_LEN;
use crate::index::{Hash, SHARDS, Slot};
use crate::point::point;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::writer::Writer;

impl Shared {
    /// The bytes that all files take.
    pub(crate) fn file_bytes(&self, writer: &Writer) -> u64 {
        self.bytes_without_snapshot(writer) + writer.checkpoint_bytes
    }

    /// The bytes that all files take, with the room that the next index snapshot will, and those of them that retired
    /// segments take.
    pub(crate) fn used_bytes(&self, writer: &Writer) -> (u64, u64) {
        let doomed: u64 = writer.doomed.iter().map(|(segment, _)| segment.len()).sum();
        let snapshot = writer.checkpoint_bytes.max(self.snapshot_estimate());
        (self.bytes_without_snapshot(writer) + snapshot, doomed)
    }

    /// The bytes of all files but index snapshots.
    pub(crate) fn bytes_without_snapshot(&self, writer: &Writer) -> u64 {
        let active = writer.active.as_ref().map(|active| active.id);
        let len = |segment: &Segment| {
            if Some(segment.id) == active { segment.capacity } else { segment.len() }
        };
        let segments: u64 = self.segments.read().iter().map(|segment| len(segment)).sum();
        let unreadable: u64 = writer.unreadable.iter().map(|(_, len)| len).sum();
        segments + unreadable + self.codecs.dictionary_bytes() + MARK_FILE_LEN
    }

    fn oldest_sealed(&self, writer: &Writer) -> Option<Arc<Segment>> {
        let active = writer.active.as_ref().map(|active| active.id);
        let doomed = |id: u64| writer.doomed.iter().any(|(segment, _)| segment.id == id);
        let segments = self.segments.read();
        segments.iter().find(|segment| Some(segment.id) != active && !doomed(segment.id)).cloned()
    }

    /// Before a segment is begun: drops the oldest until it fits the budget. Nothing is kept of them; that this
    /// is necessary is rare, because `evict_ahead` does it earlier.
    pub(crate) fn make_room(&self, writer: &mut Writer, budget: u64, capacity: u64) -> Result<()> {
        while self.used_bytes(writer).0 + capacity > budget && !self.has_snapshots() {
            if !self.drop_oldest(writer)? {
                return if capacity > budget {
                    Err(Error::Full("it is larger than the cache"))
                } else {
                    Ok(())
                };
            }
        }
        Ok(())
    }

    /// Drops the oldest segment at once. There must be no active one: then all that was written is synced.
    pub(crate) fn drop_oldest(&self, writer: &mut Writer) -> Result<bool> {
        let Some(oldest) = self.oldest_sealed(writer) else { return Ok(false) };
        self.drain(writer, &oldest);
        writer.tallies.drop_segment(oldest.slot);
        self.forget_segment(&oldest);
        self.sync_folder()?;
        Ok(true)
    }

    /// After a segment was begun: sees to it that there is room for the next one by the time it is needed.
    pub(crate) fn evict_ahead(&self, writer: &mut Writer, budget: u64, now: u64) -> Result<()> {
        loop {
            let (used, doomed) = self.used_bytes(writer);
            if used.saturating_sub(doomed) + self.config.segment_len() <= budget {
                return Ok(());
            }
            let Some(oldest) = self.oldest_sealed(writer) else { return Ok(()) };
            self.evict(writer, &oldest, now)?;
        }
    }

    /// Appends again what of a segment was used, and retires it.
    pub(crate) fn evict(&self, writer: &mut Writer, segment: &Arc<Segment>, now: u64) -> Result<()> {
        point("evict.before_drain");
        let room =
            writer.active.as_ref().map_or(0, |active| active.capacity.saturating_sub(active.len()) / 2);
        let budget = self.reinsertion_budget(segment).min(room);
        let mut used = self.worth_keeping(segment, now);
        used.sort_by_key(|(_, slot)| std::cmp::Reverse((slot.is_tombstone(), slot.used())));
        let mut copied = 0;
        for (hash, slot) in used {
            let most = slot.most_bytes().map_or(u64::MAX, |most| most as u64);
            if copied + most > budget {
                continue;
            }
            match with_workspace(|workspace| self.copy_slot(writer, hash, slot, now, workspace)) {
                Ok(len) => copied += len,
                // What cannot be read is gone with its segment.
                Err(Error::Corrupt { .. }) => self.note_damage(),
                Err(error) => return Err(error),
            }
        }
        self.counters.reinserted.fetch_add(copied, Ordering::Relaxed);
        point("evict.after_reinsert");
        let gone = self.drain(writer, segment);
        self.counters.evicted(gone);
        point("evict.after_drain");
        self.retire(writer, segment, now)
    }

    /// A share of all that was appended, less what was written again so far; at most half of the segment.
    fn reinsertion_budget(&self, segment: &Segment) -> u64 {
        let appended = self.counters.appended.load(Ordering::Relaxed);
        let share = appended / 100 * u64::from(self.config.reinsert_percent);
        share.saturating_sub(self.counters.reinserted.load(Ordering::Relaxed)).min(segment.len() / 2)
    }

    /// What points into a segment and was read since it was written, or is the floor of a recent delete.
    fn worth_keeping(&self, segment: &Segment, now: u64) -> Vec<(Hash, Slot)> {
        let mut worth = Vec::new();
        let floor_time = self.floor_time(now);
        for shard in 0..SHARDS {
            let table = self.index.read(shard);
            let here = table.iter().filter(|slot| slot.place().slot == segment.slot);
            let keep = here.filter(|slot| match slot.is_tombstone() {
                true => !slot.is_over(floor_time),
                false => !slot.is_over(now) && slot.used() > 0,
            });
            worth.extend(keep.map(|slot| (hash_of(shard, slot), slot)));
        }
        // To the millisecond: an entry must not be copied beyond its end.
        worth.retain(|(_, slot)| {
            slot.is_tombstone() || slot.deadline() == 0 || u64::from(slot.deadline() - 1) * 1000 > now
        });
        worth
    }

    /// Takes everything that points into a segment out of the index, and returns how much that was.
    fn drain(&self, writer: &mut Writer, segment: &Segment) -> u64 {
        let mut leaving = Vec::new();
        for shard in 0..SHARDS {
            let here = |slot: Slot| slot.place().slot == segment.slot;
            if !self.index.read(shard).iter().any(here) {
                continue;
            }
            self.change(writer, shard).retain(|slot| {
                if here(slot) {
                    leaving.push((hash_of(shard, slot), slot));
                }
                !here(slot)
            });
        }
        // A segment that cannot be read goes all the same; then older versions of what was in it may be put.
        let _ = self.remember(segment, &leaving);
        leaving.iter().filter(|(_, slot)| !slot.is_tombstone()).count() as u64
    }
}

/// As much of a hash as the index knows.
pub(crate) fn hash_of(shard: usize, slot: Slot) -> Hash {
    Hash((shard as u64) << 56 | u64::from(slot.tag()) << 24)
}
