//! Winning back the room of what was overwritten, deleted or has expired, in a store.
//!
//! Decision: the segment with the largest share of garbage is walked once, in steps of a given size; what the index
//! still points to is appended again. A tombstone is dropped only if no segment is left in which an older record of
//! its key may lie, and an entry that expired leaves a tombstone in the same case: otherwise replaying the log
//! would bring the older record back. While a snapshot is open nothing is compacted, since no file could be removed.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::codec::with_workspace;
use crate::config::Mode;
use crate::error::{Error, Result};
use crate::header::{HEADER_LEN, segment_name};
use crate::index::{Hash, Place};
use crate::point::{bug, point};
use crate::record::{Draft, Head, Kind, split};
use crate::scan::{End, Step, walk};
use crate::segment::Segment;
use crate::shared::Shared;
use crate::writer::{Purpose, Writer};

/// A segment that is being emptied.
pub(crate) struct Compaction {
    segment: Arc<Segment>,
    at: u64,
    damaged: bool,
}

/// What a step of compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the log that were gone through.
    pub read: u64,
    /// Bytes that were appended again.
    pub copied: u64,
    /// Bytes of segments that were retired.
    pub freed: u64,
    /// Whether there is more to do now.
    pub more: bool,
}

/// A record of the segment that is being emptied.
struct Seen {
    hash: Hash,
    offset: u32,
    head: Head,
}

/// So many records are dealt with under the writer's lock at a time.
const CHUNK: usize = 64;
/// A segment shorter than this share of the usual is merged with others, once there are so many of them.
const TINY: u64 = 8;
const TINY_COUNT: usize = 8;

impl Shared {
    /// Goes through about so many bytes of the segment with the most garbage.
    pub(crate) fn compact_step(&self, budget: u64, now: u64) -> Result<Compacted> {
        self.check_writable()?;
        let mut done = Compacted::default();
        // A snapshot keeps every file, so nothing could be won while one is open.
        if matches!(self.config.mode, Mode::Cache { .. }) || self.has_snapshots() {
            return Ok(done);
        }
        let mut running = self.compaction.lock();
        if running.is_none() {
            *running = self.victim().map(|segment| Compaction { segment, at: HEADER_LEN, damaged: false });
        }
        let Some(compaction) = running.as_mut() else { return Ok(done) };
        let len = compaction.segment.len();
        while compaction.at < len && done.read < budget.max(1) {
            let before = compaction.at;
            if self.has_snapshots() {
                done.more = true;
                return Ok(done);
            }
            done.copied += self.compact_chunk(compaction, len, now)?;
            done.read += compaction.at - before;
        }
        if compaction.at < len {
            done.more = true;
            return Ok(done);
        }
        let Some(compaction) = running.take() else { return Ok(done) };
        if compaction.damaged {
            self.orders.quarantine(compaction.segment.id);
        } else {
            point("compact.before_retire");
            let mut writer = self.writer.lock();
            self.retire(&mut writer, &compaction.segment, now)?;
            done.freed = len;
            drop(writer);
            self.sync_log()?;
        }
        done.more = self.victim().is_some();
        Ok(done)
    }

    /// Whether a step would find something to do.
    pub(crate) fn compaction_due(&self) -> bool {
        let store = matches!(self.config.mode, Mode::Store { .. });
        store && (self.compaction.lock().is_some() || self.victim().is_some())
    }

    /// The segment whose emptying wins most.
    fn victim(&self) -> Option<Arc<Segment>> {
        let writer = self.writer.lock();
        let active = writer.active.as_ref().map(|active| active.id);
        let doomed = |id: u64| writer.doomed.iter().any(|(segment, _)| segment.id == id);
        let segments = self.segments.read();
        let sealed: Vec<&Arc<Segment>> = segments
            .iter()
            .filter(|segment| {
                Some(segment.id) != active && !doomed(segment.id) && !self.orders.is_quarantined(segment.id)
            })
            .collect();
        let oldest = segments.iter().next().map(|segment| segment.id);
        let garbage = |segment: &Segment| {
            let kept = if Some(segment.id) == oldest { 0 } else { writer.tallies.kept(segment.slot) };
            let needed = writer.tallies.of_segment(segment.slot).stored + kept;
            segment.len().saturating_sub(HEADER_LEN).saturating_sub(needed)
        };
        let share = |segment: &Segment| garbage(segment) * 100 / segment.len().max(1);
        let least = if writer.low { 1 } else { u64::from(self.config.garbage_percent) };
        let best = sealed.iter().max_by_key(|segment| (share(segment), std::cmp::Reverse(segment.id)));
        if let Some(best) = best.filter(|best| share(best) >= least) {
            return Some(Arc::clone(best));
        }
        let tiny = |segment: &&&Arc<Segment>| segment.len() < self.config.segment_len() / TINY;
        let count = sealed.iter().filter(tiny).count();
        sealed.iter().find(tiny).filter(|_| count >= TINY_COUNT).map(|segment| Arc::clone(segment))
    }

