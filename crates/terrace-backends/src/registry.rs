//! From a URL to an open store: `memory:`, `fs:/path?durability=interval&interval_ms=1000`, `fjall:/path`.
//!
//! A backend is one line in the table. What a scheme's options are, and what they mean, is written in the
//! documentation of its configuration; a scheme or option that nobody knows is an error that names those there
//! are, so that a misspelling is never silently a default.

use std::sync::Arc;

use terrace_store::{Clock, Result, Spawn, Store};

use crate::url::{Url, refused};

type Open = fn(Url, Arc<dyn Clock>, Arc<dyn Spawn>) -> Result<Arc<dyn Store>>;

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
    #[cfg(feature = "mysql")]
    ("mysql", mysql),
    #[cfg(feature = "mysql")]
    ("mariadb", mysql),
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
];

#[cfg(feature = "etcd")]
fn etcd(url: Url, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(crate::etcd::EtcdStore::open(crate::etcd::EtcdConfig::from_url(url)?, clock, spawn)?))
}

#[cfg(feature = "mysql")]
fn mysql(url: Url, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(crate::mysql::MysqlStore::open(crate::mysql::MysqlConfig::from_url(url)?, clock, spawn)?))
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

/// Opens the store that a URL names. May block while it reads what is there.
///
/// # Errors
/// `Config` for a scheme, option or value that is not known; otherwise what the store's own `open` says.
pub fn open(url: &str, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Arc<dyn Store>> {
    let url = Url::parse(url)?;
    let Some((_, open)) = SCHEMES.iter().find(|(scheme, _)| *scheme == url.scheme()) else {
        let known: Vec<&str> = schemes().collect();
        return Err(refused(format!(
            "there is no store `{}:` in this build; there are: {}",
            url.scheme(),
            known.join(", ")
        )));
    };
    open(url, clock, spawn)
}

/// The schemes that [`open`] knows in this build.
pub fn schemes() -> impl Iterator<Item = &'static str> {
    SCHEMES.iter().map(|(scheme, _)| *scheme)
}
