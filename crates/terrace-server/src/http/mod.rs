//! The HTTP side of the server: entries as resources, probes, metrics, live events, and the page.
//!
//! [`router`] is all of it without a socket, so that tests ask it directly; [`serve()`] puts it on a listener. It
//! shares nothing with the Redis side but the [`Keyspace`](crate::keyspace::Keyspace) and the few figures of
//! [`Activity`]. Every failure is an `application/problem+json` document that says what is wrong.

mod access;
mod answers;
mod body;
mod entries;
mod events;
mod exposition;
mod fields;
mod invalidate;
mod listing;
mod metrics;
mod page;
mod percent;
mod policy;
mod precondition;
mod probes;
mod problem;
mod process;
mod query;
mod rates;
mod refusal;
mod sampler;
mod serve;
mod snapshot;
mod state;
mod stores;
mod stream;
mod timer;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use problem::Problem;
pub use serve::{Handshake, serve};
pub use state::{Activity, Facts, HttpState, Limits, Live, Setup};

/// The description of the interface for programs.
const OPENAPI: &str = include_str!("openapi.json");

/// All paths, behind the guard that checks who asks.
pub fn router(state: Arc<HttpState>) -> Router {
    let entry = || get(entries::get).put(entries::put).delete(entries::delete);
    let mut router = Router::new()
        .route("/healthz", get(probes::alive))
        .route("/readyz", get(probes::ready))
        .route("/metrics", get(metrics::get))
        .route("/v1/stats", get(probes::stats))
        .route("/v1/history", get(probes::history))
        .route("/v1/events", get(events::listen))
        .route("/v1/openapi.json", get(openapi))
        .route("/v1/invalidate", post(invalidate::post))
        .route("/v1/entries", get(listing::list))
        // A key may be empty, and may contain slashes.
        .route("/v1/entries/", entry())
        .route("/v1/entries/{*key}", entry());
    for (path, asked) in stores::routes() {
        router = router.route(path, asked);
    }
    for path in page::paths() {
        router = router.route(path, get(page::get));
    }
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_way)
        .layer(from_fn_with_state(Arc::clone(&state), access::guard))
        .with_state(state)
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI).into_response()
}

async fn nothing_here() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path; `/v1/openapi.json` lists what is",
    )
}

async fn not_this_way(request: Request) -> Problem {
    let detail = format!("{} is not possible here; `Allow` says what is", request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not_supported", detail)
}
