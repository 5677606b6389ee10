//! `redis:` a store in a Redis server, or in what speaks as one: Valkey, Dragonfly.
//!
//! Every write is one script, so that its condition, its version and its counters are judged in the server at one
//! instant, whichever process it comes from; versions come from one sequence in the server. A read is two commands
//! in one round trip: the record, and what clears left. Expiry and the retention of floors are judged by the clock the
//! store was opened with, not by the server's: its entries have no TTL of Redis's own, and go when a
//! [`sweep`](Store::sweep) takes them. So a server that is to hold nothing else may run with `maxmemory-policy
//! noeviction`; where it evicts, entries are lost as a cache loses them, and counts are then too high by as many.
//!
//! # What it promises
//! Everything the contract asks, among all who use the same prefix, as long as the server does not lose
//! acknowledged writes: by a crash beyond its `appendfsync`, or by a failover to a replica that lags. What an
//! acknowledgement must mean is [`RedisConfig::durability`]; the ceiling is `always`. A write whose answer did not
//! come is [`Unknown`](terrace_store::ErrorKind::Unknown). A change reaches watchers when the server has sent it,
//! which may be a little after the write was acknowledged elsewhere; a watcher whose connection broke is told that it
//! [`Lagged`](terrace_store::capability::Change::Lagged).
//!
//! In a cluster all of a prefix lies in one slot; different prefixes may lie on different servers.

mod capability;
mod config;
mod error;
mod link;
mod list;
mod listen;
mod names;
mod read;
mod script;
mod sweep;
mod transaction;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use terrace_store::capability::{
    Batch, Iterate, Lock, Outcome, Paths, Publish, Snapshot, Transact, Watch, Write,
};
use terrace_store::spawn::Tasks;
use terrace_store::store::FLOOR_RETENTION;
use terrace_store::{
    BoxFuture, Capabilities, Clock, DeleteOptions, Deleted, Durability, Entry, Error, ErrorKind, Health, Key,
    PutOptions, Result, Spawn, Store, Swept, Version, Versions, Written,
};
use tokio::sync::{OnceCell, watch};

pub use config::RedisConfig;
use link::{Intent, Link};
use names::Names;
use script::Call;

/// Its scheme.
const NAME: &str = "redis";
/// The format of what lies in the server.
const FORMAT: &str = "1";
/// How long those who listen may take to end at a close.
const GRACE: Duration = Duration::from_secs(2);

/// A store in a Redis server.
pub struct RedisStore {
    link: Arc<Link>,
    names: Names,
    config: RedisConfig,
    clock: Arc<dyn Clock>,
    /// Wall time less monotonic time when the store was opened, in milliseconds.
    origin_ms: u64,
    ready: OnceCell<()>,
    closed: AtomicBool,
    /// Ends those who listen.
    ending: watch::Sender<bool>,
    listeners: Tasks,
}

impl RedisStore {
    /// Prepares a store in this server. It connects at the first call, so a server that is away fails calls, not
    /// the opening.
    ///
    /// # Errors
    /// `Config` for a URL or option that makes no sense, or outside of a tokio runtime.
    pub fn open(config: RedisConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        Ok(Self {
            link: Arc::new(Link::open(&config)?),
            names: Names::new(&config.prefix),
            origin_ms: clock.wall_ms().saturating_sub(clock.now_ms()),
            config,
            clock,
            ready: OnceCell::new(),
            closed: AtomicBool::new(false),
            ending: watch::Sender::new(false),
            listeners: Tasks::new(spawn),
        })
    }

