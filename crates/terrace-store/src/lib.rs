#![doc = include_str!("../README.md")]

pub mod block_on;
pub mod capability;
pub mod clock;
pub mod conformance;
pub mod entry;
pub mod error;
pub mod ext;
pub mod fakes;
pub mod identity;
pub mod key;
pub mod nearest;
pub mod net;
pub mod rng;
pub mod spawn;
pub mod store;
#[cfg(feature = "tokio")]
pub mod tokio_runtime;

pub use block_on::block_on;
pub use clock::Clock;
pub use entry::{CodecId, Entry, Metadata, Tags, Version};
pub use error::{Error, ErrorKind, Result};
pub use ext::StoreExt;
pub use identity::Identity;
pub use key::{Key, Namespace};
pub use rng::Rng;
pub use spawn::{Spawn, Tasks};
pub use store::{
    BoxFuture, Capabilities, Compress, Condition, DeleteOptions, Deleted, Durability, Health, PutOptions,
    Store, Swept, Versions, Written,
};
