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
//! - `index.rs`: the table, 9 bytes an entry; `ghosts.rs`, one byte more.
//! - `record.rs`: an entry's bytes, with a checksum.
//! - `block.rs`, `reclaim.rs`: blocks, two logs of them, and which block is emptied.
//! - `choice.rs`, `training.rs`: how values are encoded.
//! - `border.rs`: how much of the memory should be warm.

mod block;
mod border;
mod choice;
mod config;
#[cfg(test)]
mod damage;
mod entry;
mod evicted;
mod ghosts;
mod index;
mod reclaim;
mod record;
mod shard;
mod stats;
mod training;

use std::cell::Cell;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use terrace_envelope::Compression;
use terrace_envelope::codec::Coder;

pub use border::{Border, Costs, Evidence, Verdict};
pub use config::Config;
pub use entry::{Attributes, Found, Inserted};
pub use evicted::{Evicted, EvictedEntry};
pub use stats::Stats;
pub use training::Trained;

use self::choice::Choice;
use self::config::MOST_PER_SHARD;
use self::record::{Record, checksum_of, is_sound};
use self::shard::{Refusal, Shard};
use self::training::Trainings;
use crate::{Cause, RandomHash};

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

/// What one thread needs to encode and decode. It is reused, so that neither allocates once it is warm.
#[derive(Default)]
struct Workspace {
    coder: Coder,
    bytes: Vec<u8>,
}

/// One long value must not leave its size behind in every thread.
const LARGEST_WORKSPACE: usize = 1 << 20;

thread_local! {
    static WORKSPACE: Cell<Workspace> = Cell::default();
}

