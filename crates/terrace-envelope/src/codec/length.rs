//! The length of a value before its encoded bytes, for the algorithms whose own form does not say it: a little-endian
//! base-128 number.

use crate::{Error, Result};

/// The most bytes that the length takes.
const LENGTH_BYTES: usize = 5;

pub(super) fn append(len: usize, out: &mut Vec<u8>) {
    let mut left = len;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// The length, and what stands behind it.
pub(super) fn split(encoded: &[u8]) -> Result<(usize, &[u8])> {
    let mut len = 0_u64;
    for (at, byte) in encoded.iter().take(LENGTH_BYTES).enumerate() {
        len |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let len = usize::try_from(len).map_err(|_| Error::Compression("its length is out of range"))?;
            return Ok((len, encoded.get(at + 1..).unwrap_or_default()));
        }
    }
    Err(Error::Compression("its length is cut short"))
}

/// The length, if what stands behind it can hold as much at `best_ratio` bytes for each of its own.
pub(super) fn plausible(encoded: &[u8], best_ratio: usize, refusal: &'static str) -> Result<usize> {
    let (len, block) = split(encoded)?;
    if len > block.len().saturating_mul(best_ratio) { Err(Error::Compression(refusal)) } else { Ok(len) }
}
