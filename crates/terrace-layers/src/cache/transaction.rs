//! Transactions through the cache: they read the store, and what they write is dropped while they commit.

use terrace_store::capability::{Transact, Transaction};
use terrace_store::{BoxFuture, Entry, Error, ErrorKind, Key, Result};

use super::{Cache, Shared};

struct CachedTransaction<'s> {
    inner: Box<dyn Transaction + 's>,
    shared: &'s Shared,
    written: Vec<Key>,
}

#[deny(clippy::missing_trait_methods)]
impl Transact for Cache {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>> {
        Box::pin(async move {
            let shared = &*self.shared;
            let Some(transact) = shared.inner.as_transact() else {
                return Err(Error::new(ErrorKind::NotSupported, "begin"));
            };
            let inner = transact.begin().await?;
            let begun = CachedTransaction { inner, shared, written: Vec::new() };
            Ok(Box::new(begun) as Box<dyn Transaction + '_>)
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Transaction for CachedTransaction<'_> {
    fn get<'a>(&'a mut self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        self.inner.get(key)
    }

    fn put(&mut self, key: Key, entry: Entry) {
        self.written.push(key.clone());
        self.inner.put(key, entry);
    }

    fn delete(&mut self, key: Key) {
        self.written.push(key.clone());
        self.inner.delete(key);
    }

    fn commit<'a>(self: Box<Self>) -> BoxFuture<'a, Result<()>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let Self { inner, shared, written } = *self;
            let ticket = shared.write_all(written.iter());
            let committed = inner.commit().await;
            ticket.settle(&committed);
            committed
        })
    }
}
