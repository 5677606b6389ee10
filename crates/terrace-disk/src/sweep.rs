//! Taking out of the index what has expired, and floors that nothing can need any more.
//!
//! Decision: nothing is written for an entry that expired: its record says itself when that was. One note says
//! how late it was when it was seen, so that a clock that goes back brings nothing back. While a snapshot is open
//! nothing is taken out, because a snapshot finds older records by way of newer ones.

use std::sync::atomic::Ordering;

use crate::codec::with_workspace;
use crate::control::Control;
use crate::error::Result;
use crate::index::{SHARDS, Slot};
use crate::point::point;
use crate::read::version_of;
use crate::record::{Head, Kind};
use crate::shared::Shared;
use crate::write::tally_of;
use crate::writer::{Purpose, Writer};

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries that had expired.
    pub expired: u64,
    /// Floors of deletes.
    pub floors: u64,
    /// Whether the limit ended it, and more is to be done now.
    pub more: bool,
}

/// So many records at most are read under the writer's lock at a time.
const CHUNK: usize = 128;

impl Shared {
    /// Removes at most so many expired entries and floors.
    pub(crate) fn sweep(&self, limit: usize, now: u64) -> Result<Swept> {
        self.check_open()?;
        let mut swept = Swept::default();
        if self.has_snapshots() {
            return Ok(swept);
        }
        let mut left = limit.max(1);
        for shard in 0..SHARDS {
            while may_be_over(self.index.read(shard).earliest(), self.time(now)) {
                if left == 0 {
                    swept.more = true;
                    break;
                }
                let mut writer = self.writer.lock();
                let before = swept.expired + swept.floors;
                let done = self.sweep_shard(&mut writer, shard, left.min(CHUNK), now, &mut swept)?;
                let progress = swept.expired + swept.floors - before;
                left = left.saturating_sub(progress as usize);
                // What is due only within this second stays, and is met again.
                if done || progress == 0 {
                    break;
                }
            }
        }
        if swept.expired > 0 && now > self.horizon_ms.fetch_max(now, Ordering::AcqRel) {
            let mut writer = self.writer.lock();
            self.begin(&mut writer, 64, Purpose::Reserve, now)?;
            self.append_control(&mut writer, &Control::Swept { now_ms: now }, Head::new(Kind::Control))?;
            point("sweep.after_record");
        }
        Ok(swept)
    }

    /// Sweeps one shard; returns whether nothing is left to do there.
    fn sweep_shard(
        &self,
        writer: &mut Writer,
        shard: usize,
        limit: usize,
        now: u64,
        swept: &mut Swept,
    ) -> Result<bool> {
        let time = self.time(now);
        let (mut due, mut earliest, mut all) = (Vec::new(), u32::MAX, true);
        for slot in self.index.read(shard).iter().filter(|slot| slot.deadline() != 0) {
            if !may_be_over(slot.deadline(), time) {
                earliest = earliest.min(slot.deadline());
            } else if due.len() < limit {
                due.push(slot);
            } else {
                (earliest, all) = (earliest.min(slot.deadline()), false);
            }
        }
        for slot in due {
            let time = if slot.is_tombstone() { self.floor_time(now) } else { time };
            if self.sweep_slot(writer, shard, slot, time, swept)? {
                continue;
            }
            earliest = earliest.min(slot.deadline());
        }
        self.index.write(shard).set_earliest(earliest);
        Ok(all)
    }

    /// Removes one entry if its time is over to the millisecond.
    fn sweep_slot(
        &self,
        writer: &mut Writer,
        shard: usize,
        slot: Slot,
        time: u64,
        swept: &mut Swept,
    ) -> Result<bool> {
        let place = slot.place();
        let Some(segment) = self.segments.read().by_slot(place.slot).cloned() else { return Ok(false) };
        let read = with_workspace(|workspace| {
            self.with_record(&segment, place.offset, slot.most_bytes(), workspace, |head, _, _| Ok(head))
        });
        let head = match read {
            Ok(head) => head,
            // A damaged record cannot be counted out; it is reported when it is read.
            Err(crate::Error::Corrupt { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        if head.expires_ms.is_none_or(|at| at > time) {
            return Ok(false);
        }
        let mut table = self.change(writer, shard);
        if let Some((position, _)) = table.find(slot.tag(), place) {
            table.remove(position);
        }
        drop(table);
        if head.kind == Kind::Tombstone {
            swept.floors += 1;
            return Ok(true);
        }
        let version = version_of(&segment, place.offset, &head);
        if !self.floors.bury(head.group, version) {
            let len = crate::record::total_len(&head, head.len(), segment.overhead());
            writer.tallies.subtract(place.slot, head.group, tally_of(&head, len));
            swept.expired += 1;
        }
        Ok(true)
    }
}

/// Whether a deadline in seconds, rounded up, may lie in the past.
fn may_be_over(deadline: u32, now_ms: u64) -> bool {
    deadline != u32::MAX && u64::from(deadline).saturating_sub(1) * 1000 < now_ms
}
