//! Blocks of records, and the two logs they form.
//!
//! Decision: memory is taken in blocks of one size, and a block is reused where it lies: when its turn comes,
//! what is still in use moves to its front and new records follow. So nothing fragments, and evicting hundreds
//! of records allocates nothing. A record too long for a block has one of its own, of exactly its length.

use std::collections::VecDeque;

/// Which log a block belongs to. New records begin on probation; those used there move to the main log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Probation,
    Main,
}

/// Records, one after another. Its capacity is what it was allocated with and never changes.
pub(super) struct Block {
    pub(super) data: Vec<u8>,
    /// The expiries of its records count from here.
    pub(super) base: u64,
    /// Records that the index still names.
    pub(super) live: u32,
    pub(super) queue: Queue,
    /// It holds one long record and nothing else.
    pub(super) own: bool,
    /// When it pays to look for expired records, and when the last of them expires.
    pub(super) due: u64,
    pub(super) last_expiry: u64,
}

impl Block {
    pub(super) fn new(capacity: usize, queue: Queue, own: bool, now: u64) -> Self {
        Block {
            data: Vec::with_capacity(capacity),
            base: now,
            live: 0,
            queue,
            own,
            due: u64::MAX,
            last_expiry: 0,
        }
    }

    pub(super) fn has_room(&self, len: usize) -> bool {
        self.data.capacity() - self.data.len() >= len
    }

    /// A record that expires then was added.
    pub(super) fn expires(&mut self, at: Option<u64>) {
        if let Some(at) = at {
            self.due = self.due.min(at);
            self.last_expiry = self.last_expiry.max(at);
        }
    }

    /// Its expired records were removed, and the next expires then. It is looked at again when about a quarter
    /// of the rest should have expired, so that a block is walked a few times, not once for each record.
    pub(super) fn expires_next(&mut self, next: u64) {
        self.due = match next {
            u64::MAX => u64::MAX,
            next => next + self.last_expiry.saturating_sub(next) / 4,
        };
        if next == u64::MAX {
            self.last_expiry = 0;
        }
    }
}

/// The blocks of one queue.
#[derive(Default)]
pub(super) struct Log {
    /// Blocks that are full, the oldest first.
    pub(super) order: VecDeque<u16>,
    /// The block that takes new records.
    pub(super) active: Option<u16>,
    /// The capacities of all its blocks.
    pub(super) bytes: usize,
}

impl Log {
    /// Closes the active block: it waits for its turn.
    pub(super) fn seal(&mut self) {
        self.order.extend(self.active.take());
    }
}
