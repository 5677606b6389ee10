//! The engine itself: shards behind one budget.
//!
//! Decision: the key's hash chooses the shard, so writers on different keys rarely meet; readers meet nobody. A
//! call holds at most one lock that it waited for; to make room in another shard it only *tries* that shard's
//! lock, so no order of calls can deadlock. Reading is in `read`, writing in `write`, making values in `make`,
//! whatever walks over all entries in `sweep`.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::budget::Budget;
use crate::config::Config;
use crate::core::Limits;
use crate::eviction::{Adaptive, Aim, Policy, Setup};
use crate::hash::RandomHash;
use crate::readers::Readers;
use crate::shard::{Plan, Shard};
use crate::stats::Stats;
use crate::sync::Mutex;

/// At most so many entries wait in limbo before a writer looks whether they can be freed.
const BATCH: u64 = 512;
/// And at least so many, in a small cache.
const LEAST_BATCH: u64 = 64;
/// What may wait there, in bytes, beside a hundredth of the capacity.
const SPARE_BYTES: u64 = 1 << 20;

/// A concurrent, weighted, expiring cache.
///
/// Every call that depends on time takes `now` in milliseconds of one scale of the caller's choice, which
/// should never go back. No read blocks; a write waits for the lock of one shard. None calls back into user code
/// except the closures given to it, the key's `Eq` and `Hash`, and the `Clone` and `Drop` of keys and values.
///
/// Closures that only look ([`get_with`](Memory::get_with), [`scan`](Memory::scan), [`retain`](Memory::retain)) run
/// without a lock and may call the same engine. Those that decide ([`upsert`](Memory::upsert),
/// [`remove_if`](Memory::remove_if)) must not: they run under a shard's lock and would wait for themselves.
///
/// Keys and values that left are dropped a little later, when no reader can be looking at them, by whichever call
/// finds that out; at the latest with the engine.
///
/// # Guarantees
///
/// * The weight of all entries that can be reached, [`weight`](Memory::weight), never passes
///   [`capacity`](Memory::capacity), not even for a moment. What left and is not yet dropped is
///   [`retired_weight`](Memory::retired_weight): at most a hundredth of the capacity and a mebibyte, unless a reader
///   stays where it is or the caller keeps what was returned to it.
/// * No read returns an entry that has expired at the `now` given with it.
/// * A closure that panics leaves the engine as it was before the call.
pub struct Memory<K, V, P: Policy = Adaptive, S = RandomHash> {
    pub(crate) shards: Box<[Shard<K, V, P>]>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) policy: Arc<P::Shared>,
    pub(crate) hasher: S,
    pub(crate) budget: Budget,
    pub(crate) overhead: u32,
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
        let setup = Setup { aim: config.aim, ..setup(config.capacity, shards) };
        let policy = Arc::new(P::shared(Setup { capacity: config.capacity, ..setup }));
        let readers = Arc::new(Readers::new());
        let least_weight = config.least_weight(size_of::<(K, V)>());
        let expected = config.capacity / least_weight / shards as u64;
        let plan = Plan {
            setup,
            expected,
            exact: config.entry_overhead == 0,
            limits: Limits {
                batch: (expected / 4).clamp(LEAST_BATCH, BATCH) as u32,
                weight: most_retired(config.capacity, least_weight, shards),
            },
        };
        Memory {
            shards: (0..shards).map(|_| Shard::new(&plan, &readers, &policy)).collect(),
            readers,
            policy,
            hasher,
            budget: Budget::new(config.capacity),
            overhead: config.entry_overhead,
            sweep: AtomicUsize::new(0),
            resize: Mutex::new(()),
        }
    }

    /// How many entries are held. Those that have expired but were not collected yet are counted.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.writers.len.load(Ordering::Relaxed)).sum()
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

    /// The weight of entries that left and are not yet dropped, because a reader may be looking at them, they are
    /// too few to be worth the asking, or the caller still holds them.
    pub fn retired_weight(&self) -> u64 {
        self.shards.iter().map(|shard| shard.core.retired_weight()).sum()
    }

    /// Drops what left and can be dropped.
    ///
    /// # Cost
    ///
    /// For each shard its lock, for a moment, and a barrier on all threads, a few microseconds, if it has anything.
    pub fn reclaim(&self) {
        for shard in &self.shards {
            shard.core.send_departed(&mut shard.lock().state.space);
            shard.core.reclaim();
        }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// What the shards' policies share.
    pub fn policy(&self) -> &P::Shared {
        &self.policy
    }

    /// The counters, added up over shards and threads, and what is held.
    pub fn stats(&self) -> Stats {
        let mut sum = Stats {
            entries: self.len() as u64,
            weight: self.weight(),
            retired_weight: self.retired_weight(),
            ..Stats::default()
        };
        (sum.hits, sum.misses) = self.readers.counts();
        for shard in &self.shards {
            shard.writers.counters.add_to(&mut sum);
        }
        sum
    }

    /// The bytes the engine's own structures occupy on the heap: cells with keys and values in line, the index,
    /// queues, ghosts and timers, but not what keys and values point to.
    ///
    /// # Cost
    ///
    /// The lock of each shard, one after another.
    pub fn footprint(&self) -> u64 {
        let shards = self.shards.len() * size_of::<Shard<K, V, P>>();
        let heap: usize = self.shards.iter().map(|shard| shard.lock().heap_bytes()).sum();
        (shards + heap + self.readers.heap_bytes()) as u64
    }

    /// Compares everything the engine knows twice: weights, counts, the index and the cells. Finding a
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
        for shard in &self.shards {
            let locked = shard.lock();
            locked.check()?;
            weight += locked.state.weight;
        }
        if weight == self.weight() {
            return Ok(());
        }
        Err(format!("shards weigh {weight}, the budget says {}", self.weight()))
    }

    #[inline]
    pub(crate) fn shard_of(&self, hash: u64) -> (usize, &Shard<K, V, P>) {
        // The index uses the lower half; these bits are in the upper.
        let index = (hash >> 40) as usize & (self.shards.len() - 1);
        (index, &self.shards[index])
    }
}

/// What the policy of one of so many shards is made for, with the usual aim.
pub(crate) fn setup(capacity: u64, shards: usize) -> Setup {
    Setup { capacity: capacity / shards as u64, total: capacity, shards, seed: 1, aim: Aim::Objects }
}

/// How much each of so many shards may leave in limbo.
pub(crate) fn most_retired(capacity: u64, least_weight: u64, shards: usize) -> u64 {
    // A mebibyte is so many entries, where entries are counted.
    let spare = if least_weight == 1 { SPARE_BYTES / 64 } else { SPARE_BYTES };
    (capacity / 100).saturating_add(spare) / shards as u64
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
