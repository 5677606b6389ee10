//! Who may come in, and what a browser may do with an answer.

use axum::http::StatusCode;
use terrace_server::http::Limits;

use crate::http_server::{Wishes, server, server_with};

#[tokio::test]
async fn with_a_password_everything_but_healthz_needs_it() {
    let server = server_with(Wishes { password: Some("s3cret:x"), ..Wishes::default() }).await;
    let paths = [
        "/",
        "/page/app.js",
        "/readyz",
        "/metrics",
        "/v1/stats",
        "/v1/events",
        "/v1/entries/k",
        "/v1/entries",
        "/nothing",
    ];
    for path in paths {
        let reply = server.get(path).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
        let challenges: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, ["Basic realm=\"terrace\", charset=\"UTF-8\"", "Bearer realm=\"terrace\""]);
        assert!(!reply.problem().contains("s3cret"));
    }
    assert_eq!(server.get("/healthz").await.status, StatusCode::OK);
    let put = server.put("/v1/entries/k", &[], "v").await;
    assert_eq!(put.status, StatusCode::UNAUTHORIZED);
    // echo -n default:s3cret:x | base64
    for good in ["Bearer s3cret:x", "bearer s3cret:x", "Basic ZGVmYXVsdDpzM2NyZXQ6eA=="] {
        let reply = server.ask("GET", "/v1/entries/k", &[("authorization", good)], "").await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{good}: nothing was written without the password");
    }
    // echo -n admin:s3cret:x | base64, echo -n default:wrong | base64
    let bad = [
        "Bearer s3cret",
        "Bearer s3cret:xx",
        "Bearer",
        "s3cret:x",
        "Basic YWRtaW46czNjcmV0Ong=",
        "Basic ZGVmYXVsdDp3cm9uZw==",
        "Basic %",
    ];
    for bad in bad {
        let reply = server.ask("GET", "/v1/entries/k", &[("authorization", bad)], "").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{bad}");
    }
}

#[tokio::test]
async fn a_loopback_server_does_not_answer_to_a_name_a_stranger_chose() {
    let server = server_with(Wishes { local_names_only: true, ..Wishes::default() }).await;
    for (host, status) in [
        ("127.0.0.1:7380", StatusCode::OK),
        ("localhost:7380", StatusCode::OK),
        ("[::1]:7380", StatusCode::OK),
        ("evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("127.0.0.1.evil.example:7380", StatusCode::MISDIRECTED_REQUEST),
    ] {
        assert_eq!(server.ask("GET", "/v1/stats", &[("host", host)], "").await.status, status, "{host}");
    }
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let server = server_with(Wishes {
        limits: Some(Limits { headers: 1024, ..Limits::default() }),
        ..Wishes::default()
    })
    .await;
    let long = "x".repeat(1024);
    let reply = server.ask("GET", "/healthz", &[("x-filler", &long)], "").await;
    assert_eq!(reply.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(reply.problem().contains("at most 1024"));
}

#[tokio::test]
async fn every_answer_keeps_browsers_in_bounds() {
    let server = server().await;
    server.put("/v1/entries/k", &[("content-type", "text/html")], "<script>alert(1)</script>").await;
    for path in
        ["/", "/page/style.css", "/v1/entries/k", "/v1/entries/none", "/v1/stats", "/metrics", "/nothing"]
    {
        let reply = server.get(path).await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(reply.header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert!(reply.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert!(!reply.header("content-security-policy").contains("unsafe"), "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), "", "{path}");
    }
    let stored = server.get("/v1/entries/k").await;
    assert!(
        stored.header("content-security-policy").contains("sandbox"),
        "a stored page runs no script here"
    );
}

#[tokio::test]
async fn the_page_is_served_with_its_files_and_asked_for_only_once() {
    let server = server().await;
    let page = server.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").contains("script-src 'self'"));
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    let named = html.split('"').filter(|part| part.starts_with("/page/"));
    let mut files: Vec<String> = named.map(str::to_owned).collect();
    for script in ["/page/app.js", "/page/panels.js", "/page/lookup.js"] {
        let text = String::from_utf8(server.get(script).await.body.to_vec()).unwrap();
        let imports =
            text.split('"').filter_map(|part| part.strip_prefix("./")).filter(|part| part.ends_with(".js"));
        files.extend(imports.map(|file| format!("/page/{file}")));
    }
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let first = server.get(&file).await;
        assert_eq!(first.status, StatusCode::OK, "{file}");
        let again = server.ask("GET", &file, &[("if-none-match", first.header("etag"))], "").await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{file}");
    }
    assert!(
        !html.contains("<style") && !html.contains("<script>") && !html.contains(" style="),
        "nothing inline"
    );
}

#[tokio::test]
async fn wrong_paths_and_methods_are_told_apart() {
    let server = server().await;
    assert_eq!(server.get("/v2").await.status, StatusCode::NOT_FOUND);
    server.get("/v2").await.problem();
    let reply = server.ask("PATCH", "/v1/entries/k", &[], "").await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    reply.problem();
    assert_eq!(reply.header("allow"), "GET,HEAD,PUT,DELETE");
}
