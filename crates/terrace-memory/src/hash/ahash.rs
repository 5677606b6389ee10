//! AHash: keyed, and quick where the processor has AES instructions and the build may use them.

use std::hash::BuildHasher;

use ahash::RandomState;

/// Builds AHash hashers. Keyed at random unless a seed is given; made to withstand floods of chosen keys, though not
/// proven to.
#[derive(Clone)]
pub struct AHash(RandomState);

impl AHash {
    /// With a fresh random key.
    pub fn new() -> Self {
        AHash(RandomState::new())
    }

    /// With this key: the same in every process on machines of one kind.
    pub fn seeded(seed: u64) -> Self {
        AHash(RandomState::with_seeds(seed, !seed, seed.rotate_left(32), 0x9e37_79b9_7f4a_7c15))
    }
}

impl Default for AHash {
    fn default() -> Self {
        AHash::new()
    }
}

impl std::fmt::Debug for AHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The state would reveal the key.
        f.write_str("AHash")
    }
}

impl BuildHasher for AHash {
    type Hasher = AHasher;

    #[inline]
    fn build_hasher(&self) -> AHasher {
        AHasher(self.0.build_hasher())
    }
}

/// The hasher that [`AHash`] builds.
#[derive(Clone)]
pub struct AHasher(ahash::AHasher);

super::hasher!(AHasher, std::convert::identity);
