#![doc = include_str!("../README.md")]

#[cfg(feature = "disk")]
pub mod disk;
#[cfg(feature = "fjall")]
pub mod fjall;
#[cfg(feature = "fs")]
pub mod fs;
#[cfg(any(feature = "memory", feature = "redis"))]
mod inbox;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(any(feature = "disk", feature = "fjall", feature = "memory"))]
mod optimistic;
#[cfg(any(feature = "disk", feature = "fjall"))]
mod progress;
#[cfg(any(feature = "fjall", feature = "fs", feature = "redis"))]
pub mod record;
#[cfg(feature = "redis")]
pub mod redis;
pub mod registry;
#[cfg(any(feature = "fjall", feature = "memory"))]
mod spaces;
#[cfg_attr(
    not(any(feature = "disk", feature = "fjall", feature = "fs", feature = "memory", feature = "redis")),
    allow(dead_code, reason = "without a backend nobody has options")
)]
mod url;
