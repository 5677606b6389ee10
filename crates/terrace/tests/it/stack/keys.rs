//! The short keys, as they stand, and what each of them does.

use std::sync::Arc;
use std::time::Duration;

use terrace::layers::cache::Capacity;
use terrace::layers::{Bloom, Cache as CacheLayer};

use super::*;

const TOML: &str = r#"
l1_capacity = 100
l2_capacity = 1000
ttl_seconds = 300
bloom_bits = 10_500
bloom_expected = 1000
bloom_shards = 4
redis_pool_size = 16
redis_command_timeout_secs = 5
use_sled = true
sled_flush_ms = 500
sled_cache_bytes = 1048576
"#;

const YAML: &str = "
storage: { type: rocksdb, path: /var/lib/app/storage, options: { block_cache_size: 67108864, write_buffer_size: 16777216, max_open_files: 1000 } }
cache: { type: lru, max_entries: 10000, ttl_seconds: 300 }
compression: { enabled: true, algorithm: lz4, min_size: 1024 }
distributed: { enabled: true, replication_factor: 3, consistency_level: quorum }
";

#[cfg(feature = "sled")]
#[tokio::test(flavor = "multi_thread")]
async fn the_short_keys_load_as_they_stand_and_make_a_stack() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = toml(TOML).unwrap();
    config.sled_path = Some(folder.path().join("kept"));
    let stack = Stack::builder(config.clone()).build().await.unwrap();
    assert_eq!(stack.names().collect::<Vec<_>>(), ["cache", "bloom"]);
    assert_eq!(stack.store().name(), "sled");
    assert!(stack.warnings().iter().any(|warning| warning.contains("redis_pool_size acts on nothing")));
    write(stack.store(), "k", "v").await;
    stack.close().await.unwrap();
    let again = Stack::builder(config).build().await.unwrap();
    assert_eq!(read(again.store(), "k").await.unwrap().value, "v", "it was kept");
    again.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn l1_capacity_is_how_many_entries_the_hot_tier_holds() {
    let stack = build("storage = \"memory:\"\nl1_capacity = 10").await.unwrap();
    let evicted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&evicted);
    let cache = stack
        .cache::<u32>("n")
        .on_evict(move |_, _, _| {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        })
        .build()
        .await
        .unwrap();
    for n in 0..100 {
        cache.put(&*n.to_string(), n).await.unwrap();
    }
    assert!(evicted.load(std::sync::atomic::Ordering::SeqCst) >= 90);
    for n in 0..100 {
        assert_eq!(
            cache.get(&*n.to_string()).await.unwrap(),
            Some(n),
            "the stack has what the hot tier let go"
        );
    }
    cache.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ttl_seconds_is_how_long_what_is_put_lives() {
    let stack = build("storage = \"memory:\"\nttl_seconds = 300").await.unwrap();
    let cache = stack.cache::<u32>("n").build().await.unwrap();
    cache.put("k", 1).await.unwrap();
    cache.put("own", 1).ttl("1s").await.unwrap();
    let lives = |entry: &Entry| entry.expires_ms.map(|at| at.get() - entry.created_ms);
    let entries = all(stack.store()).await;
    let mut lifetimes: Vec<_> = entries.iter().map(|(_, entry)| lives(entry)).collect();
    lifetimes.sort();
    assert_eq!(lifetimes, [Some(1_000), Some(300_000)]);
    cache.close().await.unwrap();
}

