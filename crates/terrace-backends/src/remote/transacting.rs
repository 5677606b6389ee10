//! Optimistic transactions over a store whose reads and commits are calls to a server.

use std::collections::{BTreeMap, HashMap};

use terrace_store::capability::{Transaction, Write};
use terrace_store::{BoxFuture, DeleteOptions, Entry, Key, PutOptions, Result, Version};

use super::Remote;

/// A transaction that remembers what it read and gathers what it writes.
pub(super) struct Transacting<'a, S> {
    store: &'a S,
    read: HashMap<Key, Option<Version>>,
    writes: BTreeMap<Key, Option<Entry>>,
}

impl<'a, S> Transacting<'a, S> {
    pub(super) fn begin(store: &'a S) -> Self {
        Self { store, read: HashMap::new(), writes: BTreeMap::new() }
    }
}

impl<S: Remote> Transaction for Transacting<'_, S> {
    fn get<'a>(&'a mut self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move {
            if let Some(written) = self.writes.get(key) {
                return Ok(written.clone());
            }
            let entry = self.store.get(key).await?;
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
        Box::pin(async move {
            let (writes, read): (Vec<_>, Vec<_>) = (writes.collect(), read.into_iter().collect());
            store.commit(&writes, &read).await
        })
    }
}
