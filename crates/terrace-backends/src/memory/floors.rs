//! What deletes leave: the version above which a key's next carried write must be.
//!
//! The table is bounded. A floor that finds no room in it raises the floor of all keys of its bucket instead, for
//! good; so does an eviction, which would otherwise fill the table. Such a bucket refuses a few carried writes
//! that it need not, and never admits one that it must not.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;
use terrace_store::{Key, Version};

const SHARDS: usize = 16;
const BUCKETS: usize = 1 << 14;
/// The most floors of single keys, all shards together.
pub(super) const LIMIT: usize = 1 << 16;

#[derive(Default)]
struct Shard {
    /// The floor of a key, and the monotonic millisecond from which it may be forgotten.
    floors: HashMap<Key, (Version, u64), RandomState>,
    /// When which floor may be forgotten, the first first. A floor that was raised again stands here twice.
    order: VecDeque<(u64, Key)>,
}

/// The floors of all keys.
pub(super) struct Floors {
    hash: RandomState,
    shards: Box<[Mutex<Shard>]>,
    buckets: Box<[AtomicU64]>,
    /// Whether a delete ever found no room in the table.
    overflowed: AtomicBool,
}

impl Default for Floors {
    fn default() -> Self {
        Self {
            hash: RandomState::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            overflowed: AtomicBool::new(false),
        }
    }
}

impl Floors {
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        self.shards[hash as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self, hash: u64) -> &AtomicU64 {
        &self.buckets[(hash >> 32) as usize % BUCKETS]
    }

    /// The floor of a key.
    pub(super) fn of(&self, key: &Key) -> Version {
        let hash = self.hash.hash_one(key);
        let own = self.shard(hash).floors.get(key).map_or(0, |(version, _)| version.0);
        Version(own.max(self.bucket(hash).load(Ordering::Acquire)))
    }

    /// Whether a delete of this key may have come after this version of it.
    pub(super) fn may_cover(&self, key: &Key, version: Version) -> bool {
        if self.overflowed.load(Ordering::Acquire) {
            return self.of(key) >= version;
        }
        let hash = self.hash.hash_one(key);
        self.shard(hash).floors.get(key).is_some_and(|(floor, _)| *floor >= version)
    }

    /// Raises the floor of a key until this monotonic millisecond at least.
    pub(super) fn raise(&self, key: &Key, floor: Version, until_ms: u64) {
        let hash = self.hash.hash_one(key);
        let mut shard = self.shard(hash);
        let known = shard.floors.contains_key(key);
        if shard.order.len() >= 2 * LIMIT / SHARDS || !known && shard.floors.len() >= LIMIT / SHARDS {
            drop(shard);
            self.overflowed.store(true, Ordering::Release);
            return self.raise_bucket(key, floor);
        }
        let entry = shard.floors.entry(key.clone()).or_default();
        entry.0 = entry.0.max(floor);
        if entry.1 != until_ms {
            entry.1 = until_ms;
            shard.order.push_back((until_ms, key.clone()));
        }
    }

    /// Raises the floor of a key for good, and of all that share its bucket.
    pub(super) fn raise_bucket(&self, key: &Key, floor: Version) {
        self.bucket(self.hash.hash_one(key)).fetch_max(floor.0, Ordering::AcqRel);
    }

    /// Forgets at most `limit` floors whose time is over at this monotonic millisecond. Returns how many that
    /// were, and whether more are over.
    pub(super) fn forget(&self, now_ms: u64, limit: usize) -> (u64, bool) {
        let mut forgotten = 0;
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some((until, _)) = shard.order.front()
                && *until <= now_ms
            {
                if forgotten as usize >= limit {
                    return (forgotten, true);
                }
                let Some((until, key)) = shard.order.pop_front() else { break };
                if shard.floors.get(&key).is_some_and(|(_, current)| *current == until) {
                    shard.floors.remove(&key);
                    forgotten += 1;
                }
            }
        }
        (forgotten, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Key {
        Key::new("n", n.to_be_bytes()).unwrap()
    }

    #[test]
    fn a_floor_stays_until_its_time_and_only_rises() {
        let floors = Floors::default();
        floors.raise(&key(1), Version(5), 100);
        floors.raise(&key(1), Version(4), 200);
        assert_eq!((floors.of(&key(1)), floors.of(&key(2))), (Version(5), Version::ZERO));
        assert_eq!(floors.forget(199, 10), (0, false));
        assert_eq!(floors.of(&key(1)), Version(5));
        assert_eq!(floors.forget(200, 10), (1, false));
        assert_eq!(floors.of(&key(1)), Version::ZERO);
    }

    #[test]
    fn forgetting_keeps_to_its_limit_and_says_that_there_is_more() {
        let floors = Floors::default();
        (0..10).for_each(|n| floors.raise(&key(n), Version(1), 1));
        assert_eq!(floors.forget(1, 4), (4, true));
        assert_eq!(floors.forget(1, 10), (6, false));
    }

    #[test]
    fn a_full_table_forgets_no_floor() {
        let floors = Floors::default();
        for n in 0..2 * LIMIT as u32 {
            floors.raise(&key(n), Version(u64::from(n) + 1), 1_000);
        }
        assert!((0..2 * LIMIT as u32).all(|n| floors.of(&key(n)) >= Version(u64::from(n) + 1)));
        let kept: usize = floors.shards.iter().map(|shard| shard.lock().unwrap().floors.len()).sum();
        assert!(kept <= LIMIT);
        for _ in 0..2 * LIMIT {
            floors.raise(&key(0), Version(u64::MAX / 2), kept as u64);
        }
        let queued: usize = floors.shards.iter().map(|shard| shard.lock().unwrap().order.len()).sum();
        assert!(queued <= 2 * LIMIT, "one key that is deleted over and over fills nothing");
    }
}
