//! Names here and names beneath.

use std::collections::HashSet;

use bytes::Bytes;
use parking_lot::RwLock;
use terrace_store::key::NAMESPACE_LIMIT;
use terrace_store::{Error, ErrorKind, Key, Namespace, Result};

/// What a prefix may take of a namespace's name, so that a hash fits behind it.
const LONGEST: usize = 200;

/// Behind the prefix: a name as it is, the hash of a name, and what the layer notes itself.
const PLAIN: u8 = b'/';
const HASHED: u8 = b'#';
const NOTES: u8 = b'@';

/// The key of the floor among the notes; no hash is as short.
const FLOOR: &[u8] = b"floor";

pub(super) struct Map {
    prefix: Vec<u8>,
    /// The long names that are noted beneath.
    noted: RwLock<HashSet<Box<[u8]>>>,
}

/// A namespace beneath, seen from here.
pub(super) enum Seen {
    /// It is the one of this name.
    Plain(Namespace),
    /// It is the one whose name has this hash.
    Hashed(Bytes),
    /// It is another's, or the layer's own.
    Foreign,
}

impl Map {
    pub(super) fn new(prefix: &[u8]) -> Result<Self> {
        let why = if prefix.is_empty() {
            "is empty"
        } else if prefix.len() > LONGEST {
            "is longer than 200 bytes"
        } else if prefix.iter().any(|byte| [PLAIN, HASHED, NOTES].contains(byte)) {
            "has one of the characters / # @"
        } else {
            return Ok(Self { prefix: prefix.to_vec(), noted: RwLock::default() });
        };
        Err(Error::new(ErrorKind::Config, "namespace")
            .because(format!("the name of a part of a store {why}; choose another"))
            .with("name", prefix.escape_ascii()))
    }

    fn join(&self, sign: u8, name: &[u8]) -> Vec<u8> {
        [&self.prefix, &[sign][..], name].concat()
    }

    fn fits(&self, name: &[u8]) -> bool {
        self.prefix.len() + 1 + name.len() <= NAMESPACE_LIMIT
    }

    pub(super) fn namespace_down(&self, name: &[u8]) -> Result<Namespace> {
        if self.fits(name) {
            Namespace::new(self.join(PLAIN, name))
        } else {
            Namespace::new(self.join(HASHED, blake3::hash(name).as_bytes()))
        }
    }

    pub(super) fn down(&self, key: &Key) -> Result<Key> {
        self.namespace_down(key.namespace_name())?.key(key.bytes())
    }

    /// The key of a namespace here, whose key beneath this is.
    pub(super) fn up(&self, namespace: &Namespace, below: &Key) -> Result<Key> {
        namespace.key(below.bytes())
    }

    pub(super) fn seen(&self, below: &Namespace) -> Result<Seen> {
        Ok(match below.name().strip_prefix(&self.prefix[..]).and_then(<[u8]>::split_first) {
            Some((&PLAIN, name)) => Seen::Plain(Namespace::new(name)?),
            Some((&HASHED, hash)) => Seen::Hashed(Bytes::copy_from_slice(hash)),
            _ => Seen::Foreign,
        })
    }

    /// A lease or a channel beneath.
    pub(super) fn name_down(&self, name: &[u8]) -> Bytes {
        self.join(PLAIN, name).into()
    }

    /// Of a lease beneath, its name here.
    pub(super) fn name_up(&self, below: &Bytes) -> Bytes {
        below.slice((self.prefix.len() + 1).min(below.len())..)
    }

    pub(super) fn notes(&self) -> Result<Namespace> {
        Namespace::new(self.join(NOTES, b""))
    }

    pub(super) fn floor_key(&self) -> Result<Key> {
        self.notes()?.key(FLOOR)
    }

    pub(super) fn note_key(&self, hash: &[u8]) -> Result<Key> {
        self.notes()?.key(hash)
    }

    /// Where a namespace's name has to be noted, if it does not fit and is not noted yet.
    pub(super) fn to_note(&self, name: &[u8]) -> Result<Option<(Key, Bytes)>> {
        if self.fits(name) || self.noted.read().contains(name) {
            return Ok(None);
        }
        let place = self.note_key(blake3::hash(name).as_bytes())?;
        Ok(Some((place, Bytes::copy_from_slice(name))))
    }

    pub(super) fn noted(&self, name: &[u8]) {
        self.noted.write().insert(name.into());
    }
}
