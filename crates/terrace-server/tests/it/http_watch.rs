//! What the server tells of itself: probes, statistics, events, metrics, and the description of the interface.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use serde_json::Value;
use terrace_server::http::Limits;
use terrace_store::Store;

use crate::http_server::{Server, Wishes, request, server, server_with};

async fn traffic(server: &Server) {
    for n in 0..10 {
        server.put(&format!("/v1/entries/k{n}"), &[], "value").await;
    }
    for n in 0..20 {
        server.get(&format!("/v1/entries/k{n}")).await;
    }
}

#[tokio::test]
async fn probes_tell_alive_from_ready() {
    let server = server().await;
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.json()["status"].as_str()), (StatusCode::OK, Some("ready")));
    server.store.close().await.unwrap();
    let unready = server.get("/readyz").await;
    assert_eq!(unready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(unready.json(), serde_json::json!({"status": "unready", "reasons": ["durable: closed"]}));
    assert_eq!(server.get("/healthz").await.status, StatusCode::OK);
    let stats = server.get("/v1/stats").await.json();
    assert_eq!(
        (stats["state"].as_str(), stats["reasons"][0].as_str()),
        (Some("down"), Some("durable: closed"))
    );
}

#[tokio::test]
async fn statistics_count_what_was_asked() {
    let server = server().await;
    traffic(&server).await;
    server.pass(Duration::from_secs(90));
    let stats = server.get("/v1/stats").await.json();
    assert_eq!(stats["version"], "1.2.3");
    assert_eq!(stats["uptime_ms"], 90_000);
    assert_eq!(stats["totals"]["keys"], 10);
    assert_eq!(stats["totals"]["bytes"], 70);
    assert_eq!((&stats["totals"]["hits"], &stats["totals"]["misses"]), (&10.into(), &10.into()));
    assert_eq!(stats["totals"]["hit_ratio"], 0.5);
    assert_eq!(stats["redis"]["commands_total"], 70);
    assert_eq!(stats["http"]["requests_total"], 30);
    assert_eq!(stats["databases"], serde_json::json!([{"db": 0, "keys": 10, "bytes": 70}]));
    let policy = &stats["policy"];
    assert!(policy["rules"].as_str().is_some_and(|rules| rules.contains("window")), "{policy}");
    let candidates = policy["candidates"].as_array().unwrap();
    assert_eq!(candidates.iter().filter(|one| one["chosen"] == true).count(), 1);
    let scales = policy["sizes"].as_array().unwrap().iter().map(|size| size["scale"].as_f64().unwrap());
    assert_eq!(scales.collect::<Vec<_>>(), [0.5, 1.0, 2.0, 4.0]);
    let tiers = stats["tiers"].as_array().unwrap();
    let by: BTreeMap<&str, &Value> =
        tiers.iter().map(|tier| (tier["tier"].as_str().unwrap(), tier)).collect();
    assert_eq!(by.keys().copied().collect::<Vec<_>>(), ["durable", "hot"]);
    assert_eq!((&by["hot"]["hits"], &by["durable"]["misses"]), (&10.into(), &10.into()));
    assert_eq!((&by["hot"]["entries"], &by["hot"]["capacity_bytes"]), (&10.into(), &1_048_576.into()));
    assert_eq!(
        (&by["durable"]["entries"], &by["durable"]["capacity_bytes"]),
        (&10.into(), &1_073_741_824.into())
    );
    // A sample: reads of a store in the process are timed now and then.
    assert!(by["durable"]["read_latency"]["count"].as_u64().unwrap() <= 10);
    assert_eq!(stats["server"]["settings"], serde_json::json!([["hot", "1mib"]]));
    assert_eq!(stats["server"]["password"], false);
}

/// The data of the next event, with the clock moved until it comes.
async fn event(server: &Server, body: &mut Body, text: &mut String) -> Value {
    for _ in 0..10_000 {
        if let Some((event, rest)) = text.split_once("\n\n") {
            let (event, rest) = (event.to_owned(), rest.to_owned());
            *text = rest;
            if let Some(data) = event.strip_prefix("event: stats\ndata: ") {
                return serde_json::from_str(data).unwrap();
            }
            continue;
        }
        tokio::select! {
            biased;
            frame = body.frame() => {
                let data = frame.unwrap().unwrap().into_data().unwrap();
                text.push_str(std::str::from_utf8(&data).unwrap());
            }
            () = tokio::task::yield_now() => server.pass(Duration::from_millis(100)),
        }
    }
    panic!("no event came");
}

#[tokio::test]
async fn events_come_once_a_second_with_rates() {
    let server = server().await;
    let response = server.open(request("GET", "/v1/events", &[], "")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut body, mut text) = (response.into_body(), String::new());
    let first = event(&server, &mut body, &mut text).await;
    traffic(&server).await;
    let second = event(&server, &mut body, &mut text).await;
    let third = event(&server, &mut body, &mut text).await;
    let (a, b) = (first["time_ms"].as_u64().unwrap(), second["time_ms"].as_u64().unwrap());
    assert_eq!(b - a, 1000);
    assert_eq!(first["rates"]["reads"], 0.0);
    assert_eq!((&second["rates"]["reads"], &second["rates"]["writes"]), (&20.0.into(), &10.0.into()));
    assert_eq!(
        (&second["rates"]["hit_ratio"], &second["rates"]["http_requests"]),
        (&0.5.into(), &30.0.into())
    );
    assert_eq!(
        (&second["rates"]["tiers"][0]["tier"], &second["rates"]["tiers"][0]["share"]),
        (&"hot".into(), &0.5.into())
    );
    assert_eq!(third["rates"]["reads"], 0.0);
    assert_eq!(third["rates"]["hit_ratio"], Value::Null);
    let history = server.get("/v1/history").await.json();
    assert_eq!(history.as_array().unwrap()[..2], [first["rates"].clone(), second["rates"].clone()]);
}

