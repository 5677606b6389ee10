//! One file of the store: an entry, or the floor that a delete left, under its full key.
//!
//! # The name
//!
//! ```text
//! objects/ab/ab12…ef-000000000000002ae
//!         │  │       │               └ e: an entry, d: a floor
//!         │  │       └ the version, 16 hexadecimal digits
//!         │  └ BLAKE3 of the flat key, 64 hexadecimal digits
//!         └ its first two
//! ```
//!
//! No byte of a key is ever part of a path. The version in the name lets a new file stand beside the one it
//! replaces until it is safe on the disk: a power cut leaves the old or the new value, never neither.
//!
//! # The bytes
//!
//! All numbers are little-endian.
//!
//! ```text
//! offset  size  what
//!      0     4  "TRFS"
//!      4     1  format: 1
//!      5     1  kind: 0 an entry, 1 a floor
//!      6     2  zero
//!      8     4  n, the length of the flat key
//!     12     4  m, the length of the envelope; 0 for a floor
//!     16     8  version
//!     24     8  length of the value as it was put
//!     32     8  when the entry expires, wall milliseconds; 0 for never
//!     40     8  when the entry can first stop existing, or the floor may be forgotten; 0 for never
//!     48     n  the flat key
//!   48+n     8  XXH3-64 of everything before
//!   56+n     m  the envelope (terrace-envelope), which has a checksum of its own
//! ```
//!
//! The head says all that opening the store, listing keys and counting need, so these never read values.

use std::fmt;
use std::num::NonZeroU64;

use bytes::Bytes;
use terrace_store::key::{KEY_LIMIT, NAMESPACE_LIMIT};
use terrace_store::{Compress, Entry, Key, Result, Version};
use xxhash_rust::xxh3::xxh3_64;

use crate::record;

const MAGIC: &[u8; 4] = b"TRFS";
const FORMAT: u8 = 1;
const FIXED: usize = 48;
const CHECKSUM: usize = 8;

/// The longest head there can be.
pub(super) const HEAD_LIMIT: usize = FIXED + 1 + NAMESPACE_LIMIT + KEY_LIMIT + CHECKSUM;

/// The BLAKE3 hash of a flat key.
pub(super) type Hash = [u8; 32];

/// What a file holds. Of two of one version the floor is the later one: a sweep leaves it in the entry's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Entry,
    Floor,
}

/// The name of a file, without its folder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) hash: Hash,
    pub(super) version: Version,
    pub(super) kind: Kind,
}

impl Name {
    pub(super) fn new(key: &Key, version: Version, kind: Kind) -> Self {
        Self { hash: hash(key), version, kind }
    }

    /// The name that these characters are, if they are one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 82 || bytes[64] != b'-' {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(bytes[..64].chunks_exact(2)) {
            *byte = digit(digits[0])? << 4 | digit(digits[1])?;
        }
        let version = bytes[65..81].iter().try_fold(0, |sum, d| Some(sum << 4 | u64::from(digit(*d)?)))?;
        let kind = match bytes[81] {
            b'e' => Kind::Entry,
            b'd' => Kind::Floor,
            _ => return None,
        };
        Some(Self { hash, version: Version(version), kind })
    }
}

/// Lower case only: each name has one spelling.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.hash {
            write!(f, "{byte:02x}")?;
        }
        let kind = if self.kind == Kind::Entry { 'e' } else { 'd' };
        write!(f, "-{:016x}{kind}", self.version.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash that a key's files are named by.
pub(super) fn hash(key: &Key) -> Hash {
    *blake3::hash(key.flat()).as_bytes()
}

/// The first part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) key: Key,
    pub(super) version: Version,
    pub(super) value_len: u64,
    pub(super) expires_ms: Option<NonZeroU64>,
    pub(super) deadline_ms: Option<u64>,
    envelope_len: usize,
}

/// What is wrong with a file, in words.
pub(super) type Flaw = &'static str;

impl Head {
    /// Reads a head from the beginning of a file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let fixed: &[u8; FIXED] = bytes.first_chunk().ok_or("it ends within its head")?;
        if &fixed[..4] != MAGIC {
            return Err("it does not begin as a file of this store does");
        }
        if fixed[4] > FORMAT {
            return Err("a newer release wrote it");
        }
        let key_len = u32_at(fixed, 8) as usize;
        let end = FIXED.saturating_add(key_len);
        let covered = bytes.get(..end).ok_or("it ends within its key")?;
        let sum = bytes[end..].first_chunk().ok_or("it ends within its head")?;
        if u64::from_le_bytes(*sum) != xxh3_64(covered) {
            return Err("the checksum of its head is wrong");
        }
        let key =
            Key::from_flat(Bytes::copy_from_slice(&covered[FIXED..])).map_err(|_| "its key is no key")?;
        Ok(Self {
            kind: if fixed[5] == 0 { Kind::Entry } else { Kind::Floor },
            key,
            version: Version(u64_at(fixed, 16)),
            value_len: u64_at(fixed, 24),
            expires_ms: NonZeroU64::new(u64_at(fixed, 32)),
            deadline_ms: Some(u64_at(fixed, 40)).filter(|at| *at != 0),
            envelope_len: u32_at(fixed, 12) as usize,
        })
    }

    /// Where the envelope begins.
    pub(super) fn len(&self) -> usize {
        FIXED + self.key.flat().len() + CHECKSUM
    }

    /// The length of the whole file.
    pub(super) fn file_len(&self) -> usize {
        self.len() + self.envelope_len
    }
}

fn u32_at(bytes: &[u8; FIXED], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; FIXED], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

