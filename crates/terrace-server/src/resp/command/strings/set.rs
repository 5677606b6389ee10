//! Writing values: SET with its options, and the commands that are a SET with some of them.

use bytes::Bytes;
use terrace_store::Key;

use crate::keyspace::Value;
use crate::resp::call::{Call, NOT_INTEGER, Refusal, Reply, SYNTAX};
use crate::resp::command::write;
use crate::resp::number;

/// Whose options they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Those of SET.
    Write,
    /// Those of GETEX.
    Read,
}

/// The options of SET and GETEX.
#[derive(Default)]
pub(super) struct Options {
    absent: bool,
    present: bool,
    get: bool,
    keep: bool,
    pub(super) persist: bool,
    /// The place of the number, and what it counts.
    expire: Option<(usize, Unit)>,
}

/// What a number that says when a key ends counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::resp::command) struct Unit {
    /// In milliseconds, or in seconds.
    pub(in crate::resp::command) millis: bool,
    /// Since 1970, or from now.
    pub(in crate::resp::command) absolute: bool,
}

/// How long a value is to live.
#[derive(Clone, Copy)]
pub(super) enum Lifetime {
    /// Until this wall time in milliseconds.
    Until(i64),
    /// Until it is removed.
    Forever,
}

impl Options {
    /// Reads the options from the argument at `start` on.
    pub(super) fn parse(call: &Call<'_>, start: usize, side: Side) -> Result<Self, Refusal> {
        let mut options = Self::default();
        let mut index = start;
        while index < call.len() {
            index += options.one(call, index, side).ok_or(SYNTAX)?;
        }
        Ok(options)
    }

    /// Reads one, and returns how many arguments it took.
    fn one(&mut self, call: &Call<'_>, index: usize, side: Side) -> Option<usize> {
        let timed = self.expire.is_some();
        let writes = side == Side::Write;
        let unit = match () {
            () if call.is(index, "nx") && writes && !self.present => {
                self.absent = true;
                return Some(1);
            }
            () if call.is(index, "xx") && writes && !self.absent => {
                self.present = true;
                return Some(1);
            }
            () if call.is(index, "get") && writes => {
                self.get = true;
                return Some(1);
            }
            () if call.is(index, "keepttl") && writes && !timed => {
                self.keep = true;
                return Some(1);
            }
            () if call.is(index, "persist") && !writes && !timed => {
                self.persist = true;
                return Some(1);
            }
            () if call.is(index, "ex") => Unit { millis: false, absolute: false },
            () if call.is(index, "px") => Unit { millis: true, absolute: false },
            () if call.is(index, "exat") => Unit { millis: false, absolute: true },
            () if call.is(index, "pxat") => Unit { millis: true, absolute: true },
            () => return None,
        };
        let same = self.expire.is_none_or(|(_, other)| other == unit);
        if self.keep || self.persist || !same || index + 1 >= call.len() {
            return None;
        }
        self.expire = Some((index + 1, unit));
        Some(2)
    }

    /// How long the value is to live.
    pub(super) fn lifetime(&self, call: &Call<'_>) -> Result<Lifetime, Refusal> {
        let Some((index, unit)) = self.expire else { return Ok(Lifetime::Forever) };
        Ok(Lifetime::Until(positive_end(call, index, unit)?))
    }
}

/// The wall time in milliseconds that the argument at `index` names, which must lie after the beginning of time
/// and, if it is relative, after now.
pub(super) fn positive_end(call: &Call<'_>, index: usize, unit: Unit) -> Result<i64, Refusal> {
    let number = number::parse_integer(call.arg(index)).ok_or(NOT_INTEGER)?;
    let end = match number {
        1.. => unit.end(number, call.now_ms()),
        _ => None,
    };
    end.ok_or_else(|| call.invalid_expire())
}

