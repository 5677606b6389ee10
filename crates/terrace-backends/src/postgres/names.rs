//! How keys and versions stand in the tables.

use terrace_store::{Key, Version};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// In which part of a namespace's amounts a key is counted.
pub(super) fn part(key: &Key) -> i32 {
    (xxh3_64_with_seed(key.flat(), 1) % 16) as i32
}

/// An unsigned number as the database has it: in the same order.
pub(super) fn signed(version: Version) -> i64 {
    (version.0 ^ (1 << 63)).cast_signed()
}

/// What [`signed`] made.
pub(super) fn version(signed: i64) -> Version {
    Version(signed.cast_unsigned() ^ (1 << 63))
}

/// A time or end in milliseconds; those too far for the database are as far as it goes.
pub(super) fn ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// The locks of one store, by number.
#[derive(Clone, Copy)]
pub(super) struct Locks(u64);

impl Locks {
    pub(super) fn new(schema: &str) -> Self {
        Self(xxh3_64_with_seed(schema.as_bytes(), 2))
    }

    pub(super) fn store(self) -> i64 {
        self.0.cast_signed()
    }

    pub(super) fn space(self, prefix: &[u8]) -> i64 {
        xxh3_64_with_seed(prefix, self.0 ^ 1).cast_signed()
    }

    pub(super) fn key(self, flat: &[u8]) -> i64 {
        xxh3_64_with_seed(flat, self.0 ^ 2).cast_signed()
    }

    /// Not one that is waited for: those who hold it are counted.
    pub(super) fn channel(self, channel: &[u8]) -> i64 {
        xxh3_64_with_seed(channel, self.0 ^ 3).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_keep_their_order_in_the_database() {
        let versions = [0, 1, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX].map(Version);
        assert!(versions.map(signed).is_sorted());
        assert_eq!(versions.map(signed).map(version), versions);
    }
}
