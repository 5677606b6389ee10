//! The 100 bytes at the beginning of a segment, and the file that marks a folder as a log.

use crate::cipher::KeyId;
use crate::error::{Error, Result};
use crate::record::HIGHEST_VERSION;
use crate::varint::Reader;

/// The format that this release writes, and the latest it reads.
pub(crate) const FORMAT: u32 = 1;
/// The length of a segment's header.
pub(crate) const HEADER_LEN: u64 = 100;
/// Offsets have 32 bits.
const LONGEST_FILE: u64 = u32::MAX as u64;
const SEGMENT_MAGIC: &[u8; 8] = b"terrseg\n";
const MARK_MAGIC: &[u8; 8] = b"terrlog\n";
/// The name of the file that marks a folder as a log.
pub(crate) const MARK_NAME: &str = "terrace-disk";

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store: u64,
    pub(crate) id: u64,
    /// The version of a record here is this, plus its offset, plus one.
    pub(crate) base: u64,
    /// No record ends beyond it.
    pub(crate) capacity: u64,
    pub(crate) created_ms: u64,
    /// What the segment's key is derived from.
    pub(crate) random: [u8; 32],
    /// The key, if the segment is encrypted.
    pub(crate) key: Option<KeyId>,
    /// The length of the keys of records that do not say it; 0 if every record does.
    pub(crate) usual_key: u16,
}

impl Header {
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(SEGMENT_MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        let flags = u32::from(self.usual_key) << 16 | u32::from(self.key.is_some());
        out.extend_from_slice(&flags.to_le_bytes());
        for number in [self.store, self.id, self.base, self.capacity, self.created_ms] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.random);
        let (id, check) = self.key.unwrap_or((0, 0));
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&check.to_le_bytes());
        let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
        debug_assert_eq!(out.len() - start, HEADER_LEN as usize);
    }

    /// The header in these bytes; `None` if they are none, or damaged.
    ///
    /// # Errors
    /// `Newer` for the header of a later format.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some((body, crc)) = bytes.get(..HEADER_LEN as usize).and_then(|all| all.split_last_chunk::<4>())
        else {
            return Ok(None);
        };
        if !body.starts_with(SEGMENT_MAGIC) || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Ok(None);
        }
        let mut reader = Reader::new(body.get(8..).unwrap_or_default());
        Self::read(&mut reader).transpose()
    }

    fn read(reader: &mut Reader<'_>) -> Option<Result<Self>> {
        let found = reader.u32().ok()?;
        if found > FORMAT {
            return Some(Err(Error::Newer { found, known: FORMAT }));
        }
        let flags = reader.u32().ok()?;
        let mut next = || reader.u64().ok();
        let (store, id, base, capacity, created_ms) = (next()?, next()?, next()?, next()?, next()?);
        let random = reader.bytes(32).ok()?.try_into().ok()?;
        let key = (reader.u32().ok()?, reader.u32().ok()?);
        let key = (flags & 1 != 0).then_some(key);
        if base > HIGHEST_VERSION || capacity > LONGEST_FILE || id == u64::MAX {
            return None;
        }
        Some(Ok(Self { store, id, base, capacity, created_ms, random, key, usual_key: (flags >> 16) as u16 }))
    }
}

/// The length of the file that marks a folder.
pub(crate) const MARK_FILE_LEN: u64 = 32;

/// What the folder's mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Tells the segments of one log from those of another.
    pub(crate) store: u64,
    /// What keys are hashed with.
    pub(crate) seed: u64,
}

impl Mark {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut out = MARK_MAGIC.to_vec();
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.store.to_le_bytes());
        out.extend_from_slice(&self.seed.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// # Errors
    /// `Newer`, or `Foreign` if it is damaged or something else.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let foreign = || Error::Foreign(format!("the file {MARK_NAME} is damaged or not ours"));
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(foreign)?;
        if !body.starts_with(MARK_MAGIC) || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(foreign());
        }
        let mut reader = Reader::new(body.get(8..).unwrap_or_default());
        let found = reader.u32().map_err(|_| foreign())?;
        if found > FORMAT {
            return Err(Error::Newer { found, known: FORMAT });
        }
        let mut next = || reader.u64().map_err(|_| foreign());
        Ok(Self { store: next()?, seed: next()? })
    }
}

/// The name of a segment's file.
pub(crate) fn segment_name(id: u64) -> String {
    format!("{id:08}.seg")
}

/// The number in the name of a file that is called so.
pub(crate) fn id_of(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let canonical = digits.len() >= 8 && (digits.len() == 8 || !digits.starts_with('0'));
    (canonical && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_marks_come_back_and_every_flipped_bit_is_noticed() {
        let header = Header {
            store: 1,
            id: 2,
            base: 3,
            capacity: 4,
            created_ms: 5,
            random: [6; 32],
            key: Some((7, 8)),
            usual_key: 9,
        };
        let mut bytes = Vec::new();
        header.append(&mut bytes);
        assert_eq!(bytes.len() as u64, HEADER_LEN);
        assert_eq!(Header::parse(&bytes).unwrap(), Some(header));
        let mark = Mark { store: 8, seed: 9 };
        let marked = mark.to_bytes();
        assert_eq!(marked.len() as u64, MARK_FILE_LEN);
        assert_eq!(Mark::parse(&marked).unwrap(), mark);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::parse(&damaged).unwrap(), None);
        }
        for bit in 0..marked.len() * 8 {
            let mut damaged = marked.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Mark::parse(&damaged).is_err());
        }
    }

    #[test]
    fn a_later_format_is_refused_in_words() {
        let mut bytes = Mark { store: 8, seed: 9 }.to_bytes();
        bytes[8] = 2;
        let end = bytes.len() - 4;
        let crc = crc32c::crc32c(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        let error = Mark::parse(&bytes).unwrap_err().to_string();
        assert!(error.contains("format 2") && error.contains("later release"), "{error}");
    }

    #[test]
    fn names_are_told_from_foreign_ones() {
        assert_eq!(id_of(&segment_name(12), "", ".seg"), Some(12));
        assert_eq!(id_of(&segment_name(1 << 40), "", ".seg"), Some(1 << 40));
        for name in ["1.seg", "0000000x.seg", "000000012.seg", "00000012.seg.bak", "spare.seg"] {
            assert_eq!(id_of(name, "", ".seg"), None, "{name}");
        }
    }
}
