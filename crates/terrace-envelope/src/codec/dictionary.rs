//! Dictionaries: what many small values have in common, kept once instead of in each of them.
//!
//! Decision: the number that Zstandard puts into each frame for its dictionary is set to none, because whoever
//! stores the frames knows the dictionary already; that saves four bytes of each value.

#[cfg(feature = "zstd")]
use zstd::zstd_safe::{CDict, DDict, train_from_buffer};

use crate::{Error, Result};

/// What a dictionary of Zstandard begins with.
#[cfg(feature = "zstd")]
const MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// A dictionary, prepared for encoding and decoding.
///
/// Values encoded with it can be decoded only with it. It is immutable and may be shared by threads.
pub struct Dictionary {
    content: Box<[u8]>,
    #[cfg(feature = "zstd")]
    encoder: CDict<'static>,
    #[cfg(feature = "zstd")]
    decoder: DDict<'static>,
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dictionary").field("len", &self.content.len()).finish_non_exhaustive()
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
        Ok(Self { content, encoder, decoder })
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
        self.content.len() + prepared
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
