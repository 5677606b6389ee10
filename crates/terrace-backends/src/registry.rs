//! From a URL to an open store: `memory:`, `fs:/path?durability=interval&interval_ms=1000`, `fjall:/path`.
//!
//! A backend is one line in the table, which is where every [`Registry`] begins; a backend of a user's own is one call of
//! [`Registry::register`]. What a scheme's options are, and what they mean, is written in the documentation of its
//! configuration; a scheme or option that nobody knows is an error that names those there are, so that a misspelling is
//! never silently a default.

use std::collections::BTreeMap;
use std::sync::Arc;

use terrace_store::nearest::{did_you_mean, nearest};
use terrace_store::{Clock, Result, Spawn, Store};

use crate::url::{Url, refused};

type Open = fn(Url, Arc<dyn Clock>, Arc<dyn Spawn>) -> Result<Arc<dyn Store>>;

/// What opens the stores of a scheme: given the URL, the time and where background work runs. It takes the options it
/// knows from the URL and ends with [`Url::finish`].
pub type Constructor = dyn Fn(Url, Arc<dyn Clock>, Arc<dyn Spawn>) -> Result<Arc<dyn Store>> + Send + Sync;

/// The table of schemes.
#[rustfmt::skip] // One line a backend.
const SCHEMES: &[(&str, Open)] = &[
    #[cfg(feature = "fs")]
    ("fs", |url, clock, spawn| {
        Ok(Arc::new(crate::fs::FsStore::open(crate::fs::FsConfig::from_url(url)?, clock, spawn)?))
    }),
    #[cfg(feature = "memory")]
    ("memory", |url, clock, _| {
        Ok(Arc::new(crate::memory::MemoryStore::open(crate::memory::MemoryConfig::from_url(url)?, clock)?))
    }),
    #[cfg(feature = "disk")]
    ("disk", |url, clock, spawn| {
        Ok(Arc::new(crate::disk::DiskStore::open(crate::disk::DiskConfig::from_url(url)?, clock, spawn)?))
    }),
    #[cfg(feature = "fjall")]
    ("fjall", |url, clock, spawn| {
        Ok(Arc::new(crate::fjall::FjallStore::open(crate::fjall::FjallConfig::from_url(url)?, clock, spawn)?))
    }),
    #[cfg(feature = "redb")]
    ("redb", |url, clock, spawn| {
        Ok(Arc::new(crate::redb::RedbStore::open(crate::redb::RedbConfig::from_url(url)?, clock, spawn)?))
    }),
    #[cfg(feature = "sled")]
    ("sled", |url, clock, spawn| {
        Ok(Arc::new(crate::sled::SledStore::open(crate::sled::SledConfig::from_url(url)?, clock, spawn)?))
    }),
    #[cfg(feature = "sqlite")]
    ("sqlite", |url, clock, spawn| {
        Ok(Arc::new(crate::sqlite::SqliteStore::open(crate::sqlite::SqliteConfig::from_url(url)?, clock, spawn)?))
    }),
    #[cfg(feature = "etcd")]
    ("etcd", etcd),
    #[cfg(feature = "etcd")]
    ("etcds", etcd),
    #[cfg(feature = "http")]
    ("http", http),
    #[cfg(feature = "http")]
    ("https", http),
    #[cfg(feature = "mysql")]
    ("mysql", mysql),
    #[cfg(feature = "mysql")]
    ("mariadb", mysql),
    #[cfg(feature = "nats")]
    ("nats", nats),
    #[cfg(feature = "nats")]
    ("natss", nats),
    #[cfg(feature = "object_store")]
    ("s3", object_store),
    #[cfg(feature = "object_store")]
    ("object+file", object_store),
    #[cfg(feature = "object_store")]
    ("object+memory", object_store),
    #[cfg(feature = "postgres")]
    ("postgres", postgres),
    #[cfg(feature = "postgres")]
    ("postgresql", postgres),
    #[cfg(feature = "redis")]
    ("redis", redis),
    #[cfg(feature = "redis")]
    ("rediss", redis),
    #[cfg(feature = "redis")]
    ("valkey", redis),
    #[cfg(feature = "redis")]
    ("valkeys", redis),
    #[cfg(feature = "redis")]
    ("redis+unix", redis),
    #[cfg(feature = "redis")]
    ("redis+cluster", redis_cluster),
    #[cfg(feature = "redis")]
    ("rediss+cluster", redis_cluster),
];

/// Whether the URLs of this scheme name a folder or a file on this machine. It makes sense to ask first whether that is
/// there, since opening it would make an empty store of a misspelling.
pub fn is_local(scheme: &str) -> bool {
    matches!(scheme, "disk" | "fjall" | "fs" | "object+file" | "redb" | "sled" | "sqlite")
}

