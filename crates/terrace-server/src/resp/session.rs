//! What a connection remembers between commands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use terrace_store::Key;

use super::clients::Client;
use super::command::Command;
use super::parse::OwnedRequest;
use super::pubsub::Kind;
use super::reply::Output;
use super::server::Server;
use crate::keyspace::Flag;

/// Whether the client wants replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replies {
    /// Yes.
    #[default]
    On,
    /// Not to the next command, then as before.
    SkipNext,
    /// Not to this one.
    Skip,
    /// No.
    Off,
}

/// A command waiting for EXEC.
#[derive(Debug)]
pub struct Queued {
    /// Which.
    pub command: &'static Command,
    /// The command whose subcommand it is.
    pub parent: Option<&'static Command>,
    /// Its arguments.
    pub request: OwnedRequest,
}

/// What follows MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The commands so far.
    pub queue: Vec<Queued>,
    /// Bytes they hold.
    pub memory: usize,
    /// One of them was refused, so EXEC will be.
    pub spoilt: bool,
}

/// A key on which the next EXEC depends.
#[derive(Debug)]
pub struct Watched {
    /// Which.
    pub key: Key,
    /// When it ends by itself, in milliseconds of wall time, if it was there and had a lifetime.
    pub expires_ms: Option<u64>,
}

/// What a connection remembers between commands. When it is dropped nobody sends it anything any more.
pub struct Session {
    server: Arc<Server>,
    /// The client as others see it.
    pub client: Arc<Client>,
    /// The database it works in.
    pub database: usize,
    /// Whether it has logged in, or need not.
    pub authenticated: bool,
    /// What it queued since MULTI.
    pub transaction: Option<Transaction>,
    /// On which keys the next EXEC depends.
    pub watched: Vec<Watched>,
    /// Raised when one of them is written.
    pub touched: Flag,
    /// To which channels it listens.
    pub channels: BTreeSet<Bytes>,
    /// To the channels of which patterns.
    pub patterns: BTreeSet<Bytes>,
    /// Whether it wants replies.
    pub replies: Replies,
    /// The connection ends when the replies so far are sent.
    pub closing: bool,
    /// Something was written since the last commit.
    pub wrote: bool,
    /// Something was read since the last commit: it may be what another connection wrote and has not committed.
    pub read: bool,
    /// What happened since it was last added to the server's counters.
    pub tally: Tally,
}

/// What happened in one connection, added to the server's counters a batch at a time: counters that all threads
/// write for each command would cost more than the command.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Commands that ran.
    pub commands: u64,
    /// Replies that were errors.
    pub errors: u64,
    /// Keys that reads found.
    pub hits: u64,
    /// Keys that reads did not find.
    pub misses: u64,
    /// Bytes that arrived.
    pub received: u64,
    /// Bytes that were sent.
    pub sent: u64,
}

impl Tally {
    /// Counts a read.
    #[inline]
    pub fn read(&mut self, found: bool) {
        *if found { &mut self.hits } else { &mut self.misses } += 1;
    }
}

impl Session {
    /// The session of a client that just came.
    pub fn new(server: &Arc<Server>, client: Arc<Client>) -> Self {
        Self {
            server: Arc::clone(server),
            client,
            database: 0,
            authenticated: !server.settings.asks_password(),
            transaction: None,
            watched: Vec::new(),
            touched: Flag::default(),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            replies: Replies::On,
            closing: false,
            wrote: false,
            read: false,
            tally: Tally::default(),
        }
    }

    /// Chooses the database.
    pub fn select(&mut self, database: usize) {
        self.database = database;
        self.client.facts.database.store(database, Ordering::Relaxed);
    }

    /// Whether it listens to anything.
    pub fn is_listening(&self) -> bool {
        !self.channels.is_empty() || !self.patterns.is_empty()
    }

    /// To how many channels and patterns it listens.
    pub fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// To what of this kind it listens.
    pub fn of(&mut self, kind: Kind) -> &mut BTreeSet<Bytes> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    /// Begins to listen.
    pub fn subscribe(&mut self, kind: Kind, name: &Bytes) {
        if self.of(kind).insert(name.clone()) {
            self.server.hub.subscribe(kind, name, &self.client);
            self.note_subscriptions();
        }
    }

    /// Stops listening.
    pub fn unsubscribe(&mut self, kind: Kind, name: &Bytes) {
        if self.of(kind).remove(name) {
            self.server.hub.unsubscribe(kind, name, &self.client);
            self.note_subscriptions();
        }
    }

    fn note_subscriptions(&self) {
        let facts = &self.client.facts;
        facts.channels.store(self.channels.len(), Ordering::Relaxed);
        facts.patterns.store(self.patterns.len(), Ordering::Relaxed);
    }

    fn unsubscribe_all(&mut self) {
        for kind in [Kind::Channel, Kind::Pattern] {
            for name in std::mem::take(self.of(kind)) {
                self.server.hub.unsubscribe(kind, &name, &self.client);
            }
        }
        self.note_subscriptions();
    }

    /// Writes the messages that came for it.
    #[inline]
    pub fn take_messages(&self, output: &mut Output) {
        if self.client.has_messages() {
            for message in self.client.messages() {
                output.raw_bytes(&message);
            }
        }
    }

    /// Forgets the watched keys.
    pub fn unwatch(&mut self) {
        for watched in self.watched.drain(..) {
            self.server.keyspace.watches.remove(&watched.key, &self.touched);
        }
        self.touched = Flag::default();
    }

    /// Ends the transaction without running it, and returns it.
    pub fn discard(&mut self) -> Option<Transaction> {
        self.client.facts.queued.store(0, Ordering::Relaxed);
        self.transaction.take()
    }

    /// Notes that a command of a transaction was refused.
    pub fn spoil(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.spoilt = true;
        }
    }

    /// Everything as in a new connection but its number.
    pub fn reset(&mut self) {
        self.discard();
        self.unwatch();
        self.unsubscribe_all();
        self.select(0);
        self.replies = Replies::On;
        self.authenticated = !self.server.settings.asks_password();
        self.client.facts.no_evict.store(false, Ordering::Relaxed);
        self.client.names().name = Bytes::new();
    }
}

impl Session {
    /// Adds what happened to the server's counters.
    pub fn count(&mut self) {
        let Tally { commands, errors, hits, misses, received, sent } = std::mem::take(&mut self.tally);
        let counters = &self.server.counters;
        for (counter, more) in [
            (&counters.commands, commands),
            (&counters.errors, errors),
            (&counters.hits, hits),
            (&counters.misses, misses),
            (&counters.received, received),
            (&counters.sent, sent),
        ] {
            if more > 0 {
                counter.fetch_add(more, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.count();
        self.unwatch();
        self.unsubscribe_all();
        self.server.clients.leave(&self.client);
    }
}
