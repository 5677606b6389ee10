//! What the engine counts.
//!
//! Decision: hits and misses are counted by each thread for itself, with plain stores (see `readers`); everything
//! else by each shard, under its lock. A snapshot adds them up. No counter is shared by the whole engine.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::entry::Cause;

/// A snapshot of an engine's counters since it was made, and of what it holds. Counters of different kinds may be a few operations
/// apart, since a snapshot stops nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Reads that found a live entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Values stored, new keys and replacements together.
    pub inserts: u64,
    /// Values made by [`get_or_insert_with`](crate::Memory::get_or_insert_with), stored or not.
    pub loads: u64,
    /// Makers that failed or panicked.
    pub failed_loads: u64,
    /// Entries removed because the caller said so, by key, condition or clearing.
    pub removals: u64,
    /// Entries the policy chose to make room.
    pub evicted_for_capacity: u64,
    /// Entries whose time had come.
    pub expired: u64,
    /// Entries not used for as long as their idle limit.
    pub idled: u64,
    /// Entries refused because they were heavier than the capacity.
    pub refused_too_heavy: u64,
    /// Entries refused because no room could be made.
    pub refused_full: u64,
    /// Entries held at the moment.
    pub entries: u64,
    /// What they weigh, overhead included.
    pub weight: u64,
    /// What weighs beside them because it left and is not yet dropped.
    pub retired_weight: u64,
}

impl Stats {
    /// The part of reads that hit, from 0 to 1; 0 if nothing was read.
    pub fn hit_ratio(&self) -> f64 {
        let reads = self.hits + self.misses;
        if reads == 0 { 0.0 } else { self.hits as f64 / reads as f64 }
    }

    /// How many entries left, or were refused, for this cause.
    pub fn by_cause(&self, cause: Cause) -> u64 {
        match cause {
            Cause::Capacity => self.evicted_for_capacity,
            Cause::Expired => self.expired,
            Cause::Idle => self.idled,
            Cause::TooHeavy => self.refused_too_heavy,
            Cause::Full => self.refused_full,
        }
    }
}

/// The counters of one shard, which change under its lock.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) inserts: Counter,
    pub(crate) removals: Counter,
    pub(crate) loads: Counter,
    pub(crate) failed_loads: Counter,
    causes: [Counter; Cause::ALL.len()],
}

impl Counters {
    pub(crate) fn left(&self, cause: Cause) {
        self.causes[cause as usize].add(1);
    }

    pub(crate) fn add_to(&self, sum: &mut Stats) {
        sum.inserts += self.inserts.get();
        sum.removals += self.removals.get();
        sum.loads += self.loads.get();
        sum.failed_loads += self.failed_loads.get();
        sum.evicted_for_capacity += self.causes[Cause::Capacity as usize].get();
        sum.expired += self.causes[Cause::Expired as usize].get();
        sum.idled += self.causes[Cause::Idle as usize].get();
        sum.refused_too_heavy += self.causes[Cause::TooHeavy as usize].get();
        sum.refused_full += self.causes[Cause::Full as usize].get();
    }
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Under the lock that it belongs to.
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
