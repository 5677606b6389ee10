//! LZ4: the length of the value as a little-endian base-128 number, then one block.

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

use crate::{Error, Result};

/// The most bytes that the length takes.
const LENGTH_BYTES: usize = 5;

pub(super) fn append(value: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut left = value.len();
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
    let start = out.len();
    out.resize(start + get_maximum_output_size(value.len()), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written = compress_into(value, room).map_err(|_| Error::Compression("LZ4 found too little room"))?;
    out.truncate(start + written);
    Ok(())
}

pub(super) fn restore(encoded: &[u8], len: usize, out: &mut Vec<u8>) -> Result<()> {
    let (_, block) = split(encoded)?;
    let start = out.len();
    out.resize(start + len, 0);
    match decompress_into(block, out.get_mut(start..).unwrap_or_default()) {
        Ok(restored) if restored == len => Ok(()),
        _ => Err(Error::Compression("the block is not valid LZ4 of the length that was declared")),
    }
}

pub(super) fn decoded_len(encoded: &[u8]) -> Result<usize> {
    let (len, block) = split(encoded)?;
    // One byte of a block stands for at most 255 bytes of output, in the tail of a long match.
    if len > block.len().saturating_mul(255) {
        return Err(Error::Compression("it claims more bytes than LZ4 can hold in its block"));
    }
    Ok(len)
}

/// The length, and the block behind it.
fn split(encoded: &[u8]) -> Result<(usize, &[u8])> {
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
