//! Readers against writers, in schedules chosen by shuttle: whatever the order, a reader finds a whole value of its
//! key or none, a key that stays is never missed, and every value is dropped once.
//!
//! Run with `RUSTFLAGS="--cfg shuttle"`; `SHUTTLE_ITERATIONS` says how many schedules each test explores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use shuttle::thread;
use terrace_memory::eviction::Fifo;
use terrace_memory::{Config, Decision, Memory, Options, RandomHash};

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let told = std::env::var("SHUTTLE_ITERATIONS").ok().and_then(|text| text.parse().ok());
    shuttle::check_random(scenario, told.unwrap_or(4000));
}

/// A value that knows its key and is dropped once. That it was dropped is written down outside of it, where a reader
/// who should not be looking any more sees it.
struct Value {
    key: u64,
    version: u64,
    dropped: &'static AtomicBool,
    alive: Arc<AtomicI64>,
}

impl Value {
    fn new(key: u64, version: u64, alive: &Arc<AtomicI64>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Value { key, version, dropped: Box::leak(Box::default()), alive: alive.clone() }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert!(!self.dropped.swap(true, Ordering::Relaxed), "dropped twice");
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks at a value for long enough for a writer to unlink and free it meanwhile, if it were allowed to.
fn linger(value: &Value, key: u64) {
    for _ in 0..12 {
        assert!(value.key == key && !value.dropped.load(Ordering::Relaxed), "freed while it was read");
        thread::yield_now();
    }
}

type Cache = Memory<u64, Value, Fifo, RandomHash>;

struct World {
    cache: Arc<Cache>,
    alive: Arc<AtomicI64>,
}

impl World {
    fn new(capacity: u64, shards: usize) -> Self {
        let config = Config::entries(capacity).shards(shards);
        World { cache: Arc::new(Memory::with_hasher(config, RandomHash::seeded(1))), alive: Arc::default() }
    }

    fn put(&self, key: u64, version: u64) {
        drop(self.cache.insert(key, Value::new(key, version, &self.alive), Options::default(), 0));
    }

    fn version(&self, key: u64) -> Option<u64> {
        self.cache.get_with(&key, 0, |value| {
            linger(value, key);
            value.version
        })
    }

    fn spawn(&self, work: impl FnOnce(&World) + Send + 'static) -> thread::JoinHandle<()> {
        let world = World { cache: self.cache.clone(), alive: self.alive.clone() };
        thread::spawn(move || work(&world))
    }

    fn end(self, threads: Vec<thread::JoinHandle<()>>) {
        for thread in threads {
            thread.join().unwrap();
        }
        self.cache.check().unwrap();
        self.cache.reclaim();
        assert_eq!(self.cache.retired_weight(), 0);
        assert_eq!(self.alive.load(Ordering::Relaxed), self.cache.len() as i64);
        drop(self.cache);
        assert_eq!(self.alive.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn replacing_is_seen_whole_and_in_order() {
    explore(|| {
        let world = World::new(10, 1);
        world.put(1, 0);
        let writer = world.spawn(|world| {
            for version in 1..4 {
                world.put(1, version);
                world.cache.reclaim();
            }
        });
        let reader = world.spawn(|world| {
            let mut last = 0;
            for _ in 0..3 {
                let version = world.version(1).expect("a key that stays was missed");
                assert!(version >= last);
                last = version;
            }
        });
        world.end(vec![writer, reader]);
    });
}

#[test]
fn removing_and_evicting_free_nothing_that_is_read() {
    explore(|| {
        let world = World::new(2, 1);
        world.put(1, 0);
        world.put(2, 0);
        let writer = world.spawn(|world| {
            drop(world.cache.remove(&1, 0));
            world.cache.reclaim();
            world.put(3, 0);
            world.put(4, 0);
            world.cache.reclaim();
            world.put(1, 7);
        });
        let readers = (0..2).map(|turn| {
            world.spawn(move |world| {
                for key in [1, 2, 1 + turn] {
                    world.version(key);
                }
            })
        });
        let threads = std::iter::once(writer).chain(readers).collect();
        world.end(threads);
    });
}

#[test]
fn growing_hides_nothing() {
    explore(|| {
        let world = World::new(1000, 1);
        for key in 0..8 {
            world.put(key, 0);
        }
        let writer = world.spawn(|world| {
            // The index has room for eight at first.
            for key in 8..12 {
                world.put(key, 0);
            }
            world.cache.reclaim();
        });
        let reader = world.spawn(|world| {
            for key in [0, 7, 3] {
                assert!(world.version(key).is_some(), "a key that stays was missed");
            }
        });
        world.end(vec![writer, reader]);
    });
}

#[test]
fn two_writers_and_a_reader_across_shards() {
    explore(|| {
        let world = World::new(3, 2);
        let writers = (0..2u64).map(|turn| {
            world.spawn(move |world| {
                for step in 0..4 {
                    let key = (turn + step) % 3;
                    drop(world.cache.upsert(key, 0, |held| match held {
                        Some(held) if held.version == 1 => Decision::Remove,
                        Some(held) => {
                            Decision::Put(Value::new(key, held.version + 1, &world.alive), Options::default())
                        }
                        None => Decision::Put(Value::new(key, 0, &world.alive), Options::default()),
                    }));
                    assert!(world.cache.weight() <= 3);
                }
                world.cache.reclaim();
            })
        });
        let mut threads: Vec<_> = writers.collect();
        threads.push(world.spawn(|world| {
            for key in 0..3 {
                world.version(key);
            }
            world.cache.retain(0, |key, value| {
                assert_eq!(value.key, *key);
                *key != 1
            });
            world.cache.coldest(2, 0, |key, value, _| linger(value, *key));
        }));
        world.end(threads);
    });
}

#[test]
fn clearing_under_readers_frees_memory_only_when_they_are_done() {
    explore(|| {
        let world = World::new(10, 1);
        world.put(1, 0);
        world.put(2, 0);
        let writer = world.spawn(|world| {
            world.cache.clear();
            world.put(1, 1);
            world.cache.clear();
        });
        let reader = world.spawn(|world| {
            world.version(1);
            // A read within a read.
            world.cache.get_with(&2, 0, |value| {
                world.version(1);
                linger(value, 2);
            });
        });
        world.end(vec![writer, reader]);
    });
}

#[test]
fn one_maker_at_a_time() {
    explore(|| {
        let cache: Arc<Memory<u64, u64>> =
            Arc::new(Memory::with_hasher(Config::entries(4).shards(1), RandomHash::seeded(1)));
        let made = Arc::new(AtomicI64::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (cache, made) = (cache.clone(), made.clone());
                thread::spawn(move || {
                    let got = cache.get_or_insert_with(1, 0, || {
                        made.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                        (5, Options::default())
                    });
                    assert_eq!(got.value, 5);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(made.load(Ordering::Relaxed), 1);
    });
}
