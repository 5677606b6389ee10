//! The cache: a handle that can be cloned, and what caches of one type and of many have in common.

use std::sync::Arc;
use std::time::Duration;

use terrace_store::{Entry, Health, Namespace, Result};
use terrace_tiers::hot::Held;
use terrace_tiers::{
    Ask, CacheKey, Codec, Decode, Fetch, Freshness, HotTier, Lifetime, Load, Tier, Tiers, TiersStats,
};

use crate::builder::Builder;
use crate::codec::Encoding;
use crate::invalidate::Target;
use crate::lookup::Item;
use crate::runtime::Owned;
use crate::slot::{Mixed, Slot};

/// A cache over the whole hierarchy.
///
/// `Cache<K, V>` holds values of one type, `Cache<K>` of many. A clone is another handle to the same cache; when
/// the last is dropped the cache ends, and [`Cache::close`] ends it in good order.
///
/// # Cost
/// A hot hit takes one lookup in the memory engine, allocates nothing and asks no clock unless this entry has a
/// lifetime.
pub struct Cache<K, V: Slot = Mixed> {
    pub(crate) inner: Arc<Inner<K, V>>,
}

impl<K, V: Slot> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

pub(crate) struct Inner<K, V: Slot> {
    pub(crate) hot: Arc<HotTier<K, V::Live>>,
    pub(crate) tiers: Arc<Tiers>,
    pub(crate) namespace: Namespace,
    /// Of a cache of one type, if there are tiers below the hot one.
    pub(crate) codec: Option<&'static dyn Codec>,
    pub(crate) encoding: Encoding,
    pub(crate) lifetime: Lifetime,
    pub(crate) weigher: Option<fn(&K, &V::Live) -> u64>,
    pub(crate) _owned: Option<Owned>,
}

impl<K: CacheKey, V: Slot> Cache<K, V> {
    /// Begins to put a cache together. The name is its namespace in the tiers below the hot one.
    pub fn builder(name: impl Into<String>) -> Builder<K, V> {
        Builder::new(name)
    }

    pub(crate) fn of(inner: Inner<K, V>) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The tiers beneath.
    pub fn tiers(&self) -> &Arc<Tiers> {
        &self.inner.tiers
    }

    /// Whether there is a value, current or not, in any tier.
    ///
    /// # Errors
    /// Those of the durable tier.
    pub async fn contains(&self, key: &K::Borrowed) -> Result<bool> {
        if self.inner.hot.get(key, |_, freshness| freshness) == Some(Freshness::Fresh) {
            return Ok(true);
        }
        let found = self.fetch(key, Decode::default(), None)?.await?;
        Ok(found.parcel.is_some() && !found.stale)
    }

    /// Removes a key from every tier, and says whether it was there.
    ///
    /// # Errors
    /// Those of the authority.
    ///
    /// # Cancellation
    /// Dropping the future before it completes leaves an unknown outcome.
    pub async fn remove(&self, key: &K::Borrowed) -> Result<bool> {
        let flat = K::flat(key, &self.inner.namespace)?;
        let deleted = self.inner.tiers.delete(&flat, Default::default()).await?;
        Ok(matches!(deleted, terrace_store::Deleted::Done { existed: true, .. }))
    }

    /// Removes everything this cache holds, in every tier.
    ///
    /// # Cost
    /// O(1): nothing is served from the moment this returns; the space is reclaimed in the background.
    ///
    /// # Errors
    /// Those of the authority.
    pub async fn clear(&self) -> Result<()> {
        let scope = terrace_tiers::Scope::Namespace(self.inner.namespace.clone());
        self.inner.tiers.invalidate(&scope, terrace_tiers::Mode::Purge).await
    }

