//! Writing an envelope: checked first, then written front to back in one pass.
//!
//! A write to a server goes through here, so absent sections cost a test of a flag each, and nothing is
//! allocated besides the room in `out`.

use crate::compression::compress_lz4;
use crate::encryption::{Keyring, MOST_ADDED, append_section, encrypt};
use crate::layout::{CHECKSUM_LEN, FIXED_LEN, MAGIC, checksum, flag, key_hash};
use crate::{Compress, Compression, Error, FORMAT_VERSION, Fields, Header, Limits, Result};
use crate::{MAX_METADATA, MAX_STRING, MAX_TAGS};

/// The most bytes that the optional numbers take: expiry, freshness, idle limit, weight and priority, stamp.
const OPTIONAL_NUMBERS_LEN: usize = 8 + 8 + 8 + 5 + 8;

/// The most bytes between the lists and the payload: key hash, payload length, compression section.
const TAIL_LEN: usize = 8 + 4 + 9;

/// Appends the envelope of `payload` under `key` to `out`. The same arguments always give the same bytes.
///
/// # Errors
/// `TooLong` when a part exceeds what the format or `limits` allow, `Malformed` for a tombstone with a
/// payload. `out` then holds what it held before.
///
/// # Cost
/// One copy of the payload and one pass of XXH3 over the result: 52 bytes on top of a plain payload, 60 with
/// an expiry. Without compression `out` grows at most once. Compression needs room for the worst case (11/10
/// of the payload), which stays as spare capacity, and a table of 8 to 16 KiB for the time of the call.
pub fn seal(
    fields: &Fields<'_>,
    key: &[u8],
    payload: &[u8],
    compress: Compress,
    limits: Limits,
    out: &mut Vec<u8>,
) -> Result<()> {
    Plan { fields, key, compress, keyring: None }.append(payload, limits, out)
}

/// As [`seal`], with the payload encrypted by the keyring's current key and bound to all that stands before it and to
/// `key`. A tombstone has a payload of nothing, which is authenticated as well.
///
/// The same arguments give other bytes each time, since the nonce is random.
///
/// # Errors
/// As there, and `NoRandomness`.
///
/// # Cost
/// On top of [`seal`]: at most 49 bytes, one copy of what stands before the payload, and the encryption.
#[cfg(feature = "crypt")]
pub fn seal_encrypted(
    fields: &Fields<'_>,
    key: &[u8],
    payload: &[u8],
    compress: Compress,
    limits: Limits,
    keyring: &Keyring,
    out: &mut Vec<u8>,
) -> Result<()> {
    Plan { fields, key, compress, keyring: Some(keyring) }.append(payload, limits, out)
}

/// All that an envelope is made of but its payload.
struct Plan<'a> {
    fields: &'a Fields<'a>,
    key: &'a [u8],
    compress: Compress,
    keyring: Option<&'a Keyring>,
}

/// Where the parts of an envelope begin that are written when what stands behind them is known.
struct Parts {
    /// Behind the stored length, which ends the compression section.
    section: usize,
    payload: usize,
}

