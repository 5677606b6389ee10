//! Typed keys and their bytes.

use std::borrow::Borrow;
use std::hash::Hash;

use bytes::Bytes;
use terrace_store::{Key, Namespace, Result};

/// A type whose values can be keys of a cache: they have bytes, and the bytes give the value back.
///
/// The bytes of two values are equal exactly if the values are. Integers are big-endian, so that their order is
/// kept in ordered stores (of signed ones within each sign).
pub trait CacheKey: Borrow<Self::Borrowed> + Hash + Eq + Clone + Send + Sync + 'static {
    /// What a cache with such keys is asked with: `str` for `String`, so that a lookup need not allocate.
    type Borrowed: Hash + Eq + ?Sized;

    /// The key in its flat form.
    ///
    /// # Errors
    /// `Invalid` if it is longer than a key may be.
    fn flat(key: &Self::Borrowed, namespace: &Namespace) -> Result<Key>;

    /// The value whose flat key this is; `None` if there is none of this type.
    fn from_key(key: &Key) -> Option<Self>;

    /// The bytes it occupies beyond its own size.
    fn heap_size(&self) -> usize {
        0
    }
}

macro_rules! integer_keys {
    ($($integer:ty),*) => {$(
        impl CacheKey for $integer {
            type Borrowed = $integer;
            fn flat(key: &$integer, namespace: &Namespace) -> Result<Key> {
                namespace.key(key.to_be_bytes())
            }
            fn from_key(key: &Key) -> Option<Self> {
                key.bytes().try_into().ok().map(Self::from_be_bytes)
            }
        }
    )*};
}
integer_keys!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

macro_rules! byte_keys {
    ($($owned:ty as $borrowed:ty, $from:expr;)*) => {$(
        impl CacheKey for $owned {
            type Borrowed = $borrowed;
            fn flat(key: &$borrowed, namespace: &Namespace) -> Result<Key> {
                namespace.key(key)
            }
            fn from_key(key: &Key) -> Option<Self> {
                $from(key)
            }
            fn heap_size(&self) -> usize {
                self.len()
            }
        }
    )*};
}
byte_keys! {
    String as str, |key: &Key| std::str::from_utf8(key.bytes()).ok().map(str::to_owned);
    Vec<u8> as [u8], |key: &Key| Some(key.bytes().to_vec());
    Bytes as [u8], |key: &Key| Some(key.shared_bytes());
}

/// A flat key is its own key: the namespace it names counts, not the cache's.
impl CacheKey for Key {
    type Borrowed = Key;
    fn flat(key: &Key, _: &Namespace) -> Result<Key> {
        Ok(key.clone())
    }
    fn from_key(key: &Key) -> Option<Self> {
        Some(key.clone())
    }
    fn heap_size(&self) -> usize {
        Key::flat(self).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<K: CacheKey + std::fmt::Debug>(key: K) {
        let flat = K::flat(key.borrow(), &Namespace::new("n").unwrap()).unwrap();
        assert_eq!(K::from_key(&flat), Some(key));
    }

    #[test]
    fn every_kind_of_key_comes_back_from_its_bytes() {
        there_and_back(7u64);
        there_and_back(-7i32);
        there_and_back("straße".to_owned());
        there_and_back(vec![0u8, 255]);
        there_and_back(Bytes::from_static(b"\0"));
        there_and_back(Key::new("own", "k").unwrap());
    }

    #[test]
    fn bytes_of_another_type_are_no_key() {
        let flat = Key::new("n", [0xff, 0xfe]).unwrap();
        assert_eq!(String::from_key(&flat), None);
        assert_eq!(u64::from_key(&flat), None);
    }
}
