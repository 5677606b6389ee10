#![doc = include_str!("../README.md")]

pub mod codec;
mod compression;
#[cfg(feature = "crypt")]
pub mod crypt;
mod error;
mod fields;
mod layout;
mod open;
mod peek;
mod reader;
mod seal;

pub use compression::{Compress, Compression};
pub use error::{Error, Result};
pub use fields::{Fields, Header, Limits};
pub use layout::{FORMAT_VERSION, MAX_METADATA, MAX_STRING, MAX_TAGS, MIN_LEN, PEEK_LEN, key_hash};
pub use open::{Metadata, Opened, Tags, open};
pub use peek::{Peek, peek, peek_verified};
pub use seal::seal;
