//! The calls of a cache that holds values of one type.

use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;

use terrace_store::{Condition, Error, ErrorKind, Result, Version, Written};
use terrace_tiers::{CacheKey, Decode, Found, Freshness, Load, Loaded, Loading, Parcel};

use crate::blocking::Blocking;
use crate::cache::{Cache, beside_key};
use crate::codec::live;
use crate::get::Get;
use crate::lookup::Lookup;
use crate::put::Put;
use crate::slot::Value;

/// How often a change is tried again when others write the same key.
pub(crate) const ATTEMPTS: usize = 64;

/// Reads that have begun, and in which places their values go.
pub(crate) type Begun<T> = Vec<(usize, Get<Option<T>>)>;

/// What a loader may fail with.
pub(crate) type LoadError = Box<dyn StdError + Send + Sync>;

impl<K: CacheKey, V: Value> Cache<K, V> {
    fn decode(&self) -> Decode {
        // The stored entries of a cache of one type may be of an older shape: then they are as good as absent.
        Decode { codec: self.inner.codec, retyped: true }
    }

    /// The current value of a key, from the highest tier that has it.
    ///
    /// # Errors
    /// Those of the durable tier, if no other tier answers. Failures of other tiers are misses.
    #[inline]
    pub fn get(&self, key: &K::Borrowed) -> Get<Option<V>> {
        match self.hot(key) {
            Some(value) => Get::ready(Ok(Some(value))),
            None => self.get_below(key),
        }
    }

    /// The current value in the hot tier.
    #[inline]
    fn hot(&self, key: &K::Borrowed) -> Option<V> {
        let read = self.inner.hot.get(key, |held, freshness| match freshness {
            Freshness::Fresh => Some(held.value.clone()),
            Freshness::Stale => None,
        });
        read.flatten()
    }

    /// The way on from a miss in the hot tier. Not in line: a hit would carry it along.
    #[inline(never)]
    fn get_below(&self, key: &K::Borrowed) -> Get<Option<V>> {
        if self.is_hot_only() {
            return Get::ready(Ok(None));
        }
        Get::fetching(self.fetch(key, self.decode(), None), fresh::<V>)
    }

    /// Everything that can be told about a key.
    ///
    /// # Errors
    /// As [`Cache::get`].
    pub fn lookup(&self, key: &K::Borrowed) -> Get<Lookup<V>> {
        let hot = self.inner.hot.get(key, |held, freshness| {
            let item = self.item_of_held(held.value.clone(), held);
            if freshness == Freshness::Fresh { Lookup::Hit(item) } else { Lookup::Stale(item) }
        });
        match hot {
            Some(found) => Get::ready(Ok(found)),
            None if self.is_hot_only() => Get::ready(Ok(Lookup::Miss)),
            None => {
                let cache = self.clone();
                Get::fetching(self.fetch(key, self.decode(), None), move |found| cache.looked_up::<V>(found))
            }
        }
    }

    /// The value of a key, loaded if no tier has it. However many ask at once, one load runs; it is a task of its
    /// own, which nobody who goes away can end.
    ///
    /// # Errors
    /// `Load` with what the loader failed with, `Timeout` if it took too long.
    pub fn get_or_load<F, Fut, E>(&self, key: &K::Borrowed, load: F) -> Get<V>
    where
        F: FnOnce(Loading) -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<LoadError>,
    {
        if let Some(value) = self.hot(key) {
            return Get::ready(Ok(value));
        }
        let loader = self.loader(load, self.erase_loaded(key));
        Get::fetching(self.fetch(key, self.decode(), Some(loader)), loaded::<V>)
    }

