//! Who may come in, and what every answer carries: counted here, too, since every request passes.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::problem::Problem;
use super::state::HttpState;

/// The user that a password alone belongs to.
const USER: &str = "default";

/// Lets a request in, or answers it.
pub(crate) async fn guard(State(state): State<Arc<HttpState>>, request: Request, next: Next) -> Response {
    let mut response = match admit(&state, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    secure(response.headers_mut());
    state.traffic.answered(response.status());
    response
}

fn admit(state: &HttpState, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    check_size(headers, state.limits.headers)?;
    let password = state.live.password();
    if state.local_names_only && password.is_none() {
        check_host(request)?;
    }
    if request.uri().path() == "/healthz" {
        return Ok(());
    }
    match password {
        Some(password) => authenticate(headers, &password),
        None => Ok(()),
    }
}

fn check_size(headers: &HeaderMap, limit: usize) -> Result<(), Problem> {
    // As on the wire: a colon, a space and the end of the line.
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size <= limit {
        return Ok(());
    }
    let detail = format!("the headers are {size} bytes long; at most {limit} are allowed");
    Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "invalid", detail))
}

/// A page of a stranger can point a name of its own at the loopback address; it cannot choose another `Host`.
fn check_host(request: &Request) -> Result<(), Problem> {
    let field = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = request.uri().authority().map(|authority| authority.as_str()).or(field) else {
        return Ok(());
    };
    if is_local_name(host) {
        return Ok(());
    }
    let detail = format!(
        "this server answers to localhost and to addresses only, not to `{}`; set a password to use it under a name",
        host.escape_debug()
    );
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "denied", detail))
}

fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

fn authenticate(headers: &HeaderMap, password: &[u8]) -> Result<(), Problem> {
    let refused = |detail: &str| {
        // Most browsers take up the first challenge they know only if it stands in a field of its own.
        Problem::new(StatusCode::UNAUTHORIZED, "denied", detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"terrace\", charset=\"UTF-8\""))
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"terrace\""))
    };
    let Some(given) = headers.get(AUTHORIZATION) else {
        return Err(refused(
            "a password is needed: send `Authorization: Bearer PASSWORD`, or Basic with user default",
        ));
    };
    let given = credentials(given.as_bytes())
        .ok_or_else(|| refused("`Authorization` is `Bearer PASSWORD`, or Basic with user default"))?;
    if is_same(&given, password) { Ok(()) } else { Err(refused("the password is wrong")) }
}

/// The password of an `Authorization` field.
fn credentials(field: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = field.split_at_checked(field.iter().position(|byte| *byte == b' ')?)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at_checked(colon)?;
    (user.is_empty() || user == USER.as_bytes()).then(|| password.get(1..).unwrap_or_default().to_vec())
}

/// Takes as long for any guess: it depends on the length of the password alone.
fn is_same(given: &[u8], password: &[u8]) -> bool {
    let mut padded = vec![0; password.len()];
    padded.iter_mut().zip(given).for_each(|(to, from)| *to = *from);
    let same_bytes = padded.ct_eq(password);
    let same_length = (given.len() as u64).ct_eq(&(password.len() as u64));
    (same_bytes & same_length).into()
}

/// What keeps a browser from doing more with an answer than to show it.
pub(crate) fn secure(headers: &mut HeaderMap) {
    const FIELDS: [(HeaderName, &str); 4] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in FIELDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A value may be a page that somebody stored: in the sandbox it runs no script and has no origin.
    let strictest = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(strictest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_same_only_if_all_of_it_is() {
        let cases = [("secret", true), ("secre", false), ("secret\0", false), ("secreT", false), ("", false)];
        for (given, same) in cases {
            assert_eq!(is_same(given.as_bytes(), b"secret"), same, "{given:?}");
        }
        assert!(!is_same(b"\0\0", b"\0\0\0"));
    }

    #[test]
    fn credentials_come_as_bearer_or_basic() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text)).into_bytes();
        assert_eq!(credentials(b"Bearer  s:e cret").unwrap(), b"s:e cret");
        assert_eq!(credentials(&basic("default:s:e")).unwrap(), b"s:e");
        assert_eq!(credentials(&basic(":s")).unwrap(), b"s");
        for wrong in
            [b"Bearer".to_vec(), b"".to_vec(), b"Digest x".to_vec(), b"Basic %%".to_vec(), basic("other:s")]
        {
            assert!(credentials(&wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn only_addresses_and_localhost_are_local_names() {
        for local in [
            "localhost",
            "LocalHost:7380",
            "127.0.0.1:7380",
            "[::1]:7380",
            "[::1]",
            "10.1.2.3",
            "a.localhost",
        ] {
            assert!(is_local_name(local), "{local}");
        }
        for foreign in
            ["evil.example", "evil.example:7380", "localhost.evil.example:80", "", "127.0.0.1.evil.example"]
        {
            assert!(!is_local_name(foreign), "{foreign}");
        }
    }
}
