//! TLS 1.3 for both protocols: a connection goes in, a connection comes out.
//!
//! Decision: version 1.2 is not offered. Every client library of the last years speaks 1.3, and what is not
//! offered needs no configuration.

use std::io::{self, IoSlice};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use terrace_store::net::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::stream::Stream;
use crate::config::{ConfigError, Tls};

/// A client that has not finished its handshake by then is not going to.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Encrypts connections.
#[derive(Clone)]
pub(super) struct Encryption(TlsAcceptor);

impl Encryption {
    /// With the certificate and key that are configured; `None` if none are.
    ///
    /// # Errors
    /// If a file cannot be read, holds no certificate or key, or they do not belong together.
    pub(super) fn new(config: &Tls) -> Result<Option<Self>, ConfigError> {
        let (Some(cert), Some(key)) = (&config.cert, &config.key) else { return Ok(None) };
        let refused = |option: &str, path: &Path, reason: String| ConfigError {
            place: option.to_owned(),
            reason: format!("{}: {reason}", path.display()),
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect)
            .map_err(|error| refused("tls.cert", cert, error.to_string()))?;
        if chain.is_empty() {
            return Err(refused("tls.cert", cert, "holds no certificate in PEM form".into()));
        }
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| refused("tls.key", key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|error| refused("tls.cert", cert, format!("does not go with its key: {error}")))?;
        Ok(Some(Self(TlsAcceptor::from(Arc::new(config)))))
    }

    /// The connection, encrypted, after the handshake.
    ///
    /// # Errors
    /// If the client speaks no TLS 1.3, breaks off, or takes longer than five seconds.
    pub(super) async fn wrap(&self, connection: Box<dyn Connection>) -> io::Result<Box<dyn Connection>> {
        let handshake = self.0.accept(Stream(connection));
        let stream =
            tokio::time::timeout(HANDSHAKE, handshake).await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(Box::new(Encrypted { stream, unflushed: false }))
    }
}

/// The stream keeps what it has encrypted until it is flushed, but a connection holds nothing back: so every
/// write is followed by a flush, and one that could not be finished is finished first.
struct Encrypted {
    stream: TlsStream<Stream>,
    unflushed: bool,
}

impl Encrypted {
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl Connection for Encrypted {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        // What is still to be sent moves on while we wait for the client.
        let _ = self.poll_flush(context)?;
        let mut buffer = ReadBuf::new(buffer);
        match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
            Ok(()) => Poll::Ready(Ok(buffer.filled().len())),
            // A client that goes away without saying so has ended its stream all the same: both protocols frame
            // their messages themselves.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(context))?;
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, buffers))?;
        self.unflushed = true;
        // If it is pending the next call goes on with it.
        let _ = self.poll_flush(context)?;
        Poll::Ready(Ok(written))
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
