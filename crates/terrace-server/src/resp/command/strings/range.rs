//! Parts of values: APPEND, GETRANGE, SETRANGE, STRLEN.

use bytes::{Bytes, BytesMut};

use crate::resp::call::{Call, Refusal, Reply};
use crate::resp::command::write;

pub(super) async fn strlen(mut call: Call<'_>) -> Reply {
    let len = call.read(1).await?.map_or(0, |value| value.bytes.len());
    call.output.count(len);
    Ok(())
}

/// GETRANGE, and SUBSTR, its old name.
pub(super) async fn getrange(mut call: Call<'_>) -> Reply {
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    let bytes = call.read(1).await?.map(|value| value.bytes).unwrap_or_default();
    call.output.bulk_bytes(&part(&bytes, start, end));
    Ok(())
}

/// The bytes from `start` to `end`, both included, both counted from the end if they are negative.
fn part(bytes: &Bytes, start: i64, end: i64) -> Bytes {
    let len = bytes.len() as i64;
    if start < 0 && end < 0 && start > end {
        return Bytes::new();
    }
    let from = |index: i64| if index < 0 { (len + index).max(0) } else { index };
    let (start, end) = (from(start), from(end).min(len - 1));
    if start > end || len == 0 {
        return Bytes::new();
    }
    bytes.slice(start.unsigned_abs() as usize..=end.unsigned_abs() as usize)
}

pub(super) async fn append(call: Call<'_>) -> Reply {
    let key = call.key(1)?;
    let before = call.server.keyspace.get(&key).await?;
    let added = call.arg(2);
    let held = before.as_ref().map(|value| &value.bytes[..]).unwrap_or_default();
    check_length(&call, held.len().checked_add(added.len()))?;
    let mut bytes = BytesMut::with_capacity(held.len() + added.len());
    bytes.extend_from_slice(held);
    bytes.extend_from_slice(added);
    let len = bytes.len();
    write::update(&call, &key, before.as_ref(), bytes.freeze()).await?;
    call.output.count(len);
    Ok(())
}

pub(super) async fn setrange(call: Call<'_>) -> Reply {
    let offset = call.integer(2)?;
    let offset = usize::try_from(offset).map_err(|_| Refusal::from("ERR offset is out of range"))?;
    let key = call.key(1)?;
    let part = call.arg(3);
    let before = call.server.keyspace.get(&key).await?;
    let held = before.as_ref().map(|value| &value.bytes[..]).unwrap_or_default();
    if part.is_empty() {
        call.output.count(held.len());
        return Ok(());
    }
    check_length(&call, offset.checked_add(part.len()))?;
    let end = offset + part.len();
    let mut bytes = BytesMut::with_capacity(held.len().max(end));
    bytes.extend_from_slice(held);
    bytes.resize(held.len().max(end), 0);
    bytes[offset..end].copy_from_slice(part);
    let len = bytes.len();
    write::update(&call, &key, before.as_ref(), bytes.freeze()).await?;
    call.output.count(len);
    Ok(())
}

/// A value may not grow beyond what a client could send.
fn check_length(call: &Call<'_>, len: Option<usize>) -> Reply {
    let limit = call.server.settings.config.limits.bulk_bytes as usize;
    match len {
        Some(len) if len <= limit => Ok(()),
        _ => Err("ERR string exceeds maximum allowed size (proto-max-bulk-len)".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_to_what_there_is() {
        let cut = |start, end| part(&Bytes::from_static(b"This is a string"), start, end);
        assert_eq!(cut(0, 3), "This");
        assert_eq!(cut(-3, -1), "ing");
        assert_eq!(cut(0, -1), "This is a string");
        assert_eq!(cut(10, 100), "string");
        assert_eq!(cut(5, 3), "");
        assert_eq!(cut(-1, -5), "");
        assert_eq!(cut(-100, 1), "Th");
        assert_eq!(cut(-100, -50), "T");
        assert_eq!(cut(i64::MIN, i64::MAX), "This is a string");
        assert_eq!(cut(100, 200), "");
        assert_eq!(part(&Bytes::new(), 0, -1), "");
    }
}
