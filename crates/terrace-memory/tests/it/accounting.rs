//! The weight is exact, and never above the capacity.

use std::hash::{BuildHasher, Hasher};

use terrace_memory::eviction::{Fifo, Lru};
use terrace_memory::{Cause, Config, Memory, Options, RandomHash};

fn unit(capacity: u64) -> Memory<u64, u64> {
    Memory::new(Config::entries(capacity))
}

#[test]
fn capacity_zero_refuses_everything_and_says_so() {
    let cache = unit(0);
    let done = cache.insert(1, 10, Options::default(), 0);
    assert!(!done.stored);
    assert_eq!(done.evicted.len(), 1);
    assert_eq!((done.evicted[0].key, done.evicted[0].value), (1, 10));
    assert_eq!(done.evicted[0].cause, Cause::TooHeavy);
    assert_eq!((cache.get(&1, 0), cache.len(), cache.weight()), (None, 0, 0));
    assert_eq!(cache.stats().refused_too_heavy, 1);
}

#[test]
fn capacity_one_holds_the_last_entry() {
    let cache = unit(1);
    assert!(cache.insert(1, 10, Options::default(), 0).stored);
    let done = cache.insert(2, 20, Options::default(), 0);
    assert!(done.stored);
    assert_eq!((done.evicted[0].key, done.evicted[0].cause), (1, Cause::Capacity));
    assert_eq!((cache.get(&1, 0), cache.get(&2, 0), cache.weight()), (None, Some(20), 1));
}

#[test]
fn an_entry_of_exactly_the_capacity_fits_and_one_more_does_not() {
    let cache: Memory<u64, u64> =
        Memory::new(Config { entry_overhead: 7, ..Config::entries(1000).shards(4) });
    for key in 0..50 {
        assert!(cache.insert(key, key, Options::weighing(13), 0).stored);
    }
    let done = cache.insert(99, 99, Options::weighing(993), 0);
    assert!(done.stored);
    // It took everything else, from other shards too.
    assert_eq!(done.evicted.len(), 50);
    assert_eq!((cache.weight(), cache.len()), (1000, 1));
    let done = cache.insert(99, 0, Options::weighing(994), 0);
    assert_eq!((done.stored, done.replaced.map(|gone| gone.value)), (false, Some(99)));
    assert_eq!(done.evicted[0].cause, Cause::TooHeavy);
    assert_eq!((cache.weight(), cache.len()), (0, 0));
    cache.check().unwrap();
}

#[test]
fn weights_of_four_gigabytes_and_absurd_ones_are_refused() {
    let cache: Memory<u64, ()> = Memory::new(Config::bytes(u64::MAX));
    for weight in [u64::from(u32::MAX), u64::MAX] {
        let done = cache.insert(1, (), Options::weighing(weight), 0);
        assert_eq!(done.evicted[0].cause, Cause::TooHeavy);
    }
    assert!(cache.insert(1, (), Options::weighing(1 << 31), 0).stored);
}

#[test]
fn entries_without_weight_are_kept_and_counted() {
    let cache = unit(0);
    for key in 0..1000 {
        assert!(cache.insert(key, key, Options::weighing(0), 0).stored);
    }
    assert_eq!((cache.len(), cache.weight()), (1000, 0));
    assert_eq!(cache.get(&77, 0), Some(77));
    assert_eq!(cache.clear(), 1000);
}

#[test]
fn replacing_charges_only_the_difference() {
    let cache: Memory<u64, u64, Lru> = Memory::with_policy(Config::entries(10).shards(1));
    for (key, weight) in [(1, 4), (2, 6)] {
        assert!(cache.insert(key, 0, Options::weighing(weight), 0).evicted.is_empty());
    }
    assert!(cache.insert(1, 1, Options::weighing(3), 0).evicted.is_empty());
    assert!(cache.insert(2, 2, Options::weighing(7), 0).evicted.is_empty());
    assert_eq!(cache.weight(), 10);
    let done = cache.insert(2, 3, Options::weighing(8), 0);
    assert_eq!((done.replaced.map(|gone| gone.value), done.evicted[0].key, cache.weight()), (Some(2), 1, 8));
}

#[test]
fn pinned_entries_stay_and_a_cache_full_of_them_refuses() {
    let cache = unit(10);
    for key in 0..10 {
        assert!(cache.insert(key, key, Options::default().pinned(), 0).stored);
    }
    let done = cache.insert(99, 99, Options::default(), 0);
    assert_eq!((done.stored, done.evicted[0].cause), (false, Cause::Full));
    assert_eq!(cache.stats().refused_full, 1);
    // A pinned entry can still be replaced in place, removed, and unpinned.
    assert!(cache.insert(3, 33, Options::default().pinned(), 0).stored);
    assert_eq!(cache.remove(&0, 0).map(|gone| gone.value), Some(0));
    assert!(cache.insert(1, 11, Options::default(), 0).stored);
    assert!(cache.insert(98, 98, Options::default(), 0).stored);
    let done = cache.insert(99, 99, Options::default(), 0);
    assert!(done.stored && (done.evicted[0].key == 1 || done.evicted[0].key == 98));
    cache.check().unwrap();
}

