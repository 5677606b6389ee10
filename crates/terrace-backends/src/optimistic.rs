//! Optimistic transactions over any store of ours that can check versions and apply writes in one step.

use std::collections::{BTreeMap, HashMap};

use terrace_store::capability::{Transaction, Write};
use terrace_store::{BoxFuture, DeleteOptions, Entry, Key, PutOptions, Result, Version};

/// What a store must be able to do for [`Optimistic`] transactions.
pub(crate) trait Validate: Send + Sync {
    /// The live entry of a key.
    fn read(&self, key: &Key) -> Result<Option<Entry>>;

    /// Applies the writes all at once if every key still has the live version it was read with; otherwise
    /// `Conflict`, and nothing is applied.
    fn commit_unchanged(
        &self,
        writes: Vec<Write>,
        unchanged: Vec<(Key, Option<Version>)>,
    ) -> BoxFuture<'_, Result<()>>;
}

/// A transaction that remembers what it read and gathers what it writes.
pub(crate) struct Optimistic<'a, S> {
    store: &'a S,
    read: HashMap<Key, Option<Version>>,
    writes: BTreeMap<Key, Option<Entry>>,
}

impl<'a, S> Optimistic<'a, S> {
    pub(crate) fn begin(store: &'a S) -> Self {
        Self { store, read: HashMap::new(), writes: BTreeMap::new() }
    }
}

impl<S: Validate> Optimistic<'_, S> {
    fn read(&mut self, key: &Key) -> Result<Option<Entry>> {
        if let Some(written) = self.writes.get(key) {
            return Ok(written.clone());
        }
        let entry = self.store.read(key)?;
        // If the key was read before and has changed since, the first version stands, and the commit fails.
        self.read.entry(key.clone()).or_insert(entry.as_ref().map(|entry| entry.version));
        Ok(entry)
    }
}

impl<S: Validate> Transaction for Optimistic<'_, S> {
    fn get<'a>(&'a mut self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        let entry = self.read(key);
        Box::pin(std::future::ready(entry))
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
        let writes = self.writes.into_iter().map(|(key, entry)| match entry {
            Some(entry) => Write::Put(key, entry, PutOptions::default()),
            None => Write::Delete(key, DeleteOptions::default()),
        });
        self.store.commit_unchanged(writes.collect(), self.read.into_iter().collect())
    }
}
