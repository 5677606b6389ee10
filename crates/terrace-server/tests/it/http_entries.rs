//! Entries over HTTP: what goes in comes out, conditions hold, and bad input gets an answer that says what is wrong.

use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use terrace_server::http::Limits;
use terrace_store::Store;

use crate::http_server::{BEGIN_MS, Wishes, server, server_with};

#[tokio::test]
async fn a_value_comes_back_with_everything_that_was_said_about_it() {
    let server = server().await;
    let headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("terrace-ttl", "10m"),
        ("terrace-tags", "users, a%2Cb"),
        ("terrace-tags", "%ff"),
        ("terrace-meta-owner", "j%C3%BCrgen"),
    ];
    let put = server.put("/v1/entries/user%3A1", &headers, "hello").await;
    assert_eq!(put.status, StatusCode::CREATED);
    server.pass(Duration::from_millis(2_500));
    let got = server.get("/v1/entries/user:1").await;
    assert_eq!((got.status, &got.body[..]), (StatusCode::OK, &b"hello"[..]));
    assert_eq!(got.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(got.header("etag"), put.header("etag"));
    assert_eq!(got.header("terrace-ttl"), "597500ms");
    assert_eq!(got.header("terrace-tags"), "a%2Cb, users, %FF");
    assert_eq!(got.header("terrace-meta-owner"), "j%C3%BCrgen");
    assert_eq!(got.header("age"), "2");
    assert_eq!(got.header("cache-status"), "terrace; hit; ttl=597; detail=hot");
    let head = server.ask("HEAD", "/v1/entries/user:1", &[], "").await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (StatusCode::OK, 0, "5"));
    assert_eq!(head.header("etag"), put.header("etag"));
}

#[tokio::test]
async fn http_and_redis_commands_see_the_same_keys() {
    let server = server().await;
    let key = server.keyspace.key(3, b"shared").unwrap();
    let _ = server.keyspace.set(&key, Bytes::from_static(b"from redis"), None).await.unwrap();
    assert_eq!(&server.get("/v1/entries/shared?db=3").await.body[..], b"from redis");
    assert_eq!(server.get("/v1/entries/shared").await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        server.put("/v1/entries/shared?db=3&ttl=5s", &[], "from http").await.status,
        StatusCode::NO_CONTENT
    );
    let value = server.keyspace.get(&key).await.unwrap().unwrap();
    assert_eq!(&value.bytes[..], b"from http");
    assert_eq!(value.expires_ms.unwrap().get(), BEGIN_MS + 5_000);
    let other = server.keyspace.key(3, b"").unwrap();
    let _ = server.keyspace.set(&other, Bytes::from_static(b"empty key"), None).await.unwrap();
    assert_eq!(&server.get("/v1/entries/?db=3").await.body[..], b"empty key");
}

#[tokio::test]
async fn a_value_ends_with_its_ttl() {
    let server = server().await;
    server.put("/v1/entries/k?ttl=1500ms", &[], "v").await;
    server.pass(Duration::from_millis(1_499));
    assert_eq!(server.get("/v1/entries/k").await.header("terrace-ttl"), "1ms");
    server.pass(Duration::from_millis(1));
    let gone = server.get("/v1/entries/k").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(gone.header("cache-status"), "terrace; fwd=miss");
    assert_eq!(gone.problem(), "there is no entry with this key");
}

