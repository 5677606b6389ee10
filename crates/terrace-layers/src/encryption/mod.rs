//! encryption: nothing of a value, its tags or its metadata can be read or changed beneath, or moved to another place.
//!
//! Decision: each value is sealed by itself (XChaCha20-Poly1305 or AES-256-GCM-SIV, as the key says), bound to its
//! namespace and key, and to its version where the write carries one. An unconditional put to a store that assigns
//! versions is given one first (`bind_versions`), so that it can be bound; what a store assigns in the course of a
//! conditional write, a batch or a transaction is not known before, and is bound to namespace and key alone. Sealed with
//! the value are its tags, content type, metadata, codec and type fingerprint, which are not there beneath; and its
//! times, which are, because a store needs them, and must be what they were.
//!
//! ```text
//! [frame] [bound: u8] [sealed value: docs/envelope.md]
//! sealed  [length of what follows: u32] [codec: u8] [type fingerprint: u64]
//!         [created, expires, fresh until, idle, stamp: u64 each]
//!         [tags: u8, each u8 length and bytes] [content type: u32 length and text, or 2^32-1]
//!         [metadata: u32, each u32 length and text, twice]    all numbers little-endian
//!         [value]
//! ```
//!
//! What can be seen: keys, versions, times, and how long values are. Whoever can write beneath can put back an older
//! value of a key whose version was not bound; and delete.
//!
//! A new key is a new number ([`Cipher::rotate`]): what old keys sealed is read for as long as they are in the ring, and
//! [`Encryption::reseal`] seals it anew. What is lost: [`Iterate::bytes`](terrace_store::capability::Iterate::bytes).
//!
//! # Cost
//! Two copies of the value on the way in, one on the way out, a question for random bytes, and the cipher; with
//! `bind_versions` a [`reserve`](Store::reserve) for each unconditional put.

mod extras;
mod reseal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::RwLock;
use terrace_envelope::Error as EnvelopeError;
use terrace_envelope::crypt::{Keyring, Place, value_key_id};
use terrace_store::{CodecId, Condition, Entry, Error, ErrorKind, Key, PutOptions, Result, Store, Tags};

use crate::transform::{Transform, Transformed, frame};

/// The kind of its frames.
const KIND: u8 = b'E';

/// How values are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncryptionConfig {
    /// Whether unconditional puts are given a version to be bound to.
    pub bind_versions: bool,
    /// Whether values that are not sealed may be read: only while a store is being sealed.
    pub allow_plain: bool,
}

impl Default for EncryptionConfig {
    /// Versions are bound, nothing plain is read.
    fn default() -> Self {
        Self { bind_versions: true, allow_plain: false }
    }
}

/// A store whose values are sealed.
pub type Encryption = Transformed<Cipher>;

impl Encryption {
    /// Seals the store's values with these keys.
    pub fn over(inner: Arc<dyn Store>, keyring: Keyring, config: EncryptionConfig) -> Self {
        Self::new(inner, Cipher { keyring: RwLock::new(Arc::new(keyring)), config })
    }
}

/// Seals and opens values. Made by [`Encryption::over`].
pub struct Cipher {
    keyring: RwLock<Arc<Keyring>>,
    config: EncryptionConfig,
}

impl Cipher {
    /// Seals with the current key of this ring from now on. It must hold the keys of what is still to be read.
    pub fn rotate(&self, keyring: Keyring) {
        *self.keyring.write() = Arc::new(keyring);
    }

    fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring.read())
    }

    /// The number of the key that an entry beneath was sealed with; `None` if it is not sealed.
    fn key_id(entry: &Entry) -> Option<u32> {
        frame::is_of(KIND, entry).then(|| value_key_id(entry.value.get(frame::HEAD + 1..)?).ok())?
    }
}

/// Says in the frame whether the version is bound.
const BOUND: u8 = 1;

fn place(key: &Key, version: u64) -> Place<'_> {
    Place { namespace: key.namespace_name(), key: key.bytes(), version }
}

impl Transform for Cipher {
    fn encode(&self, key: &Key, mut entry: Entry, options: &PutOptions) -> Result<Entry> {
        let version = match options.condition {
            Condition::Newer(version) => Some(version.0),
            Condition::Any | Condition::Absent | Condition::Match(_) => None,
        };
        let mut text = Vec::with_capacity(128 + entry.value.len());
        extras::append(&entry, &mut text)?;
        text.extend_from_slice(&entry.value);
        (entry.codec, entry.type_fingerprint) = (CodecId::RAW, 0);
        (entry.tags, entry.metadata) = (Tags::NONE, None);
        let mut framed = Vec::with_capacity(128 + text.len());
        frame::begin(KIND, &entry, &mut framed);
        framed.push(u8::from(version.is_some()) * BOUND);
        let place = place(key, version.unwrap_or(0));
        self.keyring().seal_value(&place, &text, &mut framed).map_err(|error| refused(key, error))?;
        Ok(frame::close(KIND, entry, framed))
    }

    fn decode(&self, key: &Key, entry: Entry) -> Result<Entry> {
        if !frame::is_of(KIND, &entry) {
            if self.config.allow_plain {
                return Ok(entry);
            }
            return Err(frame::corrupt(key, "it is not encrypted, and everything here must be"));
        }
        let (mut entry, framed) = frame::open(KIND, key, entry)?;
        let (bound, sealed) = framed.split_first().ok_or_else(|| frame::corrupt(key, "it is cut short"))?;
        let version = if *bound == BOUND { entry.version.0 } else { 0 };
        let mut text = Vec::new();
        let opened = self.keyring().open_value(&place(key, version), sealed, &mut text);
        opened.map_err(|error| refused(key, error))?;
        let from = extras::restore(&mut entry, &text).map_err(|why| frame::corrupt(key, why))?;
        entry.value = bytes::Bytes::from(text).split_off(from);
        Ok(entry)
    }

    fn wants_version(&self) -> bool {
        self.config.bind_versions
    }
}

fn refused(key: &Key, error: EnvelopeError) -> Error {
    let kind = match error {
        EnvelopeError::MissingKey(_) | EnvelopeError::WrongKey(_) => ErrorKind::Config,
        EnvelopeError::NoRandomness => ErrorKind::Unavailable,
        EnvelopeError::TooLong { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Corrupt,
    };
    Error::new(kind, "encryption").with("key", key.flat().escape_ascii()).caused_by(error)
}
