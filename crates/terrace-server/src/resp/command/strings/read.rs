//! Reading values: GET and its kin.

use bytes::Bytes;
use terrace_store::Condition;

use super::set::{Lifetime, Options, Side};
use crate::keyspace::Value;
use crate::resp::call::{Call, Refusal, Reply};
use crate::resp::command::write;

impl Call<'_> {
    /// The value of the key that is the argument at `index`, counted as a read.
    pub(in crate::resp::command) async fn read(&mut self, index: usize) -> Result<Option<Value>, Refusal> {
        let value = self.server.keyspace.get(&self.key(index)?).await?;
        self.session.tally.read(value.is_some());
        Ok(value)
    }

    pub(in crate::resp::command) fn reply_value(&mut self, value: Option<&Bytes>) {
        match value {
            Some(bytes) => self.output.bulk_bytes(bytes),
            None => self.output.null(),
        }
    }
}

/// GET of a value that need not be waited for.
pub(super) fn get_now(call: &mut Call<'_>) -> Option<Reply> {
    let key = match call.key(1) {
        Ok(key) => key,
        Err(refusal) => return Some(Err(refusal)),
    };
    let value = match call.server.keyspace.get_now(&key)? {
        Ok(value) => value,
        Err(error) => return Some(Err(error.into())),
    };
    call.session.tally.read(value.is_some());
    call.reply_value(value.as_ref().map(|value| &value.bytes));
    Some(Ok(()))
}

/// GET of any other value.
pub(super) async fn get(mut call: Call<'_>) -> Reply {
    let value = call.server.keyspace.get_below(&call.key(1)?).await?;
    call.session.tally.read(value.is_some());
    call.reply_value(value.as_ref().map(|value| &value.bytes));
    Ok(())
}

pub(super) async fn mget(mut call: Call<'_>) -> Reply {
    let mut values = Vec::with_capacity(call.len() - 1);
    for index in 1..call.len() {
        values.push(call.read(index).await?);
    }
    call.output.array(values.len());
    for value in &values {
        call.reply_value(value.as_ref().map(|value| &value.bytes));
    }
    Ok(())
}

pub(super) async fn getdel(mut call: Call<'_>) -> Reply {
    let value = call.read(1).await?;
    if value.is_some() {
        call.server.keyspace.delete(&call.key(1)?).await?;
    }
    call.reply_value(value.as_ref().map(|value| &value.bytes));
    Ok(())
}

pub(super) async fn getex(mut call: Call<'_>) -> Reply {
    let options = Options::parse(&call, 2, Side::Read)?;
    let Some(value) = call.read(1).await? else {
        call.output.null();
        return Ok(());
    };
    let key = call.key(1)?;
    let bytes = value.bytes.clone();
    match options.lifetime(&call)? {
        Lifetime::Until(end) => write::set_end(&call, &key, &value, Some(end)).await?,
        Lifetime::Forever if options.persist && value.expires_ms.is_some() => {
            let entry = terrace_store::Entry { expires_ms: None, ..value.entry(bytes.clone()) };
            let _ = call.server.keyspace.put(&key, entry, Condition::Any).await?;
        }
        _ => {}
    }
    call.output.bulk_bytes(&bytes);
    Ok(())
}
