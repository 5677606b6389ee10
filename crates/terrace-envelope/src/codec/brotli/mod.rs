//! Brotli: the length of the value, then a stream (RFC 7932) with a window of at most 256 KiB.
//!
//! Decision: the window bounds what a stranger's stream can make a decoder allocate, and a cache's values are rarely
//! longer; larger windows are refused. The library allocates through a trait, so its memory comes from a pool that
//! the coder keeps.

mod pool;

use brotli::enc::encode::{
    BrotliEncoderMaxCompressedSize, BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct,
};
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use pool::Pool;

use super::length;
use crate::{Error, Result};

/// Higher qualities gain some per cent and cost a multiple.
const QUALITY: u32 = 5;

/// The logarithm of the window, whatever the length of the value: memory is taken as it is needed, and at this quality
/// the library makes a table of 32 MiB for windows of 2^16 and less.
const WINDOW: u32 = 18;

/// A stream may hold 16 MiB in each of its parts, and a part takes four bytes at least.
const BEST_RATIO: usize = 1 << 22;

/// The working memory of encoding and decoding: up to 8 MiB of it are kept.
#[derive(Default)]
pub(super) struct State {
    pool: Pool,
}

impl State {
    pub(super) fn append(&mut self, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
        length::append(value.len(), out);
        let start = out.len();
        out.resize(start + BrotliEncoderMaxCompressedSize(value.len()), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let mut encoder = BrotliEncoderStateStruct::new(self.pool.clone());
        encoder.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, QUALITY);
        encoder.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, WINDOW);
        encoder.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT, value.len() as u32);
        let (mut left, mut from) = (value.len(), 0);
        let (mut space, mut written) = (room.len(), 0);
        let done = encoder.compress_stream(
            BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
            &mut left,
            value,
            &mut from,
            &mut space,
            room,
            &mut written,
            &mut None,
            &mut |_, _, _, _| (),
        );
        if !done || !encoder.is_finished() {
            return Err(Error::Compression("Brotli could not encode it"));
        }
        out.truncate(start + written);
        Ok(())
    }

    pub(super) fn restore(&mut self, encoded: &[u8], len: usize, out: &mut Vec<u8>) -> Result<()> {
        const INVALID: Error =
            Error::Compression("the stream is not valid Brotli of the length that was declared");
        let (_, stream) = length::split(encoded)?;
        if declared_window(stream).is_none_or(|window| window > WINDOW) {
            return Err(INVALID);
        }
        let start = out.len();
        out.resize(start + len, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let mut state = BrotliState::new_strict(self.pool.clone(), self.pool.clone(), self.pool.clone());
        let (mut left, mut from) = (stream.len(), 0);
        let (mut space, mut written, mut total) = (room.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut from,
            stream,
            &mut space,
            &mut written,
            room,
            &mut total,
            &mut state,
        );
        match result {
            BrotliResult::ResultSuccess if written == len && left == 0 => Ok(()),
            _ => Err(INVALID),
        }
    }
}

/// The logarithm of the window that a stream begins with (RFC 7932, section 9.1), unless it is of the kind for large
/// windows or there is none.
fn declared_window(stream: &[u8]) -> Option<u32> {
    let first = u32::from(*stream.first()?);
    if first & 1 == 0 {
        return Some(16);
    }
    match (first >> 1 & 7, first >> 4 & 7) {
        (0, 0) => Some(17),
        (0, 1) => None,
        (0, bits) => Some(8 + bits),
        (bits, _) => Some(17 + bits),
    }
}

pub(super) fn decoded_len(encoded: &[u8]) -> Result<usize> {
    length::plausible(encoded, BEST_RATIO, "it claims more bytes than Brotli can hold in its stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_the_one_that_was_asked_for_and_larger_ones_are_refused() {
        let mut state = State::default();
        for len in [0, 1000, 100_000, 1 << 20] {
            let mut encoded = Vec::new();
            state.append(&vec![7; len], &mut encoded).unwrap();
            let (_, stream) = length::split(&encoded).unwrap();
            assert_eq!(declared_window(stream), Some(WINDOW), "for {len} bytes");
        }
        // What another encoder makes of nothing, with windows of 2^18 and 2^19: header, then an empty last part.
        let empty = |bits: u8| [0, 1 | (bits - 17) << 1 | 3 << 4];
        assert_eq!(state.restore(&empty(18), 0, &mut Vec::new()), Ok(()));
        assert!(state.restore(&empty(19), 0, &mut Vec::new()).is_err());
    }
}
