//! Putting a cache together.

use std::marker::PhantomData;
#[cfg(any(feature = "disk", feature = "fjall"))]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use terrace_memory::{Cause, Config};
use terrace_store::{Clock, Error, ErrorKind, Namespace, Result, Spawn, Store, block_on};
use terrace_tiers::{
    CacheKey, Codec, Foundation, HotConfig, HotTier, Lifetime, Listener, Lower, Options, Tier, Tiers,
    WriteMode,
};

use crate::cache::{Cache, Inner};
use crate::codec::{Encoding, Storable, codec_of};
use crate::runtime::World;
use crate::slot::{Mixed, Slot};
use crate::units::Span;

/// A cache under construction. Made by [`Cache::builder`].
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder<K, V: Slot = Mixed> {
    name: String,
    hot: Option<Config>,
    stores: Vec<(Tier, Place, WriteMode)>,
    codec: Option<fn(Encoding) -> &'static dyn Codec>,
    encoding: Encoding,
    ttl: Option<Result<Duration>>,
    idle: Option<Result<Duration>>,
    options: Options,
    weigher: Option<fn(&K, &V::Live) -> u64>,
    listener: Option<Listener<K, V::Live>>,
    clock: Option<Arc<dyn Clock>>,
    spawn: Option<Arc<dyn Spawn>>,
    types: PhantomData<fn() -> (K, V)>,
}

/// Where a tier keeps its entries.
enum Place {
    /// In a folder of its own, with this many bytes at most: a log.
    #[cfg(feature = "disk")]
    Log(PathBuf, u64),
    /// The same, over fjall.
    #[cfg(feature = "fjall")]
    Fjall(PathBuf, u64),
    /// In a store the caller made.
    Store(Arc<dyn Store>),
}

impl<K: CacheKey, V: Slot> Builder<K, V> {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            hot: None,
            stores: Vec::new(),
            codec: None,
            encoding: Encoding::default(),
            ttl: None,
            idle: None,
            options: Options::default(),
            weigher: None,
            listener: None,
            clock: None,
            spawn: None,
            types: PhantomData,
        }
    }

    /// How many bytes the hot tier may hold: keys, values and overhead. 64 MiB unless said.
    pub fn hot(mut self, bytes: u64) -> Self {
        self.hot = Some(Config::bytes(bytes));
        self
    }

    /// How many entries the hot tier may hold, whatever their size.
    pub fn hot_entries(mut self, entries: u64) -> Self {
        self.hot = Some(Config::entries(entries));
        self
    }

    /// What an entry weighs, in bytes of key and value together. Unless said: the size of both types, and of a
    /// value that is encoded for a tier below also its encoded length.
    pub fn weigher(mut self, weigher: fn(&K, &V::Live) -> u64) -> Self {
        self.weigher = Some(weigher);
        self
    }

    /// Is told of each entry that the hot tier lets go by itself: once, with the cause, after it has left. Entries
    /// that are removed, replaced or invalidated are not evicted; a value that was refused, because it is too
    /// heavy or no room could be made, is told of.
    ///
    /// It runs on a thread that uses the cache, often one of the runtime's, so it should not take long and must not
    /// block; no lock is held. It may use the cache, but a put that evicts calls it again, within itself. If it
    /// panics, nobody but itself is harmed. The key and the value are clones.
    pub fn on_evict(mut self, listener: impl Fn(&K, &V::Live, Cause) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// How long values live unless a call says otherwise: a `Duration`, or text such as `"10m"`.
    pub fn ttl(mut self, ttl: impl Span) -> Self {
        self.ttl = Some(ttl.span());
        self
    }

    /// How long values may go unused unless a call says otherwise.
    pub fn idle(mut self, idle: impl Span) -> Self {
        self.idle = Some(idle.span());
        self
    }

    /// How the tiers below the hot one encode values.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// A load that takes longer than this fails for those who wait. One minute unless said.
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.options.load_timeout = Some(timeout);
        self
    }

    /// Everything else about the tiers.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The clock, for tests and simulations.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Where background tasks run: the tokio runtime of the calling thread unless said, or one of the cache's
    /// own if the thread has none.
    pub fn spawn(mut self, spawn: Arc<dyn Spawn>) -> Self {
        self.spawn = Some(spawn);
        self
    }

    fn place(mut self, tier: Tier, place: Place, mode: WriteMode) -> Self {
        self.stores.push((tier, place, mode));
        self
    }

    /// Builds it, opening its stores.
    ///
    /// # Errors
    /// `Config` if a setting is wrong, or what a store answers: a folder that another process holds, that cannot
    /// be written, or whose format is newer.
    pub async fn build(self) -> Result<Cache<K, V>> {
        let World { clock, spawn, owned } = World::enter(self.clock.clone(), self.spawn.clone())?;
        let namespace = Namespace::new(&self.name)?;
        let lifetime = Lifetime { ttl_ms: milliseconds(self.ttl)?, idle_ms: milliseconds(self.idle)? };
        let base = Foundation::new(Arc::clone(&clock), self.options);
        let memory = self.hot.unwrap_or_else(|| Config::bytes(64 << 20));
        let hot = HotConfig { memory, namespace: namespace.clone(), hold: V::hold, keep_unexpiring: false };
        let (floors, generations) = (Arc::clone(&base.floors), Arc::clone(&base.generations));
        let mut hot = HotTier::<K, V::Live>::new(hot, Arc::clone(&clock), floors, generations);
        if let Some(listener) = self.listener {
            hot = hot.on_evict(listener);
        }
        let hot = Arc::new(hot);
        let mut lower = Vec::with_capacity(self.stores.len());
        for (tier, place, mode) in self.stores {
            #[allow(
                clippy::infallible_destructuring_match,
                reason = "each engine is a place, and there may be none"
            )]
            let store = match place {
                Place::Store(store) => store,
                #[cfg(feature = "disk")]
                Place::Log(path, bytes) => open_log(path, bytes, &clock, &spawn).await?,
                #[cfg(feature = "fjall")]
                Place::Fjall(path, bytes) => open_fjall(path, bytes, &clock, &spawn).await?,
            };
            lower.push(Lower::new(tier, store, mode));
        }
        lower.sort_by_key(|lower| lower.tier);
        let codec = self.codec.map(|codec| codec(self.encoding));
        let erased: Arc<dyn terrace_tiers::Hot> = Arc::<HotTier<K, V::Live>>::clone(&hot);
        let tiers = Tiers::open(base, Some(erased), lower, spawn).await?;
        let inner = Inner {
            hot,
            tiers,
            namespace,
            codec,
            encoding: self.encoding,
            lifetime,
            weigher: self.weigher,
            _owned: owned,
        };
        Ok(Cache::of(inner))
    }

    /// [`Builder::build`] for callers that are not asynchronous.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn build_blocking(self) -> Result<Cache<K, V>> {
        block_on(self.build())
    }
}

