//! `postgres:` a store in a PostgreSQL database.
//!
//! Every write is one call of a function in the database: it locks the keys, judges the conditions, draws versions from
//! one sequence, and tells the change, in one transaction. Expiry is judged by the clock the store was opened with; what
//! is over goes when a [`sweep`](Store::sweep) takes it. The tables and functions are made at the first call, in a
//! schema of their own.
//!
//! # What it promises
//! Everything the contract asks, among all who use the same schema, on any number of machines. The ceiling is
//! `always`: a commit that waits for the disk, which PostgreSQL shares among those who wait at the same time. With less
//! a crash of the server loses at most the last 0.6 s. A write whose answer did not come is
//! [`Unknown`](terrace_store::ErrorKind::Unknown). Changes reach watchers through LISTEN and NOTIFY, as soon as the
//! server has sent them; a watcher whose connection broke is told that it
//! [`Lagged`](terrace_store::capability::Change::Lagged), as it is of a key of more than 5,000 bytes. Leases are judged
//! by the server's clock, one's own by the clock of the store; their tokens only grow.
//!
//! # Cost
//! One round trip a call. [`Store::reserve`] waits for the writes that are under way, since one of them may have a
//! version already and not yet be there to be read.

mod capability;
mod config;
mod error;
mod lease;
mod link;
mod list;
mod listen;
mod names;
mod read;
mod tls;
mod write;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::{
    Batch, Iterate, Lock, Outcome, Paths, Publish, Snapshot, Transact, Watch, Write,
};
use terrace_store::spawn::Tasks;
use terrace_store::store::FLOOR_RETENTION;
use terrace_store::{
    BoxFuture, Capabilities, Clock, DeleteOptions, Deleted, Entry, Error, ErrorKind, Health, Key, PutOptions,
    Result, Spawn, Store, Swept, Version, Versions, Written,
};
use tokio::sync::{OnceCell, watch};
use xxhash_rust::xxh3::xxh3_64;

pub use config::PostgresConfig;
use link::{Link, reads, writes};
use names::{Locks, ms};

use crate::leaving::Leaving;

/// Its scheme.
const NAME: &str = "postgres";
/// The format of the tables that this release makes, and reads.
const FORMAT: i32 = 1;
/// How long connections may take to end at a close.
const GRACE: Duration = Duration::from_secs(2);

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    link: Arc<Link>,
    config: PostgresConfig,
    locks: Locks,
    /// Where changes are told.
    changes: String,
    sql: Statements,
    clock: Arc<dyn Clock>,
    /// Wall time less monotonic time when the store was opened, in milliseconds.
    origin_ms: u64,
    ready: OnceCell<()>,
    closed: AtomicBool,
    /// Ends those who listen.
    ending: watch::Sender<bool>,
    listeners: Tasks,
    drivers: Tasks,
    leaving: Arc<Leaving>,
    /// Who this is to the leases of others.
    holder: [u8; 16],
    /// Until when its own leases last, by token, in monotonic milliseconds.
    leases: Mutex<HashMap<Bytes, (i64, u64)>>,
    acquiring: tokio::sync::Mutex<()>,
}

/// The statements, with the name of the schema filled in.
struct Statements {
    get: String,
    exists: String,
    many: String,
    apply: String,
    reserve: String,
    clear: String,
    sweep: String,
    amounts: String,
    spaces: String,
    acquire: String,
    renew: String,
    release: String,
}

