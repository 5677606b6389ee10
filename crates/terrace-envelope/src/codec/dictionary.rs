//! Dictionaries: what many small values have in common, kept once instead of in each of them.
//!
//! A dictionary that is stored beside the data has a number, which values name, and a form with a checksum, drawn in
//! `docs/envelope.md`: a value that was decoded with a damaged dictionary would be another value.
//!
//! Decision: the number that Zstandard puts into each frame for its dictionary is set to none, because whoever
//! stores the frames knows the dictionary already; that saves four bytes of each value.

#[cfg(feature = "zstd")]
use zstd::zstd_safe::{CDict, DDict, train_from_buffer};

use crate::layout::checksum;
use crate::reader::Reader;
use crate::{Compression, Error, Result};

/// What a stored dictionary begins with. The first byte is not ASCII, so that no text file passes for one.
const STORED_MAGIC: [u8; 4] = [0x89, b'T', b'R', b'D'];

/// The form of a stored dictionary.
const STORED_FORMAT: u8 = 1;

/// The longest content that is stored or read.
const LONGEST: usize = 16 << 20;

/// What a dictionary of Zstandard begins with.
#[cfg(feature = "zstd")]
const MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// A dictionary, prepared for encoding and decoding.
///
/// Values encoded with it can be decoded only with it. It is immutable and may be shared by threads.
pub struct Dictionary {
    id: u32,
    content: Box<[u8]>,
    #[cfg(feature = "zstd")]
    encoder: CDict<'static>,
    #[cfg(feature = "zstd")]
    decoder: DDict<'static>,
    #[cfg(feature = "lz4")]
    lz4: Option<super::lz4::Prepared>,
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dictionary")
            .field("id", &self.id)
            .field("len", &self.content.len())
            .finish_non_exhaustive()
    }
}

impl Dictionary {
    /// Trains a dictionary of at most `max_len` bytes: finds what `samples` have in common.
    ///
    /// # Errors
    /// `Compression` if there are too few samples to learn from (a hundred times `max_len` in all is good), or
    /// if dictionaries were left out of this build.
    ///
    /// # Cost
    /// About 60 ms for each MiB of samples: work for the background.
    #[cfg(feature = "zstd")]
    pub fn train(samples: &[u8], lengths: &[usize], max_len: usize) -> Result<Self> {
        if lengths.iter().sum::<usize>() != samples.len() {
            return Err(Error::Compression("the lengths of the samples do not add up to the samples"));
        }
        let mut content = vec![0; max_len];
        let trained = train_from_buffer(content.as_mut_slice(), samples, lengths);
        let len = trained.map_err(|_| Error::Compression("there is too little to learn from"))?;
        content.truncate(len);
        Self::new(&content)
    }

    /// Prepares a dictionary whose content was trained before.
    ///
    /// # Errors
    /// `Compression` if the content is not a dictionary, or if dictionaries were left out of this build.
    #[cfg(feature = "zstd")]
    pub fn new(content: &[u8]) -> Result<Self> {
        const REFUSED: Error = Error::Compression("not a trained dictionary");
        let mut content: Box<[u8]> = content.into();
        if !content.starts_with(&MAGIC) {
            return Err(REFUSED);
        }
        content.get_mut(4..8).ok_or(REFUSED)?.fill(0);
        let encoder = CDict::try_create(&content, super::zstd::LEVEL).ok_or(REFUSED)?;
        let decoder = DDict::try_create(&content).ok_or(REFUSED)?;
        Ok(Self {
            id: 0,
            content,
            encoder,
            decoder,
            #[cfg(feature = "lz4")]
            lz4: None,
        })
    }

    /// As with the feature `zstd`, which this build lacks.
    ///
    /// # Errors
    /// Always `Compression`.
    #[cfg(not(feature = "zstd"))]
    pub fn train(_samples: &[u8], _lengths: &[usize], _max_len: usize) -> Result<Self> {
        Err(Error::Compression("dictionaries were left out of this build"))
    }

    /// As with the feature `zstd`, which this build lacks.
    ///
    /// # Errors
    /// Always `Compression`.
    #[cfg(not(feature = "zstd"))]
    pub fn new(_content: &[u8]) -> Result<Self> {
        Err(Error::Compression("dictionaries were left out of this build"))
    }

