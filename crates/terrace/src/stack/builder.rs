//! Building a stack: what the configuration says, over what the program gives.
//!
//! Decision: the configuration wins, since whoever runs a program must be able to change what whoever wrote it
//! thought best; a layer that the configuration does not speak of is as the program gives it. The order is the layers'
//! own.

use std::sync::Arc;
use std::time::Duration;

use terrace_envelope::Compression as Algorithm;
use terrace_envelope::codec::ALGORITHMS;
use terrace_envelope::crypt::{Key, Keyring};
use terrace_layers::compression::Choice;
use terrace_layers::stack::{
    AccessLayer, ChecksumLayer, CompressionLayer, EncryptionLayer, MetricsLayer, NamespaceLayer,
    ReadOnlyLayer,
};
use terrace_layers::{AuditConfig, CacheConfig, CompressionConfig, Layer, Stack as Layers, World};
use terrace_store::nearest::{did_you_mean, nearest};
use terrace_store::rng::SplitMix;
use terrace_store::spawn::offload;
use terrace_store::{Clock, Error, ErrorKind, Namespace, Result, Spawn, Store};
use terrace_tiers::Tier;

use super::Stack;
use super::config::StackConfig;
use super::layers::{AuditOptions, CompressionOptions, EncryptionOptions};
use super::registry::Registry;
use super::section::Setting;
use super::storage::Storage;
use crate::runtime;

/// A stack under construction. Made by [`Stack::builder`].
#[must_use = "a builder builds nothing until `build` is called"]
pub struct StackBuilder {
    config: StackConfig,
    registry: Registry,
    cache: Option<CacheConfig>,
    compression: Option<CompressionLayer>,
    encryption: Option<EncryptionLayer>,
    metrics: Option<MetricsLayer>,
    layers: Vec<Box<dyn Layer>>,
    clock: Option<Arc<dyn Clock>>,
    spawn: Option<Arc<dyn Spawn>>,
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, "stack").because(why)
}

impl StackBuilder {
    pub(super) fn new(config: StackConfig) -> Self {
        Self {
            config,
            registry: Registry::default(),
            cache: None,
            compression: None,
            encryption: None,
            metrics: None,
            layers: Vec::new(),
            clock: None,
            spawn: None,
        }
    }

    /// With the stores, layers and codecs of this registry.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// With a cache, unless the configuration speaks of `cache` or `l2_capacity`.
    pub fn with_cache(mut self, cache: CacheConfig) -> Self {
        self.cache = Some(cache);
        self
    }

    /// With compression, unless the configuration speaks of `compression`.
    pub fn with_compression(mut self, config: CompressionConfig) -> Self {
        self.compression = Some(CompressionLayer { config, codecs: Vec::new() });
        self
    }

    /// With encryption, unless the configuration speaks of `encryption`.
    pub fn with_encryption(mut self, layer: EncryptionLayer) -> Self {
        self.encryption = Some(layer);
        self
    }

    /// With metrics, unless the configuration speaks of `metrics`.
    pub fn with_metrics(mut self, layer: MetricsLayer) -> Self {
        self.metrics = Some(layer);
        self
    }

    /// With this layer, of a user's own or built in. One that the configuration asks for as well is there twice, which is refused.
    pub fn with(mut self, layer: impl Layer) -> Self {
        self.layers.push(Box::new(layer));
        self
    }

    /// The clock, for tests and simulations.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Where background tasks run: the tokio runtime of the calling thread unless said, or one of the stack's own.
    pub fn spawn(mut self, spawn: Arc<dyn Spawn>) -> Self {
        self.spawn = Some(spawn);
        self
    }

    /// Opens the stores and puts the layers over them.
    ///
    /// # Errors
    /// `Config` for what cannot be, with what would be right; what the stores and layers answer. What was opened by then is
    /// closed.
    pub async fn build(mut self) -> Result<Stack> {
        let runtime::World { clock, spawn, owned } =
            runtime::World::enter(self.clock.take(), self.spawn.take())?;
        let world = World::new(clock, Arc::new(SplitMix::random()), spawn);
        let mut opened = Vec::new();
        let built = self.stand(&world, &mut opened).await;
        if built.is_err() {
            for store in opened {
                // What failed before is what is to be told.
                let _ = store.close().await;
            }
        }
        built.map(|stack| Stack { _owned: owned, ..stack })
    }

