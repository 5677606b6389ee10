use terrace_store::fakes::{FrozenClock, MapStore, Recording};
use terrace_store::{Key, StoreExt, block_on};

use super::*;
use crate::world::tests::world;
use crate::{
    BloomConfig, ChaosConfig, CircuitBreakerConfig, ConcurrencyLimitConfig, HedgeConfig, ReadOnly,
    RetryConfig, ThrottleConfig, TimeoutConfig,
};

fn over(store: Arc<dyn Store>) -> StackBuilder {
    Stack::over(store)
}

fn map() -> Arc<dyn Store> {
    Arc::new(MapStore::default())
}

fn build(builder: StackBuilder) -> Result<Stack> {
    block_on(builder.build(&world(&FrozenClock::default())))
}

fn refusal(builder: StackBuilder) -> String {
    let error =
        block_on(builder.build_as_given(&world(&FrozenClock::default()))).expect_err("it is not sound");
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

#[test]
fn layers_given_in_any_order_stand_where_they_belong() {
    let builder = over(map())
        .with(ChaosConfig::default())
        .with(TimeoutConfig::default())
        .with(ChecksumLayer)
        .with(CircuitBreakerConfig::default())
        .with(MetricsLayer)
        .with(ThrottleConfig::default())
        .with(RetryConfig::default())
        .with(NamespaceLayer("outer".into()))
        .with(NamespaceLayer("inner".into()))
        .with(BloomConfig { expected: 10, ..BloomConfig::default() })
        .with(HedgeConfig::default())
        .with(ConcurrencyLimitConfig::default());
    let stack = build(builder).unwrap();
    let names: Vec<&str> = stack.names().collect();
    let expected: Vec<&str> = order::ORDER.iter().map(|(name, _)| *name).collect();
    let expected: Vec<&str> = expected
        .into_iter()
        .filter(|name| names.contains(name))
        .flat_map(|name| if name == "namespace" { vec![name; 2] } else { vec![name] })
        .collect();
    assert_eq!(names, expected);
    let key = Key::new("n", "k").unwrap();
    let _ = block_on(stack.store().put_with(&key, "v")).unwrap();
    assert_eq!(block_on(stack.store().get(&key)).unwrap().unwrap().value, "v");
    let metrics = stack.layer::<crate::Metrics>().unwrap();
    assert_eq!(metrics.policy().of(crate::call::Operation::Get).hits, 1);
    assert!(stack.layer::<ReadOnly>().is_none());
    assert!(format!("{stack:?}").contains("\"timeout\""));
}

#[test]
fn the_order_that_is_drawn_breaks_no_rule() {
    for (place, (upper, rank)) in order::ORDER.iter().enumerate() {
        for (lower, below) in &order::ORDER[place + 1..] {
            assert!(rank < below, "{upper} and {lower}");
            assert_eq!(order::forbids(upper, lower), None, "{upper} above {lower}");
        }
    }
    for (above, below, reason) in order::RULES {
        for name in [above, below] {
            assert!(order::ORDER.iter().any(|(known, _)| known == name), "{name} has no rank");
        }
        assert_eq!(order::forbids(below, above), Some(*reason));
    }
}

#[test]
fn an_order_that_is_not_sound_is_refused_with_the_reason() {
    let told = refusal(over(map()).with(TimeoutConfig::default()).with(RetryConfig::default()));
    assert!(told.contains("timeout must not stand above retry: one attempt that hangs"), "{told}");
    let told = refusal(over(map()).with(ChecksumLayer).with(ChaosConfig::default()).with(ChecksumLayer));
    assert!(told.contains("the layer checksum is there twice"), "{told}");
    let given = over(map()).with(RetryConfig::default()).with(TimeoutConfig::default());
    assert!(block_on(given.build_as_given(&world(&FrozenClock::default()))).is_ok());
}

/// A layer of somebody else's: it counts what passes it.
struct Watched;

impl Layer for Watched {
    fn name(&self) -> &str {
        "watched"
    }

    fn rank(&self) -> u16 {
        order::rank("cache") + 1
    }

    fn wrap<'a>(self: Box<Self>, inner: Arc<dyn Store>, _world: &'a World) -> BoxFuture<'a, Result<Layered>> {
        Box::pin(async move { Ok(Layered::new(Recording::over(inner))) })
    }
}

#[test]
fn a_layer_of_a_users_own_stands_among_the_others() {
    let builder = over(map()).with(TimeoutConfig::default()).with(Watched).with(MetricsLayer);
    let stack = build(builder).unwrap();
    assert_eq!(stack.names().collect::<Vec<_>>(), ["metrics", "watched", "timeout"]);
    let key = Key::new("n", "k").unwrap();
    assert!(block_on(stack.store().get(&key)).unwrap().is_none());
    assert_eq!(stack.layer::<Recording>().unwrap().control().all().len(), 1);
}

#[cfg(all(feature = "cache", feature = "compression", feature = "encryption", feature = "tracing"))]
#[test]
fn the_whole_stack_stands_and_works() {
    use terrace_envelope::crypt::{Algorithm, Key as Master, Keyring, Secret};
    use terrace_store::Namespace;

    let audit = crate::AuditConfig {
        log: map(),
        namespace: Namespace::new("audit").unwrap(),
        reads: false,
        key: None,
    };
    let keyring = Keyring::new(Master::new(1, Algorithm::Aes256GcmSiv, Secret::new(&[1; 32])));
    let everybody = crate::access::Who::Everybody;
    let rule = crate::access::Rule::grant(everybody, crate::access::Scope::All, crate::access::Rights::ALL);
    let below = Arc::new(MapStore::default());
    let builder = over(below.clone())
        .with(crate::EncryptionLayer { keyring, config: crate::EncryptionConfig::default() })
        .with(crate::CompressionConfig::default())
        .with(crate::CacheConfig::default())
        .with(crate::TracingConfig::default())
        .with(audit)
        .with(AccessLayer(vec![rule]))
        .with(ChecksumLayer)
        .with(NamespaceLayer("tenant".into()))
        .with(BloomConfig { expected: 10, ..BloomConfig::default() })
        .with(RetryConfig::default())
        .with(HedgeConfig::default())
        .with(ConcurrencyLimitConfig::default())
        .with(ThrottleConfig::default())
        .with(CircuitBreakerConfig::default())
        .with(TimeoutConfig::default())
        .with(ChaosConfig::default())
        .with(MetricsLayer);
    let stack = build(builder).unwrap();
    assert_eq!(stack.names().count(), order::ORDER.len() - 1, "all but read_only");
    let key = Key::new("n", "k").unwrap();
    let value = "a value that repeats itself ".repeat(100);
    let _ = block_on(stack.store().put_with(&key, value.clone()).tag("t")).unwrap();
    assert_eq!(block_on(stack.store().get(&key)).unwrap().unwrap().value, value);
    let stored = block_on(below.get(&Key::new("tenant/n", "k").unwrap())).unwrap().unwrap();
    assert!(stored.value.len() < 400 && stored.tags.is_empty(), "{} bytes", stored.value.len());
    let cache = stack.layer::<crate::Cache>().unwrap();
    assert_eq!(cache.stats().hits, 1);
}
