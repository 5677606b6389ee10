//! The calls of a cache for code that is not asynchronous. A hot hit is the same lookup; everything else waits on
//! this thread for the same flights the asynchronous callers share.

use std::future::IntoFuture;

use terrace_store::spawn::offload;
use terrace_store::{Error, ErrorKind, Result, block_on};
use terrace_tiers::{CacheKey, Loading};

use crate::cache::Cache;
use crate::codec::Storable;
use crate::invalidate::Target;
use crate::lookup::Lookup;
use crate::put::Put;
use crate::slot::{Mixed, Slot, Value};
use crate::typed::LoadError;

/// A cache seen from code that is not asynchronous. Made by `blocking()`.
///
/// # Errors
/// Every call that would have to wait answers `Denied` on a thread of an asynchronous runtime, where waiting
/// would hold up other tasks, or the very task that is waited for.
pub struct Blocking<'a, K, V: Slot> {
    cache: &'a Cache<K, V>,
}

impl<'a, K: CacheKey, V: Slot> Blocking<'a, K, V> {
    pub(crate) fn new(cache: &'a Cache<K, V>) -> Self {
        Self { cache }
    }

    fn wait<T>(&self, future: impl IntoFuture<Output = Result<T>>) -> Result<T> {
        if !self.cache.inner.tiers.tasks().runtime().may_block() {
            return Err(Error::new(ErrorKind::Denied, "blocking").because(
                "this thread belongs to an asynchronous runtime; await the asynchronous call instead, or call this from spawn_blocking",
            ));
        }
        block_on(future)
    }

    /// Does a put: `cache.blocking().run(cache.put("k", &1u64).ttl("10m"))`.
    ///
    /// # Errors
    /// Those of the put.
    pub fn run(&self, put: Put<'_, K, V>) -> Result<()> {
        self.wait(put)
    }

    /// As [`Cache::contains`].
    ///
    /// # Errors
    /// As there.
    pub fn contains(&self, key: &K::Borrowed) -> Result<bool> {
        self.wait(Box::pin(self.cache.contains(key)))
    }

    /// As [`Cache::remove`].
    ///
    /// # Errors
    /// As there.
    pub fn remove(&self, key: &K::Borrowed) -> Result<bool> {
        self.wait(Box::pin(self.cache.remove(key)))
    }

    /// As [`Cache::clear`].
    ///
    /// # Errors
    /// As there.
    pub fn clear(&self) -> Result<()> {
        self.wait(Box::pin(self.cache.clear()))
    }

    /// As [`Cache::invalidate`].
    ///
    /// # Errors
    /// As there.
    pub fn invalidate(&self, target: impl Target) -> Result<()> {
        self.wait(Box::pin(self.cache.invalidate(target)))
    }

    /// As [`Cache::close`].
    ///
    /// # Errors
    /// As there.
    pub fn close(&self) -> Result<()> {
        self.wait(Box::pin(self.cache.close()))
    }
}

/// The loader of a blocking call, run where blocking is allowed.
async fn off<T, E>(
    cache_runtime: std::sync::Arc<dyn terrace_store::Spawn>,
    load: impl FnOnce(Loading) -> Result<T, E> + Send + 'static,
    loading: Loading,
) -> Result<T, LoadError>
where
    T: Send + 'static,
    E: Into<LoadError> + 'static,
{
    offload(&*cache_runtime, "load", move || load(loading).map_err(Into::into)).await
}

