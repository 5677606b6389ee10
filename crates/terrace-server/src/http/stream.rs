//! A connection of ours as the HTTP library wants it: tokio's traits over [`Connection`], with an end to a peer
//! that does not take what it asked for, and an ear for what the library says of itself (see [`super::answers`]).

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use terrace_store::net::Connection;
use terrace_store::{BoxFuture, Clock};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answers::Answers;

/// The longest message of the library that is kept; they are about a hundred bytes long.
const MESSAGE: usize = 1024;

/// A connection with a limit to how long a write may make no progress.
pub(crate) struct Stream {
    connection: Box<dyn Connection>,
    clock: Arc<dyn Clock>,
    patience: Duration,
    /// Runs while a write waits.
    stalled: Option<BoxFuture<'static, ()>>,
    answers: Arc<Answers>,
    kept_back: Vec<u8>,
}

impl Stream {
    /// This connection, given up when a write waits longer than `patience`.
    pub(crate) fn new(
        connection: Box<dyn Connection>,
        clock: Arc<dyn Clock>,
        patience: Duration,
        answers: Arc<Answers>,
    ) -> Self {
        Self { connection, clock, patience, stalled: None, answers, kept_back: Vec::new() }
    }

    /// What the library said of itself, which was not sent.
    pub(crate) fn kept_back(&self) -> &[u8] {
        &self.kept_back
    }

    /// Sends all of this, whoever says it.
    ///
    /// # Errors
    /// If the peer is gone, or does not take it.
    pub(crate) async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = poll_fn(|context| self.pass_on(context, &[IoSlice::new(bytes)])).await?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// The connection beneath.
    pub(crate) fn connection(&mut self) -> &mut dyn Connection {
        &mut *self.connection
    }

    fn keep_back(&mut self, buffers: &[IoSlice<'_>]) -> usize {
        for buffer in buffers {
            let room = MESSAGE.saturating_sub(self.kept_back.len()).min(buffer.len());
            self.kept_back.extend_from_slice(buffer.get(..room).unwrap_or_default());
        }
        buffers.iter().map(|buffer| buffer.len()).sum()
    }

    fn write(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if !self.answers.are_owed() {
            return Poll::Ready(Ok(self.keep_back(buffers)));
        }
        self.pass_on(context, buffers)
    }

    fn pass_on(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
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

    /// A connection holds nothing back; but the library flushes when it has written everything it had.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.answers.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_shutdown(context)
    }
}
