//! An encoded value that says itself how it was encoded, so that any reader can read any writer.
//!
//! Decision: one byte for the algorithm, and four more for the dictionary where there is one. It is for those who have
//! no bits of their own to keep the two in; there is no checksum, since whoever stores values has one.

use super::Dictionary;
use crate::reader::Reader;
use crate::{Compression, Error, Result};

/// Set in the first byte if a dictionary's number follows.
const WITH_DICTIONARY: u8 = 0x80;

/// The head of a framed value, and what [`Coder::decode`](super::Coder::decode) takes.
///
/// ```
/// use terrace_envelope::Compression;
/// use terrace_envelope::codec::{Coder, Frame};
///
/// let (mut coder, mut framed, mut value) = (Coder::new(), Vec::new(), Vec::new());
/// Frame::begin(Compression::None, None, &mut framed);
/// coder.encode(Compression::None, None, &[7; 1000], &mut framed)?;
///
/// let frame = Frame::read(&framed)?;
/// coder.decode(frame.how, None, frame.encoded, 4096, &mut value)?;
/// assert_eq!(value, [7; 1000]);
/// # Ok::<(), terrace_envelope::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The algorithm.
    pub how: Compression,
    /// The number of the dictionary that is needed to decode it.
    pub dictionary: Option<u32>,
    /// What the algorithm made of the value.
    pub encoded: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The most bytes of a head.
    pub const MOST_ADDED: usize = 5;

    /// Appends the head; what [`Coder::encode`](super::Coder::encode) makes of the value follows it.
    ///
    /// Only Zstandard uses a dictionary, so with any other algorithm none is named.
    pub fn begin(how: Compression, dictionary: Option<&Dictionary>, out: &mut Vec<u8>) {
        match dictionary.filter(|_| how == Compression::Zstd) {
            None => out.push(how.id()),
            Some(dictionary) => {
                out.push(how.id() | WITH_DICTIONARY);
                out.extend_from_slice(&dictionary.id().to_le_bytes());
            }
        }
    }

    /// Takes a framed value apart. Nothing is decoded.
    ///
    /// # Errors
    /// `Truncated`, or `Compression` for an algorithm that this release does not know.
    pub fn read(framed: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(framed);
        let first = reader.u8()?;
        let how = Compression::from_id(first & !WITH_DICTIONARY)
            .ok_or(Error::Compression("its algorithm is unknown to this release"))?;
        let dictionary = if first & WITH_DICTIONARY != 0 { Some(reader.u32()?) } else { None };
        if dictionary.is_some() && how != Compression::Zstd {
            return Err(Error::Compression("its algorithm takes no dictionary"));
        }
        Ok(Self { how, dictionary, encoded: reader.rest() })
    }
}
