//! Changes as they happen. They are told under the lock of their key, and so in the order of their versions;
//! where nobody watches that costs a look at a counter.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use terrace_store::capability::{Change, Changes, Watch};
use terrace_store::{BoxFuture, Key, Namespace, Result};

use super::MemoryStore;
use crate::inbox::Inbox;

/// All who watch.
#[derive(Default)]
pub(super) struct Watchers {
    active: AtomicUsize,
    list: RwLock<Vec<Arc<Watcher>>>,
}

struct Watcher {
    namespace: Namespace,
    prefix: Bytes,
    inbox: Inbox<Change>,
}

impl Watchers {
    /// Tells those who watch this key.
    pub(super) fn tell(&self, key: &Key, change: impl Fn() -> Change) {
        if self.active.load(Ordering::Acquire) == 0 {
            return;
        }
        for watcher in self.list.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if key.namespace_name() == watcher.namespace.name() && key.bytes().starts_with(&watcher.prefix) {
                watcher.inbox.push(change(), Change::Lagged);
            }
        }
    }

    /// Tells those who watch a namespace that it was cleared.
    pub(super) fn tell_cleared(&self, namespace: Option<&Namespace>) {
        for watcher in self.list.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if namespace.is_none_or(|namespace| *namespace == watcher.namespace) {
                watcher.inbox.push(Change::Cleared(namespace.cloned()), Change::Lagged);
            }
        }
    }

    fn add(self: &Arc<Self>, watcher: Watcher) -> Watching {
        let watcher = Arc::new(watcher);
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.push(Arc::clone(&watcher));
        self.active.store(list.len(), Ordering::Release);
        Watching { watcher, all: Arc::clone(self) }
    }

    /// Ends every stream.
    pub(super) fn close(&self) {
        for watcher in std::mem::take(&mut *self.list.write().unwrap_or_else(PoisonError::into_inner)) {
            watcher.inbox.close();
        }
        self.active.store(0, Ordering::Release);
    }
}

struct Watching {
    watcher: Arc<Watcher>,
    all: Arc<Watchers>,
}

impl Changes for Watching {
    fn next(&mut self) -> BoxFuture<'_, Option<Change>> {
        self.watcher.inbox.next()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut list = self.all.list.write().unwrap_or_else(PoisonError::into_inner);
        list.retain(|other| !Arc::ptr_eq(other, &self.watcher));
        self.all.active.store(list.len(), Ordering::Release);
    }
}

impl Watch for MemoryStore {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        super::done(self.table("watch").map(|table| {
            let watcher = Watcher { namespace: namespace.clone(), prefix, inbox: Inbox::default() };
            let watching = table.watchers.add(watcher);
            if self.table("watch").is_err() {
                watching.watcher.inbox.close();
            }
            Box::new(watching) as Box<dyn Changes>
        }))
    }
}
