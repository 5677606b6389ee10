//! Transactions and snapshots of a transformed store.

use std::sync::Arc;

use terrace_store::capability::{Cursor, List, Page, Snapshot, SnapshotView, Transact, Transaction};
use terrace_store::{BoxFuture, Entry, Error, ErrorKind, Key, PutOptions, Result, Store};

use super::{Shared, Transform, Transformed};

struct TransformedTransaction<'s, T> {
    inner: Box<dyn Transaction + 's>,
    beneath: &'s dyn Store,
    shared: &'s Shared<T>,
    /// Why something cannot be written: the commit says so.
    refused: Option<Error>,
}

#[deny(clippy::missing_trait_methods)]
impl<T: Transform> Transact for Transformed<T> {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>> {
        Box::pin(async move {
            let Some(transact) = self.inner.as_transact() else {
                return Err(Error::new(ErrorKind::NotSupported, "begin"));
            };
            let inner = transact.begin().await?;
            let (beneath, shared) = (&*self.inner, &*self.shared);
            let begun = TransformedTransaction { inner, beneath, shared, refused: None };
            Ok(Box::new(begun) as Box<dyn Transaction + '_>)
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: Transform> Transaction for TransformedTransaction<'_, T> {
    fn get<'a>(&'a mut self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move {
            match self.inner.get(key).await? {
                Some(entry) => self.shared.decode(self.beneath, key, entry).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn put(&mut self, key: Key, entry: Entry) {
        let options = PutOptions::default();
        let stored =
            options.validate(&entry).and_then(|()| self.shared.transform.encode(&key, entry, &options));
        match stored {
            Ok(stored) => self.inner.put(key, stored),
            Err(error) => self.refused = Some(error),
        }
    }

    fn delete(&mut self, key: Key) {
        self.inner.delete(key);
    }

    fn commit<'a>(self: Box<Self>) -> BoxFuture<'a, Result<()>>
    where
        Self: 'a,
    {
        match self.refused {
            Some(error) => Box::pin(std::future::ready(Err(error))),
            None => self.inner.commit(),
        }
    }
}

struct TransformedView<T> {
    inner: Box<dyn SnapshotView>,
    beneath: Arc<dyn Store>,
    shared: Arc<Shared<T>>,
}

#[deny(clippy::missing_trait_methods)]
impl<T: Transform> Snapshot for Transformed<T> {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn SnapshotView>>> {
        Box::pin(async move {
            let Some(snapshot) = self.inner.as_snapshot() else {
                return Err(Error::new(ErrorKind::NotSupported, "snapshot"));
            };
            let inner = snapshot.snapshot().await?;
            let (beneath, shared) = (Arc::clone(&self.inner), Arc::clone(&self.shared));
            Ok(Box::new(TransformedView { inner, beneath, shared }) as Box<dyn SnapshotView>)
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: Transform> SnapshotView for TransformedView<T> {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move {
            match self.inner.get(key).await? {
                Some(entry) => self.shared.decode(&*self.beneath, key, entry).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let page = self.inner.list(list, cursor).await?;
            Ok(self.shared.page(&*self.beneath, page, list.keys_only).await)
        })
    }
}
