//! `http:` a store in another Terrace, over its HTTP interface.
//!
//! The other one is a `terrace serve`, which keeps named stores beside the databases that Redis clients see; this is a
//! client of one of them. Reads, writes and their conditions are judged there, by the store that keeps them, in one round
//! trip each; entries travel as the [records](crate::wire) that stores on disk keep, so every field arrives as it was, with
//! a checksum. Connections are plain HTTP/1.1, kept and used again, one call on each at a time; a request is sent twice
//! only if it is a read, or if not a byte of it had left.
//!
//! # What it promises
//! What the store in the other Terrace promises: linearizable for each key, among all who use it, and that is its ceiling
//! of consistency. Its versions, its clock and its sweeps are the other's: an entry ends when the server's clock says so.
//! Of durability its ceiling is what the server was configured with: `durability` says what the caller needs, and the
//! first call is refused if the server has less. A write whose answer did not come is
//! [`Unknown`](terrace_store::ErrorKind::Unknown). A [`transaction`](terrace_store::capability::Transact) is judged and
//! applied at one instant. A watch that breaks is begun anew and tells that it
//! [`Lagged`](terrace_store::capability::Change::Lagged): the server keeps no history.
//!
//! # What it is not
//! No leases, no channels, no snapshots. Batches longer than 16 MiB are cut into several messages, so no batch is promised
//! to be whole; a transaction is one message, of at most 72 MiB.
//!
//! # Cost
//! A round trip for every call; entries of many keys come 16 MiB at a time. What is answered is read up to
//! [`LONGEST_ANSWER`](crate::wire::LONGEST) and no further, whatever the server announces.

mod config;
mod error;
mod events;
mod link;
mod listen;
mod open;
mod pool;
mod tls;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use terrace_store::capability::{Cursor, List, Outcome, Page, Watch, Write};
use terrace_store::{Clock, Durability, Entry, Key, Namespace, Result, Spawn, Swept, Version};
use tokio::sync::OnceCell;

pub use config::HttpConfig;
use link::{Intent, Link, reads, writes};

use crate::remote::{Life, Remote, RemoteStore, validate};
use crate::wire;

/// Its feature and file, and one of its schemes.
const NAME: &str = "http";

/// How many keys are asked for in one message.
const KEYS: usize = 1024;

/// A store in another Terrace. See the [module's documentation](self).
pub type HttpStore = RemoteStore<Http>;

/// What such a store does over HTTP.
pub struct Http {
    link: Arc<Link>,
    config: HttpConfig,
    life: Life,
    ready: OnceCell<()>,
}

impl HttpStore {
    /// Prepares a store in this server. It connects at the first call, so a server that is away fails calls, not the
    /// opening. Blocks while it reads the certificates of `tls_ca`.
    ///
    /// # Errors
    /// `Config` for a URL or option that makes no sense, or outside of a tokio runtime.
    pub fn open(config: HttpConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        Ok(Self::over(Http {
            link: Arc::new(Link::open(&config)?),
            config,
            life: Life::begin(NAME, clock, spawn),
            ready: OnceCell::new(),
        }))
    }
}

impl Http {
    /// Makes sure that the store may be used: it is open, and what answers there is a Terrace that promises enough.
    async fn ready(&self, operation: &'static str) -> Result<()> {
        self.life.check_open(operation)?;
        let check = || async {
            let facts = self.link.ask(reads(operation), "").await?;
            open::check(operation, &facts, self.config.durability)
        };
        self.ready.get_or_try_init(check).await.copied()
    }

    async fn tell(&self, intent: Intent, path: &str, order: &Value) -> Result<Value> {
        self.ready(intent.operation).await?;
        self.link.tell(intent, path, order).await
    }

    async fn some(&self, operation: &'static str, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let answer = self.link.exchange(reads(operation), "/batch", wire::get(keys)).await?;
        wire::entries(keys, answer).map_err(error::garbled)
    }
}

impl Remote for Http {
    const NAME: &'static str = NAME;
    const ATOMIC_BATCHES: bool = false;

    fn durability(&self) -> Durability {
        self.config.durability
    }

    fn check_open(&self, operation: &'static str) -> Result<()> {
        self.life.check_open(operation)
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.ready("get").await?;
        Ok(self.some("get", std::slice::from_ref(key)).await?.pop().flatten())
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        self.ready("exists").await?;
        let answer = self.link.exchange(reads("exists"), "/batch", wire::exists(key)).await?;
        match &answer[..] {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(error::nonsense("exists")),
        }
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.ready("get").await?;
        let mut entries = Vec::with_capacity(keys.len());
        while entries.len() < keys.len() {
            let left = &keys[entries.len()..];
            // A message always answers for its first key.
            entries.extend(self.some("get", &left[..left.len().min(KEYS)]).await?);
        }
        Ok(entries)
    }