    /// Invalidates a [`Tag`](crate::Tag) or [`Prefix`](crate::Prefix): none of it is ever served again.
    ///
    /// # Errors
    /// Those of the authority; in this process the invalidation holds even then.
    pub async fn invalidate(&self, target: impl Target) -> Result<()> {
        let scope = target.scope(&self.inner.namespace);
        self.inner.tiers.invalidate(&scope, terrace_tiers::Mode::Purge).await
    }

    /// Makes everything under a [`Tag`](crate::Tag) or [`Prefix`](crate::Prefix) stale.
    ///
    /// # Errors
    /// Those of the authority; in this process the invalidation holds even then.
    pub async fn expire(&self, target: impl Target) -> Result<()> {
        let scope = target.scope(&self.inner.namespace);
        self.inner.tiers.invalidate(&scope, terrace_tiers::Mode::Expire).await
    }

    /// What happened so far, by tier.
    pub fn stats(&self) -> TiersStats {
        self.inner.tiers.stats()
    }

    /// How the tiers below the hot one are doing.
    pub async fn health(&self) -> Vec<(Tier, Health)> {
        self.inner.tiers.health().await
    }

    /// Makes everything written so far as durable as it can be.
    ///
    /// # Errors
    /// The first error of a tier.
    pub async fn flush(&self) -> Result<()> {
        self.inner.tiers.flush().await
    }

    /// Ends loads and background work, flushes and closes the stores. Later writes, and reads that the hot tier does
    /// not answer, say `Closed`.
    ///
    /// # Errors
    /// The first error of a store.
    pub async fn close(&self) -> Result<()> {
        self.inner.tiers.close().await
    }

    /// Asks the tiers below, and the loader if there is one.
    pub(crate) fn fetch(&self, key: &K::Borrowed, decode: Decode, load: Option<Load>) -> Result<Fetch> {
        let flat = K::flat(key, &self.inner.namespace)?;
        Ok(self.inner.tiers.fetch(flat, Ask { decode, load }))
    }

    /// What the hot tier may serve of these keys, each in its place, and the places of the others.
    pub(crate) fn hot_many<T>(
        &self,
        keys: &[&K::Borrowed],
        take: impl Fn(&V::Live) -> T,
    ) -> (Vec<Option<T>>, Vec<usize>) {
        let mut values = Vec::with_capacity(keys.len());
        let mut missing = Vec::new();
        self.inner.hot.get_many(keys, |place, found| match found {
            Some((held, Freshness::Fresh)) => values.push(Some(take(&held.value))),
            _ => {
                values.push(None);
                missing.push(place);
            }
        });
        (values, missing)
    }

    /// Whether a miss in the hot tier is the last word.
    pub(crate) fn is_hot_only(&self) -> bool {
        self.inner.tiers.lower().is_empty()
    }

    /// What a hot entry tells.
    pub(crate) fn item_of_held<T>(&self, value: T, held: &Held<V::Live>) -> Item<T> {
        self.item(value, Tier::Hot, &held.entry())
    }

    /// What an entry tells.
    pub(crate) fn item<T>(&self, value: T, tier: Tier, entry: &Entry) -> Item<T> {
        let now = self.inner.tiers.clock().wall_ms();
        Item {
            value,
            tier,
            age: Duration::from_millis(now.saturating_sub(entry.created_ms)),
            ttl: entry.expires_ms.map(|at| Duration::from_millis(at.get().saturating_sub(now))),
            version: entry.version,
            tags: entry.tags.clone(),
        }
    }

    /// What an entry with this value weighs in the hot tier beside its key, as far as its types tell.
    pub(crate) fn weigh(&self, key: &K, value: &V::Live) -> u64 {
        match self.inner.weigher {
            Some(weigher) => beside_key(key, weigher(key, value)),
            None => size_of::<V::Live>() as u64,
        }
    }
}

/// What is left of an entry's weight without its key, which the tier adds by itself.
pub(crate) fn beside_key<K: CacheKey>(key: &K, weight: u64) -> u64 {
    weight.saturating_sub((size_of::<K>() + key.heap_size()) as u64)
}
