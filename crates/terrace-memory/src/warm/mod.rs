//! The warm engine: encoded, compressed entries in dense memory.
//!
//! It holds what the hot engine had to let go, two to five times as many entries in the same memory, and gives
//! one back in about a microsecond. Keys and values are bytes here. Like the hot engine it knows neither a
//! store nor a clock, and what it evicts comes back from the call that made it leave.
//!
//! Decision: a log in memory rather than slabs of size classes. Encoded values have every length, and a log
//! stores each exactly; slabs with classes a quarter apart lose a tenth of the memory, and every change of the
//! lengths strands some. What a log costs, the copying of entries that stay, is a memory copy here.
//!
//! - `read.rs`, `write.rs`: the calls for one key.
//! - `index.rs`: the table, 9 bytes an entry; `ghosts.rs`, one byte more.
//! - `record.rs`: an entry's bytes, with a checksum.
//! - `block.rs`, `blocks.rs`, `reclaim.rs`: blocks, two logs of them, and which block is emptied.
//! - `training.rs`: what values are encoded with.
//! - `border.rs`: how much of the memory should be warm.

mod block;
mod blocks;
mod border;
mod config;
#[cfg(test)]
mod damage;
mod entry;
mod evicted;
mod ghosts;
mod index;
mod read;
mod reclaim;
mod record;
mod shard;
mod stats;
mod training;
mod workspace;
mod write;

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

pub use border::{Border, Costs, Evidence, Verdict};
pub use config::Config;
pub use entry::{Attributes, Found, Inserted};
pub use evicted::{Evicted, EvictedEntry};
pub use stats::Stats;
pub use training::Trained;

use terrace_envelope::codec::Choice;

use self::config::MOST_PER_SHARD;
use self::shard::Shard;
use self::training::Trainings;
use crate::RandomHash;

/// Encoded entries in dense memory; see the module's description.
pub struct Warm {
    shards: Box<[RwLock<Shard>]>,
    hasher: RandomHash,
    choice: Choice,
    trainings: Trainings,
    capacity: AtomicU64,
    /// What the dictionaries take of it.
    dictionary_bytes: AtomicU64,
    max_value: usize,
}

impl std::fmt::Debug for Warm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Warm")
            .field("len", &self.len())
            .field("weight", &self.weight())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl Warm {
    /// An empty engine. Memory is allocated as entries come.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let hasher = config.seed.map_or_else(RandomHash::new, RandomHash::seeded);
        let count = config.shard_count();
        let shard = || RwLock::new(Shard::new(0, hasher.clone()));
        let warm = Warm {
            shards: std::iter::repeat_with(shard).take(count).collect(),
            hasher: hasher.clone(),
            choice: Choice::default(),
            trainings: Trainings::default(),
            capacity: AtomicU64::new(0),
            dictionary_bytes: AtomicU64::new(0),
            max_value: config.max_value.min(u32::MAX as usize),
        };
        warm.divide(config.capacity, 0, 0, &mut Evicted::default());
        warm
    }

    /// Gives each shard its part of the capacity; with this many bytes for dictionaries taken off.
    fn divide(&self, capacity: u64, dictionaries: u64, now: u64, evicted: &mut Evicted) {
        let count = self.shards.len() as u64;
        let capacity = capacity.min(count * 2 * MOST_PER_SHARD);
        self.capacity.store(capacity, Ordering::Relaxed);
        for shard in &self.shards {
            let budget = capacity.saturating_sub(dictionaries) / count;
            shard.write().set_budget(budget, now, evicted);
        }
        self.dictionary_bytes.store(dictionaries, Ordering::Relaxed);
    }

    /// The hash of a key, as this engine uses it. [`Border`] wants to be told hashes, too.
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        // The count is a power of two, and the low bits are the index's.
        &self.shards[(hash >> 40) as usize & (self.shards.len() - 1)]
    }

    /// Removes what has expired, and gives it back. Expired entries are never returned by a read even without
    /// this; it frees their memory.
    ///
    /// # Cost
    /// Goes through the blocks in which about a quarter or more of the entries have expired, each under its
    /// shard's lock.
    pub fn advance(&self, now: u64) -> Evicted {
        let mut evicted = Evicted::default();
        for shard in &self.shards {
            while shard.write().expire_one(now, &mut evicted) {}
        }
        evicted
    }

    /// How many entries there are; some of them may have expired.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().index.len()).sum()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of memory in use for entries, index and dictionaries: never more than the capacity.
    ///
    /// A few hundred bytes for each shard, and a thread's working memory for encoding, are not part of it.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let shards: u64 = self.shards.iter().map(|shard| shard.read().weight()).sum();
        shards + self.dictionary_bytes.load(Ordering::Relaxed)
    }

    /// The part of the weight that is allocated and free: the rest of the blocks that take new entries.
    #[must_use]
    pub fn unused_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().unused_bytes()).sum()
    }

    /// The bytes it may use.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Changes the capacity. What no longer fits comes back.
    ///
    /// Blocks that are there keep their length. The number of shards stays what it was, and a shard ends at 1 GiB: [`capacity`](Warm::capacity) tells
    /// what it is now.
    pub fn set_capacity(&self, capacity: u64, now: u64) -> Evicted {
        let mut evicted = Evicted::default();
        let mut adopted = self.trainings.adopted.lock();
        let dictionaries = training::heap_bytes(&adopted);
        if dictionaries * 2 > capacity {
            // They would be most of what is left.
            for (slot, _) in adopted.drain(..) {
                for shard in &self.shards {
                    shard.write().retire(slot, &mut evicted);
                }
            }
            self.divide(capacity, 0, now, &mut evicted);
        } else {
            self.divide(capacity, dictionaries, now, &mut evicted);
        }
        evicted
    }

    /// Removes everything. Dictionaries stay: what comes next will be of the same kind.
    pub fn clear(&self) {
        for shard in &self.shards {
            shard.write().clear();
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        let mut needed = [false; record::DICTIONARY_SLOTS];
        for shard in &self.shards {
            let shard = shard.read();
            stats.hits += shard.hits.load(Ordering::Relaxed);
            stats.misses += shard.misses.load(Ordering::Relaxed);
            stats.add(&shard.tally);
            for (needed, place) in needed.iter_mut().zip(&shard.dictionaries) {
                *needed |= place.is_some();
            }
        }
        stats.dictionaries = needed.iter().filter(|needed| **needed).count();
        stats.dictionary_bytes = self.dictionary_bytes.load(Ordering::Relaxed);
        stats
    }
}
