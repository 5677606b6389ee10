//! A way to a server that can be cut in the middle of an answer.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Passes bytes on between whoever connects and a port, until it is told to cut.
pub(super) struct Proxy {
    pub(super) port: u16,
    state: Arc<State>,
}

struct State {
    open: Mutex<Vec<TcpStream>>,
    /// How many more bytes of answers pass before every connection is cut.
    left: AtomicUsize,
    over: AtomicBool,
}

impl Proxy {
    pub(super) fn to(server: u16) -> Self {
        Self::at(0, server)
    }

    /// On this port.
    pub(super) fn at(port: u16, server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            open: Mutex::default(),
            left: AtomicUsize::new(usize::MAX),
            over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if shared.over.load(Ordering::Acquire) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server))) else {
                    continue;
                };
                shared.pass(client, server);
            }
        });
        Self { port, state }
    }

    /// Cuts every connection once so many more bytes of answers have passed.
    pub(super) fn cut_after(&self, bytes: usize) {
        self.state.left.store(bytes, Ordering::Release);
    }
}

impl State {
    fn pass(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let pair = |stream: &TcpStream| stream.try_clone().unwrap();
        self.open.lock().unwrap().extend([pair(&client), pair(&server)]);
        let (mut from_client, mut to_server) = (pair(&client), pair(&server));
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Both);
        });
        let state = Arc::clone(self);
        std::thread::spawn(move || state.answer(server, client));
    }

    fn answer(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            let left = self.left.load(Ordering::Acquire);
            let passed = read.min(left);
            if client.write_all(&buffer[..passed]).is_err() {
                break;
            }
            if left == usize::MAX {
                continue;
            }
            self.left.store(left - passed, Ordering::Release);
            if passed < read || left == passed {
                self.left.store(usize::MAX, Ordering::Release);
                self.cut();
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Release);
        self.state.cut();
        // The listener wakes, and sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}
