//! How a warm engine is sized.

/// A shard has at least this much memory unless told otherwise: it should hold thousands of entries.
const LEAST_PER_SHARD: u64 = 4 << 20;

/// A shard has at most this much, because of the numbers in its index.
pub(super) const MOST_PER_SHARD: u64 = 512 << 20;

const MAX_SHARDS: usize = 4096;

/// How a warm engine is sized. Begin with [`Config::bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The memory of entries, index and dictionaries together, in bytes. 0 stores nothing.
    pub capacity: u64,
    /// How many shards share it, rounded up to a power of two. `None` chooses four per processor, but fewer
    /// for a small engine. There are always as many as 512 MiB a shard demand.
    pub shards: Option<usize>,
    /// The longest value that is stored, in bytes before it is encoded; and the longest that is ever decoded.
    pub max_value: usize,
    /// The key of the hash function, for replays that must repeat exactly; `None` is a random one.
    pub seed: Option<u64>,
}

impl Config {
    /// An engine of this many bytes, for values of at most 64 MiB.
    #[must_use]
    pub fn bytes(capacity: u64) -> Self {
        Config { capacity, shards: None, max_value: 64 << 20, seed: None }
    }

    /// The same with a given number of shards.
    #[must_use]
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// The same with another limit for the length of a value.
    #[must_use]
    pub fn max_value(mut self, bytes: usize) -> Self {
        self.max_value = bytes;
        self
    }

    /// The same with a fixed key of the hash function.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    pub(super) fn shard_count(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let useful = usize::try_from(self.capacity / LEAST_PER_SHARD).unwrap_or(MAX_SHARDS);
        let useful = if useful == 0 { 1 } else { 1 << useful.ilog2() };
        let wanted = self.shards.unwrap_or_else(|| (processors * 4).next_power_of_two().min(useful));
        let least = usize::try_from(self.capacity.div_ceil(MOST_PER_SHARD)).unwrap_or(MAX_SHARDS);
        wanted.max(least).clamp(1, MAX_SHARDS).next_power_of_two()
    }
}