    /// Makes sure that the store may be used: it is open, the server is there, and is what is asked for.
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
        let mut both = redis::pipe();
        both.cmd("SET").arg(&self.names.format).arg(FORMAT).arg("NX").ignore();
        both.cmd("GET").arg(&self.names.format);
        let found: Vec<Option<String>> = self.link.run_all(Intent::Read("open"), &both).await?;
        match found.last().and_then(Option::as_deref) {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(Error::new(ErrorKind::Config, "open").with("store", NAME).because(format!(
                    "what lies under the prefix `{}` is of format {other}, this release reads format {FORMAT}: use \
                     a newer release, or another prefix",
                    self.config.prefix
                )));
            }
            None => {
                return Err(Error::new(ErrorKind::Unavailable, "open")
                    .with("store", NAME)
                    .because("the server keeps nothing that is written to it"));
            }
        }
        self.check_durability().await
    }

    async fn check_durability(&self) -> Result<()> {
        if self.config.durability == Durability::Process {
            return Ok(());
        }
        let mut both = redis::pipe();
        both.cmd("CONFIG").arg("GET").arg("appendonly");
        both.cmd("CONFIG").arg("GET").arg("appendfsync");
        let settings: Vec<Vec<String>> = self.link.run_all(Intent::Read("open"), &both).await?;
        let setting =
            |n: usize| settings.get(n).and_then(|pair| pair.get(1)).map_or("unknown", String::as_str);
        let (appends, syncs) = (setting(0), setting(1));
        let kept = match self.config.durability {
            Durability::Always => appends == "yes" && syncs == "always",
            Durability::Interval(_) => appends == "yes" && (syncs == "always" || syncs == "everysec"),
            _ => appends == "yes",
        };
        if kept {
            return Ok(());
        }
        Err(config::refused(&format!(
            "durability {:?} is above what this server promises, with appendonly {appends} and appendfsync {syncs}; \
             change these in its configuration, or ask for less",
            self.config.durability
        )))
    }

    /// A call of a script with what each gets first.
    fn call(&self) -> Call {
        let mut call = Call::default();
        self.names.fixed.iter().for_each(|key| call.key(key.clone()));
        call.argument(names::digits(self.clock.wall_ms()));
        call.argument(names::digits(self.floor_deadline()));
        call.argument(self.names.changes.clone());
        call
    }

    /// The time before which floors may be forgotten. It runs no faster than monotonic time while the store is
    /// open, so a wall clock that jumps ahead forgets nothing too early.
    fn floor_now(&self) -> u64 {
        self.clock.wall_ms().min(self.origin_ms + self.clock.now_ms())
    }

    /// The time from which a floor left now may be forgotten.
    fn floor_deadline(&self) -> u64 {
        let now = self.clock.wall_ms().max(self.origin_ms + self.clock.now_ms());
        now.saturating_add(u64::try_from(FLOOR_RETENTION.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What became of the one write that was asked for.
fn only(outcomes: Vec<Outcome>) -> Result<Outcome> {
    outcomes.into_iter().next().ok_or_else(|| names::corrupt("a script that says nothing"))
}

#[deny(clippy::missing_trait_methods)]
impl Store for RedisStore {
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
                Outcome::Delete(_) => Err(names::corrupt("a script that takes a put for a delete")),
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(async move {
            let outcomes = self.write("delete", &[Write::Delete(key.clone(), options)], &[]).await?;
            match only(outcomes)? {
                Outcome::Delete(deleted) => Ok(deleted),
                Outcome::Put(_) => Err(names::corrupt("a script that takes a delete for a put")),
            }
        })
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.is_there(key))
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        Box::pin(async move {
            self.ready("reserve").await?;
            let drawn: Vec<u8> =
                self.call().run(&self.link, Intent::Read("reserve"), &script::RESERVE).await?;
            names::version(&drawn)
        })
    }

    /// Nothing is deferred: each write was acknowledged by the server.
    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.check_open("commit")))
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.sync())
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        Box::pin(self.sweep_once(limit))
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move {
            let answer = match self.ready("health").await {
                Ok(()) => {
                    self.link.run::<String>(Intent::Read("health"), &redis::cmd("PING")).await.map(drop)
                }
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

    /// A server has no view of an earlier time.
    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        None
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        Some(self)
    }

    /// A lease in a server that may fail over is good for efficiency only, and judged by its clock, not ours.
    fn as_lock(&self) -> Option<&dyn Lock> {
        None
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        Some(self)
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        None
    }
}
