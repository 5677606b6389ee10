//! A network within the process: listeners and connections over bounded pipes, without a socket.
//!
//! Addresses are only names. A pipe holds at most so many bytes; a writer waits when it is full, as with a socket
//! whose peer does not read. A side that ends its stream, or is dropped, is read to its end by the other; writing
//! to one that is gone is a broken pipe.

use std::collections::{HashMap, VecDeque};
use std::future::{poll_fn, ready};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::net::{Accepted, Connection, Listener, Net};
use crate::store::BoxFuture;

/// How many bytes a pipe holds, unless said otherwise.
const PIPE_BYTES: usize = 64 * 1024;
const FIRST_PORT: u16 = 40_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A network within the process. Clones are the same network.
#[derive(Clone)]
pub struct PipeNet {
    hosts: Arc<Mutex<Hosts>>,
    pipe_bytes: usize,
}

#[derive(Default)]
struct Hosts {
    listeners: HashMap<SocketAddr, Arc<Mutex<Backlog>>>,
    ports: u16,
}

#[derive(Default)]
struct Backlog {
    arrived: VecDeque<PipeAccepted>,
    waiting: Vec<Waker>,
}

impl Default for PipeNet {
    fn default() -> Self {
        Self::with_pipes_of(PIPE_BYTES)
    }
}

impl PipeNet {
    /// A network whose pipes hold this many bytes in each direction; at least one.
    pub fn with_pipes_of(bytes: usize) -> Self {
        Self { hosts: Arc::default(), pipe_bytes: bytes.max(1) }
    }

    fn bind(&self, address: SocketAddr) -> io::Result<PipeListener> {
        let mut hosts = lock(&self.hosts);
        let mut address = address;
        let any = address.port() == 0;
        while any && (address.port() == 0 || hosts.listeners.contains_key(&address)) {
            address.set_port(hosts.next_port()?);
        }
        if hosts.listeners.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let backlog = Arc::default();
        hosts.listeners.insert(address, Arc::clone(&backlog));
        Ok(PipeListener { net: self.clone(), address, backlog })
    }

    fn dial(&self, address: SocketAddr) -> io::Result<Pipe> {
        let mut hosts = lock(&self.hosts);
        let Some(backlog) = hosts.listeners.get(&address).cloned() else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), hosts.next_port()?);
        let (ours, theirs) = Pipe::pair(self.pipe_bytes);
        let waiting = {
            let mut backlog = lock(&backlog);
            backlog.arrived.push_back(PipeAccepted { pipe: theirs, peer });
            std::mem::take(&mut backlog.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
        Ok(ours)
    }
}

impl Hosts {
    fn next_port(&mut self) -> io::Result<u16> {
        self.ports += 1;
        FIRST_PORT.checked_add(self.ports).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }
}

impl Net for PipeNet {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        let bound = self.bind(address).map(|listener| Box::new(listener) as Box<dyn Listener>);
        Box::pin(ready(bound))
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Connection>>> {
        let dialled = self.dial(address).map(|pipe| Box::new(pipe) as Box<dyn Connection>);
        Box::pin(ready(dialled))
    }
}

struct PipeListener {
    net: PipeNet,
    address: SocketAddr,
    backlog: Arc<Mutex<Backlog>>,
}

impl Listener for PipeListener {
    fn local_address(&self) -> SocketAddr {
        self.address
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Accepted>>> {
        Box::pin(poll_fn(|context| {
            let mut backlog = lock(&self.backlog);
            if let Some(accepted) = backlog.arrived.pop_front() {
                return Poll::Ready(Ok(Box::new(accepted) as Box<dyn Accepted>));
            }
            backlog.waiting.push(context.waker().clone());
            Poll::Pending
        }))
    }
}

impl Drop for PipeListener {
    fn drop(&mut self) {
        lock(&self.net.hosts).listeners.remove(&self.address);
    }
}

struct PipeAccepted {
    pipe: Pipe,
    peer: SocketAddr,
}

impl Accepted for PipeAccepted {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(self.pipe))
    }
}

/// The bytes under way in one direction.
struct Stream {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// The writer has ended, or is gone.
    ended: bool,
    /// The reader is gone.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One side of a connection.
struct Pipe {
    incoming: Arc<Mutex<Stream>>,
    outgoing: Arc<Mutex<Stream>>,
}

impl Pipe {
    fn pair(capacity: usize) -> (Self, Self) {
        let stream = || {
            Arc::new(Mutex::new(Stream {
                bytes: VecDeque::new(),
                capacity,
                ended: false,
                unread: false,
                reader: None,
                writer: None,
            }))
        };
        let (there, back) = (stream(), stream());
        let ours = Self { incoming: Arc::clone(&back), outgoing: Arc::clone(&there) };
        (ours, Self { incoming: there, outgoing: back })
    }

