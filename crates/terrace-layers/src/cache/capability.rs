//! Batches through the cache, and following the store's own changes.

use bytes::Bytes;
use terrace_store::capability::{Batch, Change, Outcome, Write};
use terrace_store::{BoxFuture, Entry, Error, ErrorKind, Key, Namespace, Result};

use super::Cache;

fn missing(operation: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, operation).because("the store beneath cannot do it")
}

#[deny(clippy::missing_trait_methods)]
impl Batch for Cache {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        Box::pin(async move {
            let shared = &*self.shared;
            let batch = shared.inner.as_batch().ok_or_else(|| missing("get_many"))?;
            let mut entries: Vec<Option<Entry>> = keys.iter().map(|key| shared.look(key)).collect();
            let places: Vec<usize> = (0..keys.len()).filter(|place| entries[*place].is_none()).collect();
            if places.is_empty() && !keys.is_empty() {
                return Ok(entries);
            }
            let asked: Vec<Key> = places.iter().map(|place| keys[*place].clone()).collect();
            let tickets: Vec<_> = asked.iter().map(|key| shared.before_read(key)).collect();
            let found = batch.get_many(&asked).await?;
            for (at, entry) in found.into_iter().enumerate() {
                if let Some(entry) = &entry {
                    shared.fill(&asked[at], tickets[at], entry);
                }
                entries[places[at]] = entry;
            }
            Ok(entries)
        })
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        Box::pin(async move {
            let shared = &*self.shared;
            let batch = shared.inner.as_batch().ok_or_else(|| missing("apply"))?;
            let keys: Vec<Key> = writes.iter().map(|write| write.key().clone()).collect();
            let ticket = shared.write_all(keys.iter());
            let applied = batch.apply(writes).await;
            ticket.settle(&applied);
            applied
        })
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let shared = &*self.shared;
            let batch = shared.inner.as_batch().ok_or_else(|| missing("clear"))?;
            let ticket = shared.write_everything();
            let cleared = batch.clear(namespace).await;
            ticket.settle(&cleared);
            cleared
        })
    }
}

impl Cache {
    /// Drops copies as the store tells of changes that others make, for as long as it is awaited: for a background task.
    /// Ends when the store was closed.
    ///
    /// # Errors
    /// `NotSupported` if the store cannot be watched.
    ///
    /// # Consistency
    /// A copy is dropped when the change is told, which a store does at the latest when it acknowledges the write.
    pub async fn follow(&self, namespace: &Namespace) -> Result<()> {
        let shared = &*self.shared;
        let watch = shared.inner.as_watch().ok_or_else(|| missing("watch"))?;
        let mut changes = watch.watch(namespace, Bytes::new()).await?;
        // What came before is not told of.
        shared.write_everything().settle(&Ok(()));
        while let Some(change) = changes.next().await {
            match change {
                Change::Put { key, .. } | Change::Deleted { key, .. } => shared.changed(&key),
                // Of a change of another kind nothing is known: everything may have changed.
                _ => shared.write_everything().settle(&Ok(())),
            }
        }
        Ok(())
    }
}
