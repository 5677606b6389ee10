//! Dictionaries: learned, used, replaced and dropped.

use terrace_memory::warm::{Attributes, Config, Trained, Warm};

use super::json::{Chance, order};

fn fill(warm: &Warm, numbers: std::ops::Range<u64>, value: impl Fn(u64) -> Vec<u8>) {
    for number in numbers {
        let _ = warm.insert(&number.to_le_bytes(), &value(number), Attributes::default(), 0);
    }
}

fn check(warm: &Warm, numbers: std::ops::Range<u64>, value: impl Fn(u64) -> Vec<u8>) -> usize {
    let mut out = Vec::new();
    let found = numbers.filter(|number| {
        out.clear();
        let found = warm.get(&number.to_le_bytes(), 0, &mut out).is_some();
        assert!(!found || out == value(*number), "{number}");
        found
    });
    found.count()
}

#[test]
fn a_dictionary_makes_small_values_much_smaller() {
    let warm = Warm::new(Config::bytes(32 << 20).shards(2));
    assert!(!warm.wants_training());
    fill(&warm, 0..4000, order);
    let before = warm.stats();
    assert!(warm.wants_training());
    let (trained, evicted) = warm.train(0);
    let Trained::Adopted { before: without, after: with } = trained else { panic!("{trained:?}") };
    assert!(with * 10 < without * 8 && evicted.is_empty(), "{with} of {without} bytes");
    assert!(!warm.wants_training());
    fill(&warm, 4000..8000, order);
    let after = warm.stats();
    let bytes = |stats: &terrace_memory::warm::Stats| stats.bytes_after;
    assert!((bytes(&after) - bytes(&before)) * 10 < bytes(&before) * 8);
    assert_eq!(check(&warm, 0..8000, order), 8000);
    assert_eq!(after.dictionaries, 1);
    assert!(after.dictionary_bytes > 0 && after.dictionary_bytes < 1 << 20);
    assert!(!warm.wants_training());
    // The same kind of values again: nothing to gain.
    assert_eq!(warm.train(0).0, Trained::NoBetter);
}

/// Values of another kind for each `kind`: the field names are made up from it.
fn record(kind: u64, number: u64) -> Vec<u8> {
    let mut names = Chance(kind);
    let mut chance = Chance(number);
    let mut value = String::new();
    for _ in 0..12 {
        value.push_str(&format!(
            "{:016x}{:08x}={:04};",
            names.next(),
            names.below(1 << 32),
            chance.below(10_000)
        ));
    }
    value.into_bytes()
}

#[test]
fn old_dictionaries_make_room_for_new_ones() {
    let warm = Warm::new(Config::bytes(16 << 20).shards(1));
    for kind in 0..12 {
        let numbers = kind * 10_000..kind * 10_000 + 8000;
        fill(&warm, numbers.clone(), |number| record(kind, number));
        let (trained, _) = warm.train(0);
        assert!(matches!(trained, Trained::Adopted { .. }), "kind {kind}: {trained:?}");
        fill(&warm, numbers, |number| record(kind, number));
        assert!(warm.weight() <= warm.capacity());
        assert!(warm.stats().dictionaries <= 7);
    }
    let found: usize =
        (0..12).map(|kind| check(&warm, kind * 10_000..kind * 10_000 + 8000, |n| record(kind, n))).sum();
    assert!(found > 8000 && found == warm.len(), "{found} of {}", warm.len());
    assert_eq!(warm.stats().damaged, 0);
}

#[test]
fn too_little_memory_or_too_few_values_are_not_trained_on() {
    let warm = Warm::new(Config::bytes(1 << 20));
    fill(&warm, 0..2000, order);
    assert_eq!(warm.train(0).0, Trained::TooLittle);
    let warm = Warm::new(Config::bytes(32 << 20));
    fill(&warm, 0..40, order);
    assert_eq!(warm.train(0).0, Trained::TooLittle);
    let _ = warm.set_capacity(1000, 0);
    assert_eq!(warm.stats().dictionary_bytes, 0);
}
