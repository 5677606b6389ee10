//! The page: plain files compiled into the program, so that it works offline and belongs to its version.
//!
//! To add a panel, write a function in `page/panels.js` and name it in the list at its end.

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use xxhash_rust::xxh3::xxh3_64;

use super::problem::Problem;

/// Nothing from elsewhere, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const FILES: [File; 7] = [
    File { path: "/", kind: "text/html; charset=utf-8", text: include_str!("page/index.html") },
    File { path: "/page/style.css", kind: "text/css; charset=utf-8", text: include_str!("page/style.css") },
    File { path: "/page/app.js", kind: SCRIPT, text: include_str!("page/app.js") },
    File { path: "/page/panels.js", kind: SCRIPT, text: include_str!("page/panels.js") },
    File { path: "/page/lookup.js", kind: SCRIPT, text: include_str!("page/lookup.js") },
    File { path: "/page/draw.js", kind: SCRIPT, text: include_str!("page/draw.js") },
    File { path: "/page/icon.svg", kind: "image/svg+xml", text: include_str!("page/icon.svg") },
];

/// The paths of the page's files.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.path)
}

/// One of the page's files.
pub(crate) async fn get(request: Request) -> Result<Response, Problem> {
    let file = FILES.iter().find(|file| file.path == request.uri().path());
    let Some(file) = file else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "the page has no such file"));
    };
    let etag = format!("\"{:016x}\"", xxh3_64(file.text.as_bytes()));
    let known = request.headers().get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let unchanged =
        known.flat_map(|list| list.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == etag);
    let text = if unchanged { "" } else { file.text };
    let status = if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(file.kind)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (ETAG, HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\""))),
    ];
    Ok((status, headers, text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_asks_nobody_else() {
        let size: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(size < 100 << 10, "{size} bytes");
        for file in FILES {
            let outside = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!outside.contains("https://"), "{} names another site", file.path);
            assert!(!outside.contains("@import"), "{}", file.path);
        }
    }
}
