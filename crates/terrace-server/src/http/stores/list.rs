//! `POST /v1/stores/{name}/list`: a page of a namespace.
//!
//! The keys are listed without their values, and each value is then read by itself: so a page of values holds no more in
//! memory than it sends, however large they are and however many were asked for.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use terrace::backends::wire::{Asked, PageWriter};
use terrace_store::capability::{List, Order};
use terrace_store::{Entry, Key, Result, Store, StoreExt};

use super::super::listing::after;
use super::super::problem::Problem;
use super::super::state::HttpState;
use super::{answer, message, name_of, open};

/// How many entries a page has at most.
const MOST: usize = 1000;

pub(super) async fn post(State(state): State<Arc<HttpState>>, request: Request) -> Result<Response, Problem> {
    let name = name_of(&request);
    let asked = Asked::decode(message(&state, request).await?)?;
    let done = async { Ok(page(&*open(&state, &name).await?, asked).await?) };
    state.within(done).await.map(answer)
}

async fn page(store: &dyn Store, asked: Asked) -> Result<Vec<u8>> {
    let Asked { list, after: last } = asked;
    let limit = list.limit.min(MOST);
    let from = match last {
        None => list.from.clone(),
        Some(last) => match after(&last) {
            // A page before began at or after `from`, unless somebody made its end up.
            Some(next) => Some(list.from.clone().map_or(next.clone(), |from| from.max(next))),
            None => return Ok(PageWriter::default().finish(None)),
        },
    };
    // Where a page goes on is said by a key: so the order is that of the keys, which serves who asked for any.
    let keys = List { from, order: Order::Key, keys_only: true, limit, ..list.clone() };
    let found = gather(store, &keys).await?;
    // As in a read: nobody is to learn of a write that a crash can still undo.
    store.commit().await?;
    let more = found.len() == limit;
    let mut page = PageWriter::default();
    let mut last: Option<Bytes> = None;
    for (key, listed) in found {
        let entry = match list.keys_only {
            true => Some(listed),
            false => store.get(&key).await?,
        };
        last = Some(key.shared_bytes());
        let Some(entry) = entry else { continue };
        if !page.push(&key, &entry)? {
            return Ok(page.finish(last.as_deref()));
        }
    }
    Ok(page.finish(last.as_deref().filter(|_| more)))
}

/// As many keys as were asked for, however few the store gives at a time.
async fn gather(store: &dyn Store, list: &List) -> Result<Vec<(Key, Entry)>> {
    let mut found = Vec::new();
    let mut cursor = None;
    while found.len() < list.limit {
        let page = store.list(list, cursor.as_ref()).await?;
        found.extend(page.entries);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    found.truncate(list.limit);
    Ok(found)
}