/// What a cache of the name `n` has in the store.
async fn all(store: &Arc<dyn Store>) -> Vec<(Key, Entry)> {
    let list = terrace::store::capability::List::all(key("").namespace());
    store.list_all(&list).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn l2_capacity_is_how_many_entries_the_cache_layer_holds() {
    let stack = build("storage = \"memory:\"\nl2_capacity = 20\ncache = { type = \"lru\" }").await.unwrap();
    for n in 0..100 {
        write(stack.store(), &n.to_string(), vec![0; n]).await;
    }
    let cache = stack.layer::<CacheLayer>().unwrap();
    let entries = cache.stats().entries;
    assert!((1..=20).contains(&entries), "{entries}");
    let none = build("storage = \"memory:\"\nl2_capacity = 0").await.unwrap();
    assert_eq!(none.names().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bloom_bits_expected_and_shards_make_the_filter() {
    let stack =
        build("storage = \"memory:\"\nbloom_bits = 1024000\nbloom_expected = 50000\nbloom_shards = 16")
            .await
            .unwrap();
    let report = stack.layer::<Bloom>().unwrap().report();
    assert_eq!(report.shards, 16);
    let bits = report.bytes * 8;
    assert!((1_024_000..1_100_000).contains(&bits), "{bits} bits");
    let larger = build("storage = \"memory:\"\nbloom_bits = 2048000\nbloom_expected = 100000").await.unwrap();
    assert!(larger.layer::<Bloom>().unwrap().report().bytes > report.bytes * 3 / 2);
}

/// What the URL of the storage becomes, as an unknown option makes the store tell.
async fn told(text: &str) -> String {
    refused(build(text).await).to_string()
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn the_redis_keys_are_options_of_the_connection() {
    // A pool of none, and a time of none, are what the store itself refuses.
    let none = told("storage = \"redis://127.0.0.1:1\"\nredis_pool_size = 0").await;
    assert!(none.contains("connections is at least 1"), "{none}");
    let none = told("storage = \"redis://127.0.0.1:1\"\nredis_command_timeout_secs = 0").await;
    assert!(none.contains("timeout is at least 1 ms"), "{none}");
    let twice = told("storage = \"redis://127.0.0.1:1?connections=3\"\nredis_pool_size = 5").await;
    assert!(twice.contains("give one of both"), "{twice}");
}

/// A server that accepts and never answers.
#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn a_command_to_a_redis_server_that_hangs_ends_in_its_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let text = format!(
        "storage = {{ type = \"redis\", address = \"{address}/0\" }}\nredis_command_timeout_secs = 3"
    );
    let stack = build(&text).await.unwrap();
    let began = std::time::Instant::now();
    let error = stack.store().get(&key("k")).await.unwrap_err();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(2_900), "two seconds are the default: {took:?}, {error}");
    accepting.abort();
}

#[cfg(feature = "sled")]
#[tokio::test(flavor = "multi_thread")]
async fn the_sled_keys_are_options_of_the_store_wherever_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    // What sled refuses shows that it was asked.
    let small = told(&format!("use_sled = true\nsled_path = \"{path}/a\"\nsled_cache_bytes = 5")).await;
    assert!(small.contains("cache_bytes is at least 1 MiB"), "{small}");
    let small = told(&format!("storage = \"sled:{path}/b\"\nsled_cache_bytes = 5")).await;
    assert!(small.contains("cache_bytes is at least 1 MiB"), "{small}");
    let twice = told(&format!("storage = \"sled:{path}/c?flush_every_ms=5\"\nsled_flush_ms = 6")).await;
    assert!(twice.contains("sled_flush_ms") && twice.contains("give one of both"), "{twice}");

    // Beside another storage it is the disk tier of a cache over the stack.
    let text =
        format!("storage = \"memory:\"\nuse_sled = true\nsled_path = \"{path}/d\"\nsled_flush_ms = 50");
    let stack = build(&text).await.unwrap();
    let cache = stack.cache::<u32>("n").build().await.unwrap();
    // What a cache on the disk held before is dropped beneath an authority that begins anew, with its first version.
    for n in 0..5 {
        cache.put("k", n).await.unwrap();
    }
    assert_eq!(stack.cold().unwrap().name(), "sled");
    let (below, beside) = (all(stack.store()).await, all(stack.cold().unwrap()).await);
    assert_eq!((below.len(), below[0].1.version), (1, beside[0].1.version), "both have the write");
    cache.close().await.unwrap();
    stack.close().await.unwrap();
}

#[tokio::test]
async fn what_acts_on_nothing_is_told() {
    let text = "storage = \"memory:\"\nredis_pool_size = 5\nredis_command_timeout_secs = 5\nsled_flush_ms = 5\n\
                sled_cache_bytes = 5\nsled_path = \"/x\"\ndistributed = { enabled = true, replication_factor = 3 }";
    let stack = build(text).await.unwrap();
    for word in [
        "redis_pool_size",
        "redis_command_timeout_secs",
        "sled_flush_ms",
        "sled_cache_bytes",
        "sled_path",
        "distributed",
    ] {
        let told = stack.warnings().iter().filter(|warning| warning.starts_with(word)).count();
        assert_eq!(told, 1, "{word}: {:?}", stack.warnings());
    }
    assert!(build("storage = \"memory:\"").await.unwrap().warnings().is_empty());
}

#[test]
fn the_yaml_loads_as_it_stands() {
    use terrace::stack::{ConsistencyLevel, Setting};
    let config = StackConfig::from_yaml(YAML).unwrap();
    assert_eq!(
        config.storage.as_ref().unwrap().to_url(),
        "rocksdb:///var/lib/app/storage?block_cache_size=67108864&max_open_files=1000&write_buffer_size=16777216"
    );
    let Setting::On(cache) = config.cache else { panic!("no cache") };
    assert_eq!((cache.capacity, cache.max_age), (Capacity::Entries(10_000), Some(Duration::from_secs(300))));
    assert!(matches!(config.compression, Setting::On(on) if on.algorithm == "lz4" && on.min_size == 1024));
    let distributed = config.distributed.unwrap();
    assert_eq!(
        (distributed.replication_factor, distributed.consistency_level),
        (3, ConsistencyLevel::Quorum)
    );
}

/// The same YAML over a store that this build has, with its own options.
#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn the_yaml_makes_a_stack_whose_every_section_acts() {
    let folder = tempfile::tempdir().unwrap();
    let storage = format!(
        "storage: {{ type: redb, path: \"{}\", options: {{ cache_bytes: 16777216 }} }}",
        folder.path().join("store").display()
    );
    let rest: Vec<&str> = YAML.trim().lines().skip(1).collect();
    let config = StackConfig::from_yaml(&format!("{storage}\n{}", rest.join("\n"))).unwrap();
    let stack = Stack::builder(config).build().await.unwrap();
    assert_eq!(stack.names().collect::<Vec<_>>(), ["cache", "compression"]);
    assert!(stack.warnings()[0].starts_with("distributed"));
    write(stack.store(), "long", "a value ".repeat(1_000)).await;
    write(stack.store(), "short", "a value ".repeat(100)).await;
    let compression = stack.layer::<terrace::layers::Compression>().unwrap();
    let stored = |name: &'static str| {
        let inner = Arc::clone(compression.inner());
        async move { read(&inner, name).await.unwrap().value.len() }
    };
    assert!(stored("long").await < 500, "lz4 made it smaller");
    assert_eq!(stored("short").await, 800, "it is below min_size");
    assert_eq!(read(stack.store(), "long").await.unwrap().value.len(), 8_000);
    assert_eq!(stack.layer::<CacheLayer>().unwrap().stats().hits, 1);
    stack.close().await.unwrap();
}