#[tokio::test]
async fn listeners_are_bounded_and_give_their_place_back() {
    let limits = Limits { listeners: 2, ..Limits::default() };
    let server = server_with(Wishes { limits: Some(limits), ..Wishes::default() }).await;
    let listen = || server.open(request("GET", "/v1/events", &[], ""));
    let (first, _second) = (listen().await, listen().await);
    let refused = listen().await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop((first, refused));
    assert_eq!(listen().await.status(), StatusCode::OK);
}

/// Samples by their name and labels, checked as Prometheus checks them.
fn parse_metrics(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut types = BTreeMap::new();
    let mut family: Option<(String, Option<String>)> = None;
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(!help.is_empty(), "{line}");
            family = Some((name.to_owned(), None));
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            let known = family.as_mut().unwrap();
            assert_eq!(name, known.0, "TYPE follows HELP");
            assert!(["counter", "gauge", "summary"].contains(&kind), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
            known.1 = Some(kind.to_owned());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').unwrap();
        let (family, kind) = family.as_ref().unwrap();
        let kind = kind.as_deref().unwrap();
        let suffix =
            name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} stands under {family}"));
        match kind {
            "summary" => assert!(["", "_sum", "_count"].contains(&suffix), "{line}"),
            _ => assert_eq!(suffix, "", "{line}"),
        }
        if kind == "counter" {
            assert!(family.ends_with("_total") && value >= 0.0, "{line}");
        }
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{line}");
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once("=\"").unwrap();
            assert!(
                name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && value.ends_with('"'),
                "{line}"
            );
        }
        assert!(samples.insert(series.to_owned(), value).is_none(), "{series} comes twice");
    }
    samples
}

#[tokio::test]
async fn metrics_are_well_formed_and_right() {
    let server = server().await;
    traffic(&server).await;
    let reply = server.get("/metrics").await;
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let metrics = parse_metrics(std::str::from_utf8(&reply.body).unwrap());
    for (series, value) in [
        ("cache_hits_total{layer=\"hot\"}", 10.0),
        ("cache_misses_total{layer=\"hot\"}", 10.0),
        ("cache_misses_total{layer=\"durable\"}", 10.0),
        ("cache_errors_total{layer=\"durable\"}", 0.0),
        ("cache_writes_total{layer=\"durable\"}", 10.0),
        ("cache_loads_total", 0.0),
        ("cache_entries{layer=\"hot\"}", 10.0),
        ("cache_capacity_bytes{layer=\"hot\"}", 1_048_576.0),
        ("cache_evictions_total{layer=\"hot\",cause=\"capacity\"}", 0.0),
        ("cache_up{layer=\"durable\"}", 1.0),
        ("terrace_keys{db=\"0\"}", 10.0),
        ("terrace_connections{protocol=\"redis\"}", 3.0),
        ("terrace_commands_total", 70.0),
        ("terrace_http_requests_total{code=\"2xx\"}", 20.0),
        ("terrace_http_requests_total{code=\"4xx\"}", 10.0),
        ("terrace_build_info{version=\"1.2.3\"}", 1.0),
    ] {
        assert_eq!(metrics.get(series), Some(&value), "{series}");
    }
    for operation in ["get", "write"] {
        let series = format!("cache_latency_seconds_count{{layer=\"durable\",operation=\"{operation}\"}}");
        assert!(metrics.get(&*series).is_some_and(|count| *count <= 10.0), "{series}: a sample");
    }
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_metric_exists() {
    let server = server().await;
    traffic(&server).await;
    let text = String::from_utf8(server.get("/metrics").await.body.to_vec()).unwrap();
    let exposed: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let book = include_str!("../../../../docs/metrics.md");
    let rows = book.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<&str> = rows.filter_map(|row| row.split(['`', '{']).next()).collect();
    assert_eq!(exposed, documented);
}

#[tokio::test]
async fn every_operation_of_the_description_answers() {
    let server = server().await;
    let description = server.get("/v1/openapi.json").await.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3."));
    let mut operations = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            operations += 1;
            let filled = path.replace("{key}", "some%20key").replace("{store}", "some-store");
            let json = [("content-type", "application/json")];
            let (headers, body): (&[_], _) =
                if method == "post" { (&json, r#"{"key":"k"}"#) } else { (&[], "v") };
            let method = method.to_uppercase();
            let answer = server.open(request(&method, &filled, headers, body)).await;
            let status = answer.status().as_u16().to_string();
            assert!(operation["responses"].get(&status).is_some(), "{method} {path} answers {status}");
            assert!(!["405", "500"].contains(&status.as_str()), "{method} {path}: {status}");
        }
    }
    assert!(operations >= 14, "{operations}");
}
