//! The layers that are measured, each alone over a store in memory.

use std::sync::Arc;

use terrace_backends::memory::{MemoryConfig, MemoryStore};
use terrace_envelope::Compression as Algorithm;
use terrace_envelope::codec::Aim;
use terrace_envelope::crypt::{Algorithm as Cipher, Key as Master, Keyring, Secret};
use terrace_layers::access::{Rights, Rule, Scope, Who};
use terrace_layers::compression::Choice;
use terrace_layers::stack::{
    AccessLayer, ChecksumLayer, EncryptionLayer, Layer, MetricsLayer, NamespaceLayer, ReadOnlyLayer,
};
use terrace_layers::{
    AuditConfig, BloomConfig, CacheConfig, ChaosConfig, CircuitBreakerConfig, CompressionConfig,
    ConcurrencyLimitConfig, EncryptionConfig, HedgeConfig, RetryConfig, Stack, ThrottleConfig, TimeoutConfig,
    TracingConfig, World,
};
use terrace_store::{Namespace, Store, block_on};

use crate::heap;
use crate::suite::Failure;

/// A layer over a store of its own.
pub(super) struct Stacked {
    pub(super) name: &'static str,
    pub(super) store: Arc<dyn Store>,
    pub(super) beneath: Arc<MemoryStore>,
    /// Bytes on the heap that opening it over an empty store took.
    pub(super) opened_bytes: i64,
    /// It refuses writes, so it is filled from beneath.
    pub(super) reads_only: bool,
}

pub(super) fn memory(world: &World) -> Result<Arc<MemoryStore>, Failure> {
    Ok(Arc::new(MemoryStore::open(MemoryConfig::default(), Arc::clone(&world.clock))?))
}

fn over<L: Layer + 'static>(world: &World, name: &'static str, layer: L) -> Result<Stacked, Failure> {
    let beneath = memory(world)?;
    let inner: Arc<dyn Store> = beneath.clone();
    let (stack, opened_bytes) = heap::growth(|| block_on(Stack::over(inner).with(layer).build(world)));
    let store = Arc::clone(stack?.store());
    Ok(Stacked { name, store, beneath, opened_bytes, reads_only: name == "read_only" })
}

fn compression(choice: Choice) -> CompressionConfig {
    CompressionConfig { choice, min_size: 64 }
}

fn sealed(id: u32, algorithm: Cipher) -> EncryptionLayer {
    let keyring = Keyring::new(Master::new(id, algorithm, Secret::new(&[7; 32])));
    EncryptionLayer { keyring, config: EncryptionConfig::default() }
}

/// All of them, as they are by default; the filter with the right to answer, since it is of no use without.
pub(super) fn all(world: &World) -> Result<Vec<Stacked>, Failure> {
    let log = memory(world)?;
    let audit = AuditConfig { log, namespace: Namespace::root(), reads: false, key: None };
    let rule = Rule::grant(Who::Everybody, Scope::All, Rights::ALL);
    let bloom = BloomConfig { sole_writer: true, ..BloomConfig::default() };
    Ok(vec![
        over(world, "tracing, nobody listens", TracingConfig::default())?,
        over(world, "metrics", MetricsLayer)?,
        over(world, "audit", audit)?,
        over(world, "access", AccessLayer(vec![rule]))?,
        over(world, "read_only", ReadOnlyLayer)?,
        over(world, "namespace", NamespaceLayer("tenant".into()))?,
        over(world, "cache", CacheConfig::default())?,
        over(world, "bloom", bloom)?,
        over(world, "compression, lz4", compression(Choice::Fixed(Algorithm::Lz4)))?,
        over(world, "compression, zstd", compression(Choice::Fixed(Algorithm::Zstd)))?,
        over(world, "compression, latency", compression(Choice::Adaptive(Aim::Latency)))?,
        over(world, "compression, balanced", compression(Choice::Adaptive(Aim::Balanced)))?,
        over(world, "encryption, xchacha20", sealed(1, Cipher::XChaCha20Poly1305))?,
        over(world, "encryption, aes-gcm-siv", sealed(2, Cipher::Aes256GcmSiv))?,
        over(world, "checksum", ChecksumLayer)?,
        over(world, "retry", RetryConfig::default())?,
        over(world, "hedge", HedgeConfig::default())?,
        over(world, "concurrency_limit", ConcurrencyLimitConfig::default())?,
        over(world, "throttle", ThrottleConfig::default())?,
        over(world, "circuit_breaker", CircuitBreakerConfig::default())?,
        over(world, "timeout", TimeoutConfig::default())?,
        over(world, "chaos", ChaosConfig::default())?,
    ])
}