/// Lends the thread's workspace. A thread that is ending has none any more and gets one for this call.
fn with_workspace<T>(work: impl FnOnce(&mut Workspace) -> T) -> T {
    let mut workspace = WORKSPACE.try_with(Cell::take).unwrap_or_default();
    let result = work(&mut workspace);
    if workspace.bytes.capacity() > LARGEST_WORKSPACE {
        workspace.bytes = Vec::new();
    }
    let _ = WORKSPACE.try_with(|kept| kept.set(workspace));
    result
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

    /// Appends the value of a key, and what is attached to it, to `out`, and marks the entry as used.
    ///
    /// A damaged entry is removed, counted and not found.
    ///
    /// # Cost
    /// One hash, one shard's lock shared for the time of a copy, and decoding after it was given back. Nothing
    /// is allocated but what `out` lacks.
    pub fn get(&self, key: &[u8], now: u64, out: &mut Vec<u8>) -> Option<Found> {
        let hash = self.hash(key);
        let lock = self.shard(hash);
        let found = with_workspace(|workspace| self.read(lock, hash, key, now, workspace, out));
        if let Err(Some((place, checksum))) = found {
            lock.write().remove_damaged(hash, place, checksum);
        }
        found.ok()
    }

    /// The value; or the place and the checksum of a record that turned out to be damaged.
    fn read(
        &self,
        lock: &RwLock<Shard>,
        hash: u64,
        key: &[u8],
        now: u64,
        workspace: &mut Workspace,
        out: &mut Vec<u8>,
    ) -> Result<Found, Option<(index::Place, [u8; 4])>> {
        let shard = lock.read();
        let hit = shard.find(hash, key).filter(|hit| !hit.record.is_dead(now));
        let Some(hit) = hit else {
            shard.misses.fetch_add(1, Ordering::Relaxed);
            return Err(None);
        };
        let seen = Some((hit.place, checksum_of(hit.bytes)));
        if !is_sound(hit.bytes) {
            shard.misses.fetch_add(1, Ordering::Relaxed);
            return Err(seen);
        }
        let Record { how, dictionary, expires_at, version, attached, stored, .. } = hit.record;
        let attached_len = attached.len();
        if how == Compression::None {
            out.extend_from_slice(stored);
            out.extend_from_slice(attached);
            shard.index.mark_used(hit.position);
            shard.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Found { len: stored.len(), attached_len, version, expires_at });
        }
        workspace.bytes.clear();
        workspace.bytes.extend_from_slice(stored);
        let stored_len = stored.len();
        workspace.bytes.extend_from_slice(attached);
        let dictionary = shard.dictionaries.get(usize::from(dictionary)).and_then(Option::clone);
        shard.index.mark_used(hit.position);
        shard.hits.fetch_add(1, Ordering::Relaxed);
        drop(shard);
        let (stored, attached) = workspace.bytes.split_at(stored_len);
        let decoded = workspace.coder.decode(how, dictionary.as_deref(), stored, self.max_value, out);
        let Ok(len) = decoded else {
            // It was counted too early, which spares all others another look at the lock.
            let shard = lock.read();
            shard.hits.fetch_sub(1, Ordering::Relaxed);
            shard.misses.fetch_add(1, Ordering::Relaxed);
            return Err(seen);
        };
        out.extend_from_slice(attached);
        Ok(Found { len, attached_len, version, expires_at })
    }

    /// Whether the key has a value. It is neither read nor marked as used.
    #[must_use]
    pub fn contains(&self, key: &[u8], now: u64) -> bool {
        self.version(key, now).is_some()
    }

    /// The version of the key's value, if it has one.
    #[must_use]
    pub fn version(&self, key: &[u8], now: u64) -> Option<u64> {
        let hash = self.hash(key);
        let shard = self.shard(hash).read();
        shard.find(hash, key).filter(|hit| !hit.record.is_dead(now)).map(|hit| hit.record.version)
    }

    /// Stores a value in the place of any that the key has.
    ///
    /// # Cost
    /// The value is encoded before the lock is taken: 2 to 10 µs for a kilobyte. An insertion that has to empty
    /// a block goes through the few hundred entries of that block.
    pub fn insert(&self, key: &[u8], value: &[u8], attributes: Attributes<'_>, now: u64) -> Inserted {
        self.write(key, value, attributes, false, now)
    }

    /// The same, unless the key has a value whose version is as high.
    pub fn insert_if_newer(
        &self,
        key: &[u8],
        value: &[u8],
        attributes: Attributes<'_>,
        now: u64,
    ) -> Inserted {
        self.write(key, value, attributes, true, now)
    }

    fn write(
        &self,
        key: &[u8],
        value: &[u8],
        attributes: Attributes<'_>,
        only_newer: bool,
        now: u64,
    ) -> Inserted {
        let hash = self.hash(key);
        let lock = self.shard(hash);
        let dead = attributes.expires_at.is_some_and(|at| at <= now);
        if dead || value.len() > self.max_value {
            return refuse(&mut lock.write(), hash, key, attributes.version, only_newer, dead, now);
        }
        with_workspace(|Workspace { coder, bytes }| {
            let mut dictionary = lock.read().current_dictionary();
            loop {
                let with = dictionary.as_ref().map(|(_, dictionary)| dictionary.as_ref());
                let how = self.choice.encode(coder, with, value, bytes);
                let slot = match how {
                    Compression::Zstd => dictionary.as_ref().map_or(0, |(slot, _)| *slot),
                    _ => 0,
                };
                let Attributes { expires_at, version, attached } = attributes;
                let record =
                    Record { how, dictionary: slot, expires_at, version, key, attached, stored: bytes };
                let mut done = Inserted::default();
                let mut shard = lock.write();
                let with = dictionary.as_ref().map(|(_, dictionary)| dictionary);
                let stored = shard.insert(hash, &record, with, only_newer, now, &mut done.evicted);
                match stored {
                    Err(Refusal::Dictionary) => dictionary = None,
                    Err(Refusal::NotNewer) => return done,
                    Err(Refusal::Cause(cause)) => {
                        shard.tally.left(cause);
                        done.refused = Some(cause);
                        return done;
                    }
                    Ok(replaced) => {
                        shard.tally.inserts += 1;
                        shard.tally.stored(how, value.len(), bytes.len());
                        (done.stored, done.replaced) = (true, replaced);
                        return done;
                    }
                }
            }
        })
    }

    /// Removes a key. Returns whether it had a value.
    pub fn remove(&self, key: &[u8], now: u64) -> bool {
        self.remove_up_to(key, u64::MAX, now)
    }

    /// Removes a key if the version of its value is at most this. Returns whether that was so.
    pub fn remove_up_to(&self, key: &[u8], version: u64, now: u64) -> bool {
        let hash = self.hash(key);
        let mut shard = self.shard(hash).write();
        let Some(hit) = shard.find(hash, key).filter(|hit| hit.record.version <= version) else {
            return false;
        };
        let (position, dead) = (hit.position, hit.record.is_dead(now));
        shard.drop_at(position);
        !dead
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

    /// Calls `visit` with every entry that has not expired: key, value and attributes.
    ///
    /// No snapshot: an entry that is written or moved meanwhile is met once, twice or not at all. Each entry is
    /// copied under its shard's lock, and `visit` runs outside all locks.
    pub fn for_each(&self, now: u64, mut visit: impl FnMut(&[u8], &[u8], Attributes<'_>)) {
        let mut coder = Coder::new();
        let (mut copy, mut value) = (Vec::new(), Vec::new());
        for lock in &self.shards {
            let mut from = 0;
            loop {
                let shard = lock.read();
                let Some((next, place)) = shard.index.next(from) else { break };
                from = next;
                let Some((record, bytes)) = shard.record(place) else { continue };
                if record.is_dead(now) || !is_sound(bytes) {
                    continue;
                }
                copy.clear();
                copy.extend_from_slice(bytes);
                let base = shard.blocks.get(usize::from(place.block)).map_or(0, |block| block.base);
                let slot = usize::from(record.dictionary);
                let dictionary = shard.dictionaries.get(slot).and_then(Option::clone);
                drop(shard);
                let Some((record, _)) = Record::read(&copy, base) else { continue };
                value.clear();
                let decoded = coder.decode(
                    record.how,
                    dictionary.as_deref(),
                    record.stored,
                    self.max_value,
                    &mut value,
                );
                if decoded.is_ok() {
                    let Record { expires_at, version, attached, key, .. } = record;
                    visit(key, &value, Attributes { expires_at, version, attached });
                }
            }
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

/// Refuses a value that is dead on arrival or too long. What the key had is stale then.
fn refuse(
    shard: &mut Shard,
    hash: u64,
    key: &[u8],
    version: u64,
    only_newer: bool,
    dead: bool,
    now: u64,
) -> Inserted {
    let cause = if dead { Cause::Expired } else { Cause::TooHeavy };
    let old = shard.find(hash, key).map(|hit| (hit.position, hit.record.version, hit.record.is_dead(now)));
    if let Some((position, known, gone)) = old {
        if only_newer && !gone && known >= version {
            return Inserted::default();
        }
        shard.drop_at(position);
    }
    shard.tally.refused += 1;
    Inserted { refused: Some(cause), replaced: old.is_some_and(|(.., gone)| !gone), ..Inserted::default() }
}
