//! FxHash, as the Rust compiler uses it: no key, a multiplication a word.
//!
//! Decision: its result goes through one more step, because the engine takes the shard from other bits than a hash
//! table takes the place from, and the middle bits of a product are poor.

use std::hash::BuildHasher;

/// Builds FxHash hashers: the least work for short keys that nobody chooses with an intent.
///
/// It has no key. Whoever can choose keys can make thousands fall into one place, and each access to them goes through
/// all of them; give keys that strangers choose another hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct FxHash;

impl BuildHasher for FxHash {
    type Hasher = FxHasher;

    #[inline]
    fn build_hasher(&self) -> FxHasher {
        FxHasher(rustc_hash::FxHasher::default())
    }
}

/// The hasher that [`FxHash`] builds.
#[derive(Clone)]
pub struct FxHasher(rustc_hash::FxHasher);

super::hasher!(FxHasher, spread);

/// Every bit of the upper half reaches the lower one, and every bit of that the upper one.
#[inline]
fn spread(hash: u64) -> u64 {
    (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
