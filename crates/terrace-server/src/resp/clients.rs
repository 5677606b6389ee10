//! The connected clients, as others see them: for CLIENT LIST and CLIENT KILL, for messages, and for those that
//! have been silent too long.
//!
//! Each connection keeps its own state to itself; what others may ask of it is here, in atomics that the
//! connection writes now and then, and a mailbox. One look at all clients a second finds those that are to go,
//! so that a connection needs no timer of its own.

mod describe;
mod mailbox;
mod pause;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use mailbox::Mailbox;
pub use mailbox::Post;
pub use pause::{Pause, PauseMode};

use super::command::Command;
use super::dispatch::Row;
use super::reply::Proto;

/// How a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It goes on.
    Open,
    /// After what it has received whole was answered.
    Drain,
    /// At once; unsent replies are dropped.
    Kill,
}

/// What a connection is waiting for, which decides how long it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// For a command.
    Idle,
    /// For the rest of a command, or for the client to take its replies.
    Stalled,
    /// For a login.
    Anonymous,
    /// For messages: it may wait for ever.
    Listening,
}

/// One connected client.
#[derive(Debug)]
pub struct Client {
    /// Its number, never used again.
    pub id: u64,
    /// Who it is.
    pub peer: SocketAddr,
    /// Where it connected to.
    pub local: SocketAddr,
    /// When it came, on the monotonic clock.
    pub created: Duration,
    names: Mutex<Names>,
    seen_ms: AtomicU64,
    stage: AtomicU8,
    ending: AtomicU8,
    /// Whether it is to give back buffers it does not need.
    tidy: AtomicBool,
    proto: AtomicU8,
    /// What CLIENT LIST tells of it.
    pub(super) facts: Facts,
    mailbox: Mailbox,
    attention: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// What a client calls itself.
#[derive(Debug, Default, Clone)]
pub struct Names {
    /// By CLIENT SETNAME.
    pub name: Bytes,
    /// By CLIENT SETINFO.
    pub library: Bytes,
    /// By CLIENT SETINFO.
    pub version: Bytes,
}

/// What CLIENT LIST tells of a client, written by its connection.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) database: AtomicUsize,
    pub(super) channels: AtomicUsize,
    pub(super) patterns: AtomicUsize,
    /// Commands queued in a transaction, and one more; 0 outside of one.
    pub(super) queued: AtomicUsize,
    /// The last command: its place in the table, and one more than that of its subcommand.
    pub(super) command: AtomicU32,
    pub(super) unsent: AtomicUsize,
    pub(super) no_evict: AtomicBool,
}

impl Facts {
    #[inline]
    pub(super) fn note(&self, row: Row) {
        let place = match row.parent {
            None => u32::from(row.command.id) << 8,
            Some(parent) => {
                let is_it = |sub: &Command| sub.name == row.command.name;
                let sub = parent.subcommands.iter().position(is_it).map_or(0, |sub| sub + 1);
                u32::from(parent.id) << 8 | u32::try_from(sub).unwrap_or_default()
            }
        };
        self.command.store(place + 1, Ordering::Relaxed);
    }
}

impl Client {
    fn new(id: u64, (peer, local): (SocketAddr, SocketAddr), now: Duration, outbox_limit: usize) -> Self {
        Self {
            id,
            peer,
            local,
            created: now,
            names: Mutex::default(),
            seen_ms: AtomicU64::new(millis(now)),
            stage: AtomicU8::new(Stage::Anonymous as u8),
            ending: AtomicU8::new(Ending::Open as u8),
            tidy: AtomicBool::new(false),
            proto: AtomicU8::new(2),
            facts: Facts::default(),
            mailbox: Mailbox::new(outbox_limit),
            attention: AtomicBool::new(false),
            waker: Mutex::default(),
        }
    }

