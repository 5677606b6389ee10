//! From a listener to the router: connections are accepted, wrapped in TLS if there is any, and spoken HTTP/1.1
//! with, until the server is told to stop.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use terrace_store::BoxFuture;
use terrace_store::net::{Accepted, Connection, Listener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::answers::{Answering, Answers};
use super::refusal;
use super::router;
use super::state::{HttpState, Traffic, in_time};
use super::stream::Stream;
use super::timer::ClockTimer;
use crate::linger::linger;

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
    let answers = Arc::<Answers>::default();
    let stream = Stream::new(connection, Arc::clone(state.clock()), silence, Arc::clone(&answers));
    let mut talking = http1::Builder::new()
        .timer(ClockTimer::new(Arc::clone(state.clock())))
        .header_read_timeout(silence)
        .max_buf_size(FIRST_LINE + state.limits.headers)
        .serve_connection(TokioIo::new(stream), Answering::new(router, answers));
    let mut stop = state.stop.subscribe();
    let ended = tokio::select! {
        ended = poll_fn(|context| talking.poll_without_shutdown(context)) => Some(ended),
        _ = stop.wait_for(|stopped| *stopped) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            Pin::new(&mut talking).graceful_shutdown();
            poll_fn(|context| talking.poll_without_shutdown(context)).await
        }
    };
    end(&state, talking.into_parts().io.into_inner(), ended).await;
}

/// Ends a connection that the library is done with. What was no request is answered first.
async fn end(state: &HttpState, mut stream: Stream, ended: hyper::Result<()>) {
    match ended {
        Err(error) if !stream.kept_back().is_empty() => {
            let refusal = refusal::of(state, stream.kept_back(), &error).await;
            if stream.send(&refusal).await.is_err() {
                return;
            }
        }
        // The peer is gone, or was silent too long.
        Err(_) => return,
        Ok(()) if *state.stop.borrow() => {
            let _ = poll_fn(|context| stream.connection().poll_shutdown(context)).await;
            return;
        }
        Ok(()) => {}
    }
    // One who was refused may still be sending: a body that is too long, say.
    linger(stream.connection(), &**state.clock(), state.limits.uploads as u64).await;
}
