//! A record: one put, delete or note of the engine in the log. `docs/format.md` draws it.
//!
//! Decision: the checksum is over the whole record *and the place where it stands*, so a block that the disk
//! wrote to another place, or that is left over from an earlier use of the same sectors, does not pass. A
//! version is the record's place unless a flag says otherwise, and that a record is part of a batch stands in no byte
//! but in the checksum, which keeps a small plain record at five bytes besides key and value.

mod head;

use crate::cipher::Seal;
use crate::point::bug;
use crate::varint::Bad;

pub(crate) use self::head::{Coded, Form, Head, Kind, LONGEST_HEAD, Location, SHORTEST};

/// The longest key, in bytes.
pub const KEY_LIMIT: usize = 128 << 10;
/// The longest value, in bytes.
pub const VALUE_LIMIT: usize = 256 << 20;
/// No version is above this: given ones are below half of it, and the log's own do not get there. A record that says
/// otherwise was not written by this engine.
pub(crate) const HIGHEST_VERSION: u64 = 3 << 62;
/// The most bytes that may be attached to a value.
pub const META_LIMIT: usize = 1 << 20;

/// Where the checksum stands.
const CRC: std::ops::Range<usize> = 1..5;
/// What sets the checksum of a record apart that is part of a batch.
const BATCH: u32 = 0x5bd1_e995;

/// What a record is made of.
pub(crate) struct Draft<'a> {
    pub(crate) head: Head,
    pub(crate) key: &'a [u8],
    pub(crate) meta: &'a [u8],
    pub(crate) stored: &'a [u8],
}

impl Draft<'_> {
    /// At least the bytes that [`Draft::append`] will write.
    pub(crate) fn most_bytes(&self, overhead: usize) -> u64 {
        (LONGEST_HEAD + self.key.len() + self.meta.len() + self.stored.len() + overhead) as u64
    }

    /// Appends the record as it stands at this place, and returns its length.
    pub(crate) fn append(
        &mut self,
        at: Location,
        usual_key: u16,
        cipher: Option<&dyn Seal>,
        sealing: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<usize, &'static str> {
        self.head.key_len = self.key.len() as u32;
        self.head.meta_len = self.meta.len() as u32;
        self.head.stored_len = self.stored.len() as u32;
        let start = out.len();
        self.head.append(usual_key, out);
        mark_batch(self.head.in_batch, out.get_mut(start..).unwrap_or_default());
        match cipher.filter(|_| self.head.is_sealed()) {
            None => {
                out.extend_from_slice(self.key);
                out.extend_from_slice(self.meta);
                out.extend_from_slice(self.stored);
            }
            Some(cipher) => {
                sealing.clear();
                sealing.extend_from_slice(self.key);
                sealing.extend_from_slice(self.meta);
                sealing.extend_from_slice(self.stored);
                let head = out.get(start..).unwrap_or_default();
                cipher.seal(nonce(at), head, sealing)?;
                out.extend_from_slice(sealing);
            }
        }
        let len = out.len() - start;
        let crc = out.get(start..).map_or(0, |record| checksum(at, record, body_at(record, usual_key)));
        let crc = if self.head.in_batch { crc ^ BATCH } else { crc };
        if let Some(place) = out.get_mut(start + CRC.start..start + CRC.end) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        Ok(len)
    }
}

/// What makes each use of a segment's key different from all others.
fn nonce(at: Location) -> u64 {
    if bug("nonce_reused") { 0 } else { at.offset.into() }
}

fn body_at(record: &[u8], usual_key: u16) -> usize {
    Head::parse(record, usual_key).map_or(0, |(_, at)| at)
}

/// What stands in the place of the checksum where a cipher is told what stands before the key.
fn mark_batch(in_batch: bool, head: &mut [u8]) {
    if let Some(crc) = head.get_mut(CRC) {
        crc.fill(u8::from(in_batch));
    }
}

/// The checksum of a record that stands at this place. `body_at` matters to a seeded bug only.
fn checksum(at: Location, record: &[u8], body_at: usize) -> u32 {
    let seed = (at.segment.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 ^ at.offset;
    if bug("header_outside_checksum") {
        return crc32c::crc32c_append(seed, record.get(body_at..).unwrap_or_default());
    }
    let flags = crc32c::crc32c_append(seed, record.get(..1).unwrap_or_default());
    crc32c::crc32c_append(flags, record.get(CRC.end..).unwrap_or_default())
}

/// A record that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) head: Head,
    /// The bytes of the whole record.
    pub(crate) bytes: &'a [u8],
    body_at: usize,
}

impl<'a> Record<'a> {
    /// The record at the beginning of these bytes, which follow `at` in the log.
    ///
    /// `Short` if the bytes end before it does, `Malformed` if it is none or was damaged.
    pub(crate) fn check(bytes: &'a [u8], at: Location, form: Form) -> Result<Self, Bad> {
        let (mut head, body_at) = Head::parse(bytes, form.usual_key)?;
        let len = total_len(&head, body_at, form.overhead);
        let record = bytes.get(..len).ok_or(Bad::Short)?;
        let stored = record.get(CRC).and_then(|crc| crc.try_into().ok()).map_or(0, u32::from_le_bytes);
        match stored ^ checksum(at, record, body_at) {
            0 => {}
            BATCH => head.in_batch = true,
            _ => return Err(Bad::Malformed),
        }
        Ok(Self { head, bytes: record, body_at })
    }

