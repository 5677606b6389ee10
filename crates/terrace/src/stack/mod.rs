//! A stack: a store with layers over it, from a configuration.
//!
//! ```
//! use terrace::stack::{Stack, StackConfig};
//! use terrace::store::{Key, StoreExt};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # #[cfg(feature = "memory")] {
//! let config = StackConfig::from_toml(r#"
//!     storage = "memory:"
//!     cache = { type = "lru", max_entries = 10_000, ttl_seconds = 300 }
//!     compression = { algorithm = "lz4", min_size = 1024 }
//!     checksum = true
//! "#)?;
//! let stack = Stack::builder(config).build().await?;
//! assert_eq!(stack.names().collect::<Vec<_>>(), ["cache", "compression", "checksum"]);
//! let key = Key::new("orders", "7")?;
//! stack.store().put_with(&key, "tea").await?;
//! # assert_eq!(stack.store().get(&key).await?.unwrap().value, "tea");
//! # stack.close().await?;
//! # }
//! # Ok::<(), terrace::Error>(())
//! # }).unwrap();
//! ```
//!
//! Every key is described in `docs/stacks.md`. A store, layer or codec of one's own is added to a [`Registry`] and then
//! stands in a configuration under its own name.

mod aliases;
mod builder;
mod config;
mod layers;
mod registry;
mod section;
mod source;
mod storage;
mod units;
mod value;

use std::sync::Arc;
use std::time::Duration;

use terrace_layers::Stack as Layers;
use terrace_store::{Result, Store};
use terrace_tiers::{Tier, WriteMode};

pub use self::builder::StackBuilder;
pub use self::config::{ConsistencyLevel, Distributed, StackConfig};
pub use self::layers::{AuditOptions, CompressionOptions, EncryptionOptions, Plain};
pub use self::registry::{Options, Registry};
pub use self::section::Setting;
pub use self::source::{ENVIRONMENT, Sources};
pub use self::storage::Storage;
use crate::builder::Builder;
use crate::cache::Cache;
use crate::codec::Storable;
use crate::runtime::Owned;
use crate::slot::Mixed;

/// A store with its layers, as a configuration asked for it.
pub struct Stack {
    layers: Layers,
    /// Which tier of a cache the stack is.
    tier: Tier,
    cold: Option<Arc<dyn Store>>,
    /// Stores that layers need besides, such as that of the audit log.
    beside: Vec<Arc<dyn Store>>,
    hot_entries: Option<u64>,
    ttl: Option<Duration>,
    warnings: Vec<String>,
    _owned: Option<Owned>,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.layers.fmt(f)
    }
}

impl Stack {
    /// Begins to build what the configuration asks for.
    pub fn builder(config: StackConfig) -> StackBuilder {
        StackBuilder::new(config)
    }

    /// The store with all its layers.
    pub fn store(&self) -> &Arc<dyn Store> {
        self.layers.store()
    }

    /// The names of the layers, the topmost first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layers.names()
    }

    /// The topmost layer of this type, to look at and to change: `stack.layer::<terrace::layers::Bloom>()`.
    pub fn layer<S: Store>(&self) -> Option<Arc<S>> {
        self.layers.layer()
    }

    /// The store in sled that stands beside the stack as the disk tier of a cache over it, if `use_sled` asks for one and
    /// the storage is another.
    pub fn cold(&self) -> Option<&Arc<dyn Store>> {
        self.cold.as_ref()
    }

    /// What the configuration asks for and this stack does not do, in words.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// A cache over the stack whose values have one type, with the hot tier of `l1_capacity` and the lifetime of
    /// `ttl_seconds`. Closing the cache closes the stack's stores, but for that of an audit log: close the stack.
    pub fn cache<V: Storable>(&self, name: impl Into<String>) -> Builder<String, V> {
        let builder = Cache::<String, V>::builder(name);
        let builder = builder.store(self.tier, Arc::clone(self.store()), WriteMode::Through);
        let builder = match &self.cold {
            Some(cold) => builder.store(Tier::Cold, Arc::clone(cold), WriteMode::Through),
            None => builder,
        };
        self.set(builder)
    }

    /// The same for values of many types.
    pub fn mixed_cache(&self, name: impl Into<String>) -> Builder<String, Mixed> {
        let builder = Cache::<String>::builder(name);
        let builder = builder.store(self.tier, Arc::clone(self.store()), WriteMode::Through);
        let builder = match &self.cold {
            Some(cold) => builder.store(Tier::Cold, Arc::clone(cold), WriteMode::Through),
            None => builder,
        };
        self.set(builder)
    }

    fn set<V: crate::slot::Slot>(&self, builder: Builder<String, V>) -> Builder<String, V> {
        let builder = match self.hot_entries {
            Some(entries) => builder.hot_entries(entries),
            None => builder,
        };
        match self.ttl {
            Some(ttl) => builder.ttl(ttl),
            None => builder,
        }
    }

    /// Closes the stack and all its stores.
    ///
    /// # Errors
    /// The first error of a store; all are closed all the same.
    pub async fn close(&self) -> Result<()> {
        let mut result = self.store().close().await;
        for store in self.cold.iter().chain(&self.beside) {
            result = result.and(store.close().await);
        }
        result
    }
}
