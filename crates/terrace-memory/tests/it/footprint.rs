//! The overhead added to each entry is what the engine really spends.

use terrace_memory::eviction::{Fifo, Lru, Policy, S3Fifo};
use terrace_memory::{Config, ENTRY_OVERHEAD, Memory, Options};

/// Fills a byte-weighted cache several times over and compares its own count of heap bytes with its weight.
fn within_its_weight<P: Policy>() {
    for megabytes in [1, 3, 5, 8] {
        let capacity = megabytes << 20;
        let cache: Memory<u64, u64, P> = Memory::with_policy(Config::bytes(capacity).shards(4));
        for key in 0..megabytes * 40_000 {
            let _ = cache.insert(key, key, Options::weighing(16), 0);
            cache.get(&(key / 2), 0);
        }
        let (footprint, weight) = (cache.footprint(), cache.weight());
        assert!(weight > capacity - u64::from(ENTRY_OVERHEAD) - 16);
        let part = footprint as f64 / weight as f64;
        assert!((0.4..=1.0).contains(&part), "{}: {footprint} bytes for a weight of {weight}", P::NAME);
    }
}

#[test]
fn a_full_cache_of_small_entries_takes_less_than_forty_bytes_for_each() {
    for entries in [100_000, 200_000, 300_000] {
        let cache: Memory<u64, u64> = Memory::new(Config::entries(entries).shards(1));
        // What all shards share does not grow with the entries.
        let fixed = 256 << 10;
        for key in 0..entries {
            let _ = cache.insert(key, key, Options::default(), 0);
        }
        let footprint = cache.footprint();
        assert!(footprint <= entries * 40 + fixed, "{footprint} bytes for {entries} entries");
    }
}

#[test]
fn what_the_engine_allocates_stays_within_the_weight_it_counts() {
    within_its_weight::<S3Fifo>();
    within_its_weight::<Lru>();
    within_its_weight::<Fifo>();
}
