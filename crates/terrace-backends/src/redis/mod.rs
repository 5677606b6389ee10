//! `redis:` a store in a Redis server, or in what speaks as one: Valkey, Dragonfly.
//!
//! Every write is one script, so that its condition, its version and its counters are judged in the server at one
//! instant, whichever process it comes from; versions come from one sequence in the server. A read is two commands in
//! one round trip: the record, and what clears left. Expiry and the retention of floors are judged by the clock the
//! store was opened with, not by the server's: its entries have no TTL of Redis's own, and go when a
//! [`sweep`](terrace_store::Store::sweep) takes them. So a server that is to hold nothing else may run with
//! `maxmemory-policy noeviction`; where it evicts, entries are lost as a cache loses them, and counts are then too high
//! by as many.
//!
//! # What it promises
//! Everything the contract asks, among all who use the same prefix, as long as the server does not lose acknowledged
//! writes: by a crash beyond its `appendfsync`, or by a failover to a replica that lags. What an acknowledgement must
//! mean is [`RedisConfig::durability`]; the ceiling is `always`. A write whose answer did not come is
//! [`Unknown`](terrace_store::ErrorKind::Unknown). A change reaches watchers when the server has sent it, which may be
//! a little after the write was acknowledged elsewhere; a watcher whose connection broke is told that it
//! [`Lagged`](terrace_store::capability::Change::Lagged).
//!
//! Leases are granted with fencing tokens, as safe as the server keeps what it acknowledged: see [`RedisConfig::durability`]
//! and what a failover may lose.
//!
//! In a Redis Cluster a store is a [`RedisClusterStore`] (`redis+cluster:`): its namespaces are spread over the slots.

mod capability;
mod cluster;
mod config;
mod error;
mod lease;
mod link;
mod list;
mod listen;
mod names;
mod read;
mod script;
mod slots;
mod sweep;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use terrace_store::capability::{Cursor, List, Lock, Outcome, Page, Publish, Watch, Write};
use terrace_store::{
    Clock, Durability, Entry, Error, ErrorKind, Key, Namespace, Result, Spawn, Swept, Version,
};
use tokio::sync::OnceCell;

pub use cluster::{RedisCluster, RedisClusterStore};
pub use config::{RedisClusterConfig, RedisConfig};
use link::{Intent, Link};
use names::Names;
use script::Call;

use crate::remote::{Held, Life, Remote, RemoteStore, holder};

/// Its scheme.
const NAME: &str = "redis";
/// The format of what lies in the server.
const FORMAT: &str = "1";

/// A store in a Redis server. See the [module's documentation](self).
pub type RedisStore = RemoteStore<Redis>;

/// Which versions a part of a store draws.
struct Sequence {
    part: usize,
    parts: usize,
    /// The highest version that this process has seen in any part: the next one it causes is above it.
    seen: Arc<AtomicU64>,
}

impl Sequence {
    fn see(&self, version: Version) {
        if self.parts > 1 {
            self.seen.fetch_max(version.0, Ordering::Relaxed);
        }
    }
}

/// What such a store does in its server.
pub struct Redis {
    link: Arc<Link>,
    names: Names,
    /// What must lie under the prefix: the format, and in a cluster the number of parts.
    format: String,
    config: RedisConfig,
    life: Life,
    held: Held,
    sequence: Sequence,
    /// Tells the leases of this store from those of others.
    holder: [u8; 16],
    ready: OnceCell<()>,
}

impl RedisStore {
    /// Prepares a store in this server. It connects at the first call, so a server that is away fails calls, not
    /// the opening.
    ///
    /// # Errors
    /// `Config` for a URL or option that makes no sense, or outside of a tokio runtime.
    pub fn open(config: RedisConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        let link = Link::open(&config)?;
        let names = Names::new(&config.prefix);
        let alone = Sequence { part: 0, parts: 1, seen: Arc::default() };
        Ok(Self::over(Redis::begin(link, names, FORMAT.to_owned(), alone, config, clock, spawn)))
    }
}

impl Redis {
    fn begin(
        link: Link,
        names: Names,
        format: String,
        sequence: Sequence,
        config: RedisConfig,
        clock: Arc<dyn Clock>,
        spawn: Arc<dyn Spawn>,
    ) -> Self {
        let life = Life::begin(NAME, clock, spawn);
        let (held, holder) = (Held::default(), holder());
        Self {
            link: Arc::new(link),
            names,
            format,
            config,
            life,
            held,
            sequence,
            holder,
            ready: OnceCell::new(),
        }
    }