impl<K: CacheKey, V: Storable> Builder<K, V> {
    /// A tier on the local disk: a folder of its own, and how many bytes its files may take, at least 1 MiB. The oldest
    /// entries leave when it is full, and those that were read stay. Written to at once, and synced every second.
    #[cfg(feature = "disk")]
    pub fn cold(mut self, folder: impl Into<PathBuf>, bytes: u64) -> Self {
        self.codec = Some(codec_of::<V>);
        self.place(Tier::Cold, Place::Log(folder.into(), bytes), WriteMode::Through)
    }

    /// [`Builder::cold`] over fjall, the engine before: the bytes are those of keys and values.
    #[cfg(feature = "fjall")]
    pub fn cold_fjall(mut self, folder: impl Into<PathBuf>, bytes: u64) -> Self {
        self.codec = Some(codec_of::<V>);
        self.place(Tier::Cold, Place::Fjall(folder.into(), bytes), WriteMode::Through)
    }

    /// A tier in a store of the caller's own.
    pub fn store(mut self, tier: Tier, store: Arc<dyn Store>, mode: WriteMode) -> Self {
        self.codec = Some(codec_of::<V>);
        self.place(tier, Place::Store(store), mode)
    }
}

impl<K: CacheKey> Builder<K, Mixed> {
    /// A tier on the local disk: a folder of its own, and how many bytes its files may take, at least 1 MiB. The oldest
    /// entries leave when it is full, and those that were read stay. Written to at once, and synced every second.
    #[cfg(feature = "disk")]
    pub fn cold(self, folder: impl Into<PathBuf>, bytes: u64) -> Self {
        self.place(Tier::Cold, Place::Log(folder.into(), bytes), WriteMode::Through)
    }

    /// [`Builder::cold`] over fjall, the engine before: the bytes are those of keys and values.
    #[cfg(feature = "fjall")]
    pub fn cold_fjall(self, folder: impl Into<PathBuf>, bytes: u64) -> Self {
        self.place(Tier::Cold, Place::Fjall(folder.into(), bytes), WriteMode::Through)
    }

    /// A tier in a store of the caller's own.
    pub fn store(self, tier: Tier, store: Arc<dyn Store>, mode: WriteMode) -> Self {
        self.place(tier, Place::Store(store), mode)
    }
}

/// The store of a tier on the local disk. Opening may have to read much, so that happens where blocking is allowed.
#[cfg(feature = "disk")]
async fn open_log(
    path: PathBuf,
    bytes: u64,
    clock: &Arc<dyn Clock>,
    spawn: &Arc<dyn Spawn>,
) -> Result<Arc<dyn Store>> {
    use terrace_backends::disk::{DiskConfig, DiskStore};

    let config = DiskConfig::cache(path, bytes);
    let (clock, tasks) = (Arc::clone(clock), Arc::clone(spawn));
    let opened =
        terrace_store::spawn::offload(&**spawn, "open", move || DiskStore::open(config, clock, tasks));
    Ok(Arc::new(opened.await?))
}

/// The same over fjall.
#[cfg(feature = "fjall")]
async fn open_fjall(
    path: PathBuf,
    bytes: u64,
    clock: &Arc<dyn Clock>,
    spawn: &Arc<dyn Spawn>,
) -> Result<Arc<dyn Store>> {
    use terrace_backends::fjall::{FjallConfig, FjallStore};

    let config = FjallConfig { capacity: Some(bytes), ..FjallConfig::new(path) };
    let (clock, tasks) = (Arc::clone(clock), Arc::clone(spawn));
    let opened =
        terrace_store::spawn::offload(&**spawn, "open", move || FjallStore::open(config, clock, tasks));
    Ok(Arc::new(opened.await?))
}

fn milliseconds(span: Option<Result<Duration>>) -> Result<Option<std::num::NonZeroU64>> {
    let Some(span) = span.transpose()? else { return Ok(None) };
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    match std::num::NonZeroU64::new(ms) {
        Some(ms) => Ok(Some(ms)),
        None => Err(Error::new(ErrorKind::Config, "build").because("a lifetime is at least one millisecond")),
    }
}
