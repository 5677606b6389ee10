//! HTTP: its port, and the facts it shows of the rest of the server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use terrace::tiers::Tier;
use terrace_store::BoxFuture;
use terrace_store::net::{Connection, Listener};
use tokio::task::JoinHandle;

use super::front::Front;
use super::stop::{Stop, noticed};
use super::tls::Encryption;
use crate::config::units::{Size, Span};
use crate::config::{Config, Engine, Eviction, Secret};
use crate::http::{self, Activity, Facts, Handshake, HttpState, Limits, Live, Setup};
use crate::keyspace::Keyspace;
use crate::resp::server::Server;

/// Everything that speaks HTTP.
pub(super) struct Web(JoinHandle<()>);

impl Web {
    /// Serves who connects, until the notice.
    pub(super) fn start(
        config: &Config,
        addresses: (SocketAddr, Option<SocketAddr>),
        listener: Box<dyn Listener>,
        keyspace: &Arc<Keyspace>,
        encryption: Option<Encryption>,
        front: &Front,
        stop: &Stop,
    ) -> Self {
        let server = Arc::clone(front.server());
        let state = HttpState::new(Setup {
            keyspace: Arc::clone(keyspace),
            limits: Limits {
                body: usize::try_from(config.limits.value.0).unwrap_or(usize::MAX),
                grace: config.server.shutdown.0,
                ..Limits::default()
            },
            live: Box::new(Running { config: config.clone(), server: Arc::clone(&server) }),
            local_names_only: config.exposed().is_empty(),
            facts: facts(config, addresses),
            activity: Box::new(move || activity(&server)),
        });
        let mut notice = stop.notice();
        let shutdown = async move { noticed(&mut notice).await };
        Self(tokio::spawn(http::serve(listener, state, encryption.map(handshake), shutdown)))
    }

    /// After the notice: waits until requests under way are answered.
    pub(super) async fn end(self) {
        let _ = self.0.await;
    }
}

fn handshake(encryption: Encryption) -> Handshake {
    Arc::new(move |connection| -> BoxFuture<'static, io::Result<Box<dyn Connection>>> {
        let encryption = encryption.clone();
        Box::pin(async move { encryption.wrap(connection).await })
    })
}

fn facts(config: &Config, (resp, http): (SocketAddr, Option<SocketAddr>)) -> Facts {
    let tier = if config.store.kind == Engine::Memory { Tier::Warm } else { Tier::Durable };
    Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        redis_address: Some(resp.to_string()),
        http_address: http.map(|address| address.to_string()),
        tls: config.tls.cert.is_some(),
        capacities: config.capacity().map(|bytes| (tier, bytes)).into_iter().collect(),
    }
}

/// The configuration the server was started with, and what CONFIG SET has changed of it.
struct Running {
    config: Config,
    server: Arc<Server>,
}

impl Live for Running {
    fn password(&self) -> Option<Bytes> {
        Some(self.server.settings.password()).filter(|password| !password.is_empty()).map(Bytes::from)
    }

    fn settings(&self) -> Vec<(String, String)> {
        let live = &self.server.settings;
        let mut now = self.config.clone();
        now.store.policy = Eviction(self.server.keyspace.eviction());
        now.store.maxmemory = Size(live.maxmemory());
        now.limits.clients = live.max_clients();
        now.limits.idle = Span(Duration::from_secs(live.idle_s()));
        now.auth.requirepass = live.asks_password().then(|| Secret::new(live.password()));
        now.settings()
    }
}

fn activity(server: &Server) -> Activity {
    let (connections_total, _) = server.clients.totals();
    Activity {
        connections: server.clients.len() as u64,
        connections_total,
        commands_total: server.counters.commands.load(Ordering::Relaxed),
    }
}
