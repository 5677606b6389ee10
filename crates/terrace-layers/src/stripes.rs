//! Hashing a key to one of a fixed number of places, the same for the life of the process.

use std::hash::{BuildHasher, RandomState};

use terrace_store::Key;

/// Places for keys.
pub(crate) struct Stripes<T> {
    hasher: RandomState,
    places: Box<[T]>,
}

impl<T: Default> Stripes<T> {
    /// So many places, a power of two.
    pub(crate) fn new(count: usize) -> Self {
        let places = (0..count.next_power_of_two()).map(|_| T::default()).collect();
        Self { hasher: RandomState::new(), places }
    }

    /// The number of the key's place.
    pub(crate) fn index(&self, key: &Key) -> usize {
        self.hasher.hash_one(key.flat()) as usize & (self.places.len() - 1)
    }

    /// The place of this number.
    pub(crate) fn at(&self, index: usize) -> &T {
        &self.places[index & (self.places.len() - 1)]
    }

    /// All places.
    #[cfg(feature = "cache")]
    pub(crate) fn all(&self) -> &[T] {
        &self.places
    }
}
