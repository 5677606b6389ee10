//! What all connections share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::Cursor;
use terrace_store::{Clock, Rng};

use super::clients::Clients;
use super::pubsub::Hub;
use super::settings::{Config, Settings};
use crate::keyspace::Keyspace;

/// What INFO counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Commands that ran.
    pub commands: AtomicU64,
    /// Bytes that arrived.
    pub received: AtomicU64,
    /// Bytes that were sent.
    pub sent: AtomicU64,
    /// Replies that were errors, of the server or of the commands.
    pub errors: AtomicU64,
    /// Keys that reads found.
    pub hits: AtomicU64,
    /// Keys that reads did not find.
    pub misses: AtomicU64,
}

impl Counters {
    pub(super) fn reset(&self) {
        for counter in [&self.commands, &self.received, &self.sent, &self.errors, &self.hits, &self.misses] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// What all connections share.
pub struct Server {
    /// The data.
    pub keyspace: Arc<Keyspace>,
    /// Who is connected.
    pub clients: Clients,
    /// Who listens to what.
    pub hub: Hub,
    /// How the server is set up.
    pub settings: Settings,
    /// What happened.
    pub counters: Counters,
    pub(super) rng: Arc<dyn Rng>,
    pub(super) cursors: Cursors,
    pub(super) started: Duration,
    pub(super) run_id: String,
}

/// How often silent clients are looked for.
const SWEEP: Duration = Duration::from_secs(1);

impl Server {
    /// A server of these keys, with nobody connected. It looks after its clients in a task of the tiers.
    pub fn new(keyspace: Arc<Keyspace>, config: Config, rng: Arc<dyn Rng>) -> Arc<Self> {
        let run_id = (0..5).map(|_| format!("{:016x}", rng.next_u64())).collect::<String>();
        let started = keyspace.clock().now();
        let server = Arc::new(Self {
            cursors: Cursors::new(rng.next_u64()),
            keyspace,
            clients: Clients::default(),
            hub: Hub::default(),
            settings: Settings::new(config),
            counters: Counters::default(),
            rng,
            started,
            run_id: run_id[..40].to_owned(),
        });
        server.look_after_clients();
        server
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.keyspace.clock()
    }

    fn look_after_clients(self: &Arc<Self>) {
        let (server, clock) = (Arc::downgrade(self), Arc::clone(self.clock()));
        let tiers = Arc::clone(self.keyspace.tiers());
        let tasks = tiers.tasks().clone();
        tiers.tasks().spawn("clients", async move {
            loop {
                clock.sleep(SWEEP).await;
                let Some(server) = server.upgrade() else { return };
                if tasks.is_closing() {
                    return;
                }
                server.clients.sweep(clock.now(), server.settings.patience());
            }
        });
    }
}

/// How many cursors of SCAN are remembered.
const CURSORS: usize = 16_384;

/// The cursors of SCAN: clients hold numbers, and the store's own cursors stay here.
///
/// The latest are remembered; a number that is not known any more begins anew, which returns some keys again and
/// misses none. What a number means never changes, so a client may ask with it again.
pub(super) struct Cursors(Mutex<Ring>);

struct Ring {
    next: u64,
    kept: Vec<Option<(u64, usize, Bytes)>>,
}

impl Cursors {
    fn new(seed: u64) -> Self {
        // A start by chance, so that a cursor from before a restart is most likely not known; small enough for
        // clients that read signed numbers.
        Self(Mutex::new(Ring { next: (seed >> 16) | 1, kept: Vec::new() }))
    }

    /// Keeps a cursor in this database, and gives it a number that is not 0.
    pub(super) fn keep(&self, database: usize, cursor: Cursor) -> u64 {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.kept.is_empty() {
            ring.kept.resize(CURSORS, None);
        }
        let number = ring.next;
        ring.next += 1;
        let slot = number as usize % CURSORS;
        ring.kept[slot] = Some((number, database, cursor.0));
        number
    }

    /// The cursor of this number, if it is still known.
    pub(super) fn find(&self, database: usize, number: u64) -> Option<Cursor> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match ring.kept.get(number as usize % CURSORS)? {
            Some((held, of, cursor)) if (*held, *of) == (number, database) => Some(Cursor(cursor.clone())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_cursors_are_known_and_older_ones_are_not() {
        let cursors = Cursors::new(7);
        let cursor = |n: u64| Cursor(Bytes::from(n.to_string()));
        assert_eq!(cursors.find(0, 1), None);
        let numbers: Vec<u64> = (0..CURSORS as u64 + 1).map(|n| cursors.keep(3, cursor(n))).collect();
        assert_eq!(cursors.find(3, numbers[0]), None);
        assert_eq!(cursors.find(3, numbers[1]), Some(cursor(1)));
        assert_eq!(cursors.find(2, numbers[1]), None);
        assert_eq!(cursors.find(3, numbers[CURSORS]), Some(cursor(CURSORS as u64)));
    }
}
