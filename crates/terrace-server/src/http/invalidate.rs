//! `POST /v1/invalidate`: a key, a tag, a prefix, a database or everything, at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use terrace::tiers::{Mode, Scope};
use terrace_store::entry::TAG_LENGTH_LIMIT;
use terrace_store::key::KEY_LIMIT;

use super::entries::check_database;
use super::problem::Problem;
use super::query::Query;
use super::state::HttpState;
use super::{body, percent};
use crate::keyspace::{DATABASES, Keyspace};

/// The most a request may need: a key, every byte of it encoded with an escape of its own.
const LIMIT: usize = 8 * KEY_LIMIT;

/// What is to be invalidated: one of `tag`, `prefix`, `key`, `all`, or `db` alone.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    tag: Option<String>,
    prefix: Option<String>,
    key: Option<String>,
    all: Option<bool>,
    db: Option<usize>,
    #[serde(default)]
    mode: Wanted,
    /// Whether tag, prefix and key are percent-encoded: for those that are no text.
    #[serde(default)]
    encoded: bool,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    #[default]
    Purge,
    Expire,
}

/// What was invalidated.
#[derive(Serialize)]
pub(crate) struct Done {
    invalidated: &'static str,
    mode: Wanted,
}

/// Invalidates.
pub(crate) async fn post(
    State(state): State<Arc<HttpState>>,
    request: Request,
) -> Result<Json<Done>, Problem> {
    let (head, body) = request.into_parts();
    Query::of(&head.uri, &[])?;
    check_type(&head.headers)?;
    let body = body::read(&state, &head.headers, body).await?;
    if body.len() > LIMIT {
        let detail = format!("this body is at most {LIMIT} bytes long");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid", detail));
    }
    let order: Order =
        serde_json::from_slice(&body).map_err(|error| Problem::invalid(format!("the body: {error}")))?;
    let (name, scope) = order.scope(&state.keyspace)?;
    let mode = match order.mode {
        Wanted::Purge => Mode::Purge,
        Wanted::Expire => Mode::Expire,
    };
    state.within(invalidate(&state.keyspace, &scope, mode)).await?;
    Ok(Json(Done { invalidated: name, mode: order.mode }))
}

async fn invalidate(keyspace: &Keyspace, scope: &Scope, mode: Mode) -> Result<(), Problem> {
    match (scope, mode) {
        (Scope::Key(key), Mode::Purge) => {
            let _guard = keyspace.locks.one(key).await;
            keyspace.delete(key).await?;
        }
        (Scope::Key(key), Mode::Expire) => {
            let _guard = keyspace.locks.one(key).await;
            keyspace.tiers().invalidate(scope, mode).await?;
            keyspace.watches.touch(key);
        }
        _ => {
            // Before, for those who have read; after, for those who read in between.
            touch_watched(keyspace, scope);
            keyspace.tiers().invalidate(scope, mode).await?;
            touch_watched(keyspace, scope);
        }
    }
    Ok(keyspace.commit().await?)
}

/// Tells transactions that a key they depend on may be gone. Which tags a key has is not looked up: that costs a
/// transaction that must be tried again at worst.
fn touch_watched(keyspace: &Keyspace, scope: &Scope) {
    for namespace in (0..DATABASES).filter_map(|database| keyspace.namespace(database)) {
        for key in keyspace.watches.of(namespace) {
            let covered = match scope {
                Scope::Prefix(within, prefix) => within == namespace && key.bytes().starts_with(prefix),
                Scope::Namespace(within) => within == namespace,
                _ => true,
            };
            if covered {
                keyspace.watches.touch(&key);
            }
        }
    }
}

/// A form of another site can send text, but not this type, without the browser asking first.
pub(crate) fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "the body is JSON: send it with `Content-Type: application/json`";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", detail))
}

impl Order {
    fn scope(&self, keyspace: &Keyspace) -> Result<(&'static str, Scope), Problem> {
        let db = check_database(self.db.unwrap_or(0))?;
        let named = (&self.tag, &self.prefix, &self.key, self.all, self.db);
        match named {
            (Some(tag), None, None, None, None) => Ok(("tag", Scope::Tag(self.tag(tag)?))),
            (None, Some(prefix), None, None, _) => {
                self.prefix(prefix, keyspace, db).map(|scope| ("prefix", scope))
            }
            (None, None, Some(key), None, _) => {
                Ok(("key", Scope::Key(keyspace.key(db, &self.bytes("key", key)?)?)))
            }
            (None, None, None, Some(true), None) => Ok(("all", Scope::All)),
            (None, None, None, None, Some(_)) => {
                Ok(("db", Scope::Namespace(keyspace.key(db, b"")?.namespace())))
            }
            _ => Err(Problem::invalid(
                "name one thing: `tag`; `prefix` or `key`, each with or without `db`; `db` alone; or `all`: true",
            )),
        }
    }

    fn tag(&self, tag: &str) -> Result<Bytes, Problem> {
        let tag = self.bytes("tag", tag)?;
        if (1..=TAG_LENGTH_LIMIT).contains(&tag.len()) {
            return Ok(tag);
        }
        Err(Problem::invalid(format!("a tag is 1 to {TAG_LENGTH_LIMIT} bytes long")))
    }

    fn prefix(&self, prefix: &str, keyspace: &Keyspace, db: usize) -> Result<Scope, Problem> {
        let namespace = keyspace.key(db, b"")?.namespace();
        let prefix = self.bytes("prefix", prefix)?;
        if prefix.is_empty() {
            return Ok(Scope::Namespace(namespace));
        }
        // The mark is itself kept under a key, with the namespace and a letter before the prefix.
        let limit = KEY_LIMIT - namespace.flat_prefix().len() - 1;
        if prefix.len() > limit {
            return Err(Problem::invalid(format!("a prefix is at most {limit} bytes long here")));
        }
        Ok(Scope::Prefix(namespace, prefix))
    }

    fn bytes(&self, name: &str, text: &str) -> Result<Bytes, Problem> {
        if !self.encoded {
            return Ok(Bytes::copy_from_slice(text.as_bytes()));
        }
        let bytes = percent::decode(text.as_bytes());
        bytes.map(Bytes::from).map_err(|error| Problem::invalid(format!("`{name}`: {error}")))
    }
}
