//! Many keys in one call: as so many calls, in a small cache and in one whose lines are asked for ahead.

use terrace_memory::eviction::{Fifo, Lru, Policy, S3Fifo};
use terrace_memory::{Config, Memory, Options};

fn answers_as_single_reads_do<P: Policy>(entries: u64) {
    let cache: Memory<u64, u64, P> = Memory::with_policy(Config::entries(2 * entries).shards(4));
    for key in 0..entries {
        let options = if key % 5 == 0 { Options::default().expires_at(100) } else { Options::default() };
        assert!(cache.insert(key, key + 7, options, 0).stored);
    }
    // Some that are there, twice, some that have expired, and some that never were.
    let keys: Vec<u64> = (0..1003).map(|place| place * 7919 % (entries + entries / 2).max(1)).collect();
    let keys: Vec<&u64> = keys.iter().chain(&keys[..10]).collect();
    for now in [0, 100] {
        let expected: Vec<Option<u64>> = keys.iter().map(|key| cache.peek(*key, now)).collect();
        let found = expected.iter().flatten().count() as u64;
        let before = cache.stats();
        let mut answers = Vec::new();
        cache.get_many_with(&keys, now, |place, value| {
            assert_eq!(place, answers.len(), "in their order");
            answers.push(value.copied());
        });
        assert_eq!(answers, expected, "{} of {entries}", P::NAME);
        let after = cache.stats();
        assert_eq!((after.hits - before.hits, after.misses - before.misses), (found, 1013 - found));
    }
    cache.get_many_with::<u64>(&[], 0, |_, _| panic!("nobody asked"));
    cache.check().unwrap();
}

#[test]
fn a_batch_answers_as_single_reads_do() {
    for entries in [0, 1, 1000, 50_000] {
        answers_as_single_reads_do::<S3Fifo>(entries);
        answers_as_single_reads_do::<Lru>(entries);
        answers_as_single_reads_do::<Fifo>(entries);
    }
}

/// What is shown may be looked at with the same engine, and may leave meanwhile.
#[test]
fn what_a_batch_shows_stays_while_it_is_shown() {
    let cache: Memory<u64, String> = Memory::new(Config::entries(100_000));
    for key in 0..40_000u64 {
        assert!(cache.insert(key, format!("value {key}"), Options::default(), 0).stored);
    }
    let keys: Vec<u64> = (0..100).collect();
    let asked: Vec<&u64> = keys.iter().collect();
    let mut shown = 0;
    cache.get_many_with(&asked, 0, |place, value| {
        let value = value.expect("it was there");
        assert!(cache.remove(&keys[place], 0).is_some());
        assert_eq!(cache.get(&keys[place], 0), None);
        cache.reclaim();
        assert_eq!(*value, format!("value {place}"));
        shown += 1;
    });
    assert_eq!((shown, cache.len()), (100, 39_900));
}
