#![doc = include_str!("../README.md")]

#[cfg(feature = "disk")]
pub mod disk;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "fjall")]
pub mod fjall;
#[cfg(feature = "fs")]
pub mod fs;
#[cfg(feature = "http")]
pub mod http;
#[cfg(any(feature = "disk", feature = "memory", feature = "ordered", feature = "remote"))]
#[cfg_attr(
    not(any(
        feature = "disk",
        feature = "etcd",
        feature = "http",
        feature = "memory",
        feature = "nats",
        feature = "ordered",
        feature = "postgres",
        feature = "redis"
    )),
    allow(dead_code, reason = "not every client listens")
)]
mod inbox;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "object_store")]
pub mod object_store;
#[cfg(any(feature = "disk", feature = "ordered", feature = "memory"))]
mod optimistic;
#[cfg(feature = "ordered")]
pub mod ordered;
#[cfg(feature = "fs")]
mod paths;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "disk", feature = "ordered"))]
mod progress;
#[cfg(any(feature = "fs", feature = "ordered", feature = "remote"))]
pub mod record;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(feature = "redis")]
pub mod redis;
pub mod registry;
#[cfg(feature = "remote")]
#[cfg_attr(
    not(any(feature = "etcd", feature = "nats", feature = "postgres", feature = "redis")),
    allow(dead_code, unused_imports, reason = "not every client needs all of it")
)]
pub mod remote;
#[cfg(feature = "sled")]
pub mod sled;
#[cfg(any(feature = "ordered", feature = "memory"))]
mod spaces;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod url;
#[cfg(any(feature = "disk", feature = "ordered", feature = "memory"))]
mod watchers;
#[cfg(any(feature = "fs", feature = "ordered", feature = "remote"))]
pub mod wire;
