#![doc = include_str!("../README.md")]

#[cfg(feature = "disk")]
pub mod disk;
#[cfg(feature = "fjall")]
pub mod fjall;
#[cfg(feature = "fs")]
pub mod fs;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod in_runtime;
#[cfg(any(feature = "memory", feature = "ordered", feature = "postgres", feature = "redis"))]
mod inbox;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod leaving;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(any(feature = "disk", feature = "ordered", feature = "memory"))]
mod optimistic;
#[cfg(feature = "ordered")]
pub mod ordered;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "disk", feature = "ordered"))]
mod progress;
#[cfg(any(feature = "fs", feature = "ordered", feature = "postgres", feature = "redis"))]
pub mod record;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(feature = "redis")]
pub mod redis;
pub mod registry;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod remote;
#[cfg(feature = "sled")]
pub mod sled;
#[cfg(any(feature = "ordered", feature = "memory"))]
mod spaces;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod url;
#[cfg(any(feature = "ordered", feature = "memory"))]
mod watchers;
