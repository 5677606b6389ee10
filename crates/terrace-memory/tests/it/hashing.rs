//! The hasher is the caller's choice: a strong one, a fast fixed one, a poor one.

use std::cell::Cell;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use terrace_memory::eviction::Adaptive;
use terrace_memory::{Config, Memory, Options, RandomHash, SipHash};

/// A hasher of the user's own: a multiplication and a rotation a word, and a last step that mixes what the engine
/// takes its bits from, because shard and place come from different halves.
#[derive(Default)]
struct Own(u64);

impl Hasher for Own {
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
    works_with(SipHash::new(), 8000);
    works_with(RandomState::new(), 8000);
    works_with(BuildHasherDefault::<Own>::default(), 8000);
    works_with(foldhash::quality::RandomState::default(), 8000);
    #[cfg(feature = "ahash")]
    works_with(terrace_memory::AHash::new(), 8000);
    #[cfg(feature = "fxhash")]
    works_with(terrace_memory::FxHash, 8000);
    #[cfg(feature = "blake3")]
    works_with(terrace_memory::Blake3::new(), 8000);
}

#[test]
fn a_hasher_that_tells_nothing_apart_costs_time_and_no_answer() {
    works_with(BuildHasherDefault::<Nothing>::default(), 300);
}

/// One in sixteen shards, a thousand places, a hundred and twenty-eight tags: each bit that the engine looks at
/// parts the keys evenly, for the keys that programs use.
fn spreads<S: BuildHasher>(hasher: &S) {
    let strides: [u64; 4] = [1, 64, 4096, 1 << 32];
    for stride in strides {
        let mut ones = [0u32; 64];
        for key in 0..8192u64 {
            let hash = hasher.hash_one(key.wrapping_mul(stride));
            (0..64).for_each(|bit| ones[bit] += (hash >> bit & 1) as u32);
        }
        for bit in (0..32).chain(40..50) {
            let even = ones[bit].abs_diff(4096) < 4096 / 2;
            assert!(even, "stride {stride}, bit {bit}: {} of 8192", ones[bit]);
        }
    }
}

#[test]
fn regular_keys_are_spread_over_shards_and_places() {
    spreads(&RandomHash::new());
    spreads(&SipHash::new());
    #[cfg(feature = "ahash")]
    spreads(&terrace_memory::AHash::new());
    #[cfg(feature = "fxhash")]
    spreads(&terrace_memory::FxHash);
    #[cfg(feature = "blake3")]
    spreads(&terrace_memory::Blake3::new());
}

#[test]
fn a_given_key_repeats_a_random_one_does_not_and_none_is_told() {
    let differ = |one: u64, other: u64| assert_ne!(one, other);
    differ(SipHash::new().hash_one("k"), SipHash::new().hash_one("k"));
    assert_eq!(format!("{:?}", SipHash::new().build_hasher()), "SipHasher");
    #[cfg(feature = "ahash")]
    {
        use terrace_memory::AHash;
        differ(AHash::new().hash_one("k"), AHash::new().hash_one("k"));
        differ(AHash::seeded(1).hash_one("k"), AHash::seeded(2).hash_one("k"));
        assert_eq!(AHash::seeded(1).hash_one("k"), AHash::seeded(1).hash_one("k"));
        assert_eq!(format!("{:?}", AHash::seeded(1)), "AHash");
    }
    #[cfg(feature = "blake3")]
    {
        use terrace_memory::Blake3;
        differ(Blake3::new().hash_one("k"), Blake3::new().hash_one("k"));
        differ(Blake3::keyed([1; 32]).hash_one("k"), Blake3::keyed([2; 32]).hash_one("k"));
        assert_eq!(Blake3::keyed([1; 32]).hash_one("k"), Blake3::keyed([1; 32]).hash_one("k"));
        assert_eq!(format!("{:?}", Blake3::keyed([1; 32])), "Blake3");
    }
}

thread_local! {
    static COMPARISONS: Cell<u64> = const { Cell::new(0) };
}

/// A key that counts how often it is compared: what a flood costs, told without a clock.
#[derive(Clone, Copy, Debug)]
struct Counted(u64, u64);

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0, self.1).hash(state);
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        COMPARISONS.set(COMPARISONS.get() + 1);
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Counted {}

/// Keys of two words that a chain of `(state + word) * K`, or of `(rotated state ^ word) * K`, without a key of its
/// own takes for one: what is wrong in the first word is put right by the second.
fn crafted(keys: u64) -> impl Iterator<Item = Counted> {
    const K: u64 = 0xf135_7aea_2e62_a9c5;
    (0..keys).map(|key| Counted(key, 0u64.wrapping_sub(key.wrapping_mul(K))))
}

/// Comparisons for each of these keys, stored and asked for once.
fn comparisons<S: BuildHasher>(hasher: S, keys: impl ExactSizeIterator<Item = Counted> + Clone) -> f64 {
    let cache: Memory<Counted, u64, Adaptive, S> =
        Memory::with_hasher(Config::entries(1 << 20).shards(16), hasher);
    COMPARISONS.set(0);
    for key in keys.clone() {
        assert!(cache.insert(key, key.0, Options::default(), 0).stored);
    }
    for key in keys.clone() {
        assert_eq!(cache.get(&key, 0), Some(key.0));
    }
    COMPARISONS.get() as f64 / keys.len() as f64
}

/// A hundred thousand of them, against one comparison for the hit and now and then one for an equal tag.
#[test]
fn a_flood_of_crafted_keys_meets_a_hash_whose_key_it_does_not_know() {
    fn withstands<S: BuildHasher>(name: &str, hasher: S) {
        let keys: Vec<Counted> = crafted(100_000).collect();
        let each = comparisons(hasher, keys.into_iter());
        assert!(each < 1.5, "{name}: {each} comparisons a key");
    }
    withstands("foldhash, the default", RandomHash::new());
    withstands("SipHash", SipHash::new());
    #[cfg(feature = "ahash")]
    withstands("AHash", terrace_memory::AHash::new());
    #[cfg(feature = "blake3")]
    withstands("BLAKE3", terrace_memory::Blake3::new());
}

#[cfg(feature = "fxhash")]
#[test]
fn a_hash_without_a_key_pays_for_crafted_keys_with_time_alone() {
    let keys: Vec<Counted> = crafted(1000).collect();
    assert!(
        comparisons(terrace_memory::FxHash, keys.into_iter()) > 100.0,
        "the keys are not the ones to fear"
    );
    let harmless: Vec<Counted> = (0..100_000).map(|key| Counted(key, key)).collect();
    assert!(comparisons(terrace_memory::FxHash, harmless.into_iter()) < 1.5);
}