impl Plan<'_> {
    fn append(&self, payload: &[u8], limits: Limits, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let appended = self.append_all(payload, limits, out);
        if appended.is_err() {
            out.truncate(start);
        }
        appended
    }

    fn append_all(&self, payload: &[u8], limits: Limits, out: &mut Vec<u8>) -> Result<()> {
        let payload_len = check(self.fields, payload, limits)?;
        let start = out.len();
        let tries = self.compress.tries(payload.len()) && !self.fields.header.tombstone;
        let compressed = if tries { self.append_compressed(payload, payload_len, out)? } else { None };
        let parts = match compressed {
            Some(parts) => parts,
            None => {
                let added = if self.keyring.is_some() { MOST_ADDED } else { 0 };
                out.reserve(head_capacity(self.fields) + payload.len() + added + CHECKSUM_LEN);
                let parts = self.append_head(payload_len, Compression::None, out)?;
                out.extend_from_slice(payload);
                parts
            }
        };
        if let Some(keyring) = self.keyring {
            encrypt(keyring, self.key, [start, parts.section, parts.payload], out)?;
        }
        let sum = checksum(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&sum.to_le_bytes());
        Ok(())
    }

    /// Appends head and compressed payload, or nothing at all if that is not worth it.
    fn append_compressed(
        &self,
        payload: &[u8],
        payload_len: u32,
        out: &mut Vec<u8>,
    ) -> Result<Option<Parts>> {
        let start = out.len();
        let parts = self.append_head(payload_len, Compression::Lz4, out)?;
        let stored = compress_lz4(payload, out)?;
        let stored_len = u32::try_from(stored).ok().filter(|_| self.compress.keeps(payload.len(), stored));
        let Some(stored_len) = stored_len else {
            out.truncate(start);
            return Ok(None);
        };
        // It was not known when the head was written.
        if let Some(place) = out.get_mut(parts.section - 4..parts.section) {
            place.copy_from_slice(&stored_len.to_le_bytes());
        }
        Ok(Some(parts))
    }

    /// Appends everything that stands before the payload.
    fn append_head(&self, payload_len: u32, compression: Compression, out: &mut Vec<u8>) -> Result<Parts> {
        let flags =
            flags(self.fields, compression) | if self.keyring.is_some() { flag::ENCRYPTED } else { 0 };
        append_numbers(&self.fields.header, flags, out);
        append_lists(self.fields, flags, out);
        out.extend_from_slice(&key_hash(self.key).to_le_bytes());
        out.extend_from_slice(&payload_len.to_le_bytes());
        if flags & flag::COMPRESSED != 0 {
            out.push(compression.id());
            out.extend_from_slice(&[0; 8]); // no dictionary, and the place of the stored length
        }
        let section = out.len();
        if let Some(keyring) = self.keyring {
            append_section(keyring, out)?;
        }
        Ok(Parts { section, payload: out.len() })
    }
}

/// Refuses what the format or the caller's limits cannot carry; returns the payload's length as it is
/// written.
fn check(fields: &Fields<'_>, payload: &[u8], limits: Limits) -> Result<u32> {
    if fields.header.tombstone && !payload.is_empty() {
        return Err(Error::Malformed("a tombstone has no payload"));
    }
    within("tags", fields.tags.len(), MAX_TAGS)?;
    for tag in fields.tags {
        within("tag", tag.len(), MAX_STRING)?;
    }
    within("content type", fields.content_type.map_or(0, str::len), MAX_STRING)?;
    within("metadata pairs", fields.metadata.len(), MAX_METADATA)?;
    for (name, value) in fields.metadata {
        within("metadata name", name.len(), MAX_STRING)?;
        within("metadata value", value.len(), MAX_STRING)?;
    }
    let limit = limits.payload();
    within("payload", payload.len(), limit)?;
    u32::try_from(payload.len()).map_err(|_| Error::TooLong { what: "payload", limit })
}

fn within(what: &'static str, len: usize, limit: usize) -> Result<()> {
    if len <= limit { Ok(()) } else { Err(Error::TooLong { what, limit }) }
}

fn flags(fields: &Fields<'_>, compression: Compression) -> u16 {
    let header = &fields.header;
    let bit = |present: bool, bit: u16| if present { bit } else { 0 };
    bit(header.tombstone, flag::TOMBSTONE)
        | bit(header.expires_ms != 0, flag::EXPIRES)
        | bit(header.fresh_until_ms != 0, flag::FRESH_UNTIL)
        | bit(header.idle_ms != 0, flag::IDLE)
        | bit(header.weight != 0 || header.priority != 0, flag::WEIGHT)
        | bit(header.stamp != 0, flag::STAMP)
        | bit(!fields.tags.is_empty(), flag::TAGS)
        | bit(fields.content_type.is_some(), flag::CONTENT_TYPE)
        | bit(!fields.metadata.is_empty(), flag::METADATA)
        | bit(compression != Compression::None, flag::COMPRESSED)
}

