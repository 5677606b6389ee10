//! Whole values: a section that says how, the encrypted value, and the tag. Drawn in `docs/envelope.md`.
//!
//! Decision: the section is the one of the envelope, so that a value alone and an envelope's payload are encrypted by
//! the same code; only what they are bound to differs. The nonce is random: nobody has to count, and a copied
//! process or machine cannot repeat it. With the 12 bytes of AES-256-GCM-SIV two values in 2^32 may share one by
//! chance, which that algorithm survives.

use super::cipher::Cipher;
use super::{Algorithm, Keyring, TAG_LEN};
use crate::reader::Reader;
use crate::{Error, Result};

/// The form of a value that is encrypted by itself.
const FORMAT: u8 = 1;

/// What the associated data of such a value begins with, so that it is never that of something else.
const VALUE_LABEL: &[u8] = b"terrace value 1";

/// Bytes of the section before the nonce: key id, check of the key, length of the nonce.
const SECTION_FIXED_LEN: usize = 4 + 4 + 1;

/// The most bytes that [`Keyring::seal_value`] adds to a value.
pub const VALUE_OVERHEAD: usize = 1 + SECTION_FIXED_LEN + 24 + TAG_LEN;

/// Where a value belongs: it opens nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// The namespace.
    pub namespace: &'a [u8],
    /// The key in the namespace.
    pub key: &'a [u8],
    /// The version that the value is written as; 0 where it is not known when the value is encrypted. An older value
    /// of the same key then passes for the newer.
    pub version: u64,
}

impl Place<'_> {
    /// The associated data: the label, the head of the value, and the place, with lengths where two parts meet.
    fn bind(&self, head: &[u8]) -> Vec<u8> {
        let lens = [head.len() as u64, self.version, self.namespace.len() as u64];
        let mut aad =
            Vec::with_capacity(VALUE_LABEL.len() + 24 + head.len() + self.namespace.len() + self.key.len());
        aad.extend_from_slice(VALUE_LABEL);
        aad.extend(lens.iter().flat_map(|len| len.to_le_bytes()));
        aad.extend_from_slice(head);
        aad.extend_from_slice(self.namespace);
        aad.extend_from_slice(self.key);
        aad
    }
}

/// How something was encrypted: the key, and the nonce.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section<'a> {
    pub(crate) key_id: u32,
    check: u32,
    nonce: &'a [u8],
}

impl<'a> Section<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let (key_id, check) = (reader.u32()?, reader.u32()?);
        let len = reader.u8()?;
        Ok(Self { key_id, check, nonce: reader.bytes(usize::from(len))? })
    }

    /// Appends the section for something that is now to be encrypted by the current key.
    pub(crate) fn append_new(keyring: &Keyring, out: &mut Vec<u8>) -> Result<()> {
        let key = keyring.current();
        let mut nonce = [0; 24];
        let nonce = nonce.get_mut(..key.algorithm().nonce_len()).unwrap_or_default();
        super::fill_random(nonce)?;
        out.extend_from_slice(&key.id().to_le_bytes());
        out.extend_from_slice(&key.check().to_le_bytes());
        out.push(nonce.len() as u8);
        out.extend_from_slice(nonce);
        Ok(())
    }

    /// Encrypts `text` where it lies and returns the tag, with the section that was appended for it.
    pub(crate) fn seal(&self, keyring: &Keyring, aad: &[u8], text: &mut [u8]) -> Result<[u8; TAG_LEN]> {
        self.cipher(keyring)?.seal(self.nonce, aad, text)
    }

    /// Decrypts what stands before the tag where it lies, and returns its length.
    pub(crate) fn open(&self, keyring: &Keyring, aad: &[u8], sealed: &mut [u8]) -> Result<usize> {
        let cipher = self.cipher(keyring)?;
        let (text, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(Error::Truncated)?;
        cipher.open(self.nonce, aad, text, tag)?;
        Ok(text.len())
    }

    fn cipher<'k>(&self, keyring: &'k Keyring) -> Result<&'k Cipher> {
        let key = keyring.confirm(self.key_id, self.check)?;
        if self.nonce.len() == key.algorithm().nonce_len() {
            Ok(&key.values)
        } else {
            Err(Error::Unauthentic)
        }
    }
}

impl Keyring {
    /// Appends the encrypted form of a value to `out`: at most [`VALUE_OVERHEAD`] bytes more than the value.
    ///
    /// # Errors
    /// `NoRandomness`, or `TooLong` beyond 4 GiB - 1. `out` is as it was then.
    ///
    /// # Cost
    /// One question for random bytes to the operating system, one allocation for what the value is bound to.
    pub fn seal_value(&self, place: &Place<'_>, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if value.len() > u32::MAX as usize {
            return Err(Error::TooLong { what: "value", limit: u32::MAX as usize });
        }
        let start = out.len();
        out.reserve(VALUE_OVERHEAD + value.len());
        let sealed = self.append_value(place, value, out);
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    fn append_value(&self, place: &Place<'_>, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.push(FORMAT);
        Section::append_new(self, out)?;
        let text = out.len();
        out.extend_from_slice(value);
        let (before, text) = out.split_at_mut_checked(text).ok_or(Error::Truncated)?;
        let head = before.get(start..).unwrap_or_default();
        let (section, _) = split(head)?;
        let tag = section.seal(self, &place.bind(head), text)?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Appends the value that was encrypted for this place to `out`, and returns its length.
    ///
    /// # Errors
    /// `MissingKey`, `WrongKey`; `Unauthentic` for any other difference; `Truncated`, `UnsupportedVersion` and
    /// `Malformed` for what is no such value. `out` is as it was then.
    pub fn open_value(&self, place: &Place<'_>, sealed: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        let (section, text) = split(sealed)?;
        let head = sealed.get(..sealed.len() - text.len()).unwrap_or_default();
        let start = out.len();
        out.extend_from_slice(text);
        let opened = section.open(self, &place.bind(head), out.get_mut(start..).unwrap_or_default());
        out.truncate(start + *opened.as_ref().unwrap_or(&0));
        opened
    }
}

/// The number of the key that a value was encrypted with, unverified.
///
/// # Errors
/// `Truncated`, `UnsupportedVersion`, `Malformed` for what is no such value.
pub fn value_key_id(sealed: &[u8]) -> Result<u32> {
    split(sealed).map(|(section, _)| section.key_id)
}

/// The section, and what stands behind it.
fn split(sealed: &[u8]) -> Result<(Section<'_>, &[u8])> {
    let mut reader = Reader::new(sealed);
    match reader.u8()? {
        FORMAT => {}
        other => return Err(Error::UnsupportedVersion(other)),
    }
    let section = Section::read(&mut reader)?;
    let lens = [Algorithm::XChaCha20Poly1305, Algorithm::Aes256GcmSiv].map(Algorithm::nonce_len);
    if !lens.contains(&section.nonce.len()) {
        return Err(Error::Malformed("a nonce of a length that no algorithm has"));
    }
    Ok((section, reader.rest()))
}
