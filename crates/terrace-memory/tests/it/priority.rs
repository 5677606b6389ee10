//! Priorities, under every policy.

use terrace_memory::eviction::Policy;
use terrace_memory::{Cause, Config, Memory, Options, Priority, RandomHash};

fn of(priority: Priority) -> Options {
    Options::default().priority(priority)
}

fn unit<P: Policy>(capacity: u64) -> Memory<u64, u64, P> {
    Memory::with_hasher(Config::entries(capacity).shards(1), RandomHash::seeded(1))
}

fn fill<P: Policy>(cache: &Memory<u64, u64, P>, keys: std::ops::Range<u64>, priority: Priority) {
    for key in keys {
        assert!(cache.insert(key, key, of(priority), 0).stored);
    }
}

fn held<P: Policy>(cache: &Memory<u64, u64, P>, keys: std::ops::Range<u64>) -> usize {
    keys.filter(|key| cache.contains(key, 0)).count()
}

fn low_leaves_first_and_high_last<P: Policy>() {
    let cache = unit::<P>(100);
    fill(&cache, 0..50, Priority::High);
    fill(&cache, 100..130, Priority::Normal);
    fill(&cache, 200..220, Priority::Low);
    // Not even use saves what is worth little.
    for key in 200..220 {
        assert_eq!(cache.get(&key, 0), Some(key));
    }
    fill(&cache, 300..320, Priority::Normal);
    assert_eq!([held(&cache, 200..220), held(&cache, 0..50)], [0, 50], "{}", P::NAME);
    assert_eq!(held(&cache, 100..130) + held(&cache, 300..320), 50, "{}", P::NAME);
    for key in 400..1400 {
        let done = cache.insert(key, key, Options::default(), 0);
        assert!(done.evicted.iter().all(|gone| gone.key >= 100 && gone.cause == Cause::Capacity));
    }
    assert_eq!(held(&cache, 0..50), 50, "{}", P::NAME);
    cache.check().unwrap();
}

fn too_much_of_high_priority_leaves_by_itself<P: Policy>() {
    let cache = unit::<P>(100);
    fill(&cache, 0..100, Priority::High);
    // Used ones get another round.
    for key in (0..100).step_by(2) {
        cache.get(&key, 0);
    }
    fill(&cache, 100..125, Priority::Normal);
    assert_eq!([held(&cache, 0..100), held(&cache, 100..125)], [75, 25], "{}", P::NAME);
    fill(&cache, 125..150, Priority::Normal);
    assert_eq!([held(&cache, 0..100), held(&cache, 100..150)], [75, 25], "{}", P::NAME);
    fill(&cache, 200..300, Priority::High);
    assert_eq!(cache.weight(), 100);
    cache.check().unwrap();
}

fn a_replaced_value_has_its_own_priority<P: Policy>() {
    let cache = unit::<P>(10);
    fill(&cache, 0..10, Priority::Low);
    let told = |key| cache.peek_with(&key, 0, |_, meta| meta.priority);
    assert_eq!(told(3), Some(Priority::Low));
    assert!(cache.insert(3, 33, of(Priority::High), 0).stored);
    assert!(cache.insert(4, 44, of(Priority::Normal), 0).stored);
    assert!(cache.insert(5, 55, of(Priority::Low).pinned(), 0).stored);
    assert_eq!([told(3), told(4)], [Some(Priority::High), Some(Priority::Normal)]);
    fill(&cache, 10..17, Priority::Normal);
    assert_eq!([3, 4, 5].map(|key| cache.contains(&key, 0)), [true; 3], "{}", P::NAME);
    assert_eq!(held(&cache, 0..10), 3, "{}", P::NAME);
    // Unpinned it is what it was called.
    assert!(cache.insert(5, 56, of(Priority::Low), 0).stored);
    fill(&cache, 17..18, Priority::Normal);
    assert!(!cache.contains(&5, 0), "{}", P::NAME);
    assert!(cache.remove(&3, 0).is_some());
    cache.check().unwrap();
}

fn obeys_priorities<P: Policy>() {
    low_leaves_first_and_high_last::<P>();
    too_much_of_high_priority_leaves_by_itself::<P>();
    a_replaced_value_has_its_own_priority::<P>();
}

crate::policies::with_every_policy!(obeys_priorities);

#[test]
fn among_equals_of_low_priority_the_used_one_gets_another_round() {
    let cache: Memory<u64, u64> = Memory::new(Config::entries(4).shards(1));
    for key in 0..4 {
        assert!(cache.insert(key, key, of(Priority::Low), 0).stored);
    }
    cache.get(&0, 0);
    let gone = [4, 5].map(|key| cache.insert(key, key, Options::default(), 0).evicted[0].key);
    assert_eq!(gone, [1, 2]);
}

#[test]
fn weights_clearing_and_a_smaller_capacity_hold_for_every_priority() {
    let cache: Memory<u64, u64> = Memory::new(Config::entries(1000).shards(4));
    let priorities = [Priority::Low, Priority::Normal, Priority::High];
    for key in 0..3000u64 {
        let options =
            Options { weight: key % 5, priority: priorities[key as usize % 3], ..Options::default() };
        let _ = cache.insert(key % 700, key, options, 0);
        assert!(cache.weight() <= 1000);
    }
    cache.check().unwrap();
    let _ = cache.set_capacity(200, 0);
    assert!(cache.weight() <= 200);
    cache.check().unwrap();
    cache.clear();
    assert_eq!((cache.len(), cache.weight()), (0, 0));
    assert!(cache.insert(1, 1, of(Priority::High), 0).stored);
    cache.check().unwrap();
}
