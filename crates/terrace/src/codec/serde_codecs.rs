//! The codecs over serde. Each is a type without data, one per value type, so that a reference to it is all that
//! the erased ways through the tiers carry.

use std::marker::PhantomData;

use bytes::Bytes;
use terrace_store::{CodecId, Entry, Error, ErrorKind, Result};
use terrace_tiers::{Codec, Live};

use super::{Storable, fingerprint, live};

struct Of<T, F>(PhantomData<fn() -> (T, F)>);

/// What distinguishes one codec from another.
trait Format: 'static {
    const ID: CodecId;
    fn write<T: Storable>(value: &T) -> Result<Vec<u8>>;
    fn read<T: Storable>(bytes: &[u8]) -> Result<T>;
}

impl<T: Storable, F: Format> Codec for Of<T, F> {
    fn id(&self) -> CodecId {
        F::ID
    }

    fn fingerprint(&self) -> u64 {
        fingerprint::<T>()
    }

    fn encode(&self, live: &Live) -> Result<Bytes> {
        let value = live.downcast_ref::<T>().ok_or_else(|| mismatch::<T>("encode"))?;
        F::write(value).map(Bytes::from)
    }

    fn decode(&self, entry: &Entry) -> Result<Live> {
        if entry.type_fingerprint != fingerprint::<T>() {
            return Err(mismatch::<T>("decode"));
        }
        if entry.codec != F::ID {
            return Err(Error::new(ErrorKind::Codec, "decode")
                .with("codec", entry.codec.0)
                .with("expected", F::ID.0)
                .because("the value was written with another encoding"));
        }
        F::read::<T>(&entry.value).map(live)
    }
}

/// The value is of another type than `T`.
#[cold]
pub(crate) fn mismatch<T>(operation: &'static str) -> Error {
    Error::new(ErrorKind::TypeMismatch, operation)
        .with("asked for", std::any::type_name::<T>())
        .because("the value is of another type")
}

fn failed(operation: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Codec, operation).caused_by(error)
}

struct Postcard;

impl Format for Postcard {
    const ID: CodecId = CodecId::POSTCARD;
    fn write<T: Storable>(value: &T) -> Result<Vec<u8>> {
        postcard::to_allocvec(value).map_err(|error| failed("encode", error))
    }
    fn read<T: Storable>(bytes: &[u8]) -> Result<T> {
        postcard::from_bytes(bytes).map_err(|error| failed("decode", error))
    }
}

struct MessagePack;

impl Format for MessagePack {
    const ID: CodecId = CodecId::MESSAGE_PACK;
    fn write<T: Storable>(value: &T) -> Result<Vec<u8>> {
        rmp_serde::to_vec_named(value).map_err(|error| failed("encode", error))
    }
    fn read<T: Storable>(bytes: &[u8]) -> Result<T> {
        rmp_serde::from_slice(bytes).map_err(|error| failed("decode", error))
    }
}

struct Json;

impl Format for Json {
    const ID: CodecId = CodecId::JSON;
    fn write<T: Storable>(value: &T) -> Result<Vec<u8>> {
        serde_json::to_vec(value).map_err(|error| failed("encode", error))
    }
    fn read<T: Storable>(bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|error| failed("decode", error))
    }
}

pub(super) fn postcard<T: Storable>() -> &'static dyn Codec {
    &Of::<T, Postcard>(PhantomData)
}

pub(super) fn message_pack<T: Storable>() -> &'static dyn Codec {
    &Of::<T, MessagePack>(PhantomData)
}

pub(super) fn json<T: Storable>() -> &'static dyn Codec {
    &Of::<T, Json>(PhantomData)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Encoding, codec_of};
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct User {
        name: String,
        age: Option<u8>,
    }

    #[test]
    fn every_encoding_brings_the_value_back_and_no_other_type() {
        let user = User { name: "Ada".into(), age: Some(36) };
        for encoding in [Encoding::Postcard, Encoding::MessagePack, Encoding::Json] {
            let codec = codec_of::<User>(encoding);
            let bytes = codec.encode(&live(user.clone())).unwrap();
            let mut entry = Entry::new(bytes);
            (entry.codec, entry.type_fingerprint) = (codec.id(), codec.fingerprint());
            let back = codec.decode(&entry).unwrap();
            assert_eq!(back.downcast_ref::<User>(), Some(&user), "{encoding:?}");
            let other = codec_of::<u64>(encoding).decode(&entry).unwrap_err();
            assert_eq!(other.kind(), ErrorKind::TypeMismatch, "{encoding:?}");
            entry.value = entry.value.slice(1..);
            assert_eq!(codec.decode(&entry).unwrap_err().kind(), ErrorKind::Codec, "{encoding:?}");
        }
    }
}
