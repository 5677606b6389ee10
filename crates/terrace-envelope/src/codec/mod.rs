//! Values made smaller for memory or a disk, in a form that says itself how long it will be again.
//!
//! Decision: what [`Coder::encode`] writes carries the length of the value but neither the algorithm nor the
//! dictionary: whoever stores many values keeps those two in a few bits of its own. A Zstandard frame is stored
//! without its magic number and without a dictionary's number, which are 8 bytes that say nothing new.
//!
//! An algorithm is one file here and one feature of this crate. Without the feature its values cannot be made
//! or read, and both say so.

mod adaptive;
#[cfg(feature = "brotli")]
mod brotli;
mod choice;
#[cfg(feature = "deflate")]
mod deflate;
mod dictionary;
mod frame;
#[cfg(any(feature = "lz4", feature = "deflate", feature = "brotli"))]
mod length;
#[cfg(feature = "lz4")]
mod lz4;
mod sample;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

pub use adaptive::{Adaptive, Aim};
pub use choice::{Choice, Worth};
pub use dictionary::Dictionary;
pub use frame::Frame;
pub use sample::looks_random;

use crate::{Compression, Error, Result};

/// Every algorithm that makes values smaller, whether it is built or not, in the order of their numbers.
pub const ALGORITHMS: [Compression; 5] =
    [Compression::Lz4, Compression::Zstd, Compression::Snappy, Compression::Deflate, Compression::Brotli];

/// Why an algorithm cannot be used in a build without its feature.
#[cfg(not(all(
    feature = "lz4",
    feature = "zstd",
    feature = "snappy",
    feature = "deflate",
    feature = "brotli"
)))]
const NOT_BUILT: Error = Error::Compression("its algorithm was left out of this build");

/// Encodes and decodes values, with the working memory that this takes.
///
/// The memory is allocated when an algorithm is first used and kept, so that from then on nothing is allocated but
/// the room in `out`, as long as values stay below 1 MiB: for Zstandard about 100 KiB for decoding, and up to a few
/// MiB for encoding large values; for Brotli up to 8 MiB; for the others 50 to 350 KiB. One for each thread is enough.
#[derive(Default)]
pub struct Coder {
    #[cfg(feature = "brotli")]
    brotli: brotli::State,
    #[cfg(feature = "deflate")]
    deflate: deflate::State,
    #[cfg(feature = "lz4")]
    lz4: lz4::Tables,
    #[cfg(feature = "snappy")]
    snappy: snappy::State,
    #[cfg(feature = "zstd")]
    zstd: zstd::Contexts,
    /// What [`Adaptive`] tries algorithms in.
    scratch: [Vec<u8>; 2],
}

/// One large value must not leave its size behind in every thread.
const MOST_SCRATCH: usize = 1 << 20;

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coder").finish_non_exhaustive()
    }
}

