//! What concerns a namespace or a store as a whole, in JSON: amounts, clearing, reserving, sweeping, syncing.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::{Value, json};
use terrace_store::{Namespace, Store};

use super::super::percent::{self, Place};
use super::super::problem::Problem;
use super::super::query::Query;
use super::super::state::HttpState;
use super::{missing, name_of, open, order};

type Answer = Result<Json<Value>, Problem>;

/// `GET /v1/stores/{name}/namespaces`: those that hold anything, or the one that is asked for, with their amounts.
pub(super) async fn namespaces(State(state): State<Arc<HttpState>>, request: Request) -> Answer {
    let name = name_of(&request);
    let query = Query::of(request.uri(), &["namespace"])?;
    let wanted = query.bytes("namespace").map(Namespace::new).transpose()?;
    let done = async {
        let store = open(&state, &name).await?;
        let iterate = store.as_iterate().ok_or_else(|| missing("namespaces"))?;
        let found = match wanted {
            Some(wanted) => vec![wanted],
            None => iterate.namespaces().await?,
        };
        let mut rows = Vec::with_capacity(found.len());
        for namespace in found {
            rows.push(json!({
                "namespace": percent::encode(namespace.name(), Place::Segment),
                "count": iterate.count(&namespace).await?,
                "bytes": iterate.bytes(&namespace).await?,
            }));
        }
        Ok(Json(json!({ "namespaces": rows })))
    };
    state.within(done).await
}

/// What is to be cleared: one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clear {
    /// Percent-encoded.
    namespace: Option<String>,
    all: Option<bool>,
}

/// `POST /v1/stores/{name}/clear`: a namespace, or all of the store.
pub(super) async fn clear(State(state): State<Arc<HttpState>>, request: Request) -> Answer {
    let name = name_of(&request);
    let namespace = match order(&state, request).await? {
        Clear { namespace: Some(namespace), all: None } => {
            let bytes = percent::decode(namespace.as_bytes())
                .map_err(|error| Problem::invalid(format!("`namespace`: {error}")))?;
            Some(Namespace::new(bytes)?)
        }
        Clear { namespace: None, all: Some(true) } => None,
        _ => return Err(Problem::invalid("name one thing: `namespace`, percent-encoded, or `all`: true")),
    };
    let done = async {
        let store = open(&state, &name).await?;
        let batch = store.as_batch().ok_or_else(|| missing("clear"))?;
        Ok(Json(json!({ "removed": batch.clear(namespace.as_ref()).await? })))
    };
    state.within(done).await
}

/// An order without any particulars.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `POST /v1/stores/{name}/reserve`: a version between the writes before and those after.
pub(super) async fn reserve(State(state): State<Arc<HttpState>>, request: Request) -> Answer {
    let name = name_of(&request);
    let Nothing {} = order(&state, request).await?;
    let done = async {
        let version = open(&state, &name).await?.reserve().await?;
        // As text, since there are readers of JSON whose numbers end at 2^53.
        Ok(Json(json!({ "version": version.to_string() })))
    };
    state.within(done).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sweep {
    limit: usize,
}

/// `POST /v1/stores/{name}/sweep`: removes what is over, in all of the server.
pub(super) async fn sweep(State(state): State<Arc<HttpState>>, request: Request) -> Answer {
    let name = name_of(&request);
    let Sweep { limit } = order(&state, request).await?;
    let done = async {
        let swept = open(&state, &name).await?.sweep(limit).await?;
        Ok(Json(json!({ "expired": swept.expired, "floors": swept.floors, "more": swept.more })))
    };
    state.within(done).await
}

/// `POST /v1/stores/{name}/flush`: makes what was written as durable as the medium can.
pub(super) async fn flush(State(state): State<Arc<HttpState>>, request: Request) -> Answer {
    let name = name_of(&request);
    let Nothing {} = order(&state, request).await?;
    let done = async {
        open(&state, &name).await?.flush().await?;
        Ok(Json(json!({})))
    };
    state.within(done).await
}