    async fn stand(mut self, world: &World, opened: &mut Vec<Arc<dyn Store>>) -> Result<Stack> {
        let mut warnings = Vec::new();
        self.warn_of_distributed(&mut warnings)?;
        let stores = self.config.stores(&mut warnings)?;
        // All that can be refused is, before anything is opened.
        let compression = self.compression_layer()?;
        let encryption = self.encryption_layer(world).await?;
        let cache = self.config.cache_layer()?.or(self.cache);
        let bloom = self.config.bloom_layer()?.or(None);
        let own = self.own_layers(world)?;

        let storage = self.open(&stores.storage, world, opened).await?;
        let cold = match &stores.cold {
            Some(cold) => Some(self.open(cold, world, opened).await?),
            None => None,
        };
        let (audit, beside) = self.audit_layer(world, opened).await?;
        let config = &self.config;
        let plain = |setting: &Setting<super::Plain>| setting.clone().or(None).is_some();
        let mut all: Vec<Box<dyn Layer>> = std::mem::take(&mut self.layers);
        let mut give = |layer: Option<Box<dyn Layer>>| all.extend(layer);
        give(config.tracing.clone().or(None).map(boxed));
        give(config.metrics.clone().map(|_| MetricsLayer).or(self.metrics).map(boxed));
        give(audit.map(boxed));
        give(config.access.clone().or(None).map(AccessLayer).map(boxed));
        give(plain(&config.read_only).then(|| boxed(ReadOnlyLayer)));
        for name in &config.namespace {
            give(Some(boxed(NamespaceLayer(name.clone()))));
        }
        give(cache.map(boxed));
        give(bloom.map(boxed));
        give(compression.map(boxed));
        give(encryption.map(boxed));
        give(plain(&config.checksum).then(|| boxed(ChecksumLayer)));
        give(config.retry.clone().or(None).map(boxed));
        give(config.hedge.clone().or(None).map(boxed));
        give(config.concurrency_limit.clone().or(None).map(boxed));
        give(config.throttle.clone().or(None).map(boxed));
        give(config.circuit_breaker.clone().or(None).map(boxed));
        give(config.timeout.clone().or(None).map(boxed));
        give(config.chaos.clone().or(None).map(boxed));
        all.extend(own);
        let builder = all.into_iter().fold(Layers::over(storage), |builder, layer| builder.with_boxed(layer));
        Ok(Stack {
            layers: builder.build(world).await?,
            tier: tier(&stores.storage),
            cold,
            beside,
            hot_entries: config.l1_capacity,
            ttl: config.ttl_seconds.map(Duration::from_secs),
            warnings,
            _owned: None,
        })
    }

