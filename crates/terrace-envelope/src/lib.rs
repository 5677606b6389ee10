// Its examples use these features.
#![cfg_attr(all(feature = "zstd", feature = "crypt"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "zstd", feature = "crypt")),
    doc = "The form of an entry outside the process; see README.md."
)]

pub mod codec;
mod compression;
#[cfg(feature = "crypt")]
pub mod crypt;
mod encryption;
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
#[cfg(feature = "crypt")]
pub use open::open_encrypted;
pub use open::{Metadata, Opened, Tags, open};
pub use peek::{Peek, peek, peek_verified};
pub use seal::seal;
#[cfg(feature = "crypt")]
pub use seal::seal_encrypted;
