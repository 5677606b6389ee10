#![doc = include_str!("../README.md")]

#[cfg(feature = "disk")]
pub mod disk;
#[cfg(feature = "fjall")]
pub mod fjall;
#[cfg(feature = "fs")]
pub mod fs;
#[cfg(any(feature = "ordered", feature = "memory"))]
mod inbox;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(any(feature = "disk", feature = "ordered", feature = "memory"))]
mod optimistic;
#[cfg(feature = "ordered")]
pub mod ordered;
#[cfg(any(feature = "disk", feature = "ordered"))]
mod progress;
#[cfg(any(feature = "ordered", feature = "fs"))]
pub mod record;
#[cfg(feature = "redb")]
pub mod redb;
pub mod registry;
#[cfg(feature = "sled")]
pub mod sled;
#[cfg(any(feature = "ordered", feature = "memory"))]
mod spaces;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg_attr(
    not(any(
        feature = "disk",
        feature = "fjall",
        feature = "fs",
        feature = "memory",
        feature = "redb",
        feature = "sled",
        feature = "sqlite"
    )),
    allow(dead_code, reason = "without a backend nobody has options")
)]
mod url;
#[cfg(any(feature = "ordered", feature = "memory"))]
mod watchers;
