//! Building a filter from a listing, while the store is in use.
//!
//! 1. Under the lock, the new filter stands beside the old one and the generation changes: from here on each write goes
//!    into both before it is made.
//! 2. Writes of the generation before may have missed the new filter: they are waited for. What they left unsettled goes
//!    in.
//! 3. All keys are listed. A key that was there at 2 is listed, unless it was written or deleted since, and what was
//!    written since is in the filter already.
//! 4. Under the lock, the new filter takes the place of the old one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use terrace_store::capability::{List, Order};
use terrace_store::{Error, ErrorKind, Result};

use super::{Current, Filter, Shared};

/// Ends what was begun, however it ends.
struct Building<'a>(&'a Shared);

impl Drop for Building<'_> {
    fn drop(&mut self) {
        self.0.filters.write().next = None;
        self.0.building.store(false, Ordering::SeqCst);
    }
}

impl Shared {
    pub(super) async fn build(&self) -> Result<()> {
        let refuse = |kind, why: &str| Err(Error::new(kind, "bloom").because(why));
        let Some(iterate) = self.inner.as_iterate() else {
            return refuse(
                ErrorKind::NotSupported,
                "a store that cannot list its keys has none to build it from",
            );
        };
        if self.building.swap(true, Ordering::SeqCst) {
            return refuse(ErrorKind::Busy, "one is being built already");
        }
        let building = Building(self);
        if self.overflowed.load(Ordering::SeqCst) {
            return refuse(ErrorKind::Busy, "too many writes have an unknown outcome; open the store anew");
        }
        let mut count = 0;
        for namespace in iterate.namespaces().await? {
            count += iterate.count(&namespace).await?;
        }
        // Room to grow into, so that a growing store is not listed for every quarter.
        let expected = self.config.expected.max(count.saturating_mul(2));
        let next = Arc::new(Filter::sharded(expected, self.config.bits_per_key, self.config.shards));
        // The generation that writes are about to count themselves in has none under way. It may have some that began
        // before a build that was given up, and nobody would wait for them below.
        let other = self.filters.read().generation ^ 1;
        self.settled(other).await;
        let before = {
            let mut filters = self.filters.write();
            filters.next = Some(Arc::clone(&next));
            filters.generation ^= 1;
            filters.generation ^ 1
        };
        self.settled(before).await;
        for hash in &*self.unsettled.lock() {
            next.insert(*hash);
        }
        for namespace in iterate.namespaces().await? {
            let list = List { keys_only: true, order: Order::Any, ..List::all(namespace) };
            let mut cursor = None;
            loop {
                let page = iterate.list(&list, cursor.as_ref()).await?;
                for (key, _) in &page.entries {
                    next.insert(self.hash(key));
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        let mut filters = self.filters.write();
        if self.overflowed.load(Ordering::SeqCst) {
            drop(filters);
            return refuse(ErrorKind::Busy, "too many writes have an unknown outcome; open the store anew");
        }
        let authoritative = self.config.sole_writer && !self.closing.load(Ordering::SeqCst);
        self.current.store(Arc::new(Current { filter: next, authoritative }));
        filters.expected = expected;
        drop(filters);
        self.built.fetch_add(1, Ordering::Relaxed);
        drop(building);
        Ok(())
    }
}
