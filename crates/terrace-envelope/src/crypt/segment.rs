//! Records of one segment: the nonce is the offset, which nobody has to store.
//!
//! Decision: a cipher that writes remembers the highest offset it has sealed and refuses any that is not above it.
//! Two texts under one nonce give their difference away, and with XChaCha20-Poly1305 the means to forge; one
//! compare-and-swap for each record is cheap beside that. Who failed to write a record either writes the same
//! bytes again or goes on at a higher offset.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cipher::Cipher;
use super::keyring::Key;
use super::{Algorithm, TAG_LEN};
use crate::{Error, Result};

/// Encrypts and decrypts the records of one segment.
///
/// Made by [`Keyring::segment`](super::Keyring::segment). A record opens only in its own segment, at its own offset
/// and with the same associated data (`aad`): whatever else must not be exchanged goes there, such as the hash of its
/// key and its version.
pub struct SegmentCipher {
    key_id: u32,
    key_check: u32,
    algorithm: Algorithm,
    cipher: Cipher,
    /// The lowest offset that may still be sealed; the highest number for a cipher that only reads.
    next: AtomicU64,
}

impl fmt::Debug for SegmentCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SegmentCipher");
        shown.field("key_id", &self.key_id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl SegmentCipher {
    pub(super) fn new(key: &Key, cipher: Cipher, writes: bool) -> Self {
        let next = AtomicU64::new(if writes { 0 } else { u64::MAX });
        Self { key_id: key.id(), key_check: key.check(), algorithm: key.algorithm(), cipher, next }
    }

    /// The number of its master key, to be stored with the segment.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The [check](Key::check) of its master key, to be stored with the segment.
    #[must_use]
    pub fn key_check(&self) -> u32 {
        self.key_check
    }

    /// Whether this is the key that the segment was written with, going by the check that was stored with it.
    ///
    /// # Errors
    /// [`Error::WrongKey`].
    pub fn confirm(&self, key_check: u32) -> Result<()> {
        if key_check == self.key_check { Ok(()) } else { Err(Error::WrongKey(self.key_id)) }
    }

    /// Encrypts a record where it lies and appends the tag: [`TAG_LEN`] bytes more.
    ///
    /// # Errors
    /// [`Error::NonceReuse`] unless `offset` is above all that were sealed before, or if the cipher only reads;
    /// `TooLong` beyond 4 GiB - 1. `record` is as it was then.
    ///
    /// # Cost
    /// Allocates nothing if `record` has room for the tag. Figures: `docs/decisions/0010-codecs-and-ciphers.md`.
    pub fn seal(&self, offset: u64, aad: &[u8], record: &mut Vec<u8>) -> Result<()> {
        self.seal_from(offset, aad, record, 0)
    }

    /// As [`seal`](Self::seal), for a record that begins at `start` in a buffer that holds others before it.
    ///
    /// # Errors
    /// As there. A `start` behind the end counts as the end.
    pub fn seal_from(&self, offset: u64, aad: &[u8], buffer: &mut Vec<u8>, start: usize) -> Result<()> {
        let text = buffer.get_mut(start..).unwrap_or_default();
        if text.len() > u32::MAX as usize {
            return Err(Error::TooLong { what: "record", limit: u32::MAX as usize });
        }
        self.claim(offset)?;
        let tag = self.cipher.seal(self.nonce(offset).used(), aad, text)?;
        buffer.extend_from_slice(&tag);
        Ok(())
    }

    /// Decrypts a record where it lies and removes the tag.
    ///
    /// # Errors
    /// [`Error::Unauthentic`] if anything differs: the bytes, the offset, the segment or `aad`; `Truncated` if there
    /// is not even a tag. `record` is empty then.
    pub fn open(&self, offset: u64, aad: &[u8], record: &mut Vec<u8>) -> Result<()> {
        let opened = self.open_slice(offset, aad, record);
        record.truncate(*opened.as_ref().unwrap_or(&0));
        opened.map(drop)
    }

    /// As [`open`](Self::open), for a record that is part of something longer. Returns the length of what was
    /// encrypted, which now stands at the beginning of `record`.
    ///
    /// # Errors
    /// As there. `record` is zeros then, up to the tag.
    pub fn open_slice(&self, offset: u64, aad: &[u8], record: &mut [u8]) -> Result<usize> {
        let (text, tag) = record.split_last_chunk_mut::<TAG_LEN>().ok_or(Error::Truncated)?;
        self.cipher.open(self.nonce(offset).used(), aad, text, tag)?;
        Ok(text.len())
    }

    /// Makes sure that no offset is sealed twice, whatever thread asks.
    fn claim(&self, offset: u64) -> Result<()> {
        // The last offset stays unused, so that a number above each exists.
        let after = offset.checked_add(1).ok_or(Error::NonceReuse)?;
        let next = self.next.fetch_max(after, Ordering::Relaxed);
        if offset >= next { Ok(()) } else { Err(Error::NonceReuse) }
    }

    fn nonce(&self, offset: u64) -> Nonce {
        let mut bytes = [0; 24];
        if let Some(place) = bytes.first_chunk_mut() {
            *place = offset.to_le_bytes();
        }
        Nonce { bytes, len: self.algorithm.nonce_len() }
    }
}

/// The offset, and zeros up to the length of the algorithm's nonce.
struct Nonce {
    bytes: [u8; 24],
    len: usize,
}

impl Nonce {
    fn used(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
