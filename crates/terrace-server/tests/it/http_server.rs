//! A server for the tests of HTTP: the router over a hot tier and a store in memory, on a clock that stands still.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::Value;
use terrace::tiers::{Foundation, HotConfig, HotTier, Lower, Options, Tier, Tiers, WriteMode};
use terrace_server::http::{Activity, Facts, HttpState, Limits, Live, Setup, router};
use terrace_server::keyspace::{Keyspace, hold};
use terrace_store::fakes::{FrozenClock, MapStore};
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{Clock, Key, Namespace, Store};
use tower::ServiceExt;

/// When the tests begin, by the wall clock.
pub(crate) const BEGIN_MS: u64 = 1_700_000_000_000;

pub(crate) struct Server {
    pub(crate) clock: FrozenClock,
    pub(crate) keyspace: Arc<Keyspace>,
    pub(crate) state: Arc<HttpState>,
    pub(crate) store: Arc<MapStore>,
    router: Router,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The sentence of a problem document, which must be one.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{:?}", self.body);
        let document = self.json();
        assert_eq!(document["status"], self.status.as_u16());
        document["detail"].as_str().unwrap().to_owned()
    }
}

/// What the tests of this file change about the usual server.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) limits: Option<Limits>,
    pub(crate) password: Option<&'static str>,
    pub(crate) local_names_only: bool,
}

/// Settings that stay as they are, and a password.
struct Fixed(Option<&'static str>);

impl Live for Fixed {
    fn password(&self) -> Option<Bytes> {
        self.0.map(|password| Bytes::from_static(password.as_bytes()))
    }

    fn settings(&self) -> Vec<(String, String)> {
        vec![("hot".into(), "1mib".into())]
    }
}

pub(crate) async fn server() -> Server {
    server_with(Wishes::default()).await
}

pub(crate) async fn server_with(wishes: Wishes) -> Server {
    let clock = FrozenClock::at_wall_ms(BEGIN_MS);
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let store = Arc::new(MapStore::new(Arc::clone(&shared)));
    let base = Foundation::new(shared, Options::default());
    let config = HotConfig {
        memory: terrace_memory::Config::bytes(1 << 20),
        namespace: Namespace::root(),
        hold,
        keep_unexpiring: false,
    };
    let (clock_of, floors, generations) =
        (Arc::clone(&base.clock), Arc::clone(&base.floors), Arc::clone(&base.generations));
    let hot: Arc<HotTier<Key, Bytes>> = Arc::new(HotTier::new(config, clock_of, floors, generations));
    let lower = Lower::new(Tier::Durable, Arc::clone(&store) as Arc<dyn Store>, WriteMode::Through);
    let spawn = Arc::new(TokioSpawn::current().unwrap());
    let tiers = Tiers::open(base, Some(Arc::clone(&hot) as _), vec![lower], spawn).await.unwrap();
    let keyspace = Arc::new(Keyspace::new(tiers, Some(hot)).unwrap());
    let state = HttpState::new(Setup {
        keyspace: Arc::clone(&keyspace),
        limits: wishes.limits.unwrap_or_default(),
        live: Box::new(Fixed(wishes.password)),
        local_names_only: wishes.local_names_only,
        facts: Facts {
            version: "1.2.3".into(),
            redis_address: Some("127.0.0.1:7379".into()),
            http_address: Some("127.0.0.1:7380".into()),
            tls: false,
            capacities: vec![(Tier::Durable, 1 << 30)],
        },
        activity: Box::new(|| Activity { connections: 3, connections_total: 5, commands_total: 70 }),
    });
    Server { clock, keyspace, router: router(Arc::clone(&state)), state, store }
}

impl Server {
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: head.status, headers: head.headers, body }
    }

    /// The answer, its body still on its way.
    pub(crate) async fn open(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        self.send(request(method, path, headers, body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, headers: &[(&str, &str)], value: &str) -> Reply {
        self.ask("PUT", path, headers, value.to_owned()).await
    }

    pub(crate) async fn invalidate(&self, body: &str) -> Reply {
        self.ask("POST", "/v1/invalidate", &[("content-type", "application/json")], body.to_owned()).await
    }

    pub(crate) fn key(&self, name: &[u8]) -> Key {
        self.keyspace.key(0, name).unwrap()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::new(body.into());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in headers {
        let name: axum::http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}
