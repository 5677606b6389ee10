//! Values and capacities at the ends of their range, and expiry.

use terrace_memory::Cause;
use terrace_memory::warm::{Attributes, Config, Warm};

use super::json::{Chance, order};

fn noise(len: usize) -> Vec<u8> {
    let mut chance = Chance(len as u64);
    (0..len).map(|_| chance.next() as u8).collect()
}

#[test]
fn values_of_every_length_come_back_whole() {
    let warm = Warm::new(Config::bytes(64 << 20).shards(1));
    let block = 1 << 20;
    let lengths = [0, 1, 2, 23, 24, 100, 511, 512, 4096, block / 4, block - 1, block, block + 1, 5 * block];
    for len in lengths {
        for value in [noise(len), vec![b'x'; len]] {
            let key = len.to_le_bytes();
            assert!(warm.insert(&key, &value, Attributes::default(), 0).stored, "{len}");
            let mut out = Vec::new();
            let found = warm.get(&key, 0, &mut out).unwrap();
            assert!(found.len == len && out == value, "{len}");
            assert!(warm.weight() <= warm.capacity());
        }
    }
    assert_eq!(warm.len(), lengths.len());
}

#[test]
fn a_value_that_does_not_fit_is_refused_and_the_older_one_is_gone() {
    let warm = Warm::new(Config::bytes(1 << 20).shards(1).max_value(3 << 20));
    for too_long in [noise(2 << 20), vec![0; (3 << 20) + 1]] {
        assert!(warm.insert(b"k", b"old", Attributes::default(), 0).stored);
        let done = warm.insert(b"k", &too_long, Attributes::default(), 0);
        assert!(!done.stored && !warm.contains(b"k", 0));
        assert_eq!(done.refused, Some(Cause::TooHeavy));
    }
    assert!(
        warm.insert(b"k", &vec![0; 3 << 20], Attributes::default(), 0).stored,
        "zeros are short when encoded"
    );
    assert_eq!(warm.stats().refused, 2);
}

#[test]
fn an_engine_without_memory_stores_nothing() {
    for capacity in [0, 1, 100, 300] {
        let warm = Warm::new(Config::bytes(capacity));
        for number in 0..100_u64 {
            let done = warm.insert(&number.to_le_bytes(), &order(number), Attributes::default(), 0);
            assert!(!done.stored && done.evicted.is_empty());
        }
        assert!(warm.is_empty() && warm.weight() <= capacity);
        assert_eq!(warm.get(&[0; 8], 0, &mut Vec::new()), None);
        assert!(warm.advance(u64::MAX).is_empty() && warm.set_capacity(0, 0).is_empty());
    }
}

#[test]
fn keys_and_attachments_may_be_long_or_empty() {
    let warm = Warm::new(Config::bytes(8 << 20).shards(1));
    let (key, attached) = (noise(100_000), noise(70_000));
    let attributes = Attributes { attached: &attached, version: u64::MAX, expires_at: Some(u64::MAX) };
    assert!(warm.insert(&key, b"", attributes, 0).stored);
    assert!(warm.insert(b"", b"of the empty key", Attributes::default(), 0).stored);
    let mut out = Vec::new();
    let found = warm.get(&key, u64::MAX - 1, &mut out).unwrap();
    assert_eq!((found.len, found.attached_len, found.version), (0, 70_000, u64::MAX));
    assert_eq!(out, attached);
    out.clear();
    assert!(warm.get(b"", 0, &mut out).is_some() && out == b"of the empty key");
}

#[test]
fn the_dead_are_never_served_and_give_their_memory_back() {
    let warm = Warm::new(Config::bytes(8 << 20).shards(2));
    for number in 0..4000_u64 {
        let attributes = Attributes { expires_at: Some(1000 + number), ..Attributes::default() };
        assert!(warm.insert(&number.to_le_bytes(), &order(number), attributes, 0).stored);
    }
    let full = warm.weight();
    assert!(warm.advance(999).is_empty());
    for now in [1000, 2999, 4998] {
        for number in 0..4000_u64 {
            assert_eq!(warm.contains(&number.to_le_bytes(), now), 1000 + number > now);
        }
    }
    // A clock that jumps: what is due within a quarter of the rest may wait, the last one ends it all.
    let mut gone = 0;
    for now in (1000..5000).step_by(10) {
        let evicted = warm.advance(now);
        assert!(evicted.iter().all(|gone| gone.cause() == Cause::Expired && gone.expires_at() <= Some(now)));
        gone += evicted.len();
        let dead = (now - 999) as usize;
        assert!(gone <= dead && gone * 5 + 1000 >= dead * 3, "{gone} of {dead} were removed");
    }
    gone += warm.advance(5000).len();
    assert_eq!((gone, warm.len()), (4000, 0));
    assert!(warm.weight() < full / 4, "{} of {full}", warm.weight());
    let dead = Attributes { expires_at: Some(5000), ..Attributes::default() };
    let done = warm.insert(b"k", b"dead on arrival", dead, 5000);
    assert_eq!((done.stored, done.refused), (false, Some(Cause::Expired)));
}

#[test]
fn a_much_smaller_capacity_keeps_what_fits_and_tells_what_left() {
    let warm = Warm::new(Config::bytes(16 << 20).shards(1));
    for number in 0..20_000_u64 {
        assert!(warm.insert(&number.to_le_bytes(), &order(number)[..300], Attributes::default(), 0).stored);
    }
    let mut left = 0;
    for capacity in [4 << 20, 1 << 20, 100_000, 400] {
        left += warm.set_capacity(capacity, 0).len();
        assert!(warm.weight() <= capacity);
        assert_eq!(warm.len() + left, 20_000);
        // A block keeps the length it was made with: 256 KiB here.
        assert!(capacity < 1 << 20 || warm.weight() > capacity * 3 / 4, "{} of {capacity}", warm.weight());
    }
    assert!(warm.is_empty());
    let _ = warm.set_capacity(16 << 20, 0);
    assert!(warm.insert(b"k", b"again", Attributes::default(), 0).stored);
}
