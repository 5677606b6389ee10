//! What each layer costs: nanoseconds of a get and a put beside the bare store in the same run, and bytes stored for a value
//! of a kilobyte of JSON; and what an operation of the filter costs, with one thread and with two.
//!
//! `cargo run --release -p terrace-layers --example layer_cost`; of several rounds, taken in turns, the least counts.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use terrace_backends::memory::{MemoryConfig, MemoryStore};
use terrace_envelope::Compression as Algorithm;
use terrace_envelope::codec::Aim;
use terrace_envelope::crypt::{Algorithm as Crypt, Key as Master, Keyring, Secret};
use terrace_layers::bloom::Filter;
use terrace_layers::compression::Choice;
use terrace_layers::stack::{
    AccessLayer, ChecksumLayer, EncryptionLayer, MetricsLayer, NamespaceLayer, ReadOnlyLayer,
};
use terrace_layers::{
    AuditConfig, BloomConfig, CacheConfig, ChaosConfig, CircuitBreakerConfig, CompressionConfig,
    ConcurrencyLimitConfig, EncryptionConfig, HedgeConfig, RetryConfig, Stack, ThrottleConfig, TimeoutConfig,
    TracingConfig, World,
};
use terrace_store::capability::Iterate;
use terrace_store::rng::SplitMix;
use terrace_store::{
    BoxFuture, Clock, Entry, Key, Namespace, PutOptions, Result, Rng, Spawn, Store, block_on,
};

const ROUNDS: usize = 9;
const KEYS: usize = 512;
const VALUE: usize = 1_024;

/// The clock of the operating system; nothing here sleeps.
struct SystemClock(Instant);

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wall_ms(&self) -> u64 {
        1_700_000_000_000
    }

    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

struct NoTasks;

impl Spawn for NoTasks {
    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) {
        drop(future);
    }

    fn spawn_blocking(&self, _name: &'static str, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn may_block(&self) -> bool {
        true
    }
}

fn world() -> World {
    let clock = Arc::new(SystemClock(Instant::now()));
    World::new(clock, Arc::new(SplitMix::seeded(1)), Arc::new(NoTasks))
}

fn memory() -> Result<Arc<MemoryStore>> {
    let clock = Arc::new(SystemClock(Instant::now()));
    Ok(Arc::new(MemoryStore::open(MemoryConfig::default(), clock)?))
}

fn json(n: usize, length: usize) -> Vec<u8> {
    let mut text = String::new();
    let mut line = n;
    while text.len() < length {
        text.push_str(&format!(
            "{{\"id\":{line},\"name\":\"user-{}\",\"city\":\"Springfield\",\"score\":{}}},",
            line * 7,
            line % 97
        ));
        line = line.wrapping_mul(31).wrapping_add(17) % 1_000_003;
    }
    text.truncate(length);
    text.into_bytes()
}

fn keys() -> Vec<Key> {
    (0..KEYS).filter_map(|n| Key::new("orders", format!("order:{n}")).ok()).collect()
}

/// So many calls are timed together: short enough that most are not interrupted, long enough for the clock.
const CHUNK: usize = 256;

/// Nanoseconds for each of so many calls: of the tenth part of chunks that took least, the one that took longest, so that
/// what else the machine does counts little.
fn time(times: usize, mut call: impl FnMut(usize)) -> f64 {
    let mut chunks: Vec<u64> = (0..times / CHUNK)
        .map(|chunk| {
            let began = Instant::now();
            (chunk * CHUNK..(chunk + 1) * CHUNK).for_each(&mut call);
            began.elapsed().as_nanos() as u64
        })
        .collect();
    chunks.sort_unstable();
    chunks.get(chunks.len() / 10).map_or(0.0, |ns| *ns as f64 / CHUNK as f64)
}

fn fill(store: &dyn Store, keys: &[Key]) -> Result<()> {
    for (n, key) in keys.iter().enumerate() {
        let _ = block_on(store.put(key, Entry::new(json(n, VALUE)), PutOptions::default()))?;
    }
    Ok(())
}

fn get(store: &dyn Store, keys: &[Key]) -> f64 {
    time(KEYS * 20, |n| {
        let _ = black_box(block_on(store.get(&keys[n * 7 % KEYS])));
    })
}

fn put(store: &dyn Store, keys: &[Key], entry: &Entry) -> f64 {
    time(KEYS * 10, |n| {
        let put = store.put(&keys[n * 7 % KEYS], entry.clone(), PutOptions::default());
        let _ = black_box(block_on(put));
    })
}

fn layer(name: &str, make: impl Fn(Arc<dyn Store>) -> Result<Stack>) -> Result<()> {
    let keys = keys();
    let (bare, beneath) = (memory()?, memory()?);
    fill(&*bare, &keys)?;
    let read_only = name == "read_only";
    if read_only {
        fill(&*beneath, &keys)?;
    }
    let stack = make(beneath.clone())?;
    if !read_only {
        fill(&**stack.store(), &keys)?;
    }
    let stored = stored(&beneath)? as f64 / KEYS as f64;
    let entry = Entry::new(json(3, VALUE));
    let mut least = [f64::MAX; 4];
    for _ in 0..ROUNDS {
        let round = [
            get(&*bare, &keys),
            get(&**stack.store(), &keys),
            put(&*bare, &keys, &entry),
            put(&**stack.store(), &keys, &entry),
        ];
        least.iter_mut().zip(round).for_each(|(least, found)| *least = least.min(found));
    }
    let [get, layered_get, put, layered_put] = least;
    println!(
        "{name:<24} get {layered_get:>8.0} ({:>+8.0})   put {layered_put:>8.0} ({:>+8.0})   stored {stored:>6.0}",
        layered_get - get,
        layered_put - put
    );
    Ok(())
}

