//! Every layer by its name, with every option it has.

use terrace::layers::access::{Rights, Rule, Scope, Who};
use terrace::layers::cache::{CachePolicy, Capacity};
use terrace::stack::Setting;
use terrace::store::{Identity, Namespace};

use super::*;

/// Every section with every option, none as it is by default.
const ALL: &str = r#"
storage = "memory:"
tracing = { keys = true }
metrics = true
read_only = false
namespace = ["outer", "inner"]
cache = { type = "arc", max_bytes = "1mib", max_age = "none", longest = "10k" }
bloom = { expected = 5000, bits_per_key = 12.0, shards = 2, sole_writer = true, keep = true }
compression = { algorithm = "adaptive", aim = "space", min_size = 64 }
checksum = { enabled = true }
retry = { attempts = 5, base = "1ms", cap = "2s", budget = 7, successes_per_retry = 3 }
hedge = { delay = "20ms", least_delay = "2ms", percent = 9 }
concurrency_limit = { places = 8, queue = 9, max_wait = "3s" }
throttle = { calls_per_second = 100000, bytes_per_second = "64mib", burst = "2s", max_wait = "4s" }
timeout = { read = "3s", write = "4s", upkeep = "50s" }
chaos = { fail_ppm = 0, lose_answer_ppm = 0, delay_ppm = 1, max_delay = "1ms", hang_ppm = 0, turn_bit_ppm = 0 }

[circuit_breaker]
max_failures = 9
failure_rate = 0.75
min_calls = 30
window = "20s"
retry_interval = "7s"
probes = 2
successes_to_close = 4
hang_after = "6s"

[access]
rules = [
    { name = "ada", rights = ["read", "write", "list"] },
    { group = "readers", namespace = "n", prefix = "p", rights = ["read"] },
    { everybody = true, path = "public", rights = ["list"] },
]
"#;

#[test]
fn every_option_arrives() {
    use std::time::Duration;
    let ms = Duration::from_millis;
    let config = toml(ALL).unwrap();
    macro_rules! on {
        ($name:ident) => {
            match config.$name.clone() {
                Setting::On(on) => on,
                other => panic!("{}: {other:?}", stringify!($name)),
            }
        };
    }
    assert!(on!(tracing).keys);
    assert_eq!(config.namespace, ["outer", "inner"]);
    let cache = on!(cache);
    assert_eq!((cache.policy, cache.capacity), (CachePolicy::Arc, Capacity::Bytes(1 << 20)));
    assert_eq!((cache.max_age, cache.longest), (None, 10 << 10));
    let bloom = on!(bloom);
    assert_eq!((bloom.expected, bloom.bits_per_key, bloom.shards), (5_000, 12.0, Some(2)));
    assert!(bloom.sole_writer && bloom.keep);
    assert_eq!(on!(compression).min_size, 64);
    let retry = on!(retry);
    assert_eq!((retry.attempts, retry.base, retry.cap), (5, ms(1), ms(2_000)));
    assert_eq!((retry.budget, retry.successes_per_retry), (7, 3));
    let hedge = on!(hedge);
    assert_eq!((hedge.delay, hedge.least_delay, hedge.percent), (Some(ms(20)), ms(2), 9));
    let limit = on!(concurrency_limit);
    assert_eq!((limit.places, limit.queue, limit.max_wait), (8, 9, ms(3_000)));
    let throttle = on!(throttle);
    assert_eq!((throttle.calls_per_second, throttle.bytes_per_second), (Some(100_000), Some(64 << 20)));
    assert_eq!((throttle.burst, throttle.max_wait), (ms(2_000), ms(4_000)));
    let breaker = on!(circuit_breaker);
    assert_eq!((breaker.max_failures, breaker.failure_rate, breaker.min_calls), (9, 0.75, 30));
    assert_eq!(
        (breaker.window, breaker.retry_interval, breaker.hang_after),
        (ms(20_000), ms(7_000), ms(6_000))
    );
    assert_eq!((breaker.probes, breaker.successes_to_close), (2, 4));
    let timeout = on!(timeout);
    assert_eq!((timeout.read, timeout.write, timeout.upkeep), (ms(3_000), ms(4_000), ms(50_000)));
    let chaos = on!(chaos);
    assert_eq!((chaos.delay_ppm, chaos.max_delay), (1, ms(1)));
    let n = Namespace::new("n").unwrap();
    assert_eq!(
        on!(access),
        [
            Rule::grant(Who::Name("ada".into()), Scope::All, Rights::ALL),
            Rule::grant(
                Who::Group("readers".into()),
                Scope::Prefix(n, "p".into()),
                Rights { read: true, ..Rights::default() }
            ),
            Rule::grant(
                Who::Everybody,
                Scope::Group("public".into()),
                Rights { list: true, ..Rights::default() }
            ),
        ]
    );
    assert!(matches!(config.read_only, Setting::Off));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_layers_stand_in_their_order_and_work() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("key");
    std::fs::write(&place, (0..32).map(|n: u8| n.wrapping_mul(37) ^ 5).collect::<Vec<_>>()).unwrap();
    std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (key_file, log) = (place.display(), folder.path().join("log"));
    let text = format!(
        "encryption = {{ algorithm = \"xchacha20-poly1305\", key = \"2=file:{key_file}\", old_keys = [\"1=file:{key_file}\"], \
         bind_versions = false, allow_plain = true }}\n\
         audit = {{ log = \"fs:{}\", namespace = \"who\", reads = true, key = \"file:{key_file}\" }}\n{ALL}",
        log.display()
    );
    let stack = build(&text).await.unwrap();
    let mut expected: Vec<&str> =
        terrace::layers::stack::order::ORDER.iter().map(|(name, _)| *name).collect();
    expected.retain(|name| *name != "read_only");
    let at = expected.iter().position(|name| *name == "namespace").unwrap();
    expected.insert(at, "namespace");
    assert_eq!(stack.names().collect::<Vec<_>>(), expected);
    let nobody = stack.store().get(&key("k")).await.unwrap_err();
    assert_eq!(nobody.kind(), terrace::ErrorKind::Denied);
    let ada = Identity::new("ada", [""; 0]);
    ada.scope(async {
        write(stack.store(), "k", "a value that repeats itself ".repeat(50)).await;
        assert_eq!(read(stack.store(), "k").await.unwrap().value.len(), 1_400);
    })
    .await;
    stack.close().await.unwrap();
    assert!(log.read_dir().unwrap().count() > 0, "the log lies in its own store");
}

#[tokio::test]
async fn a_layer_is_switched_on_by_a_word_and_off_by_one() {
    for (text, there) in [
        ("", false),
        ("checksum = true", true),
        ("checksum = false", false),
        ("checksum = {}", true),
        ("checksum = { enabled = false }", false),
        ("[checksum]\nenabled = true", true),
    ] {
        let stack = build(&format!("storage = \"memory:\"\n{text}")).await.unwrap();
        assert_eq!(stack.names().any(|name| name == "checksum"), there, "{text}");
    }
    let stack = build("storage = \"memory:\"\nread_only = true").await.unwrap();
    assert!(stack.store().put_with(&key("k"), "v").await.is_err());
}
