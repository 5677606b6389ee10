//! When something was invalidated for the last time, and what that means for an entry.

use super::{Mode, Verdict};

/// Since when an entry is asked about.
#[derive(Clone, Copy)]
pub(super) enum Since {
    Stamp(u64),
    Number(u32),
}

/// When something was invalidated for the last time, in one mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) stamp: u64,
    pub(super) number: u32,
}

impl Last {
    pub(super) fn merge(&mut self, other: Last) {
        self.stamp = self.stamp.max(other.stamp);
        self.number = self.number.max(other.number);
    }
    pub(super) fn is_after(self, since: Since) -> bool {
        match since {
            Since::Stamp(stamp) => self.stamp > stamp,
            Since::Number(number) => self.number > number,
        }
    }
}

/// When something was invalidated for the last time, by mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) purged: Last,
    pub(super) expired: Last,
}

impl Mark {
    pub(super) fn set(&mut self, mode: Mode, last: Last) {
        match mode {
            Mode::Purge => self.purged.merge(last),
            Mode::Expire => self.expired.merge(last),
        }
    }
    pub(super) fn merge(&mut self, other: Mark) {
        self.purged.merge(other.purged);
        self.expired.merge(other.expired);
    }
    pub(super) fn last_stamp(self) -> u64 {
        self.purged.stamp.max(self.expired.stamp)
    }
    pub(super) fn verdict(self, since: Since) -> Verdict {
        if self.purged.is_after(since) {
            return Verdict::Purged;
        }
        if self.expired.is_after(since) { Verdict::Expired } else { Verdict::Valid }
    }
}
