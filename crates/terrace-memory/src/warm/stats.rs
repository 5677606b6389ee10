//! What happened, in numbers.

use terrace_envelope::Compression;

use crate::Cause;

/// What a shard counts under its lock.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) inserts: u64,
    pub(super) evicted: u64,
    pub(super) expired: u64,
    pub(super) refused: u64,
    pub(super) damaged: u64,
    pub(super) raw: u64,
    pub(super) lz4: u64,
    pub(super) zstd: u64,
    pub(super) bytes_before: u64,
    pub(super) bytes_after: u64,
}

impl Tally {
    pub(super) fn stored(&mut self, how: Compression, before: usize, after: usize) {
        match how {
            Compression::Lz4 => self.lz4 += 1,
            Compression::Zstd => self.zstd += 1,
            _ => self.raw += 1,
        }
        self.bytes_before += before as u64;
        self.bytes_after += after as u64;
    }

    pub(super) fn left(&mut self, cause: Cause) {
        match cause {
            Cause::Expired => self.expired += 1,
            Cause::TooHeavy => self.refused += 1,
            _ => self.evicted += 1,
        }
    }
}

/// What the engine did since it was made. Counters never go back, not even by
/// [`clear`](super::Warm::clear); those changed by other threads meanwhile may be a little apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none, or an expired or damaged one.
    pub misses: u64,
    /// Values stored.
    pub inserts: u64,
    /// Entries that left to make room.
    pub evicted: u64,
    /// Entries that were removed because their time had come.
    pub expired: u64,
    /// Values that were too long to be stored.
    pub refused: u64,
    /// Entries that were removed because their bytes had changed.
    pub damaged: u64,
    /// Values stored as they were.
    pub raw: u64,
    /// Values stored as LZ4.
    pub lz4: u64,
    /// Values stored as Zstandard.
    pub zstd: u64,
    /// The bytes of the values stored, before they were encoded.
    pub bytes_before: u64,
    /// The same after it.
    pub bytes_after: u64,
    /// Dictionaries that entries need at present.
    pub dictionaries: usize,
    /// The bytes they hold, a part of the weight.
    pub dictionary_bytes: u64,
}

impl Stats {
    /// How many times shorter values became by being encoded; 1 before the first.
    #[must_use]
    pub fn compression_ratio(&self) -> f64 {
        if self.bytes_after == 0 { 1.0 } else { self.bytes_before as f64 / self.bytes_after as f64 }
    }

    pub(super) fn add(&mut self, tally: &Tally) {
        self.inserts += tally.inserts;
        self.evicted += tally.evicted;
        self.expired += tally.expired;
        self.refused += tally.refused;
        self.damaged += tally.damaged;
        self.raw += tally.raw;
        self.lz4 += tally.lz4;
        self.zstd += tally.zstd;
        self.bytes_before += tally.bytes_before;
        self.bytes_after += tally.bytes_after;
    }
}