    fn end(&self) {
        let reader = {
            let mut stream = lock(&self.outgoing);
            stream.ended = true;
            stream.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }
}

impl Connection for Pipe {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut stream = lock(&self.incoming);
        if stream.bytes.is_empty() && !stream.ended && !buffer.is_empty() {
            stream.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = buffer.len().min(stream.bytes.len());
        for (to, from) in buffer.iter_mut().zip(stream.bytes.drain(..count)) {
            *to = from;
        }
        let writer = stream.writer.take();
        drop(stream);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut stream = lock(&self.outgoing);
        if stream.ended || stream.unread {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let room = stream.capacity - stream.bytes.len();
        if room == 0 && wanted > 0 {
            stream.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(wanted);
        stream.bytes.extend(buffers.iter().flat_map(|buffer| buffer.iter()).take(count));
        let reader = stream.reader.take();
        drop(stream);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_shutdown(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.end();
        let writer = {
            let mut stream = lock(&self.incoming);
            stream.unread = true;
            stream.writer.take()
        };
        writer.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on;

    const ADDRESS: &str = "127.0.0.1:7379";

    fn connected(net: &PipeNet) -> (Box<dyn Connection>, Box<dyn Connection>) {
        let listener = block_on(net.listen(ADDRESS.parse().unwrap())).unwrap();
        let client = block_on(net.connect(ADDRESS.parse().unwrap())).unwrap();
        let accepted = block_on(listener.accept()).unwrap();
        assert!(accepted.peer().ip().is_loopback() && accepted.peer().port() != 0);
        (client, accepted.attach().unwrap())
    }

    async fn write_all(connection: &mut dyn Connection, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|context| connection.poll_write(context, &[IoSlice::new(bytes)])).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    async fn read_to_end(connection: &mut dyn Connection) -> io::Result<Vec<u8>> {
        let (mut all, mut buffer) = (Vec::new(), [0; 100]);
        loop {
            match poll_fn(|context| connection.poll_read(context, &mut buffer)).await? {
                0 => return Ok(all),
                count => all.extend(&buffer[..count]),
            }
        }
    }

    #[test]
    fn bytes_arrive_in_order_through_a_pipe_smaller_than_they_are() {
        let (mut client, mut server) = connected(&PipeNet::with_pipes_of(7));
        let sent: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
        let expected = sent.clone();
        let writer = std::thread::spawn(move || {
            block_on(write_all(&mut *client, &sent)).unwrap();
            block_on(poll_fn(|context| client.poll_shutdown(context))).unwrap();
            block_on(read_to_end(&mut *client)).unwrap()
        });
        assert_eq!(block_on(read_to_end(&mut *server)).unwrap(), expected);
        // The other direction is still open after the first has ended.
        block_on(write_all(&mut *server, b"answer")).unwrap();
        drop(server);
        assert_eq!(writer.join().unwrap(), b"answer");
    }

    #[test]
    fn a_full_pipe_makes_its_writer_wait_and_a_dropped_reader_breaks_it() {
        let (mut client, server) = connected(&PipeNet::with_pipes_of(4));
        let many = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef")];
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(client.poll_write(&mut context, &many), Poll::Ready(Ok(4))));
        assert!(client.poll_write(&mut context, &many).is_pending(), "there is no room");
        drop(server);
        let Poll::Ready(Err(error)) = client.poll_write(&mut context, &many) else { panic!("nobody reads") };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn addresses_are_taken_refused_and_free_again() {
        let net = PipeNet::default();
        let address: SocketAddr = ADDRESS.parse().unwrap();
        let refused = block_on(net.connect(address)).map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let listener = block_on(net.listen(address)).unwrap();
        assert_eq!(listener.local_address(), address);
        let taken = block_on(net.clone().listen(address)).map(|_| ()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(block_on(net.listen(address)).is_ok());
        let any = block_on(net.listen("127.0.0.1:0".parse().unwrap())).unwrap();
        assert_ne!(any.local_address().port(), 0);
        assert!(block_on(net.connect(any.local_address())).is_ok());
    }

    #[test]
    fn a_connection_wakes_who_waits_to_accept() {
        let net = PipeNet::default();
        let listener = block_on(net.listen(ADDRESS.parse().unwrap())).unwrap();
        let accepting = std::thread::spawn(move || block_on(listener.accept()).map(|_| ()));
        while block_on(net.connect(ADDRESS.parse().unwrap())).is_err() {
            std::thread::yield_now();
        }
        accepting.join().unwrap().unwrap();
    }
}