    /// What it calls itself.
    pub fn names(&self) -> MutexGuard<'_, Names> {
        lock(&self.names)
    }

    /// The protocol it speaks.
    pub fn proto(&self) -> Proto {
        if self.proto.load(Ordering::Relaxed) == 3 { Proto::Resp3 } else { Proto::Resp2 }
    }

    pub(super) fn set_proto(&self, proto: Proto) {
        self.proto.store(if proto == Proto::Resp3 { 3 } else { 2 }, Ordering::Relaxed);
    }

    /// Notes that something arrived or was sent.
    pub(super) fn seen(&self, now: Duration) {
        self.seen_ms.store(millis(now), Ordering::Relaxed);
        self.tidy.store(false, Ordering::Relaxed);
    }

    pub(super) fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    fn is_at(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::Relaxed) == stage as u8
    }

    /// How it is to end.
    pub(super) fn ending(&self) -> Ending {
        match self.ending.load(Ordering::Acquire) {
            0 => Ending::Open,
            1 => Ending::Drain,
            _ => Ending::Kill,
        }
    }

    /// Ends the connection, now or when it has answered what it received.
    pub fn end(&self, ending: Ending) {
        self.ending.fetch_max(ending as u8, Ordering::AcqRel);
        self.wake();
    }

    /// Gives it a message. A client that does not take its messages in time is disconnected.
    pub fn deliver(&self, message: &Bytes) {
        match self.mailbox.push(message) {
            Post::Taken => self.wake(),
            Post::Overflow => self.end(Ending::Kill),
        }
    }

    /// Takes the messages that came.
    pub(super) fn messages(&self) -> Vec<Bytes> {
        self.mailbox.take()
    }

    /// Whether messages came.
    #[inline]
    pub(super) fn has_messages(&self) -> bool {
        self.mailbox.is_filled()
    }

    /// Bytes of messages it has not taken.
    pub fn outbox_bytes(&self) -> usize {
        self.mailbox.bytes()
    }

    fn wake(&self) {
        self.attention.store(true, Ordering::SeqCst);
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether somebody wanted its attention since the last call.
    #[inline]
    pub(super) fn take_attention(&self) -> bool {
        self.attention.load(Ordering::SeqCst) && self.attention.swap(false, Ordering::SeqCst)
    }

    /// Wakes this task when somebody wants its attention. Ask [`Client::take_attention`] after this.
    pub(super) fn listen(&self, waker: &Waker) {
        let mut slot = lock(&self.waker);
        if !slot.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Whether it is to give back memory it does not need. Stays so until something arrives.
    pub(super) fn wants_tidy(&self) -> bool {
        self.tidy.load(Ordering::Relaxed)
    }
}

/// How long connections may be silent. Zero is for ever.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Between commands.
    pub idle: Duration,
    /// Inside a command, or while replies wait to be taken.
    pub stalled: Duration,
    /// Before the login.
    pub anonymous: Duration,
}

/// All connected clients.
#[derive(Debug, Default)]
pub struct Clients {
    next: AtomicU64,
    table: Mutex<BTreeMap<u64, Arc<Client>>>,
    /// Whether commands are held back.
    pub pause: Pause,
    accepted: AtomicU64,
    refused: AtomicU64,
    closing: AtomicBool,
}

/// After this long without a command a connection gives its buffers back.
const TIDY: Duration = Duration::from_secs(2);

impl Clients {
    fn table(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        lock(&self.table)
    }

    /// Takes a client in; `None` if there are too many.
    pub(super) fn admit(
        &self,
        addresses: (SocketAddr, SocketAddr),
        now: Duration,
        limit: usize,
        outbox_limit: usize,
    ) -> Option<Arc<Client>> {
        let mut table = self.table();
        if table.len() >= limit {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client::new(id, addresses, now, outbox_limit));
        if self.closing.load(Ordering::SeqCst) {
            client.end(Ending::Drain);
        }
        table.insert(id, Arc::clone(&client));
        Some(client)
    }

