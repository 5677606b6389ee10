//! The filters that are compared, each called as it is meant to be.
//!
//! Decision: each gets as many bits for a key, and is as it comes otherwise. Those that cannot be written by two threads at
//! once stand behind a lock where two write, which is how they have to be used there.

use fastbloom::{AtomicBloomFilter, BloomFilter};
use parking_lot::RwLock;
use terrace_layers::bloom::Filter;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bits for each key.
pub(super) const BITS: f64 = 10.5;

/// A key, of 24 bytes.
pub(super) type Name = [u8; 24];

/// A filter for one thread.
pub(super) trait Set<T> {
    /// For so many keys.
    fn of(keys: usize) -> Self;
    fn insert(&mut self, item: &T);
    fn contains(&self, item: &T) -> bool;
    /// The bits it takes.
    fn bits(&self) -> u64;
}

/// A filter that threads write and ask at once.
pub(super) trait Shared<T>: Sync {
    /// For so many keys.
    fn of(keys: usize) -> Self;
    fn insert(&self, item: &T);
    fn contains(&self, item: &T) -> bool;
}

/// What filters that take hashes are given.
pub(super) trait Hashed {
    fn hashed(&self) -> u64;
}

impl Hashed for u64 {
    #[inline]
    fn hashed(&self) -> u64 {
        *self
    }
}

/// As the layer hashes it.
impl Hashed for Name {
    #[inline]
    fn hashed(&self) -> u64 {
        xxh3_64_with_seed(self, 0x7465_7272_6163_6500)
    }
}

impl<T: Hashed> Set<T> for Filter {
    fn of(keys: usize) -> Self {
        Filter::new(keys as u64, BITS)
    }

    #[inline]
    fn insert(&mut self, item: &T) {
        Filter::insert(self, item.hashed());
    }

    #[inline]
    fn contains(&self, item: &T) -> bool {
        Filter::contains(self, item.hashed())
    }

    fn bits(&self) -> u64 {
        self.bytes() * 8
    }
}

impl<T: Hashed> Shared<T> for Filter {
    fn of(keys: usize) -> Self {
        Filter::new(keys as u64, BITS)
    }

    #[inline]
    fn insert(&self, item: &T) {
        Filter::insert(self, item.hashed());
    }

    #[inline]
    fn contains(&self, item: &T) -> bool {
        Filter::contains(self, item.hashed())
    }
}

/// Nothing but the hash.
pub(super) struct HashAlone;

impl<T: Hashed> Set<T> for HashAlone {
    fn of(_keys: usize) -> Self {
        Self
    }

    #[inline]
    fn insert(&mut self, item: &T) {
        std::hint::black_box(item.hashed());
    }

    #[inline]
    fn contains(&self, item: &T) -> bool {
        // Never zero, but the compiler does not know.
        item.hashed() != 0
    }

    fn bits(&self) -> u64 {
        0
    }
}

/// Split blocks of 256 bits, by vector instructions that are looked for at run time.
impl<T: Hashed> Set<T> for sbbf_rs_safe::Filter {
    fn of(keys: usize) -> Self {
        // It takes whole bits for a key: twice as many, for half of the keys.
        Self::new((2.0 * BITS) as usize, keys / 2)
    }

    #[inline]
    fn insert(&mut self, item: &T) {
        self.insert_hash(item.hashed());
    }

    #[inline]
    fn contains(&self, item: &T) -> bool {
        self.contains_hash(item.hashed())
    }

    fn bits(&self) -> u64 {
        self.as_bytes().len() as u64 * 8
    }
}

fn bits_of(keys: usize) -> usize {
    (keys as f64 * BITS) as usize
}

impl Set<u64> for BloomFilter {
    fn of(keys: usize) -> Self {
        Self::with_num_bits(bits_of(keys)).expected_items(keys)
    }

    #[inline]
    fn insert(&mut self, item: &u64) {
        self.insert_hash(*item);
    }

    #[inline]
    fn contains(&self, item: &u64) -> bool {
        self.contains_hash(*item)
    }

    fn bits(&self) -> u64 {
        self.num_bits() as u64
    }
}

/// With its own hash.
impl Set<Name> for BloomFilter {
    fn of(keys: usize) -> Self {
        Self::with_num_bits(bits_of(keys)).expected_items(keys)
    }

    #[inline]
    fn insert(&mut self, item: &Name) {
        BloomFilter::insert(self, item);
    }

    #[inline]
    fn contains(&self, item: &Name) -> bool {
        BloomFilter::contains(self, item)
    }

    fn bits(&self) -> u64 {
        self.num_bits() as u64
    }
}

impl Shared<u64> for AtomicBloomFilter {
    fn of(keys: usize) -> Self {
        Self::with_num_bits(bits_of(keys)).expected_items(keys)
    }

    #[inline]
    fn insert(&self, item: &u64) {
        self.insert_hash(*item);
    }

    #[inline]
    fn contains(&self, item: &u64) -> bool {
        self.contains_hash(*item)
    }
}

/// With its own hash.
impl<T: std::hash::Hash> Set<T> for Option<bloomfilter::Bloom<T>> {
    fn of(keys: usize) -> Self {
        bloomfilter::Bloom::new(bits_of(keys).div_ceil(8), keys).ok()
    }

    #[inline]
    fn insert(&mut self, item: &T) {
        if let Some(filter) = self {
            filter.set(item);
        }
    }

    #[inline]
    fn contains(&self, item: &T) -> bool {
        self.as_ref().is_some_and(|filter| filter.check(item))
    }

    fn bits(&self) -> u64 {
        self.as_ref().map_or(0, bloomfilter::Bloom::len)
    }
}

impl<T, S: Set<T> + Send + Sync> Shared<T> for RwLock<S> {
    fn of(keys: usize) -> Self {
        Self::new(S::of(keys))
    }

    #[inline]
    fn insert(&self, item: &T) {
        self.write().insert(item);
    }

    #[inline]
    fn contains(&self, item: &T) -> bool {
        self.read().contains(item)
    }
}
