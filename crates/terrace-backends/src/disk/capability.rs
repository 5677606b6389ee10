//! What the store can do beyond `Store`: batches, listing, snapshots, transactions.

use std::future::ready;
use std::sync::Arc;

use terrace_disk::{Outcome as Became, Unchanged, Write as Change};
use terrace_store::capability::{
    Batch, Cursor, Iterate, List, Outcome, Page, Snapshot, SnapshotView, Transact, Transaction, Write,
};
use terrace_store::{BoxFuture, Entry, Error, ErrorKind, Key, Namespace, Result, Version};

use super::DiskStore;
use super::error::translate;
use super::meta;
use super::shared::{Shared, delete_of, deleted_of, entry_of, put_of};
use super::view::View;
use crate::optimistic::{Optimistic, Validate};

impl Shared {
    fn read_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let flat: Vec<&[u8]> = keys.iter().map(Key::flat).collect();
        let found =
            self.disk.get_many(&flat, self.clock.wall_ms()).map_err(|error| translate("get", error))?;
        found.into_iter().map(|stored| stored.map(|stored| entry_of("get", stored)).transpose()).collect()
    }

    /// Applies writes in order, as one. If `unchanged` names versions that were read, they must still be there.
    fn apply(&self, writes: &[Write], unchanged: &[(Key, Option<Version>)]) -> Result<Vec<Outcome>> {
        let now = self.clock.wall_ms();
        let floor_deadline_ms = self.floor_deadline_ms();
        let mut metas = Vec::new();
        for write in writes {
            let mut bytes = Vec::new();
            match write {
                Write::Put(_, entry, options) => {
                    options.validate(entry)?;
                    meta::append(entry, &mut bytes);
                }
                Write::Delete(_, options) => options.validate()?,
            }
            metas.push((bytes, self.group(write.key(), now)?));
        }
        let changes: Vec<Change<'_>> = writes
            .iter()
            .zip(&metas)
            .map(|(write, (meta, group))| match write {
                Write::Put(key, entry, options) => {
                    Change::Put(key.flat(), put_of(entry, meta, *group, *options))
                }
                Write::Delete(key, options) => {
                    Change::Delete(key.flat(), delete_of(*group, *options, floor_deadline_ms))
                }
            })
            .collect();
        let wanted: Vec<Unchanged<'_>> = unchanged
            .iter()
            .map(|(key, version)| Unchanged { key: key.flat(), version: version.map(|version| version.0) })
            .collect();
        let done = self.disk.apply(&changes, &wanted, now).map_err(|error| translate("apply", error))?;
        self.progress.wrote();
        let Some(done) = done else {
            return Err(Error::new(ErrorKind::Conflict, "commit")
                .because("somebody changed what the transaction has read; run it again"));
        };
        done.into_iter()
            .map(|became| match became {
                Became::Put(written) => self.written(written).map(Outcome::Put),
                Became::Delete(deleted) => Ok(Outcome::Delete(deleted_of(deleted))),
            })
            .collect()
    }

    /// How many entries a namespace has, and their bytes.
    fn amount(&self, operation: &'static str, namespace: &Namespace) -> Result<(u64, u64)> {
        self.check_open(operation)?;
        let prefix = namespace.flat_prefix();
        let tally = self.groups.known(prefix).map(|group| self.disk.tally(group)).unwrap_or_default();
        // The log counts the namespace's name with each key.
        Ok((tally.count, tally.bytes.saturating_sub(tally.count * prefix.len() as u64)))
    }

    fn clear(&self, namespace: Option<&Namespace>) -> Result<u64> {
        let now = self.clock.wall_ms();
        let floor_deadline_ms = self.floor_deadline_ms();
        let tell = || self.watchers.tell_cleared(namespace);
        let removed = match namespace {
            None => self.groups.clear_all(&self.disk, floor_deadline_ms, now, &tell)?,
            Some(namespace) => {
                // One that was never put to gets its floor, too.
                let group = self.groups.number(&self.disk, namespace.flat_prefix(), now)?;
                let cleared = self.disk.clear_then(Some(group), floor_deadline_ms, now, &tell);
                cleared.map_err(|error| translate("clear", error))?
            }
        };
        self.progress.wrote();
        Ok(removed)
    }
}

impl Batch for DiskStore {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        Box::pin(ready(self.shared.read_many(keys)))
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        let deferred = writes.iter().all(|write| match write {
            Write::Put(_, _, options) => options.deferred,
            Write::Delete(_, options) => options.deferred,
        });
        let done = self.shared.apply(&writes, &[]);
        self.shared.finish(done, deferred)
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        let (shared, namespace) = (Arc::clone(&self.shared), namespace.cloned());
        Box::pin(async move {
            let work = Arc::clone(&shared);
            let done = shared.offload("disk clear", move || work.clear(namespace.as_ref())).await;
            shared.finish(done, false).await
        })
    }
}

impl Iterate for DiskStore {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        if let Err(error) = self.shared.check_open("list") {
            return Box::pin(ready(Err(error)));
        }
        let way = match self.shared.way(list, cursor) {
            Ok(way) => way,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        if way.is_short(list) {
            return Box::pin(ready(self.shared.page(list, &way)));
        }
        let (shared, list) = (Arc::clone(&self.shared), list.clone());
        self.shared.offload("disk list", move || shared.page(&list, &way))
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        let amount = self.shared.amount("count", namespace);
        Box::pin(ready(amount.map(|(count, _)| count)))
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        let amount = self.shared.amount("bytes", namespace);
        Box::pin(ready(amount.map(|(_, bytes)| bytes)))
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        let open = self.shared.check_open("namespaces");
        Box::pin(ready(open.and_then(|()| self.shared.groups.in_use(&self.shared.disk))))
    }
}

impl Snapshot for DiskStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn SnapshotView>>> {
        let view = View::take(&self.shared);
        Box::pin(ready(view.map(|view| Box::new(view) as Box<dyn SnapshotView>)))
    }
}

impl Transact for DiskStore {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>> {
        let open = self.shared.check_open("begin");
        Box::pin(ready(open.map(|()| Box::new(Optimistic::begin(self)) as Box<dyn Transaction>)))
    }
}

impl Validate for DiskStore {
    fn read(&self, key: &Key) -> Result<Option<Entry>> {
        self.shared.read(key)
    }

    fn commit_unchanged(
        &self,
        writes: Vec<Write>,
        unchanged: Vec<(Key, Option<Version>)>,
    ) -> BoxFuture<'_, Result<()>> {
        let done = self.shared.apply(&writes, &unchanged).map(drop);
        self.shared.finish(done, writes.is_empty())
    }
}
