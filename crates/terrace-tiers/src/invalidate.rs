//! The way of an invalidation: a key, some keys, a tag, a prefix, a namespace, or everything.
//!
//! Single keys are deleted like any write. Many at once are marked in the generations, in memory first, so that
//! this instance never serves them again from the moment the call begins, then in the authority, so that a
//! restart does not bring them back.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use terrace_store::capability::{List, Order};
use terrace_store::{
    Condition, DeleteOptions, Deleted, Entry, Key, PutOptions, Result, Store, StoreExt, Version,
};

use crate::generations::{Kept, Mode, Scope, Verdict};
use crate::tier::Lower;
use crate::tiers::Tiers;

/// How many entries the background looks at before it lets others run.
const PAGE: usize = 256;

impl Tiers {
    /// Invalidates what a scope names. With [`Mode::Purge`], once this returns, no tier serves any of it again;
    /// with [`Mode::Expire`] it is served only where stale values are allowed.
    ///
    /// # Errors
    /// Those of the authority. What names many keys is invalidated in this process even then, and only a restart
    /// could bring it back.
    ///
    /// # Cost
    /// O(1) but for keys; the space is reclaimed in the background.
    pub async fn invalidate(self: &Arc<Self>, scope: &Scope, mode: Mode) -> Result<()> {
        self.open_for("invalidate")?;
        match scope {
            Scope::Key(key) => self.invalidate_key(key, mode).await,
            Scope::Keys(keys) => {
                for key in keys {
                    self.invalidate_key(key, mode).await?;
                }
                Ok(())
            }
            many => self.invalidate_many(many, mode).await,
        }
    }

    async fn invalidate_key(self: &Arc<Self>, key: &Key, mode: Mode) -> Result<()> {
        if mode == Mode::Purge {
            return self.delete(key, DeleteOptions::default()).await.map(drop);
        }
        self.flights.poison(key);
        let _ticket = self.base.floors.ticket();
        let now = NonZeroU64::new(self.clock().wall_ms().max(1));
        if let Some(index) = self.authority {
            let stale = |entry: Option<Entry>| entry.map(|entry| Entry { fresh_until_ms: now, ..entry });
            if let Some(version) = self.lower[index].store.update(key, stale).await? {
                // Copies do not know that they are stale: they go, and what is read from here on is marked.
                let older = Version(version.0.saturating_sub(1));
                self.base.floors.raise(key, older);
                for upper in self.lower[..index].iter().rev() {
                    self.forget_above(upper, key, older).await;
                }
            }
        }
        if let Some(hot) = &self.hot {
            hot.expire(key);
        }
        self.flights.poison(key);
        Ok(())
    }

    async fn invalidate_many(self: &Arc<Self>, scope: &Scope, mode: Mode) -> Result<()> {
        let kept = self.base.generations.invalidate(scope, mode);
        // A flight may carry the tag without knowing it yet. Whoever comes from now on starts anew.
        self.flights.poison_all();
        if mode == Mode::Purge {
            self.reclaim_soon();
        }
        match self.authority {
            Some(index) => self.keep_mark(&self.lower[index], &kept).await,
            None => Ok(()),
        }
    }

    /// Writes a mark where a restart finds it, merged with what is there: of two invalidations the later counts,
    /// whichever is written last.
    async fn keep_mark(&self, authority: &Lower, kept: &Kept) -> Result<()> {
        let key = kept.key()?;
        loop {
            let held = authority.store.get(&key).await?;
            let condition = held.as_ref().map_or(Condition::Absent, |held| Condition::Match(held.version));
            let options = PutOptions { condition, ..PutOptions::default() };
            let entry = kept.merged(held.as_ref());
            if self.put_with_room(authority, &key, &entry, options).await?.version().is_some() {
                // A mark that a power cut undoes would bring back what was invalidated.
                return authority.store.flush().await;
            }
        }
    }

    /// Frees the space of what was purged, in the background; at most one such task at a time.
    fn reclaim_soon(self: &Arc<Self>) {
        if self.reclaiming.swap(true, Ordering::AcqRel) {
            return;
        }
        let tiers = Arc::clone(self);
        self.tasks.spawn("reclaim", async move {
            tiers.reclaim().await;
        });
    }

    /// Removes from every tier what was purged by tag, prefix, namespace or a clear. Runs in the background after
    /// each such invalidation; returns how many entries it removed. Nothing depends on it but space and counts.
    pub async fn reclaim(&self) -> u64 {
        // Cleared first: an invalidation that comes while this runs starts it again.
        self.reclaiming.store(false, Ordering::Release);
        let mut removed = self.hot.as_ref().map_or(0, |hot| hot.reclaim());
        for lower in &self.lower {
            let Some(iterate) = lower.store.as_iterate() else { continue };
            let Ok(mut namespaces) = iterate.namespaces().await else { continue };
            // Namespaces of Terrace itself stay: the marks, which make the dead dead, and what is kept beside the cache
            // and carries no stamp of it.
            namespaces.retain(|namespace| !namespace.name().starts_with(&[0]));
            for namespace in namespaces {
                // Whole entries: the verdict depends on their tags and stamps.
                let list = List { order: Order::Any, limit: PAGE, ..List::all(namespace) };
                removed += self.reclaim_listed(&*lower.store, &list).await;
            }
        }
        removed
    }

    async fn reclaim_listed(&self, store: &dyn Store, list: &List) -> u64 {
        let mut removed = 0;
        let mut cursor = None;
        while !self.tasks.is_closing() {
            let Ok(page) = store.list(list, cursor.as_ref()).await else { break };
            for (key, entry) in page.entries {
                if self.base.generations.verdict_of(&key, &entry) == Verdict::Purged {
                    let condition = Condition::Match(entry.version);
                    let deleted = store.delete(&key, DeleteOptions { condition, deferred: false }).await;
                    removed += u64::from(matches!(deleted, Ok(Deleted::Done { .. })));
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
            yield_now().await;
        }
        removed
    }

    /// Deletes what the hot tier found unused for too long from the tiers below, which cannot know.
    pub(crate) async fn delete_idle(&self, idled: Vec<(Key, Version)>) {
        for (key, version) in idled {
            for lower in self.lower.iter().rev() {
                let condition = Condition::Match(version);
                if lower.store.delete(&key, DeleteOptions { condition, deferred: false }).await.is_err() {
                    lower.counters.write_error();
                }
            }
        }
    }
}

/// Lets other tasks of this thread run.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