#[tokio::test]
async fn any_bytes_can_be_a_key() {
    let server = server().await;
    let every: Vec<u8> = (0..=255).collect();
    let encoded: String = every.iter().map(|byte| format!("%{byte:02x}")).collect();
    for (path, key) in [
        (encoded.as_str(), every.as_slice()),
        ("a/b//c", b"a/b//c"),
        ("a%2Fb%2F%2Fc", b"a/b//c"),
        ("%ff%fe", b"\xff\xfe"),
        ("a+b", b"a+b"),
        ("", b""),
    ] {
        let path = format!("/v1/entries/{path}");
        server.put(&path, &[], path.as_str()).await;
        let value = server.keyspace.get(&server.key(key)).await.unwrap().unwrap();
        assert_eq!(value.bytes, path.as_bytes(), "{path}");
        assert_eq!(server.get(&path).await.body, path.as_bytes());
        assert_eq!(server.ask("DELETE", &path, &[], "").await.status, StatusCode::NO_CONTENT);
        assert_eq!(server.ask("DELETE", &path, &[], "").await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn bad_requests_say_what_is_wrong() {
    let server = server().await;
    let many = (0..17).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let long = "t".repeat(256);
    let cases: &[(&str, &str, &[(&str, &str)], &str)] = &[
        (
            "GET",
            "/v1/entries/a%2",
            &[],
            "the key in the path: the `%` at byte 1 is not followed by two hexadecimal digits",
        ),
        ("GET", "/v1/entries/%zz", &[], "byte 0"),
        ("DELETE", "/v1/entries/%", &[], "byte 0"),
        ("GET", "/v1/entries/k?db=16", &[], "there is no database 16; the last one is 15"),
        ("GET", "/v1/entries/k?db=-1", &[], "the parameter `db` is `-1`"),
        ("GET", "/v1/entries/k?db=%ff", &[], "the parameter `db` is not UTF-8"),
        ("GET", "/v1/entries/k?db=1&db=2", &[], "given twice"),
        (
            "PUT",
            "/v1/entries/k?tll=10m",
            &[],
            "there is no parameter `tll` here; the parameters are: db, ttl",
        ),
        ("PUT", "/v1/entries/k?ttl=soon", &[], "the TTL: `soon` is no duration"),
        ("PUT", "/v1/entries/k?ttl=0s", &[], "the TTL is 0"),
        ("PUT", "/v1/entries/k?ttl=99999999999999999999s", &[], "the TTL"),
        ("PUT", "/v1/entries/k?ttl=1s", &[("terrace-ttl", "1s")], "given both"),
        ("PUT", "/v1/entries/k", &[("terrace-ttl", "1s"), ("terrace-ttl", "2s")], "given twice"),
        ("PUT", "/v1/entries/k", &[("terrace-tags", "a%")], "`terrace-tags`: the `%`"),
        ("PUT", "/v1/entries/k", &[("terrace-tags", &many)], "at most 16 tags"),
        ("PUT", "/v1/entries/k", &[("terrace-tags", &long)], "1 to 255 bytes"),
        ("PUT", "/v1/entries/k", &[("terrace-meta-", "x")], "a name is to follow"),
        ("PUT", "/v1/entries/k", &[("terrace-meta-a", "%ff")], "not UTF-8"),
        ("PUT", "/v1/entries/k", &[("if-match", "12")], "list of ETags in double quotes"),
        ("GET", "/v1/entries/k", &[("if-none-match", "\"1")], "list of ETags in double quotes"),
    ];
    for (method, path, headers, wrong) in cases {
        let reply = server.ask(method, path, headers, "value").await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{method} {path} {headers:?}");
        let problem = reply.problem();
        assert!(problem.contains(wrong), "{method} {path}: {problem}");
    }
    assert_eq!(server.get("/v1/entries/k").await.status, StatusCode::NOT_FOUND, "nothing was written");
}

#[tokio::test]
async fn writes_depend_on_the_version_that_is_there() {
    let server = server().await;
    let path = "/v1/entries/k";
    assert_eq!(server.put(path, &[("if-match", "*")], "a").await.status, StatusCode::PRECONDITION_FAILED);
    let first = server.put(path, &[("if-none-match", "*")], "a").await;
    assert_eq!(first.status, StatusCode::CREATED);
    let again = server.put(path, &[("if-none-match", "*")], "b").await;
    assert_eq!(again.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(again.header("etag"), first.header("etag"), "the answer says what is there");
    let second = server.put(path, &[("if-match", first.header("etag"))], "b").await;
    assert_eq!(second.status, StatusCode::NO_CONTENT);
    assert_ne!(second.header("etag"), first.header("etag"));
    let late = server.put(path, &[("if-match", first.header("etag"))], "late").await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    let late = server.ask("DELETE", path, &[("if-match", first.header("etag"))], "").await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(&server.get(path).await.body[..], b"b");
    let gone = server.ask("DELETE", path, &[("if-match", second.header("etag"))], "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn one_of_many_who_write_the_same_version_wins() {
    let server = std::sync::Arc::new(server().await);
    let first = server.put("/v1/entries/k", &[], "0").await;
    let mut writers = tokio::task::JoinSet::new();
    for n in 1..=20 {
        let (server, etag) = (std::sync::Arc::clone(&server), first.header("etag").to_owned());
        writers.spawn(async move {
            server.put("/v1/entries/k", &[("if-match", &etag)], &n.to_string()).await.status.is_success()
        });
    }
    let won = writers.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_reader_that_has_the_value_is_not_sent_it_again() {
    let server = server().await;
    let put = server.put("/v1/entries/k", &[], "v").await;
    let etag = put.header("etag");
    let same = server.ask("GET", "/v1/entries/k", &[("if-none-match", etag)], "").await;
    assert_eq!((same.status, same.body.len(), same.header("etag")), (StatusCode::NOT_MODIFIED, 0, etag));
    let weak = format!("\"0\", W/{etag}");
    assert_eq!(
        server.ask("GET", "/v1/entries/k", &[("if-none-match", &weak)], "").await.status,
        StatusCode::NOT_MODIFIED
    );
    let other = server.ask("GET", "/v1/entries/k", &[("if-none-match", "\"0\"")], "").await;
    assert_eq!((other.status, &other.body[..]), (StatusCode::OK, &b"v"[..]));
    let wrong = server.ask("GET", "/v1/entries/k", &[("if-match", "\"0\"")], "").await;
    assert_eq!(wrong.status, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_announced_or_not() {
    let limits = Limits { body: 1000, ..Limits::default() };
    let server = server_with(Wishes { limits: Some(limits), ..Wishes::default() }).await;
    let fits = "x".repeat(1000);
    assert_eq!(server.put("/v1/entries/k", &[], &fits).await.status, StatusCode::CREATED);
    let large = "x".repeat(1001);
    for headers in [&[][..], &[("content-length", "1001")], &[("content-length", "99999999999999999999999")]]
    {
        let reply = server.put("/v1/entries/k", headers, &large).await;
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE, "{headers:?}");
        assert_eq!(reply.problem(), "a body is at most 1000 bytes long");
    }
    assert_eq!(server.get("/v1/entries/k").await.body.len(), 1000, "what was there stays");
}

#[tokio::test]
async fn a_tag_a_prefix_a_key_or_all_can_be_invalidated() {
    let server = server().await;
    let scopes: [(&str, &str, &[&str]); 7] = [
        (r#"{"tag": "t"}"#, "tag", &["/v1/entries/a:1"]),
        (r#"{"tag": "%74", "encoded": true}"#, "tag", &["/v1/entries/a:1"]),
        (r#"{"prefix": "a:"}"#, "prefix", &["/v1/entries/a:1", "/v1/entries/a:2"]),
        (r#"{"prefix": "", "db": 1}"#, "prefix", &["/v1/entries/a:1?db=1"]),
        (r#"{"key": "b"}"#, "key", &["/v1/entries/b"]),
        (r#"{"db": 1}"#, "db", &["/v1/entries/a:1?db=1"]),
        (
            r#"{"all": true, "mode": "purge"}"#,
            "all",
            &["/v1/entries/a:1", "/v1/entries/a:2", "/v1/entries/b", "/v1/entries/a:1?db=1"],
        ),
    ];
    let all = scopes[6].2;
    for (body, name, gone) in scopes {
        for path in all {
            let tags: &[_] = if *path == "/v1/entries/a:1" { &[("terrace-tags", "t")] } else { &[] };
            assert!(server.put(path, tags, "v").await.status.is_success());
        }
        let reply = server.invalidate(body).await;
        assert_eq!(reply.status, StatusCode::OK, "{body}");
        assert_eq!(reply.json(), serde_json::json!({"invalidated": name, "mode": "purge"}));
        for path in all {
            let there = server.get(path).await.status == StatusCode::OK;
            assert_eq!(there, !gone.contains(path), "{path} after {body}");
        }
    }
}

#[tokio::test]
async fn what_was_purged_can_be_written_again_as_new() {
    let server = server().await;
    server.put("/v1/entries/k", &[("terrace-tags", "t")], "old").await;
    server.invalidate(r#"{"tag": "t"}"#).await;
    let put = server.put("/v1/entries/k", &[("if-none-match", "*"), ("terrace-tags", "t")], "new").await;
    assert!(put.status.is_success(), "{:?}", put.body);
    assert_eq!(&server.get("/v1/entries/k").await.body[..], b"new");
}

#[tokio::test]
async fn what_was_expired_is_served_to_those_who_allow_stale() {
    let server = server().await;
    for (body, tags) in
        [(r#"{"tag": "t", "mode": "expire"}"#, "t"), (r#"{"key": "k", "mode": "expire"}"#, "")]
    {
        server.put("/v1/entries/k", &[("terrace-tags", tags)], "v").await;
        assert_eq!(server.get("/v1/entries/k").await.status, StatusCode::OK);
        assert_eq!(server.invalidate(body).await.status, StatusCode::OK);
        let refused = server.get("/v1/entries/k").await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{body}");
        assert!(refused.problem().contains("stale"));
        let stale = server.ask("GET", "/v1/entries/k", &[("cache-control", "no-cache, max-stale")], "").await;
        assert_eq!((stale.status, &stale.body[..]), (StatusCode::OK, &b"v"[..]));
        assert!(stale.header("cache-status").contains("ttl=-1"));
    }
}

#[tokio::test]
async fn transactions_learn_of_writes_and_invalidations_over_http() {
    let server = server().await;
    let key = server.key(b"p:k");
    for (method, path, body, told) in [
        ("PUT", "/v1/entries/p:k", "v", true),
        ("PUT", "/v1/entries/other", "v", false),
        ("POST", "/v1/invalidate", r#"{"prefix": "p:"}"#, true),
        ("POST", "/v1/invalidate", r#"{"prefix": "q:"}"#, false),
        ("POST", "/v1/invalidate", r#"{"tag": "t"}"#, true),
        ("POST", "/v1/invalidate", r#"{"db": 0}"#, true),
        ("POST", "/v1/invalidate", r#"{"db": 1}"#, false),
        ("PUT", "/v1/entries/p:k", "v", true),
        ("POST", "/v1/invalidate", r#"{"key": "p:k"}"#, true),
        ("PUT", "/v1/entries/p:k", "v", true),
        ("DELETE", "/v1/entries/p:k", "", true),
    ] {
        let flag = terrace_server::keyspace::Flag::default();
        server.keyspace.watches.add(&key, &flag);
        let reply = server.ask(method, path, &[("content-type", "application/json")], body).await;
        assert!(reply.status.is_success(), "{method} {path} {body}");
        assert_eq!(flag.load(std::sync::atomic::Ordering::SeqCst), told, "{method} {path} {body}");
        server.keyspace.watches.remove(&key, &flag);
    }
}

#[tokio::test]
async fn an_invalidation_nobody_understands_is_refused() {
    let server = server().await;
    let long = format!(r#"{{"prefix": "{}"}}"#, "p".repeat(65_536));
    let longer = format!(r#"{{"key": "{}"}}"#, "k".repeat(65_537));
    let longest = format!(r#"{{"tag": "{}"}}"#, "k".repeat(600_000));
    let cases: [(&str, &str); 14] = [
        ("", "the body"),
        ("{", "the body"),
        ("[]", "the body"),
        (r#"{"taq": "t"}"#, "unknown field `taq`"),
        (r#"{"tag": 1}"#, "the body"),
        ("{}", "name one thing"),
        (r#"{"all": false}"#, "name one thing"),
        (r#"{"tag": "t", "prefix": "p"}"#, "name one thing"),
        (r#"{"tag": ""}"#, "1 to 255 bytes"),
        (r#"{"key": "k", "db": 99}"#, "there is no database 99"),
        (r#"{"key": "%f", "encoded": true}"#, "`key`: the `%`"),
        (&long, "a prefix is at most"),
        (&longer, "a key is at most 65536 bytes long"),
        (&longest, "this body is at most"),
    ];
    for (body, wrong) in cases {
        let reply = server.invalidate(body).await;
        assert!(reply.status.is_client_error(), "{}", &body[..body.len().min(80)]);
        assert!(reply.problem().contains(wrong), "{}", reply.problem());
    }
    let form = [("content-type", "text/plain")];
    let reply = server.ask("POST", "/v1/invalidate", &form, r#"{"all": true}"#).await;
    assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "a form of another site can send this");
}

#[tokio::test]
async fn keys_are_listed_in_pages_that_leave_none_out() {
    let server = server().await;
    let mut names: Vec<Vec<u8>> = (0..25).map(|n| format!("p:{n:02}").into_bytes()).collect();
    names.extend([b"p:".to_vec(), b"p:\0".to_vec(), b"p:\xff/\xff".to_vec(), b"q".to_vec()]);
    for name in &names {
        let _ = server.keyspace.set(&server.key(name), Bytes::from_static(b"v"), None).await.unwrap();
    }
    let mut expected: Vec<_> = names.iter().filter(|name| name.starts_with(b"p:")).cloned().collect();
    expected.sort();
    for limit in [1, 2, 7, 28, 100] {
        let mut path = format!("/v1/entries?prefix=p%3A&limit={limit}");
        let mut found = Vec::new();
        for page in 0.. {
            assert!(page < 40, "the listing does not end");
            let reply = server.get(&path).await;
            assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
            let page = reply.json();
            for listed in page["keys"].as_array().unwrap() {
                let entry = server.get(&format!("/v1/entries/{}", listed["key"].as_str().unwrap())).await;
                assert_eq!(entry.header("etag"), listed["etag"], "the name leads to the entry");
                found.push(listed["key"].as_str().unwrap().to_owned());
            }
            let Some(cursor) = page["cursor"].as_str() else { break };
            path = format!("/v1/entries?prefix=p%3A&limit={limit}&cursor={cursor}");
        }
        assert_eq!(found.len(), expected.len(), "limit {limit}");
        assert_eq!(found.last().unwrap(), "p:%FF%2F%FF");
        assert_eq!(found.first().unwrap(), "p:");
    }
    for (query, wrong) in
        [("limit=0", "from 1 to 1000"), ("limit=1001", "from 1 to 1000"), ("cursor=%21", "`cursor`")]
    {
        let reply = server.get(&format!("/v1/entries?{query}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert!(reply.problem().contains(wrong));
    }
}

#[tokio::test]
async fn a_closed_store_is_an_error_and_not_a_miss() {
    let server = server().await;
    server.store.close().await.unwrap();
    for method in ["GET", "PUT", "DELETE"] {
        let reply = server.ask(method, "/v1/entries/k", &[], "v").await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{method}");
        reply.problem();
    }
}
