//! One connection, from its first byte to its last.
//!
//! Requests are run where they arrive: what was read is parsed as a batch, each request of it runs in place,
//! everything is committed once, reads included, and the replies leave in one vectored write: nobody is told what a
//! crash could undo. While replies wait to be
//! sent the connection goes on reading, for clients that send much before they read; beyond `BACKPRESSURE`
//! bytes it stops until the client has taken some.
//!
//! A connection that waits holds no read buffer: bytes arrive in a scratch buffer of the thread and are copied to
//! where they belong, which costs little beside the system call.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, BytesMut};
use terrace_store::net::Connection;

use super::call::store_error;
use super::clients::{Client, Ending, Stage};
use super::dispatch::dispatch;
use super::parse::{Parser, Progress};
use super::pipeline::{lock_run, set_together};
use super::reply::Output;
use super::server::Server;
use super::session::{Replies, Session};
use crate::keyspace::Guard;
use crate::linger::linger;

/// From this many bytes of unsent replies on nothing more is read or run.
const BACKPRESSURE: usize = 64 << 20;

/// Most unsent bytes of replies before the login.
const ANONYMOUS_OUTPUT: usize = 64 << 10;

/// Most bytes read and thrown away for a client that was refused before its login.
const ANONYMOUS_LINGER: u64 = 1 << 20;

/// From this many unsent bytes on messages stay in the mailbox, whose limit is lower than that of replies.
const MAIL_PRESSURE: usize = 1 << 20;

/// Most bytes read at a time.
const SCRATCH: usize = 64 << 10;

/// Most pieces of a vectored write.
const PIECES: usize = 64;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// Serves a client until it goes, asks to go, breaks the protocol, is silent too long, or is told to go
/// ([`Clients::close`](super::clients::Clients::close) for a shutdown: what had arrived whole is answered first).
///
/// Runs on any runtime; on a current-thread runtime every command runs on that thread.
///
/// # Cancellation
/// Dropping the future closes the connection. A command under way may then have been applied or not.
pub async fn serve(server: Arc<Server>, connection: Box<dyn Connection>, peer: SocketAddr) {
    let now = server.clock().now();
    let outbox_limit = server.settings.config.outbox_limit;
    let addresses = (peer, server.settings.config.address);
    let Some(client) = server.clients.admit(addresses, now, server.settings.max_clients(), outbox_limit)
    else {
        return refuse(connection).await;
    };
    let mut line = Line {
        session: Session::new(&server, Arc::clone(&client)),
        parser: Parser::new(server.settings.config.limits),
        input: BytesMut::new(),
        output: Output::new(ANONYMOUS_OUTPUT),
        connection,
        client,
        server,
    };
    line.authenticate();
    line.run().await;
    line.session.count();
}

/// Tells a client that there are too many.
async fn refuse(mut connection: Box<dyn Connection>) {
    let text = IoSlice::new(b"-ERR max number of clients reached\r\n");
    // The little that is sent fits the socket's buffer; if not, the client learns it by the end of the stream.
    let _ = poll_fn(|context| connection.poll_write(context, &[text])).await;
    let _ = poll_fn(|context| connection.poll_shutdown(context)).await;
}

struct Line {
    server: Arc<Server>,
    client: Arc<Client>,
    connection: Box<dyn Connection>,
    session: Session,
    parser: Parser,
    input: BytesMut,
    output: Output,
}

/// Why a connection stopped waiting.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// Bytes arrived.
    Input,
    /// There is room for replies again.
    Room,
    /// It is over.
    End,
}

impl Line {
    async fn run(&mut self) {
        loop {
            let progress = self.parser.parse(&mut self.input);
            if !self.execute().await {
                return;
            }
            self.parser.consume(&mut self.input);
            if let Progress::Failed(error) = progress {
                self.output.error(error.reply());
                self.session.closing = true;
            }
            self.session.count();
            if self.session.closing {
                let refused = matches!(progress, Progress::Failed(_));
                return self.finish(refused).await;
            }
            let full = progress == Progress::Full;
            match poll_fn(|context| self.turn(context, !full)).await {
                Turn::Input | Turn::Room => {}
                Turn::End => return,
            }
        }
    }

