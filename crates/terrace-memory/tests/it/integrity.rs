//! Values under many threads: every reader sees a whole value of its key, every value is dropped exactly once, and
//! what has left does not pile up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use terrace_memory::{Config, Decision, Memory, Options, Outcome};

use crate::random::Random;

/// Counts how many of its kind are alive, and knows whether it was dropped already.
struct Counted {
    key: u64,
    check: u64,
    text: String,
    alive: Arc<AtomicU64>,
}

const MASK: u64 = 0x5bd1_e995_9e37_79b9;

impl Counted {
    fn new(key: u64, alive: &Arc<AtomicU64>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Counted { key, check: key ^ MASK, text: key.to_string(), alive: alive.clone() }
    }

    fn verify(&self, key: u64) {
        assert_eq!((self.key, self.check), (key, key ^ MASK));
        assert_eq!(self.text, key.to_string());
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_eq!(self.check, self.key ^ MASK, "dropped twice");
        self.check = 0;
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

fn turns() -> u64 {
    if cfg!(debug_assertions) { 10_000 } else { 300_000 }
}

#[test]
fn readers_see_whole_values_of_their_keys_and_each_is_dropped_once() {
    for (capacity, shards) in [(50, 1), (3000, 2), (20, 4)] {
        let alive = Arc::new(AtomicU64::new(0));
        let cache: Memory<u64, Counted> = Memory::new(Config::entries(capacity).shards(shards));
        std::thread::scope(|scope| {
            for seed in 1..=4u64 {
                let (cache, alive) = (&cache, &alive);
                scope.spawn(move || {
                    let mut random = Random(seed * 0x9e37_79b9);
                    for _ in 0..turns() {
                        let key = random.below(capacity * 2);
                        match random.below(16) {
                            0..8 => drop(cache.get_with(&key, 0, |value| {
                                value.verify(key);
                                // A read within a read.
                                let other = key ^ 1;
                                cache.get_with(&other, 0, |value| value.verify(other));
                                value.verify(key);
                            })),
                            8..12 => {
                                let done = cache.insert(key, Counted::new(key, alive), Options::default(), 0);
                                done.evicted.iter().for_each(|gone| gone.value.verify(gone.key));
                                if let Some(old) = done.replaced {
                                    old.value.verify(key);
                                }
                            }
                            12 => {
                                if let Some(gone) = cache.remove(&key, 0) {
                                    gone.value.verify(key);
                                }
                            }
                            13 => drop(cache.upsert(key, 0, |held| match held {
                                Some(held) => {
                                    held.verify(key);
                                    Decision::Keep
                                }
                                None => Decision::Put(Counted::new(key, alive), Options::default()),
                            })),
                            14 if random.below(64) == 0 => drop(cache.retain(0, |key, value| {
                                value.verify(*key);
                                key % 7 != 0
                            })),
                            15 if random.below(200) == 0 => drop(cache.clear()),
                            _ => {
                                let cursor = random.below(shards as u64) << 32 | random.below(1 << 32);
                                cache.scan(cursor, 8, 0, |key, value, _| value.verify(*key));
                            }
                        }
                    }
                });
            }
        });
        cache.check().unwrap();
        let held = alive.load(Ordering::Relaxed) - cache.len() as u64;
        assert!(held <= 2048, "{held} values are waiting to be dropped");
        cache.reclaim();
        assert_eq!(alive.load(Ordering::Relaxed), cache.len() as u64);
        assert_eq!(cache.retired_weight(), 0);
        drop(cache);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn what_was_returned_stays_readable_until_it_is_dropped() {
    let alive = Arc::new(AtomicU64::new(0));
    let cache: Memory<u64, Counted> = Memory::new(Config::entries(10).shards(1));
    for key in 0..10 {
        assert!(cache.insert(key, Counted::new(key, &alive), Options::default(), 0).stored);
    }
    let kept: Vec<_> = (0..5).filter_map(|key| cache.remove(&key, 0)).collect();
    for key in 100..2000 {
        drop(cache.insert(key, Counted::new(key, &alive), Options::default(), 0));
    }
    cache.reclaim();
    for (key, gone) in kept.iter().enumerate() {
        gone.value.verify(key as u64);
    }
    assert_eq!((cache.retired_weight(), alive.load(Ordering::Relaxed)), (5, 15));
    drop(kept);
    cache.reclaim();
    assert_eq!((cache.retired_weight(), alive.load(Ordering::Relaxed)), (0, 10));
}

#[test]
fn a_reader_keeps_what_it_looks_at_and_stops_nobody() {
    let alive = Arc::new(AtomicU64::new(0));
    let cache: Memory<u64, Counted> = Memory::new(Config::entries(100).shards(1));
    drop(cache.insert(1, Counted::new(1, &alive), Options::default(), 0));
    cache.get_with(&1, 0, |value| {
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                assert!(cache.remove(&1, 0).is_some());
                for key in 10..5000 {
                    drop(cache.insert(key, Counted::new(key, &alive), Options::default(), 0));
                }
                cache.reclaim();
                cache.clear();
            });
            writer.join().unwrap();
        });
        // It may write itself, too.
        for key in 10..2000 {
            drop(cache.insert(key, Counted::new(key, &alive), Options::default(), 0));
        }
        value.verify(1);
    });
    cache.reclaim();
    cache.reclaim();
    assert_eq!(alive.load(Ordering::Relaxed), cache.len() as u64);
}