    /// Deals with the next records of the segment, and returns how many bytes were appended.
    fn compact_chunk(&self, compaction: &mut Compaction, len: u64, now: u64) -> Result<u64> {
        let segment = Arc::clone(&compaction.segment);
        let mut seen = Vec::with_capacity(CHUNK);
        let visit = |step: Step<'_>| {
            match step {
                Step::Record(offset, record) if record.head.kind != Kind::Control => {
                    seen.push((offset, record.head));
                }
                Step::Record(..) => {}
                Step::Damage { .. } => compaction.damaged = true,
            }
            if seen.len() < CHUNK { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let ended = walk(&segment, compaction.at, End::Known(len), visit)
            .map_err(Error::io("read", &segment_name(segment.id)))?;
        let mut copied = 0;
        point("compact.before_copy");
        let mut hashed = Vec::with_capacity(seen.len());
        for (offset, head) in seen {
            let hash = with_workspace(|workspace| {
                self.with_record(&segment, offset, None, workspace, |head, body, _| {
                    Ok(split(&head, body).map(|(key, ..)| self.index.hash(key)))
                })
            })?;
            hashed.extend(hash.map(|hash| Seen { hash, offset, head }));
        }
        let mut writer = self.writer.lock();
        if self.has_snapshots() {
            // It begins again with these records when the snapshot is gone.
            return Ok(0);
        }
        for seen in hashed {
            copied += self.compact_record(&mut writer, &segment, &seen, now)?;
        }
        drop(writer);
        point("compact.after_copy");
        compaction.at = ended.at;
        Ok(copied)
    }

    fn compact_record(
        &self,
        writer: &mut Writer,
        segment: &Arc<Segment>,
        seen: &Seen,
        now: u64,
    ) -> Result<u64> {
        let Seen { hash, offset, head } = seen;
        let place = Place { slot: segment.slot, offset: *offset };
        let origin = head.origin.unwrap_or(segment.id);
        let slot = self.index.read(hash.shard()).find(hash.tag(), place).map(|(_, slot)| slot);
        let Some(slot) = slot else {
            // Superseded, or taken out by a sweep: then an older record must not come back for it.
            let may_resurrect = head.kind == Kind::Tombstone || head.expires_ms.is_some();
            let needed = may_resurrect && self.has_older(writer, origin, segment.id);
            return if needed { self.leave_tombstone(writer, segment, *offset, true, now) } else { Ok(0) };
        };
        // An entry whose time is over counts until a sweep has seen it, and is carried along until then.
        let floor_over = slot.is_tombstone() && slot.is_over(self.floor_time(now));
        if !floor_over {
            return with_workspace(|workspace| self.copy_slot(writer, *hash, slot, now, workspace));
        }
        self.uninstall(writer, *hash, place);
        let needed = self.has_older(writer, origin, segment.id);
        if needed { self.leave_tombstone(writer, segment, *offset, false, now) } else { Ok(0) }
    }

    /// Appends a tombstone for the key of a record whose time is over, unless the index has a newer record.
    fn leave_tombstone(
        &self,
        writer: &mut Writer,
        segment: &Arc<Segment>,
        offset: u32,
        ask_index: bool,
        now: u64,
    ) -> Result<u64> {
        if bug("tombstone_dropped_early") {
            return Ok(0);
        }
        with_workspace(|workspace| {
            self.with_record(segment, offset, None, workspace, |head, body, workspace| {
                let Some((key, ..)) = split(&head, body) else { return Ok(0) };
                let hash = self.index.hash(key);
                let key = key.to_vec();
                if ask_index && self.lookup(hash, &key, now, workspace)?.is_some() {
                    return Ok(0);
                }
                let origin = Some(head.origin.unwrap_or(segment.id));
                let expires_ms = Some(head.expires_ms.unwrap_or(0).min(now));
                let version = crate::read::version_of(segment, offset, &head);
                let head = Head { expires_ms, group: head.group, origin, ..Head::new(Kind::Tombstone) };
                let mut draft = Draft { head, key: &key, meta: &[], stored: &[] };
                self.begin(writer, draft.most_bytes(self.overhead()), Purpose::Reserve, now)?;
                let appended = self.append(writer, &mut draft, Some(version))?;
                writer.tallies.keep(appended.place.slot, appended.len as u64);
                Ok(appended.len as u64)
            })
        })
    }
}
