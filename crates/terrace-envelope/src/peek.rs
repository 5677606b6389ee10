//! The beginning of an envelope without the rest: enough to compare versions and to drop what has expired.
//!
//! The fields that such decisions need stand first, so that [`PEEK_LEN`](crate::PEEK_LEN) bytes of a longer
//! record suffice and the cost does not depend on the payload.

use crate::layout::{check_format, flag, verify};
use crate::reader::Reader;
use crate::{Error, FORMAT_VERSION, Result};

/// What stands at the beginning of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek {
    /// The format of the envelope.
    pub format: u8,
    /// The entry was deleted; `version` is the floor.
    pub tombstone: bool,
    /// The payload is stored compressed.
    pub compressed: bool,
    /// The payload is stored encrypted.
    pub encrypted: bool,
    /// How the payload was encoded.
    pub codec: u8,
    /// The hash of the value's type.
    pub type_fingerprint: u64,
    /// The version of the entry.
    pub version: u64,
    /// When it was created, wall milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When it expires, wall milliseconds since the Unix epoch; 0 = never.
    pub expires_ms: u64,
}

/// Reads the beginning of an envelope **without verifying anything behind it**.
///
/// A damaged envelope may answer with a wrong version or expiry. That is good enough for a choice that
/// [`open`](crate::open) will check later, and not for one that destroys something: there use
/// [`peek_verified`]. `bytes` may be a part of the envelope, the first [`PEEK_LEN`](crate::PEEK_LEN) bytes
/// suffice.
///
/// # Errors
/// `Truncated`, `BadMagic`, `UnsupportedVersion`, `UnknownFlags`.
///
/// # Cost
/// Constant: at most 40 bytes are read, nothing is allocated.
pub fn peek(bytes: &[u8]) -> Result<Peek> {
    check_format(bytes)?;
    Front::read(&mut Reader::new(bytes)).map(|front| front.peek)
}

/// Reads the beginning of a whole envelope after comparing its checksum.
///
/// It does not look at the key, nor decompress anything.
///
/// # Errors
/// Those of [`peek`], and `Checksum`.
///
/// # Cost
/// One pass of XXH3 over the envelope; nothing is allocated.
pub fn peek_verified(bytes: &[u8]) -> Result<Peek> {
    let covered = verify(bytes)?;
    Front::read(&mut Reader::new(covered)).map(|front| front.peek)
}

/// The beginning, and the flags that say what follows it.
pub(crate) struct Front {
    pub(crate) flags: u16,
    pub(crate) peek: Peek,
}

impl Front {
    /// Reads up to and including the expiry. Magic and format have been checked.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.bytes(5)?;
        let flags = reader.u16()?;
        let unknown = flags & !flag::KNOWN;
        if unknown != 0 {
            return Err(Error::UnknownFlags(unknown));
        }
        let peek = Peek {
            format: FORMAT_VERSION,
            tombstone: flags & flag::TOMBSTONE != 0,
            compressed: flags & flag::COMPRESSED != 0,
            encrypted: flags & flag::ENCRYPTED != 0,
            codec: reader.u8()?,
            type_fingerprint: reader.u64()?,
            version: reader.u64()?,
            created_ms: reader.u64()?,
            expires_ms: reader.u64_if(flags & flag::EXPIRES != 0)?,
        };
        Ok(Self { flags, peek })
    }
}
