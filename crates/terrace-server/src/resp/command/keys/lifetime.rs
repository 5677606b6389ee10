//! When keys end: the EXPIRE family, the TTL family, PERSIST.

use std::num::NonZeroU64;

use crate::resp::call::{Call, Refusal, Reply, about};
use crate::resp::command::strings::Unit;
use crate::resp::command::write;

/// On what an EXPIRE depends.
#[derive(Default, Clone, Copy)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(call: &Call<'_>) -> Result<Self, Refusal> {
        let mut conditions = Self::default();
        for index in 3..call.len() {
            match () {
                () if call.is(index, "nx") => conditions.nx = true,
                () if call.is(index, "xx") => conditions.xx = true,
                () if call.is(index, "gt") => conditions.gt = true,
                () if call.is(index, "lt") => conditions.lt = true,
                () => return Err(about("ERR Unsupported option ", call.arg(index), "")),
            }
        }
        let Self { nx, xx, gt, lt } = conditions;
        if nx && (xx || gt || lt) {
            return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
        }
        if gt && lt {
            return Err("ERR GT and LT options at the same time are not compatible".into());
        }
        Ok(conditions)
    }

    /// Whether a key that ends then, or never, may be given this end.
    fn allow(self, end: i64, current: Option<i64>) -> bool {
        !(self.nx && current.is_some()
            || self.xx && current.is_none()
            || self.gt && current.is_none_or(|current| end <= current)
            || self.lt && current.is_some_and(|current| end >= current))
    }
}

fn unit(name: &str) -> Unit {
    Unit { millis: name.starts_with('p'), absolute: name.ends_with("at") }
}

fn millis(at: NonZeroU64) -> i64 {
    i64::try_from(at.get()).unwrap_or(i64::MAX)
}

/// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT. An end that has come deletes the key.
pub(super) async fn expire(call: Call<'_>) -> Reply {
    let conditions = Conditions::parse(&call)?;
    let end = unit(call.command.name).end(call.integer(2)?, call.now_ms());
    let end = end.ok_or_else(|| call.invalid_expire())?;
    let key = call.key(1)?;
    let value = call.server.keyspace.get(&key).await?;
    let allowed = value.filter(|value| conditions.allow(end, value.expires_ms.map(millis)));
    if let Some(value) = &allowed {
        write::set_end(&call, &key, value, Some(end)).await?;
    }
    call.output.integer(allowed.is_some().into());
    Ok(())
}

/// TTL, PTTL, EXPIRETIME, PEXPIRETIME: -2 without a key, -1 without an end. Seconds are rounded.
pub(super) async fn ttl(mut call: Call<'_>) -> Reply {
    let name = call.command.name;
    let now = if name.ends_with("ttl") { call.now_ms() } else { 0 };
    let answer = match call.read(1).await?.map(|value| value.expires_ms.map(millis)) {
        None => -2,
        Some(None) => -1,
        Some(Some(end)) => {
            let millis = (end - now).max(0);
            if name.starts_with('p') { millis } else { millis.saturating_add(500) / 1000 }
        }
    };
    call.output.integer(answer);
    Ok(())
}

pub(super) async fn persist(call: Call<'_>) -> Reply {
    let key = call.key(1)?;
    let value = call.server.keyspace.get(&key).await?;
    let ending = value.filter(|value| value.expires_ms.is_some());
    if let Some(value) = &ending {
        write::set_end(&call, &key, value, None).await?;
    }
    call.output.integer(ending.is_some().into());
    Ok(())
}
