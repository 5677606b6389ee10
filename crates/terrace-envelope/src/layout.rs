//! The constants of the drawing in `docs/envelope.md`: what stands at which place, and which hash.
//!
//! The drawing is the specification and this file only names its numbers, so a change here without a new
//! format version is a defect; the fixture test exists to catch it.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{Error, Result};

/// The first four bytes. The first is not ASCII, so that no text file passes for an envelope.
pub(crate) const MAGIC: [u8; 4] = [0x89, b'T', b'R', b'C'];

/// The format that this release writes, and the newest that it reads.
pub const FORMAT_VERSION: u8 = 1;

/// Bytes that every envelope begins with: magic, format, flags, codec, type fingerprint, version, creation.
pub(crate) const FIXED_LEN: usize = 32;

/// Bytes from the start of an envelope that are always enough for [`peek`](crate::peek).
pub const PEEK_LEN: usize = FIXED_LEN + 8;

/// Bytes of the checksum that ends every envelope.
pub(crate) const CHECKSUM_LEN: usize = 8;

/// Bytes of the shortest envelope: the fixed start, key hash, payload length and checksum; no payload.
pub const MIN_LEN: usize = FIXED_LEN + 8 + 4 + CHECKSUM_LEN;

/// The most tags that one entry may carry.
pub const MAX_TAGS: usize = 16;

/// The most metadata pairs that one entry may carry.
pub const MAX_METADATA: usize = u8::MAX as usize;

/// The most bytes of one tag, of the content type, of one metadata name and of one metadata value.
pub const MAX_STRING: usize = u16::MAX as usize;

/// The bits of the flags field. A section is present exactly when its bit is set.
pub(crate) mod flag {
    pub(crate) const TOMBSTONE: u16 = 1 << 0;
    pub(crate) const EXPIRES: u16 = 1 << 1;
    pub(crate) const FRESH_UNTIL: u16 = 1 << 2;
    pub(crate) const IDLE: u16 = 1 << 3;
    pub(crate) const WEIGHT: u16 = 1 << 4;
    pub(crate) const STAMP: u16 = 1 << 5;
    pub(crate) const TAGS: u16 = 1 << 6;
    pub(crate) const CONTENT_TYPE: u16 = 1 << 7;
    pub(crate) const METADATA: u16 = 1 << 8;
    pub(crate) const COMPRESSED: u16 = 1 << 9;
    pub(crate) const ENCRYPTED: u16 = 1 << 10;

    /// Every bit that format 1 gives a meaning to.
    pub(crate) const KNOWN: u16 = (1 << 11) - 1;
}

/// Makes the hash of a key differ from the hash of the same bytes elsewhere. Part of the format: fixed for
/// ever.
const KEY_SEED: u64 = 0x5445_5252_4143_4501;

/// The hash of a key as an envelope stores it: XXH3-64 with the format's fixed seed.
///
/// It guards against an entry that lies under the wrong key; it does not replace comparing keys, because
/// whoever chooses keys can construct two with the same hash.
#[must_use]
pub fn key_hash(key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, KEY_SEED)
}

/// The checksum of everything that stands before it.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Splits an envelope into what the checksum covers and the checksum, and compares the two.
///
/// Magic and format are looked at first: in another format the checksum may be elsewhere.
pub(crate) fn verify(bytes: &[u8]) -> Result<&[u8]> {
    check_format(bytes)?;
    if bytes.len() < MIN_LEN {
        return Err(Error::Truncated);
    }
    let (covered, stored) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(Error::Truncated)?;
    if checksum(covered) == u64::from_le_bytes(*stored) { Ok(covered) } else { Err(Error::Checksum) }
}

/// Refuses what is not an envelope, and what is one of a format that this release does not read.
pub(crate) fn check_format(bytes: &[u8]) -> Result<()> {
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(if MAGIC.starts_with(bytes) { Error::Truncated } else { Error::BadMagic });
    };
    if *magic != MAGIC {
        return Err(Error::BadMagic);
    }
    match rest.first() {
        None => Err(Error::Truncated),
        Some(&FORMAT_VERSION) => Ok(()),
        Some(&other) => Err(Error::UnsupportedVersion(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_hash_is_part_of_the_format_and_never_changes() {
        assert_eq!(key_hash(b"user:1"), 0xbf10_0d8f_5870_e302, "recorded when format 1 was made");
        assert_ne!(key_hash(b"user:1"), checksum(b"user:1"), "seeded apart from the checksum");
    }

    #[test]
    fn the_hash_is_the_published_xxh3() {
        // From the sanity checks of the reference implementation: no input, seed 0 and seed PRIME64.
        assert_eq!(checksum(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(xxh3_64_with_seed(b"", 0x9e37_79b1_85eb_ca8d), 0xa8a6_b918_b2f0_364a);
    }

    #[test]
    fn the_shortest_header_stays_below_sixty_bytes() {
        const { assert!(MIN_LEN < 60) };
        assert_eq!(MIN_LEN, 52);
    }

    #[test]
    fn a_short_beginning_is_truncated_and_a_foreign_one_is_no_envelope() {
        assert_eq!(check_format(b""), Err(Error::Truncated));
        assert_eq!(check_format(&MAGIC[..3]), Err(Error::Truncated));
        assert_eq!(check_format(&MAGIC), Err(Error::Truncated));
        assert_eq!(check_format(b"T"), Err(Error::BadMagic));
        assert_eq!(check_format(b"hello, world"), Err(Error::BadMagic));
    }
}
