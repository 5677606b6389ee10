//! Threads that do everything at once, while the invariants are sampled.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use terrace_memory::eviction::{Lru, Policy, S3Fifo};
use terrace_memory::{Config, Decision, Memory, Options};

use crate::random::Random;

/// One random operation. Values always equal `key * 1000 + something below 1000`, so a foreign value shows.
fn operate<P: Policy>(cache: &Memory<u64, u64, P>, random: &mut Random, clock: &AtomicU64) {
    let now = clock.fetch_add(random.below(2), Ordering::Relaxed);
    let key = random.below(400);
    let weight = if random.below(50) == 0 { random.below(1200) } else { random.below(30) };
    let mut options = Options::weighing(weight);
    if random.below(4) == 0 {
        options = options.expires_at(now + random.below(200));
    }
    if random.below(8) == 0 {
        options = options.idle(random.below(100));
    }
    let value = key * 1000 + random.below(1000);
    match random.below(20) {
        0..8 => {
            if let Some(found) = cache.get(&key, now) {
                assert_eq!(found / 1000, key);
            }
        }
        8..14 => {
            for gone in cache.insert(key, value, options, now).evicted {
                assert_eq!(gone.value / 1000, gone.key);
            }
        }
        14..16 => {
            let _ = cache.upsert(key, now, |current| match current {
                Some(held) if held % 3 == 0 => Decision::Remove,
                Some(held) if held % 3 == 1 => Decision::Keep,
                _ => Decision::Put(value, options),
            });
        }
        16 => drop(cache.remove(&key, now)),
        17 => drop(cache.advance(now, 10)),
        18 if random.below(50) == 0 => drop(cache.set_capacity(800 + random.below(400), now)),
        18 if random.below(50) == 0 => drop(cache.retain(now, |key, _| key % 5 != 0)),
        19 if random.below(500) == 0 => drop(cache.clear()),
        _ => drop(cache.scan(random.below(8) << 32, 20, now, |key, value, _| assert_eq!(value / 1000, *key))),
    }
}

fn storm<P: Policy>(shards: usize) {
    let cache: Memory<u64, u64, P> = Memory::with_policy(Config::entries(1000).shards(shards));
    let (clock, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=4)
            .map(|seed| {
                let (cache, clock) = (&cache, &clock);
                scope.spawn(move || {
                    let mut random = Random(seed * 0x9e37_79b9);
                    for _ in 0..15_000 {
                        operate(cache, &mut random, clock);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // The capacity changes between 800 and 1200 meanwhile.
                assert!(cache.weight() <= 1200);
                std::thread::yield_now();
            }
        });
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    cache.check().unwrap();
    assert!(cache.weight() <= cache.capacity());
    cache.clear();
    assert_eq!((cache.len(), cache.weight()), (0, 0));
}

#[test]
fn everything_at_once_keeps_weight_and_values_right() {
    for shards in [1, 2, 8] {
        storm::<S3Fifo>(shards);
        storm::<Lru>(shards);
    }
}

#[test]
fn weight_never_passes_capacity_for_any_reader() {
    let cache: Memory<u64, ()> = Memory::new(Config::entries(64).shards(4));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut samples = 0u64;
            while !done.load(Ordering::Relaxed) {
                assert!(cache.weight() <= cache.capacity());
                samples += 1;
            }
            samples
        });
        let writers: Vec<_> = (0..3u64)
            .map(|thread| {
                let cache = &cache;
                scope.spawn(move || {
                    for key in 0..20_000 {
                        let _ = cache.insert(key * 3 + thread, (), Options::weighing(key % 20), 0);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    assert!(cache.weight() <= 64);
    cache.check().unwrap();
}
