//! Appending the parts of a message.

use terrace_store::{Compress, Entry, Key, Result, Version};

use crate::record;

pub(super) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // Nothing here is longer than a message, which a u32 can count.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn key(out: &mut Vec<u8>, key: &Key) {
    bytes(out, key.flat());
}

pub(super) fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn optional_bytes(out: &mut Vec<u8>, found: Option<&[u8]>) {
    out.push(u8::from(found.is_some()));
    if let Some(found) = found {
        bytes(out, found);
    }
}

pub(super) fn optional_version(out: &mut Vec<u8>, version: Option<Version>) {
    out.push(u8::from(version.is_some()));
    if let Some(version) = version {
        number(out, version.0);
    }
}

/// The record of an entry, behind its length.
///
/// # Errors
/// `Invalid` if no record can hold it; `out` is then as it was.
pub(super) fn record(
    out: &mut Vec<u8>,
    key: &Key,
    entry: &Entry,
    compress_from: Option<usize>,
) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let sealed = record::seal(key, entry, entry.version, Compress::Default, compress_from, out);
    if let Err(error) = sealed {
        out.truncate(start);
        return Err(error);
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}
