//! Reading an envelope: the checksum first, then every section against what is left, then the payload.
//!
//! The payload and the lists stay where they are: what comes back shares the memory of the envelope, and the
//! only thing ever allocated is the output of decompression, after its length was bounded.

use bytes::Bytes;

use crate::compression::decompress_lz4;
use crate::encryption::{Keyring, decrypt};
use crate::layout::{flag, key_hash, verify};
use crate::peek::Front;
use crate::reader::Reader;
use crate::{Compression, Error, Header, Limits, MAX_TAGS, Result};

/// An envelope that was verified and opened.
#[derive(Clone, Debug)]
pub struct Opened {
    header: Header,
    compression: Compression,
    payload: Bytes,
    tags: Bytes,
    content_type: Option<Bytes>,
    metadata: Bytes,
    key_id: Option<u32>,
}

impl Opened {
    /// The numbers of the entry.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The payload. It shares the memory of the envelope unless it was compressed; a tombstone's is empty.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload alone, without touching a reference count.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// How the payload was stored.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The number of the key that the payload was encrypted with, if it was. Who takes nothing but encrypted
    /// entries looks here: a forger needs no key to write a plain envelope.
    #[must_use]
    pub fn encrypted_with(&self) -> Option<u32> {
        self.key_id
    }

    /// The tags, in the order in which they were sealed.
    #[must_use]
    pub fn tags(&self) -> Tags<'_> {
        Tags { left: Reader::new(&self.tags) }
    }

    /// The media type of the payload.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        // It was found to be UTF-8 when the envelope was opened.
        self.content_type.as_deref().and_then(|text| std::str::from_utf8(text).ok())
    }

    /// The metadata pairs, in the order in which they were sealed.
    #[must_use]
    pub fn metadata(&self) -> Metadata<'_> {
        Metadata { left: Reader::new(&self.metadata) }
    }
}

/// The tags of an [`Opened`] envelope.
#[derive(Clone, Debug)]
pub struct Tags<'a> {
    left: Reader<'a>,
}

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left.string().ok()
    }
}

/// The metadata of an [`Opened`] envelope: name and value.
#[derive(Clone, Debug)]
pub struct Metadata<'a> {
    left: Reader<'a>,
}

impl<'a> Iterator for Metadata<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        Some((self.left.text().ok()?, self.left.text().ok()?))
    }
}

/// Opens one whole envelope that was sealed for `key`.
///
/// `envelope` must be exactly one: bytes after it are an error, since they cannot be told from damage.
///
/// # Errors
/// Every variant of [`Error`]. Damage of any kind is an error, never a wrong value: the checksum covers all
/// bytes before it, and is compared before anything is believed.
///
/// # Cost
/// One pass of XXH3 over the envelope. Nothing is copied, and nothing allocated but the reference count that
/// `Bytes` makes when memory is shared for the first time. A compressed payload is the exception: its
/// uncompressed length is allocated once, after it was found to be within `limits` and possible.
pub fn open(envelope: &Bytes, key: &[u8], limits: Limits) -> Result<Opened> {
    open_with(envelope, key, limits, None)
}

/// As [`open`], for envelopes of which some or all are encrypted.
///
/// # Errors
/// As there. For an encrypted payload in particular `MissingKey`, `WrongKey`, and `Unauthentic` if anything that
/// stands before it, the key or the payload itself is not what was sealed.
///
/// # Cost
/// On top of [`open`]: an encrypted payload is copied once, and with it what stands before it.
#[cfg(feature = "crypt")]
pub fn open_encrypted(envelope: &Bytes, key: &[u8], limits: Limits, keyring: &Keyring) -> Result<Opened> {
    open_with(envelope, key, limits, Some(keyring))
}

