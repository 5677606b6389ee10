//! The hasher is the caller's choice: a strong one, a fast fixed one, a poor one.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use terrace_memory::eviction::Adaptive;
use terrace_memory::{Config, Memory, Options, RandomHash};

/// A multiplication and a rotation a word, as in FxHash, with a last step that mixes what the engine takes its
/// bits from: shard and place come from different halves.
#[derive(Default)]
struct Fx(u64);

impl Hasher for Fx {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn finish(&self) -> u64 {
        (self.0 ^ self.0 >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Everything in one place.
#[derive(Default)]
struct Nothing;

impl Hasher for Nothing {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0
    }
}

fn works_with<S: BuildHasher>(hasher: S, keys: u64) {
    let cache: Memory<String, u64, Adaptive, S> =
        Memory::with_hasher(Config::entries(keys / 2).shards(4), hasher);
    for key in 0..keys {
        assert!(cache.insert(key.to_string(), key, Options::default(), 0).stored);
        assert_eq!(cache.get(key.to_string().as_str(), 0), Some(key));
    }
    assert_eq!(cache.len() as u64, keys / 2);
    for key in 0..keys {
        assert!(cache.get(key.to_string().as_str(), 0).is_none_or(|value| value == key));
    }
    let removed = (0..keys).filter(|key| cache.remove(key.to_string().as_str(), 0).is_some()).count();
    assert_eq!((removed as u64, cache.len()), (keys / 2, 0));
    cache.check().unwrap();
}

#[test]
fn any_hasher_may_be_plugged_in() {
    works_with(RandomHash::new(), 8000);
    // SipHash with a random key, for keys that strangers choose.
    works_with(RandomState::new(), 8000);
    works_with(BuildHasherDefault::<Fx>::default(), 8000);
    works_with(foldhash::quality::RandomState::default(), 8000);
}

#[test]
fn a_hasher_that_tells_nothing_apart_costs_time_and_no_answer() {
    works_with(BuildHasherDefault::<Nothing>::default(), 300);
}
