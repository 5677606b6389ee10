//! Comforts for those who call a store. Implemented once, for every store.

use std::future::IntoFuture;
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;

use crate::capability::{Cursor, List, Outcome, Page, Write};
use crate::entry::{Entry, Metadata, Tags, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, Namespace};
use crate::store::{BoxFuture, Compress, Condition, DeleteOptions, Deleted, PutOptions, Store, Written};

/// How often [`StoreExt::update`] tries again when others write the same key.
const UPDATE_ATTEMPTS: usize = 64;

/// What callers of a [`Store`] want besides its own methods.
pub trait StoreExt: Store {
    /// A put with its options as methods: `store.put_with(&key, "tea").ttl_ms(500).tag("drinks").await`.
    fn put_with<'a>(&'a self, key: &'a Key, value: impl Into<Bytes>) -> Put<'a, Self> {
        Put {
            store: self,
            key,
            entry: Entry::new(value),
            options: PutOptions::default(),
            tags: Vec::new(),
            metadata: Metadata::default(),
            ttl_ms: None,
        }
    }

    /// Deletes, whatever is there.
    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            match self.delete(key, DeleteOptions::default()).await? {
                Deleted::Done { existed, .. } => Ok(existed),
                Deleted::Conflict { .. } => unreachable!("a delete without a condition has no conflict"),
            }
        })
    }

    /// Replaces the entry if it has exactly this version.
    fn compare_and_set<'a>(
        &'a self,
        key: &'a Key,
        expected: Version,
        entry: Entry,
    ) -> BoxFuture<'a, Result<Written>> {
        let condition = Condition::Match(expected);
        self.put(key, entry, PutOptions { condition, ..PutOptions::default() })
    }

    /// Reads, changes and writes back, as often as it takes for nobody to have written in between. The function
    /// returns the new entry, or `None` to leave things as they are.
    ///
    /// # Errors
    /// `Busy` after 64 attempts that each met another writer.
    fn update<'a, F>(&'a self, key: &'a Key, mut change: F) -> BoxFuture<'a, Result<Option<Version>>>
    where
        F: FnMut(Option<Entry>) -> Option<Entry> + Send + 'a,
    {
        Box::pin(async move {
            for _ in 0..UPDATE_ATTEMPTS {
                let current = self.get(key).await?;
                let condition =
                    current.as_ref().map_or(Condition::Absent, |entry| Condition::Match(entry.version));
                let Some(entry) = change(current) else { return Ok(None) };
                let options = PutOptions { condition, ..PutOptions::default() };
                if let Written::Stored { version, .. } = self.put(key, entry, options).await? {
                    return Ok(Some(version));
                }
            }
            Err(Error::new(ErrorKind::Busy, "update")
                .with("attempts", UPDATE_ATTEMPTS)
                .because("too many writers"))
        })
    }

    /// The live entries of these keys, in their order: in one call where the store can, else one by one.
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        if let Some(batch) = self.as_batch() {
            return batch.get_many(keys);
        }
        Box::pin(async move {
            let mut entries = Vec::with_capacity(keys.len());
            for key in keys {
                entries.push(self.get(key).await?);
            }
            Ok(entries)
        })
    }

    /// Applies these operations in order: as a batch where the store can, else one by one, where an error means
    /// that a beginning of them was applied.
    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        if let Some(batch) = self.as_batch() {
            return batch.apply(writes);
        }
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(writes.len());
            for write in writes {
                outcomes.push(match write {
                    Write::Put(key, entry, options) => Outcome::Put(self.put(&key, entry, options).await?),
                    Write::Delete(key, options) => Outcome::Delete(self.delete(&key, options).await?),
                });
            }
            Ok(outcomes)
        })
    }

    /// One page of a listing.
    ///
    /// # Errors
    /// `NotSupported` if the store cannot list.
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        match self.as_iterate() {
            Some(iterate) => iterate.list(list, cursor),
            None => Box::pin(std::future::ready(Err(not_supported(self.name(), "list")))),
        }
    }

    /// All pages of a listing in one vector. For small listings.
    fn list_all<'a>(&'a self, list: &'a List) -> BoxFuture<'a, Result<Vec<(Key, Entry)>>> {
        Box::pin(async move {
            let mut entries = Vec::new();
            let mut cursor = None;
            loop {
                let page = self.list(list, cursor.as_ref()).await?;
                entries.extend(page.entries);
                cursor = page.next;
                if cursor.is_none() {
                    return Ok(entries);
                }
            }
        })
    }

    /// Removes every entry of a namespace and returns how many there were: in one call where the store can, else
    /// by listing and deleting, where what is written meanwhile may stay.
    ///
    /// # Errors
    /// `NotSupported` if the store can neither.
    fn clear_namespace<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        if let Some(batch) = self.as_batch() {
            return batch.clear(Some(namespace));
        }
        Box::pin(async move {
            let list = List { keys_only: true, ..List::all(namespace.clone()) };
            let mut removed = 0;
            for (key, _) in self.list_all(&list).await? {
                removed += u64::from(self.remove(&key).await?);
            }
            Ok(removed)
        })
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

