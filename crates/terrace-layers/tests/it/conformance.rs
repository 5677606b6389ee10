//! Every layer keeps the contract over a store, alone and with another, and hands on the buffers that it does not change.

use std::sync::Arc;
use std::time::Duration;

use terrace_envelope::Compression as Algorithm;
use terrace_envelope::codec::Aim;
use terrace_envelope::crypt::{Algorithm as Crypt, Key as Master, Keyring, Secret};
use terrace_layers::access::{Rights, Rule, Scope, Who};
use terrace_layers::cache::CachePolicy;
use terrace_layers::chain::{Fallback, Member};
use terrace_layers::compression::Choice;
use terrace_layers::tee::OnLag;
use terrace_layers::{
    Access, Audit, AuditConfig, Bloom, BloomConfig, Cache, CacheConfig, Chain, Chaos, ChaosConfig, Checksum,
    CircuitBreaker, CircuitBreakerConfig, Compression, CompressionConfig, ConcurrencyLimit,
    ConcurrencyLimitConfig, Encryption, EncryptionConfig, Hedge, HedgeConfig, Metrics, Namespaced, Retry,
    RetryConfig, Tee, Throttle, ThrottleConfig, Timeout, TimeoutConfig, Tracing, TracingConfig, World,
};
use terrace_store::conformance::{self, Report};
use terrace_store::fakes::MapStore;
use terrace_store::{BoxFuture, Namespace, Result, Store, block_on};

use crate::subject::{Beneath, Layered, Wrap};

/// A layer's name, how it is put over a store, and whether it keeps buffers.
struct Layer(&'static str, Wrap, bool);

fn keyring() -> Keyring {
    Keyring::new(Master::new(1, Crypt::Aes256GcmSiv, Secret::new(&[7; 32])))
}

fn cache(policy: CachePolicy, inner: Arc<dyn Store>, world: &World) -> Cache {
    Cache::over(inner, CacheConfig { policy, ..Default::default() }, world)
}

macro_rules! layers {
    ($($name:ident $keeps:literal |$inner:ident, $world:ident| $make:expr;)*) => {
        $(fn $name() -> Layer {
            let wrap: Wrap = |$inner, $world| Box::pin(async move {
                let _ = &$world;
                Ok(Arc::new($make) as Arc<dyn Store>)
            });
            Layer(stringify!($name), wrap, $keeps)
        })*

        const ALL: &[fn() -> Layer] = &[$($name),*];

        /// A test for each layer, so that they run beside each other and each shows by name.
        mod each_layer_keeps_the_contract_over_memory {
            $(#[test] fn $name() { super::alone(super::$name); })*
        }
    };
}

layers! {
    access true |inner, world| {
        Access::over(inner, vec![Rule::grant(Who::Everybody, Scope::All, Rights::ALL)])
    };
    audit true |inner, world| {
        let log = Arc::new(MapStore::default());
        let namespace = Namespace::new("audit")?;
        Audit::open(inner, AuditConfig { log, namespace, reads: false, key: None }, &world).await?
    };
    bloom_advisory true |inner, world| {
        Bloom::open(inner, BloomConfig { expected: 100, ..Default::default() }, &world).await?
    };
    bloom_sole true |inner, world| {
        let config = BloomConfig { expected: 16, sole_writer: true, keep: true, ..Default::default() };
        Bloom::open(inner, config, &world).await?
    };
    cache_arc true |inner, world| cache(CachePolicy::Arc, inner, &world);
    cache_adaptive true |inner, world| cache(CachePolicy::Adaptive, inner, &world);
    cache_lfu true |inner, world| cache(CachePolicy::Lfu, inner, &world);
    cache_lru true |inner, world| cache(CachePolicy::Lru, inner, &world);
    chaos true |inner, world| Chaos::over(inner, ChaosConfig::default(), &world);
    checksum false |inner, world| Checksum::over(inner);
    circuit_breaker true |inner, world| CircuitBreaker::over(inner, CircuitBreakerConfig::default(), &world);
    compression_adaptive false |inner, world| {
        let config = CompressionConfig { choice: Choice::Adaptive(Aim::Space), min_size: 1 };
        Compression::open(inner, config, &world).await?
    };
    compression_zstd false |inner, world| {
        let config = CompressionConfig { choice: Choice::Fixed(Algorithm::Zstd), min_size: 1 };
        Compression::open(inner, config, &world).await?
    };
    concurrency_limit true |inner, world| {
        ConcurrencyLimit::over(inner, ConcurrencyLimitConfig { places: 2, ..Default::default() }, &world)
    };
    encryption false |inner, world| Encryption::over(inner, keyring(), EncryptionConfig::default());
    encryption_unbound false |inner, world| {
        let config = EncryptionConfig { bind_versions: false, ..Default::default() };
        Encryption::over(inner, keyring(), config)
    };
    hedge true |inner, world| {
        let config = HedgeConfig { delay: Some(Duration::ZERO), percent: 100, ..Default::default() };
        Hedge::over(inner, config, &world)
    };
    metrics true |inner, world| Metrics::over(inner, &world);
    namespace true |inner, world| Namespaced::open(inner, "tenant").await?;
    namespace_long true |inner, world| Namespaced::open(inner, "t".repeat(200)).await?;
    retry true |inner, world| Retry::over(inner, RetryConfig::default(), &world);
    throttle true |inner, world| Throttle::over(inner, ThrottleConfig::default(), &world);
    timeout true |inner, world| Timeout::over(inner, TimeoutConfig::default(), &world);
    tracing true |inner, world| Tracing::over(inner, TracingConfig { keys: true });
}

/// Two layers that have to do with each other, the lower first.
const PAIRS: &[[fn() -> Layer; 2]] = &[
    [encryption, compression_zstd],
    [compression_zstd, cache_adaptive],
    [encryption, cache_lru],
    [bloom_sole, cache_arc],
    [encryption, bloom_sole],
    [retry, cache_lfu],
    [encryption_unbound, compression_adaptive],
    [checksum, encryption],
    [checksum, compression_adaptive],
    [namespace, bloom_sole],
    [bloom_sole, namespace],
    [namespace, encryption],
    [namespace, namespace_long],
    [access, audit],
    [timeout, retry],
    [timeout, circuit_breaker],
    [circuit_breaker, retry],
    [concurrency_limit, hedge],
    [throttle, metrics],
    [chaos, checksum],
];

fn passes(beneath: Beneath, layers: &[fn() -> Layer]) -> Report {
    let layers: Vec<Layer> = layers.iter().map(|layer| layer()).collect();
    let wraps: Vec<Wrap> = layers.iter().map(|layer| layer.1).collect();
    let names: Vec<_> = layers.iter().map(|layer| layer.0).collect();
    let began = std::time::Instant::now();
    let subject = Layered(beneath, &wraps);
    let report = block_on(conformance::all(&subject));
    println!("{}, {:?}: {report}", names.join(" under "), began.elapsed());
    if layers.iter().all(|layer| layer.2) {
        block_on(conformance::copies::values_keep_their_buffer(&subject));
    }
    report
}

/// A chain of the store and an empty one.
fn chained(inner: Arc<dyn Store>, world: World) -> BoxFuture<'static, Result<Arc<dyn Store>>> {
    Box::pin(async move {
        let other = Arc::new(MapStore::new(world.clock));
        let members = vec![Member::local("first", inner), Member::local("second", other)];
        Ok(Arc::new(Chain::new(members, Fallback::default())?) as Arc<dyn Store>)
    })
}

/// The store, and another that is to hold the same.
fn teed(inner: Arc<dyn Store>, world: World) -> BoxFuture<'static, Result<Arc<dyn Store>>> {
    Box::pin(async move {
        let other = Arc::new(MapStore::new(world.clock));
        Ok(Arc::new(Tee::new(inner, vec![other], OnLag::Count)?) as Arc<dyn Store>)
    })
}

