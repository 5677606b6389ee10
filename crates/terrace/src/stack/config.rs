//! What a stack is made of: the one model that files, environment and overrides fill.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use terrace_layers::access::Rule;
use terrace_layers::{
    BloomConfig, CacheConfig, ChaosConfig, CircuitBreakerConfig, ConcurrencyLimitConfig, HedgeConfig,
    RetryConfig, ThrottleConfig, TimeoutConfig, TracingConfig,
};
use terrace_store::Result;

use super::layers::{
    self, AuditOptions, CompressionOptions, EncryptionOptions, Plain, access, audit, bloom, cache, chaos,
    circuit_breaker, compression, concurrency_limit, encryption, hedge, plain, retry, throttle, timeout,
    tracing,
};
use super::registry::{Options, Registry};
use super::section::Setting;
use super::source::Sources;
use super::storage::Storage;

/// A stack of a store and layers, and what a cache over it is to be. Every key is described in `docs/stacks.md`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StackConfig {
    /// The store at the bottom.
    pub storage: Option<Storage>,

    /// Spans of calls.
    #[serde(deserialize_with = "tracing::read")]
    pub tracing: Setting<TracingConfig>,
    /// Counts of calls.
    #[serde(deserialize_with = "plain::read")]
    pub metrics: Setting<Plain>,
    /// Records of calls.
    #[serde(deserialize_with = "audit::read")]
    pub audit: Setting<AuditOptions>,
    /// Who may do what.
    #[serde(deserialize_with = "access::read")]
    pub access: Setting<Vec<Rule>>,
    /// No writes.
    #[serde(deserialize_with = "plain::read")]
    pub read_only: Setting<Plain>,
    /// The part of the store that is shown, the outer one first.
    #[serde(deserialize_with = "layers::namespaces")]
    pub namespace: Vec<String>,
    /// Encoded entries in memory.
    #[serde(deserialize_with = "cache::read")]
    pub cache: Setting<CacheConfig>,
    /// What is certainly not there is not asked for.
    #[serde(deserialize_with = "bloom::read")]
    pub bloom: Setting<BloomConfig>,
    /// Smaller values.
    #[serde(deserialize_with = "compression::read")]
    pub compression: Setting<CompressionOptions>,
    /// Sealed values.
    #[serde(deserialize_with = "encryption::read")]
    pub encryption: Setting<EncryptionOptions>,
    /// Checked values.
    #[serde(deserialize_with = "plain::read")]
    pub checksum: Setting<Plain>,
    /// Repeated calls.
    #[serde(deserialize_with = "retry::read")]
    pub retry: Setting<RetryConfig>,
    /// Reads that are asked twice.
    #[serde(deserialize_with = "hedge::read")]
    pub hedge: Setting<HedgeConfig>,
    /// So many calls at a time.
    #[serde(deserialize_with = "concurrency_limit::read")]
    pub concurrency_limit: Setting<ConcurrencyLimitConfig>,
    /// So many calls a second.
    #[serde(deserialize_with = "throttle::read")]
    pub throttle: Setting<ThrottleConfig>,
    /// A failing store is left alone.
    #[serde(deserialize_with = "circuit_breaker::read")]
    pub circuit_breaker: Setting<CircuitBreakerConfig>,
    /// Calls end in time.
    #[serde(deserialize_with = "timeout::read")]
    pub timeout: Setting<TimeoutConfig>,
    /// Misbehaviour by chance.
    #[serde(deserialize_with = "chaos::read")]
    pub chaos: Setting<ChaosConfig>,

    /// How many entries the hot tier of a cache over the stack holds.
    pub l1_capacity: Option<u64>,
    /// How many entries the layer `cache` holds; 0 for no such layer.
    pub l2_capacity: Option<u64>,
    /// How long what is put into a cache over the stack lives, unless the put says.
    pub ttl_seconds: Option<u64>,
    /// Bits of the bloom filter, all together.
    pub bloom_bits: Option<u64>,
    /// How many keys the bloom filter is made for.
    pub bloom_expected: Option<u64>,
    /// In how many shards it stands.
    pub bloom_shards: Option<u32>,
    /// How many connections to a Redis server share the work.
    pub redis_pool_size: Option<u32>,
    /// How long a command to a Redis server may take, in seconds.
    pub redis_command_timeout_secs: Option<u64>,
    /// Whether entries are kept in sled, in [`StackConfig::sled_path`].
    pub use_sled: bool,
    /// The folder of the sled store.
    pub sled_path: Option<PathBuf>,
    /// How often sled writes down by itself what it gathered, in milliseconds; 0 is never.
    pub sled_flush_ms: Option<u64>,
    /// How much memory sled's pages may take, in bytes.
    pub sled_cache_bytes: Option<u64>,
    /// A store of several machines.
    pub distributed: Option<Distributed>,

    /// Sections of layers that were registered, by their names.
    #[serde(skip)]
    pub own: BTreeMap<String, Options>,
}

/// How values are spread over several machines. It is checked, and acts once there is a tier that several machines share:
/// until then the builder warns.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Distributed {
    /// Whether they are.
    pub enabled: bool,
    /// On how many machines each value lies.
    #[serde(default = "one")]
    pub replication_factor: u32,
    /// What a read promises.
    #[serde(default)]
    pub consistency_level: ConsistencyLevel,
}

fn one() -> u32 {
    1
}

/// How many of the machines that hold a value answer for it, or what is promised.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ConsistencyLevel {
    /// One of them.
    One,
    /// More than half.
    Quorum,
    /// All.
    All,
    /// Whatever is current within a bound.
    #[default]
    Eventual,
    /// One's own writes are read.
    Session,
    /// No older version once a write was acknowledged.
    Strong,
    /// The same without an assumption about clocks.
    Linearizable,
}

impl Distributed {
    /// What is wrong with it.
    pub(super) fn check(&self) -> std::result::Result<(), &'static str> {
        match (self.replication_factor, self.consistency_level) {
            (0, _) => Err("replication_factor is at least 1"),
            (17.., _) => Err("replication_factor is at most 16"),
            (1..3, ConsistencyLevel::Quorum) => Err(
                "consistency_level `quorum` needs a replication_factor of at least 3: more than half of 2 are all",
            ),
            _ => Ok(()),
        }
    }
}

impl StackConfig {
    /// What a file says, by its extension TOML or YAML, and over it the environment variables that begin with
    /// [`ENVIRONMENT`](super::ENVIRONMENT).
    ///
    /// # Errors
    /// `Config` with the file or variable, the path of the key, and what would be right; what reading the file says.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let mut sources = Sources::new(&Registry::default());
        sources.file(path)?.process_environment()?;
        sources.finish()
    }

    /// What a text in TOML says.
    ///
    /// # Errors
    /// As [`StackConfig::from_file`].
    pub fn from_toml(text: &str) -> Result<Self> {
        let mut sources = Sources::new(&Registry::default());
        sources.toml("configuration", text)?;
        sources.finish()
    }

    /// What a text in YAML says.
    ///
    /// # Errors
    /// As [`StackConfig::from_file`].
    #[cfg(feature = "yaml")]
    pub fn from_yaml(text: &str) -> Result<Self> {
        let mut sources = Sources::new(&Registry::default());
        sources.yaml("configuration", text)?;
        sources.finish()
    }
}
