//! Listing: keys as the mirror has them, entries as the bucket has them.

use std::num::NonZeroU64;
use std::ops::Bound;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use terrace_store::capability::{Cursor, List, Page};
use terrace_store::{Entry, ErrorKind, Key, Result};

use super::mirror::Known;
use super::{Nats, TOGETHER};
use crate::remote::{PAGE_BYTES, after};

impl Nats {
    pub(super) async fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        let mirror = self.mirror("list").await?;
        let flat = |bytes: &[u8]| [list.namespace.flat_prefix(), bytes].concat();
        let start = flat(list.from.as_deref().unwrap_or_default().max(&list.prefix[..]));
        let behind = cursor.map(|cursor| flat(&cursor.0)).filter(|behind| *behind >= start);
        let from = behind.as_deref().map_or(Bound::Included(&start[..]), Bound::Excluded);
        let bytes = if list.keys_only { u64::MAX } else { PAGE_BYTES as u64 };
        let (found, more) = mirror.range(from, &after(list), list.limit.max(1), bytes);
        let found = found
            .into_iter()
            .map(|(flat, known)| Ok((Key::from_flat(flat)?, known)))
            .collect::<Result<Vec<_>>>()?;
        let next = found.last().filter(|_| more).map(|(key, _)| Cursor(key.shared_bytes()));
        let entries = match list.keys_only {
            true => found.into_iter().map(|(key, known)| (key, bare(&known))).collect(),
            false => self.entries(found.into_iter().map(|(key, _)| key).collect()).await?,
        };
        Ok(Page { entries, next })
    }

    /// The entries of these keys that are there still, and sound.
    async fn entries(&self, keys: Vec<Key>) -> Result<Vec<(Key, Entry)>> {
        let mut read = stream::iter(keys)
            .map(|key| async move { (self.read("list", &key).await, key) })
            .buffered(TOGETHER);
        let mut entries = Vec::new();
        while let Some((entry, key)) = read.next().await {
            match entry {
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                entry => entries.extend(entry?.map(|entry| (key, entry))),
            }
        }
        Ok(entries)
    }
}

/// An entry without what only its message has.
fn bare(known: &Known) -> Entry {
    let expires_ms = NonZeroU64::new(known.ends_ms);
    Entry { version: known.version, expires_ms, ..Entry::new(Bytes::new()) }
}
