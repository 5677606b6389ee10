//! A record: one put, delete or note of the engine in the log. `docs/format.md` draws it.
//!
//! Decision: the checksum is over the whole record *and the place where it stands*, so a block that the disk
//! wrote to another place, or that is left over from an earlier use of the same sectors, does not pass. A
//! version is the record's place unless a flag says otherwise, which keeps a small plain record at eight bytes
//! besides key and value.

use crate::cipher::Seal;
use crate::point::bug;
use crate::varint::{self, Bad, Reader};

/// The longest key, in bytes.
pub const KEY_LIMIT: usize = 128 << 10;
/// The longest value, in bytes.
pub const VALUE_LIMIT: usize = 256 << 20;
/// No version is above this: given ones are below half of it, and the log's own do not get there. A record that says
/// otherwise was not written by this engine.
pub(crate) const HIGHEST_VERSION: u64 = 3 << 62;
/// The most bytes that may be attached to a value.
pub const META_LIMIT: usize = 1 << 20;

const KIND: u8 = 3;
const IN_BATCH: u8 = 1 << 2;
const EXPIRES: u8 = 1 << 3;
const META: u8 = 1 << 4;
const CODED: u8 = 1 << 5;
const VERSION: u8 = 1 << 6;
const MORE: u8 = 1 << 7;

const MORE_GROUP: u8 = 1;
const MORE_PREVIOUS: u8 = 2;
const MORE_ORIGIN: u8 = 4;

/// Where the checksum stands.
const CRC: std::ops::Range<usize> = 1..5;
/// The fewest bytes a record has: flags, checksum, two lengths.
pub(crate) const SHORTEST: usize = 7;
/// The most bytes that stand before the key.
pub(crate) const LONGEST_HEAD: usize = 5 + 1 + 5 + 5 + 10 + 5 + 1 + 5 + 5 + 10 + 5 + 15 + 10;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A value for a key.
    Put,
    /// A key has no value from here on.
    Tombstone,
    /// A note of the engine to itself; see `control.rs`.
    Control,
}

/// How a value is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coded {
    /// The number of the algorithm, as of `terrace_envelope::Compression`.
    pub(crate) codec: u8,
    /// The dictionary, or 0.
    pub(crate) dictionary: u32,
    /// How long the value is when decoded.
    pub(crate) len: u32,
}

/// Where a record begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    pub(crate) segment: u64,
    pub(crate) offset: u32,
}

/// Everything that stands before the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) in_batch: bool,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) coded: Option<Coded>,
    /// Its version less that of its place.
    pub(crate) version_delta: Option<i64>,
    /// The adapter's number for a namespace.
    pub(crate) group: u32,
    /// Where the record is that it replaced; only written while a snapshot needs it.
    pub(crate) previous: Option<Location>,
    /// The segment below which older versions of the key may lie, where that is not this segment.
    pub(crate) origin: Option<u64>,
    pub(crate) key_len: u32,
    pub(crate) meta_len: u32,
    /// The length of the value as it is stored.
    pub(crate) stored_len: u32,
}