#[test]
fn a_chain_keeps_the_contract_of_a_store_with_opaque_versions() {
    let report = block_on(conformance::all(&Layered(Beneath::Memory, &[chained])));
    println!("{report}");
    for suite in ["conditions", "expiry", "iterate", "snapshot", "lock", "publish"] {
        assert!(report.ran.contains(&suite), "{report}");
    }
    block_on(conformance::copies::values_keep_their_buffer(&Layered(Beneath::Memory, &[chained])));
    let report = block_on(conformance::all(&Layered(Beneath::Map, &[chained])));
    assert!(report.ran.contains(&"path"), "{report}");
}

#[test]
fn a_tee_keeps_the_contract_of_its_first_store() {
    let report = block_on(conformance::all(&Layered(Beneath::Memory, &[teed])));
    println!("{report}");
    for suite in ["batch", "floors", "model", "snapshot", "watch", "lock", "publish"] {
        assert!(report.ran.contains(&suite), "{report}");
    }
    block_on(conformance::copies::values_keep_their_buffer(&Layered(Beneath::Memory, &[teed])));
}

/// Everything that the engine can do it can still do.
fn alone(layer: fn() -> Layer) {
    let report = passes(Beneath::Memory, &[layer]);
    for suite in ["conditions", "model", "transaction", "snapshot", "watch", "lock", "publish"] {
        assert!(report.ran.contains(&suite), "{} lost {suite}: {report}", layer().0);
    }
}

#[test]
fn each_layer_keeps_the_paths_of_the_store_beneath() {
    for layer in ALL {
        let Layer(name, wrap, _) = layer();
        if name.starts_with("namespace") {
            // Its root is not the root of the store.
            continue;
        }
        println!("{name}");
        block_on(conformance::path::all(&Layered(Beneath::Map, &[wrap])));
    }
}

#[test]
fn layers_that_have_to_do_with_each_other_keep_the_contract_together() {
    for pair in PAIRS {
        passes(Beneath::Memory, pair);
    }
}
