//! Under which keys things lie in fjall.
//!
//! An entry's row is its flat key, which costs no copy. fjall's keys end at 65,535 bytes, which is less than a
//! key and its namespace may have, so a longer flat key is cut at [`CUT`] bytes, a 128-bit hash of all of it is
//! put in the place of the rest, and the whole key stands before the record in the row's value:
//!
//! ```text
//! entries  flat key up to 65,000 bytes               -> envelope
//!          flat key's first 65,000 bytes, XXH3-128   -> length of the flat key: u32 BE, flat key, envelope
//! expiry   kind: u8, deadline ms: u64 BE, row        -> version: u64 BE
//! ```
//!
//! The kind is 0 for an entry, due by wall time, and 1 for a tombstone, due when its floor may be forgotten.

use bytes::{BufMut, Bytes, BytesMut};
use terrace_store::{Error, ErrorKind, Key, Result, Version};
use xxhash_rust::xxh3::xxh3_128;

/// How many bytes of a flat key stand in its row.
pub(super) const CUT: usize = 65_000;

/// The row of a key.
pub(super) fn row(key: &Key) -> Bytes {
    let flat = key.flat();
    if flat.len() <= CUT {
        return key.flat_bytes().clone();
    }
    let mut row = BytesMut::with_capacity(CUT + 16);
    row.put_slice(&flat[..CUT]);
    row.put_u128(xxh3_128(flat));
    row.freeze()
}

/// Whether a row holds its key in its value.
pub(super) fn is_cut(row: &[u8]) -> bool {
    row.len() > CUT
}

/// What the value of a row begins with.
pub(super) fn put_prefix(key: &Key, out: &mut Vec<u8>) {
    let flat = key.flat();
    if flat.len() > CUT {
        // A flat key is at most a few bytes above 64 KiB.
        out.extend_from_slice(&(flat.len() as u32).to_be_bytes());
        out.extend_from_slice(flat);
    }
}

/// The key and the envelope of a row as it was read.
///
/// # Errors
/// `Corrupt` if the row holds no key.
pub(super) fn parts(row: &Bytes, value: &Bytes) -> Result<(Key, Bytes)> {
    if !is_cut(row) {
        return Ok((Key::from_flat(row.clone())?, value.clone()));
    }
    let corrupt = || Error::new(ErrorKind::Corrupt, "read").because("a row for a long key holds none");
    let (length, rest) = value.split_first_chunk::<4>().ok_or_else(corrupt)?;
    let length = u32::from_be_bytes(*length) as usize;
    if length <= CUT || rest.len() < length {
        return Err(corrupt());
    }
    Ok((Key::from_flat(value.slice(4..4 + length))?, value.slice(4 + length..)))
}

/// The envelope in a row's value, if the row is this key's.
///
/// # Errors
/// `Corrupt` if a cut row holds no key, `Conflict` if it holds another one with the same hash.
pub(super) fn envelope(key: &Key, row: &Bytes, value: Bytes) -> Result<Bytes> {
    if !is_cut(row) {
        return Ok(value);
    }
    let (found, envelope) = parts(row, &value)?;
    if found == *key {
        return Ok(envelope);
    }
    Err(Error::new(ErrorKind::Conflict, "read")
        .because("two keys of more than 65,000 bytes have the same beginning and hash; shorten one of them"))
}

/// When something in `expiry` is due, and by which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// An entry ends, by wall time.
    Entry(u64),
    /// A floor may be forgotten.
    Floor(u64),
}

impl Due {
    /// What a row of `expiry` that is due begins with.
    pub(super) fn prefix(self) -> [u8; 9] {
        let (kind, deadline) = match self {
            Self::Entry(deadline) => (0, deadline),
            Self::Floor(deadline) => (1, deadline),
        };
        let mut prefix = [kind; 9];
        prefix[1..].copy_from_slice(&deadline.to_be_bytes());
        prefix
    }

    /// The key in `expiry` of what lies in this row.
    pub(super) fn key(self, row: &[u8]) -> Bytes {
        let mut key = BytesMut::with_capacity(9 + row.len());
        key.put_slice(&self.prefix());
        key.put_slice(row);
        key.freeze()
    }

    /// What a key in `expiry` says.
    pub(super) fn parse(key: &Bytes) -> Option<(Self, Bytes)> {
        let (&kind, rest) = key.split_first()?;
        let (deadline, _) = rest.split_first_chunk::<8>()?;
        let deadline = u64::from_be_bytes(*deadline);
        let due = match kind {
            0 => Self::Entry(deadline),
            1 => Self::Floor(deadline),
            _ => return None,
        };
        Some((due, key.slice(9..)))
    }
}

/// The value of a row in `expiry`.
pub(super) fn version_bytes(version: Version) -> Bytes {
    Bytes::copy_from_slice(&version.0.to_be_bytes())
}

/// What a number in `expiry` or `meta` says; `None` if it is none.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_usual_length_is_its_own_row() {
        let key = Key::new("n", "k").unwrap();
        let row = row(&key);
        assert_eq!(row.as_ptr(), key.flat().as_ptr());
        let value = Bytes::from_static(b"envelope");
        assert_eq!(parts(&row, &value).unwrap(), (key.clone(), value.clone()));
        assert_eq!(envelope(&key, &row, value.clone()).unwrap(), value);
    }

    #[test]
    fn the_longest_key_fits_and_is_found_in_its_value() {
        let key = Key::new([b'n'; 255], vec![7; 65_536]).unwrap();
        let row = row(&key);
        assert!(Due::Floor(0).key(&row).len() <= 65_535);
        let mut value = Vec::new();
        put_prefix(&key, &mut value);
        value.extend_from_slice(b"envelope");
        let value = Bytes::from(value);
        assert_eq!(parts(&row, &value).unwrap(), (key.clone(), Bytes::from_static(b"envelope")));
        let other = Key::new([b'n'; 255], vec![8; 65_536]).unwrap();
        assert_eq!(envelope(&other, &row, value).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(parts(&row, &Bytes::from_static(&[0, 1])).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn what_is_due_first_stands_first() {
        let keys = [Due::Entry(1), Due::Entry(256), Due::Floor(0), Due::Floor(2)].map(|due| due.key(b"r"));
        assert!(keys.is_sorted());
        assert_eq!(Due::parse(&keys[1]), Some((Due::Entry(256), Bytes::from_static(b"r"))));
        assert_eq!(Due::parse(&Bytes::from_static(&[9; 12])), None);
    }
}