#[cfg(feature = "etcd")]
fn etcd(url: Url, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(crate::etcd::EtcdStore::open(crate::etcd::EtcdConfig::from_url(url)?, clock, spawn)?))
}

#[cfg(feature = "http")]
fn http(url: Url, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(crate::http::HttpStore::open(crate::http::HttpConfig::from_url(url)?, clock, spawn)?))
}

#[cfg(feature = "mysql")]
fn mysql(url: Url, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(crate::mysql::MysqlStore::open(crate::mysql::MysqlConfig::from_url(url)?, clock, spawn)?))
}

#[cfg(feature = "nats")]
fn nats(url: Url, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(crate::nats::NatsStore::open(crate::nats::NatsConfig::from_url(url)?, clock, spawn)?))
}

/// One store, whose scheme says where its objects lie.
#[cfg(feature = "object_store")]
fn object_store(url: Url, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    let config = crate::object_store::ObjectStoreConfig::from_url(url)?;
    Ok(Arc::new(crate::object_store::ObjectStore::open(config, clock, spawn)?))
}

#[cfg(feature = "postgres")]
fn postgres(url: Url, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    let config = crate::postgres::PostgresConfig::from_url(url)?;
    Ok(Arc::new(crate::postgres::PostgresStore::open(config, clock, spawn)?))
}

/// One engine, whose scheme says how to reach it.
#[cfg(feature = "redis")]
fn redis(url: Url, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(crate::redis::RedisStore::open(crate::redis::RedisConfig::from_url(url)?, clock, spawn)?))
}

#[cfg(feature = "redis")]
fn redis_cluster(url: Url, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    let config = crate::redis::RedisClusterConfig::from_url(url)?;
    Ok(Arc::new(crate::redis::RedisClusterStore::open(config, clock, spawn)?))
}

/// Opens the store that a URL names, of those that this build has. May block while it reads what is there.
///
/// # Errors
/// `Config` for a scheme, option or value that is not known; otherwise what the store's own `open` says.
pub fn open(url: &str, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    Registry::default().open(url, clock, spawn)
}

/// The schemes that [`open`] knows in this build.
pub fn schemes() -> impl Iterator<Item = &'static str> {
    SCHEMES.iter().map(|(scheme, _)| *scheme)
}

/// The stores that a URL can name: those of this build, and those that were registered.
#[derive(Clone)]
pub struct Registry {
    schemes: BTreeMap<String, Arc<Constructor>>,
}

impl Default for Registry {
    /// The stores of this build.
    fn default() -> Self {
        let own = |(scheme, open): &(&str, Open)| ((*scheme).to_owned(), Arc::new(*open) as Arc<Constructor>);
        Self { schemes: SCHEMES.iter().map(own).collect() }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.schemes.keys()).finish()
    }
}

impl Registry {
    /// Adds a store of a user's own under a scheme of its own.
    ///
    /// # Errors
    /// `Config` if the scheme is none (letters, digits, `+`, `-` and `.`, a letter first, all in lower case), or taken.
    pub fn register(
        &mut self,
        scheme: impl Into<String>,
        open: impl Fn(Url, Arc<dyn Clock>, Arc<dyn Spawn>) -> Result<Arc<dyn Store>> + Send + Sync + 'static,
    ) -> Result<()> {
        let scheme = scheme.into();
        let begins = scheme.starts_with(|c: char| c.is_ascii_lowercase());
        let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        if !begins || !scheme.chars().all(rest) {
            return Err(refused(format!(
                "`{scheme}` is no scheme: a letter, then letters, digits, `+`, `-` or `.`, all in lower case"
            )));
        }
        if self.knows(&scheme) {
            return Err(refused(format!("the scheme `{scheme}` is taken; register yours under another")));
        }
        self.schemes.insert(scheme, Arc::new(open));
        Ok(())
    }

    /// Whether there is a store of this scheme.
    pub fn knows(&self, scheme: &str) -> bool {
        self.schemes.contains_key(scheme)
    }

    /// The schemes there are, in order.
    pub fn schemes(&self) -> impl Iterator<Item = &str> {
        self.schemes.keys().map(String::as_str)
    }

    /// Opens the store that a URL names. May block while it reads what is there.
    ///
    /// # Errors
    /// `Config` for a scheme, option or value that is not known; otherwise what the store's own `open` says.
    pub fn open(&self, url: &str, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
        let url = Url::parse(url)?;
        match self.schemes.get(url.scheme()) {
            Some(open) => open(url, clock, spawn),
            None => Err(self.unknown(url.scheme())),
        }
    }

    fn unknown(&self, scheme: &str) -> terrace_store::Error {
        let known: Vec<&str> = self.schemes().collect();
        let near = did_you_mean(nearest(scheme, known.iter().copied()));
        refused(format!("there is no store `{scheme}:` in this build; there are: {}{near}", known.join(", ")))
    }
}
