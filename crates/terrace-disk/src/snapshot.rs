//! The log as it was at one position.
//!
//! Decision: while a snapshot is open every record that is written says where the record is that it replaces, no
//! segment is removed and nothing is taken out of the index. A read begins at what the index has for the key and
//! goes back along that chain to the first record before the position. Without open snapshots none of this costs
//! anything.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::codec::with_workspace;
use crate::control::Floor;
use crate::error::{Error, Result};
use crate::list::{Page, Range, View};
use crate::read::Entry;
use crate::record::{Location, split};
use crate::segment::Segment;
use crate::shared::Shared;

/// The log as it was when the snapshot was taken. It holds back the removal of files; drop it soon.
pub struct Snapshot {
    shared: Arc<Shared>,
    /// What stands before is part of it.
    position: Location,
    floors: Vec<Floor>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.shared.snapshots.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Snapshot {
    pub(crate) fn take(shared: &Arc<Shared>) -> Result<Self> {
        shared.check_open()?;
        let writer = shared.writer.lock();
        shared.snapshots.fetch_add(1, Ordering::AcqRel);
        let position = match &writer.active {
            Some(active) => Location { segment: active.id, offset: active.len() as u32 },
            None => Location { segment: writer.next_id, offset: 0 },
        };
        let floors = shared.floors.all();
        drop(writer);
        Ok(Self { shared: Arc::clone(shared), position, floors })
    }

    pub(crate) fn position(&self) -> Location {
        self.position
    }

    /// The entry of a key, unless its time has come since.
    ///
    /// # Errors
    /// `Corrupt`, `Io`, `Closed`.
    pub fn get(&self, key: &[u8], now_ms: u64) -> Result<Option<Entry>> {
        self.entry(key, now_ms, false)
    }

    /// A page of entries in the order of keys.
    ///
    /// # Errors
    /// As of [`Snapshot::get`]; entries that are damaged are left out.
    pub fn list(&self, range: &Range<'_>, limit: usize, now_ms: u64) -> Result<Page> {
        self.shared.list(&Then { snapshot: self, now: now_ms }, range, limit)
    }

    fn entry(&self, key: &[u8], now: u64, keys_only: bool) -> Result<Option<Entry>> {
        let shared = &*self.shared;
        shared.check_open()?;
        let hash = shared.index.hash(key);
        let newest = with_workspace(|workspace| shared.lookup(hash, key, now, workspace))?;
        let mut next = newest.map(|newest| newest.location);
        while let Some(location) = next {
            let Location { segment: id, offset } = location;
            let gone = Error::Corrupt { segment: id, offset: offset.into(), what: "its segment is gone" };
            let segment = shared.segments.read().by_id(id).cloned().ok_or(gone)?;
            if location < self.position {
                return shared.entry_at(&segment, offset, None, key, keys_only, |head, version| {
                    !segment.is_over(head.expires_ms, now) && version > self.floor(head.group)
                });
            }
            let previous = with_workspace(|workspace| {
                shared.with_record(&segment, offset, None, workspace, |head, body, _| {
                    let same = split(&head, body).is_some_and(|(found, ..)| found == key);
                    Ok(head.previous.filter(|_| same))
                })
            })?;
            // The chain only goes back.
            next = previous.filter(|previous| *previous < location);
        }
        Ok(None)
    }

    fn floor(&self, group: u32) -> u64 {
        let floors = self.floors.iter().filter(|floor| floor.group.is_none_or(|other| other == group));
        floors.map(|floor| floor.version).max().unwrap_or(0)
    }
}

/// A snapshot at a time.
struct Then<'a> {
    snapshot: &'a Snapshot,
    now: u64,
}

impl View for Then<'_> {
    fn covers(&self, location: Location) -> bool {
        location < self.snapshot.position
    }

    fn show(&self, key: &[u8], _: &Arc<Segment>, _: u32, keys_only: bool) -> Result<Option<Entry>> {
        self.snapshot.entry(key, self.now, keys_only)
    }

    fn once(&self) -> bool {
        true
    }
}
