//! Transactions and snapshots of a part of a store.

use std::sync::Arc;

use terrace_store::capability::{Cursor, List, Page, Snapshot, SnapshotView, Transact, Transaction};
use terrace_store::{BoxFuture, Entry, Error, Key, Result};

use super::map::Map;
use super::{Namespaced, missing};

struct NamespacedTransaction<'s> {
    inner: Box<dyn Transaction + 's>,
    store: &'s Namespaced,
    /// Keys whose namespaces have to be noted before the commit.
    written: Vec<Key>,
    refused: Option<Error>,
}

#[deny(clippy::missing_trait_methods)]
impl Transact for Namespaced {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>> {
        Box::pin(async move {
            let transact = self.inner.as_transact().ok_or_else(|| missing("begin"))?;
            let inner = transact.begin().await?;
            let begun = NamespacedTransaction { inner, store: self, written: Vec::new(), refused: None };
            Ok(Box::new(begun) as Box<dyn Transaction + '_>)
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Transaction for NamespacedTransaction<'_> {
    fn get<'a>(&'a mut self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move {
            let below = self.store.map.down(key)?;
            self.inner.get(&below).await
        })
    }

    fn put(&mut self, key: Key, entry: Entry) {
        match self.store.map.down(&key) {
            Ok(below) => self.inner.put(below, entry),
            Err(error) => self.refused = Some(error),
        }
        if self.written.iter().all(|written| written.namespace_name() != key.namespace_name()) {
            self.written.push(key);
        }
    }

    fn delete(&mut self, key: Key) {
        match self.store.map.down(&key) {
            Ok(below) => self.inner.delete(below),
            Err(error) => self.refused = Some(error),
        }
    }

    fn commit<'a>(self: Box<Self>) -> BoxFuture<'a, Result<()>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let Self { inner, store, written, refused } = *self;
            if let Some(error) = refused {
                return Err(error);
            }
            for key in &written {
                store.note(key).await?;
            }
            inner.commit().await
        })
    }
}

struct NamespacedView {
    inner: Box<dyn SnapshotView>,
    map: Arc<Map>,
}

#[deny(clippy::missing_trait_methods)]
impl Snapshot for Namespaced {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn SnapshotView>>> {
        Box::pin(async move {
            let snapshot = self.inner.as_snapshot().ok_or_else(|| missing("snapshot"))?;
            let view = NamespacedView { inner: snapshot.snapshot().await?, map: Arc::clone(&self.map) };
            Ok(Box::new(view) as Box<dyn SnapshotView>)
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl SnapshotView for NamespacedView {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move { self.inner.get(&self.map.down(key)?).await })
    }

    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let page = self.inner.list(&self.map.list_down(list)?, cursor).await?;
            self.map.page_up(&list.namespace, page)
        })
    }
}
