//! Removing a segment that holds nothing anybody needs.
//!
//! Decision: first a note in the log, then an fsync that covers the note and every copy made before it, then the
//! file. A crash in between leaves either a segment that is replayed to no effect, because all of its live records
//! follow in later ones, or a file that the note says to ignore. A snapshot postpones the last step.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::codec::Workspace;
use crate::control::Control;
use crate::error::Result;
use crate::header::segment_name;
use crate::index::{Hash, Slot};
use crate::point::point;
use crate::read::version_of;
use crate::record::split;
use crate::record::{Draft, Head, Kind};
use crate::segment::Segment;
use crate::shared::Shared;
use crate::write::tally_of;
use crate::writer::{Purpose, Writer};

impl Shared {
    /// Notes that a segment is not needed any more. The index must not refer to it.
    pub(crate) fn retire(&self, writer: &mut Writer, segment: &Arc<Segment>, now: u64) -> Result<()> {
        self.begin(writer, 64, Purpose::Reserve, now)?;
        // Beginning a segment may have evicted the very one.
        if writer.doomed.iter().any(|(doomed, _)| doomed.id == segment.id) {
            return Ok(());
        }
        let removed = Control::Removed { segment: segment.id };
        self.append_control(writer, &removed, Head::new(Kind::Control))?;
        point("retire.after_record");
        writer.tallies.drop_segment(segment.slot);
        let position = writer.position();
        writer.doomed.push((Arc::clone(segment), position));
        Ok(())
    }

    /// Removes the files of retired segments as far as that is on the disk, and no snapshot reads them.
    pub(crate) fn release_doomed(&self, writer: &mut Writer) -> Result<()> {
        // After a close the files may be another's; the next opening removes them.
        if writer.doomed.is_empty() || self.has_snapshots() || self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let synced = self.commit.synced();
        let (free, left) = std::mem::take(&mut writer.doomed).into_iter().partition(|(_, at)| *at <= synced);
        writer.doomed = left;
        for (segment, _) in free {
            let segment: Arc<Segment> = segment;
            point("retire.before_remove");
            self.forget_segment(&segment);
            point("retire.after_remove");
        }
        Ok(())
    }

    /// Takes a segment out of the table and removes its files. If that fails the next opening removes them.
    pub(crate) fn forget_segment(&self, segment: &Segment) {
        self.segments.write().remove(segment);
        self.orders.forget(segment.id);
        let _ = self.io.remove(&segment_name(segment.id));
        self.forget_order(segment.id);
    }

    /// Writes the record at a slot of the index again and points the index to the copy. Returns its length, or 0
    /// if it was dropped because nobody can see it.
    pub(crate) fn copy_slot(
        &self,
        writer: &mut Writer,
        hash: Hash,
        slot: Slot,
        now: u64,
        workspace: &mut Workspace,
    ) -> Result<u64> {
        let place = slot.place();
        let Some(segment) = self.segments.read().by_slot(place.slot).cloned() else { return Ok(0) };
        self.with_record(&segment, place.offset, slot.most_bytes(), workspace, |head, body, _| {
            let version = version_of(&segment, place.offset, &head);
            if head.kind == Kind::Put && self.floors.bury(head.group, version) {
                self.uninstall(writer, hash, place);
                return Ok(0);
            }
            let Some((key, meta, stored)) = split(&head, body) else { return Ok(0) };
            let is_tombstone = slot.is_tombstone();
            let copy = Head {
                in_batch: false,
                previous: self.has_snapshots().then(|| segment.at(place.offset)),
                origin: is_tombstone.then(|| head.origin.unwrap_or(segment.id)),
                ..head
            };
            // Of an entry that has expired only the floor is left.
            let expired = is_tombstone && head.kind == Kind::Put;
            let floor_ms = Some(u64::from(slot.deadline()) * 1000);
            let floor = Head {
                expires_ms: floor_ms,
                group: head.group,
                origin: copy.origin,
                previous: copy.previous,
                ..Head::new(Kind::Tombstone)
            };
            let mut draft = match expired {
                true => Draft { head: floor, key, meta: &[], stored: &[] },
                false => Draft { head: copy, key, meta, stored },
            };
            let expires_ms = draft.head.expires_ms;
            self.begin(writer, draft.most_bytes(self.overhead()), Purpose::Reserve, now)?;
            let given = [Some(&segment), writer.active.as_ref()];
            let given = given.into_iter().flatten().any(|segment| segment.has_given_versions());
            let appended = self.append(writer, &mut draft, Some(version))?;
            if let Some(active) = &writer.active {
                // The version of a copy is below its place, which does as well for a floor; see `evicted.rs`.
                active.set_given_versions(given);
            }
            let new = Slot::new(hash.tag(), appended.place, appended.len, expires_ms, is_tombstone)
                .with_used(slot.used() / 2);
            self.install(writer, hash, new, Some(place));
            if is_tombstone {
                writer.tallies.keep(appended.place.slot, appended.len as u64);
            } else {
                let len = segment.record_len(&head);
                writer.tallies.subtract(place.slot, head.group, tally_of(&head, len));
                writer.tallies.add(appended.place.slot, head.group, tally_of(&draft.head, appended.len));
            }
            Ok(appended.len as u64)
        })
    }

    /// Whether a segment is there that was begun before this one, other than the one that is being emptied.
    pub(crate) fn has_older(&self, writer: &Writer, origin: u64, emptied: u64) -> bool {
        let doomed = |id: u64| writer.doomed.iter().any(|(segment, _)| segment.id == id);
        let segments = self.segments.read();
        let mut older = segments.iter().map(|segment| segment.id).take_while(|id| *id < origin);
        older.any(|id| id != emptied && !doomed(id)) || writer.unreadable.iter().any(|(id, _)| *id < origin)
    }
}