    async fn apply(&self, operation: &'static str, list: &[Write]) -> Result<Vec<Outcome>> {
        validate(list)?;
        self.ready(operation).await?;
        let mut outcomes = Vec::with_capacity(list.len());
        while outcomes.len() < list.len() {
            let left = &list[outcomes.len()..];
            let (message, taken) = wire::writes(left, self.config.compress_from)?;
            let answer = self.link.exchange(writes(operation), "/batch", message).await?;
            let read = wire::read_outcomes(&left[..taken], answer);
            // What was sent was answered, but how is not known.
            outcomes.extend(read.map_err(|source| error::unknown(operation).caused_by(source))?);
        }
        Ok(outcomes)
    }

    async fn commit(&self, list: &[Write], unchanged: &[(Key, Option<Version>)]) -> Result<()> {
        validate(list)?;
        self.ready("commit").await?;
        let message = wire::commit(list, unchanged, self.config.compress_from)?;
        match &self.link.exchange(writes("commit"), "/batch", message).await?[..] {
            [] => Ok(()),
            _ => Err(error::unknown("commit")),
        }
    }

    async fn clear(&self, namespace: Option<&Namespace>) -> Result<u64> {
        let order = match namespace {
            Some(namespace) => json!({ "namespace": events::encode(namespace.name()) }),
            None => json!({ "all": true }),
        };
        let answer = self.tell(writes("clear"), "/clear", &order).await?;
        open::number(&answer, "removed").ok_or_else(|| error::unknown("clear"))
    }

    async fn list(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.ready("list").await?;
        let answer = self.link.exchange(reads("list"), "/list", wire::list(list, cursor)).await?;
        wire::page(list, cursor, answer).map_err(error::garbled)
    }

    async fn amount(&self, namespace: &Namespace) -> Result<(u64, u64)> {
        self.ready("count").await?;
        let path = format!("/namespaces?namespace={}", events::encode(namespace.name()));
        let answer = self.link.ask(reads("count"), &path).await?;
        let found = answer["namespaces"].as_array().ok_or_else(|| error::nonsense("count"))?;
        let Some(found) = found.first() else { return Ok((0, 0)) };
        let amount = open::number(found, "count").zip(open::number(found, "bytes"));
        amount.ok_or_else(|| error::nonsense("count"))
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>> {
        self.ready("namespaces").await?;
        let answer = self.link.ask(reads("namespaces"), "/namespaces").await?;
        let found = answer["namespaces"].as_array().ok_or_else(|| error::nonsense("namespaces"))?;
        let name = |row: &Value| events::decode(row["namespace"].as_str()?);
        found
            .iter()
            .map(|row| Namespace::new(name(row).ok_or_else(|| error::nonsense("namespaces"))?))
            .collect()
    }

    async fn reserve(&self) -> Result<Version> {
        // It writes nothing that anybody reads, so it may be asked for twice.
        let answer = self.tell(reads("reserve"), "/reserve", &json!({})).await?;
        let version = answer["version"].as_str().and_then(|version| version.parse().ok());
        version.map(Version).ok_or_else(|| error::nonsense("reserve"))
    }

    async fn flush(&self) -> Result<()> {
        self.tell(reads("flush"), "/flush", &json!({})).await.map(drop)
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        let answer = self.tell(reads("sweep"), "/sweep", &json!({ "limit": limit })).await?;
        let (expired, floors) = (open::number(&answer, "expired"), open::number(&answer, "floors"));
        match (expired, floors, answer["more"].as_bool()) {
            (Some(expired), Some(floors), Some(more)) => Ok(Swept { expired, floors, more }),
            _ => Err(error::nonsense("sweep")),
        }
    }

    /// Asks the server how the store is.
    async fn ping(&self) -> Result<()> {
        self.ready("health").await?;
        let facts = self.link.ask(reads("health"), "").await?;
        open::health(&facts)
    }

    async fn close(&self) {
        self.life.end().await;
        self.link.close();
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        Some(self)
    }
}

/// An empty body is no JSON.
fn parse(operation: &'static str, body: &Bytes) -> Result<Value> {
    serde_json::from_slice(body).map_err(|source| error::nonsense(operation).caused_by(source))
}
