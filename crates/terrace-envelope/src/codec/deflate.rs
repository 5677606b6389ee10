//! Deflate: the length of the value, then a raw stream (RFC 1951) without the frame of zlib or gzip, whose checksum
//! would be one too many.

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress, Status};

use super::length;
use crate::{Error, Result};

/// A match of 258 bytes takes at least two bits.
const BEST_RATIO: usize = 1032;

/// Higher levels gain one or two per cent on values of a few kilobytes, and cost a multiple.
const LEVEL: u32 = 6;

/// The working memory of encoding and of decoding, each made at its first use.
#[derive(Default)]
pub(super) struct State {
    encoder: Option<Compress>,
    decoder: Option<Decompress>,
}

impl State {
    pub(super) fn append(&mut self, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
        length::append(value.len(), out);
        let start = out.len();
        out.resize(start + most(value.len()), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let encoder = self.encoder.get_or_insert_with(|| Compress::new(Level::new(LEVEL), false));
        encoder.reset();
        match encoder.compress(value, room, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => {}
            _ => return Err(Error::Compression("Deflate could not encode it")),
        }
        let written = usize::try_from(encoder.total_out()).unwrap_or(usize::MAX);
        out.truncate(start.saturating_add(written));
        Ok(())
    }

    pub(super) fn restore(&mut self, encoded: &[u8], len: usize, out: &mut Vec<u8>) -> Result<()> {
        let (_, stream) = length::split(encoded)?;
        let start = out.len();
        out.resize(start + len, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let decoder = self.decoder.get_or_insert_with(|| Decompress::new(false));
        decoder.reset(false);
        let ended =
            matches!(decoder.decompress(stream, room, FlushDecompress::Finish), Ok(Status::StreamEnd));
        if ended && decoder.total_out() == len as u64 && decoder.total_in() == stream.len() as u64 {
            Ok(())
        } else {
            Err(Error::Compression("the stream is not valid Deflate of the length that was declared"))
        }
    }
}

/// The most bytes that a stream of a value of this length takes: blocks that are stored as they are, with 5 bytes
/// each, of at least 8 KiB each; and a little for the end.
fn most(len: usize) -> usize {
    len + (len >> 13) * 5 + 64
}

pub(super) fn decoded_len(encoded: &[u8]) -> Result<usize> {
    length::plausible(encoded, BEST_RATIO, "it claims more bytes than Deflate can hold in its stream")
}
