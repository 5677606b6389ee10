//! Whether keys are there, what they are, and removing them.

use crate::resp::call::{Call, Reply};

/// DEL and UNLINK. The memory of a value is freed by whoever drops it last, so both do the same.
pub(super) async fn del(call: Call<'_>) -> Reply {
    let mut removed = 0;
    for index in 1..call.len() {
        removed += usize::from(call.server.keyspace.delete(&call.key(index)?).await?);
    }
    call.output.count(removed);
    Ok(())
}

/// EXISTS and TOUCH: a read marks a key as used. A key that is named twice counts twice.
pub(super) async fn exists(mut call: Call<'_>) -> Reply {
    let mut found = 0;
    for index in 1..call.len() {
        found += usize::from(call.read(index).await?.is_some());
    }
    call.output.count(found);
    Ok(())
}

/// TYPE.
pub(super) async fn kind(call: Call<'_>) -> Reply {
    let found = call.server.keyspace.get(&call.key(1)?).await?.is_some();
    call.output.simple(if found { "string" } else { "none" });
    Ok(())
}
