//! Taking in a request's body: no larger, slower or more of them at a time than allowed.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;

use super::problem::Problem;
use super::state::{HttpState, UPLOAD_UNIT, in_time};

/// What is set aside for a body before any of it has come, at most.
const TRUST: usize = 64 << 10;

/// The whole body, in a buffer of its own size: it may be kept for long.
///
/// # Errors
/// 413 if it is too large, 408 if it does not come in time, 400 if it breaks off.
pub(crate) async fn read(state: &HttpState, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    read_up_to(state, headers, body, state.limits.body).await
}

/// [`read`] with a limit of its own.
///
/// # Errors
/// As of [`read`].
pub(crate) async fn read_up_to(
    state: &HttpState,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes, Problem> {
    let announced = announced(headers);
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let kept = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0).min(TRUST);
    let whole = collect(state, body, kept, limit);
    in_time(&**state.clock(), state.limits.upload_time, whole).await.unwrap_or_else(|| {
        let detail = format!("the body did not arrive within {} s", state.limits.upload_time.as_secs());
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail))
    })
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(state: &HttpState, mut body: Body, kept: usize, limit: usize) -> Result<Bytes, Problem> {
    let mut whole = Vec::with_capacity(kept);
    let mut room = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::invalid(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.len() + data.len();
        if length > limit {
            return Err(too_large(limit));
        }
        // By what has come, not by what was announced: who sends slowly holds up nobody.
        let units = length.div_ceil(UPLOAD_UNIT) - whole.len().div_ceil(UPLOAD_UNIT);
        let permit = state.uploads.try_acquire_many(u32::try_from(units).unwrap_or(u32::MAX));
        room.push(permit.map_err(|_| crowded())?);
        whole.extend_from_slice(&data);
    }
    Ok(Bytes::from(whole.into_boxed_slice()))
}

fn crowded() -> Problem {
    let detail = "too many bodies are on their way in; try again in a moment";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
        .with(RETRY_AFTER, HeaderValue::from_static("1"))
}

fn too_large(limit: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid", format!("a body is at most {limit} bytes long"))
}
