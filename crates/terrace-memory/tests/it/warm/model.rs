//! Random operations against a plain map. Nothing may leave without coming back from a call, so whatever the map
//! still has the engine must have too.

use std::collections::HashMap;

use terrace_envelope::codec::Coder;
use terrace_memory::Cause;
use terrace_memory::warm::{Attributes, Config, Evicted, Warm};

use super::json::{Chance, order};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    value: Vec<u8>,
    version: u64,
    expires_at: Option<u64>,
    attached: Vec<u8>,
}

impl Entry {
    fn lives(&self, now: u64) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }

    fn attributes(&self) -> Attributes<'_> {
        Attributes { expires_at: self.expires_at, version: self.version, attached: &self.attached }
    }
}

type Model = HashMap<Vec<u8>, Entry>;

/// What left must be what the model had, and with a true cause.
fn take(model: &mut Model, evicted: &Evicted, now: u64) {
    let mut coder = Coder::new();
    for gone in evicted.iter() {
        let entry = model.remove(gone.key()).expect("what leaves was there");
        let mut value = Vec::new();
        gone.decode(&mut coder, 1 << 30, &mut value).unwrap();
        assert_eq!(value, entry.value);
        assert_eq!((gone.version(), gone.expires_at()), (entry.version, entry.expires_at));
        assert_eq!(gone.attached(), entry.attached);
        let cause = if entry.lives(now) { Cause::Capacity } else { Cause::Expired };
        assert_eq!(gone.cause(), cause);
    }
}

fn read(warm: &Warm, key: &[u8], now: u64) -> Option<Entry> {
    let mut out = b"before".to_vec();
    let found = warm.get(key, now, &mut out)?;
    let rest = out.strip_prefix(b"before").expect("the buffer is appended to");
    let (value, attached) = rest.split_at(found.len);
    assert_eq!(attached.len(), found.attached_len);
    let (version, expires_at) = (found.version, found.expires_at);
    Some(Entry { value: value.to_vec(), version, expires_at, attached: attached.to_vec() })
}

fn random_value(chance: &mut Chance) -> Vec<u8> {
    let number = chance.next();
    match chance.below(20) {
        0 => Vec::new(),
        1 => (0..chance.below(3000)).map(|_| chance.next() as u8).collect(),
        2 => order(number).repeat(chance.below(20) as usize),
        3 => vec![7; chance.below(100_000) as usize],
        4 => order(number)[..chance.below(60) as usize].to_vec(),
        _ => order(number),
    }
}

fn replay(capacity: u64, shards: usize, seed: u64, operations: u64) {
    let warm = Warm::new(Config::bytes(capacity).shards(shards).seed(seed));
    let mut model = Model::new();
    let chance = &mut Chance(seed);
    let mut now = 1_800_000_000_000;
    for at in 0..operations {
        let key = format!("key:{}", chance.below(3000)).into_bytes();
        match chance.below(100) {
            0..45 => {
                let entry = Entry {
                    value: random_value(chance),
                    version: chance.below(3) * chance.below(1000),
                    expires_at: (chance.below(3) == 0).then(|| now + chance.below(5000)),
                    attached: if chance.below(4) == 0 { b"tag:one".to_vec() } else { Vec::new() },
                };
                let newer = chance.below(3) == 0;
                let done = match newer {
                    true => warm.insert_if_newer(&key, &entry.value, entry.attributes(), now),
                    false => warm.insert(&key, &entry.value, entry.attributes(), now),
                };
                let old = model.get(&key).filter(|old| old.lives(now)).cloned();
                let outdated = newer && old.is_some_and(|old| old.version >= entry.version);
                assert_eq!(outdated, !done.stored && done.refused.is_none());
                if !outdated {
                    model.remove(&key);
                }
                take(&mut model, &done.evicted, now);
                if done.stored {
                    model.insert(key, entry);
                } else if !outdated && entry.lives(now) {
                    assert!(capacity < 4000 || entry.value.len() > 500, "only what is too long is refused");
                }
            }
            45..85 => {
                let expected = model.get(&key).filter(|entry| entry.lives(now)).cloned();
                assert_eq!(read(&warm, &key, now), expected);
                assert_eq!(warm.contains(&key, now), expected.is_some());
            }
            85..90 => {
                let lived = model.remove(&key).is_some_and(|old| old.lives(now));
                assert_eq!(warm.remove(&key, now), lived);
            }
            90..93 => {
                let limit = chance.below(1500);
                let goes = model.get(&key).is_some_and(|old| old.version <= limit);
                let lived = goes && model.remove(&key).is_some_and(|old| old.lives(now));
                assert_eq!(warm.remove_up_to(&key, limit, now), lived);
            }
            // Frozen most of the time; then it creeps or jumps, sometimes back.
            93..96 => now += chance.below(50),
            96 => now = now + chance.below(20_000) - chance.below(5000),
            97 => take(&mut model, &warm.advance(now), now),
            98 if chance.below(20) == 0 => {
                let capacity = capacity / 2 + chance.below(capacity);
                take(&mut model, &warm.set_capacity(capacity, now), now);
                assert_eq!(warm.capacity(), capacity);
            }
            99 if chance.below(200) == 0 => {
                warm.clear();
                model.clear();
                assert_eq!((warm.len(), warm.weight() - warm.stats().dictionary_bytes), (0, 0));
            }
            99 if chance.below(20) == 0 => take(&mut model, &warm.train(now).1, now),
            _ => {}
        }
        assert!(warm.weight() <= warm.capacity(), "{} of {}", warm.weight(), warm.capacity());
        if at % 1000 == 0 {
            assert_eq!(warm.len(), model.len());
        }
    }
    for (key, entry) in &model {
        assert_eq!(read(&warm, key, now).as_ref(), Some(entry).filter(|entry| entry.lives(now)));
    }
    let mut left = model.clone();
    warm.for_each(now, |key, value, attributes| {
        let entry = left.remove(key).expect("met once, and it is there");
        assert_eq!((entry.value.as_slice(), entry.attributes()), (value, attributes));
    });
    assert!(left.values().all(|entry| !entry.lives(now)));
    assert_eq!(warm.stats().damaged, 0);
}

#[test]
fn it_agrees_with_a_map_when_everything_fits() {
    replay(400 << 20, 4, 1, 20_000);
}

#[test]
fn it_agrees_with_a_map_when_little_fits() {
    for seed in 2..6 {
        replay(300_000 * seed, 1 << (seed % 3), seed, 12_000);
    }
}

#[test]
fn it_agrees_with_a_map_when_hardly_anything_fits() {
    for (seed, capacity) in [(10, 500), (11, 3000), (12, 20_000), (13, 60_000)] {
        replay(capacity, 1, seed, 4000);
    }
}
