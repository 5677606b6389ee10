//! A value on its way between tiers: as a live object, as bytes, or both.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use terrace_store::{CodecId, Entry, Result};

/// A live value whose type only the typed API knows.
pub type Live = Arc<dyn Any + Send + Sync>;

/// How the values of one type become bytes, and live objects again. Erased, so that the ways through the tiers
/// are written once.
pub trait Codec: Send + Sync {
    /// Which codec it is, for the entry.
    fn id(&self) -> CodecId;

    /// A hash of the type's name and schema, for the entry: what keeps a value of one type from being decoded
    /// as another.
    fn fingerprint(&self) -> u64;

    /// The bytes of a live value.
    ///
    /// # Errors
    /// `Codec` if it cannot be encoded, `TypeMismatch` if it is of another type.
    fn encode(&self, live: &Live) -> Result<Bytes>;

    /// The live value of an entry.
    ///
    /// # Errors
    /// `TypeMismatch` if the entry is of another type, `Codec` if its bytes do not decode.
    fn decode(&self, entry: &Entry) -> Result<Live>;
}

/// A value on its way between tiers.
#[derive(Clone)]
pub struct Parcel {
    /// What is known about the value, and its bytes if it has been encoded.
    pub entry: Entry,
    /// The live object, if there is one.
    pub live: Option<Live>,
    /// What it weighs in the hot tier beside its key, in bytes.
    pub weight: u64,
}

impl Parcel {
    /// A parcel of an entry as a store gave it.
    pub fn of_entry(entry: Entry) -> Self {
        let weight = entry.size();
        Self { entry, live: None, weight }
    }
}
