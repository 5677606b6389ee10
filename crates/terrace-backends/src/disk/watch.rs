//! Changes as they happen: the log tells of them under its writer's lock, from the first watch on.
//!
//! What a clear removed is told as one change, what a sweep removed key by key. What leaves because a cache is full is not
//! told: it may come back from wherever it came.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use terrace_disk::{Listener, Told};
use terrace_store::capability::{Change, Changes, Watch};
use terrace_store::{BoxFuture, Key, Namespace, Result, Version};

use super::DiskStore;
use super::shared::Shared;
use crate::watchers::Watchers;

/// Hands on what the log tells. The watchers outlive the log only as long as somebody still reads.
struct Teller(Weak<Watchers>);

impl Listener for Teller {
    fn told(&self, told: Told<'_>) {
        let Some(watchers) = self.0.upgrade().filter(|watchers| watchers.are_there()) else { return };
        let (Told::Put { key, .. } | Told::Deleted { key, .. }) = told;
        // The table of namespaces lies under bytes that are no key.
        let Ok(key) = Key::from_flat(Bytes::copy_from_slice(key)) else { return };
        watchers.tell(&key, || match told {
            Told::Put { version, .. } => Change::Put { key: key.clone(), version: Version(version) },
            Told::Deleted { version, .. } => Change::Deleted { key: key.clone(), version: Version(version) },
        });
    }
}

impl Shared {
    /// Lets the log tell from now on.
    fn listen(&self) {
        // `false` if it does already.
        let _ = self.disk.listen(Box::new(Teller(Arc::downgrade(&self.watchers))));
    }
}

impl Watch for DiskStore {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        let watching = self.shared.check_open("watch").map(|()| {
            let watching = self.shared.watchers.watch(namespace, prefix);
            self.shared.listen();
            // A close that came between has told only those who watched before.
            if self.shared.check_open("watch").is_err() {
                watching.close();
            }
            Box::new(watching) as Box<dyn Changes>
        });
        Box::pin(std::future::ready(watching))
    }
}
