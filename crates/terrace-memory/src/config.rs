//! How an engine is sized.

use std::thread;

use crate::eviction::Aim;

/// What one entry costs beside its key and value, in bytes: hash, weight and flags in its slot, its place in
/// the hash table, the policy's queue links and ghost fingerprint, and the slack of vectors that grow by a
/// quarter. A test holds it against what the engine really allocates.
///
/// An entry that can expire costs another 9 bytes for its end and its part of the timer wheel, one with an idle limit
/// 16 for that, which this does not count.
pub const ENTRY_OVERHEAD: u32 = 80;

/// The most shards an engine has.
const MAX_SHARDS: usize = 1024;

/// A shard should expect at least this many entries, or its policy has too few to choose a victim from.
const MIN_ENTRIES_PER_SHARD: u64 = 1024;

/// How an engine is sized. Begin with [`Config::bytes`] or [`Config::entries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The budget all entries share, in bytes, or in entries if every entry weighs one. 0 stores nothing.
    pub capacity: u64,
    /// How many shards share it, rounded up to a power of two and limited to 1024. `None` chooses two per
    /// processor, but fewer for a small cache: its policy decides better over one large queue.
    pub shards: Option<usize>,
    /// What the engine adds to the weight given with each entry: [`ENTRY_OVERHEAD`] when bytes are counted,
    /// 0 when entries are.
    pub entry_overhead: u32,
    /// What the policy should hit where entries differ in weight, if it can serve either aim.
    pub aim: Aim,
}

impl Config {
    /// A budget in bytes; the engine adds its own overhead to each entry's weight.
    pub fn bytes(capacity: u64) -> Self {
        Config { capacity, shards: None, entry_overhead: ENTRY_OVERHEAD, aim: Aim::Objects }
    }

    /// A budget in entries, to be used with a weight of 1 per entry (the default of
    /// [`Options`](crate::Options)).
    pub fn entries(capacity: u64) -> Self {
        Config { capacity, shards: None, entry_overhead: 0, aim: Aim::Objects }
    }

    /// The same with a given number of shards.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// The same with another aim than to hit as many requests as possible.
    pub fn aim(mut self, aim: Aim) -> Self {
        self.aim = aim;
        self
    }

    /// The number of shards this asks for: a power of two. Without a number given it depends on the machine.
    pub fn shard_count(&self) -> usize {
        let wanted = self.shards.unwrap_or_else(|| self.default_shards());
        wanted.clamp(1, MAX_SHARDS).next_power_of_two()
    }

    /// What an entry weighs at least, if its key and value take so many bytes in line: 1 where entries are
    /// counted.
    pub(crate) fn least_weight(&self, bytes: usize) -> u64 {
        if self.entry_overhead == 0 { 1 } else { u64::from(self.entry_overhead) + bytes as u64 }
    }

    fn default_shards(&self) -> usize {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        // Small keys and values: a guess that only has to be right within a few times.
        let entries = self.capacity / self.least_weight(56);
        let useful = usize::try_from(entries / MIN_ENTRIES_PER_SHARD).unwrap_or(MAX_SHARDS);
        // Rounded down, so that rounding up to a power of two later changes nothing.
        let useful = if useful == 0 { 1 } else { 1 << useful.ilog2() };
        (processors * 2).next_power_of_two().min(useful)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_counts_are_powers_of_two_within_limits() {
        let count = |shards| Config::entries(1 << 40).shards(shards).shard_count();
        assert_eq!([count(0), count(1), count(3), count(64), count(5000)], [1, 1, 4, 64, 1024]);
    }

    #[test]
    fn a_small_cache_gets_one_shard_and_a_large_one_several() {
        assert_eq!(Config::entries(1000).shard_count(), 1);
        assert_eq!(Config::bytes(64 << 10).shard_count(), 1);
        assert!(Config::bytes(1 << 30).shard_count() >= 4);
        assert!(Config::entries(0).shard_count() == 1);
    }
}