fn append_numbers(header: &Header, flags: u16, out: &mut Vec<u8>) {
    let mut fixed = [0; FIXED_LEN];
    fixed[0..4].copy_from_slice(&MAGIC);
    fixed[4] = FORMAT_VERSION;
    fixed[5..7].copy_from_slice(&flags.to_le_bytes());
    fixed[7] = header.codec;
    fixed[8..16].copy_from_slice(&header.type_fingerprint.to_le_bytes());
    fixed[16..24].copy_from_slice(&header.version.to_le_bytes());
    fixed[24..32].copy_from_slice(&header.created_ms.to_le_bytes());
    out.extend_from_slice(&fixed);
    if flags & flag::EXPIRES != 0 {
        out.extend_from_slice(&header.expires_ms.to_le_bytes());
    }
    if flags & flag::FRESH_UNTIL != 0 {
        out.extend_from_slice(&header.fresh_until_ms.to_le_bytes());
    }
    if flags & flag::IDLE != 0 {
        out.extend_from_slice(&header.idle_ms.to_le_bytes());
    }
    if flags & flag::WEIGHT != 0 {
        out.extend_from_slice(&header.weight.to_le_bytes());
        out.push(header.priority);
    }
    if flags & flag::STAMP != 0 {
        out.extend_from_slice(&header.stamp.to_le_bytes());
    }
}

/// The casts keep their value: `check` has bounded every count and length.
fn append_lists(fields: &Fields<'_>, flags: u16, out: &mut Vec<u8>) {
    if flags & flag::TAGS != 0 {
        out.push(fields.tags.len() as u8);
        for tag in fields.tags {
            append_string(tag, out);
        }
    }
    if let Some(content_type) = fields.content_type {
        append_string(content_type.as_bytes(), out);
    }
    if flags & flag::METADATA != 0 {
        out.push(fields.metadata.len() as u8);
        for (name, value) in fields.metadata {
            append_string(name.as_bytes(), out);
            append_string(value.as_bytes(), out);
        }
    }
}

fn append_string(string: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(string.len() as u16).to_le_bytes());
    out.extend_from_slice(string);
}

/// Bytes that are always enough for the head of these fields.
fn head_capacity(fields: &Fields<'_>) -> usize {
    let string = |len: usize| 2 + len;
    let tags: usize = fields.tags.iter().map(|tag| string(tag.len())).sum();
    let metadata: usize =
        fields.metadata.iter().map(|(name, value)| string(name.len()) + string(value.len())).sum();
    let content_type = fields.content_type.map_or(0, |text| string(text.len()));
    FIXED_LEN + OPTIONAL_NUMBERS_LEN + 1 + tags + content_type + 1 + metadata + TAIL_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_value_costs_fifty_two_bytes_and_an_expiry_eight_more() {
        let mut out = Vec::new();
        let mut fields = Fields::default();
        seal(&fields, b"k", b"value", Compress::Never, Limits::default(), &mut out).unwrap();
        assert_eq!(out.len(), 52 + 5);
        fields.header.expires_ms = 1;
        out.clear();
        seal(&fields, b"k", b"value", Compress::Never, Limits::default(), &mut out).unwrap();
        assert_eq!(out.len(), 60 + 5);
    }

    #[test]
    fn the_room_that_was_reserved_is_enough() {
        let header = Header {
            expires_ms: 1,
            fresh_until_ms: 1,
            idle_ms: 1,
            weight: 1,
            priority: 1,
            stamp: 1,
            ..Header::default()
        };
        let tags: &[&[u8]] = &[b"a", b"longer tag", b""];
        let metadata = &[("etag", "\"1\""), ("", "")];
        let fields = Fields { header, tags, content_type: Some("text/plain"), metadata };
        let mut head = Vec::new();
        let plan = Plan { fields: &fields, key: b"key", compress: Compress::Always, keyring: None };
        plan.append_head(0, Compression::Lz4, &mut head).unwrap();
        assert_eq!(head.len(), head_capacity(&fields));
    }

    #[test]
    fn what_is_not_worth_it_stays_uncompressed_and_leaves_no_trace() {
        let noise: Vec<u8> = (0..4_096_u64).flat_map(|i| key_hash(&i.to_le_bytes()).to_le_bytes()).collect();
        let fields = Fields::default();
        let (mut never, mut auto) = (b"before".to_vec(), b"before".to_vec());
        seal(&fields, b"k", &noise, Compress::Never, Limits::default(), &mut never).unwrap();
        seal(&fields, b"k", &noise, Compress::Auto { min_size: 0 }, Limits::default(), &mut auto).unwrap();
        assert_eq!(auto, never);
    }
}
