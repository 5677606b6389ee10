//! Batches and transactions before a filter.

use terrace_store::capability::{Batch, Outcome, Transact, Transaction, Write};
use terrace_store::{BoxFuture, Entry, Error, ErrorKind, Key, Namespace, Result};

use super::{Answer, Bloom};

fn missing(operation: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, operation).because("the store beneath cannot do it")
}

#[deny(clippy::missing_trait_methods)]
impl Batch for Bloom {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        Box::pin(async move {
            let batch = self.shared.inner.as_batch().ok_or_else(|| missing("get_many"))?;
            let said: Vec<Answer> = keys.iter().map(|key| self.shared.ask(key)).collect();
            if said.iter().all(|said| *said != Answer::Absent) {
                let found = batch.get_many(keys).await?;
                said.iter().zip(&found).for_each(|(said, found)| self.shared.learn(*said, found.is_some()));
                return Ok(found);
            }
            let places: Vec<usize> = (0..keys.len()).filter(|at| said[*at] != Answer::Absent).collect();
            let asked: Vec<Key> = places.iter().map(|at| keys[*at].clone()).collect();
            let mut entries = vec![None; keys.len()];
            for (at, found) in places.into_iter().zip(batch.get_many(&asked).await?) {
                self.shared.learn(said[at], found.is_some());
                entries[at] = found;
            }
            Ok(entries)
        })
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        Box::pin(async move {
            let batch = self.shared.inner.as_batch().ok_or_else(|| missing("apply"))?;
            let put = |write: &Write| matches!(write, Write::Put(..));
            let keys: Vec<Key> =
                writes.iter().filter(|write| put(write)).map(|write| write.key().clone()).collect();
            let writing = self.shared.write(keys.iter())?;
            let applied = batch.apply(writes).await;
            // Without atomic batches any beginning of a failed one may be there; its keys are in the filter, and a
            // filter that is built from now on lists them.
            writing.settle(&applied);
            self.grow();
            applied
        })
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        match self.shared.inner.as_batch() {
            Some(batch) => batch.clear(namespace),
            None => Box::pin(std::future::ready(Err(missing("clear")))),
        }
    }
}

struct FilteredTransaction<'s> {
    inner: Box<dyn Transaction + 's>,
    bloom: &'s Bloom,
    written: Vec<Key>,
}

#[deny(clippy::missing_trait_methods)]
impl Transact for Bloom {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>> {
        Box::pin(async move {
            let transact = self.shared.inner.as_transact().ok_or_else(|| missing("begin"))?;
            let inner = transact.begin().await?;
            let begun = FilteredTransaction { inner, bloom: self, written: Vec::new() };
            Ok(Box::new(begun) as Box<dyn Transaction + '_>)
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Transaction for FilteredTransaction<'_> {
    /// The store has to know what was read, so the filter is not asked.
    fn get<'a>(&'a mut self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        self.inner.get(key)
    }

    fn put(&mut self, key: Key, entry: Entry) {
        self.written.push(key.clone());
        self.inner.put(key, entry);
    }

    fn delete(&mut self, key: Key) {
        self.inner.delete(key);
    }

    fn commit<'a>(self: Box<Self>) -> BoxFuture<'a, Result<()>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let Self { inner, bloom, written } = *self;
            let writing = bloom.shared.write(written.iter())?;
            let committed = inner.commit().await;
            writing.settle(&committed);
            bloom.grow();
            committed
        })
    }
}