fn not_supported(store: &str, operation: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, operation).with("store", store)
}

/// A put under construction; await it to do it. Made by [`StoreExt::put_with`].
#[must_use = "a put does nothing until it is awaited"]
pub struct Put<'a, S: ?Sized> {
    store: &'a S,
    key: &'a Key,
    entry: Entry,
    options: PutOptions,
    tags: Vec<Bytes>,
    metadata: Metadata,
    ttl_ms: Option<(u64, u64)>,
}

impl<S: Store + ?Sized> Put<'_, S> {
    /// Only if the key has no live entry.
    pub fn if_absent(mut self) -> Self {
        self.options.condition = Condition::Absent;
        self
    }

    /// Only if the live entry has exactly this version.
    pub fn expect(mut self, version: Version) -> Self {
        self.options.condition = Condition::Match(version);
        self
    }

    /// Carries this version, and applies only if nothing newer is known.
    pub fn newer(mut self, version: Version) -> Self {
        self.options.condition = Condition::Newer(version);
        self
    }

    /// Ends at this wall time, in milliseconds since the Unix epoch.
    pub fn expires_at_ms(mut self, wall_ms: u64) -> Self {
        self.entry.expires_ms = NonZeroU64::new(wall_ms.max(1));
        self
    }

    /// Ends this many milliseconds after the operating system's present wall time. Where another clock rules,
    /// use [`Put::ttl_from`] or [`Put::expires_at_ms`].
    pub fn ttl_ms(self, ttl_ms: u64) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.ttl_from(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), ttl_ms)
    }

    /// Written at this wall time, and ends this many milliseconds later.
    pub fn ttl_from(mut self, wall_ms: u64, ttl_ms: u64) -> Self {
        self.ttl_ms = Some((wall_ms, ttl_ms));
        self
    }

    /// Belongs to this group.
    pub fn tag(mut self, tag: impl AsRef<[u8]>) -> Self {
        self.tags.push(Bytes::copy_from_slice(tag.as_ref()));
        self
    }

    /// Has this MIME type.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.metadata.content_type = Some(content_type.into());
        self
    }

    /// Has this metadata besides.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.map.insert(name.into(), value.into());
        self
    }

    /// Whether to compress it.
    pub fn compress(mut self, compress: Compress) -> Self {
        self.options.compress = compress;
        self
    }

    /// As [`PutOptions::deferred`].
    pub fn deferred(mut self) -> Self {
        self.options.deferred = true;
        self
    }
}

impl<'a, S: Store + ?Sized> IntoFuture for Put<'a, S> {
    type Output = Result<Written>;
    type IntoFuture = BoxFuture<'a, Result<Written>>;

    fn into_future(mut self) -> Self::IntoFuture {
        match Tags::new(&self.tags) {
            Ok(tags) => self.entry.tags = tags,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        }
        if let Some((wall_ms, ttl_ms)) = self.ttl_ms {
            self.entry.created_ms = wall_ms;
            self.entry.expires_ms = NonZeroU64::new(wall_ms.saturating_add(ttl_ms).max(1));
        }
        if !self.metadata.is_empty() {
            self.entry.metadata = Some(Arc::new(self.metadata));
        }
        self.store.put(self.key, self.entry, self.options)
    }
}
