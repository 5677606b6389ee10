//! Every policy inside the engine: whatever it chooses, the books balance and the weight stays within capacity.

use terrace_memory::eviction::Policy;
use terrace_memory::{Config, Memory, Options, Priority, RandomHash};

use crate::random::Random;

/// Mostly normal.
fn any_of(chance: u64) -> Priority {
    match chance {
        0 => Priority::Low,
        1 => Priority::High,
        _ => Priority::Normal,
    }
}

/// Gets, inserts of all weights, pins, removals, changes of capacity and clearing, in one shard or several.
fn keeps_books<P: Policy>(shards: usize) {
    let config = Config::entries(400).shards(shards);
    let cache: Memory<u64, u64, P> = Memory::with_hasher(config, RandomHash::seeded(3));
    let mut random = Random(0x1234_5678_9abc_def0 ^ shards as u64);
    let mut next = |bound: u64| random.below(bound);
    for turn in 0..30_000u64 {
        let key = next(40).min(next(600));
        match next(1000) {
            0 => drop(cache.set_capacity(next(600), 0)),
            1 if turn % 7 == 0 => drop(cache.clear()),
            2..30 => drop(cache.remove(&key, 0)),
            30..500 => {
                let options = Options {
                    weight: next(6),
                    pinned: next(200) == 0,
                    priority: any_of(next(30)),
                    ..Options::default()
                };
                drop(cache.insert(key, turn, options, 0));
            }
            _ => drop(cache.get(&key, 0)),
        }
        assert!(cache.weight() <= cache.capacity(), "{}", P::NAME);
        if turn % 500 == 0 {
            assert_eq!(cache.check(), Ok(()), "{}", P::NAME);
        }
    }
    assert_eq!(cache.check(), Ok(()), "{}", P::NAME);
    drop(cache.set_capacity(300, 0));
    for key in 10_000..11_000 {
        let stored = cache.insert(key, key, Options::default(), 0).stored;
        assert!(stored || !cache.is_empty(), "{} refuses everything", P::NAME);
    }
    assert!(cache.weight() > 250, "{} holds only {}", P::NAME, cache.weight());
}

fn keeps_books_in_one_shard_and_in_several<P: Policy>() {
    keeps_books::<P>(1);
    keeps_books::<P>(4);
}

crate::policies::with_every_policy!(keeps_books_in_one_shard_and_in_several);