#[test]
fn shrinking_returns_what_it_evicted_and_growing_makes_room() {
    let cache: Memory<u64, u64> = Memory::new(Config::entries(4096).shards(8));
    for key in 0..4096 {
        assert!(cache.insert(key, key, Options::default(), 0).evicted.is_empty());
    }
    let gone = cache.set_capacity(1000, 0);
    assert_eq!(gone.len(), 3096);
    assert!(gone.iter().all(|gone| gone.cause == Cause::Capacity));
    assert_eq!((cache.len(), cache.weight(), cache.capacity()), (1000, 1000, 1000));
    assert!(cache.set_capacity(2000, 0).is_empty());
    for key in 10_000..11_000 {
        assert!(cache.insert(key, key, Options::default(), 0).evicted.is_empty());
    }
    assert_eq!(cache.weight(), 2000);
    assert_eq!(cache.set_capacity(0, 0).len(), 2000);
    cache.check().unwrap();
}

#[test]
fn shrinking_below_what_is_pinned_stops_there() {
    let cache = unit(100);
    for key in 0..100 {
        let options = Options { pinned: key < 30, ..Options::default() };
        assert!(cache.insert(key, key, options, 0).stored);
    }
    assert_eq!(cache.set_capacity(10, 0).len(), 70);
    assert_eq!((cache.weight(), cache.capacity()), (30, 30));
}

/// Puts a key into the shard that its remainder by the number of shards names.
#[derive(Clone, Default)]
struct Placed;

#[derive(Default)]
struct PlacedHasher(u64);

impl Hasher for PlacedHasher {
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, key: u64) {
        // The engine takes the shard from the bits from 40 on, the table from both ends.
        let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = (spread & 0xfe00_00ff_ffff_ffff) | (key % 1024) << 40;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for Placed {
    type Hasher = PlacedHasher;
    fn build_hasher(&self) -> PlacedHasher {
        PlacedHasher::default()
    }
}

#[test]
fn a_shard_that_large_entries_emptied_gets_its_part_back() {
    let cache: Memory<u64, (), Fifo, Placed> = Memory::with_hasher(Config::entries(8000).shards(8), Placed);
    let mut keys = 0..;
    let mut fill = |count| {
        for key in keys.by_ref().take(count) {
            assert!(cache.insert(key, (), Options::default(), 0).stored);
        }
    };
    fill(10_000);
    for _ in 0..20 {
        // Shard 7 loses all it holds, and what becomes free is taken by every shard alike.
        assert!(cache.insert(u64::MAX - 1024 * 8, (), Options::weighing(2000), 0).stored);
        assert!(cache.remove(&(u64::MAX - 1024 * 8), 0).is_some());
        fill(4_000);
    }
    let held = cache.keys(0).into_iter().filter(|key| key % 8 == 7).count();
    assert!(held >= 450, "shard 7 holds {held} entries; its part is 1000");
    assert_eq!(cache.weight(), 8000);
}

#[test]
fn shrinking_takes_from_other_shards_what_pinned_entries_do_not_give() {
    let cache: Memory<u64, (), Fifo, Placed> = Memory::with_hasher(Config::entries(100).shards(2), Placed);
    for key in 0..100 {
        let options = Options { pinned: key < 60, ..Options::default() };
        // The pinned sixty stand in shard 0, the rest in shard 1.
        let place = if key < 60 { key * 2 } else { key * 2 + 1 };
        assert!(cache.insert(place, (), options, 0).stored);
    }
    assert_eq!(cache.set_capacity(80, 0).len(), 20);
    assert_eq!((cache.weight(), cache.capacity()), (80, 80));
}

#[test]
fn statistics_add_up() {
    let cache: Memory<u64, u64, Lru> = Memory::with_policy(Config::entries(100).shards(4));
    for key in 0..1000 {
        let _ = cache.insert(key, key, Options::default(), 0);
        assert_eq!(cache.get(&key, 0), Some(key));
        assert_eq!(cache.get(&(key + 1), 0), None);
        assert_eq!(cache.peek(&key, 0), Some(key));
    }
    assert_eq!(cache.remove(&999, 0).map(|gone| gone.value), Some(999));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.inserts), (1000, 1000, 1000));
    assert_eq!((stats.evicted_for_capacity, stats.removals), (900, 1));
    assert_eq!(stats.by_cause(Cause::Capacity), 900);
    assert!((stats.hit_ratio() - 0.5).abs() < 1e-9);
    assert_eq!((stats.entries, stats.weight), (99, 99));
    assert!(stats.retired_weight <= 900);
    cache.reclaim();
    assert_eq!(cache.stats().retired_weight, 0);
}

#[test]
fn a_seeded_hash_makes_two_engines_alike() {
    let run = || {
        let cache: Memory<u64, u64> =
            Memory::with_hasher(Config::entries(500).shards(4), RandomHash::seeded(1));
        for key in 0..5000 {
            let _ = cache.insert(key % 900, key, Options::default(), 0);
        }
        cache.keys(0)
    };
    assert_eq!(run(), run());
}
