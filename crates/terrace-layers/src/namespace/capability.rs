//! The capabilities of a part of a store.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::{
    Batch, Change, Changes, Cursor, Iterate, Lease, List, Lock, Outcome, Page, Publish, Subscription, Watch,
    Write,
};
use terrace_store::{
    BoxFuture, Condition, Deleted, Entry, Key, Namespace, PutOptions, Result, Version, Versions, Written,
};

use super::map::{Map, Seen};
use super::{Namespaced, missing};

#[deny(clippy::missing_trait_methods)]
impl Batch for Namespaced {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        Box::pin(async move {
            let batch = self.inner.as_batch().ok_or_else(|| missing("get_many"))?;
            let below = keys.iter().map(|key| self.map.down(key)).collect::<Result<Vec<_>>>()?;
            batch.get_many(&below).await
        })
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        Box::pin(async move {
            let batch = self.inner.as_batch().ok_or_else(|| missing("apply"))?;
            let (mut below, mut late) = (Vec::with_capacity(writes.len()), Vec::new());
            for (place, write) in writes.into_iter().enumerate() {
                let key = self.map.down(write.key())?;
                let (condition, is_put) = match &write {
                    Write::Put(_, entry, options) => {
                        options.validate(entry)?;
                        (options.condition, true)
                    }
                    Write::Delete(_, options) => {
                        options.validate()?;
                        (options.condition, false)
                    }
                };
                if self.is_late(condition) {
                    late.push((place, key, is_put));
                    continue;
                }
                below.push(match write {
                    Write::Put(above, entry, options) => {
                        self.note(&above).await?;
                        Write::Put(key, entry, options)
                    }
                    Write::Delete(_, options) => Write::Delete(key, options),
                });
            }
            let mut outcomes = batch.apply(below).await?;
            for (place, key, is_put) in late {
                let current = self.current(&key).await?;
                outcomes.insert(
                    place,
                    match is_put {
                        true => Outcome::Put(Written::Conflict { current }),
                        false => Outcome::Delete(Deleted::Conflict { current }),
                    },
                );
            }
            Ok(outcomes)
        })
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let batch = self.inner.as_batch().ok_or_else(|| missing("clear"))?;
            if let Some(namespace) = namespace {
                return batch.clear(Some(&self.map.namespace_down(namespace.name())?)).await;
            }
            let iterate = self.inner.as_iterate().ok_or_else(|| missing("clear"))?;
            self.raise_floor().await?;
            let mut cleared = 0;
            for below in iterate.namespaces().await? {
                if !matches!(self.map.seen(&below)?, Seen::Foreign) {
                    cleared += batch.clear(Some(&below)).await?;
                }
            }
            Ok(cleared)
        })
    }
}

impl Namespaced {
    /// Notes that every version up to now came before everything was cleared; whoever watches is told by it.
    async fn raise_floor(&self) -> Result<()> {
        let (version, condition) = match self.inner.capabilities().versions {
            Versions::Assigned => match self.inner.reserve().await? {
                version if version < Version::LIMIT => (version.0, Condition::Newer(version)),
                version => (version.0, Condition::Any),
            },
            Versions::Opaque => (0, Condition::Any),
            // A copy is cleared by whoever writes it.
            Versions::Given => return Ok(()),
        };
        let entry = Entry::new(version.to_le_bytes().to_vec());
        let place = self.map.floor_key()?;
        // A conflict is a floor that somebody raised higher.
        let _ = self.inner.put(&place, entry, PutOptions { condition, ..PutOptions::default() }).await?;
        self.floor.fetch_max(version, Ordering::AcqRel);
        Ok(())
    }
}

impl Map {
    /// The page of a listing of this namespace, with its keys as they are here.
    pub(super) fn page_up(&self, namespace: &Namespace, page: Page) -> Result<Page> {
        let up = |(below, entry): (Key, Entry)| Ok((self.up(namespace, &below)?, entry));
        Ok(Page { entries: page.entries.into_iter().map(up).collect::<Result<_>>()?, next: page.next })
    }

