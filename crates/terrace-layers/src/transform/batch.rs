//! Batches and listings of a transformed store.

use terrace_store::capability::{Batch, Cursor, Iterate, List, Outcome, Page, Write};
use terrace_store::{BoxFuture, Entry, Error, ErrorKind, Key, Namespace, Result, Store};

use super::{Shared, Transform, Transformed, frame};

fn missing(operation: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, operation).because("the store beneath cannot do it")
}

impl<T: Transform> Transformed<T> {
    fn batch(&self) -> Result<&dyn Batch> {
        self.inner.as_batch().ok_or_else(|| missing("batch"))
    }

    fn iterate(&self) -> Result<&dyn Iterate> {
        self.inner.as_iterate().ok_or_else(|| missing("list"))
    }
}

impl<T: Transform> Shared<T> {
    /// The page as it was put. Without values there is nothing to change back; what is damaged is left out.
    pub(super) async fn page(&self, beneath: &dyn Store, page: Page, keys_only: bool) -> Page {
        let Page { entries, next } = page;
        let mut listed = Vec::with_capacity(entries.len());
        for (key, entry) in entries {
            if keys_only {
                listed.push((key, frame::forget(entry)));
            } else if let Ok(entry) = self.decode(beneath, &key, entry).await {
                listed.push((key, entry));
            }
        }
        Page { entries: listed, next }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: Transform> Batch for Transformed<T> {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        Box::pin(async move {
            let mut entries = self.batch()?.get_many(keys).await?;
            for (key, slot) in keys.iter().zip(&mut entries) {
                if let Some(entry) = slot.take() {
                    *slot = Some(self.shared.decode(&*self.inner, key, entry).await?);
                }
            }
            Ok(entries)
        })
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        Box::pin(async move {
            // What can be refused is refused before anything is applied.
            let encoded = writes.into_iter().map(|write| match write {
                Write::Put(key, entry, options) => {
                    options.validate(&entry)?;
                    let stored = self.transform().encode(&key, entry, &options)?;
                    Ok(Write::Put(key, stored, options))
                }
                delete @ Write::Delete(..) => Ok(delete),
            });
            let encoded = encoded.collect::<Result<Vec<_>>>()?;
            self.batch()?.apply(encoded).await
        })
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            if namespace.is_some() {
                return self.batch()?.clear(namespace).await;
            }
            if let Some(preparation) = self.transform().cleared(&*self.inner, true) {
                preparation.await?;
            }
            let own = self.own_entries().await?;
            let cleared = self.batch()?.clear(None).await?;
            if let Some(repair) = self.transform().cleared(&*self.inner, false) {
                repair.await?;
            }
            Ok(cleared.saturating_sub(own))
        })
    }
}

impl<T: Transform> Transformed<T> {
    /// How many of the store's entries are this layer's own.
    async fn own_entries(&self) -> Result<u64> {
        let Some(iterate) = self.inner.as_iterate() else { return Ok(0) };
        let mut own = 0;
        for namespace in iterate.namespaces().await? {
            if self.transform().owns(&namespace) {
                own += iterate.count(&namespace).await?;
            }
        }
        Ok(own)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: Transform> Iterate for Transformed<T> {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let page = self.iterate()?.list(list, cursor).await?;
            Ok(self.shared.page(&*self.inner, page, list.keys_only).await)
        })
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.iterate()?.count(namespace).await })
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let iterate = self.iterate()?;
            let Some(added) = self.transform().added() else {
                // A closed store says that it is closed, and not that it cannot do it.
                iterate.count(namespace).await?;
                return Err(Error::new(ErrorKind::NotSupported, "bytes")
                    .with("store", self.inner.name())
                    .because(
                        "values change their length on the way; ask the store beneath for what they take",
                    ));
            };
            let (bytes, count) = (iterate.bytes(namespace).await?, iterate.count(namespace).await?);
            Ok(bytes.saturating_sub(count.saturating_mul(added)))
        })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        Box::pin(async move {
            let mut found = self.iterate()?.namespaces().await?;
            found.retain(|namespace| !self.transform().owns(namespace));
            Ok(found)
        })
    }
}