fn open_with(envelope: &Bytes, key: &[u8], limits: Limits, keyring: Option<&Keyring>) -> Result<Opened> {
    let covered = verify(envelope)?;
    let mut reader = Reader::new(covered);
    let front = Front::read(&mut reader)?;
    let flags = front.flags;
    let header = read_header(&front, &mut reader)?;

    let tags = if flags & flag::TAGS != 0 { skip_tags(&mut reader)? } else { &[] };
    let content_type = if flags & flag::CONTENT_TYPE != 0 { Some(reader.text()?) } else { None };
    let metadata = if flags & flag::METADATA != 0 { skip_metadata(&mut reader)? } else { &[] };

    if reader.u64()? != key_hash(key) {
        return Err(Error::KeyMismatch);
    }
    let payload_len = reader.u32()? as usize;
    if header.tombstone && (payload_len != 0 || flags & flag::COMPRESSED != 0) {
        return Err(Error::Malformed("a tombstone with a payload"));
    }
    if payload_len > limits.payload() {
        return Err(Error::TooLong { what: "payload", limit: limits.payload() });
    }
    let compression = if flags & flag::COMPRESSED != 0 { Some(read_compression(&mut reader)?) } else { None };
    let stored_len = compression.map_or(payload_len, |(_, stored_len)| stored_len);
    let (key_id, stored) = if flags & flag::ENCRYPTED != 0 {
        let keyring = keyring.ok_or(Error::Encrypted)?;
        let (key_id, text) = decrypt(keyring, key, covered, &mut reader, stored_len)?;
        (Some(key_id), Bytes::from(text))
    } else {
        fits(reader.rest(), stored_len)?;
        (None, share(envelope, reader.rest()))
    };
    let (compression, payload) = match compression {
        None => (Compression::None, stored),
        Some((algorithm, _)) => (algorithm, Bytes::from(decompress_lz4(&stored, payload_len)?)),
    };
    Ok(Opened {
        header,
        compression,
        payload,
        tags: share(envelope, tags),
        content_type: content_type.map(|text| share(envelope, text.as_bytes())),
        metadata: share(envelope, metadata),
        key_id,
    })
}

fn read_header(front: &Front, reader: &mut Reader<'_>) -> Result<Header> {
    let (flags, peek) = (front.flags, &front.peek);
    let fresh_until_ms = reader.u64_if(flags & flag::FRESH_UNTIL != 0)?;
    let idle_ms = reader.u64_if(flags & flag::IDLE != 0)?;
    let (weight, priority) = if flags & flag::WEIGHT != 0 { (reader.u32()?, reader.u8()?) } else { (0, 0) };
    let stamp = reader.u64_if(flags & flag::STAMP != 0)?;
    Ok(Header {
        tombstone: peek.tombstone,
        codec: peek.codec,
        type_fingerprint: peek.type_fingerprint,
        version: peek.version,
        created_ms: peek.created_ms,
        expires_ms: peek.expires_ms,
        fresh_until_ms,
        idle_ms,
        stamp,
        weight,
        priority,
    })
}

/// Walks over the tags and returns their bytes, without the count.
fn skip_tags<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8]> {
    let count = usize::from(reader.u8()?);
    if count > MAX_TAGS {
        return Err(Error::TooLong { what: "tags", limit: MAX_TAGS });
    }
    let from = reader.rest();
    for _ in 0..count {
        reader.string()?;
    }
    Ok(before(from, reader))
}

/// Walks over the metadata and returns its bytes, without the count.
fn skip_metadata<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8]> {
    let count = reader.u8()?;
    let from = reader.rest();
    for _ in 0..count {
        reader.text()?;
        reader.text()?;
    }
    Ok(before(from, reader))
}

/// The part of `from` that `reader` has passed since it stood at the beginning of `from`.
fn before<'a>(from: &'a [u8], reader: &Reader<'a>) -> &'a [u8] {
    let passed = from.len().saturating_sub(reader.rest().len());
    from.get(..passed).unwrap_or_default()
}

/// Reads algorithm and stored length; dictionaries other than none do not exist yet.
fn read_compression(reader: &mut Reader<'_>) -> Result<(Compression, usize)> {
    let algorithm = Compression::in_envelope(reader.u8()?)?;
    if reader.u32()? != 0 {
        return Err(Error::Compression("its dictionary is unknown to this release"));
    }
    Ok((algorithm, reader.u32()? as usize))
}

/// The payload must fill exactly what is left before the checksum.
pub(crate) fn fits(stored: &[u8], declared: usize) -> Result<()> {
    match stored.len().cmp(&declared) {
        std::cmp::Ordering::Less => Err(Error::Truncated),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(Error::Malformed("bytes between payload and checksum")),
    }
}

/// A part of the envelope as bytes of their own; nothing at all does not keep the envelope alive.
fn share(envelope: &Bytes, part: &[u8]) -> Bytes {
    if part.is_empty() { Bytes::new() } else { envelope.slice_ref(part) }
}

#[cfg(test)]
mod tests;
