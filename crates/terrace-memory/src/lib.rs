#![doc = include_str!("../README.md")]

mod block;
mod budget;
mod cell;
mod column;
mod config;
mod core;
mod entry;
pub mod eviction;
mod flight;
mod gone;
mod hash;
mod make;
mod memory;
mod names;
mod read;
mod readers;
mod shard;
mod slab;
mod stats;
mod sweep;
mod sync;
mod table;
pub mod warm;
mod wheel;
mod write;

pub use cell::Pair;
pub use config::{Config, ENTRY_OVERHEAD};
pub use entry::{Cause, Decision, GotOrInserted, Inserted, Meta, Options, Outcome, Upserted};
pub use gone::{Evicted, Evictions, Gone};
pub use hash::{RandomHash, RandomHasher};
pub use memory::Memory;
pub use stats::Stats;
pub use wheel::Lifetime;
