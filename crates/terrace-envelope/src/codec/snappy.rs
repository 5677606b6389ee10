//! Snappy: its raw format, which begins with the length of the value.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use crate::{Error, Result};

/// Three bytes of the format copy at most 64 bytes.
const BEST_RATIO: usize = 22;

/// The tables of encoding: 2 KiB, and up to 32 KiB more once a longer value was encoded.
#[derive(Default)]
pub(super) struct State {
    encoder: Option<Box<Encoder>>,
}

impl State {
    pub(super) fn append(&mut self, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.resize(start + max_compress_len(value.len()), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let encoder = self.encoder.get_or_insert_with(|| Box::new(Encoder::new()));
        let written =
            encoder.compress(value, room).map_err(|_| Error::Compression("Snappy could not encode it"))?;
        out.truncate(start + written);
        Ok(())
    }
}

pub(super) fn restore(encoded: &[u8], len: usize, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    out.resize(start + len, 0);
    // A decoder has no state worth keeping.
    match Decoder::new().decompress(encoded, out.get_mut(start..).unwrap_or_default()) {
        Ok(restored) if restored == len => Ok(()),
        _ => Err(Error::Compression("the block is not valid Snappy of the length that was declared")),
    }
}

pub(super) fn decoded_len(encoded: &[u8]) -> Result<usize> {
    // The library takes nothing for an empty value, but never writes it so.
    if encoded.is_empty() {
        return Err(Error::Compression("its length is cut short"));
    }
    let len = decompress_len(encoded).map_err(|_| Error::Compression("its length is out of range"))?;
    if len > encoded.len().saturating_mul(BEST_RATIO) {
        return Err(Error::Compression("it claims more bytes than Snappy can hold in its block"));
    }
    Ok(len)
}
