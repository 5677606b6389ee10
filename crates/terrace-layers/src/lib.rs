#![doc = include_str!("../README.md")]

pub mod access;
pub mod answer;
pub mod audit;
pub mod bloom;
#[cfg(feature = "cache")]
pub mod cache;
pub mod call;
pub mod chain;
pub mod chaos;
pub mod checksum;
pub mod circuit_breaker;
#[cfg(feature = "compression")]
pub mod compression;
pub mod concurrency_limit;
pub mod copy;
#[cfg(feature = "encryption")]
pub mod encryption;
pub mod guard;
pub mod hedge;
pub mod metrics;
pub mod namespace;
mod pace;
pub mod read_only;
pub mod retry;
pub mod stack;
mod stripes;
pub mod switch;
pub mod tee;
pub mod throttle;
pub mod timeout;
#[cfg(feature = "tracing")]
pub mod tracing;
pub mod transform;
mod turns;
pub mod world;

pub use self::metrics::Metrics;
#[cfg(feature = "tracing")]
pub use self::tracing::{Tracing, TracingConfig};
pub use access::Access;
pub use audit::{Audit, AuditConfig};
pub use bloom::{Bloom, BloomConfig};
#[cfg(feature = "cache")]
pub use cache::{Cache, CacheConfig};
pub use chain::Chain;
pub use chaos::{Chaos, ChaosConfig};
pub use checksum::Checksum;
pub use circuit_breaker::{CircuitBreaker, CircuitBreakerConfig};
#[cfg(feature = "compression")]
pub use compression::{Compression, CompressionConfig};
pub use concurrency_limit::{ConcurrencyLimit, ConcurrencyLimitConfig};
#[cfg(feature = "encryption")]
pub use encryption::{Encryption, EncryptionConfig};
pub use hedge::{Hedge, HedgeConfig};
pub use namespace::Namespaced;
pub use read_only::ReadOnly;
pub use retry::{Retry, RetryConfig};
#[cfg(feature = "encryption")]
pub use stack::EncryptionLayer;
pub use stack::{Layer, Layered, Stack};
pub use switch::Switch;
pub use tee::Tee;
pub use throttle::{Throttle, ThrottleConfig};
pub use timeout::{Timeout, TimeoutConfig};
pub use world::World;
