//! Taking out of the index what has expired, and floors that nothing can need any more.
//!
//! Decision: nothing is written for an entry that expired: its record says itself when that was, and its slot in the
//! index stays for a while as the floor of its version. One note says how late it was when it was seen, so that a
//! clock that goes back brings nothing back. While a snapshot is open
//! nothing is taken out, because a snapshot finds older records by way of newer ones.

use crate::codec::with_workspace;
use crate::control::Control;
use crate::error::Result;
use crate::horizon::Horizon;
use crate::index::{Hash, SHARDS, Slot};
use crate::point::point;
use crate::read::version_of;
use crate::record::{Head, Kind, split};
use crate::segment::Segment;
use crate::shared::Shared;
use crate::told::Told;
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
        let mut left = limit;
        for shard in 0..SHARDS {
            while may_be_over(self.index.read(shard).earliest(), now) {
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
        if swept.expired > 0 {
            let mut writer = self.writer.lock();
            self.begin(&mut writer, 64, Purpose::Reserve, now)?;
            let note = Control::Swept { now_ms: now };
            let appended = self.append_control(&mut writer, &note, Head::new(Kind::Control))?;
            self.flush(&mut writer)?;
            self.horizons.note(Horizon { at: appended.location, now_ms: now });
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
        let (mut due, mut earliest, mut all) = (Vec::new(), u32::MAX, true);
        for slot in self.index.read(shard).iter().filter(|slot| slot.deadline() != 0) {
            if !may_be_over(slot.deadline(), now) {
                earliest = earliest.min(slot.deadline());
            } else if due.len() < limit {
                due.push(slot);
            } else {
                (earliest, all) = (earliest.min(slot.deadline()), false);
            }
        }
        for slot in due {
            let time = if slot.is_tombstone() { self.floor_time(now) } else { now };
            if let Some(later) = self.sweep_slot(writer, shard, slot, time, swept)? {
                earliest = earliest.min(later);
            }
        }
        self.index.write(shard).set_earliest(earliest);
        Ok(all)
    }

    /// Removes one entry if its time is over to the millisecond. Returns when something is due for the key again.
    fn sweep_slot(
        &self,
        writer: &mut Writer,
        shard: usize,
        slot: Slot,
        time: u64,
        swept: &mut Swept,
    ) -> Result<Option<u32>> {
        let (place, again) = (slot.place(), Some(slot.deadline()));
        let Some(segment) = self.segments.read().by_slot(place.slot).cloned() else { return Ok(again) };
        let listened = self.listener.get().is_some();
        let read = with_workspace(|workspace| {
            self.with_record(&segment, place.offset, slot.most_bytes(), workspace, |head, body, _| {
                let key = split(&head, body).filter(|_| listened).map(|(key, ..)| key.to_vec());
                Ok((head, key))
            })
        });
        let (head, key) = match read {
            Ok(read) => read,
            // A damaged record cannot be counted out; it is reported when it is read.
            Err(crate::Error::Corrupt { .. }) => return Ok(again),
            Err(error) => return Err(error),
        };
        let hash = crate::evict::hash_of(shard, slot);
        if !slot.is_tombstone() {
            if head.expires_ms.is_none_or(|at| at > time) {
                return Ok(again);
            }
            let counted = self.expire(writer, hash, slot, &segment, &head, time);
            swept.expired += u64::from(counted);
            if let Some(key) = key.filter(|_| counted) {
                let version = version_of(&segment, place.offset, &head);
                self.tell(Told::Deleted { key: &key, version });
            }
            return Ok(counted.then(|| deadline_of(self.floor_deadline(time))));
        }
        let over = match head.kind {
            Kind::Tombstone => head.expires_ms.is_none_or(|at| at <= time),
            _ => slot.is_over(time),
        };
        if !over {
            return Ok(again);
        }
        self.uninstall(writer, hash, place);
        swept.floors += 1;
        Ok(None)
    }

    /// How many entries of a group, or of all, are counted though their time is over. Under the writer's lock.
    pub(crate) fn count_expired(&self, group: Option<u32>, now: u64) -> Result<u64> {
        let mut expired = 0;
        for shard in (0..SHARDS).filter(|shard| may_be_over(self.index.read(*shard).earliest(), now)) {
            let due: Vec<Slot> = {
                let table = self.index.read(shard);
                let due = |slot: &Slot| {
                    !slot.is_tombstone() && slot.deadline() != 0 && may_be_over(slot.deadline(), now)
                };
                table.iter().filter(due).collect()
            };
            for slot in due {
                let place = slot.place();
                let Some(segment) = self.segments.read().by_slot(place.slot).cloned() else { continue };
                let read = with_workspace(|workspace| {
                    self.with_record(&segment, place.offset, slot.most_bytes(), workspace, |head, _, _| {
                        Ok(head)
                    })
                });
                let head = match read {
                    Ok(head) => head,
                    Err(crate::Error::Corrupt { .. }) => continue,
                    Err(error) => return Err(error),
                };
                let wanted = group.is_none_or(|group| group == head.group);
                let over = head.expires_ms.is_some_and(|at| at <= now);
                let buried = self.floors.bury(head.group, version_of(&segment, place.offset, &head));
                expired += u64::from(wanted && over && !buried);
            }
        }
        Ok(expired)
    }

    /// Until when an entry that is seen to have expired at this time leaves a floor.
    pub(crate) fn floor_deadline(&self, time: u64) -> u64 {
        let kept = u64::try_from(self.config.floor_retention.as_millis()).unwrap_or(u64::MAX);
        time.saturating_add(kept)
    }

    /// Makes of an entry that has expired the floor of its version. Returns whether it was one that counts; one
    /// that a clear has buried is taken out.
    pub(crate) fn expire(
        &self,
        writer: &mut Writer,
        hash: Hash,
        slot: Slot,
        segment: &Segment,
        head: &Head,
        time: u64,
    ) -> bool {
        let place = slot.place();
        if self.floors.bury(head.group, version_of(segment, place.offset, head)) {
            self.uninstall(writer, hash, place);
            return false;
        }
        self.install(writer, hash, slot.as_floor(self.floor_deadline(time)), Some(place));
        let len = segment.record_len(head);
        writer.tallies.subtract(place.slot, head.group, tally_of(head, len));
        true
    }
}

fn deadline_of(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX)
}

/// Whether a deadline in seconds, rounded up, may lie in the past.
fn may_be_over(deadline: u32, now_ms: u64) -> bool {
    deadline != u32::MAX && u64::from(deadline).saturating_sub(1) * 1000 < now_ms
}
