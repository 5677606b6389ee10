//! BLAKE3 with a key: a cryptographic hash as a hash of keys.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Builds keyed BLAKE3 hashers. Nobody without the key can find two keys whose hashes share more bits than chance
/// gives; the price is about a hundred nanoseconds an access.
#[derive(Clone)]
pub struct Blake3 {
    key: [u8; 32],
}

impl Blake3 {
    /// With a fresh random key, made of what the standard library keys its maps with: 128 bits from the system.
    pub fn new() -> Self {
        let random = RandomState::new();
        let mut material = [0; 32];
        for (part, word) in material.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&random.hash_one(part).to_le_bytes());
        }
        Blake3::keyed(blake3::derive_key("terrace 2026 keys of one memory engine", &material))
    }

    /// With this key: the same everywhere.
    pub fn keyed(key: [u8; 32]) -> Self {
        Blake3 { key }
    }
}

impl Default for Blake3 {
    fn default() -> Self {
        Blake3::new()
    }
}

impl std::fmt::Debug for Blake3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The state would reveal the key.
        f.write_str("Blake3")
    }
}

impl BuildHasher for Blake3 {
    type Hasher = Blake3Hasher;

    fn build_hasher(&self) -> Blake3Hasher {
        Blake3Hasher(blake3::Hasher::new_keyed(&self.key))
    }
}

/// The hasher that [`Blake3`] builds.
#[derive(Clone)]
pub struct Blake3Hasher(blake3::Hasher);

impl Hasher for Blake3Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *self.0.finalize().as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl std::fmt::Debug for Blake3Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The state would reveal the key.
        f.write_str("Blake3Hasher")
    }
}