    /// Runs the batch, and commits what it wrote. `false` if the connection is over.
    async fn execute(&mut self) -> bool {
        let server = Arc::clone(&self.server);
        let mut begin = self.output.place();
        let (mut answered, mut index, count) = (0, 0, self.parser.count());
        // The locks that requests share, and the index of the first that does not.
        let (mut shared, mut end): (Option<Guard<'_>>, usize) = (None, 0);
        while index < count {
            if index >= end {
                drop(shared.take());
                let requests = self.parser.requests_from(&self.input, index);
                let run = lock_run(&server, &self.session, requests).await;
                (shared, end) = (run.guard, index + run.length);
            }
            // What was sent before this request arrived is received before its reply.
            self.session.take_messages(&mut self.output);
            let run = self.step(index, shared.as_ref().map(|_| end)).await;
            index += run;
            answered += run;
            self.session.take_messages(&mut self.output);
            if self.session.authenticated != self.parser.is_authenticated() {
                self.authenticate();
            }
            if self.output.overflowed() || self.client.ending() == Ending::Kill {
                drop(shared);
                // What was written stays written, but nobody is told of it.
                let _ = self.server.keyspace.commit().await;
                return false;
            }
            if self.session.closing {
                break;
            }
            if self.output.len() >= BACKPRESSURE {
                (shared, end) = (None, index);
                if !self.commit(begin, answered).await || !self.drain().await {
                    return false;
                }
                (begin, answered) = (self.output.place(), 0);
            }
        }
        drop(shared);
        self.commit(begin, answered).await;
        true
    }

    /// Runs the request at `index`, or it and some that follow at once, and returns how many. The keys of those
    /// before `locked` are locked.
    async fn step(&mut self, index: usize, locked: Option<usize>) -> usize {
        if let Some(end) = locked
            && self.server.keyspace.prefers_batches()
        {
            let requests = self.parser.requests_from(&self.input, index).take(end - index);
            match set_together(&self.server, &mut self.session, &mut self.output, requests).await {
                0 => {}
                run => return run,
            }
        }
        let request = self.parser.request(&self.input, index);
        let quiet = matches!(self.session.replies, Replies::Off | Replies::Skip);
        if quiet {
            let mut void = Output::new(BACKPRESSURE);
            dispatch(&self.server, &mut self.session, &mut void, request, false).await;
            if self.session.replies == Replies::On {
                // CLIENT REPLY ON, which is answered.
                self.output.ok();
            }
        } else {
            dispatch(&self.server, &mut self.session, &mut self.output, request, locked.is_some()).await;
        }
        self.session.replies = match self.session.replies {
            Replies::SkipNext => Replies::Skip,
            Replies::Skip => Replies::On,
            other => other,
        };
        1
    }

    /// Makes what the batch wrote, and what it read of others' writes, as durable as promised, before anybody is
    /// told. If that fails for something written here, the replies since `begin` become errors, and the connection
    /// ends. If nothing was, the reads are answered all the same: those who wrote what they saw are told, and a disk
    /// that takes no more writes shall not keep what is on it from being read.
    async fn commit(&mut self, begin: super::reply::Place, answered: usize) -> bool {
        let wrote = std::mem::take(&mut self.session.wrote);
        if !std::mem::take(&mut self.session.read) && !wrote {
            return true;
        }
        let Err(error) = self.server.keyspace.commit().await else { return true };
        if !wrote {
            return true;
        }
        self.output.rewind(begin);
        let text = store_error(&error);
        (0..answered).for_each(|_| self.output.error(&text));
        self.session.closing = true;
        false
    }

    /// Follows a login or its loss.
    fn authenticate(&mut self) {
        let authenticated = self.session.authenticated;
        self.parser.set_authenticated(authenticated);
        self.output.set_limit(match authenticated {
            true => self.server.settings.config.output_limit,
            false => ANONYMOUS_OUTPUT,
        });
    }

    /// Waits until there is room for replies.
    async fn drain(&mut self) -> bool {
        self.client.set_stage(Stage::Stalled);
        poll_fn(|context| {
            self.client.listen(context.waker());
            if self.client.take_attention() && self.client.ending() == Ending::Kill {
                return Poll::Ready(false);
            }
            match self.send(context) {
                Err(Gone) => Poll::Ready(false),
                Ok(()) if self.output.len() < BACKPRESSURE / 2 => Poll::Ready(true),
                Ok(()) => Poll::Pending,
            }
        })
        .await
    }

    /// Sends what there is to send, and ends the stream. One who was `refused` may be sending what was refused.
    async fn finish(&mut self, refused: bool) {
        self.client.set_stage(Stage::Stalled);
        let sent = poll_fn(|context| {
            self.client.listen(context.waker());
            if self.client.take_attention() && self.client.ending() == Ending::Kill {
                return Poll::Ready(false);
            }
            match self.send(context) {
                Err(Gone) => Poll::Ready(false),
                Ok(()) if self.output.is_empty() => Poll::Ready(true),
                Ok(()) => Poll::Pending,
            }
        })
        .await;
        if sent && refused {
            // No more than a request it might send is read for it.
            let most = match self.session.authenticated {
                true => u64::from(self.server.settings.config.limits.request_bytes),
                false => ANONYMOUS_LINGER,
            };
            linger(&mut *self.connection, &**self.server.clock(), most).await;
        } else if sent {
            let _ = poll_fn(|context| self.connection.poll_shutdown(context)).await;
        }
    }

    /// Sends, then waits for whatever comes first. Without `wait` it returns after sending what can be sent now.
    fn turn(&mut self, context: &mut Context<'_>, wait: bool) -> Poll<Turn> {
        self.client.listen(context.waker());
        if self.client.take_attention() {
            match self.client.ending() {
                Ending::Kill => return Poll::Ready(Turn::End),
                Ending::Open if self.client.wants_tidy() => self.tidy(),
                _ => {}
            }
        }
        loop {
            if self.output.len() < MAIL_PRESSURE {
                self.session.take_messages(&mut self.output);
            }
            if self.send(context).is_err() || self.output.overflowed() {
                return Poll::Ready(Turn::End);
            }
            // What stayed in the mailbox has its turn as soon as there is room: nothing else would wake us for it.
            if self.output.len() >= MAIL_PRESSURE || !self.client.has_messages() {
                break;
            }
        }
        if !wait {
            return Poll::Ready(Turn::Room);
        }
        if self.client.ending() == Ending::Drain {
            return if self.output.is_empty() { self.shut(context) } else { Poll::Pending };
        }
        self.client.set_stage(self.stage());
        if self.output.len() >= BACKPRESSURE {
            return Poll::Pending;
        }
        self.receive(context)
    }

    fn shut(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        self.connection.poll_shutdown(context).map(|_| Turn::End)
    }

    /// What it waits for, if it waits now.
    fn stage(&self) -> Stage {
        if !self.session.authenticated {
            Stage::Anonymous
        } else if !self.output.is_empty() || !self.parser.is_between(&self.input) {
            Stage::Stalled
        } else if self.session.is_listening() {
            Stage::Listening
        } else {
            Stage::Idle
        }
    }

    /// Sends as much as the socket takes.
    fn send(&mut self, context: &mut Context<'_>) -> Result<(), Gone> {
        while !self.output.is_empty() {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let filled = self.output.chunks_vectored(&mut pieces);
            match self.connection.poll_write(context, pieces.get(..filled).unwrap_or_default()) {
                Poll::Ready(Ok(sent @ 1..)) => {
                    self.output.advance(sent);
                    self.session.tally.sent += sent as u64;
                    self.client.seen(self.server.clock().now());
                }
                Poll::Ready(_) => return Err(Gone),
                Poll::Pending => break,
            }
        }
        self.client.facts.unsent.store(self.output.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Reads once.
    fn receive(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        BUFFER.with_borrow_mut(|buffer| match self.connection.poll_read(context, buffer) {
            Poll::Ready(Ok(read @ 1..)) => {
                self.session.tally.received += read as u64;
                self.client.seen(self.server.clock().now());
                self.take(buffer.get(..read).unwrap_or_default());
                Poll::Ready(Turn::Input)
            }
            Poll::Ready(_) => Poll::Ready(Turn::End),
            Poll::Pending => Poll::Pending,
        })
    }

    /// Puts bytes where the parser wants them.
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut target = self.parser.target(&mut self.input);
            let part = target.chunk_mut().len().min(target.remaining_mut()).min(bytes.len());
            let Some((now, later)) = bytes.split_at_checked(part) else { return };
            target.put_slice(now);
            bytes = later;
        }
    }

    /// Gives back buffers while nothing happens.
    fn tidy(&mut self) {
        self.output.release();
        if self.parser.is_between(&self.input) {
            self.input = BytesMut::new();
            self.parser = Parser::new(self.server.settings.config.limits);
            self.authenticate();
        }
    }
}

/// The client is gone.
struct Gone;