    fn warn_of_distributed(&self, warnings: &mut Vec<String>) -> Result<()> {
        let Some(distributed) = &self.config.distributed else { return Ok(()) };
        distributed.check().map_err(|why| refused(format!("distributed: {why}")))?;
        if distributed.enabled {
            warnings.push(
                "distributed acts on nothing yet: there is no tier of several machines; values lie in `storage` alone"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Opens a store. That may have to read much, so it happens where blocking is allowed.
    async fn open(
        &self,
        storage: &Storage,
        world: &World,
        opened: &mut Vec<Arc<dyn Store>>,
    ) -> Result<Arc<dyn Store>> {
        let store = self.open_url(storage.to_url(), world).await?;
        opened.push(Arc::clone(&store));
        Ok(store)
    }

    async fn open_url(&self, url: String, world: &World) -> Result<Arc<dyn Store>> {
        let (backends, clock, spawn) =
            (self.registry.backends().clone(), Arc::clone(&world.clock), Arc::clone(&world.spawn));
        offload(&*world.spawn, "open", move || backends.open(&url, clock, spawn)).await
    }

    async fn audit_layer(
        &self,
        world: &World,
        opened: &mut Vec<Arc<dyn Store>>,
    ) -> Result<(Option<AuditConfig>, Vec<Arc<dyn Store>>)> {
        let Some(AuditOptions { log, namespace, reads, key }) = self.config.audit.clone().or(None) else {
            return Ok((None, Vec::new()));
        };
        let namespace = Namespace::new(&namespace)?;
        let key = match key {
            Some(source) => {
                Some(*offload(&*world.spawn, "key", move || source.read()).await.map_err(unusable)?.expose())
            }
            None => None,
        };
        let log = self.open_url(log, world).await?;
        opened.push(Arc::clone(&log));
        Ok((Some(AuditConfig { log: Arc::clone(&log), namespace, reads, key }), vec![log]))
    }

    fn compression_layer(&mut self) -> Result<Option<CompressionLayer>> {
        let codecs = self.registry.codecs().to_vec();
        let said = match self.config.compression.clone() {
            Setting::Unsaid => self.compression.take(),
            Setting::Off => None,
            Setting::On(options) => {
                Some(CompressionLayer { config: self.compression_config(&options)?, codecs: Vec::new() })
            }
        };
        Ok(said.map(|layer| CompressionLayer { codecs, ..layer }))
    }

    fn compression_config(&self, options: &CompressionOptions) -> Result<CompressionConfig> {
        let CompressionOptions { algorithm, aim, min_size } = options;
        let built_in = ALGORITHMS.iter().find(|known| known.name() == algorithm);
        let own = self.registry.codecs().iter().find(|codec| codec.name() == algorithm);
        let choice = match (built_in, own) {
            _ if algorithm == "adaptive" => Choice::Adaptive(*aim),
            (Some(algorithm), _) => Choice::Fixed(*algorithm),
            (None, Some(codec)) => Choice::Own(codec.id()),
            (None, None) => return Err(self.no_codec(algorithm)),
        };
        Ok(CompressionConfig { choice, min_size: *min_size })
    }

    fn no_codec(&self, algorithm: &str) -> Error {
        let names = ALGORITHMS.iter().map(|known: &Algorithm| known.name());
        let own = self.registry.codecs().iter().map(|codec| codec.name());
        let known: Vec<&str> = std::iter::once("adaptive").chain(names).chain(own).collect();
        let near = did_you_mean(nearest(algorithm, known.iter().copied()));
        refused(format!("compression.algorithm `{algorithm}` is none of: {}{near}", known.join(", ")))
    }

    /// Reads the keys from where they are kept, which may take a while.
    async fn encryption_layer(&mut self, world: &World) -> Result<Option<EncryptionLayer>> {
        let EncryptionOptions { algorithm, keys, config } = match self.config.encryption.clone() {
            Setting::Unsaid => return Ok(self.encryption.take()),
            Setting::Off => return Ok(None),
            Setting::On(options) => options,
        };
        let read = move || {
            let mut keyring: Option<Keyring> = None;
            for (id, source) in keys {
                let key = Key::read(id, algorithm, &source)?;
                keyring = Some(match keyring {
                    None => Keyring::new(key),
                    Some(keyring) => keyring.with_old(key)?,
                });
            }
            Ok(keyring)
        };
        let keyring = offload(&*world.spawn, "key", read).await.map_err(unusable)?;
        Ok(keyring.map(|keyring| EncryptionLayer { keyring, config }))
    }

    fn own_layers(&self, world: &World) -> Result<Vec<Box<dyn Layer>>> {
        let on = self.config.own.iter().filter(|(_, options)| !options.is_off());
        on.map(|(name, options)| self.registry.layer(name, options, world)).collect()
    }
}

fn unusable(error: terrace_envelope::crypt::KeyError) -> Error {
    refused(format!("a key cannot be read: {error}"))
}

fn boxed(layer: impl Layer) -> Box<dyn Layer> {
    Box::new(layer)
}

/// Which tier of a cache a store is.
fn tier(storage: &Storage) -> Tier {
    match storage.scheme() {
        "redis" | "rediss" | "valkey" | "valkeys" | "redis+unix" | "redis+cluster" | "rediss+cluster" => {
            Tier::Shared
        }
        _ => Tier::Durable,
    }
}
