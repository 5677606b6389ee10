//! What is no request of HTTP, answered with a document as every other failure.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use http_body_util::BodyExt;

use super::access::secure;
use super::problem::Problem;
use super::state::HttpState;

/// The answer in place of what the library said, whole; it is the last of its connection.
pub(crate) async fn of(state: &HttpState, said: &[u8], error: &hyper::Error) -> Vec<u8> {
    let said = String::from_utf8_lossy(said);
    let mut lines = said.lines();
    let first = lines.next().unwrap_or_default();
    let status =
        first.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = Problem::new(status, "invalid", detail(state, status, error)).into_response();
    secure(response.headers_mut());
    state.traffic.answered(status);

    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut answer = Vec::new();
    // The library's own first line and time.
    let kept = lines.filter(|line| line.to_ascii_lowercase().starts_with("date:"));
    for line in std::iter::once(first).chain(kept) {
        answer.extend_from_slice(line.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    for (name, value) in &parts.headers {
        answer.extend_from_slice(name.as_str().as_bytes());
        answer.extend_from_slice(b": ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer
        .extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    answer.extend_from_slice(&body);
    answer
}

fn detail(state: &HttpState, status: StatusCode, error: &hyper::Error) -> String {
    match status {
        StatusCode::URI_TOO_LONG => "the first line of the request is too long: at most 64 KiB".into(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            format!(
                "the headers are too long or too many: at most {} bytes, and 100 of them",
                state.limits.headers
            )
        }
        // The library does not tell its errors apart but in words.
        _ if error.to_string().contains("URI") => {
            "the path is neither ASCII nor UTF-8: write its other bytes as `%` and two hexadecimal digits"
                .into()
        }
        _ => format!("this is no request of HTTP/1.1: {error}"),
    }
}
