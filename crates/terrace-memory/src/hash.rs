//! What keys are hashed with: foldhash by default, and others to choose from, behind types of our own.
//!
//! Decision: no third-party type appears in a public signature, so that the hash function can be exchanged
//! without breaking anybody. The key of [`RandomHash::new`] differs for each engine, which keeps two engines
//! from sharing an unlucky order of keys.

#[cfg(feature = "ahash")]
mod ahash;
#[cfg(feature = "blake3")]
mod blake3;
#[cfg(feature = "fxhash")]
mod fxhash;
mod siphash;

use std::hash::BuildHasher;

use foldhash::SharedSeed;
use foldhash::fast::{FoldHasher, SeedableRandomState};

#[cfg(feature = "ahash")]
pub use self::ahash::{AHash, AHasher};
#[cfg(feature = "blake3")]
pub use self::blake3::{Blake3, Blake3Hasher};
#[cfg(feature = "fxhash")]
pub use self::fxhash::{FxHash, FxHasher};
pub use self::siphash::{SipHash, SipHasher};

/// A hasher that is another one with a name of its own. Forwards the integer writes too, because the defaults of
/// `Hasher` would turn each into a byte slice.
macro_rules! hasher {
    ($hasher:ident, $finish:expr) => {
        impl std::hash::Hasher for $hasher {
            #[inline]
            fn write(&mut self, bytes: &[u8]) {
                self.0.write(bytes);
            }

            $crate::hash::forward! {
                write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64, write_u128: u128, write_usize: usize
            }

            #[inline]
            fn finish(&self) -> u64 {
                $finish(self.0.finish())
            }
        }

        impl std::fmt::Debug for $hasher {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                // The state would reveal the key.
                f.write_str(stringify!($hasher))
            }
        }
    };
}
use hasher;

macro_rules! forward {
    ($($write:ident: $int:ty),*) => {
        $(#[inline]
        fn $write(&mut self, value: $int) {
            self.0.$write(value);
        })*
    };
}
use forward;

/// Builds the hashers of one engine, keyed at random by default.
///
/// It is fast and keyed, but not made to withstand an attacker who can measure the process for long; give the
/// engine a SipHash or a hash of equal strength where strangers choose the keys and that matters.
#[derive(Clone, Debug)]
pub struct RandomHash(SeedableRandomState);

impl RandomHash {
    /// A hash with a fresh random key.
    pub fn new() -> Self {
        RandomHash(SeedableRandomState::random())
    }

    /// A hash whose key is `seed`: the same in every process, for replays and tests that must repeat exactly.
    pub fn seeded(seed: u64) -> Self {
        RandomHash(SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()))
    }
}

impl Default for RandomHash {
    fn default() -> Self {
        Self::new()
    }
}

impl BuildHasher for RandomHash {
    type Hasher = RandomHasher;

    #[inline]
    fn build_hasher(&self) -> RandomHasher {
        RandomHasher(self.0.build_hasher())
    }
}

/// The hasher that [`RandomHash`] builds.
#[derive(Clone)]
pub struct RandomHasher(FoldHasher<'static>);

hasher!(RandomHasher, std::convert::identity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_hashes_alike_and_random_keys_differ() {
        let text = "a key";
        assert_eq!(RandomHash::seeded(7).hash_one(text), RandomHash::seeded(7).hash_one(text));
        assert_ne!(RandomHash::seeded(7).hash_one(text), RandomHash::seeded(8).hash_one(text));
        assert_ne!(RandomHash::new().hash_one(text), RandomHash::new().hash_one(text));
    }
}
