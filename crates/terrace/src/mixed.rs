//! The calls of a cache that holds values of many types: each names the type it means, and a value of another
//! type is a `TypeMismatch`, not a miss.

use std::future::Future;

use terrace_store::{Condition, Result, Version, Written};
use terrace_tiers::{CacheKey, Decode, Freshness, Live, Loaded, Loading};

use crate::blocking::Blocking;
use crate::cache::{Cache, beside_key};
use crate::codec::{Storable, codec_of, live, mismatch};
use crate::get::Get;
use crate::lookup::Lookup;
use crate::put::Put;
use crate::slot::Mixed;
use crate::typed::{ATTEMPTS, Begun, LoadError, contended, fresh, loaded};

/// The value as a `T`.
#[inline]
fn typed<T: Storable>(value: &Live) -> Result<T> {
    match value.downcast_ref::<T>() {
        Some(value) => Ok(value.clone()),
        None => Err(mismatch::<T>("get")),
    }
}

impl<K: CacheKey> Cache<K, Mixed> {
    fn decode<T: Storable>(&self) -> Decode {
        Decode { codec: Some(codec_of::<T>(self.inner.encoding)), retyped: false }
    }

    /// The current value in the hot tier, if it is of this type.
    #[inline]
    fn hot<T: Storable>(&self, key: &K::Borrowed) -> Option<Result<T>> {
        let read = self.inner.hot.get(key, |held, freshness| match freshness {
            Freshness::Fresh => Some(typed::<T>(&held.value)),
            Freshness::Stale => None,
        });
        read.flatten()
    }

    /// The current value of a key, from the highest tier that has it.
    ///
    /// # Errors
    /// `TypeMismatch` if the value is of another type; those of the durable tier, if no other tier answers.
    #[inline]
    pub fn get<T: Storable>(&self, key: &K::Borrowed) -> Get<Option<T>> {
        match self.hot::<T>(key) {
            Some(value) => Get::ready(value.map(Some)),
            None => self.get_below::<T>(key),
        }
    }

    /// The way on from a miss in the hot tier. Not in line: a hit would carry it along.
    #[inline(never)]
    fn get_below<T: Storable>(&self, key: &K::Borrowed) -> Get<Option<T>> {
        if self.is_hot_only() {
            return Get::ready(Ok(None));
        }
        Get::fetching(self.fetch(key, self.decode::<T>(), None), fresh::<T>)
    }

    /// Everything that can be told about a key.
    ///
    /// # Errors
    /// As [`Cache::get`].
    pub fn lookup<T: Storable>(&self, key: &K::Borrowed) -> Get<Lookup<T>> {
        let hot = self.inner.hot.get(key, |held, freshness| {
            let item = self.item_of_held(typed::<T>(&held.value)?, held);
            Ok(if freshness == Freshness::Fresh { Lookup::Hit(item) } else { Lookup::Stale(item) })
        });
        match hot {
            Some(found) => Get::ready(found),
            None if self.is_hot_only() => Get::ready(Ok(Lookup::Miss)),
            None => {
                let cache = self.clone();
                Get::fetching(self.fetch(key, self.decode::<T>(), None), move |found| {
                    cache.looked_up::<T>(found)
                })
            }
        }
    }

    /// The value of a key, loaded if no tier has it. However many ask at once, one load runs; it is a task of its
    /// own, which nobody who goes away can end.
    ///
    /// # Errors
    /// `TypeMismatch` if there is a value of another type, `Load` with what the loader failed with, `Timeout` if
    /// it took too long.
    pub fn get_or_load<T, F, Fut, E>(&self, key: &K::Borrowed, load: F) -> Get<T>
    where
        T: Storable,
        F: FnOnce(Loading) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<LoadError>,
    {
        if let Some(value) = self.hot::<T>(key) {
            return Get::ready(value);
        }
        let loader = self.loader(load, self.erase_loaded::<T>(key));
        Get::fetching(self.fetch(key, self.decode::<T>(), Some(loader)), loaded::<T>)
    }

    /// Turns a loaded value into its erased form, weighed as the builder said.
    fn erase_loaded<T: Storable>(&self, key: &K::Borrowed) -> impl FnOnce(T) -> Loaded + Send + use<T, K> {
        let weigher = self.inner.weigher;
        let key = weigher.and_then(|_| K::from_key(&K::flat(key, &self.inner.namespace).ok()?));
        move |value| {
            let live = live(value);
            let exact = weigher.zip(key).map(|(weigher, key)| beside_key(&key, weigher(&key, &live)));
            let weight = exact.unwrap_or(size_of::<T>() as u64);
            Loaded { live, weight, weighed: exact.is_some() }
        }
    }

