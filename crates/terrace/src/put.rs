//! A put under construction, and on its way.

use std::future::{Future, IntoFuture, ready};
use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use terrace_memory::Priority;
use terrace_store::{BoxFuture, Compress, Condition, Entry, Error, ErrorKind, Key, Result, Tags, Written};
use terrace_tiers::{CacheKey, Codec, Lifetime, Live, Parcel, PutRequest};

use crate::cache::Cache;
use crate::slot::Slot;
use crate::units::Span;

/// A put under construction: say what it needs, and await it.
#[must_use = "a put does nothing until it is awaited"]
pub struct Put<'a, K, V: Slot> {
    cache: &'a Cache<K, V>,
    key: K,
    live: Live,
    weight: u64,
    codec: Option<&'static dyn Codec>,
    lifetime: Lifetime,
    fresh: Option<Duration>,
    tags: Vec<Bytes>,
    compress: Compress,
    priority: Priority,
    condition: Condition,
    wrong: Option<Error>,
}

impl<'a, K: CacheKey, V: Slot> Put<'a, K, V> {
    pub(crate) fn new(
        cache: &'a Cache<K, V>,
        key: K,
        (value, live): (&V::Live, Live),
        codec: Option<&'static dyn Codec>,
    ) -> Self {
        let weight = cache.weigh(&key, value);
        Self {
            cache,
            key,
            live,
            weight,
            codec,
            lifetime: cache.inner.lifetime,
            fresh: None,
            tags: Vec::new(),
            compress: Compress::Default,
            priority: Priority::Normal,
            condition: Condition::Any,
            wrong: None,
        }
    }

    pub(crate) fn on(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }

    /// The size of the value's type, where `V::Live` is only a pointer to it.
    pub(crate) fn of_size(mut self, size: usize) -> Self {
        if self.cache.inner.weigher.is_none() {
            self.weight += size as u64;
        }
        self
    }

    fn span(&mut self, span: impl Span) -> Option<Duration> {
        let span = span.span().and_then(|span| {
            if span.as_millis() > 0 {
                return Ok(span);
            }
            Err(Error::new(ErrorKind::Config, "put").because("a lifetime is at least one millisecond"))
        });
        span.map_err(|error| self.wrong = Some(error)).ok()
    }

    /// It ends after this: a `Duration`, or text such as `"10m"`.
    pub fn ttl(mut self, ttl: impl Span) -> Self {
        self.lifetime.ttl_ms = self.span(ttl).and_then(whole_ms);
        self
    }

    /// It ends when it was not used for this long.
    pub fn idle(mut self, idle: impl Span) -> Self {
        self.lifetime.idle_ms = self.span(idle).and_then(whole_ms);
        self
    }

    /// It becomes stale after this: [`lookup`](Cache::lookup) still shows it, `get` does not.
    pub fn fresh(mut self, fresh: impl Span) -> Self {
        self.fresh = self.span(fresh);
        self
    }

    /// It belongs to this group.
    pub fn tag(mut self, tag: impl AsRef<[u8]>) -> Self {
        self.tags.push(Bytes::copy_from_slice(tag.as_ref()));
        self
    }

    /// How much it is worth keeping in memory beside others.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Whether the stores compress it.
    pub fn compress(mut self, compress: Compress) -> Self {
        self.compress = compress;
        self
    }

    /// Does it, and returns what became of it.
    pub(crate) fn start(self) -> BoxFuture<'a, Result<Written>> {
        let cache = self.cache;
        match self.parcel() {
            Ok((key, parcel, request)) => {
                Box::pin(async move { cache.inner.tiers.put(&key, parcel, request).await })
            }
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    /// Does several of them as one write where the authority can.
    pub(crate) async fn all(cache: &Cache<K, V>, puts: impl Iterator<Item = Put<'a, K, V>>) -> Result<()> {
        let mut writes = Vec::new();
        let mut common = PutRequest::default();
        for put in puts {
            let (key, parcel, request) = put.parcel()?;
            writes.push((key, parcel));
            common = request;
        }
        cache.inner.tiers.put_many(writes, common).await
    }

    fn parcel(self) -> Result<(Key, Parcel, PutRequest)> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let cache = self.cache;
        let key = K::flat(self.key.borrow(), &cache.inner.namespace)?;
        let mut entry = Entry::new("");
        self.lifetime.begin(&mut entry, cache.inner.tiers.clock().wall_ms());
        let mut weight = self.weight;
        // Encoded here, because the encoded length is part of what it weighs.
        if let (Some(codec), false) = (self.codec, cache.is_hot_only()) {
            entry.value = codec.encode(&self.live)?;
            entry.codec = codec.id();
            entry.type_fingerprint = codec.fingerprint();
            if cache.inner.weigher.is_none() {
                weight += entry.value.len() as u64;
            }
        }
        entry.tags = Tags::new(&self.tags)?;
        entry.priority = match self.priority {
            Priority::Low => (-1i8).cast_unsigned(),
            Priority::Normal => 0,
            Priority::High => 1,
        };
        if let Some(fresh) = self.fresh.and_then(whole_ms) {
            entry.fresh_until_ms = NonZeroU64::new(entry.created_ms.saturating_add(fresh.get()));
        }
        let parcel = Parcel { entry, live: Some(self.live), weight };
        let request =
            PutRequest { condition: self.condition, compress: self.compress, ..PutRequest::default() };
        Ok((key, parcel, request))
    }
}

fn whole_ms(span: Duration) -> Option<NonZeroU64> {
    NonZeroU64::new(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// The future of a put. Dropping it before it completes leaves an unknown outcome.
pub struct PutFuture<'a>(BoxFuture<'a, Result<Written>>);

impl Future for PutFuture<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.as_mut().poll(context).map(|written| written.map(drop))
    }
}

impl<'a, K: CacheKey, V: Slot> IntoFuture for Put<'a, K, V> {
    type Output = Result<()>;
    type IntoFuture = PutFuture<'a>;

    fn into_future(self) -> PutFuture<'a> {
        PutFuture(self.start())
    }
}
