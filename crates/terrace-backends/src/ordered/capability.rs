//! What the store can do beyond `Store`: batches, listing, snapshots, transactions.

use std::future::ready;
use std::sync::Arc;

use terrace_store::capability::{
    Batch, Cursor, Iterate, List, Outcome, Page, Snapshot, SnapshotView, Transact, Transaction, Write,
};
use terrace_store::{BoxFuture, Entry, Key, Namespace, Result, Version};

use super::engine::Engine;
use super::snapshot::View;
use super::{IN_PLACE_ROWS, OrderedStore};
use crate::optimistic::{Optimistic, Validate};

impl<E: Engine> Batch for OrderedStore<E> {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        Box::pin(ready(keys.iter().map(|key| self.shared.read(key)).collect()))
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        let deferred = writes.iter().all(|write| match write {
            Write::Put(_, _, options) => options.deferred,
            Write::Delete(_, options) => options.deferred,
        });
        let done = self.shared.write("apply", |folder, now| folder.apply(&writes, &[], now));
        self.shared.finish(done, deferred)
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        let shared = Arc::clone(&self.shared);
        let namespace = namespace.cloned();
        Box::pin(async move {
            let work = Arc::clone(&shared);
            let done = shared.offload("clear", move || work.clear(namespace.as_ref())).await;
            shared.finish(done, false).await
        })
    }
}

impl<E: Engine> Iterate for OrderedStore<E> {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        if list.limit <= IN_PLACE_ROWS {
            return Box::pin(ready(self.shared.page(list, cursor)));
        }
        let (shared, list, cursor) = (Arc::clone(&self.shared), list.clone(), cursor.cloned());
        self.shared.offload("list", move || shared.page(&list, cursor.as_ref()))
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(ready(self.shared.with("count", |folder| Ok(folder.spaces.amount(namespace).count))))
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(ready(self.shared.with("bytes", |folder| Ok(folder.spaces.amount(namespace).bytes))))
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        Box::pin(ready(self.shared.with("namespaces", |folder| {
            folder.spaces.amounts().into_iter().map(|(prefix, _)| Namespace::new(&prefix[1..])).collect()
        })))
    }
}

impl<E: Engine> Snapshot for OrderedStore<E> {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn SnapshotView>>> {
        let view = View::take(&self.shared);
        Box::pin(ready(view.map(|view| Box::new(view) as Box<dyn SnapshotView>)))
    }
}

impl<E: Engine> Transact for OrderedStore<E> {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>> {
        let open = self.shared.with("begin", |_| Ok(()));
        Box::pin(ready(open.map(|()| Box::new(Optimistic::begin(self)) as Box<dyn Transaction>)))
    }
}

impl<E: Engine> Validate for OrderedStore<E> {
    fn read(&self, key: &Key) -> Result<Option<Entry>> {
        self.shared.read(key)
    }

    fn commit_unchanged(
        &self,
        writes: Vec<Write>,
        unchanged: Vec<(Key, Option<Version>)>,
    ) -> BoxFuture<'_, Result<()>> {
        let done =
            self.shared.write("commit", |folder, now| folder.apply(&writes, &unchanged, now).map(drop));
        self.shared.finish(done, writes.is_empty())
    }
}
