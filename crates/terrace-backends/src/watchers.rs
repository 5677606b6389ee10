//! Changes as they happen. They are told under the lock of their key, and so in the order of their versions;
//! where nobody watches that costs a look at a counter.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use terrace_store::capability::{Change, Changes};
use terrace_store::{BoxFuture, Key, Namespace};

use crate::inbox::Inbox;

/// All who watch.
#[derive(Default)]
pub(crate) struct Watchers {
    active: AtomicUsize,
    list: RwLock<Vec<Arc<Watcher>>>,
}

struct Watcher {
    namespace: Namespace,
    prefix: Bytes,
    inbox: Inbox<Change>,
}

impl Watchers {
    /// Whether anybody watches.
    #[cfg(feature = "disk")]
    pub(crate) fn are_there(&self) -> bool {
        self.active.load(Ordering::Acquire) != 0
    }

    /// Tells those who watch this key.
    pub(crate) fn tell(&self, key: &Key, change: impl Fn() -> Change) {
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
    pub(crate) fn tell_cleared(&self, namespace: Option<&Namespace>) {
        for watcher in self.list.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if namespace.is_none_or(|namespace| *namespace == watcher.namespace) {
                watcher.inbox.push(Change::Cleared(namespace.cloned()), Change::Lagged);
            }
        }
    }

    /// Tells of the changes of a prefix from now on.
    pub(crate) fn watch(self: &Arc<Self>, namespace: &Namespace, prefix: Bytes) -> Watching {
        let watcher = Arc::new(Watcher { namespace: namespace.clone(), prefix, inbox: Inbox::default() });
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.push(Arc::clone(&watcher));
        self.active.store(list.len(), Ordering::Release);
        Watching { watcher, all: Arc::clone(self) }
    }

    /// Ends every stream.
    pub(crate) fn close(&self) {
        for watcher in std::mem::take(&mut *self.list.write().unwrap_or_else(PoisonError::into_inner)) {
            watcher.inbox.close();
        }
        self.active.store(0, Ordering::Release);
    }
}

/// The changes that one watcher is told.
pub(crate) struct Watching {
    watcher: Arc<Watcher>,
    all: Arc<Watchers>,
}

#[cfg(any(feature = "disk", feature = "memory"))]
impl Watching {
    /// Ends it, once what was told before is read.
    pub(crate) fn close(&self) {
        self.watcher.inbox.close();
    }
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
