//! `/v1/stores/{name}`: stores of other Terraces, beside the databases.
//!
//! A store here is a part of the store that decides, in namespaces of its own, with everything that store promises: the
//! conditions, versions and floors are its own, and neither the hot tier nor the server's invalidations come in between.
//! Redis clients do not see it, and FLUSHALL leaves it alone. The messages are those of [`terrace::backends::wire`]; what
//! is short is JSON.

mod batch;
mod list;
mod upkeep;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde_json::{Value, json};
use terrace::backends::wire;
use terrace::layers::namespace::Namespaced;
use terrace_store::{Durability, Error, ErrorKind, Health, Store};

use super::problem::Problem;
use super::query::Query;
use super::state::HttpState;
use super::{body, invalidate};

/// What the namespaces of a store begin with. The NUL says that they belong to Terrace and not to a database.
const PREFIX: &str = "\0store:";
/// The longest name of a store.
const LONGEST_NAME: usize = 64;
/// How many stores are remembered at a time.
const MOST: usize = 1024;
/// The longest order in JSON: a namespace, every byte of it encoded.
const LONGEST_ORDER: usize = 4096;

/// The stores that were asked for since the start.
#[derive(Default)]
pub(crate) struct Stores(tokio::sync::Mutex<HashMap<String, Arc<Namespaced>>>);

/// What can be asked of a store, by the end of its path.
pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<HttpState>>)> {
    vec![
        ("/v1/stores/{store}", get(describe)),
        ("/v1/stores/{store}/batch", post(batch::post)),
        ("/v1/stores/{store}/list", post(list::post)),
        ("/v1/stores/{store}/namespaces", get(upkeep::namespaces)),
        ("/v1/stores/{store}/clear", post(upkeep::clear)),
        ("/v1/stores/{store}/reserve", post(upkeep::reserve)),
        ("/v1/stores/{store}/sweep", post(upkeep::sweep)),
        ("/v1/stores/{store}/flush", post(upkeep::flush)),
        ("/v1/stores/{store}/watch", get(watch::listen)),
        ("/v1/stores/{store}/beat", post(watch::beat)),
    ]
}

/// The name of the store in the path of a request.
fn name_of(request: &Request) -> String {
    let rest = request.uri().path().strip_prefix("/v1/stores/").unwrap_or_default();
    rest.split('/').next().unwrap_or_default().to_owned()
}

/// The store of this name. It need not be made.
async fn open(state: &HttpState, name: &str) -> Result<Arc<Namespaced>, Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
        let rule = "the name of a store is 1 to 64 letters, digits, `.`, `_` and `-`";
        return Err(Problem::invalid(rule));
    }
    let mut stores = state.stores.0.lock().await;
    if let Some(store) = stores.get(name) {
        return Ok(Arc::clone(store));
    }
    if stores.len() >= MOST {
        // Those that nobody is using are read again when they are asked for.
        stores.retain(|_, store| Arc::strong_count(store) > 1);
    }
    if stores.len() >= MOST {
        let detail = format!("{MOST} stores are in use, and there are no more at a time");
        return Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, "full", detail));
    }
    let authority = Arc::clone(state.keyspace.authority());
    let store = Arc::new(Namespaced::open(authority, format!("{PREFIX}{name}")).await?);
    stores.insert(name.to_owned(), Arc::clone(&store));
    Ok(store)
}

/// What the store is and how it does.
async fn describe(State(state): State<Arc<HttpState>>, request: Request) -> Result<Json<Value>, Problem> {
    let name = name_of(&request);
    Query::of(request.uri(), &[])?;
    let (store, health) = state
        .within(async {
            let store = open(&state, &name).await?;
            let health = store.health().await;
            Ok((store, health))
        })
        .await?;
    let can = store.capabilities();
    let mut facts = json!({
        "format": wire::FORMAT,
        "store": name,
        "engine": store.name(),
        "watch": store.as_watch().is_some(),
        "transactions": store.as_transact().is_some(),
    });
    let ms = |duration: std::time::Duration| json!(duration.as_millis() as u64);
    facts["durability"] = json!(match can.durability {
        Durability::Process => "process",
        Durability::Never => "never",
        Durability::Interval(_) => "interval",
        Durability::Group(_) => "group",
        Durability::Always => "always",
    });
    match can.durability {
        Durability::Interval(interval) => facts["interval_ms"] = ms(interval),
        Durability::Group(group) => facts["group_ms"] = ms(group),
        _ => {}
    }
    let (word, reason) = match health {
        Health::Up => ("up", None),
        Health::Degraded(why) => ("degraded", Some(why)),
        Health::Down(why) => ("down", Some(why)),
    };
    facts["health"] = json!(word);
    if let Some(reason) = reason {
        facts["reason"] = json!(reason);
    }
    Ok(Json(facts))
}

/// The message of a request.
async fn message(state: &HttpState, request: Request) -> Result<Bytes, Problem> {
    let (head, body) = request.into_parts();
    Query::of(&head.uri, &[])?;
    check_media(&head.headers)?;
    body::read_up_to(state, &head.headers, body, wire::LONGEST).await
}

/// The order of a request, in JSON.
async fn order<T: serde::de::DeserializeOwned>(state: &HttpState, request: Request) -> Result<T, Problem> {
    let (head, body) = request.into_parts();
    Query::of(&head.uri, &[])?;
    invalidate::check_type(&head.headers)?;
    let body = body::read_up_to(state, &head.headers, body, LONGEST_ORDER).await?;
    serde_json::from_slice(&body).map_err(|error| Problem::invalid(format!("the body: {error}")))
}

/// A page of another site cannot send this type without the browser asking first.
fn check_media(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(CONTENT_TYPE).is_some_and(|kind| kind == wire::MEDIA) {
        return Ok(());
    }
    let detail = format!("the body is a message between two Terraces: `Content-Type: {}`", wire::MEDIA);
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", detail))
}

fn answer(message: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(wire::MEDIA))], message).into_response()
}

fn missing(operation: &'static str) -> Problem {
    Error::new(ErrorKind::NotSupported, operation)
        .because("the store that the server keeps its keys in cannot")
        .into()
}
