//! How typed values become bytes for the tiers below the hot one.

mod schema;
mod serde_codecs;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use terrace_tiers::{Codec, Live};

pub use schema::fingerprint;
pub(crate) use serde_codecs::mismatch;

/// Which encoding the tiers below the hot one get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// [postcard](https://docs.rs/postcard): small and fast. Fields are read by position.
    #[default]
    Postcard,
    /// MessagePack with named fields: larger, and readable by other languages.
    MessagePack,
    /// JSON: largest, and readable by people.
    Json,
}

/// A type that can be kept in the tiers below the hot one.
pub trait Storable: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Storable for T {}

/// The codec of a type in an encoding.
pub(crate) fn codec_of<T: Storable>(encoding: Encoding) -> &'static dyn Codec {
    match encoding {
        Encoding::Postcard => serde_codecs::postcard::<T>(),
        Encoding::MessagePack => serde_codecs::message_pack::<T>(),
        Encoding::Json => serde_codecs::json::<T>(),
    }
}

/// A value in its erased form.
pub(crate) fn live<T: Send + Sync + 'static>(value: T) -> Live {
    Arc::new(value)
}