impl Unit {
    /// The wall time in milliseconds; `None` if there is no such time.
    pub(in crate::resp::command) fn end(self, number: i64, now_ms: i64) -> Option<i64> {
        let millis = if self.millis { number } else { number.checked_mul(1000)? };
        if self.absolute { Some(millis) } else { millis.checked_add(now_ms) }
    }
}

/// SET without options, where nothing has to be waited for.
pub(super) fn set_now(call: &mut Call<'_>) -> Option<Reply> {
    if call.len() != 3 {
        return None;
    }
    let key = match call.key(1) {
        Ok(key) => key,
        Err(refusal) => return Some(Err(refusal)),
    };
    match call.server.keyspace.set_now(&key, call.bytes(2))? {
        Ok(_) => call.output.ok(),
        Err(error) => return Some(Err(error.into())),
    }
    Some(Ok(()))
}

/// SET without options.
pub(super) async fn plain(call: Call<'_>) -> Reply {
    write::set(&call, &call.key(1)?, call.bytes(2), None).await?;
    call.output.ok();
    Ok(())
}

/// SET with options.
pub(super) async fn set(mut call: Call<'_>) -> Reply {
    let key = call.key(1)?;
    let options = Options::parse(&call, 3, Side::Write)?;
    let lifetime = options.lifetime(&call)?;
    let asks = options.absent || options.present || options.get || options.keep;
    let before = if asks { call.server.keyspace.get(&key).await? } else { None };
    if options.get {
        call.session.tally.read(before.is_some());
    }
    let goes = !(options.absent && before.is_some() || options.present && before.is_none());
    if goes {
        let kept = || before.as_ref().and_then(|value| value.expires_ms).map(|at| at.get() as i64);
        let end = match lifetime {
            Lifetime::Until(end) => Some(end),
            Lifetime::Forever if options.keep => kept(),
            Lifetime::Forever => None,
        };
        write::set(&call, &key, call.bytes(2), end).await?;
    }
    match (options.get, goes) {
        (true, _) => call.reply_value(before.as_ref().map(|value| &value.bytes)),
        (false, true) => call.output.ok(),
        (false, false) => call.output.null(),
    }
    Ok(())
}

pub(super) async fn getset(mut call: Call<'_>) -> Reply {
    let before = call.read(1).await?;
    write::set(&call, &call.key(1)?, call.bytes(2), None).await?;
    call.reply_value(before.as_ref().map(|value: &Value| &value.bytes));
    Ok(())
}

pub(super) async fn setnx(call: Call<'_>) -> Reply {
    let key = call.key(1)?;
    let absent = call.server.keyspace.get(&key).await?.is_none();
    if absent {
        write::set(&call, &key, call.bytes(2), None).await?;
    }
    call.output.integer(absent.into());
    Ok(())
}

/// SETEX and PSETEX.
pub(super) async fn setex(call: Call<'_>) -> Reply {
    let unit = Unit { millis: call.command.name == "psetex", absolute: false };
    let end = positive_end(&call, 2, unit)?;
    write::set(&call, &call.key(1)?, call.bytes(3), Some(end)).await?;
    call.output.ok();
    Ok(())
}

/// MSET and MSETNX.
pub(super) async fn mset(call: Call<'_>) -> Reply {
    if call.len().is_multiple_of(2) {
        return Err(format!("ERR wrong number of arguments for '{}' command", call.full_name()).into());
    }
    let pairs = (1..call.len()).step_by(2).map(|index| Ok((call.key(index)?, call.bytes(index + 1))));
    let pairs: Vec<(Key, Bytes)> = pairs.collect::<Result<_, Refusal>>()?;
    let only_new = call.command.name == "msetnx";
    if only_new {
        for (key, _) in &pairs {
            if call.server.keyspace.get(key).await?.is_some() {
                call.output.integer(0);
                return Ok(());
            }
        }
    }
    call.server.keyspace.set_many(pairs).await?;
    if only_new {
        call.output.integer(1);
    } else {
        call.output.ok();
    }
    Ok(())
}
