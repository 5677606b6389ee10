//! What encryption adds to an envelope: a section before the payload, and the tag behind it.
//!
//! Decision: the payload is bound to everything that stands before it, so that no version, time, tag or type can be
//! exchanged without notice, and to the key, of which the envelope holds only a hash. Compression comes first, since
//! nothing can be saved in what looks random. Without the feature `crypt` there is no keyring, so nothing can ask
//! for any of this.

#[cfg(feature = "crypt")]
pub(crate) use with::*;
#[cfg(not(feature = "crypt"))]
pub(crate) use without::*;

#[cfg(feature = "crypt")]
mod with {
    pub(crate) use crate::crypt::Keyring;
    use crate::crypt::{Section, TAG_LEN};
    use crate::reader::Reader;
    use crate::{Error, Result};

    /// What the associated data begins with, so that it is never that of something else.
    const LABEL: &[u8] = b"terrace envelope 1";

    /// Bytes that encryption adds at most.
    pub(crate) const MOST_ADDED: usize = 4 + 4 + 1 + 24 + TAG_LEN;

    /// Appends the section, for the current key and with a new nonce.
    pub(crate) fn append_section(keyring: &Keyring, out: &mut Vec<u8>) -> Result<()> {
        Section::append_new(keyring, out)
    }

    /// Encrypts the payload that ends `out` and appends the tag. The envelope begins at `start`, the section at
    /// `section` and the payload at `payload`.
    pub(crate) fn encrypt(
        keyring: &Keyring,
        key: &[u8],
        [start, section, payload]: [usize; 3],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (before, text) = out.split_at_mut_checked(payload).ok_or(Error::Truncated)?;
        let head = before.get(start..).unwrap_or_default();
        let section = Section::read(&mut Reader::new(before.get(section..).unwrap_or_default()))?;
        let tag = section.seal(keyring, &bind(head, key), text)?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Reads the section and decrypts all that is left behind it, of which `covered` is the whole. Returns the
    /// number of the key and the text, which must have this length.
    pub(crate) fn decrypt(
        keyring: &Keyring,
        key: &[u8],
        covered: &[u8],
        reader: &mut Reader<'_>,
        len: usize,
    ) -> Result<(u32, Vec<u8>)> {
        let section = Section::read(reader)?;
        let sealed = reader.rest();
        crate::open::fits(sealed, len.saturating_add(TAG_LEN))?;
        let head = covered.get(..covered.len() - sealed.len()).unwrap_or_default();
        let mut text = sealed.to_vec();
        let opened = section.open(keyring, &bind(head, key), &mut text)?;
        text.truncate(opened);
        Ok((section.key_id, text))
    }

    fn bind(head: &[u8], key: &[u8]) -> Vec<u8> {
        [LABEL, &(head.len() as u64).to_le_bytes(), head, key].concat()
    }
}

#[cfg(not(feature = "crypt"))]
mod without {
    use crate::Result;
    use crate::reader::Reader;

    /// There is none in this build.
    pub(crate) enum Keyring {}

    pub(crate) const MOST_ADDED: usize = 0;

    pub(crate) fn append_section(keyring: &Keyring, _out: &mut Vec<u8>) -> Result<()> {
        match *keyring {}
    }

    pub(crate) fn encrypt(
        keyring: &Keyring,
        _key: &[u8],
        _places: [usize; 3],
        _out: &mut Vec<u8>,
    ) -> Result<()> {
        match *keyring {}
    }

    pub(crate) fn decrypt(
        keyring: &Keyring,
        _key: &[u8],
        _covered: &[u8],
        _reader: &mut Reader<'_>,
        _len: usize,
    ) -> Result<(u32, Vec<u8>)> {
        match *keyring {}
    }
}
