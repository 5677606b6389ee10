//! Views of the store as it was, by the log's own snapshots.

use std::sync::Arc;

use terrace_disk::Snapshot;
use terrace_store::capability::{Cursor, List, Page, SnapshotView};
use terrace_store::{BoxFuture, Entry, Key, Result};

use super::error::translate;
use super::list::{Bounds, page_of};
use super::shared::{Shared, entry_of};

/// The store as it was. It keeps segments from being removed while it lives.
pub(super) struct View {
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
}

impl View {
    pub(super) fn take(shared: &Arc<Shared>) -> Result<Self> {
        let snapshot = shared.disk.snapshot().map_err(|error| translate("snapshot", error))?;
        Ok(Self { shared: Arc::clone(shared), snapshot: Arc::new(snapshot) })
    }

    fn read(&self, key: &Key) -> Result<Option<Entry>> {
        let found = self.snapshot.get(key.flat(), self.shared.clock.wall_ms());
        found.map_err(|error| translate("get", error))?.map(|stored| entry_of("get", stored)).transpose()
    }
}

impl SnapshotView for View {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(std::future::ready(self.read(key)))
    }

    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        let bounds = match Bounds::of(list, cursor) {
            Ok(bounds) => bounds,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let (shared, snapshot) = (Arc::clone(&self.shared), Arc::clone(&self.snapshot));
        let (limit, keys_only) = (list.limit.max(1), list.keys_only);
        self.shared.offload("disk list", move || {
            let found = snapshot.list(&bounds.range(), limit, shared.clock.wall_ms());
            page_of(found.map_err(|error| translate("list", error))?, keys_only)
        })
    }
}
