//! What a switch can do besides: batches, listing and snapshots, of the store that is in use.

use terrace_store::capability::{Batch, Cursor, Iterate, List, Outcome, Page, Snapshot, SnapshotView, Write};
use terrace_store::{BoxFuture, Entry, Error, ErrorKind, Key, Namespace, Result};

use super::Switch;
use crate::copy::NAMESPACE;

fn missing(operation: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, operation).because("one of the two stores cannot do it")
}

fn refused<'a, T: Send + 'a>(operation: &'static str) -> BoxFuture<'a, Result<T>> {
    Box::pin(std::future::ready(Err(missing(operation))))
}

#[deny(clippy::missing_trait_methods)]
impl Batch for Switch {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        self.now().as_batch().map_or_else(|| refused("get_many"), |batch| batch.get_many(keys))
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        Box::pin(async move {
            let _inside = self.gate.enter().await;
            self.written().as_batch().ok_or_else(|| missing("apply"))?.apply(writes).await
        })
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            // Alone: a write that came before it must not reach the second store after it.
            let _closed = self.gate.close().await;
            self.written().as_batch().ok_or_else(|| missing("clear"))?.clear(namespace).await
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Iterate for Switch {
    /// A listing that was begun before the turn cannot be gone on with after it: its cursor is the old store's.
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let turned = self.has_turned();
            let mark = u8::from(turned);
            let beneath = match cursor {
                None => None,
                Some(Cursor(bytes)) => match bytes.split_first() {
                    Some((first, rest)) if *first == mark => Some(Cursor(bytes.slice_ref(rest))),
                    _ => {
                        return Err(Error::new(ErrorKind::Conflict, "list")
                            .because("the store was switched since the listing began; list anew")
                            .transient(true));
                    }
                },
            };
            let store = if turned { &*self.to } else { &*self.from };
            let iterate = store.as_iterate().ok_or_else(|| missing("list"))?;
            let mut page = iterate.list(list, beneath.as_ref()).await?;
            page.next = page.next.map(|Cursor(next)| Cursor([&[mark], &next[..]].concat().into()));
            Ok(page)
        })
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        self.now().as_iterate().map_or_else(|| refused("count"), |iterate| iterate.count(namespace))
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        self.now().as_iterate().map_or_else(|| refused("bytes"), |iterate| iterate.bytes(namespace))
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        Box::pin(async move {
            let iterate = self.now().as_iterate().ok_or_else(|| missing("namespaces"))?;
            let mut namespaces = iterate.namespaces().await?;
            namespaces.retain(|namespace| namespace.name() != NAMESPACE);
            Ok(namespaces)
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Snapshot for Switch {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn SnapshotView>>> {
        self.now().as_snapshot().map_or_else(|| refused("snapshot"), |snapshot| snapshot.snapshot())
    }
}