    /// Key, attachment and value as they are in the record: encrypted, if the segment has a cipher.
    pub(crate) fn body(&self) -> &'a [u8] {
        self.bytes.get(self.body_at..).unwrap_or_default()
    }

    /// What stands before the body, as the cipher was told.
    pub(crate) fn clear(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.bytes.get(..self.body_at).unwrap_or_default());
        mark_batch(self.head.in_batch, out);
    }

    /// Where the body begins.
    #[cfg(test)]
    pub(crate) fn body_at(&self) -> usize {
        self.body_at
    }
}

/// How long a record is whose head was parsed.
pub(crate) fn total_len(head: &Head, body_at: usize, overhead: usize) -> usize {
    body_at + head.body_len() + if head.is_sealed() { overhead } else { 0 }
}

/// Opens what the cipher sealed, in place.
pub(crate) fn unseal(
    cipher: &dyn Seal,
    at: Location,
    head: &[u8],
    body: &mut Vec<u8>,
) -> Result<(), &'static str> {
    cipher.open(nonce(at), head, body)
}

/// Splits a body into key, attachment and stored value.
pub(crate) fn split<'a>(head: &Head, body: &'a [u8]) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
    let (key, rest) = body.split_at_checked(head.key_len as usize)?;
    let (meta, rest) = rest.split_at_checked(head.meta_len as usize)?;
    Some((key, meta, rest.get(..head.stored_len as usize)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Location = Location { segment: 7, offset: 1000 };

    const FORM: Form = Form { usual_key: 16, overhead: 0 };

    fn written(head: Head, key: &[u8], meta: &[u8], stored: &[u8]) -> Vec<u8> {
        let mut out = vec![9; 3];
        let mut draft = Draft { head, key, meta, stored };
        let len = draft.append(AT, FORM.usual_key, None, &mut Vec::new(), &mut out).unwrap();
        assert_eq!(len, out.len() - 3);
        out.split_off(3)
    }

    fn full() -> Head {
        Head {
            in_batch: true,
            expires_ms: Some(1_700_000_000_000),
            coded: Some(Coded { codec: 1, dictionary: 3, len: 999 }),
            version_delta: Some(-5),
            group: 300,
            previous: Some(Location { segment: 6, offset: 96 }),
            origin: Some(2),
            ..Head::new(Kind::Put)
        }
    }

    #[test]
    fn a_record_comes_back_and_a_small_one_of_the_usual_key_costs_five_bytes() {
        let key = [7; 16];
        for (len, cost) in [(0, 5), (126, 5), (127, 6), (254, 6), (255, 7), (20_000, 8)] {
            for in_batch in [false, true] {
                let head = Head { in_batch, ..Head::new(Kind::Put) };
                let bytes = written(head, &key, b"", &vec![1; len]);
                assert_eq!(bytes.len(), cost + 16 + len);
                let record = Record::check(&bytes, AT, FORM).unwrap();
                assert_eq!(record.head, Head { key_len: 16, stored_len: len as u32, ..head });
                assert_eq!((record.body_at(), record.head.len(FORM.usual_key)), (cost, cost));
                let elsewhere = Form { usual_key: 15, ..FORM };
                assert!(Record::check(&bytes, AT, elsewhere).is_err());
                assert!(Record::check(&bytes, AT, Form::default()).is_err());
            }
        }
        assert_eq!(written(Head::new(Kind::Put), b"key", b"", &[1; 100]).len(), 7 + 3 + 100);
        let bytes = written(full(), b"key", b"meta", b"value");
        let record = Record::check(&bytes, AT, FORM).unwrap();
        assert_eq!(split(&record.head, record.body()), Some((&b"key"[..], &b"meta"[..], &b"value"[..])));
        let expected = Head { key_len: 3, meta_len: 4, stored_len: 5, ..full() };
        assert_eq!(record.head, expected);
        assert!(record.body_at() <= LONGEST_HEAD);
        assert_eq!(record.body_at(), record.head.len(FORM.usual_key));
    }

    #[test]
    fn what_can_be_said_shortly_is_refused_at_length() {
        let bytes = written(Head::new(Kind::Put), b"key", b"", b"value");
        assert!(Record::check(&bytes, AT, FORM).is_ok());
        let usual = Form { usual_key: 3, ..FORM };
        assert_eq!(Record::check(&bytes, AT, usual).err(), Some(Bad::Malformed));
    }

    #[test]
    fn every_flipped_bit_and_another_place_are_noticed() {
        let short = written(Head::new(Kind::Put), &[7; 16], b"", &[1; 300]);
        for bytes in [written(full(), b"key", b"meta", b"value"), short] {
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                damaged.extend_from_slice(&[0; 4096]);
                assert!(Record::check(&damaged, AT, FORM).is_err(), "bit {bit}");
            }
            for len in 0..bytes.len() {
                assert_eq!(Record::check(&bytes[..len], AT, FORM).err(), Some(Bad::Short));
            }
            let elsewhere = [Location { offset: 1001, ..AT }, Location { segment: 8, ..AT }];
            assert!(elsewhere.iter().all(|at| Record::check(&bytes, *at, FORM).is_err()));
        }
    }
}
