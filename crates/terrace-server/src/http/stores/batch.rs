//! `POST /v1/stores/{name}/batch`: reads, writes with their conditions, and transactions, a message each.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use terrace::backends::wire::{Ask, EntriesWriter, outcomes};
use terrace_store::capability::{Outcome, Write};
use terrace_store::{Error, ErrorKind, Key, Result, Store, StoreExt, Version};

use super::super::problem::Problem;
use super::super::state::HttpState;
use super::{answer, message, missing, name_of, open};

/// After so many keys others have their turn, and the time that a request may take is looked at.
const YIELD: usize = 64;

pub(super) async fn post(State(state): State<Arc<HttpState>>, request: Request) -> Result<Response, Problem> {
    let name = name_of(&request);
    let ask = Ask::decode(message(&state, request).await?)?;
    let done = async {
        let store = open(&state, &name).await?;
        Ok(match ask {
            Ask::Get(keys) => get(&*store, &keys).await?,
            Ask::Exists(key) => {
                let exists = store.exists(&key).await?;
                store.commit().await?;
                vec![u8::from(exists)]
            }
            Ask::Write(writes) => outcomes(&write(&*store, writes).await?),
            Ask::Commit(writes, unchanged) => {
                if store.as_transact().is_none() {
                    return Err(missing("commit"));
                }
                commit(&*store, writes, unchanged).await?;
                Vec::new()
            }
        })
    };
    state.within(done).await.map(answer)
}

/// One at a time, so that no more than an answer is in memory.
async fn get(store: &dyn Store, keys: &[Key]) -> Result<Vec<u8>> {
    let (mut answer, mut answered) = (EntriesWriter::default(), 0);
    for key in keys {
        answered += 1;
        if answered % YIELD == 0 {
            tokio::task::yield_now().await;
        }
        if !answer.push(key, store.get(key).await?.as_ref())? {
            break;
        }
    }
    // What is told was committed: nobody is to learn of a write that a crash can still undo.
    store.commit().await?;
    Ok(answer.finish(answered < keys.len()))
}

async fn write(store: &dyn Store, mut writes: Vec<Write>) -> Result<Vec<Outcome>> {
    if writes.len() != 1 {
        return store.apply(writes).await;
    }
    let one = match writes.pop() {
        Some(Write::Put(key, entry, options)) => Outcome::Put(store.put(&key, entry, options).await?),
        Some(Write::Delete(key, options)) => Outcome::Delete(store.delete(&key, options).await?),
        None => return Ok(Vec::new()),
    };
    Ok(vec![one])
}

/// At the commit everything must still have the version that the client read: so it is read here once more.
async fn commit(store: &dyn Store, writes: Vec<Write>, unchanged: Vec<(Key, Option<Version>)>) -> Result<()> {
    let Some(transact) = store.as_transact() else { return Ok(()) };
    let mut transaction = transact.begin().await?;
    for (key, version) in unchanged {
        if transaction.get(&key).await?.map(|entry| entry.version) != version {
            return Err(Error::new(ErrorKind::Conflict, "commit")
                .because("something that was read has changed meanwhile; begin again"));
        }
    }
    for write in writes {
        match write {
            Write::Put(key, entry, _) => transaction.put(key, entry),
            Write::Delete(key, _) => transaction.delete(key),
        }
    }
    transaction.commit().await
}