fn begin(kind: Kind, key: &Key, version: Version) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED + key.flat().len() + CHECKSUM);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[FORMAT, u8::from(kind == Kind::Floor), 0, 0]);
    out.extend_from_slice(&(key.flat().len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&version.0.to_le_bytes());
    out
}

fn finish_head(out: &mut Vec<u8>, key: &Key) {
    out.extend_from_slice(key.flat());
    let sum = xxh3_64(out);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The bytes of an entry's file, in two parts: the head and the envelope.
///
/// # Errors
/// `Invalid` if the entry has more than an envelope can hold.
pub(super) fn entry(
    key: &Key,
    entry: &Entry,
    version: Version,
    compress: Compress,
    compress_from: Option<usize>,
) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut envelope = Vec::new();
    record::seal(key, entry, version, compress, compress_from, &mut envelope)?;
    let mut head = begin(Kind::Entry, key, version);
    head[12..16].copy_from_slice(&(envelope.len() as u32).to_le_bytes());
    head.extend_from_slice(&(entry.value.len() as u64).to_le_bytes());
    head.extend_from_slice(&entry.expires_ms.map_or(0, NonZeroU64::get).to_le_bytes());
    // An entry that is over since 1970 is over at millisecond 1 as well; 0 would mean never.
    head.extend_from_slice(&entry.deadline_ms().map_or(0, |at| at.max(1)).to_le_bytes());
    finish_head(&mut head, key);
    Ok((head, envelope))
}

/// The bytes of a floor's file.
pub(super) fn floor(key: &Key, version: Version, forget_ms: u64) -> Vec<u8> {
    let mut head = begin(Kind::Floor, key, version);
    head.extend_from_slice(&[0; 16]);
    head.extend_from_slice(&forget_ms.max(1).to_le_bytes());
    finish_head(&mut head, key);
    head
}

/// The entry in the bytes of a whole file, which must be this key's and of this version.
pub(super) fn open(key: &Key, version: Version, bytes: Vec<u8>) -> Result<Entry, Flaw> {
    let head = Head::parse(&bytes)?;
    if head.key != *key || head.version != version || head.kind != Kind::Entry {
        return Err("it is another key's, or of another version");
    }
    if bytes.len() != head.file_len() {
        return Err("its length is not the one it says");
    }
    match record::open(key, &Bytes::from(bytes).slice(head.len()..)) {
        Ok(record::Record::Live(entry)) if entry.version == version => Ok(entry),
        Ok(_) => Err("its envelope and its head differ"),
        Err(_) => Err("its envelope is damaged"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("orders", "../../etc/passwd").unwrap()
    }

    #[test]
    fn a_name_comes_back_and_has_one_spelling() {
        for kind in [Kind::Entry, Kind::Floor] {
            let name = Name::new(&key(), Version(0x2ae), kind);
            let text = name.to_string();
            assert!(Name::parse(&text) == Some(name), "{text}");
            assert!(text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'), "{text}");
            assert!(Name::parse(&text.to_uppercase()).is_none());
            assert!(Name::parse(&format!("{text}e")).is_none());
            assert!(Name::parse(&text.replace('-', "+")).is_none());
        }
        assert!(Name::parse("").is_none());
        assert!(Name::parse(&"ж".repeat(41)).is_none());
    }

    #[test]
    fn a_file_is_named_by_the_hash_that_others_compute_for_its_flat_key() {
        // b3sum of the three bytes 01 61 62, the flat form of `b` in the namespace `a`.
        let name = Name::new(&Key::new("a", "b").unwrap(), Version(1), Kind::Entry).to_string();
        let expected = blake3::hash(&[1, b'a', b'b']).to_hex();
        assert_eq!(name, format!("{expected}-0000000000000001e"));
    }

    #[test]
    fn the_bytes_are_those_of_the_drawing() {
        let entry = Entry { expires_ms: NonZeroU64::new(0x0102), ..Entry::new("tea") };
        let (head, envelope) = super::entry(&key(), &entry, Version(7), Compress::Never, None).unwrap();
        let flat = key().flat().to_vec();
        let mut expected = b"TRFS\x01\x00\x00\x00".to_vec();
        expected.extend((flat.len() as u32).to_le_bytes());
        expected.extend((envelope.len() as u32).to_le_bytes());
        for number in [7_u64, 3, 0x0102, 0x0102] {
            expected.extend(number.to_le_bytes());
        }
        expected.extend(&flat);
        expected.extend(xxh3_64(&expected).to_le_bytes());
        assert_eq!(head, expected);
        let parsed = Head::parse(&head).unwrap();
        assert_eq!((parsed.len(), parsed.file_len()), (head.len(), head.len() + envelope.len()));
        assert_eq!(open(&key(), Version(7), [head, envelope].concat()).unwrap().value, "tea");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (head, envelope) =
            entry(&key(), &Entry::new("some value"), Version(7), Compress::Never, None).unwrap();
        let sound = [head, envelope].concat();
        for bit in 0..sound.len() * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key(), Version(7), damaged).is_err(), "bit {bit}");
        }
        for length in 0..sound.len() {
            assert!(open(&key(), Version(7), sound[..length].to_vec()).is_err(), "cut at {length}");
        }
        assert!(open(&key(), Version(7), [&sound[..], &[0]].concat()).is_err(), "longer than it says");
        assert!(open(&key(), Version(8), sound).is_err(), "another version");
    }

    #[test]
    fn a_floor_says_its_version_and_its_end() {
        let bytes = floor(&key(), Version(9), 77);
        let head = Head::parse(&bytes).unwrap();
        assert_eq!((head.kind, head.version, head.deadline_ms), (Kind::Floor, Version(9), Some(77)));
        assert_eq!((head.file_len(), &head.key), (bytes.len(), &key()));
    }
}
