//! The filter as it lies in the store while that is closed.
//!
//! ```text
//! 0   magic: 89 'T' 'R' 'F'      4   format: u8 = 2     5  three zeros
//! 8   seed: u64    16  keys it was made for: u64    24  bits for each, as f64    32  digest of the counts: u64
//! 40  keys it holds: u64    48  blocks of eight words of u64        last  checksum (XXH3-64) of all before
//! ```
//!
//! All numbers are little-endian. The digest is of the names of all namespaces and how many entries each holds. Another
//! format, such as the first, whose keys had a bit in every word of their block, is removed, and the filter built anew.

use std::sync::Arc;

use terrace_store::capability::Iterate;
use terrace_store::store::VALUE_LIMIT;
use terrace_store::{Entry, Key, PutOptions, Result, Store, StoreExt};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{Filter, Shared};

const MAGIC: [u8; 8] = [0x89, b'T', b'R', b'F', 2, 0, 0, 0];
const HEAD: usize = 40;
/// The namespace it lies in.
pub(crate) const NAMESPACE: &[u8] = b"\0bloom";

pub(super) fn place() -> Result<Key> {
    Key::new(NAMESPACE, "filter")
}

/// What was found in the store, sound and of this very content.
pub(super) struct Kept {
    pub(super) seed: u64,
    pub(super) expected: u64,
    bits_per_key: f64,
    words: bytes::Bytes,
}

/// Takes the filter out of the store, so that it is never found a second time. What cannot be trusted is removed, too.
pub(super) async fn take(store: &dyn Store) -> Result<Option<Kept>> {
    let Some(iterate) = store.as_iterate() else { return Ok(None) };
    let place = place()?;
    let Some(entry) = store.get(&place).await? else { return Ok(None) };
    store.remove(&place).await?;
    // Nothing may be written before it is certain that this one is gone.
    store.flush().await?;
    let digest = digest(iterate).await?;
    Ok(read(&entry.value).filter(|(_, counted)| *counted == digest).map(|(kept, _)| kept))
}

fn read(value: &bytes::Bytes) -> Option<(Kept, u64)> {
    let (covered, sum) = value.split_last_chunk::<8>()?;
    let number = |at: usize| Some(u64::from_le_bytes(covered.get(at..at + 8)?.try_into().ok()?));
    if !covered.starts_with(&MAGIC) || xxh3_64(covered) != u64::from_le_bytes(*sum) {
        return None;
    }
    let (seed, expected, bits, counted) = (number(8)?, number(16)?, number(24)?, number(32)?);
    let words = value.slice_ref(covered.get(HEAD..)?);
    Some((Kept { seed, expected, bits_per_key: f64::from_bits(bits), words }, counted))
}

impl Kept {
    /// Fills the filter, if it was made as this one was.
    pub(super) fn fill(&self, filter: &Arc<Filter>, bits_per_key: f64) -> bool {
        self.bits_per_key == bits_per_key && filter.read(&self.words)
    }
}

/// Leaves the filter in the store. Nothing is being written any more.
pub(super) async fn leave(shared: &Shared) -> Result<()> {
    let Some(iterate) = shared.inner.as_iterate() else { return Ok(()) };
    let expected = shared.filters.read().expected;
    let mut value = MAGIC.to_vec();
    let head = [shared.seed, expected, shared.config.bits_per_key.to_bits(), digest(iterate).await?];
    value.extend(head.iter().flat_map(|number| number.to_le_bytes()));
    shared.current.load().filter.write(&mut value);
    value.extend_from_slice(&xxh3_64(&value).to_le_bytes());
    if value.len() <= VALUE_LIMIT {
        let _ = shared.inner.put(&place()?, Entry::new(value), PutOptions::default()).await?;
    }
    Ok(())
}

async fn digest(iterate: &dyn Iterate) -> Result<u64> {
    let mut namespaces = iterate.namespaces().await?;
    namespaces.sort();
    let mut digest = 0;
    for namespace in namespaces.iter().filter(|namespace| namespace.name() != NAMESPACE) {
        let count = iterate.count(namespace).await?;
        digest = xxh3_64_with_seed(namespace.name(), digest ^ count.rotate_left(32));
    }
    Ok(digest)
}
