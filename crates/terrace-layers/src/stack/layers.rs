//! The built-in layers, a line each: what is given, its name, and how it is put over a store.

use std::sync::Arc;

#[cfg(feature = "encryption")]
use terrace_envelope::crypt::Keyring;
use terrace_store::{BoxFuture, Result, Store};

use super::{Layer, Layered, order};
use crate::access::Rule;
use crate::world::World;

/// Checks calls by these rules.
#[derive(Clone, Debug)]
pub struct AccessLayer(pub Vec<Rule>);

/// Checks values.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChecksumLayer;

/// Compresses values, also by algorithms of a user's own.
#[cfg(feature = "compression")]
#[derive(Clone, Default)]
pub struct CompressionLayer {
    /// How values are compressed.
    pub config: crate::CompressionConfig,
    /// What can be read and written besides the algorithms that are built in.
    pub codecs: Vec<Arc<dyn crate::compression::Codec>>,
}

/// Counts calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricsLayer;

/// Shows the part of the store of this name. There may be several, one in another.
#[derive(Clone, Debug)]
pub struct NamespaceLayer(pub String);

/// Lets nobody write.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnlyLayer;

/// Seals values with these keys.
#[cfg(feature = "encryption")]
#[derive(Debug)]
pub struct EncryptionLayer {
    /// The keys.
    pub keyring: Keyring,
    /// How values are sealed.
    pub config: crate::encryption::EncryptionConfig,
}

macro_rules! layers {
    ($($(#[$feature:meta])? $name:literal $repeats:literal $given:ty: |$layer:ident, $inner:ident, $world:ident| $make:expr;)*) => {
        $($(#[$feature])? impl Layer for $given {
            fn name(&self) -> &str {
                $name
            }

            fn rank(&self) -> u16 {
                order::rank($name)
            }

            fn repeats(&self) -> bool {
                $repeats
            }

            fn wrap<'a>(self: Box<Self>, $inner: Arc<dyn Store>, $world: &'a World) -> BoxFuture<'a, Result<Layered>> {
                let $layer = *self;
                Box::pin(async move {
                    let _ = (&$layer, $world);
                    Ok(Layered::new($make))
                })
            }
        })*
    };
}

#[rustfmt::skip] // One line a layer.
layers! {
    "access" false AccessLayer: |layer, inner, world| crate::Access::over(inner, layer.0);
    "audit" false crate::AuditConfig: |layer, inner, world| crate::Audit::open(inner, layer, world).await?;
    "bloom" false crate::BloomConfig: |layer, inner, world| crate::Bloom::open(inner, layer, world).await?;
    #[cfg(feature = "cache")] "cache" false crate::CacheConfig: |layer, inner, world| crate::Cache::over(inner, layer, world);
    "chaos" false crate::ChaosConfig: |layer, inner, world| crate::Chaos::over(inner, layer, world);
    "checksum" false ChecksumLayer: |layer, inner, world| crate::Checksum::over(inner);
    "circuit_breaker" false crate::CircuitBreakerConfig: |layer, inner, world| crate::CircuitBreaker::over(inner, layer, world);
    #[cfg(feature = "compression")] "compression" false crate::CompressionConfig: |layer, inner, world| crate::Compression::open(inner, layer, world).await?;
    #[cfg(feature = "compression")] "compression" false CompressionLayer: |layer, inner, world| crate::Compression::with_codecs(inner, layer.config, layer.codecs, world).await?;
    "concurrency_limit" false crate::ConcurrencyLimitConfig: |layer, inner, world| crate::ConcurrencyLimit::over(inner, layer, world);
    #[cfg(feature = "encryption")] "encryption" false EncryptionLayer: |layer, inner, world| crate::Encryption::over(inner, layer.keyring, layer.config);
    "hedge" false crate::HedgeConfig: |layer, inner, world| crate::Hedge::over(inner, layer, world);
    "metrics" false MetricsLayer: |layer, inner, world| crate::Metrics::over(inner, world);
    "namespace" true NamespaceLayer: |layer, inner, world| crate::Namespaced::open(inner, layer.0).await?;
    "read_only" false ReadOnlyLayer: |layer, inner, world| crate::ReadOnly::over(inner);
    "retry" false crate::RetryConfig: |layer, inner, world| crate::Retry::over(inner, layer, world);
    "throttle" false crate::ThrottleConfig: |layer, inner, world| crate::Throttle::over(inner, layer, world);
    "timeout" false crate::TimeoutConfig: |layer, inner, world| crate::Timeout::over(inner, layer, world);
    #[cfg(feature = "tracing")] "tracing" false crate::TracingConfig: |layer, inner, world| crate::Tracing::over(inner, layer);
}