impl Statements {
    fn new(schema: &str) -> Self {
        let fill = |text: &str| text.replace("{schema}", schema);
        Self {
            get: fill(
                "SELECT flat, version, ends, record FROM {schema}.entries WHERE head = $1 AND hash = $2",
            ),
            exists: fill("SELECT flat, ends FROM {schema}.entries WHERE head = $1 AND hash = $2"),
            many: fill(
                "SELECT k.n, e.flat, e.version, e.ends, e.record FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY \
                 AS k(head, hash, n) JOIN {schema}.entries e ON e.head = k.head AND e.hash = k.hash",
            ),
            apply: fill(
                "SELECT done, version, existed FROM {schema}.apply($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
                 $13, $14, $15, $16, $17, $18, $19, $20)",
            ),
            reserve: fill("SELECT {schema}.reserve($1)"),
            clear: fill("SELECT {schema}.clear($1, $2, $3, $4, $5, $6)"),
            sweep: fill("SELECT expired, forgotten, more FROM {schema}.sweep($1, $2, $3, $4, $5, $6)"),
            amounts: fill(
                "SELECT coalesce(sum(count), 0)::bigint, coalesce(sum(bytes), 0)::bigint FROM {schema}.amounts \
                 WHERE space = $1",
            ),
            spaces: fill(
                "SELECT space FROM {schema}.amounts GROUP BY space HAVING sum(count) > 0 ORDER BY space",
            ),
            acquire: fill("SELECT {schema}.acquire($1, $2, $3::text::interval, $4, $5)"),
            renew: fill(
                "UPDATE {schema}.leases SET ends = clock_timestamp() + $4::text::interval WHERE name = $1 AND token = $2 AND holder = $3",
            ),
            release: fill("DELETE FROM {schema}.leases WHERE name = $1 AND token = $2 AND holder = $3"),
        }
    }
}

impl PostgresStore {
    /// Prepares a store in this database. It connects at the first call, so a server that is away fails calls, not
    /// the opening.
    ///
    /// # Errors
    /// `Config` for a URL or option that makes no sense, or outside of a tokio runtime.
    pub fn open(config: PostgresConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        let drivers = Tasks::new(Arc::clone(&spawn));
        Ok(Self {
            link: Arc::new(Link::open(&config, drivers.clone())?),
            locks: Locks::new(&config.schema),
            changes: format!("{}_changes", config.schema),
            sql: Statements::new(&config.schema),
            origin_ms: clock.wall_ms().saturating_sub(clock.now_ms()),
            config,
            clock,
            ready: OnceCell::new(),
            closed: AtomicBool::new(false),
            ending: watch::Sender::new(false),
            listeners: Tasks::new(spawn),
            drivers,
            leaving: Arc::default(),
            holder: lease::holder(),
            leases: Mutex::default(),
            acquiring: tokio::sync::Mutex::default(),
        })
    }

    /// Makes sure that the store may be used: it is open, the server is there, and the tables are what they should be.
    async fn ready(&self, operation: &'static str) -> Result<()> {
        self.check_open(operation)?;
        self.ready.get_or_try_init(|| self.check_server()).await.copied()
    }

    fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, operation).with("store", NAME));
        }
        Ok(())
    }

    async fn check_server(&self) -> Result<()> {
        if self.config.is_synchronous() {
            let fsync = self.link.query(reads("open"), "SELECT current_setting('fsync')", &[]).await?;
            if fsync.first().is_some_and(|row| row.get::<_, &str>(0) != "on") {
                return Err(config::refused(
                    "the server runs with fsync = off and promises nothing across a crash; turn it on, or ask for \
                     durability=never",
                ));
            }
        }
        let schema = &self.config.schema;
        let there = "SELECT to_regclass($1) IS NOT NULL";
        let table = format!("{schema}.format");
        let found = self.link.query(reads("open"), there, &[&table]).await?;
        if !found.first().is_some_and(|row| row.get(0)) {
            self.make_tables().await?;
        }
        let format = format!("SELECT version FROM {schema}.format");
        let format = self.link.query(reads("open"), &format, &[]).await?;
        match format.first().map(|row| row.get::<_, i32>(0)) {
            Some(FORMAT) => Ok(()),
            Some(other) => Err(config::refused(&format!(
                "the tables in the schema `{schema}` are of format {other}, this release reads format {FORMAT}: use a \
                 newer release, or another schema"
            ))),
            None => {
                Err(config::refused(&format!("the schema `{schema}` has foreign tables; use another one")))
            }
        }
    }

    /// Makes the schema, its tables and functions, all or nothing, one process at a time.
    async fn make_tables(&self) -> Result<()> {
        let schema = &self.config.schema;
        let statements = format!(
            "BEGIN; SELECT pg_advisory_xact_lock({}); {} INSERT INTO {schema}.format SELECT {FORMAT} WHERE NOT EXISTS \
             (SELECT FROM {schema}.format); COMMIT",
            self.locks.store(),
            include_str!("schema.sql").replace("{schema}", schema),
        );
        let made = self.link.execute(writes("open"), &statements).await;
        if made.is_err() {
            // The connection it failed on is still within the transaction.
            self.link.close().await;
        }
        made
    }

    fn wall(&self) -> i64 {
        ms(self.clock.wall_ms())
    }

    /// The time before which floors may be forgotten. It runs no faster than monotonic time while the store is
    /// open, so a wall clock that jumps ahead forgets nothing too early.
    fn floor_now(&self) -> i64 {
        ms(self.clock.wall_ms().min(self.origin_ms + self.clock.now_ms()))
    }

    /// The time from which a floor left now may be forgotten.
    fn floor_deadline(&self) -> i64 {
        let now = self.clock.wall_ms().max(self.origin_ms + self.clock.now_ms());
        ms(now.saturating_add(u64::try_from(FLOOR_RETENTION.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The name of the channel of a channel: those of PostgreSQL are short.
    fn channel(&self, channel: &[u8]) -> String {
        format!("{}_{:016x}", self.config.schema, xxh3_64(channel))
    }
}

/// What became of the one write that was asked for.
fn only(outcomes: Vec<Outcome>) -> Result<Outcome> {
    outcomes.into_iter().next().ok_or_else(|| read::corrupt("a function that says nothing"))
}

#[deny(clippy::missing_trait_methods)]
impl Store for PostgresStore {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: Versions::Assigned,
            durability: self.config.durability,
            persistent: true,
            atomic_batches: true,
            in_place: false,
        }
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(self.read(key))
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let outcomes = self.write("put", &[Write::Put(key.clone(), entry, options)], &[]).await?;
            match only(outcomes)? {
                Outcome::Put(written) => Ok(written),
                Outcome::Delete(_) => Err(read::corrupt("a function that takes a put for a delete")),
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(async move {
            let outcomes = self.write("delete", &[Write::Delete(key.clone(), options)], &[]).await?;
            match only(outcomes)? {
                Outcome::Delete(deleted) => Ok(deleted),
                Outcome::Put(_) => Err(read::corrupt("a function that takes a delete for a put")),
            }
        })
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.is_there(key))
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        Box::pin(async move {
            self.ready("reserve").await?;
            let drawn = self.link.query(reads("reserve"), &self.sql.reserve, &[&self.locks.store()]).await?;
            let drawn = drawn.first().ok_or_else(|| read::corrupt("a sequence without a number"))?;
            Ok(names::version(drawn.get(0)))
        })
    }

    /// Nothing is deferred: each write was acknowledged by the server.
    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.check_open("commit")))
    }

    /// A transaction that waits for the disk makes all before it wait for it too.
    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.ready("flush").await?;
            let statements = "BEGIN; SET LOCAL synchronous_commit = on; SELECT pg_current_xact_id(); COMMIT";
            self.link.execute(reads("flush"), statements).await
        })
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        Box::pin(self.sweep_once(limit))
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move {
            let answer = match self.ready("health").await {
                Ok(()) => self.link.query(reads("health"), "SELECT 1", &[]).await.map(drop),
                Err(error) => Err(error),
            };
            answer.map_or_else(|error| Health::Down(error.to_string()), |()| Health::Up)
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if !self.closed.swap(true, Ordering::AcqRel) {
                let _ = self.ending.send(true);
                self.listeners.close(&*self.clock, GRACE).await;
                self.link.close().await;
                self.drivers.close(&*self.clock, GRACE).await;
            }
            Ok(())
        })
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        Some(self)
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        Some(self)
    }

    fn as_transact(&self) -> Option<&dyn Transact> {
        Some(self)
    }

    /// A view would hold a connection and keep the database from cleaning up for as long as it lives.
    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        None
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        Some(self)
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        Some(self)
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        Some(self)
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        None
    }
}
