//! The overhead added to each entry is what the engine really spends.

use terrace_memory::eviction::{Fifo, Lru, Policy, S3Fifo};
use terrace_memory::{Config, ENTRY_OVERHEAD, Memory, Options, Priority};

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

/// Fifty thousand entries, each with these options.
fn footprint_with(options: impl Fn(u64) -> Options) -> u64 {
    let cache: Memory<u64, u64> = Memory::new(Config::entries(50_000).shards(1));
    for key in 0..50_000 {
        assert!(cache.insert(key, key, options(key), 0).stored);
    }
    cache.footprint()
}

/// A feature is paid for by the chunk of a thousand cells in which it is used, and by nobody if it is not.
#[test]
fn features_that_nobody_uses_take_no_memory() {
    let bare = footprint_with(|_| Options::default());
    let features: [(&str, fn() -> Options); 6] = [
        ("an expiry", || Options::default().expires_at(60_000)),
        ("an idle limit", || Options::default().idle(60_000)),
        ("a pin", || Options::default().pinned()),
        ("a low priority", || Options::default().priority(Priority::Low)),
        ("a high priority", || Options::default().priority(Priority::High)),
        ("a weight of its own", || Options::weighing(0)),
    ];
    for (name, with) in features {
        let one = footprint_with(|key| if key == 7 { with() } else { Options::default() });
        // The policy's queues know weights by themselves once they differ, for all.
        let most = if name == "a weight of its own" { 50_000 * 5 } else { 0 } + 32 * 1024;
        assert!(one - bare <= most, "{name} for one entry takes {} bytes", one - bare);
    }
    // An expiry for everybody: eight bytes each, and a part of a row in the wheel.
    let all = footprint_with(|key| Options::default().expires_at(60_000 + key));
    assert!(all - bare <= 10 * 50_000 + 32 * 1024, "{} bytes for all", all - bare);
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
