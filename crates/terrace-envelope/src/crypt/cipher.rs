//! The two ciphers behind one pair of functions, in place and with the tag apart.
//!
//! Decision: the ciphers lie in boxes, so that moving them leaves no copy of a key behind; both erase it when they
//! are dropped.

use aes_gcm_siv::Aes256GcmSiv;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Key as CipherKey, XChaCha20Poly1305};

use super::{Algorithm, TAG_LEN};
use crate::{Error, Result};

pub(super) enum Cipher {
    XChaCha(Box<XChaCha20Poly1305>),
    AesSiv(Box<Aes256GcmSiv>),
}

impl Cipher {
    pub(super) fn new(algorithm: Algorithm, key: &[u8; 32]) -> Self {
        let key: &CipherKey = key.into();
        match algorithm {
            Algorithm::XChaCha20Poly1305 => Self::XChaCha(Box::new(XChaCha20Poly1305::new(key))),
            Algorithm::Aes256GcmSiv => Self::AesSiv(Box::new(Aes256GcmSiv::new(key))),
        }
    }

    /// Encrypts `text` where it lies and returns the tag. `nonce` has the algorithm's length.
    pub(super) fn seal(&self, nonce: &[u8], aad: &[u8], text: &mut [u8]) -> Result<[u8; TAG_LEN]> {
        let sealed = match self {
            Self::XChaCha(cipher) => {
                let nonce = nonce.try_into().map_err(|_| Error::Unauthentic)?;
                cipher.encrypt_inout_detached(nonce, aad, text.into())
            }
            Self::AesSiv(cipher) => {
                let nonce = nonce.try_into().map_err(|_| Error::Unauthentic)?;
                cipher.encrypt_inout_detached(nonce, aad, text.into())
            }
        };
        // The only failure is a text beyond 2^36 bytes.
        sealed
            .map(Into::into)
            .map_err(|_| Error::TooLong { what: "text to encrypt", limit: u32::MAX as usize })
    }

    /// Decrypts `text` where it lies, or fills it with zeros: what was not authenticated is not to be seen.
    pub(super) fn open(&self, nonce: &[u8], aad: &[u8], text: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<()> {
        let opened = match self {
            Self::XChaCha(cipher) => {
                let nonce = nonce.try_into().map_err(|_| Error::Unauthentic)?;
                cipher.decrypt_inout_detached(nonce, aad, (&mut *text).into(), tag.into())
            }
            Self::AesSiv(cipher) => {
                let nonce = nonce.try_into().map_err(|_| Error::Unauthentic)?;
                cipher.decrypt_inout_detached(nonce, aad, (&mut *text).into(), tag.into())
            }
        };
        opened.map_err(|_| {
            text.fill(0);
            Error::Unauthentic
        })
    }
}

#[cfg(test)]
mod tests;
