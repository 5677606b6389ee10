//! Making a payload smaller, and restoring it without trusting what it says about itself.
//!
//! LZ4's block format is what [`seal`](crate::seal) writes: pure Rust, and fast enough that reading a compressed
//! entry costs less than fetching the bytes it saves. The envelope knows the uncompressed length, so the
//! block carries no length of its own and the output is allocated once, exactly.

#[cfg(feature = "lz4")]
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

use crate::{Error, Result};

/// When [`seal`](crate::seal) compresses a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// The payload stays as it is, and [`open`](crate::open) copies nothing.
    #[default]
    Never,
    /// The payload is compressed even where that makes it longer.
    Always,
    /// A payload of at least `min_size` bytes is compressed, and stays so if that saves an eighth or more.
    Auto {
        /// Bytes below which it is not tried.
        min_size: usize,
    },
}

impl Compress {
    /// Whether compressing a payload of this length should be tried.
    pub(crate) fn tries(self, len: usize) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Auto { min_size } => cfg!(feature = "lz4") && len >= min_size && len > 0,
        }
    }

    /// Whether the outcome is worth being kept.
    pub(crate) fn keeps(self, len: usize, compressed: usize) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Auto { .. } => compressed <= len - len / 8,
        }
    }
}

/// How a payload is compressed inside an envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// An LZ4 block without a dictionary.
    Lz4,
    /// A Zstandard frame. The [codec](crate::codec) makes and reads it, with a dictionary or without; an
    /// envelope of format 1 does not.
    Zstd,
    /// Snappy's raw format. For the [codec](crate::codec) alone, as are those that follow.
    Snappy,
    /// A raw Deflate stream.
    Deflate,
    /// A Brotli stream.
    Brotli,
}

impl Compression {
    /// The number of the algorithm, drawn in `docs/envelope.md`: fixed for ever.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
            Self::Snappy => 3,
            Self::Deflate => 4,
            Self::Brotli => 5,
        }
    }

    /// The algorithm with this number, if this release knows one.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            3 => Some(Self::Snappy),
            4 => Some(Self::Deflate),
            5 => Some(Self::Brotli),
            _ => None,
        }
    }

    /// Its name in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::Deflate => "deflate",
            Self::Brotli => "brotli",
        }
    }

    /// The algorithm of a compression section: an envelope of format 1 knows LZ4 alone.
    pub(crate) fn in_envelope(id: u8) -> Result<Self> {
        match Self::from_id(id) {
            Some(Self::Lz4) => Ok(Self::Lz4),
            _ => Err(Error::Compression("its algorithm is unknown to this release")),
        }
    }
}

/// Appends the LZ4 block of `payload` to `out` and returns its length.
///
/// On an error `out` may have grown; the caller, who knows where the envelope begins, cuts it back.
#[cfg(feature = "lz4")]
pub(crate) fn compress_lz4(payload: &[u8], out: &mut Vec<u8>) -> Result<usize> {
    let start = out.len();
    out.resize(start + get_maximum_output_size(payload.len()), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written =
        compress_into(payload, room).map_err(|_| Error::Compression("LZ4 found too little room"))?;
    out.truncate(start + written);
    Ok(written)
}

/// Restores the `len` bytes that `block` was made of.
///
/// `len` is checked against what LZ4 can produce at best from a block of this size before it is allocated, so
/// a tiny block cannot ask for much; the caller has checked it against its own limit.
#[cfg(feature = "lz4")]
pub(crate) fn decompress_lz4(block: &[u8], len: usize) -> Result<Vec<u8>> {
    // One byte of a block stands for at most 255 bytes of output, in the tail of a long match.
    if len > block.len().saturating_mul(255) {
        return Err(Error::Compression("it claims more bytes than LZ4 can hold in its block"));
    }
    let mut payload = vec![0; len];
    match decompress_into(block, &mut payload) {
        Ok(restored) if restored == len => Ok(payload),
        Ok(_) => Err(Error::Compression("the block ends before the length that was declared")),
        Err(_) => Err(Error::Compression("the block is not valid LZ4 of the length that was declared")),
    }
}

/// As with the feature `lz4`, which this build lacks.
#[cfg(not(feature = "lz4"))]
pub(crate) fn compress_lz4(_payload: &[u8], _out: &mut Vec<u8>) -> Result<usize> {
    Err(Error::Compression("LZ4 was left out of this build"))
}

/// As with the feature `lz4`, which this build lacks.
#[cfg(not(feature = "lz4"))]
pub(crate) fn decompress_lz4(_block: &[u8], _len: usize) -> Result<Vec<u8>> {
    Err(Error::Compression("LZ4 was left out of this build"))
}

#[cfg(all(test, feature = "lz4"))]
mod tests {
    use super::*;

    #[test]
    fn auto_wants_an_eighth_saved() {
        let auto = Compress::Auto { min_size: 64 };
        assert!(!auto.tries(63));
        assert!(auto.tries(64));
        assert!(auto.keeps(800, 700));
        assert!(!auto.keeps(800, 701));
        assert!(!Compress::Auto { min_size: 0 }.tries(0), "nothing cannot become less");
    }

    #[test]
    fn a_block_restores_only_to_its_own_length() {
        let payload = vec![7_u8; 10_000];
        let mut block = Vec::new();
        compress_lz4(&payload, &mut block).unwrap();
        assert_eq!(decompress_lz4(&block, 10_000).unwrap(), payload);
        assert!(matches!(decompress_lz4(&block, 10_001), Err(Error::Compression(_))));
        assert!(matches!(decompress_lz4(&block, 9_999), Err(Error::Compression(_))));
    }

    #[test]
    fn the_best_that_lz4_can_do_is_within_the_bound() {
        // Zeros compress best; the bound must never refuse what the compressor makes.
        for len in [0, 1, 12, 13, 100, 4_096, 65_536, 1 << 20] {
            let mut block = Vec::new();
            compress_lz4(&vec![0; len], &mut block).unwrap();
            assert_eq!(decompress_lz4(&block, len).map(|payload| payload.len()), Ok(len));
        }
    }

    #[test]
    fn a_tiny_block_cannot_ask_for_much() {
        assert_eq!(
            decompress_lz4(&[0; 10], 1 << 30),
            Err(Error::Compression("it claims more bytes than LZ4 can hold in its block"))
        );
    }
}
