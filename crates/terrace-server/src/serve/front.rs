//! The Redis protocol: a port, an acceptor, and the threads that serve who comes in.

use std::net::SocketAddr;
use std::sync::Arc;

use terrace_store::Rng;
use terrace_store::net::Listener;
use terrace_store::rng::SplitMix;
use tokio::task::JoinHandle;

use super::accept::accept;
use super::process;
use super::seats::Seats;
use super::stop::Stop;
use super::tls::Encryption;
use super::workers::{Dispatch, Workers};
use crate::config::Config;
use crate::exit::Failure;
use crate::keyspace::Keyspace;
use crate::resp::connection;
use crate::resp::parse::Limits;
use crate::resp::server::Server;
use crate::resp::settings;

/// Everything that speaks the Redis protocol.
pub(super) struct Front {
    server: Arc<Server>,
    acceptor: JoinHandle<()>,
    workers: Workers,
}

impl Front {
    /// Serves who connects, until the notice.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub(super) fn start(
        config: &Config,
        address: SocketAddr,
        listener: Box<dyn Listener>,
        keyspace: &Arc<Keyspace>,
        encryption: Option<Encryption>,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let rng: Arc<dyn Rng> = Arc::new(SplitMix::random());
        let server = Server::new(Arc::clone(keyspace), settings(config, address), rng);
        let workers = Workers::start(config.worker_threads(), &stop.notice(), config.server.shutdown.0)?;
        // Whoever is one too many is told so by the protocol, for which he has to be let in; the only limit here is
        // that of the files.
        let seats = Seats::new(process::reserve_files(config.limits.clients));
        let take_in = taking_in(Arc::clone(&server), workers.dispatch(), encryption);
        let acceptor = tokio::spawn(accept(listener, seats, stop.notice(), take_in));
        Ok(Self { server, acceptor, workers })
    }

    /// The server the connections share.
    pub(super) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// After the notice: lets clients finish, and returns how many had to be cut off.
    pub(super) async fn end(self) -> usize {
        let _ = self.acceptor.await;
        self.server.clients.close();
        let workers = self.workers;
        tokio::task::spawn_blocking(|| workers.join()).await.unwrap_or(0)
    }
}

/// What is done with each connection: it goes to a thread, which encrypts it if need be and serves it.
fn taking_in(
    server: Arc<Server>,
    dispatch: Dispatch,
    encryption: Option<Encryption>,
) -> impl FnMut(Box<dyn terrace_store::net::Accepted>, super::seats::Seat) {
    move |accepted, seat| {
        let (server, encryption) = (Arc::clone(&server), encryption.clone());
        dispatch.hand_over(Box::new(move || {
            Box::pin(async move {
                let _seat = seat;
                let peer = accepted.peer();
                let Ok(mut connection) = accepted.attach() else { return };
                if let Some(encryption) = encryption {
                    match encryption.wrap(connection).await {
                        Ok(encrypted) => connection = encrypted,
                        Err(_) => return,
                    }
                }
                connection::serve(server, connection, peer).await;
            })
        }));
    }
}

fn settings(config: &Config, address: SocketAddr) -> settings::Config {
    let on_disk = config.store.kind.is_on_disk();
    let directory = std::path::absolute(&config.store.dir).unwrap_or_else(|_| config.store.dir.clone());
    settings::Config {
        password: config.auth.requirepass.as_ref().map(|password| password.reveal().to_owned()),
        address,
        directory: if on_disk { directory.to_string_lossy().into_owned() } else { String::new() },
        persistent: on_disk,
        limits: Limits {
            bulk_bytes: u32::try_from(config.limits.value.0).unwrap_or(u32::MAX),
            request_bytes: u32::try_from(config.limits.request.0).unwrap_or(u32::MAX),
        },
        max_clients: config.limits.clients,
        idle_timeout: config.limits.idle.0,
        output_limit: usize::try_from(config.limits.output.0).unwrap_or(usize::MAX),
        maxmemory: config.store.maxmemory.0,
        ..settings::Config::default()
    }
}
