//! The same value under another name: RENAME, RENAMENX, COPY.

use terrace_store::Condition;

use crate::resp::call::{Call, NO_SUCH_KEY, Refusal, Reply, SYNTAX};
use crate::resp::command::connection::database;

/// RENAME and RENAMENX. The value keeps its end, tags and metadata.
pub(super) async fn rename(call: Call<'_>) -> Reply {
    let only_new = call.command.name == "renamenx";
    let (from, to) = (call.key(1)?, call.key(2)?);
    let keyspace = &call.server.keyspace;
    let value = keyspace.get(&from).await?.ok_or(NO_SUCH_KEY)?;
    let goes = !only_new || keyspace.get(&to).await?.is_none();
    if goes && from != to {
        let _ = keyspace.put(&to, value.entry(value.bytes.clone()), Condition::Any).await?;
        keyspace.delete(&from).await?;
    }
    if only_new {
        call.output.integer(goes.into());
    } else {
        call.output.ok();
    }
    Ok(())
}

pub(super) async fn copy(call: Call<'_>) -> Reply {
    let (to_database, replace) = options(&call)?;
    let from = call.key(1)?;
    let to = call.server.keyspace.key(to_database, call.arg(2))?;
    if from == to {
        return Err("ERR source and destination objects are the same".into());
    }
    let keyspace = &call.server.keyspace;
    let value = keyspace.get(&from).await?;
    let room = replace || keyspace.get(&to).await?.is_none();
    let copied = match value {
        Some(value) if room => {
            let _ = keyspace.put(&to, value.entry(value.bytes.clone()), Condition::Any).await?;
            1
        }
        _ => 0,
    };
    call.output.integer(copied);
    Ok(())
}

/// The database to copy to, and whether to replace what is there.
fn options(call: &Call<'_>) -> Result<(usize, bool), Refusal> {
    let (mut to, mut replace) = (call.session.database, false);
    let mut index = 3;
    while index < call.len() {
        if call.is(index, "replace") {
            replace = true;
        } else if call.is(index, "db") && index + 1 < call.len() {
            index += 1;
            to = database(call.arg(index))?;
        } else {
            return Err(SYNTAX.into());
        }
        index += 1;
    }
    Ok((to, replace))
}