    /// Makes sure that the store may be used: it is open, the server is there, and is what is asked for.
    async fn ready(&self, operation: &'static str) -> Result<()> {
        self.life.check_open(operation)?;
        self.ready.get_or_try_init(|| self.check_server()).await.copied()
    }

    async fn check_server(&self) -> Result<()> {
        let mut both = redis::pipe();
        both.cmd("SET").arg(&self.names.format).arg(&self.format).arg("NX").ignore();
        both.cmd("GET").arg(&self.names.format);
        let found: Vec<Option<String>> = self.link.run_all(Intent::Read("open"), &both).await?;
        match found.last().and_then(Option::as_deref) {
            Some(found) if found == self.format => {}
            Some(other) => return Err(self.other_format(other)),
            None => {
                return Err(Error::new(ErrorKind::Unavailable, "open")
                    .with("store", NAME)
                    .because("the server keeps nothing that is written to it"));
            }
        }
        self.check_durability().await
    }

    fn other_format(&self, other: &str) -> Error {
        let prefix = &self.config.prefix;
        let error = Error::new(ErrorKind::Config, "open").with("store", NAME);
        let parts = |format: &str| Some(format.split_once('/')?.1.to_owned());
        match (parts(other), parts(&self.format)) {
            (Some(found), Some(wanted)) if other.split('/').next() == Some(FORMAT) => error.because(format!(
                "what lies under the prefix `{prefix}` is in {found} parts and not in {wanted}: say parts={found}, or \
                 use another prefix"
            )),
            _ => error.because(format!(
                "what lies under the prefix `{prefix}` is of format {other}, this release reads format {}: use a newer \
                 release, or another prefix",
                self.format
            )),
        }
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

    /// A version above all that were used, and above this one.
    async fn draw(&self, above: Option<Version>) -> Result<Version> {
        self.ready("reserve").await?;
        let mut call = self.call();
        if let Some(above) = above {
            call.argument(names::digits(above.0));
        }
        let drawn: Vec<u8> = call.run(&self.link, Intent::Read("reserve"), &script::RESERVE).await?;
        names::version(&drawn).inspect(|version| self.sequence.see(*version))
    }

    /// A call of a script with what each gets first.
    fn call(&self) -> Call {
        let mut call = Call::default();
        self.names.fixed.iter().for_each(|key| call.key(key.clone()));
        call.argument(names::digits(self.life.wall_ms()));
        call.argument(names::digits(self.life.floor_deadline()));
        call.argument(self.names.changes.clone());
        call.argument(names::digits(self.sequence.seen.load(Ordering::Relaxed)));
        call.argument(self.sequence.part.to_string());
        call.argument(self.sequence.parts.to_string());
        call
    }
}

impl Remote for Redis {
    const NAME: &'static str = NAME;

    fn durability(&self) -> Durability {
        self.config.durability
    }

    fn check_open(&self, operation: &'static str) -> Result<()> {
        self.life.check_open(operation)
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.read(key).await
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        self.is_there(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.read_many(keys).await
    }

    async fn apply(&self, operation: &'static str, writes: &[Write]) -> Result<Vec<Outcome>> {
        self.write(operation, writes, &[]).await
    }

    async fn commit(&self, writes: &[Write], unchanged: &[(Key, Option<Version>)]) -> Result<()> {
        self.write("commit", writes, unchanged).await.map(drop)
    }

    async fn clear(&self, namespace: Option<&Namespace>) -> Result<u64> {
        self.clear_all(namespace).await
    }

    async fn list(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.page(list, cursor).await
    }

    async fn amount(&self, namespace: &Namespace) -> Result<(u64, u64)> {
        self.amounts(namespace).await
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>> {
        self.spaces().await
    }

    async fn reserve(&self) -> Result<Version> {
        self.draw(None).await
    }

    async fn flush(&self) -> Result<()> {
        self.sync().await
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        self.sweep_once(limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.ready("health").await?;
        self.link.run::<String>(Intent::Read("health"), &redis::cmd("PING")).await.map(drop)
    }

    async fn close(&self) {
        self.life.end().await;
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
}