impl<K: CacheKey, V: Value> Blocking<'_, K, V> {
    /// As [`Cache::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, key: &K::Borrowed) -> Result<Option<V>> {
        self.wait_unless_ready(self.cache.get(key))
    }

    /// As [`Cache::lookup`].
    ///
    /// # Errors
    /// As there.
    pub fn lookup(&self, key: &K::Borrowed) -> Result<Lookup<V>> {
        self.wait_unless_ready(self.cache.lookup(key))
    }

    /// As [`Cache::get_or_load`], with a loader that blocks.
    ///
    /// # Errors
    /// As there.
    pub fn get_or_load<E: Into<LoadError> + 'static>(
        &self,
        key: &K::Borrowed,
        load: impl FnOnce(Loading) -> Result<V, E> + Send + 'static,
    ) -> Result<V> {
        let runtime = std::sync::Arc::clone(self.cache.inner.tiers.tasks().runtime());
        self.wait_unless_ready(self.cache.get_or_load(key, move |loading| off(runtime, load, loading)))
    }

    /// As [`Cache::put`], without further options.
    ///
    /// # Errors
    /// As there.
    pub fn put(&self, key: impl Into<K>, value: V) -> Result<()> {
        self.wait(self.cache.put(key, value))
    }

    /// As [`Cache::put_if_absent`].
    ///
    /// # Errors
    /// As there.
    pub fn put_if_absent(&self, key: impl Into<K>, value: V) -> Result<bool> {
        self.wait(Box::pin(self.cache.put_if_absent(key, value)))
    }

    /// As [`Cache::replace`].
    ///
    /// # Errors
    /// As there.
    pub fn replace(&self, key: impl Into<K>, value: V) -> Result<Option<V>> {
        self.wait(Box::pin(self.cache.replace(key, value)))
    }

    /// As [`Cache::compare_and_swap`].
    ///
    /// # Errors
    /// As there.
    pub fn compare_and_swap(&self, key: impl Into<K>, expected: &V, new: V) -> Result<bool>
    where
        V: PartialEq,
    {
        self.wait(Box::pin(self.cache.compare_and_swap(key, expected, new)))
    }
}

impl<K: CacheKey> Blocking<'_, K, Mixed> {
    /// As [`Cache::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get<T: Storable>(&self, key: &K::Borrowed) -> Result<Option<T>> {
        self.wait_unless_ready(self.cache.get::<T>(key))
    }

    /// As [`Cache::lookup`].
    ///
    /// # Errors
    /// As there.
    pub fn lookup<T: Storable>(&self, key: &K::Borrowed) -> Result<Lookup<T>> {
        self.wait_unless_ready(self.cache.lookup::<T>(key))
    }

    /// As [`Cache::get_or_load`], with a loader that blocks.
    ///
    /// # Errors
    /// As there.
    pub fn get_or_load<T: Storable, E: Into<LoadError> + 'static>(
        &self,
        key: &K::Borrowed,
        load: impl FnOnce(Loading) -> Result<T, E> + Send + 'static,
    ) -> Result<T> {
        let runtime = std::sync::Arc::clone(self.cache.inner.tiers.tasks().runtime());
        self.wait_unless_ready(self.cache.get_or_load(key, move |loading| off(runtime, load, loading)))
    }

    /// As [`Cache::put`], without further options.
    ///
    /// # Errors
    /// As there.
    pub fn put<T>(&self, key: impl Into<K>, value: &T) -> Result<()>
    where
        T: ToOwned + ?Sized,
        T::Owned: Storable,
    {
        self.wait(self.cache.put(key, value))
    }

    /// As [`Cache::put_if_absent`].
    ///
    /// # Errors
    /// As there.
    pub fn put_if_absent<T>(&self, key: impl Into<K>, value: &T) -> Result<bool>
    where
        T: ToOwned + ?Sized,
        T::Owned: Storable,
    {
        self.wait(Box::pin(self.cache.put_if_absent(key, value)))
    }

    /// As [`Cache::replace`].
    ///
    /// # Errors
    /// As there.
    pub fn replace<T: Storable>(&self, key: impl Into<K>, value: &T) -> Result<Option<T>> {
        self.wait(Box::pin(self.cache.replace(key, value)))
    }

    /// As [`Cache::compare_and_swap`].
    ///
    /// # Errors
    /// As there.
    pub fn compare_and_swap<T>(&self, key: impl Into<K>, expected: &T, new: &T) -> Result<bool>
    where
        T: Storable + PartialEq,
    {
        self.wait(Box::pin(self.cache.compare_and_swap(key, expected, new)))
    }
}

impl<K: CacheKey, V: Slot> Blocking<'_, K, V> {
    /// A hit may be taken on any thread: only waiting is refused.
    fn wait_unless_ready<T>(&self, get: crate::get::Get<T>) -> Result<T> {
        match terrace_store::block_on::poll_once(get) {
            Ok(result) => result,
            Err(waiting) => self.wait(waiting),
        }
    }
}
