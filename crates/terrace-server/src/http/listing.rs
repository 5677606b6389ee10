//! `GET /v1/entries`: the keys of a database, a page at a time, in their order.
//!
//! The cursor is the last key given, so it outlives a restart and means the same to every store. Keys whose space
//! a tag or prefix invalidation has not yet taken back may still be listed, though no read gives them any more.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Serialize;
use terrace_store::capability::{List, Order};
use terrace_store::key::KEY_LIMIT;
use terrace_store::{Entry, Error, ErrorKind, Key, Namespace};

use super::entries::database;
use super::percent::{self, Place};
use super::problem::Problem;
use super::query::Query;
use super::state::HttpState;

const DEFAULT_LIMIT: usize = 100;
const MOST: usize = 1000;

/// A page of keys.
#[derive(Serialize)]
pub(crate) struct Keys {
    db: usize,
    keys: Vec<Listed>,
    /// What to ask the next page with; nothing if this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// One key of a page.
#[derive(Serialize)]
struct Listed {
    /// Percent-encoded, as it stands in a path.
    key: String,
    etag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

/// A page of keys.
pub(crate) async fn list(
    State(state): State<Arc<HttpState>>,
    request: Request,
) -> Result<Json<Keys>, Problem> {
    let query = Query::of(request.uri(), &["db", "prefix", "limit", "cursor"])?;
    let db = database(&query)?;
    let limit = query.parsed("limit")?.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid(format!("the parameter `limit` is from 1 to {MOST}")));
    }
    let prefix = Bytes::copy_from_slice(query.bytes("prefix").unwrap_or_default());
    if prefix.len() > KEY_LIMIT {
        return Err(Problem::invalid(format!("a prefix is at most {KEY_LIMIT} bytes long, as a key is")));
    }
    let from = match query.bytes("cursor") {
        Some(cursor) => after(&decode_cursor(cursor)?),
        None => Some(prefix.clone()),
    };
    let namespace = state.keyspace.key(db, b"")?.namespace();
    let found = match from {
        Some(from) => state.within(gather(&state, namespace, prefix, from, limit)).await?,
        None => Vec::new(),
    };
    let cursor = found.get(limit - 1).map(|(key, _)| URL_SAFE_NO_PAD.encode(key.bytes()));
    let wall_ms = state.wall_ms();
    Ok(Json(Keys {
        db,
        keys: found.iter().map(|(key, entry)| listed(key, entry, wall_ms)).collect(),
        cursor,
    }))
}

fn listed(key: &Key, entry: &Entry, wall_ms: u64) -> Listed {
    Listed {
        key: percent::encode(key.bytes(), Place::Segment),
        etag: format!("\"{}\"", entry.version),
        ttl_ms: entry.expires_ms.map(|end| end.get().saturating_sub(wall_ms)),
    }
}

/// At most `limit` keys at or after `from`, however few a store gives at a time.
async fn gather(
    state: &HttpState,
    namespace: Namespace,
    prefix: Bytes,
    from: Bytes,
    limit: usize,
) -> Result<Vec<(Key, Entry)>, Problem> {
    let Some(iterate) = state.keyspace.authority().as_iterate() else {
        return Err(Error::new(ErrorKind::NotSupported, "list")
            .because("the store keeps no list of its keys")
            .into());
    };
    let list =
        List { prefix, from: Some(from), order: Order::Key, keys_only: true, limit, ..List::all(namespace) };
    let mut found = Vec::new();
    let mut cursor = None;
    while found.len() < limit {
        let page = iterate.list(&list, cursor.as_ref()).await?;
        found.extend(page.entries);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

fn decode_cursor(cursor: &[u8]) -> Result<Vec<u8>, Problem> {
    let key = URL_SAFE_NO_PAD.decode(cursor).ok().filter(|key| key.len() <= KEY_LIMIT);
    key.ok_or_else(|| Problem::invalid("the parameter `cursor` is none that a listing gave"))
}

/// The first key that can follow this one; `None` if none can.
pub(crate) fn after(key: &[u8]) -> Option<Bytes> {
    if key.len() < KEY_LIMIT {
        return Some([key, &[0]].concat().into());
    }
    // Nothing is longer: the next one differs in an earlier byte.
    let last = key.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = key.get(..=last)?.to_vec();
    *next.last_mut()? += 1;
    Some(next.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_between_a_key_and_the_one_after_it() {
        assert_eq!(after(b"a").unwrap(), &b"a\0"[..]);
        assert_eq!(after(b"").unwrap(), &b"\0"[..]);
        let mut longest = vec![b'a'; KEY_LIMIT];
        longest[KEY_LIMIT - 1] = 0xff;
        let next = after(&longest).unwrap();
        assert_eq!((next.len(), next[KEY_LIMIT - 2]), (KEY_LIMIT - 1, b'b'));
        assert_eq!(after(&vec![0xff; KEY_LIMIT]), None);
    }
}