    /// The same dictionary with a number, by which values that are stored name it. A number is given once: another
    /// dictionary has another.
    #[must_use]
    pub fn with_id(self, id: u32) -> Self {
        Self { id, ..self }
    }

    /// The same dictionary for LZ4, too: without this, LZ4 ignores it. Of its content the last 32 KiB are used, for
    /// values that are not longer than 64 KiB with them. What was encoded before by LZ4 must be decoded without the
    /// dictionary.
    ///
    /// # Cost
    /// Up to 80 KiB, and about a quarter of a millisecond.
    #[must_use]
    pub fn with_lz4(self) -> Self {
        #[cfg(feature = "lz4")]
        return Self { lz4: Some(super::lz4::Prepared::new(&self.content)), ..self };
        #[cfg(not(feature = "lz4"))]
        self
    }

    /// Its number; 0 if it was never given one.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Appends the form in which it is stored, with its number and a checksum.
    ///
    /// # Errors
    /// `TooLong` beyond 16 MiB; `out` is as it was then.
    pub fn store(&self, out: &mut Vec<u8>) -> Result<()> {
        let too_long = Error::TooLong { what: "dictionary", limit: LONGEST };
        let len = u32::try_from(self.content.len()).map_err(|_| too_long)?;
        if self.content.len() > LONGEST {
            return Err(too_long);
        }
        let start = out.len();
        out.extend_from_slice(&STORED_MAGIC);
        out.extend_from_slice(&[STORED_FORMAT, Compression::Zstd.id()]);
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.content);
        let sum = checksum(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&sum.to_le_bytes());
        Ok(())
    }

    /// Reads the form in which a dictionary is stored. `stored` is exactly that.
    ///
    /// # Errors
    /// `BadMagic`, `UnsupportedVersion`, `Truncated`, `Checksum` and `Malformed` for what is no such thing; `TooLong`
    /// beyond 16 MiB; `Compression` as for [`Dictionary::new`], or for an algorithm that this release does not know.
    pub fn from_stored(stored: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(stored);
        if reader.bytes(4)? != STORED_MAGIC {
            return Err(Error::BadMagic);
        }
        match reader.u8()? {
            STORED_FORMAT => {}
            other => return Err(Error::UnsupportedVersion(other)),
        }
        let (covered, sum) = stored.split_last_chunk::<8>().ok_or(Error::Truncated)?;
        if checksum(covered) != u64::from_le_bytes(*sum) {
            return Err(Error::Checksum);
        }
        let mut reader = Reader::new(covered);
        reader.bytes(5)?;
        if Compression::from_id(reader.u8()?) != Some(Compression::Zstd) {
            return Err(Error::Compression("the dictionary's algorithm is unknown to this release"));
        }
        let (id, len) = (reader.u32()?, reader.u32()? as usize);
        if len > LONGEST {
            return Err(Error::TooLong { what: "dictionary", limit: LONGEST });
        }
        let content = reader.bytes(len)?;
        if !reader.rest().is_empty() {
            return Err(Error::Malformed("bytes behind the dictionary"));
        }
        Ok(Self::new(content)?.with_id(id))
    }

    /// The content, from which [`Dictionary::new`] makes the same dictionary.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.content
    }

    /// The bytes that it holds on the heap with what was prepared from it.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        #[cfg(feature = "zstd")]
        let prepared = self.encoder.sizeof() + self.decoder.sizeof();
        #[cfg(not(feature = "zstd"))]
        let prepared = 0;
        #[cfg(feature = "lz4")]
        let prepared = prepared + self.lz4.as_ref().map_or(0, super::lz4::Prepared::heap_bytes);
        self.content.len() + prepared
    }

    #[cfg(feature = "lz4")]
    pub(super) fn lz4(&self) -> Option<&super::lz4::Prepared> {
        self.lz4.as_ref()
    }

    #[cfg(feature = "zstd")]
    pub(super) fn encoder(&self) -> &CDict<'static> {
        &self.encoder
    }

    #[cfg(feature = "zstd")]
    pub(super) fn decoder(&self) -> &DDict<'static> {
        &self.decoder
    }
}
