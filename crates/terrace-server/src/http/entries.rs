//! `/v1/entries/{key}`: one entry, read, written and deleted. The very keys that Redis clients see.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use terrace_store::{Condition, Entry, Key, Written};

use super::precondition::{Preconditions, etag};
use super::problem::Problem;
use super::query::Query;
use super::state::HttpState;
use super::{body, fields, percent};
use crate::keyspace::{DATABASES, Lookup};

/// What stands before the key in a path.
pub(crate) const PREFIX: &str = "/v1/entries/";

/// GET and HEAD.
pub(crate) async fn get(State(state): State<Arc<HttpState>>, request: Request) -> Result<Response, Problem> {
    let query = Query::of(request.uri(), &["db"])?;
    let key = key(&state, request.uri(), &query)?;
    let conditions = Preconditions::of(request.headers())?;
    let stale_allowed = allows_stale(request.headers());
    let found = state.within(async { Ok(read(&state, &key).await?) }).await?;
    match found {
        Some(lookup) if !lookup.stale || stale_allowed => answer(&state, &lookup, &conditions),
        Some(_) => Err(missing("the entry was invalidated and is stale; `Cache-Control: max-stale` gets it")),
        None => Err(missing("there is no entry with this key")),
    }
}

/// What is told was committed: nobody is to learn of a write that a crash can still undo.
async fn read(state: &HttpState, key: &Key) -> terrace_store::Result<Option<Lookup>> {
    let keyspace = &state.keyspace;
    keyspace.locks.settled(key).await;
    let found = keyspace.lookup(key).await?;
    keyspace.commit().await?;
    Ok(found)
}

fn answer(state: &HttpState, lookup: &Lookup, conditions: &Preconditions) -> Result<Response, Problem> {
    let wanted = conditions.wants(lookup.value.version)?;
    let (status, body) = match wanted {
        true => (StatusCode::OK, Body::from(lookup.value.bytes.clone())),
        false => (StatusCode::NOT_MODIFIED, Body::empty()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields::describe(lookup, state.wall_ms());
    Ok(response)
}

fn missing(detail: &str) -> Problem {
    let (name, value) = fields::missed();
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
        .with(name, value)
        .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

fn allows_stale(headers: &HeaderMap) -> bool {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    directives
        .flat_map(|list| list.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("max-stale"))
}

/// PUT.
pub(crate) async fn put(State(state): State<Arc<HttpState>>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let query = Query::of(&head.uri, &["db", "ttl"])?;
    let key = key(&state, &head.uri, &query)?;
    let conditions = Preconditions::of(&head.headers)?;
    // Refused before the body is taken in, and computed anew after it came: it may take its time.
    fields::entry(&head.headers, &query, state.wall_ms())?;
    let value = body::read(&state, &head.headers, body).await?;
    let entry = Entry { value, ..fields::entry(&head.headers, &query, state.wall_ms())? };
    state.within(write(&state, &key, entry, &conditions)).await
}

/// Whoever writes a key holds its lock: so what was read for the conditions is still there when it is replaced.
async fn write(
    state: &HttpState,
    key: &Key,
    entry: Entry,
    conditions: &Preconditions,
) -> Result<Response, Problem> {
    let keyspace = &state.keyspace;
    let guard = keyspace.locks.one(key).await;
    if conditions.any() {
        let current = keyspace.lookup(key).await?.map(|lookup| lookup.value.version);
        conditions.allow_write(current)?;
    }
    let written = keyspace.put(key, entry, Condition::Any).await?;
    drop(guard);
    keyspace.commit().await?;
    match written {
        Written::Stored { version, replaced } => {
            let status = if replaced { StatusCode::NO_CONTENT } else { StatusCode::CREATED };
            Ok((status, [(ETAG, etag(version))]).into_response())
        }
        Written::Conflict { .. } => {
            Err(Problem::new(StatusCode::CONFLICT, "conflict", "somebody else wrote the key"))
        }
    }
}

/// DELETE.
pub(crate) async fn delete(
    State(state): State<Arc<HttpState>>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::of(request.uri(), &["db"])?;
    let key = key(&state, request.uri(), &query)?;
    let conditions = Preconditions::of(request.headers())?;
    let existed = state.within(remove(&state, &key, &conditions)).await?;
    if existed {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(missing("there is no entry with this key"))
    }
}

async fn remove(state: &HttpState, key: &Key, conditions: &Preconditions) -> Result<bool, Problem> {
    let keyspace = &state.keyspace;
    let guard = keyspace.locks.one(key).await;
    if conditions.any() {
        let current = keyspace.lookup(key).await?.map(|lookup| lookup.value.version);
        conditions.allow_write(current)?;
    }
    let existed = keyspace.delete(key).await?;
    drop(guard);
    keyspace.commit().await?;
    Ok(existed)
}

/// The key that a path and the parameter `db` name.
fn key(state: &HttpState, uri: &Uri, query: &Query) -> Result<Key, Problem> {
    let encoded = uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let name = percent::decode(encoded.as_bytes())
        .map_err(|error| Problem::invalid(format!("the key in the path: {error}")))?;
    Ok(state.keyspace.key(database(query)?, &name)?)
}

/// The database that the parameter `db` names: 0 unless it is given.
pub(crate) fn database(query: &Query) -> Result<usize, Problem> {
    check_database(query.parsed("db")?.unwrap_or(0))
}

/// This number, if there is such a database.
pub(crate) fn check_database(number: usize) -> Result<usize, Problem> {
    if number < DATABASES {
        return Ok(number);
    }
    Err(Problem::invalid(format!("there is no database {number}; the last one is {}", DATABASES - 1)))
}