#[test]
fn retired_values_stay_within_their_bound() {
    let capacity = 64 << 20;
    let cache: Memory<u64, Vec<u8>> = Memory::new(Config::bytes(capacity));
    let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(cache.weight() <= capacity);
                most.fetch_max(cache.retired_weight(), Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        let writers: Vec<_> = (1..=16u64)
            .map(|seed| {
                let cache = &cache;
                scope.spawn(move || {
                    let mut random = Random(seed * 0x9e37_79b9);
                    for _ in 0..turns() / 60 {
                        let bytes = 1 << random.below(21);
                        let key = random.below(2000);
                        let value = vec![key as u8; bytes];
                        let weight = (bytes + size_of::<Vec<u8>>() + 8) as u64;
                        drop(cache.insert(key, value, Options::weighing(weight), 0));
                        let key = random.below(2000);
                        cache.get_with(&key, 0, |value| assert_eq!(value.last(), Some(&(key as u8))));
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    cache.check().unwrap();
    // Sixteen writers may each hold one that they have just been given and not yet dropped.
    let bound = capacity / 100 + (1 << 20) + 16 * (1 << 20) * 2;
    assert!(most.load(Ordering::Relaxed) <= bound, "{} of {bound}", most.load(Ordering::Relaxed));
    assert!(cache.retired_weight() <= capacity / 100 + (1 << 20) + (1 << 21));
}

#[test]
fn one_maker_makes_what_many_ask_for() {
    let cache: Memory<u64, u64> = Memory::new(Config::entries(10_000));
    let made = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for key in 0..2000 {
                    let got = cache.get_or_insert_with(key, 0, || {
                        made.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                        (key * 3, Options::default())
                    });
                    assert_eq!(got.value, key * 3);
                }
            });
        }
    });
    assert_eq!(made.load(Ordering::Relaxed), 2000);
}

#[test]
fn makers_may_fail_panic_and_ask_for_their_own_key() {
    let cache: Memory<u64, u64> = Memory::new(Config::entries(10));
    let panicking = || cache.get_or_insert_with(1, 0, || panic!("maker"));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(panicking()))).is_err());
    assert_eq!(cache.try_get_or_insert_with(1, 0, || Err("failed")).err(), Some("failed"));
    let within = cache.get_or_insert_with(1, 0, || {
        let inner = cache.get_or_insert_with(1, 0, || (5, Options::default())).value;
        (inner + 1, Options::default())
    });
    assert_eq!((within.value, cache.get(&1, 0)), (6, Some(6)));
    // What cannot be stored is returned all the same.
    let refused = cache.get_or_insert_with(2, 0, || (7, Options::weighing(11)));
    assert_eq!((refused.value, refused.inserted.map(|done| done.stored)), (7, Some(false)));
    // A maker that panics while others wait leaves the making to one of them.
    let first = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let (cache, first) = (&cache, &first);
        let ask = move || {
            cache.get_or_insert_with(3, 0, || {
                if first.swap(false, Ordering::Relaxed) {
                    std::thread::yield_now();
                    panic!("maker");
                }
                (9, Options::default())
            })
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(move || ask().value)).collect();
        let ends: Vec<_> = threads.into_iter().map(|thread| thread.join().ok()).collect();
        assert_eq!(ends.iter().filter(|end| end.is_none()).count(), 1);
        assert!(ends.iter().flatten().all(|value| *value == 9));
    });
    // One maker within another of the same key is part of it.
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.failed_loads), (3, 3));
}

/// Panics on being dropped, if it is told to.
struct Grudge(bool);

impl Drop for Grudge {
    fn drop(&mut self) {
        if self.0 && !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

#[test]
fn a_panicking_drop_loses_no_other_value() {
    let cache: Memory<u64, Grudge> = Memory::new(Config::entries(1000).shards(1));
    for key in 0..1000 {
        assert!(cache.insert(key, Grudge(key == 500), Options::default(), 0).stored);
    }
    assert!(catch_unwind(AssertUnwindSafe(|| cache.clear())).is_err());
    cache.reclaim();
    assert_eq!((cache.len(), cache.weight(), cache.retired_weight()), (0, 0, 0));
    assert_eq!(
        cache.upsert(1, 0, |_| Decision::Put(Grudge(false), Options::default())).outcome,
        Outcome::Stored
    );
    cache.check().unwrap();
}

/// A key whose comparison or hash panics on demand.
#[derive(Clone)]
struct Fragile(u64, Arc<AtomicBool>);

impl PartialEq for Fragile {
    fn eq(&self, other: &Self) -> bool {
        assert!(!self.1.load(Ordering::Relaxed), "compared");
        self.0 == other.0
    }
}

impl Eq for Fragile {}

impl std::hash::Hash for Fragile {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn a_key_that_panics_when_compared_leaves_the_engine_whole() {
    let cache: Memory<Fragile, u64> = Memory::new(Config::entries(10));
    let mood = Arc::new(AtomicBool::new(false));
    let key = Fragile(1, mood.clone());
    assert!(cache.insert(key.clone(), 1, Options::default(), 0).stored);
    mood.store(true, Ordering::Relaxed);
    for attempt in [
        &(|| assert_eq!(cache.get(&key, 0), None)) as &dyn Fn(),
        &|| drop(cache.insert(key.clone(), 2, Options::default(), 0)),
        &|| drop(cache.remove(&key, 0)),
    ] {
        assert!(catch_unwind(AssertUnwindSafe(attempt)).is_err());
    }
    mood.store(false, Ordering::Relaxed);
    assert_eq!((cache.get(&key, 0), cache.len()), (Some(1), 1));
    cache.check().unwrap();
}
