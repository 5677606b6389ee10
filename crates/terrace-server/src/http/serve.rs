//! From a listener to the router: connections are accepted, wrapped in TLS if there is any, and spoken HTTP/1.1
//! with, until the server is told to stop.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use terrace_store::BoxFuture;
use terrace_store::net::{Accepted, Connection, Listener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::router;
use super::state::{HttpState, Traffic, in_time};
use super::stream::Stream;
use super::timer::ClockTimer;

/// The longest first line of a request that the library takes.
const FIRST_LINE: usize = 64 << 10;

/// How long to wait when no connection can be accepted, as when there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes a connection secure before anything else is done with it: the server's side of a TLS handshake.
pub type Handshake =
    Arc<dyn Fn(Box<dyn Connection>) -> BoxFuture<'static, io::Result<Box<dyn Connection>>> + Send + Sync>;

/// Serves HTTP to whoever connects until `shutdown` completes; then accepts nobody any more, ends live events, lets
/// requests under way finish within the limit of [`Limits::grace`](super::Limits::grace), and returns.
///
/// Runs its connections as tasks of the calling thread's tokio runtime.
///
/// # Cancellation
/// Dropping the future ends everything at once.
pub async fn serve(
    listener: Box<dyn Listener>,
    state: Arc<HttpState>,
    handshake: Option<Handshake>,
    shutdown: impl Future<Output = ()>,
) {
    let router = router(Arc::clone(&state));
    state.start_sampling();
    let mut connections = JoinSet::new();
    let accepting = async {
        let free = Arc::new(Semaphore::new(state.limits.connections));
        loop {
            // Never closed, so this always gives one.
            let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
            match listener.accept().await {
                Ok(accepted) => {
                    let talk = talk(accepted, Arc::clone(&state), router.clone(), handshake.clone(), permit);
                    connections.spawn(talk);
                }
                Err(_) => state.clock().sleep(PAUSE).await,
            }
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown => {}
    }
    drop(listener);
    state.stop();
    let drained = async { while connections.join_next().await.is_some() {} };
    in_time(&**state.clock(), state.limits.grace, drained).await;
    connections.shutdown().await;
}

/// One connection, from its first byte to its last.
async fn talk(
    accepted: Box<dyn Accepted>,
    state: Arc<HttpState>,
    router: Router,
    handshake: Option<Handshake>,
    _permit: OwnedSemaphorePermit,
) {
    let _counted = Traffic::connected(&state);
    let silence = state.limits.silence;
    let Ok(mut connection) = accepted.attach() else { return };
    if let Some(handshake) = handshake {
        match in_time(&**state.clock(), silence, handshake(connection)).await {
            Some(Ok(secured)) => connection = secured,
            _ => return,
        }
    }
    let stream = Stream::new(connection, Arc::clone(state.clock()), silence);
    let mut talking = pin!(
        http1::Builder::new()
            .timer(ClockTimer::new(Arc::clone(state.clock())))
            .header_read_timeout(silence)
            .max_buf_size(FIRST_LINE + state.limits.headers)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let mut stop = state.stop.subscribe();
    tokio::select! {
        // A peer that goes away or talks nonsense has had its answer from the library.
        _ = talking.as_mut() => return,
        _ = stop.wait_for(|stopped| *stopped) => talking.as_mut().graceful_shutdown(),
    }
    let _ = talking.await;
}
