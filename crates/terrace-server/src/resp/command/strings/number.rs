//! Values that are numbers: INCR and its kin.

use bytes::Bytes;

use crate::keyspace::Value;
use crate::resp::call::{Call, NOT_INTEGER, Refusal, Reply};
use crate::resp::command::write;
use crate::resp::extended::Extended;
use crate::resp::number::parse_integer;

const OVERFLOW: &str = "ERR increment or decrement would overflow";
const NOT_FLOAT: &str = "ERR value is not a valid float";

/// INCR, DECR, INCRBY and DECRBY of a plain value, where nothing has to be waited for.
pub(super) fn add_now(call: &mut Call<'_>) -> Option<Reply> {
    let (key, by) = match call.key(1).and_then(|key| Ok((key, step(call)?))) {
        Ok(given) => given,
        Err(refusal) => return Some(Err(refusal)),
    };
    // Whatever is wrong is found again, and told, where everything can be waited for.
    let before = call.server.keyspace.get_now(&key)?.ok()?;
    if before.as_ref().is_some_and(|value| value.expires_ms.is_some() || value.about.is_some()) {
        return None;
    }
    let sum = sum(before.as_ref(), by).ok()?;
    match call.server.keyspace.set_now(&key, decimal(sum))? {
        Ok(_) => call.output.integer(sum),
        Err(error) => return Some(Err(error.into())),
    }
    Some(Ok(()))
}

/// INCR, DECR, INCRBY and DECRBY.
pub(super) async fn add(call: Call<'_>) -> Reply {
    let (key, by) = (call.key(1)?, step(&call)?);
    let before = call.server.keyspace.get(&key).await?;
    let sum = sum(before.as_ref(), by)?;
    write::update(&call, &key, before.as_ref(), decimal(sum)).await?;
    call.output.integer(sum);
    Ok(())
}

/// How much the command adds.
fn step(call: &Call<'_>) -> Result<i64, Refusal> {
    match call.command.name {
        "incr" => Ok(1),
        "decr" => Ok(-1),
        "decrby" => Ok(call.integer(2)?.checked_neg().ok_or("ERR decrement would overflow")?),
        _ => call.integer(2),
    }
}

fn sum(before: Option<&Value>, by: i64) -> Result<i64, Refusal> {
    let number = match before {
        Some(value) => parse_integer(&value.bytes).ok_or(NOT_INTEGER)?,
        None => 0,
    };
    Ok(number.checked_add(by).ok_or(OVERFLOW)?)
}

fn decimal(number: i64) -> Bytes {
    Bytes::copy_from_slice(itoa::Buffer::new().format(number).as_bytes())
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
