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
mod ranking;
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
pub use entry::{Cause, Decision, GotOrInserted, Inserted, Meta, Options, Outcome, Priority, Upserted};
pub use gone::{Evicted, Evictions, Gone};
#[cfg(feature = "ahash")]
pub use hash::{AHash, AHasher};
#[cfg(feature = "blake3")]
pub use hash::{Blake3, Blake3Hasher};
#[cfg(feature = "fxhash")]
pub use hash::{FxHash, FxHasher};
pub use hash::{RandomHash, RandomHasher, SipHash, SipHasher};
pub use memory::Memory;
pub use stats::Stats;
pub use wheel::Lifetime;
