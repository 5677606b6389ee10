//! What others ask to know how the server is: `/healthz` (it lives), `/readyz` (it can serve), `/v1/stats`
//! (everything), `/v1/history` (the last minutes).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use super::query::Query;
use super::sampler::Report;
use super::snapshot;
use super::state::HttpState;

const UNCACHED: [(axum::http::HeaderName, HeaderValue); 1] =
    [(CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// The process lives and answers; asks nothing of the stores.
pub(crate) async fn alive() -> Response {
    (UNCACHED, Json(Status { status: "alive", reasons: Vec::new() })).into_response()
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

/// All stores can serve; 503 with the reasons if one is down. A store that is restricted still serves.
pub(crate) async fn ready(State(state): State<Arc<HttpState>>) -> Result<Response, Problem> {
    let stopping = *state.stop.borrow();
    let (states, mut reasons) = state.within(async { Ok(snapshot::healths(&state).await) }).await?;
    let down = states.iter().any(|(_, state)| *state == snapshot::State::Down);
    if stopping {
        reasons.push("the server is stopping".into());
    }
    let (code, status) = match (down || stopping, reasons.is_empty()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
        (false, false) => (StatusCode::OK, "degraded"),
        (false, true) => (StatusCode::OK, "ready"),
    };
    Ok((code, UNCACHED, Json(Status { status, reasons })).into_response())
}

/// Everything.
pub(crate) async fn stats(
    State(state): State<Arc<HttpState>>,
    request: Request,
) -> Result<Response, Problem> {
    Query::of(request.uri(), &[])?;
    let snapshot = state.within(async { Ok(snapshot::take(&state).await) }).await?;
    let sample = state.sample.borrow().clone();
    let report = Report { snapshot: &snapshot, rates: sample.as_deref().map(|sample| &sample.rates) };
    Ok((UNCACHED, Json(report)).into_response())
}

/// The rates of the last minutes.
pub(crate) async fn history(
    State(state): State<Arc<HttpState>>,
    request: Request,
) -> Result<Response, Problem> {
    Query::of(request.uri(), &[])?;
    Ok((UNCACHED, Json(state.history())).into_response())
}