    pub(super) fn leave(&self, client: &Client) {
        self.table().remove(&client.id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.table().values().cloned().collect()
    }

    /// How many were accepted and refused since the start or the last reset.
    pub fn totals(&self) -> (u64, u64) {
        (self.accepted.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    pub(super) fn reset_totals(&self) {
        self.accepted.store(0, Ordering::Relaxed);
        self.refused.store(0, Ordering::Relaxed);
    }

    /// Lets every connection answer what it has received and then end; those that come later end at once.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        for client in self.all() {
            client.end(Ending::Drain);
        }
    }

    /// Ends those that have been silent too long, and has others give back memory.
    pub(super) fn sweep(&self, now: Duration, patience: Patience) {
        for client in self.all() {
            let silent =
                Duration::from_millis(millis(now).saturating_sub(client.seen_ms.load(Ordering::Relaxed)));
            let limit = [
                (Stage::Idle, patience.idle),
                (Stage::Stalled, patience.stalled),
                (Stage::Anonymous, patience.anonymous),
            ];
            let limit = limit.into_iter().find(|(stage, _)| client.is_at(*stage)).map(|(_, limit)| limit);
            if limit.is_some_and(|limit| !limit.is_zero() && silent >= limit) {
                client.end(Ending::Kill);
            } else if silent >= TIDY
                && client.is_at(Stage::Idle)
                && !client.tidy.swap(true, Ordering::Relaxed)
            {
                client.wake();
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn addresses() -> (SocketAddr, SocketAddr) {
        (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into())
    }

    fn client(clients: &Clients, now: Duration) -> Arc<Client> {
        clients.admit(addresses(), now, 10, 100).expect("room")
    }

    #[test]
    fn those_that_are_silent_too_long_end() {
        let clients = Clients::default();
        let patience = Patience { idle: Duration::ZERO, stalled: 60 * SECOND, anonymous: 10 * SECOND };
        let (anonymous, idle, stalled) =
            (client(&clients, SECOND), client(&clients, SECOND), client(&clients, SECOND));
        idle.set_stage(Stage::Idle);
        stalled.set_stage(Stage::Stalled);
        clients.sweep(10 * SECOND, patience);
        assert_eq!([&anonymous, &idle, &stalled].map(|c| c.ending()), [Ending::Open; 3]);
        assert!(idle.wants_tidy() && !stalled.wants_tidy());
        clients.sweep(11 * SECOND, patience);
        assert_eq!(anonymous.ending(), Ending::Kill);
        stalled.seen(30 * SECOND);
        clients.sweep(61 * SECOND, patience);
        assert_eq!(stalled.ending(), Ending::Open);
        clients.sweep(90 * SECOND, patience);
        assert_eq!([&idle, &stalled].map(|c| c.ending()), [Ending::Open, Ending::Kill]);
    }

    #[test]
    fn a_mailbox_that_overflows_ends_its_client() {
        let clients = Clients::default();
        let client = client(&clients, SECOND);
        client.deliver(&Bytes::from(vec![0; 60]));
        assert!(client.take_attention() && !client.take_attention());
        client.deliver(&Bytes::from(vec![0; 60]));
        assert_eq!(client.ending(), Ending::Kill);
        assert!(client.messages().is_empty());
    }

    #[test]
    fn numbers_are_not_used_again_and_places_are_limited() {
        let clients = Clients::default();
        let first = client(&clients, SECOND);
        clients.leave(&first);
        assert_eq!(client(&clients, SECOND).id, first.id + 1);
        let full: Vec<_> = (0..9).map(|_| client(&clients, SECOND)).collect();
        assert!(clients.admit(addresses(), SECOND, 10, 100).is_none());
        assert_eq!((clients.len(), clients.totals()), (10, (11, 1)));
        clients.close();
        assert!(full.iter().all(|client| client.ending() == Ending::Drain));
    }
}