impl Coder {
    /// A coder that has allocated nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn keep_scratch(&mut self, scratch: [Vec<u8>; 2]) {
        self.scratch = scratch.map(|room| if room.capacity() > MOST_SCRATCH { Vec::new() } else { room });
    }

    /// Appends the encoded form of `value` to `out` and returns its length, which may be more than the value's.
    ///
    /// Only Zstandard uses a dictionary, and LZ4 one that was prepared for it ([`Dictionary::with_lz4`]); the other
    /// algorithms ignore it.
    ///
    /// # Errors
    /// `Compression` if the algorithm was left out of this build or has failed; `TooLong` beyond 4 GiB - 1.
    /// `out` is as it was then.
    pub fn encode(
        &mut self,
        how: Compression,
        dictionary: Option<&Dictionary>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        if value.len() > u32::MAX as usize {
            return Err(Error::TooLong { what: "value", limit: u32::MAX as usize });
        }
        let start = out.len();
        let done = self.append(how, dictionary, value, out);
        if done.is_err() {
            out.truncate(start);
        }
        done.map(|()| out.len() - start)
    }

    fn append(
        &mut self,
        how: Compression,
        dictionary: Option<&Dictionary>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        // Used by one algorithm, which may be left out.
        let _ = dictionary;
        match how {
            Compression::None => {
                out.extend_from_slice(value);
                Ok(())
            }
            #[cfg(feature = "lz4")]
            Compression::Lz4 => self.lz4.append(dictionary.and_then(Dictionary::lz4), value, out),
            #[cfg(feature = "zstd")]
            Compression::Zstd => self.zstd.append(dictionary, value, out),
            #[cfg(feature = "snappy")]
            Compression::Snappy => self.snappy.append(value, out),
            #[cfg(feature = "deflate")]
            Compression::Deflate => self.deflate.append(value, out),
            #[cfg(feature = "brotli")]
            Compression::Brotli => self.brotli.append(value, out),
            #[cfg(not(all(
                feature = "lz4",
                feature = "zstd",
                feature = "snappy",
                feature = "deflate",
                feature = "brotli"
            )))]
            _ => Err(NOT_BUILT),
        }
    }

    /// Appends the value that `encoded` was made of to `out` and returns its length.
    ///
    /// The length is compared with `limit` and with what the encoded bytes can hold at best before anything is
    /// allocated. Algorithm and dictionary must be those it was encoded with: another algorithm is an error or
    /// gives other bytes, so whoever stores the pair guards it by a checksum.
    ///
    /// # Errors
    /// `TooLong` for a value beyond `limit`, `Compression` for damage. `out` is as it was then.
    pub fn decode(
        &mut self,
        how: Compression,
        dictionary: Option<&Dictionary>,
        encoded: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        let len = decoded_len(how, encoded)?;
        if len > limit {
            return Err(Error::TooLong { what: "value", limit });
        }
        let start = out.len();
        let done = self.restore(how, dictionary, encoded, len, out);
        if done.is_err() {
            out.truncate(start);
        }
        done.map(|()| len)
    }

    fn restore(
        &mut self,
        how: Compression,
        dictionary: Option<&Dictionary>,
        encoded: &[u8],
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let _ = (dictionary, len);
        match how {
            Compression::None => {
                out.extend_from_slice(encoded);
                Ok(())
            }
            #[cfg(feature = "lz4")]
            Compression::Lz4 => lz4::restore(dictionary.and_then(Dictionary::lz4), encoded, len, out),
            #[cfg(feature = "zstd")]
            Compression::Zstd => self.zstd.restore(dictionary, encoded, len, out),
            #[cfg(feature = "snappy")]
            Compression::Snappy => snappy::restore(encoded, len, out),
            #[cfg(feature = "deflate")]
            Compression::Deflate => self.deflate.restore(encoded, len, out),
            #[cfg(feature = "brotli")]
            Compression::Brotli => self.brotli.restore(encoded, len, out),
            #[cfg(not(all(
                feature = "lz4",
                feature = "zstd",
                feature = "snappy",
                feature = "deflate",
                feature = "brotli"
            )))]
            _ => Err(NOT_BUILT),
        }
    }
}

/// The length of the value that `encoded` claims to hold, if these bytes could hold as much.
///
/// # Errors
/// `Compression` if the beginning is damaged, or claims more than the algorithm can do.
pub fn decoded_len(how: Compression, encoded: &[u8]) -> Result<usize> {
    match how {
        Compression::None => Ok(encoded.len()),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::decoded_len(encoded),
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd::decoded_len(encoded),
        #[cfg(feature = "snappy")]
        Compression::Snappy => snappy::decoded_len(encoded),
        #[cfg(feature = "deflate")]
        Compression::Deflate => deflate::decoded_len(encoded),
        #[cfg(feature = "brotli")]
        Compression::Brotli => brotli::decoded_len(encoded),
        #[cfg(not(all(
            feature = "lz4",
            feature = "zstd",
            feature = "snappy",
            feature = "deflate",
            feature = "brotli"
        )))]
        _ => Err(NOT_BUILT),
    }
}

/// Whether values can be encoded with this algorithm in this build.
#[must_use]
pub const fn is_built(how: Compression) -> bool {
    match how {
        Compression::None => true,
        Compression::Lz4 => cfg!(feature = "lz4"),
        Compression::Zstd => cfg!(feature = "zstd"),
        Compression::Snappy => cfg!(feature = "snappy"),
        Compression::Deflate => cfg!(feature = "deflate"),
        Compression::Brotli => cfg!(feature = "brotli"),
    }
}
