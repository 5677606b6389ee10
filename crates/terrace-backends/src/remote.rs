//! Optimistic transactions over a store whose reads and commits are calls to a server.

use std::collections::{BTreeMap, HashMap};

use terrace_store::capability::{Transaction, Write};
use terrace_store::{BoxFuture, DeleteOptions, Entry, Key, PutOptions, Result, Version};

/// What such a store must be able to do.
pub(crate) trait Remote: Send + Sync {
    /// The live entry of a key.
    fn fetch<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>>;

    /// Applies the writes all at once if every key still has the live version it was read with; otherwise
    /// `Conflict`, and nothing is applied.
    fn commit_unchanged(
        &self,
        writes: Vec<Write>,
        read: Vec<(Key, Option<Version>)>,
    ) -> BoxFuture<'_, Result<()>>;
}

/// A transaction that remembers what it read and gathers what it writes.
pub(crate) struct Transacting<'a, S> {
    store: &'a S,
    read: HashMap<Key, Option<Version>>,
    writes: BTreeMap<Key, Option<Entry>>,
}

impl<'a, S> Transacting<'a, S> {
    pub(crate) fn begin(store: &'a S) -> Self {
        Self { store, read: HashMap::new(), writes: BTreeMap::new() }
    }
}

impl<S: Remote> Transaction for Transacting<'_, S> {
    fn get<'a>(&'a mut self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move {
            if let Some(written) = self.writes.get(key) {
                return Ok(written.clone());
            }
            let entry = self.store.fetch(key).await?;
            // If the key was read before and has changed since, the first version stands, and the commit fails.
            self.read.entry(key.clone()).or_insert(entry.as_ref().map(|entry| entry.version));
            Ok(entry)
        })
    }

    fn put(&mut self, key: Key, entry: Entry) {
        self.writes.insert(key, Some(entry));
    }

    fn delete(&mut self, key: Key) {
        self.writes.insert(key, None);
    }

    fn commit<'a>(self: Box<Self>) -> BoxFuture<'a, Result<()>>
    where
        Self: 'a,
    {
        let Self { store, read, writes } = *self;
        let writes = writes.into_iter().map(|(key, entry)| match entry {
            Some(entry) => Write::Put(key, entry, PutOptions::default()),
            None => Write::Delete(key, DeleteOptions::default()),
        });
        store.commit_unchanged(writes.collect(), read.into_iter().collect())
    }
}
