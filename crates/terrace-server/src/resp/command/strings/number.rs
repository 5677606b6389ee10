//! Values that are numbers: INCR and its kin.

use bytes::Bytes;

use crate::resp::call::{Call, NOT_INTEGER, Reply};
use crate::resp::command::write;
use crate::resp::extended::Extended;
use crate::resp::number::parse_integer;

const OVERFLOW: &str = "ERR increment or decrement would overflow";
const NOT_FLOAT: &str = "ERR value is not a valid float";

pub(super) async fn incr(call: Call<'_>) -> Reply {
    add(call, 1).await
}

pub(super) async fn decr(call: Call<'_>) -> Reply {
    add(call, -1).await
}

pub(super) async fn incrby(call: Call<'_>) -> Reply {
    let by = call.integer(2)?;
    add(call, by).await
}

pub(super) async fn decrby(call: Call<'_>) -> Reply {
    let by = call.integer(2)?.checked_neg().ok_or("ERR decrement would overflow")?;
    add(call, by).await
}

async fn add(call: Call<'_>, by: i64) -> Reply {
    let key = call.key(1)?;
    let before = call.server.keyspace.get(&key).await?;
    let number = match &before {
        Some(value) => parse_integer(&value.bytes).ok_or(NOT_INTEGER)?,
        None => 0,
    };
    let sum = number.checked_add(by).ok_or(OVERFLOW)?;
    let bytes = Bytes::copy_from_slice(itoa::Buffer::new().format(sum).as_bytes());
    write::update(&call, &key, before.as_ref(), bytes).await?;
    call.output.integer(sum);
    Ok(())
}

pub(super) async fn incrbyfloat(call: Call<'_>) -> Reply {
    let key = call.key(1)?;
    let before = call.server.keyspace.get(&key).await?;
    let number = match &before {
        Some(value) => Extended::parse(&value.bytes).ok_or(NOT_FLOAT)?,
        None => Extended::ZERO,
    };
    let by = Extended::parse(call.arg(2)).ok_or(NOT_FLOAT)?;
    let sum = number.checked_add(by).ok_or("ERR increment would produce NaN or Infinity")?;
    let bytes = Bytes::from(sum.to_string());
    write::update(&call, &key, before.as_ref(), bytes.clone()).await?;
    call.output.bulk(&bytes);
    Ok(())
}
