//! What the engine counts of itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that readers and writers raise.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    evicted: AtomicU64,
    pub(crate) reinserted: AtomicU64,
    pub(crate) appended: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn evicted(&self, entries: u64) {
        self.evicted.fetch_add(entries, Ordering::Relaxed);
    }

    pub(crate) fn fill(&self, stats: &mut Stats) {
        stats.hits = self.hits.load(Ordering::Relaxed);
        stats.misses = self.misses.load(Ordering::Relaxed);
        stats.evicted = self.evicted.load(Ordering::Relaxed);
        stats.reinserted_bytes = self.reinserted.load(Ordering::Relaxed);
        stats.appended_bytes = self.appended.load(Ordering::Relaxed);
    }
}

/// What an open log holds, and what it did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries, those included whose time is over but which no sweep has removed.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Bytes of their records.
    pub stored_bytes: u64,
    /// Bytes of all segments and the index snapshot, as they count against a budget.
    pub file_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Slots of the index in use: entries, floors, and what was cleared and not yet removed.
    pub index_slots: u64,
    /// Bytes of memory that the index takes.
    pub index_bytes: u64,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Entries that a cache evicted.
    pub evicted: u64,
    /// Bytes that a cache wrote again because they were read.
    pub reinserted_bytes: u64,
    /// Bytes appended to the log, for whatever reason.
    pub appended_bytes: u64,
    /// Offers of new keys that a cache did not take in.
    pub not_admitted: u64,
    /// How often damage was come across, at opening or since.
    pub damaged: u64,
    /// Segments that wait to be removed until an fsync covers it, or until snapshots are dropped.
    pub retired_segments: u64,
    /// Whether room runs out: puts are refused, deletes and compaction go on.
    pub low: bool,
}

/// How an open log is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Everything works.
    Up,
    /// It works, with this restriction.
    Degraded(String),
    /// Nothing is written any more, for this reason.
    Down(String),
}
