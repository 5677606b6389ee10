//! Scans, conditions and clearing.

use std::collections::HashMap;

use terrace_memory::{Config, Memory, Options};

fn filled(entries: u64) -> Memory<u64, u64> {
    let cache: Memory<u64, u64> = Memory::new(Config::entries(1 << 20).shards(8));
    for key in 0..entries {
        assert!(cache.insert(key, key, Options::default(), 0).stored);
    }
    cache
}

#[test]
fn a_scan_meets_every_entry_that_stays_exactly_once_while_others_come_and_go() {
    let cache = filled(2000);
    let mut seen: HashMap<u64, u32> = HashMap::new();
    let (mut cursor, mut turn) = (0, 0);
    loop {
        cursor = cache.scan(cursor, 13, 0, |key, _, _| *seen.entry(*key).or_default() += 1);
        if cursor == 0 {
            break;
        }
        turn += 1;
        // Even keys stay, though their values change; odd ones go and others come.
        let _ = cache.insert(turn * 2 % 2000, turn, Options::default(), 0);
        cache.remove(&(turn * 2 % 2000 + 1), 0);
        let _ = cache.insert(10_001 + turn * 2, turn, Options::default(), 0);
    }
    for key in (0..2000).step_by(2) {
        assert_eq!(seen.get(&key), Some(&1), "key {key}");
    }
    assert!(seen.values().all(|count| *count == 1));
}

#[test]
fn each_step_of_a_scan_is_bounded_and_cursors_from_nowhere_are_harmless() {
    let cache = filled(1000);
    let mut cursor = 0;
    loop {
        let mut met = 0;
        cursor = cache.scan(cursor, 10, 0, |_, _, _| met += 1);
        assert!(met <= 10);
        if cursor == 0 {
            break;
        }
    }
    for cursor in [u64::MAX, 8 << 32, 1 << 63, u64::from(u32::MAX)] {
        cache.scan(cursor, 10, 0, |_, _, _| {});
    }
    assert_eq!(cache.keys(0).len(), 1000);
    let empty: Memory<u64, u64> = Memory::new(Config::entries(10));
    assert_eq!(empty.scan(0, 0, 0, |_, _, _| {}), 0);
}

#[test]
fn retain_removes_what_does_not_satisfy_and_what_is_dead() {
    let cache = filled(3000);
    let _ = cache.insert(6, 6, Options::default().expires_at(10), 0);
    assert_eq!(cache.retain(10, |key, _| key % 3 == 0), 2001);
    assert_eq!((cache.len(), cache.weight()), (999, 999));
    assert!(cache.keys(10).iter().all(|key| key % 3 == 0 && *key != 6));
    cache.check().unwrap();
}

#[test]
fn clear_empties_and_gives_the_memory_back() {
    let cache = filled(10_000);
    let _ = cache.insert(1, 1, Options::default().pinned().expires_at(100), 0);
    let before = cache.footprint();
    assert_eq!(cache.clear(), 10_000);
    assert_eq!((cache.len(), cache.weight(), cache.get(&1, 0)), (0, 0, None));
    let after = cache.footprint();
    assert!(after < before / 8, "{after} bytes of {before} are still held");
    assert!(cache.advance(1000, 10).is_empty());
    assert!(cache.insert(1, 2, Options::default(), 0).stored);
    cache.check().unwrap();
}
