//! The network, handed in: listeners and connections behind a handful of methods, so that a server can run
//! over sockets, or over pipes in a simulation, without knowing which.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use crate::store::BoxFuture;

/// A stream of bytes in both directions. The contract of each poll is that of tokio's `AsyncRead` and
/// `AsyncWrite`: `Pending` registers the waker.
pub trait Connection: Send + Unpin {
    /// Reads into `buffer`; 0 means the other side has ended its stream.
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes a beginning of these buffers, in order, in one go; returns how many bytes.
    fn poll_write(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Ends our stream; what was written still arrives.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A connection that was accepted but not yet bound to a thread's event loop.
pub trait Accepted: Send {
    /// Who is at the other end.
    fn peer(&self) -> SocketAddr;

    /// Binds it to the event loop of the calling thread.
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>>;
}

/// A place where connections arrive.
pub trait Listener: Send + Sync {
    /// The address it listens on, with the port the system chose if 0 was asked for.
    fn local_address(&self) -> SocketAddr;

    /// The next connection.
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Accepted>>>;
}

/// A network.
pub trait Net: Send + Sync + 'static {
    /// Starts to listen on this address.
    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// Connects to this address.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Connection>>>;
}
