//! A connection of ours as the HTTP library wants it: tokio's traits over [`Connection`], with an end to a peer
//! that does not take what it asked for.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use terrace_store::net::Connection;
use terrace_store::{BoxFuture, Clock};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection with a limit to how long a write may make no progress.
pub(crate) struct Stream {
    connection: Box<dyn Connection>,
    clock: Arc<dyn Clock>,
    patience: Duration,
    /// Runs while a write waits.
    stalled: Option<BoxFuture<'static, ()>>,
}

impl Stream {
    /// This connection, given up when a write waits longer than `patience`.
    pub(crate) fn new(connection: Box<dyn Connection>, clock: Arc<dyn Clock>, patience: Duration) -> Self {
        Self { connection, clock, patience, stalled: None }
    }

    fn write(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = self.connection.poll_write(context, buffers) {
            self.stalled = None;
            return Poll::Ready(result);
        }
        let stalled = self.stalled.get_or_insert_with(|| self.clock.sleep(self.patience));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.connection.poll_read(context, into.initialize_unfilled()).map_ok(|read| into.advance(read))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_shutdown(context)
    }
}
