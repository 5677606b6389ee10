//! Clock, tasks and network of a tokio runtime: what runs in production.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Accepted, Connection, Listener, Net};
use crate::spawn::Spawn;
use crate::store::BoxFuture;

fn current(operation: &'static str) -> Result<Handle> {
    Handle::try_current().map_err(|error| {
        Error::new(ErrorKind::Config, operation)
            .because("there is no tokio runtime on this thread")
            .caused_by(error)
    })
}

/// The operating system's clocks, with timers of a tokio runtime.
#[derive(Debug)]
pub struct TokioClock {
    origin: Instant,
    handle: Handle,
}

impl TokioClock {
    /// A clock whose timers run on the runtime of the calling thread.
    ///
    /// # Errors
    /// `Config` if the calling thread has none.
    pub fn current() -> Result<Self> {
        Ok(Self { origin: Instant::now(), handle: current("clock")? })
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_secs().saturating_mul(1000).saturating_add(u64::from(since.subsec_millis()))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let _entered = self.handle.enter();
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Tasks of a tokio runtime.
#[derive(Clone, Debug)]
pub struct TokioSpawn(Handle);

impl TokioSpawn {
    /// Tasks on the runtime of the calling thread.
    ///
    /// # Errors
    /// `Config` if the calling thread has none.
    pub fn current() -> Result<Self> {
        current("spawn").map(Self)
    }
}

impl Spawn for TokioSpawn {
    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) {
        drop(self.0.spawn(future));
    }

    fn spawn_blocking(&self, _name: &'static str, work: Box<dyn FnOnce() + Send>) {
        drop(self.0.spawn_blocking(work));
    }

    fn may_block(&self) -> bool {
        // Any runtime's thread is spared, not only this one's: blocking it would hold up its other tasks.
        match Handle::try_current() {
            Err(_) => true,
            Ok(handle) => {
                handle.runtime_flavor() != RuntimeFlavor::CurrentThread && tokio::task::try_id().is_none()
            }
        }
    }
}

/// TCP sockets of a tokio runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioNet;

impl Net for TokioNet {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Box::new(TcpListening { listener, address }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Connection>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(Tcp(stream)) as Box<dyn Connection>)
        })
    }
}

struct TcpListening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener for TcpListening {
    fn local_address(&self) -> SocketAddr {
        self.address
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Accepted>>> {
        Box::pin(async move {
            let (stream, peer) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            // Taken off this thread's event loop: the thread it is handed to attaches it to its own.
            Ok(Box::new(TcpAccepted { stream: stream.into_std()?, peer }) as Box<dyn Accepted>)
        })
    }
}

struct TcpAccepted {
    stream: std::net::TcpStream,
    peer: SocketAddr,
}

impl Accepted for TcpAccepted {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(Tcp(TcpStream::from_std(self.stream)?)))
    }
}

struct Tcp(TcpStream);

impl Connection for Tcp {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut self.0).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(buffer.filled().len())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match buffers {
            [one] => Pin::new(&mut self.0).poll_write(context, one),
            many => Pin::new(&mut self.0).poll_write_vectored(context, many),
        }
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
