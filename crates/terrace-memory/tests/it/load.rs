//! Much at once: floods of keys that never come back, and values of every size from many threads.

use terrace_memory::{Config, Memory, Options};

/// Ten million with optimisation, a tenth of that without.
#[test]
fn keys_that_never_come_back_do_not_let_anything_grow() {
    let (capacity, rounds) = (50_000u64, if cfg!(debug_assertions) { 20 } else { 200 });
    let cache: Memory<u64, u64> = Memory::new(Config::entries(capacity));
    let mut footprint = 0;
    for round in 0..rounds {
        for key in round * capacity..(round + 1) * capacity {
            assert!(cache.insert(key, key, Options::default(), 0).stored);
        }
        assert!(cache.weight() <= capacity);
        // Queues, ghosts and cells have their size after a few rounds.
        if round == 8 {
            footprint = cache.footprint();
        }
    }
    assert!(cache.footprint() <= footprint + footprint / 50, "{footprint} grew to {}", cache.footprint());
    let stats = cache.stats();
    assert_eq!(stats.inserts, rounds * capacity);
    assert_eq!(stats.evicted_for_capacity, rounds * capacity - cache.len() as u64);
    cache.check().unwrap();
    let small: Memory<u64, u64> = Memory::new(Config::entries(1000));
    for key in 0..rounds * 1000 {
        assert!(small.insert(key, key, Options::default(), 0).stored);
    }
    assert!(small.footprint() < 300_000, "{}", small.footprint());
}
