//! Failures as answers: `application/problem+json` (RFC 9457), saying in words what is wrong.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use terrace_store::{Error, ErrorKind};

/// A failure on its way to whoever asked.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    kind: &'a str,
}

impl Problem {
    /// A failure with this status; `kind` is one word for programs, `detail` a sentence for people.
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner { status, kind, detail: detail.into(), headers: Vec::new() }))
    }

    /// The request breaks a rule.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// The same with a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }
}

/// What a store's failure is in HTTP.
fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Full => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::NotSupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Busy | ErrorKind::Unavailable | ErrorKind::Network | ErrorKind::Closed => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let doubt = match error.kind() {
            ErrorKind::Unknown => "; the write may have been applied, or not",
            _ => "",
        };
        let problem = Self::new(status(error.kind()), error.kind().name(), format!("{error}{doubt}"));
        if error.is_transient() { problem.with(RETRY_AFTER, HeaderValue::from_static("1")) } else { problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner { status, kind, detail, headers } = *self.0;
        let title = status.canonical_reason().unwrap_or("Error");
        let document = Document { title, status: status.as_u16(), detail: &detail, kind };
        let mut response = Response::new(Body::from(serde_json::to_vec(&document).unwrap_or_default()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}
