//! A key names one entry: a namespace and any bytes.
//!
//! Both are kept in one buffer, `[namespace length: u8][namespace][key bytes]`, the *flat* form. It is what
//! stores order and hash by, so that handing a key to an engine costs no copy and no allocation, and so that
//! all keys of a namespace stand together in every ordered store.

use std::borrow::Borrow;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{Error, ErrorKind, Result};

/// The longest namespace, in bytes.
pub const NAMESPACE_LIMIT: usize = 255;
/// The longest key, in bytes, without its namespace.
pub const KEY_LIMIT: usize = 64 * 1024;

/// A named part of the key space: up to 255 bytes, usually a short name such as `orders`.
///
/// Names that begin with a NUL byte belong to Terrace itself (tag generations and the like).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Bytes);

impl Namespace {
    /// The namespace of this name.
    ///
    /// # Errors
    /// `Invalid` if the name is longer than [`NAMESPACE_LIMIT`].
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self> {
        let name = name.as_ref();
        if name.len() > NAMESPACE_LIMIT {
            return Err(Error::new(ErrorKind::Invalid, "namespace")
                .with("length", name.len())
                .because(format!("a namespace is at most {NAMESPACE_LIMIT} bytes long")));
        }
        let mut flat = BytesMut::with_capacity(1 + name.len());
        flat.put_u8(name.len() as u8);
        flat.put_slice(name);
        Ok(Self(flat.freeze()))
    }

    /// The namespace with the empty name.
    pub fn root() -> Self {
        Self(Bytes::from_static(&[0]))
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.0[1..]
    }

    /// What every flat key of this namespace begins with: the length byte and the name.
    pub fn flat_prefix(&self) -> &[u8] {
        &self.0
    }

    /// The key of these bytes in this namespace.
    ///
    /// # Errors
    /// `Invalid` if the key is longer than [`KEY_LIMIT`].
    pub fn key(&self, bytes: impl AsRef<[u8]>) -> Result<Key> {
        let bytes = bytes.as_ref();
        if bytes.len() > KEY_LIMIT {
            return Err(Error::new(ErrorKind::Invalid, "key")
                .with("length", bytes.len())
                .because(format!("a key is at most {KEY_LIMIT} bytes long")));
        }
        let mut flat = BytesMut::with_capacity(self.0.len() + bytes.len());
        flat.put_slice(&self.0);
        flat.put_slice(bytes);
        Ok(Key(flat.freeze()))
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({:?})", Bytes::copy_from_slice(self.name()))
    }
}

/// The name of one entry. Cloning it is a reference count.
///
/// Keys order by namespace length, then namespace, then key bytes; within a namespace, therefore, plainly by
/// their bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// The key of these bytes in the namespace of this name.
    ///
    /// # Errors
    /// `Invalid` if either is longer than its limit.
    pub fn new(namespace: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Result<Self> {
        Namespace::new(namespace)?.key(bytes)
    }

    /// The key whose flat form this is.
    ///
    /// # Errors
    /// `Corrupt` if these bytes are no flat key: too short for the namespace they announce, or too long.
    pub fn from_flat(flat: Bytes) -> Result<Self> {
        let sound = match flat.first() {
            Some(&n) => flat.len() > usize::from(n) && flat.len() - 1 - usize::from(n) <= KEY_LIMIT,
            None => false,
        };
        if sound {
            Ok(Self(flat))
        } else {
            Err(Error::new(ErrorKind::Corrupt, "key").with("length", flat.len()).because("not a flat key"))
        }
    }

    /// The flat form: `[namespace length][namespace][key bytes]`.
    pub fn flat(&self) -> &[u8] {
        &self.0
    }

    /// The flat form, shared.
    pub fn flat_bytes(&self) -> &Bytes {
        &self.0
    }

    fn split(&self) -> usize {
        1 + usize::from(self.0[0])
    }

    /// The namespace it belongs to. Shares this key's memory.
    pub fn namespace(&self) -> Namespace {
        Namespace(self.0.slice(..self.split()))
    }

    /// The name of its namespace.
    pub fn namespace_name(&self) -> &[u8] {
        &self.0[1..self.split()]
    }

    /// Its bytes, without the namespace.
    pub fn bytes(&self) -> &[u8] {
        &self.0[self.split()..]
    }

    /// Its bytes, without the namespace, sharing this key's memory.
    pub fn shared_bytes(&self) -> Bytes {
        self.0.slice(self.split()..)
    }
}

/// Lets maps keyed by `Key` be asked with a flat slice built on the stack.
impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespace, bytes) = (self.namespace_name(), self.bytes());
        write!(f, "Key({}/{})", namespace.escape_ascii(), bytes.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_namespace_stand_together_and_in_byte_order() {
        let mut keys = [
            Key::new("b", "1").unwrap(),
            Key::new("a", "2").unwrap(),
            Key::new("aa", "").unwrap(),
            Key::new("a", "10").unwrap(),
            Key::new("", "z").unwrap(),
        ];
        keys.sort();
        let shown: Vec<String> = keys.iter().map(|k| format!("{k:?}")).collect();
        assert_eq!(shown, ["Key(/z)", "Key(a/10)", "Key(a/2)", "Key(b/1)", "Key(aa/)"]);
    }

    #[test]
    fn limits_are_errors_that_name_them() {
        assert!(Key::new("n", vec![0; KEY_LIMIT]).is_ok());
        let error = Key::new("n", vec![0; KEY_LIMIT + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("65536"), "{error}");
        assert!(Namespace::new([b'x'; 256]).is_err());
    }

    #[test]
    fn a_flat_key_comes_back_and_a_broken_one_is_refused() {
        let key = Key::new("orders", b"\x00\xff").unwrap();
        assert_eq!(Key::from_flat(key.flat_bytes().clone()).unwrap(), key);
        assert_eq!((key.namespace().name(), key.bytes()), (&b"orders"[..], &b"\x00\xff"[..]));
        assert!(Key::from_flat(Bytes::new()).is_err());
        assert!(Key::from_flat(Bytes::from_static(&[3, b'a'])).is_err());
    }
}