fn stored(store: &MemoryStore) -> Result<u64> {
    let mut bytes = 0;
    for namespace in block_on(store.namespaces())? {
        bytes += block_on(Iterate::bytes(store, &namespace))?;
    }
    Ok(bytes)
}

fn layers() -> Result<()> {
    println!("ns a call (beside the bare store), bytes of key and value stored for a kilobyte of JSON");
    macro_rules! each {
        ($($name:literal $layer:expr;)*) => {
            $(layer($name, |inner| block_on(Stack::over(inner).with($layer).build(&world())))?;)*
        };
    }
    let keyring = |id, algorithm| Keyring::new(Master::new(id, algorithm, Secret::new(&[7; 32])));
    let compression = |choice| CompressionConfig { choice, min_size: 64 };
    let sealed = |id, algorithm| EncryptionLayer {
        keyring: keyring(id, algorithm),
        config: EncryptionConfig::default(),
    };
    let rule = terrace_layers::access::Rule::grant(
        terrace_layers::access::Who::Everybody,
        terrace_layers::access::Scope::All,
        terrace_layers::access::Rights::ALL,
    );
    let log = memory()?;
    let audit = || AuditConfig { log: log.clone(), namespace: Namespace::root(), reads: false, key: None };
    each! {
        "tracing, nobody listens" TracingConfig::default();
        "metrics" MetricsLayer;
        "audit" audit();
        "access" AccessLayer(vec![rule.clone()]);
        "read_only" ReadOnlyLayer;
        "namespace" NamespaceLayer("tenant".into());
        "cache" CacheConfig::default();
        "bloom" BloomConfig { sole_writer: true, ..BloomConfig::default() };
        "compression, lz4" compression(Choice::Fixed(Algorithm::Lz4));
        "compression, zstd" compression(Choice::Fixed(Algorithm::Zstd));
        "compression, balanced" compression(Choice::Adaptive(Aim::Balanced));
        "encryption, xchacha20" sealed(1, Crypt::XChaCha20Poly1305);
        "encryption, aes-gcm-siv" sealed(2, Crypt::Aes256GcmSiv);
        "checksum" ChecksumLayer;
        "retry" RetryConfig::default();
        "hedge" HedgeConfig::default();
        "concurrency_limit" ConcurrencyLimitConfig::default();
        "throttle" ThrottleConfig::default();
        "circuit_breaker" CircuitBreakerConfig::default();
        "timeout" TimeoutConfig::default();
        "chaos" ChaosConfig::default();
    }
    Ok(())
}

fn bloom() {
    println!("\nbloom filter, a million keys, 10.5 bits each; ns an operation on hashes");
    const COUNT: usize = 1_000_000;
    let rng = SplitMix::seeded(3);
    let [present, absent] = [(); 2].map(|()| (0..COUNT).map(|_| rng.next_u64()).collect::<Vec<_>>());
    let mut least = [f64::MAX; 4];
    let mut filter = Filter::new(COUNT as u64, 10.5);
    for _ in 0..ROUNDS {
        filter = Filter::new(COUNT as u64, 10.5);
        let insert = time(COUNT, |n| {
            filter.insert(present[n]);
        });
        let hit = time(COUNT, |n| {
            black_box(filter.contains(present[n]));
        });
        let miss = time(COUNT, |n| {
            black_box(filter.contains(absent[n]));
        });
        let two = Filter::new(COUNT as u64, 10.5);
        let both = std::thread::scope(|scope| {
            let halves = present.chunks(COUNT / 2).map(|half| {
                let (two, absent) = (&two, &absent);
                scope.spawn(move || {
                    time(half.len(), |n| {
                        two.insert(half[n]);
                        black_box(two.contains(absent[n]));
                    })
                })
            });
            let halves: Vec<_> = halves.collect();
            halves.into_iter().filter_map(|half| half.join().ok()).fold(0.0, f64::max) / 2.0
        });
        least.iter_mut().zip([insert, hit, miss, both]).for_each(|(least, found)| *least = least.min(found));
    }
    let wrong = absent.iter().filter(|hash| filter.contains(**hash)).count();
    let [insert, hit, miss, both] = least;
    println!(
        "insert {insert:.1}, present {hit:.1}, absent {miss:.1}; two threads, each insert and query: {:.1} an operation",
        both
    );
    println!(
        "measured rate {:.3} % (said {:.3} %), {:.2} bits a key",
        wrong as f64 * 100.0 / COUNT as f64,
        filter.false_positive_rate() * 100.0,
        filter.bytes() as f64 * 8.0 / COUNT as f64
    );
}

fn main() -> Result<()> {
    bloom();
    layers()?;
    Ok(())
}
