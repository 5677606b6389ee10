#![doc = include_str!("../README.md")]

mod budget;
mod config;
mod entry;
pub mod eviction;
mod hash;
mod memory;
mod read;
mod shard;
mod slab;
mod stats;
mod sweep;
pub mod warm;
mod wheel;
mod write;

pub use config::{Config, ENTRY_OVERHEAD};
pub use entry::{Cause, Decision, Evicted, Inserted, Meta, Options, Outcome, Upserted};
pub use hash::{RandomHash, RandomHasher};
pub use memory::Memory;
pub use stats::Stats;
pub use wheel::Lifetime;
