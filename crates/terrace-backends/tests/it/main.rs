//! Every backend against the contract, and each against its own promises.

#[cfg(feature = "disk")]
mod disk;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "fjall")]
mod fjall_damage;
#[cfg(feature = "fs")]
mod fs;
#[cfg(feature = "fs")]
mod fs_paths;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "memory")]
mod memory;
#[cfg(all(feature = "disk", feature = "fjall"))]
mod migrate;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "object_store")]
mod object_store;
#[cfg(any(feature = "fjall", feature = "redb", feature = "sled", feature = "sqlite"))]
mod ordered;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "etcd", feature = "mysql", feature = "nats", feature = "object_store"))]
mod process;
#[cfg(any(feature = "etcd", feature = "mysql", feature = "nats", feature = "object_store"))]
mod proxy;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "redis")]
mod redis;
#[cfg(all(feature = "fjall", feature = "memory"))]
mod registry;
#[cfg(any(
    feature = "etcd",
    feature = "mysql",
    feature = "nats",
    feature = "object_store",
    feature = "postgres",
    feature = "redis"
))]
#[cfg_attr(
    not(any(feature = "etcd", feature = "mysql", feature = "nats", feature = "object_store")),
    allow(dead_code, reason = "not every store is put through all of it")
)]
mod remote;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "etcd", feature = "mysql", feature = "nats", feature = "postgres", feature = "redis"))]
mod tls;
