//! How much there is: in each group, and in each segment of each group.
//!
//! Decision: a group's total is the sum over segments, and every change goes to both. So a segment that is
//! evicted, or that was removed after an index snapshot was taken, takes its share along exactly, and clearing
//! a group leaves right numbers everywhere without looking at one record.

use std::collections::BTreeMap;

/// How much something holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries.
    pub count: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Bytes of their records in the log.
    pub stored: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.stored += other.stored;
    }

    /// Damage may make a number come out too large; it never wraps.
    pub(crate) fn subtract(&mut self, other: Self) {
        self.count = self.count.saturating_sub(other.count);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.stored = self.stored.saturating_sub(other.stored);
    }
}

/// What is alive in one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) groups: BTreeMap<u32, Tally>,
    pub(crate) total: Tally,
    /// Bytes of tombstones that compaction had to keep.
    pub(crate) kept: u64,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tallies {
    /// By the segment's slot.
    shares: Vec<Share>,
    groups: BTreeMap<u32, Tally>,
    total: Tally,
}

impl Tallies {
    fn share(&mut self, slot: u16) -> Option<&mut Share> {
        let slot = usize::from(slot);
        if slot >= self.shares.len() {
            self.shares.resize_with(slot + 1, Share::default);
        }
        self.shares.get_mut(slot)
    }

    pub(crate) fn add(&mut self, slot: u16, group: u32, tally: Tally) {
        if let Some(share) = self.share(slot) {
            share.groups.entry(group).or_default().add(tally);
            share.total.add(tally);
        }
        self.groups.entry(group).or_default().add(tally);
        self.total.add(tally);
    }

    pub(crate) fn subtract(&mut self, slot: u16, group: u32, tally: Tally) {
        if let Some(share) = self.share(slot) {
            share.groups.entry(group).or_default().subtract(tally);
            share.total.subtract(tally);
        }
        self.groups.entry(group).or_default().subtract(tally);
        self.total.subtract(tally);
    }

    /// Nothing in this segment is alive any more.
    pub(crate) fn drop_segment(&mut self, slot: u16) {
        let Some(share) = self.share(slot).map(std::mem::take) else { return };
        for (group, tally) in share.groups {
            self.groups.entry(group).or_default().subtract(tally);
            self.total.subtract(tally);
        }
    }

    /// Nothing of a group, or of all, is alive any more. Returns how much that was.
    pub(crate) fn clear(&mut self, group: Option<u32>) -> Tally {
        let Some(group) = group else {
            self.shares.iter_mut().for_each(|share| *share = Share::default());
            self.groups.clear();
            return std::mem::take(&mut self.total);
        };
        for share in &mut self.shares {
            if let Some(tally) = share.groups.remove(&group) {
                share.total.subtract(tally);
            }
        }
        let tally = self.groups.remove(&group).unwrap_or_default();
        self.total.subtract(tally);
        tally
    }

    pub(crate) fn group(&self, group: u32) -> Tally {
        self.groups.get(&group).copied().unwrap_or_default()
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = (u32, Tally)> {
        self.groups.iter().map(|(group, tally)| (*group, *tally)).filter(|(_, tally)| tally.count != 0)
    }

    pub(crate) fn total(&self) -> Tally {
        self.total
    }

    pub(crate) fn of_segment(&self, slot: u16) -> Tally {
        self.shares.get(usize::from(slot)).map_or_else(Tally::default, |share| share.total)
    }

    /// Notes that compaction had to keep so many bytes of a tombstone here.
    pub(crate) fn keep(&mut self, slot: u16, bytes: u64) {
        if let Some(share) = self.share(slot) {
            share.kept += bytes;
        }
    }

    pub(crate) fn kept(&self, slot: u16) -> u64 {
        self.shares.get(usize::from(slot)).map_or(0, |share| share.kept)
    }

    pub(crate) fn share_of(&self, slot: u16) -> impl Iterator<Item = (u32, Tally)> {
        let share = self.shares.get(usize::from(slot));
        share.into_iter().flat_map(|share| &share.groups).map(|(group, tally)| (*group, *tally))
    }
}
