//! Keys and values of the measurements.
//!
//! Decision: every value is told by one word, so that all answers can be checked by their sum, whatever their type.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A key of a measurement, and the word of the value that belongs to it.
pub(super) trait Keyed: Copy + Send + Sync {
    fn value(self) -> u64;
}

impl Keyed for u64 {
    fn value(self) -> u64 {
        self.rotate_left(17)
    }
}

impl Keyed for &str {
    fn value(self) -> u64 {
        // What tells the names apart stands in these bytes.
        self.as_bytes().get(13..21).and_then(|part| part.first_chunk().copied()).map_or(0, u64::from_le_bytes)
    }
}

/// A value that a word makes, and that tells it.
pub(super) trait Valued: Clone + Send + Sync + 'static {
    fn of(word: u64) -> Self;
    fn word(&self) -> u64;
}

impl Valued for u64 {
    #[inline]
    fn of(word: u64) -> Self {
        word
    }

    #[inline]
    fn word(&self) -> u64 {
        *self
    }
}

/// 128 bytes that are shared, not copied.
pub(super) type Shared = Arc<Bytes>;

/// 128 bytes.
pub(super) struct Bytes([u8; 128]);

impl Valued for Shared {
    fn of(word: u64) -> Self {
        let mut bytes = [0; 128];
        bytes[..8].copy_from_slice(&word.to_le_bytes());
        Arc::new(Bytes(bytes))
    }

    #[inline]
    fn word(&self) -> u64 {
        self.0.first_chunk().copied().map_or(0, u64::from_le_bytes)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        bytes.try_into().map(Bytes).map_err(|_| serde::de::Error::custom("not 128 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_tell_their_word_and_keys_have_words_of_their_own() {
        assert_eq!((u64::of(7).word(), Shared::of(u64::MAX - 3).word()), (7, u64::MAX - 3));
        assert_ne!("user:00000000000000a1:profile:v1".value(), "user:00000000000000a2:profile:v1".value());
    }
}
