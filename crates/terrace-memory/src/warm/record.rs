//! One entry as it lies in a block.
//!
//! ```text
//! checksum u32 | flags u8 | key length | stored length | expiry | version u64 | attached length | key | attached | stored
//! ```
//!
//! Lengths and expiry are little-endian base-128 numbers; expiry, version and attached bytes are there only if
//! their flag is set. The expiry counts milliseconds from the block's base, which makes four bytes of six. The
//! checksum covers everything behind it. It stands for one record and not for a block, because a read of one
//! record would have to hash the whole block, a hundred times as much; it costs 4 bytes and some 20 ns a read.
//!
//! Of the flags, two bits are the algorithm, three the slot of the dictionary (0 is none), one each says
//! whether there are an expiry, a version and attached bytes.

use terrace_envelope::Compression;
use xxhash_rust::xxh3::xxh3_64;

/// Slots for dictionaries in the flags; slot 0 is none.
pub(super) const DICTIONARY_SLOTS: usize = 8;

const CHECKSUM_LEN: usize = 4;
const EXPIRES: u8 = 1 << 5;
const VERSION: u8 = 1 << 6;
const ATTACHED: u8 = 1 << 7;

/// A record that was read where it lies, or is about to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) how: Compression,
    pub(super) dictionary: u8,
    pub(super) expires_at: Option<u64>,
    pub(super) version: u64,
    pub(super) key: &'a [u8],
    pub(super) attached: &'a [u8],
    pub(super) stored: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the record at the beginning of `bytes` and tells how long it is. Nothing is verified.
    pub(super) fn read(bytes: &'a [u8], base: u64) -> Option<(Self, usize)> {
        let mut rest = bytes.get(CHECKSUM_LEN..)?;
        let (&flags, after) = rest.split_first()?;
        rest = after;
        let how = match flags & 3 {
            0 => Compression::None,
            1 => Compression::Lz4,
            2 => Compression::Zstd,
            _ => return None,
        };
        let key_len = number(&mut rest)?;
        let stored_len = number(&mut rest)?;
        let expires_at = match flags & EXPIRES {
            0 => None,
            _ => Some(base.wrapping_add(number(&mut rest)?)),
        };
        let mut version = 0;
        if flags & VERSION != 0 {
            let (bytes, after) = rest.split_first_chunk::<8>()?;
            version = u64::from_le_bytes(*bytes);
            rest = after;
        }
        let attached_len = if flags & ATTACHED != 0 { number(&mut rest)? } else { 0 };
        let key = take(&mut rest, key_len)?;
        let attached = take(&mut rest, attached_len)?;
        let stored = take(&mut rest, stored_len)?;
        let dictionary = flags >> 2 & (DICTIONARY_SLOTS as u8 - 1);
        let record = Record { how, dictionary, expires_at, version, key, attached, stored };
        Some((record, bytes.len() - rest.len()))
    }

    /// How many bytes [`append`](Record::append) appends.
    pub(super) fn len(&self, base: u64) -> usize {
        CHECKSUM_LEN
            + 1
            + number_len(self.key.len() as u64)
            + number_len(self.stored.len() as u64)
            + self.expires_at.map_or(0, |at| number_len(at.wrapping_sub(base)))
            + if self.version != 0 { 8 } else { 0 }
            + if self.attached.is_empty() { 0 } else { number_len(self.attached.len() as u64) }
            + self.key.len()
            + self.attached.len()
            + self.stored.len()
    }

    pub(super) fn append(&self, base: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; CHECKSUM_LEN]);
        let how = match self.how {
            Compression::Lz4 => 1,
            Compression::Zstd => 2,
            _ => 0,
        };
        out.push(
            how | self.dictionary << 2
                | if self.expires_at.is_some() { EXPIRES } else { 0 }
                | if self.version != 0 { VERSION } else { 0 }
                | if self.attached.is_empty() { 0 } else { ATTACHED },
        );
        append_number(self.key.len() as u64, out);
        append_number(self.stored.len() as u64, out);
        if let Some(at) = self.expires_at {
            append_number(at.wrapping_sub(base), out);
        }
        if self.version != 0 {
            out.extend_from_slice(&self.version.to_le_bytes());
        }
        if !self.attached.is_empty() {
            append_number(self.attached.len() as u64, out);
        }
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.attached);
        out.extend_from_slice(self.stored);
        if let Some((sum, covered)) =
            out.get_mut(start..).and_then(|record| record.split_first_chunk_mut::<CHECKSUM_LEN>())
        {
            *sum = checksum(covered);
        }
    }

    pub(super) fn is_dead(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Whether these bytes, one whole record, are those that were written.
pub(super) fn is_sound(record: &[u8]) -> bool {
    record.split_first_chunk::<CHECKSUM_LEN>().is_some_and(|(sum, covered)| *sum == checksum(covered))
}

/// The checksum with which a record begins.
pub(super) fn checksum_of(record: &[u8]) -> [u8; CHECKSUM_LEN] {
    record.first_chunk().copied().unwrap_or_default()
}

fn checksum(covered: &[u8]) -> [u8; CHECKSUM_LEN] {
    (xxh3_64(covered) as u32).to_le_bytes()
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    *rest = after;
    Some(taken)
}

fn append_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn number_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros()).div_ceil(7) as usize
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let attached = vec![9; 300];
        for expires_at in [None, Some(0), Some(1_000_003), Some(u64::MAX)] {
            for version in [0, 1, u64::MAX] {
                for attached in [&[][..], &attached] {
                    let (how, dictionary) = (Compression::Zstd, 7);
                    let (key, stored) = (b"key".as_slice(), b"stored".as_slice());
                    let record = Record { how, dictionary, expires_at, version, key, attached, stored };
                    let mut out = b"before".to_vec();
                    record.append(1_000_000, &mut out);
                    assert_eq!(out.len(), 6 + record.len(1_000_000));
                    assert!(is_sound(&out[6..]));
                    out.extend_from_slice(b"behind");
                    let (read, len) = Record::read(&out[6..], 1_000_000).unwrap();
                    assert_eq!((read, len), (record, out.len() - 12));
                }
            }
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let record = Record {
            how: Compression::None,
            dictionary: 0,
            expires_at: Some(70_000),
            version: 3,
            key: b"some key",
            attached: b"tags",
            stored: &[5; 200],
        };
        let mut bytes = Vec::new();
        record.append(0, &mut bytes);
        for cut in 0..bytes.len() {
            assert!(Record::read(&bytes[..cut], 0).is_none(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_sound(&bytes), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_value_of_a_kilobyte_with_an_expiry_carries_at_most_twelve_bytes() {
        let stored = [0; 400];
        let hour = Some(1_800_000_000_000 + 3_600_000);
        let record = Record {
            how: Compression::Zstd,
            dictionary: 1,
            expires_at: hour,
            version: 0,
            key: b"user:1",
            attached: b"",
            stored: &stored,
        };
        assert!(record.len(1_800_000_000_000) - 6 - 400 <= 12);
    }
}