    /// Writes a value, of any type: `cache.put("user:1", &user).ttl("10m").tag("users").await`. A `str` is kept as
    /// a `String`, a slice as a `Vec`.
    ///
    /// # Errors
    /// Those of the authority; `Unknown` if the value may have been written.
    pub fn put<T>(&self, key: impl Into<K>, value: &T) -> Put<'_, K, Mixed>
    where
        T: ToOwned + ?Sized,
        T::Owned: Storable,
    {
        let erased = live(value.to_owned());
        let put = Put::new(
            self,
            key.into(),
            (&erased, erased.clone()),
            Some(codec_of::<T::Owned>(self.inner.encoding)),
        );
        put.of_size(size_of::<T::Owned>())
    }

    /// Writes a value if the key has none, and says whether it did.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub async fn put_if_absent<T>(&self, key: impl Into<K>, value: &T) -> Result<bool>
    where
        T: ToOwned + ?Sized,
        T::Owned: Storable,
    {
        let written = self.put(key, value).on(Condition::Absent).start().await?;
        Ok(matches!(written, Written::Stored { .. }))
    }

    /// Writes a value if the key has one of the same type, and returns that.
    ///
    /// # Errors
    /// As [`Cache::put`]; `TypeMismatch` if the value there is of another type; `Busy` if others write the key all
    /// the time.
    pub async fn replace<T: Storable>(&self, key: impl Into<K>, value: &T) -> Result<Option<T>> {
        let key = key.into();
        for _ in 0..ATTEMPTS {
            let Some((current, version)) = self.versioned::<T>(&key).await? else { return Ok(None) };
            let put = self.put(key.clone(), value).on(Condition::Match(version));
            if let Written::Stored { .. } = put.start().await? {
                return Ok(Some(current));
            }
        }
        Err(contended("replace"))
    }

    /// Writes `new` if the value is `expected`, and says whether it did.
    ///
    /// # Errors
    /// As [`Cache::replace`].
    pub async fn compare_and_swap<T>(&self, key: impl Into<K>, expected: &T, new: &T) -> Result<bool>
    where
        T: Storable + PartialEq,
    {
        let key = key.into();
        for _ in 0..ATTEMPTS {
            match self.versioned::<T>(&key).await? {
                Some((current, version)) if current == *expected => {
                    let put = self.put(key.clone(), new).on(Condition::Match(version));
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
    /// As [`Cache::replace`].
    pub async fn get_or_insert<T: Storable>(&self, key: impl Into<K>, value: &T) -> Result<T> {
        let key = key.into();
        for _ in 0..ATTEMPTS {
            if let Some(value) = self.get::<T>(key.borrow()).await? {
                return Ok(value);
            }
            if self.put_if_absent(key.clone(), value).await? {
                return Ok(value.clone());
            }
        }
        Err(contended("get_or_insert"))
    }

    /// The current values of these keys, in their order.
    ///
    /// # Errors
    /// As [`Cache::get`], of the first key that fails.
    pub async fn get_many<'a, T: Storable>(
        &self,
        keys: impl IntoIterator<Item = &'a K::Borrowed>,
    ) -> Result<Vec<Option<T>>> {
        let (found, gets) = self.begin_many::<T>(&keys.into_iter().collect::<Vec<_>>());
        let mut values = found.into_iter().map(Option::transpose).collect::<Result<Vec<_>>>()?;
        for (place, get) in gets {
            values[place] = get.await?;
        }
        Ok(values)
    }

    /// What the hot tier has, and the reads of what it has not: all of them begin before the first is waited for.
    fn begin_many<T: Storable>(&self, keys: &[&K::Borrowed]) -> (Vec<Option<Result<T>>>, Begun<T>) {
        let (values, missing) = self.hot_many(keys, typed::<T>);
        (values, missing.into_iter().map(|place| (place, self.get_below::<T>(keys[place]))).collect())
    }

    /// Writes these values, in their order; of two for one key the later one stays. Where the tier that decides
    /// has atomic batches, as memory and the disk have, they are one write: all of them are there after a crash,
    /// or none.
    ///
    /// # Errors
    /// As [`Cache::put`]. Without atomic batches those before the one that failed are written.
    pub async fn put_many<T: Storable>(&self, entries: impl IntoIterator<Item = (K, T)>) -> Result<()> {
        Put::all(self, entries.into_iter().map(|(key, value)| self.put(key, &value))).await
    }

    /// The same calls for code that is not asynchronous, on the same flights.
    pub fn blocking(&self) -> Blocking<'_, K, Mixed> {
        Blocking::new(self)
    }

    async fn versioned<T: Storable>(&self, key: &K) -> Result<Option<(T, Version)>> {
        Ok(match self.lookup::<T>(key.borrow()).await? {
            Lookup::Hit(item) | Lookup::Stale(item) => Some((item.value, item.version)),
            Lookup::Miss => None,
        })
    }
}
