//! Connections: made when they are needed, kept for the next call, forgotten when they were idle too long.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection that takes a request.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// How long a connection is kept that nobody uses: well below the time after which a Terrace ends it.
const IDLE: Duration = Duration::from_secs(10);

/// Where a server is, and the connections to it.
pub(super) struct Pool {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

impl Pool {
    pub(super) fn new(host: String, port: u16, tls: Option<(TlsConnector, ServerName<'static>)>) -> Self {
        Self { host, port, tls, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that was used before, if there is one that takes a request.
    pub(super) async fn used(&self) -> Option<Connection> {
        loop {
            // The one used last is the likeliest to be there still.
            let (mut connection, since) = self.idle().pop()?;
            if since.elapsed() > IDLE {
                self.idle().clear();
                return None;
            }
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next call.
    pub(super) fn keep(&self, connection: Connection) {
        if !connection.is_closed() {
            self.idle().push((connection, Instant::now()));
        }
    }

    /// Lets go of all.
    pub(super) fn clear(&self) {
        self.idle().clear();
    }

    /// A new connection. Its task ends with it.
    pub(super) async fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => begin(stream).await,
            Some((tls, name)) => begin(tls.connect(name.clone(), stream).await?).await,
        }
    }
}

async fn begin(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> io::Result<Connection> {
    let (connection, task) =
        http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Its failures are told to whoever waits for an answer on it.
    drop(tokio::spawn(task));
    Ok(connection)
}
