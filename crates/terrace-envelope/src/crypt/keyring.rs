//! Master keys by number: one for what is written from now on, the others for what was written before.
//!
//! Decision: rotation is a new number. Nothing is encrypted anew for it: old segments and values stay readable until
//! they are rewritten or dropped in their own time, and then the old key can be taken from the ring.

use std::fmt;

use super::cipher::Cipher;
use super::{Algorithm, KeySource, Secret, SegmentCipher, derive};
use crate::{Error, Result};

/// A master key with its number and algorithm.
pub struct Key {
    id: u32,
    algorithm: Algorithm,
    secret: Secret,
    check: u32,
    /// For whole values, which have one key between them.
    pub(super) values: Cipher,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// A key with a number that no other key for the same data ever had or will have.
    #[must_use]
    pub fn new(id: u32, algorithm: Algorithm, secret: Secret) -> Self {
        let values = Cipher::new(algorithm, &derive::value_key(secret.bytes(), algorithm));
        let check = derive::check(secret.bytes(), algorithm);
        Self { id, algorithm, secret, check, values }
    }

    /// A key from where it is kept.
    ///
    /// # Errors
    /// [`KeyError`] when nothing can be read there, or what was read is no key.
    pub fn read(id: u32, algorithm: Algorithm, source: &KeySource) -> std::result::Result<Self, KeyError> {
        Ok(Self::new(id, algorithm, source.read()?))
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it encrypts with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What tells this key from others without giving it away. It is stored beside what the key encrypted, and
    /// [`Keyring::confirm`] compares it.
    #[must_use]
    pub fn check(&self) -> u32 {
        self.check
    }
}

/// The keys of some data.
///
/// ```
/// use terrace_envelope::crypt::{Algorithm, Key, Keyring, Secret, random_id};
///
/// let keyring = Keyring::new(Key::new(1, Algorithm::default(), Secret::random()?));
/// let id = random_id()?;
/// let segment = keyring.segment(&id, None)?;
/// let mut record = b"a record".to_vec();
/// segment.seal(64, b"what else must be the same", &mut record)?;
///
/// let again = keyring.segment(&id, Some(segment.key_id()))?;
/// again.open(64, b"what else must be the same", &mut record)?;
/// assert_eq!(record, b"a record");
/// # Ok::<(), terrace_envelope::Error>(())
/// ```
#[derive(Debug)]
pub struct Keyring {
    current: Key,
    old: Vec<Key>,
}

impl Keyring {
    /// A ring of one key, which encrypts whatever is written.
    #[must_use]
    pub fn new(current: Key) -> Self {
        Self { current, old: Vec::new() }
    }

    /// The ring with one more key, for reading what was written with it.
    ///
    /// # Errors
    /// [`KeyError`] if a key of that number is there already.
    pub fn with_old(mut self, key: Key) -> std::result::Result<Self, KeyError> {
        if self.ids().any(|id| id == key.id) {
            return Err(KeyError::new(
                format!("the key number {}", key.id),
                "is given twice; give every key a number of its own",
            ));
        }
        self.old.push(key);
        Ok(self)
    }

    /// The key that encrypts whatever is written.
    #[must_use]
    pub fn current(&self) -> &Key {
        &self.current
    }

    /// The numbers of all keys, the current one first.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        std::iter::once(&self.current).chain(&self.old).map(Key::id)
    }

    /// The key with this number.
    ///
    /// # Errors
    /// [`Error::MissingKey`].
    pub fn key(&self, id: u32) -> Result<&Key> {
        if id == self.current.id {
            return Ok(&self.current);
        }
        self.old.iter().find(|key| key.id == id).ok_or(Error::MissingKey(id))
    }

    /// Whether the key with this number is the one that was used, going by the check that was stored then.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::WrongKey`].
    pub fn confirm(&self, id: u32, check: u32) -> Result<&Key> {
        self.key(id).and_then(|key| if key.check == check { Ok(key) } else { Err(Error::WrongKey(id)) })
    }

    /// The cipher of one segment: for a new one without a `key_id`, for reading one with the number that
    /// [`SegmentCipher::key_id`] gave then.
    ///
    /// `random_id` is drawn for each new segment by [`random_id`](super::random_id) and stored with it, as are the
    /// number and the [check](Key::check) of the key. With a `key_id` the cipher only opens: a segment is written by
    /// the one cipher that it was made with.
    ///
    /// # Errors
    /// [`Error::MissingKey`].
    ///
    /// # Cost
    /// Some microseconds for the derivation: keep the cipher as long as the segment is open.
    pub fn segment(&self, random_id: &[u8; 32], key_id: Option<u32>) -> Result<SegmentCipher> {
        let key = key_id.map_or(Ok(&self.current), |id| self.key(id))?;
        let derived = derive::segment_key(key.secret.bytes(), random_id, key.algorithm);
        let cipher = Cipher::new(key.algorithm, &derived);
        Ok(SegmentCipher::new(key, cipher, key_id.is_none()))
    }
}

/// Why there is no key, in words that show nothing of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError {
    what: String,
    why: String,
}

impl KeyError {
    pub(super) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.why)
    }
}

impl std::error::Error for KeyError {}
