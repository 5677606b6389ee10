//! OBJECT: what a value looks like from inside, in the words of Redis.
//!
//! Clients choose by these answers, so they follow the rules of Redis for a value that was just set; how Terrace
//! keeps it is another matter.

use crate::keyspace::Value;
use crate::resp::call::{Call, Refusal, Reply};
use crate::resp::number::parse_integer;

/// Longest string that Redis embeds in its object.
const EMBEDDED: usize = 44;

const LFU: &str = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
                   between policies at runtime LRU and LFU data will take some time to adjust.";
const NO_LFU: &str = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that \
                      when switching between policies at runtime LRU and LFU data will take some time to adjust.";

async fn value(call: &Call<'_>) -> Result<Option<Value>, Refusal> {
    Ok(call.server.keyspace.get(&call.key(2)?).await?)
}

pub(super) async fn encoding(call: Call<'_>) -> Reply {
    match value(&call).await? {
        Some(value) if parse_integer(&value.bytes).is_some() => call.output.bulk("int"),
        Some(value) if value.bytes.len() <= EMBEDDED => call.output.bulk("embstr"),
        Some(_) => call.output.bulk("raw"),
        None => call.output.null(),
    }
    Ok(())
}

/// Values are not shared between keys.
pub(super) async fn refcount(call: Call<'_>) -> Reply {
    match value(&call).await? {
        Some(_) => call.output.integer(1),
        None => call.output.null(),
    }
    Ok(())
}

/// What is known of a key's frequency is whether it is used enough to be in the hot tier: 5, with which Redis
/// begins to count, or 0.
pub(super) async fn freq(call: Call<'_>) -> Reply {
    let key = call.key(2)?;
    let hot = call.server.keyspace.is_hot(&key);
    let known = hot || value(&call).await?.is_some();
    match known {
        true if !call.server.keyspace.eviction().is_lfu() => return Err(NO_LFU.into()),
        true => call.output.integer(if hot { 5 } else { 0 }),
        false => call.output.null(),
    }
    Ok(())
}

/// Reads leave no time behind, so where Redis would tell the time since the last use this is the time since the
/// last write.
pub(super) async fn idletime(call: Call<'_>) -> Reply {
    match value(&call).await? {
        Some(_) if call.server.keyspace.eviction().is_lfu() => return Err(LFU.into()),
        Some(value) => {
            let idle = call.now_ms().saturating_sub(i64::try_from(value.created_ms).unwrap_or(i64::MAX));
            call.output.integer(idle.max(0) / 1000);
        }
        None => call.output.null(),
    }
    Ok(())
}
