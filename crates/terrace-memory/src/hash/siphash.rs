//! SipHash 1-3, as the standard library's maps use it.

use std::hash::{BuildHasher, DefaultHasher, RandomState};

/// Builds SipHash hashers, keyed at random: a keyed function made against floods of chosen keys, with years of
/// cryptanalysis behind it. Slower than the default, most of all for short keys.
#[derive(Clone, Debug, Default)]
pub struct SipHash(RandomState);

impl SipHash {
    /// With a fresh random key.
    pub fn new() -> Self {
        SipHash::default()
    }
}

impl BuildHasher for SipHash {
    type Hasher = SipHasher;

    #[inline]
    fn build_hasher(&self) -> SipHasher {
        SipHasher(self.0.build_hasher())
    }
}

/// The hasher that [`SipHash`] builds.
#[derive(Clone)]
pub struct SipHasher(DefaultHasher);

super::hasher!(SipHasher, std::convert::identity);