impl Head {
    /// A record of this kind with nothing in it.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            in_batch: false,
            expires_ms: None,
            coded: None,
            version_delta: None,
            group: 0,
            previous: None,
            origin: None,
            key_len: 0,
            meta_len: 0,
            stored_len: 0,
        }
    }

    /// The bytes of key, attachment and value, not encrypted.
    pub(crate) fn body_len(&self) -> usize {
        self.key_len as usize + self.meta_len as usize + self.stored_len as usize
    }

    /// The length of the value when decoded.
    pub(crate) fn value_len(&self) -> u32 {
        self.coded.map_or(self.stored_len, |coded| coded.len)
    }

    /// Whether the body is encrypted in a segment that has a cipher.
    pub(crate) fn is_sealed(&self) -> bool {
        self.kind != Kind::Control
    }

    fn append(&self, out: &mut Vec<u8>) {
        let mut flags = match self.kind {
            Kind::Put => 1,
            Kind::Tombstone => 2,
            Kind::Control => 3,
        };
        let mut more = 0;
        let set = |flags: &mut u8, flag: u8, on: bool| *flags |= if on { flag } else { 0 };
        set(&mut flags, IN_BATCH, self.in_batch);
        set(&mut flags, EXPIRES, self.expires_ms.is_some());
        set(&mut flags, META, self.meta_len != 0);
        set(&mut flags, CODED, self.coded.is_some());
        set(&mut flags, VERSION, self.version_delta.is_some());
        set(&mut more, MORE_GROUP, self.group != 0);
        set(&mut more, MORE_PREVIOUS, self.previous.is_some());
        set(&mut more, MORE_ORIGIN, self.origin.is_some());
        set(&mut flags, MORE, more != 0);
        out.extend_from_slice(&[flags, 0, 0, 0, 0]);
        if more != 0 {
            out.push(more);
        }
        varint::put(out, self.key_len.into());
        varint::put(out, self.stored_len.into());
        if let Some(at) = self.expires_ms {
            varint::put(out, at);
        }
        if self.meta_len != 0 {
            varint::put(out, self.meta_len.into());
        }
        if let Some(coded) = self.coded {
            out.push(coded.codec);
            varint::put(out, coded.len.into());
            varint::put(out, coded.dictionary.into());
        }
        if let Some(delta) = self.version_delta {
            varint::put(out, varint::zigzag(delta));
        }
        if self.group != 0 {
            varint::put(out, self.group.into());
        }
        if let Some(previous) = self.previous {
            varint::put(out, previous.segment);
            varint::put(out, previous.offset.into());
        }
        if let Some(origin) = self.origin {
            varint::put(out, origin);
        }
    }

    /// How many bytes stand before the key.
    pub(crate) fn len(&self) -> usize {
        let varint = |value: u64| varint::len(value);
        let some = |value: Option<u64>| value.map_or(0, varint::len);
        let more = self.group != 0 || self.previous.is_some() || self.origin.is_some();
        let meta = if self.meta_len == 0 { 0 } else { varint(self.meta_len.into()) };
        let group = if self.group == 0 { 0 } else { varint(self.group.into()) };
        let coded =
            self.coded.map_or(0, |coded| 1 + varint(coded.len.into()) + varint(coded.dictionary.into()));
        let previous =
            self.previous.map_or(0, |previous| varint(previous.segment) + varint(previous.offset.into()));
        let lengths = varint(self.key_len.into()) + varint(self.stored_len.into());
        let version = some(self.version_delta.map(varint::zigzag));
        let fixed = CRC.end + usize::from(more) + lengths;
        fixed + some(self.expires_ms) + meta + coded + version + group + previous + some(self.origin)
    }

    /// Reads what stands before the key, and says how many bytes that is. Nothing is checked but the form.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, usize), Bad> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        let kind = match flags & KIND {
            1 => Kind::Put,
            2 => Kind::Tombstone,
            3 => Kind::Control,
            _ => return Err(Bad::Malformed),
        };
        reader.bytes(4)?;
        let more = if flags & MORE == 0 { 0 } else { reader.u8()? };
        if (flags & MORE != 0 && more == 0) || more & !(MORE_GROUP | MORE_PREVIOUS | MORE_ORIGIN) != 0 {
            return Err(Bad::Malformed);
        }
        let mut head = Self::new(kind);
        head.in_batch = flags & IN_BATCH != 0;
        head.key_len = within(reader.varint32()?, KEY_LIMIT)?;
        head.stored_len = within(reader.varint32()?, VALUE_LIMIT)?;
        if flags & EXPIRES != 0 {
            head.expires_ms = Some(reader.varint()?);
        }
        if flags & META != 0 {
            head.meta_len = within(reader.varint32()?, META_LIMIT)?;
        }
        if flags & CODED != 0 {
            let codec = reader.u8()?;
            let len = within(reader.varint32()?, VALUE_LIMIT)?;
            head.coded = Some(Coded { codec, len, dictionary: reader.varint32()? });
        }
        if flags & VERSION != 0 {
            head.version_delta = Some(varint::unzigzag(reader.varint()?));
        }
        if more & MORE_GROUP != 0 {
            head.group = reader.varint32()?;
        }
        if more & MORE_PREVIOUS != 0 {
            head.previous = Some(Location { segment: reader.varint()?, offset: reader.varint32()? });
        }
        if more & MORE_ORIGIN != 0 {
            head.origin = Some(reader.varint()?);
        }
        Ok((head, reader.at()))
    }
}

fn within(len: u32, limit: usize) -> Result<u32, Bad> {
    if len as usize <= limit { Ok(len) } else { Err(Bad::Malformed) }
}

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
        cipher: Option<&dyn Seal>,
        sealing: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<usize, &'static str> {
        self.head.key_len = self.key.len() as u32;
        self.head.meta_len = self.meta.len() as u32;
        self.head.stored_len = self.stored.len() as u32;
        let start = out.len();
        self.head.append(out);
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
        let crc = out.get(start..).map_or(0, |record| checksum(at, record, body_at(record)));
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

fn body_at(record: &[u8]) -> usize {
    Head::parse(record).map_or(0, |(_, at)| at)
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
    pub(crate) fn check(bytes: &'a [u8], at: Location, overhead: usize) -> Result<Self, Bad> {
        let (head, body_at) = Head::parse(bytes)?;
        let len = total_len(&head, body_at, overhead);
        let record = bytes.get(..len).ok_or(Bad::Short)?;
        let stored = record.get(CRC).and_then(|crc| crc.try_into().ok()).map_or(0, u32::from_le_bytes);
        if stored != checksum(at, record, body_at) {
            return Err(Bad::Malformed);
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
        if let Some(crc) = out.get_mut(CRC) {
            crc.fill(0);
        }
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

    fn written(head: Head, key: &[u8], meta: &[u8], stored: &[u8]) -> Vec<u8> {
        let mut out = vec![9; 3];
        let len = Draft { head, key, meta, stored }.append(AT, None, &mut Vec::new(), &mut out).unwrap();
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
    fn a_record_comes_back_and_a_small_one_costs_eight_bytes() {
        let small = written(Head::new(Kind::Put), b"key", b"", &[1; 300]);
        assert_eq!(small.len(), 8 + 3 + 300);
        let bytes = written(full(), b"key", b"meta", b"value");
        let record = Record::check(&bytes, AT, 0).unwrap();
        assert_eq!(split(&record.head, record.body()), Some((&b"key"[..], &b"meta"[..], &b"value"[..])));
        let expected = Head { key_len: 3, meta_len: 4, stored_len: 5, ..full() };
        assert_eq!(record.head, expected);
        assert!(record.body_at() <= LONGEST_HEAD);
        assert_eq!(record.body_at(), record.head.len());
    }

    #[test]
    fn every_flipped_bit_and_another_place_are_noticed() {
        let bytes = written(full(), b"key", b"meta", b"value");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            damaged.extend_from_slice(&[0; 4096]);
            assert!(Record::check(&damaged, AT, 0).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(Record::check(&bytes[..len], AT, 0).err(), Some(Bad::Short));
        }
        let elsewhere = [Location { offset: 1001, ..AT }, Location { segment: 8, ..AT }];
        assert!(elsewhere.iter().all(|at| Record::check(&bytes, *at, 0).is_err()));
    }
}
