//! Which source wins.

use terrace::layers::cache::Capacity;
use terrace::stack::{Registry, Setting, Sources};

use super::*;

fn capacity(config: &StackConfig) -> Capacity {
    match &config.cache {
        Setting::On(cache) => cache.capacity,
        other => panic!("there is no cache: {other:?}"),
    }
}

#[test]
fn overrides_win_over_the_environment_and_that_over_files() {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut sources = Sources::new(&Registry::default());
    sources
        .toml("a.toml", "storage = \"memory:\"\nl1_capacity = 1\nuse_sled = true\ncache = { type = \"lru\", max_entries = 1 }")
        .unwrap()
        .yaml("b.yaml", "storage: {type: fs, path: /never-made}\nttl_seconds: 5")
        .unwrap()
        .environment(
            "TERRACE_STACK_",
            [
                variable("TERRACE_STACK_CACHE__MAX_ENTRIES", "2"),
                variable("TERRACE_STACK_L1_CAPACITY", "20"),
                variable("TERRACE_STACK_USE_SLED", "off"),
                variable("TERRACE_STACK_NAMESPACE", "tenant"),
                variable("TERRACE_STACK_METRICS", "true"),
                variable("TERRACE_STACK_BLOOM__BITS_PER_KEY", "12.5"),
                variable("TERRACE_STACK_RETRY__CAP", "3s"),
                variable("PATH", "/bin"),
            ],
        )
        .unwrap();
    sources.set("cache.max_entries", "3").unwrap();
    let config = sources.finish().unwrap();
    assert_eq!(capacity(&config), Capacity::Entries(3));
    assert_eq!((config.l1_capacity, config.ttl_seconds, config.use_sled), (Some(20), Some(5), false));
    assert_eq!(config.storage.unwrap().to_url(), "fs:///never-made");
    assert_eq!(config.namespace, ["tenant"]);
    assert!(matches!(config.metrics, Setting::On(_)));
    assert!(matches!(config.bloom, Setting::On(bloom) if bloom.bits_per_key == 12.5));
    assert!(matches!(config.retry, Setting::On(retry) if retry.cap.as_secs() == 3));
}

#[test]
fn files_are_read_by_their_extension() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("a.toml", "l1_capacity = 7"), ("a.yaml", "l1_capacity: 7"), ("a.yml", "---\nl1_capacity: 7\n")]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        assert_eq!(StackConfig::from_file(&path).unwrap().l1_capacity, Some(7), "{name}");
    }
    let path = folder.path().join("a.json");
    std::fs::write(&path, "{}").unwrap();
    assert!(refused(StackConfig::from_file(&path)).to_string().contains(".toml, .yaml or .yml"));
    assert!(
        refused(StackConfig::from_file(folder.path().join("none.toml"))).to_string().contains("none.toml")
    );
}

#[tokio::test]
async fn what_the_configuration_says_of_a_layer_wins_over_the_program_and_the_rest_is_the_programs() {
    use terrace::layers::stack::MetricsLayer;
    use terrace::layers::{CacheConfig, CompressionConfig};

    let given = |text: &str| {
        Stack::builder(toml(text).unwrap())
            .with_cache(CacheConfig::default())
            .with_compression(CompressionConfig { min_size: 9_999, ..CompressionConfig::default() })
            .with_metrics(MetricsLayer)
    };
    let stack = given("storage = \"memory:\"").build().await.unwrap();
    assert_eq!(stack.names().collect::<Vec<_>>(), ["metrics", "cache", "compression"]);
    let stack =
        given("storage = \"memory:\"\ncache = false\nmetrics = { enabled = false }").build().await.unwrap();
    assert_eq!(stack.names().collect::<Vec<_>>(), ["compression"]);
}