    pub(super) fn list_down(&self, list: &List) -> Result<List> {
        Ok(List { namespace: self.namespace_down(list.namespace.name())?, ..list.clone() })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Iterate for Namespaced {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let iterate = self.inner.as_iterate().ok_or_else(|| missing("list"))?;
            let page = iterate.list(&self.map.list_down(list)?, cursor).await?;
            self.map.page_up(&list.namespace, page)
        })
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let iterate = self.inner.as_iterate().ok_or_else(|| missing("count"))?;
            iterate.count(&self.map.namespace_down(namespace.name())?).await
        })
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let iterate = self.inner.as_iterate().ok_or_else(|| missing("bytes"))?;
            iterate.bytes(&self.map.namespace_down(namespace.name())?).await
        })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        Box::pin(async move {
            let iterate = self.inner.as_iterate().ok_or_else(|| missing("namespaces"))?;
            let mut found = Vec::new();
            for below in iterate.namespaces().await? {
                match self.map.seen(&below)? {
                    Seen::Plain(namespace) => found.push(namespace),
                    Seen::Hashed(hash) => {
                        // One whose name is not noted was not made by this layer.
                        if let Some(note) = self.inner.get(&self.map.note_key(&hash)?).await? {
                            found.push(Namespace::new(&note.value)?);
                        }
                    }
                    Seen::Foreign => {}
                }
            }
            Ok(found)
        })
    }
}

struct NamespacedChanges {
    inner: Box<dyn Changes>,
    /// Those of the note that everything was cleared.
    cleared: Box<dyn Changes>,
    namespace: Namespace,
    map: Arc<Map>,
}

#[deny(clippy::missing_trait_methods)]
impl Watch for Namespaced {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        Box::pin(async move {
            let watch = self.inner.as_watch().ok_or_else(|| missing("watch"))?;
            let note = self.map.floor_key()?;
            let cleared = watch.watch(&note.namespace(), note.shared_bytes()).await?;
            let inner = watch.watch(&self.map.namespace_down(namespace.name())?, prefix).await?;
            let (namespace, map) = (namespace.clone(), Arc::clone(&self.map));
            Ok(Box::new(NamespacedChanges { inner, cleared, namespace, map }) as Box<dyn Changes>)
        })
    }
}

impl NamespacedChanges {
    fn up(&self, change: Change) -> Change {
        // A key that fits beneath fits here.
        let up = |below: &Key| self.map.up(&self.namespace, below);
        match change {
            Change::Put { key, version } => {
                up(&key).map_or(Change::Lagged, |key| Change::Put { key, version })
            }
            Change::Deleted { key, version } => {
                up(&key).map_or(Change::Lagged, |key| Change::Deleted { key, version })
            }
            Change::Cleared(Some(_)) => Change::Cleared(Some(self.namespace.clone())),
            other => other,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Changes for NamespacedChanges {
    /// What is told of everything having been cleared comes before what is told of this namespace.
    fn next(&mut self) -> BoxFuture<'_, Option<Change>> {
        Box::pin(async move {
            let (mut cleared, mut inner) = (Some(self.cleared.next()), self.inner.next());
            let told = poll_fn(|context| {
                if let Some(Poll::Ready(change)) = cleared.as_mut().map(|next| next.as_mut().poll(context)) {
                    cleared = None;
                    match change {
                        Some(Change::Put { .. }) => return Poll::Ready(Some(Err(Change::Cleared(None)))),
                        // The note is gone, or a note was missed: everything has to be read again.
                        Some(_) => return Poll::Ready(Some(Err(Change::Lagged))),
                        // The store was closed, and the other stream ends as well.
                        None => {}
                    }
                }
                inner.as_mut().poll(context).map(|change| change.map(Ok))
            })
            .await?;
            drop((cleared, inner));
            Some(match told {
                Ok(change) => self.up(change),
                Err(change) => change,
            })
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Lock for Namespaced {
    fn try_acquire<'a>(&'a self, name: &'a [u8], ttl: Duration) -> BoxFuture<'a, Result<Option<Lease>>> {
        Box::pin(async move {
            let lock = self.inner.as_lock().ok_or_else(|| missing("acquire"))?;
            let lease = lock.try_acquire(&self.map.name_down(name), ttl).await?;
            Ok(lease.map(|lease| Lease { name: self.map.name_up(&lease.name), ..lease }))
        })
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let lock = self.inner.as_lock().ok_or_else(|| missing("renew"))?;
            lock.renew(&Lease { name: self.map.name_down(&lease.name), ..lease.clone() }).await
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let lock = self.inner.as_lock().ok_or_else(|| missing("release"))?;
            lock.release(&Lease { name: self.map.name_down(&lease.name), ..lease.clone() }).await
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Publish for Namespaced {
    fn publish<'a>(&'a self, channel: &'a [u8], message: Bytes) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let publish = self.inner.as_publish().ok_or_else(|| missing("publish"))?;
            publish.publish(&self.map.name_down(channel), message).await
        })
    }

    fn subscribe<'a>(&'a self, channel: &'a [u8]) -> BoxFuture<'a, Result<Box<dyn Subscription>>> {
        Box::pin(async move {
            let publish = self.inner.as_publish().ok_or_else(|| missing("subscribe"))?;
            publish.subscribe(&self.map.name_down(channel)).await
        })
    }
}
