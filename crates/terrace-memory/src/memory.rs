//! The engine itself: shards behind one budget.
//!
//! Decision: the key's hash chooses the shard, so callers on different keys rarely meet. A call holds at most
//! one lock that it waited for; to make room in another shard it only *tries* that shard's lock, so no order
//! of calls can deadlock. Reading is in `read`, writing in `write`, whatever walks over all entries in `sweep`.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::budget::Budget;
use crate::config::Config;
use crate::eviction::{Policy, S3Fifo, Setup};
use crate::hash::RandomHash;
use crate::shard::Cell;
use crate::stats::Stats;

/// A concurrent, weighted, expiring cache.
///
/// Every call that depends on time takes `now` in milliseconds of one scale of the caller's choice, which
/// should never go back. No call blocks but for the lock of one shard; none calls back into user code except
/// the closures given to it, the key's `Eq` and `Hash`, and `V::clone`. A closure must not call the same
/// engine: it runs under a shard's lock and would wait for itself.
///
/// # Guarantees
///
/// * The weight of all entries that can be reached, [`weight`](Memory::weight), never passes
///   [`capacity`](Memory::capacity), not even for a moment.
/// * No read returns an entry that has expired at the `now` given with it.
/// * A closure that panics leaves the engine as it was before the call.
pub struct Memory<K, V, P = S3Fifo, S = RandomHash> {
    pub(crate) cells: Box<[Cell<K, V, P>]>,
    pub(crate) budget: Budget,
    pub(crate) overhead: u32,
    pub(crate) hasher: S,
    /// Where [`advance`](Memory::advance) goes on, so that every shard has its turn.
    pub(crate) sweep: AtomicUsize,
    /// Held while the capacity changes.
    pub(crate) resize: Mutex<()>,
}

impl<K, V> Memory<K, V> {
    /// An empty engine with the default policy and hash. Allocates nothing for entries yet.
    pub fn new(config: Config) -> Self {
        Memory::with_policy(config)
    }
}

impl<K, V, P: Policy> Memory<K, V, P> {
    /// An empty engine with the policy of its type: `Memory::<K, V, Lru>::with_policy(config)`.
    pub fn with_policy(config: Config) -> Self {
        Memory::with_hasher(config, RandomHash::new())
    }
}

impl<K, V, P: Policy, S> Memory<K, V, P, S> {
    /// An empty engine that hashes keys with `hasher`.
    pub fn with_hasher(config: Config, hasher: S) -> Self {
        let shards = config.shard_count();
        let setup = setup(config.capacity, shards);
        let shared = Arc::new(P::shared(Setup { capacity: config.capacity, ..setup }));
        Memory {
            cells: (0..shards).map(|_| Cell::new(setup, &shared)).collect(),
            budget: Budget::new(config.capacity),
            overhead: config.entry_overhead,
            hasher,
            sweep: AtomicUsize::new(0),
            resize: Mutex::new(()),
        }
    }

    /// How many entries are held. Those that have expired but were not collected yet are counted.
    pub fn len(&self) -> usize {
        self.cells.iter().map(|cell| cell.len.load(Ordering::Relaxed)).sum()
    }

    /// Whether no entry is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight of all entries held and of those on their way in, overhead included.
    pub fn weight(&self) -> u64 {
        self.budget.used()
    }

    /// What the weight never exceeds.
    pub fn capacity(&self) -> u64 {
        self.budget.capacity()
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.cells.len()
    }

    /// The counters, added up over the shards.
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for cell in &self.cells {
            cell.counters.add_to(&mut sum);
        }
        sum
    }

    /// The bytes the engine's own structures occupy on the heap: slots with keys and values in line, hash
    /// tables, queues, ghosts and timers, but not what keys and values point to.
    ///
    /// # Cost
    ///
    /// A read lock of each shard, one after another.
    pub fn footprint(&self) -> u64 {
        let cells = self.cells.len() * size_of::<Cell<K, V, P>>();
        let heap: usize = self.cells.iter().map(|cell| cell.lock.read().heap_bytes()).sum();
        (cells + heap) as u64
    }

    /// Compares everything the engine knows twice: weights, counts, the table and the slots. Finding a
    /// difference means a defect here.
    ///
    /// # Errors
    ///
    /// What disagrees, in words.
    ///
    /// # Cost
    ///
    /// Visits every entry, a shard at a time; for tests, with no writer at work.
    pub fn check(&self) -> Result<(), String> {
        let mut weight = 0;
        for cell in &self.cells {
            let shard = cell.lock.read();
            shard.check()?;
            weight += shard.weight;
        }
        if weight == self.weight() {
            return Ok(());
        }
        Err(format!("shards weigh {weight}, the budget says {}", self.weight()))
    }

    #[inline]
    pub(crate) fn cell_of(&self, hash: u64) -> (usize, &Cell<K, V, P>) {
        // The table uses the lowest and the seven highest bits; these are neither.
        let index = (hash >> 40) as usize & (self.cells.len() - 1);
        (index, &self.cells[index])
    }
}

/// What the policy of one of so many shards is made for.
pub(crate) fn setup(capacity: u64, shards: usize) -> Setup {
    Setup { capacity: capacity / shards as u64, total: capacity, shards, seed: 1 }
}

impl<K, V, P: Policy, S: BuildHasher> Memory<K, V, P, S> {
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }
}

impl<K, V, P: Policy, S> std::fmt::Debug for Memory<K, V, P, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("policy", &P::NAME)
            .field("len", &self.len())
            .field("weight", &self.weight())
            .field("capacity", &self.capacity())
            .field("shards", &self.shards())
            .finish()
    }
}
