//! What stands in a record before the key.
//!
//! Decision: most records of a log are plain puts whose keys have one length, so a segment says in its header which length
//! that is, and such a record has one byte for everything but its checksum: the value's length. Every record can be
//! written in one way only.

use super::{CRC, KEY_LIMIT, META_LIMIT, VALUE_LIMIT};
use crate::varint::{self, Bad, Reader};

const KIND: u8 = 3;
const MORE: u8 = 1 << 2;
const EXPIRES: u8 = 1 << 3;
const META: u8 = 1 << 4;
const CODED: u8 = 1 << 5;
const VERSION: u8 = 1 << 6;
/// A plain put whose key has the usual length; the other bits are the length of the value.
const SHORT: u8 = 1 << 7;
/// A longer value than can be said in the first byte; the rest of its length follows.
const LONGER: u8 = 127;

const MORE_GROUP: u8 = 1;
const MORE_PREVIOUS: u8 = 2;
const MORE_ORIGIN: u8 = 4;

/// The fewest bytes a record has: flags, checksum, and two lengths or a key.
pub(crate) const SHORTEST: usize = 6;
/// The most bytes that stand before the key.
pub(crate) const LONGEST_HEAD: usize = 5 + 1 + 5 + 5 + 10 + 5 + 1 + 5 + 5 + 10 + 5 + 15 + 10;

/// What a segment says of all its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// The length of most keys; 0 if there is no such length.
    pub(crate) usual_key: u16,
    /// By how much encryption lengthens a record.
    pub(crate) overhead: usize,
}

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

    /// Whether there is nothing to be said of it but the length of its value.
    fn is_short(&self, usual_key: u16) -> bool {
        let plain = Self {
            in_batch: self.in_batch,
            key_len: usual_key.into(),
            stored_len: self.stored_len,
            ..Self::new(Kind::Put)
        };
        usual_key != 0 && *self == plain
    }

    /// Appends it with room for the checksum.
    pub(super) fn append(&self, usual_key: u16, out: &mut Vec<u8>) {
        if self.is_short(usual_key) {
            let len = self.stored_len.min(LONGER.into());
            out.extend_from_slice(&[SHORT | len as u8, 0, 0, 0, 0]);
            if len == LONGER.into() {
                varint::put(out, (self.stored_len - len).into());
            }
            return;
        }
        let mut flags = match self.kind {
            Kind::Put => 1,
            Kind::Tombstone => 2,
            Kind::Control => 3,
        };
        let mut more = 0;
        let set = |flags: &mut u8, flag: u8, on: bool| *flags |= if on { flag } else { 0 };
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
    pub(crate) fn len(&self, usual_key: u16) -> usize {
        if self.is_short(usual_key) {
            let rest = self.stored_len.checked_sub(LONGER.into());
            return CRC.end + rest.map_or(0, |rest| varint::len(rest.into()));
        }
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
    ///
    /// Whether it is part of a batch only its checksum knows.
    pub(crate) fn parse(bytes: &[u8], usual_key: u16) -> Result<(Self, usize), Bad> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        if flags & SHORT != 0 {
            return Self::parse_short(flags, usual_key, reader);
        }
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
        if head.is_short(usual_key) {
            return Err(Bad::Malformed);
        }
        Ok((head, reader.at()))
    }

    fn parse_short(flags: u8, usual_key: u16, mut reader: Reader<'_>) -> Result<(Self, usize), Bad> {
        if usual_key == 0 {
            return Err(Bad::Malformed);
        }
        reader.bytes(4)?;
        let mut stored_len = u32::from(flags & !SHORT);
        if stored_len == LONGER.into() {
            stored_len = reader.varint32()?.checked_add(stored_len).ok_or(Bad::Malformed)?;
        }
        let stored_len = within(stored_len, VALUE_LIMIT)?;
        Ok((Self { key_len: usual_key.into(), stored_len, ..Self::new(Kind::Put) }, reader.at()))
    }
}

fn within(len: u32, limit: usize) -> Result<u32, Bad> {
    if len as usize <= limit { Ok(len) } else { Err(Bad::Malformed) }
}
