//! Both ends of the policy's order, held against what it then does.

use std::collections::HashSet;

use terrace_memory::eviction::{Lfu, Lru, Policy};
use terrace_memory::{Config, Memory, Options, Priority, RandomHash};

fn coldest<P: Policy>(cache: &Memory<u64, u64, P>, limit: usize) -> Vec<u64> {
    let mut keys = Vec::new();
    cache.coldest(limit, 0, |key, value, _| {
        assert_eq!(key, value);
        keys.push(*key);
    });
    keys
}

fn hottest<P: Policy>(cache: &Memory<u64, u64, P>, limit: usize) -> Vec<u64> {
    let mut keys = Vec::new();
    cache.hottest(limit, 0, |key, _, _| keys.push(*key));
    keys
}

/// Four hundred keys for a hundred places, some of them used often, and then no use any more.
fn busy<P: Policy>(shards: usize) -> Memory<u64, u64, P> {
    let config = Config::entries(100).shards(shards);
    let cache: Memory<u64, u64, P> = Memory::with_hasher(config, RandomHash::seeded(5));
    for turn in 0..400u64 {
        for key in [turn, turn % 7, turn % 29, turn / 2] {
            if cache.get(&key, 0).is_none() {
                let _ = cache.insert(key, key, Options::default(), 0);
            }
        }
    }
    cache
}

fn foresees_who_leaves<P: Policy>() {
    let cache = busy::<P>(1);
    let order = coldest(&cache, usize::MAX);
    assert_eq!(order.iter().collect::<HashSet<_>>().len(), cache.len(), "{}", P::NAME);
    assert_eq!(hottest(&cache, usize::MAX), order.iter().rev().copied().collect::<Vec<_>>(), "{}", P::NAME);
    assert_eq!(coldest(&cache, 7), order[..7], "{}", P::NAME);
    assert_eq!(hottest(&cache, 0), []);
    let gone: Vec<u64> = cache.set_capacity(85, 0).iter().map(|gone| gone.key).collect();
    if P::NAME == "random" {
        return;
    }
    let among = |keys: &[u64]| gone.iter().filter(|key| keys.contains(key)).count();
    // Where a border between two parts decides which of them gives the next one, the first to go are at the tail of one
    // of them.
    let parted = ["2q", "adaptive", "arc", "qdlp", "s3fifo", "wtinylfu", "wtinylfu20", "wtinylfu-climbing"]
        .contains(&P::NAME);
    let foreseen = among(&order[..gone.len()]);
    assert!(foreseen == gone.len() || parted, "{}: {foreseen} of {} foreseen", P::NAME, gone.len());
    assert_eq!(among(&order[85..]), 0, "{} lets the warmest go", P::NAME);
}

crate::policies::with_every_policy!(foresees_who_leaves);

#[test]
fn shards_are_merged_by_the_place_in_their_order() {
    let cache: Memory<u64, u64, Lru> = Memory::with_policy(Config::entries(4000).shards(4));
    for key in 0..4000 {
        let _ = cache.insert(key, key, Options::default(), 0);
    }
    for key in 0..100 {
        cache.get(&key, 0);
    }
    let (cold, hot) = (coldest(&cache, 500), hottest(&cache, 100));
    assert_eq!((cold.len(), hot.len()), (500, 100));
    assert!(cold.iter().all(|key| (100..700).contains(key)), "{cold:?}");
    let used = hot.iter().filter(|key| **key < 100).count();
    assert!(used > 80, "{used} of the hundred that were used last");
}

#[test]
fn frequency_counts_across_shards() {
    let cache: Memory<u64, u64, Lfu> = Memory::with_policy(Config::entries(10_000).shards(8));
    for key in 0..1000 {
        let _ = cache.insert(key, key, Options::default(), 0);
        for _ in 0..key {
            cache.get(&key, 0);
        }
    }
    assert_eq!(hottest(&cache, 5), [999, 998, 997, 996, 995]);
    assert_eq!(coldest(&cache, 5), [0, 1, 2, 3, 4]);
}

#[test]
fn priorities_stand_at_the_ends_and_pinned_and_dead_entries_are_not_shown() {
    let cache: Memory<u64, u64> = Memory::new(Config::entries(100).shards(2));
    let of = |priority| Options::default().priority(priority);
    let options = [
        of(Priority::High),
        of(Priority::Normal),
        of(Priority::Low),
        Options::default().pinned(),
        Options::default().expires_at(10),
    ];
    for (key, options) in (0..).zip(options) {
        assert!(cache.insert(key, key, options, 0).stored);
    }
    let mut shown = Vec::new();
    cache.coldest(10, 10, |key, _, meta| shown.push((*key, meta.priority)));
    assert_eq!(shown, [(2, Priority::Low), (1, Priority::Normal), (0, Priority::High)]);
}

#[test]
fn the_engine_may_be_used_while_it_is_shown() {
    let cache: Memory<u64, u64> = Memory::new(Config::entries(100));
    for key in 0..100 {
        let _ = cache.insert(key, key, Options::default(), 0);
    }
    cache.hottest(50, 0, |key, _, _| assert!(cache.remove(key, 0).is_some()));
    assert_eq!(cache.len(), 50);
    cache.check().unwrap();
}
