//! The seam at which a segment's records are encrypted.
//!
//! Decision: a key for each segment, derived from the 32 random bytes in its header, and the record's offset as
//! the nonce. An offset of a segment is used once: a segment is never rewritten, and after a write that failed
//! half way an encrypted segment is left rather than continued (`writer.rs`). The head of a record is not
//! encrypted but authenticated, so recovery can walk a log without its key.

use std::sync::Arc;

#[cfg(feature = "crypt")]
use terrace_envelope::crypt::{Keyring, SegmentCipher, TAG_LEN};

use crate::error::{Error, Result};
use crate::header::Header;

/// No cipher makes a body longer by more.
pub(crate) const MOST_OVERHEAD: usize = 64;

/// Encrypts the bodies of one segment.
pub(crate) trait Seal: Send + Sync {
    /// The bytes by which a sealed body is longer.
    fn overhead(&self) -> usize;
    /// Replaces the plain bytes by sealed ones.
    fn seal(&self, offset: u64, aad: &[u8], plain: &mut Vec<u8>) -> Result<(), &'static str>;
    /// Replaces the sealed bytes by the plain ones.
    fn open(&self, offset: u64, aad: &[u8], sealed: &mut Vec<u8>) -> Result<(), &'static str>;
}

/// The number of a key, and what tells it from another of the same number.
pub(crate) type KeyId = (u32, u32);

/// Makes the ciphers of segments.
pub(crate) trait KeySource: Send + Sync {
    /// The cipher of a new segment, with its key.
    fn begin(&self, random: &[u8; 32]) -> Result<(Arc<dyn Seal>, KeyId)>;
    /// The cipher of a segment that was written with this key.
    fn resume(&self, random: &[u8; 32], key: KeyId) -> Result<Arc<dyn Seal>>;
}

/// The cipher that a segment is to be read with, if it is encrypted.
pub(crate) fn cipher_of(keys: Option<&dyn KeySource>, header: &Header) -> Result<Option<Arc<dyn Seal>>> {
    match (header.key, keys) {
        (None, _) => Ok(None),
        (Some(key), Some(keys)) => keys.resume(&header.random, key).map(Some),
        (Some((id, _)), None) => {
            let segment = header.id;
            Err(Error::Denied(format!("segment {segment} is encrypted with key {id}, and none was given")))
        }
    }
}

#[cfg(feature = "crypt")]
impl Seal for SegmentCipher {
    fn overhead(&self) -> usize {
        TAG_LEN
    }

    fn seal(&self, offset: u64, aad: &[u8], plain: &mut Vec<u8>) -> Result<(), &'static str> {
        Self::seal(self, offset, aad, plain).map_err(|_| "the cipher refused to encrypt")
    }

    fn open(&self, offset: u64, aad: &[u8], sealed: &mut Vec<u8>) -> Result<(), &'static str> {
        Self::open(self, offset, aad, sealed).map_err(|_| "it was not written with this key, or was changed")
    }
}

#[cfg(feature = "crypt")]
impl KeySource for Keyring {
    fn begin(&self, random: &[u8; 32]) -> Result<(Arc<dyn Seal>, KeyId)> {
        let cipher = self.segment(random, None).map_err(|error| Error::Denied(error.to_string()))?;
        let key = (cipher.key_id(), cipher.key_check());
        Ok((Arc::new(cipher), key))
    }

    fn resume(&self, random: &[u8; 32], (id, check): KeyId) -> Result<Arc<dyn Seal>> {
        let cipher = self.segment(random, Some(id)).and_then(|cipher| cipher.confirm(check).map(|()| cipher));
        Ok(Arc::new(cipher.map_err(|error| Error::Denied(error.to_string()))?))
    }
}