    /// Turns a loaded value into its erased form, weighed as the builder said.
    fn erase_loaded(&self, key: &K::Borrowed) -> impl FnOnce(V) -> Loaded + Send + 'static {
        let weigher = self.inner.weigher;
        let key = weigher.and_then(|_| K::from_key(&K::flat(key, &self.inner.namespace).ok()?));
        move |value| {
            let exact = weigher.zip(key).map(|(weigher, key)| beside_key(&key, weigher(&key, &value)));
            let weight = exact.unwrap_or(size_of::<V>() as u64);
            Loaded { live: live(value), weight, weighed: exact.is_some() }
        }
    }

    /// Writes a value: `cache.put(key, value).ttl("10m").tag("users").await`.
    ///
    /// # Errors
    /// Those of the authority; `Unknown` if the value may have been written.
    pub fn put(&self, key: impl Into<K>, value: V) -> Put<'_, K, V> {
        let erased = live(value.clone());
        Put::new(self, key.into(), (&value, erased), self.inner.codec)
    }

    /// Writes a value if the key has none, and says whether it did.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub async fn put_if_absent(&self, key: impl Into<K>, value: V) -> Result<bool> {
        let written = self.put(key, value).on(Condition::Absent).start().await?;
        Ok(matches!(written, Written::Stored { .. }))
    }

    /// Writes a value if the key has one, and returns that.
    ///
    /// # Errors
    /// As [`Cache::put`]; `Busy` if others write the key all the time.
    pub async fn replace(&self, key: impl Into<K>, value: V) -> Result<Option<V>> {
        let key = key.into();
        for _ in 0..ATTEMPTS {
            let Some((current, version)) = self.versioned(&key).await? else { return Ok(None) };
            let put = self.put(key.clone(), value.clone()).on(Condition::Match(version));
            if let Written::Stored { .. } = put.start().await? {
                return Ok(Some(current));
            }
        }
        Err(contended("replace"))
    }

    /// Writes `new` if the value is `expected`, and says whether it did.
    ///
    /// # Errors
    /// As [`Cache::put`]; `Busy` if others write the key all the time.
    pub async fn compare_and_swap(&self, key: impl Into<K>, expected: &V, new: V) -> Result<bool>
    where
        V: PartialEq,
    {
        let key = key.into();
        for _ in 0..ATTEMPTS {
            match self.versioned(&key).await? {
                Some((current, version)) if current == *expected => {
                    let put = self.put(key.clone(), new.clone()).on(Condition::Match(version));
                    if let Written::Stored { .. } = put.start().await? {
                        return Ok(true);
                    }
                }
                _ => return Ok(false),
            }
        }
        Err(contended("compare_and_swap"))
    }

    /// The value of a key, or this one, written, if it has none.
    ///
    /// # Errors
    /// As [`Cache::put`]; `Busy` if others write the key all the time.
    pub async fn get_or_insert(&self, key: impl Into<K>, value: V) -> Result<V> {
        let key = key.into();
        for _ in 0..ATTEMPTS {
            if let Some(value) = self.get(key.borrow()).await? {
                return Ok(value);
            }
            if self.put_if_absent(key.clone(), value.clone()).await? {
                return Ok(value);
            }
        }
        Err(contended("get_or_insert"))
    }

    /// The current values of these keys, in their order.
    ///
    /// # Errors
    /// As [`Cache::get`], of the first key that fails.
    pub async fn get_many<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a K::Borrowed>,
    ) -> Result<Vec<Option<V>>> {
        let (mut values, gets) = self.begin_many(&keys.into_iter().collect::<Vec<_>>());
        for (place, get) in gets {
            values[place] = get.await?;
        }
        Ok(values)
    }

    /// What the hot tier has, and the reads of what it has not: all of them begin before the first is waited for.
    fn begin_many(&self, keys: &[&K::Borrowed]) -> (Vec<Option<V>>, Begun<V>) {
        let (values, missing) = self.hot_many(keys, V::clone);
        (values, missing.into_iter().map(|place| (place, self.get_below(keys[place]))).collect())
    }

    /// Writes these values, in their order; of two for one key the later one stays. Where the tier that decides
    /// has atomic batches, as memory and the disk have, they are one write: all of them are there after a crash,
    /// or none.
    ///
    /// # Errors
    /// As [`Cache::put`]. Without atomic batches those before the one that failed are written.
    pub async fn put_many(&self, entries: impl IntoIterator<Item = (K, V)>) -> Result<()> {
        Put::all(self, entries.into_iter().map(|(key, value)| self.put(key, value))).await
    }

    /// The same calls for code that is not asynchronous, on the same flights.
    pub fn blocking(&self) -> Blocking<'_, K, V> {
        Blocking::new(self)
    }

    async fn versioned(&self, key: &K) -> Result<Option<(V, Version)>> {
        Ok(match self.lookup(key.borrow()).await? {
            Lookup::Hit(item) | Lookup::Stale(item) => Some((item.value, item.version)),
            Lookup::Miss => None,
        })
    }
}

impl<K: CacheKey, V: crate::slot::Slot> Cache<K, V> {
    /// A loader in the erased form that the tiers run.
    pub(crate) fn loader<T, F, Fut, E>(
        &self,
        load: F,
        erase: impl FnOnce(T) -> Loaded + Send + 'static,
    ) -> Load
    where
        F: FnOnce(Loading) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<LoadError>,
    {
        Load {
            loader: Box::new(move |loading| {
                let loading = load(loading);
                Box::pin(async move {
                    let value = loading.await.map_err(|error| load_failed(error.into()))?;
                    Ok(erase(value))
                })
            }),
            lifetime: self.inner.lifetime,
        }
    }

    /// A lookup of what a fetch found.
    pub(crate) fn looked_up<T: Clone + Send + Sync + 'static>(&self, found: Found) -> Result<Lookup<T>> {
        let Some(parcel) = found.parcel else { return Ok(Lookup::Miss) };
        let value = taken::<T>(&parcel)?;
        let item = self.item(value, found.tier, &parcel.entry);
        Ok(if found.stale { Lookup::Stale(item) } else { Lookup::Hit(item) })
    }
}

/// The loader's error. One that is ours already passes as it is.
fn load_failed(error: LoadError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(other) => Error::new(ErrorKind::Load, "load").caused_by(Foreign(Arc::from(other))),
    }
}

/// The caller's own error, as a source.
#[derive(Debug)]
struct Foreign(Arc<dyn StdError + Send + Sync>);

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Foreign {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

pub(crate) fn contended(operation: &'static str) -> Error {
    Error::new(ErrorKind::Busy, operation)
        .with("attempts", ATTEMPTS)
        .because("others write this key all the time")
}

/// The value in a parcel.
pub(crate) fn taken<T: Clone + Send + Sync + 'static>(parcel: &Parcel) -> Result<T> {
    let value = parcel.live.as_ref().and_then(|live| live.downcast_ref::<T>());
    value.cloned().ok_or_else(|| {
        Error::new(ErrorKind::TypeMismatch, "get")
            .with("asked for", std::any::type_name::<T>())
            .because("the value is of another type")
    })
}

/// The value a fetch found, if it is current.
pub(crate) fn fresh<T: Clone + Send + Sync + 'static>(found: Found) -> Result<Option<T>> {
    match found.parcel {
        Some(parcel) if !found.stale => taken(&parcel).map(Some),
        _ => Ok(None),
    }
}

/// The value a load brought.
pub(crate) fn loaded<T: Clone + Send + Sync + 'static>(found: Found) -> Result<T> {
    match &found.parcel {
        Some(parcel) => taken(parcel),
        None => Err(Error::new(ErrorKind::Unavailable, "load").because("the load brought no value")),
    }
}
