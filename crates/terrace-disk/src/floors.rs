//! What clears leave: the version up to which nothing of a group is there any more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::control::Floor;

/// All floors that clears have left.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    highest: AtomicU64,
    by_group: RwLock<BTreeMap<Option<u32>, Floor>>,
}

impl Floors {
    /// Whether a clear has removed this version.
    #[inline]
    pub(crate) fn bury(&self, group: u32, version: u64) -> bool {
        version <= self.highest.load(Ordering::Acquire) && version <= self.of(group)
    }

    /// The floor of a group.
    pub(crate) fn of(&self, group: u32) -> u64 {
        if self.highest.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let floors = self.by_group.read();
        [None, Some(group)]
            .iter()
            .filter_map(|key| floors.get(key))
            .map(|floor| floor.version)
            .max()
            .unwrap_or(0)
    }

    /// Raises a floor.
    pub(crate) fn raise(&self, floor: Floor) {
        let mut floors = self.by_group.write();
        let entry = floors.entry(floor.group).or_insert(floor);
        if floor.version >= entry.version {
            *entry = floor;
        }
        self.highest.fetch_max(floor.version, Ordering::AcqRel);
    }

    pub(crate) fn all(&self) -> Vec<Floor> {
        self.by_group.read().values().copied().collect()
    }

    /// Forgets what nothing needs: no segment is left in which something buried may lie, and the time is over
    /// in which an older version might be offered.
    pub(crate) fn forget(&self, oldest_segment: u64, now_ms: u64) {
        let mut floors = self.by_group.write();
        floors.retain(|_, floor| floor.deadline_ms > now_ms || floor.origin >= oldest_segment);
        let highest = floors.values().map(|floor| floor.version).max().unwrap_or(0);
        self.highest.store(highest, Ordering::Release);
    }
}
