//! checksum: a value that was changed, or lies under another key, is an error and never a wrong value.
//!
//! XXH3-64 over key, codec, type fingerprint and value, ten bytes before the value:
//!
//! ```text
//! ['K'] [codec: u8] [checksum: u64, little-endian] [value]
//! ```
//!
//! Decision: for stores that check nothing themselves, or whose medium is further away than their own check. It finds
//! accidents, not forgers: against those encrypt. Reading copies nothing, writing copies the value once. Entries from
//! before the layer was there have no checksum and go through; [a scrub](scrub) counts them. It must have been there before
//! compression or encryption came: their frames without a checksum are taken for damage.

pub mod scrub;

use std::sync::Arc;

use terrace_store::{Entry, Error, Key, PutOptions, Result, Store};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::transform::{Transform, Transformed, frame};

/// The kind of its frames.
const KIND: u8 = b'K';

const SUM: usize = 8;

/// Makes these sums differ from other uses of the hash. Part of the format.
const SEED: u64 = 0x7e44_ace0_5c4b_0001;

/// A store whose values are checked when they are read.
pub type Checksum = Transformed<Sums>;

impl Checksum {
    /// Checks the store's values.
    pub fn over(inner: Arc<dyn Store>) -> Self {
        Self::new(inner, Sums(()))
    }
}

/// Adds and checks sums. Made by [`Checksum::over`].
#[derive(Debug)]
pub struct Sums(());

/// Each part seeds the next, so that nothing has to be copied together.
fn sum(key: &Key, codec: u8, fingerprint: u64, value: &[u8]) -> u64 {
    let seed = xxh3_64_with_seed(key.flat(), SEED);
    let seed = xxh3_64_with_seed(&fingerprint.to_le_bytes(), seed.wrapping_add(u64::from(codec)));
    xxh3_64_with_seed(value, seed)
}

impl Transform for Sums {
    fn encode(&self, key: &Key, entry: Entry, _options: &PutOptions) -> Result<Entry> {
        let mut framed = Vec::with_capacity(frame::HEAD + SUM + entry.value.len());
        frame::begin(KIND, &entry, &mut framed);
        let sum = sum(key, entry.codec.0, entry.type_fingerprint, &entry.value);
        framed.extend_from_slice(&sum.to_le_bytes());
        framed.extend_from_slice(&entry.value);
        Ok(frame::close(KIND, entry, framed))
    }

    fn decode(&self, key: &Key, entry: Entry) -> Result<Entry> {
        if !frame::is_of(KIND, &entry) {
            // What is framed here was framed by this layer, which stands below the others: a turned bit in its kind must
            // not let it pass for something else.
            return if frame::is_framed(&entry) { Err(differs(key)) } else { Ok(entry) };
        }
        let (mut entry, mut framed) = frame::open(KIND, key, entry)?;
        if framed.len() < SUM {
            return Err(differs(key));
        }
        let value = framed.split_off(SUM);
        if framed[..] != sum(key, entry.codec.0, entry.type_fingerprint, &value).to_le_bytes() {
            return Err(differs(key));
        }
        entry.value = value;
        Ok(entry)
    }

    fn added(&self) -> Option<u64> {
        Some((frame::HEAD + SUM) as u64)
    }
}

fn differs(key: &Key) -> Error {
    frame::corrupt(key, "its checksum differs")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use terrace_store::fakes::MapStore;
    use terrace_store::{CodecId, ErrorKind, StoreExt, block_on};

    use super::*;

    #[test]
    fn reading_copies_nothing_and_every_turned_bit_is_found() {
        let map = Arc::new(MapStore::default());
        let store = Checksum::over(map.clone());
        let [a, b] = ["a", "b"].map(|name| Key::new("n", name).unwrap());
        let entry = Entry { codec: CodecId::JSON, type_fingerprint: 7, ..Entry::new("a value") };
        let _ = block_on(store.put(&a, entry, PutOptions::default())).unwrap();
        let stored = block_on(map.get(&a)).unwrap().unwrap();
        let found = block_on(store.get(&a)).unwrap().unwrap();
        assert_eq!((&found.value[..], found.codec), (&b"a value"[..], CodecId::JSON));
        assert_eq!(found.value.as_ptr(), stored.value[10..].as_ptr());
        for bit in 0..stored.value.len() * 8 {
            let mut value = stored.value.to_vec();
            value[bit / 8] ^= 1 << (bit % 8);
            let damaged = Entry { value: value.into(), ..stored.clone() };
            assert!(store.transform().decode(&a, damaged).is_err(), "bit {bit}");
        }
        for len in 0..stored.value.len() {
            let cut = Entry { value: stored.value.slice(..len), ..stored.clone() };
            assert!(store.transform().decode(&a, cut).is_err(), "cut to {len}");
        }
        let other = Entry { type_fingerprint: 8, ..stored.clone() };
        assert!(store.transform().decode(&a, other).is_err());
        assert_eq!(store.transform().decode(&b, stored).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn what_has_no_checksum_goes_through_with_its_buffer() {
        let map = Arc::new(MapStore::default());
        let store = Checksum::over(map.clone());
        let key = Key::new("n", "k").unwrap();
        let value = Bytes::from_static(b"from before");
        let _ = block_on(map.put_with(&key, value.clone())).unwrap();
        assert_eq!(block_on(store.get(&key)).unwrap().unwrap().value.as_ptr(), value.as_ptr());
    }
}
