//! Writes as many commands do them.

use std::num::NonZeroU64;

use bytes::Bytes;
use terrace_store::{Condition, Entry, Key};

use crate::keyspace::Value;
use crate::resp::call::{Call, Refusal};

/// Sets a value that ends at this wall time in milliseconds, or never. One whose end has come is deleted instead.
pub(super) async fn set(call: &Call<'_>, key: &Key, bytes: Bytes, end: Option<i64>) -> Result<(), Refusal> {
    put(call, key, Entry::new(bytes), end).await
}

/// Gives a value another end, or none.
pub(super) async fn set_end(
    call: &Call<'_>,
    key: &Key,
    value: &Value,
    end: Option<i64>,
) -> Result<(), Refusal> {
    put(call, key, value.entry(value.bytes.clone()), end).await
}

async fn put(call: &Call<'_>, key: &Key, entry: Entry, end: Option<i64>) -> Result<(), Refusal> {
    let keyspace = &call.server.keyspace;
    let expires_ms = match end {
        Some(end) if end <= call.now_ms() => {
            keyspace.delete(key).await?;
            return Ok(());
        }
        Some(end) => NonZeroU64::new(end.unsigned_abs()),
        None => None,
    };
    let _ = keyspace.put(key, Entry { expires_ms, ..entry }, Condition::Any).await?;
    Ok(())
}

/// Changes a value and leaves what else is known about it: INCR and its kin.
pub(super) async fn update(
    call: &Call<'_>,
    key: &Key,
    before: Option<&Value>,
    bytes: Bytes,
) -> Result<(), Refusal> {
    let entry = match before {
        Some(value) => value.entry(bytes),
        None => Entry::new(bytes),
    };
    let _ = call.server.keyspace.put(key, entry, Condition::Any).await?;
    Ok(())
}
