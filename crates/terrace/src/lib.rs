#![doc = include_str!("../README.md")]

mod blocking;
mod builder;
mod cache;
pub mod codec;
mod get;
mod invalidate;
mod lookup;
mod mixed;
#[cfg(feature = "object_store")]
pub mod object_store;
mod put;
mod runtime;
mod slot;
#[cfg(feature = "stack")]
pub mod stack;
mod typed;
pub mod units;

pub use blocking::Blocking;
pub use builder::Builder;
pub use cache::Cache;
pub use codec::{Encoding, Storable};
pub use get::Get;
pub use invalidate::{Prefix, Tag, Target};
pub use lookup::{Item, Lookup};
pub use put::{Put, PutFuture};
pub use slot::{Mixed, Slot, Value};
pub use terrace_memory::{Cause, Priority};
pub use terrace_store::{Error, ErrorKind, Result, Version};
pub use terrace_tiers::{CacheKey, Loading, Tier};
pub use units::{Size, Span};

pub use terrace_backends as backends;
#[cfg(feature = "stack")]
pub use terrace_layers as layers;
pub use terrace_memory as memory;
pub use terrace_store as store;
pub use terrace_tiers as tiers;
