//! The ends of the scale, under every policy: room for nothing, for one, entries without weight and beyond all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use terrace_memory::eviction::Policy;
use terrace_memory::{Cause, Config, Memory, Options, Priority};

use crate::random::Random;

fn unit<P: Policy>(capacity: u64, shards: usize) -> Memory<u64, u64, P> {
    Memory::with_policy(Config::entries(capacity).shards(shards))
}

fn holds_the_ends_of_the_scale<P: Policy>() {
    for shards in [1, 4] {
        let nothing = unit::<P>(0, shards);
        for key in 0..100 {
            let done = nothing.insert(key, key, Options::default(), 0);
            assert_eq!((done.stored, done.evicted.len(), done.evicted[0].cause), (false, 1, Cause::TooHeavy));
            assert_eq!(nothing.get(&key, 0), None);
        }
        // What weighs nothing has room there, and there is no end to it.
        for key in 0..1000 {
            assert!(nothing.insert(key, key, Options::weighing(0), 0).stored, "{}", P::NAME);
        }
        assert_eq!((nothing.len(), nothing.weight()), (1000, 0));
        nothing.check().unwrap();

        let one = unit::<P>(1, shards);
        for key in 0..1000 {
            let done = one.insert(key, key, Options::default(), 0);
            assert!(done.stored, "{}", P::NAME);
            assert_eq!(
                done.evicted.iter().map(|gone| gone.key).collect::<Vec<_>>(),
                key.checked_sub(1).into_iter().collect::<Vec<_>>()
            );
            assert_eq!((one.get(&key, 0), one.len(), one.weight()), (Some(key), 1, 1));
        }
        one.check().unwrap();

        let some = unit::<P>(100, shards);
        for key in 0..300u64 {
            let weight = [0, 1, 100, 101, u64::MAX][key as usize % 5];
            let done = some.insert(key, key, Options::weighing(weight), 0);
            assert_eq!(done.stored, weight <= 100, "{}", P::NAME);
            assert!(some.weight() <= 100);
        }
        some.check().unwrap();
        // What never weighed anything makes no room, so all of it may have to leave for something that does.
        assert!(some.insert(1000, 0, Options::weighing(100), 0).stored, "{}", P::NAME);
        assert_eq!(some.weight(), 100);
    }
}

crate::policies::with_every_policy!(holds_the_ends_of_the_scale);

/// Counts the weight of all values that are anywhere.
struct Alive<'a>(u64, &'a AtomicU64);

impl<'a> Alive<'a> {
    fn new(weight: u64, alive: &'a AtomicU64) -> Self {
        alive.fetch_add(weight, Ordering::SeqCst);
        Alive(weight, alive)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0, Ordering::SeqCst);
    }
}

/// The engine's books apart, by the values themselves: what is alive is reachable, retired, or in a call's hands.
#[test]
fn what_is_alive_is_never_more_than_capacity_the_retired_and_what_calls_hold() {
    const CAPACITY: u64 = 1 << 20;
    const HEAVIEST: u64 = 4096;
    let alive = AtomicU64::new(0);
    let (begun, ended, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let config = Config { capacity: CAPACITY, shards: Some(8), entry_overhead: 0, ..Config::bytes(0) };
    let cache: Memory<u64, Alive<'_>> = Memory::new(config);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut samples = 0;
            while !done.load(Ordering::SeqCst) || samples == 0 {
                let ended = ended.load(Ordering::SeqCst);
                let retired = cache.retired_weight();
                let alive = alive.load(Ordering::SeqCst);
                let under_way = begun.load(Ordering::SeqCst) - ended;
                // Twice: what those calls hold, and what they have retired since it was asked.
                let most = CAPACITY + retired + 2 * under_way;
                assert!(alive <= most, "{alive} alive, {retired} retired, {under_way} under way");
                // Not the capacity of now, which may have become smaller since the weight was asked.
                assert!(cache.weight() <= CAPACITY);
                samples += 1;
            }
        });
        let writers: Vec<_> = (0..8u64)
            .map(|writer| {
                let (cache, alive, begun, ended) = (&cache, &alive, &begun, &ended);
                scope.spawn(move || {
                    let mut random = Random(writer + 1);
                    for turn in 0..if cfg!(debug_assertions) { 3_000 } else { 30_000 } {
                        let (key, weight) = (random.below(4096), 1 + random.below(HEAVIEST));
                        begun.fetch_add(weight + HEAVIEST, Ordering::SeqCst);
                        match turn % 500 {
                            // A call that takes more than it brings holds all of that.
                            499 if writer == 0 => {
                                begun.fetch_add(CAPACITY, Ordering::SeqCst);
                                match turn / 500 % 3 {
                                    0 => drop(cache.clear()),
                                    1 => drop(cache.retain(0, |key, _| key % 3 == 0)),
                                    _ => {
                                        drop(cache.set_capacity(CAPACITY / 2, 0));
                                        drop(cache.set_capacity(CAPACITY, 0));
                                    }
                                }
                                ended.fetch_add(CAPACITY, Ordering::SeqCst);
                            }
                            step => {
                                let priority =
                                    [Priority::Low, Priority::Normal, Priority::High][step as usize % 3];
                                let options = Options::weighing(weight).priority(priority);
                                drop(cache.insert(key, Alive::new(weight, alive), options, 0));
                            }
                        }
                        ended.fetch_add(weight + HEAVIEST, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let ends: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::SeqCst);
        watcher.join().unwrap();
        ends.into_iter().for_each(|end| end.unwrap());
    });
    cache.check().unwrap();
    cache.reclaim();
    assert_eq!(alive.load(Ordering::SeqCst), cache.weight());
}
