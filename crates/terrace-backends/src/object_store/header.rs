//! What an object begins with.
//!
//! ```text
//!  0  "TOb1"
//!  4  'E' an entry, 'T' a tombstone
//!  5  how many bytes of padding stand at the end: 0 or 1
//!  6  0, 0
//!  8  length of the flat key that follows; 0 if the object's name tells it: u32
//! 12  version: u64
//! 20  end of the entry, or when the tombstone may be forgotten, in milliseconds; 0: never: u64
//! 28  XXH3 of all before: u64
//! 36  the flat key; of an entry its envelope; the padding
//! ```
//!
//! Numbers are big-endian. The padding makes the length of an entry even and that of a tombstone odd, so a listing, which
//! tells lengths, tells them apart.

use bytes::Bytes;
use terrace_store::{Compress, Entry, Error, ErrorKind, Key, Result, Version};
use xxhash_rust::xxh3::xxh3_64;

use super::names;
use crate::record::{self, Record};

/// How many bytes tell all but the key.
pub(super) const HEADER: usize = 36;
const MAGIC: &[u8; 4] = b"TOb1";

/// What there is to know of an entry or a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) tombstone: bool,
    pub(super) version: Version,
    pub(super) ends_ms: u64,
    padding: usize,
    key: usize,
}

impl Header {
    pub(super) fn new(tombstone: bool, version: Version, ends_ms: u64) -> Self {
        Self { tombstone, version, ends_ms, padding: 0, key: 0 }
    }

    /// Whether it is an entry that exists at this wall time.
    pub(super) fn is_live(&self, wall_ms: u64) -> bool {
        !self.tombstone && (self.ends_ms == 0 || wall_ms < self.ends_ms)
    }

    pub(super) fn parse(object: &[u8]) -> Result<Self> {
        let (header, _) =
            object.split_at_checked(HEADER).ok_or_else(|| corrupt("an object shorter than its header"))?;
        let number = |at: usize| header[at..at + 8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        if &header[..4] != MAGIC {
            return Err(corrupt("an object that this release did not write"));
        }
        if number(28) != xxh3_64(&header[..28]) {
            return Err(corrupt("an object whose header is damaged"));
        }
        let tombstone = match header[4] {
            b'E' => false,
            b'T' => true,
            _ => return Err(corrupt("an object of no known kind")),
        };
        let (version, ends_ms) = (Version(number(12)), number(20));
        let key = (number(4) & u64::from(u32::MAX)) as usize;
        Ok(Self { tombstone, version, ends_ms, padding: usize::from(header[5] & 1), key })
    }

    /// The object of a tombstone.
    pub(super) fn tombstone(self, key: &Key) -> Vec<u8> {
        self.begin(key).end()
    }

    /// The object of an entry.
    pub(super) fn entry(
        self,
        key: &Key,
        entry: &Entry,
        compress: Compress,
        compress_from: Option<usize>,
    ) -> Result<Vec<u8>> {
        let mut object = self.begin(key);
        record::seal(key, entry, self.version, compress, compress_from, &mut object.0)?;
        Ok(object.end())
    }

    fn begin(self, key: &Key) -> Object {
        let key = if names::is_hidden(key) { key.flat() } else { &[] };
        let mut object = Vec::with_capacity(HEADER + key.len() + 128);
        object.extend(MAGIC);
        object.extend([if self.tombstone { b'T' } else { b'E' }, 0, 0, 0]);
        object.extend((key.len() as u32).to_be_bytes());
        object.extend(self.version.0.to_be_bytes());
        object.extend(self.ends_ms.to_be_bytes());
        object.extend([0; 8]);
        object.extend(key);
        Object(object)
    }

    /// The key in an object whose name does not tell it.
    pub(super) fn key(&self, object: &Bytes) -> Result<Key> {
        match object.get(HEADER..HEADER + self.key) {
            Some(flat) => Key::from_flat(Bytes::copy_from_slice(flat)),
            None => Err(corrupt("an object that ends in its key")),
        }
    }

    /// The entry in a whole object of this key.
    pub(super) fn open(&self, key: &Key, object: &Bytes) -> Result<Entry> {
        let (start, end) = (HEADER + self.key, object.len().saturating_sub(self.padding));
        if start > end {
            return Err(corrupt("an object that ends in its header"));
        }
        match record::open(key, &object.slice(start..end))? {
            Record::Live(entry) if entry.version == self.version => Ok(entry),
            _ => Err(corrupt("an object whose header tells of another entry than it has")),
        }
    }
}

struct Object(Vec<u8>);

impl Object {
    fn end(self) -> Vec<u8> {
        let Self(mut object) = self;
        if is_entry(object.len() as u64) != (object[4] == b'E') {
            object[5] = 1;
            object.push(0);
        }
        let sum = xxh3_64(&object[..28]).to_be_bytes();
        object[28..HEADER].copy_from_slice(&sum);
        object
    }
}

/// Whether an object of this length is an entry.
pub(super) fn is_entry(length: u64) -> bool {
    length.is_multiple_of(2)
}

pub(super) fn corrupt(why: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "read").with("store", super::NAME).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_says_what_was_written_and_its_length_which_kind_it_is() {
        for bytes in [b"k".to_vec(), vec![b'k'; 301], vec![b'k'; 302]] {
            let key = Key::new("n", bytes).unwrap();
            for value in ["", "1", "12", "123"] {
                let header = Header::new(false, Version(9), 70);
                let object =
                    Bytes::from(header.entry(&key, &Entry::new(value), Compress::Never, None).unwrap());
                let found = Header::parse(&object).unwrap();
                assert_eq!((found.tombstone, found.version, found.ends_ms), (false, Version(9), 70));
                assert_eq!(found.open(&key, &object).unwrap().value, value);
                assert!(is_entry(object.len() as u64));
                assert!(!names::is_hidden(&key) || found.key(&object).unwrap() == key);
                assert!(found.is_live(69) && !found.is_live(70));
            }
            let tombstone = Bytes::from(Header::new(true, Version(4), 5).tombstone(&key));
            assert!(!is_entry(tombstone.len() as u64) && !Header::parse(&tombstone).unwrap().is_live(0));
        }
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let key = Key::new("n", "k").unwrap();
        let object = Header::new(false, Version(9), 0)
            .entry(&key, &Entry::new("value"), Compress::Never, None)
            .unwrap();
        for at in 0..object.len() {
            let mut damaged = object.clone();
            damaged[at] ^= 0x41;
            let damaged = Bytes::from(damaged);
            let opened = Header::parse(&damaged).and_then(|header| header.open(&key, &damaged));
            // The padding holds nothing.
            assert!(opened.is_err() || at + 1 == object.len() && object[5] == 1, "at {at}");
        }
        assert!(Header::parse(&object[..HEADER - 1]).is_err() && Header::parse(b"").is_err());
    }
}
