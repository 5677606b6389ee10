//! `nats:` a store in a JetStream key-value bucket of a NATS server.
//!
//! An entry is the last message of its key's subject. A write reads that message, judges its condition here, and stores
//! its own only if that is the last one still; if it is not, it begins anew. A version is the sequence number of the
//! message above a base that only versions given from elsewhere move, so versions come from the stream's own order.
//! A clear stores a floor, then removes everything before it; in between, conditions and listings take what is below the
//! floor for gone, while a read of a single key may still find it. A `Match` that was judged before the floor was stored and
//! is stored after it counts as written after the clear, over an entry that the clear counts as removed. Expiry is judged by the clock the store was opened with;
//! what is over goes when a [`sweep`](terrace_store::Store::sweep) takes it.
//!
//! The server cannot list subjects in order, nor count bytes. For listings, counts, sweeps and clears the store follows
//! the headers of the whole bucket from the first of these calls on, and before each answer waits until it has seen
//! what was stored before the call. Reads and writes of single keys do without.
//!
//! # What it promises
//! Everything the contract asks of one key, among all who use the same bucket. Its ceiling of consistency: linearizable
//! for each key where one server keeps the bucket; with replicas their leader answers, and one that was deposed without
//! knowing may for a while answer with what it had. There is no [`Transact`](terrace_store::capability::Transact) and
//! no batch that is whole or not at all: messages of different subjects are stored one by one. Its ceiling of
//! durability is `interval`: a write is acknowledged once the operating system has it (of a majority, with replicas),
//! and synced two minutes later unless the server is told otherwise, which it tells no client. A write whose answer did
//! not come is [`Unknown`](terrace_store::ErrorKind::Unknown).
//!
//! The server tells watchers of each message it has stored; a watcher whose connection broke, or who missed a sequence
//! number, is told that it [`Lagged`](terrace_store::capability::Change::Lagged). Messages go to whoever listens, and
//! each listener says so to the publisher, who counts them; one that has gone without a word is waited for once, for a
//! second.
//!
//! # Cost
//! A read is one request, or two where the entry came with a version of its own; a write two at the same time and one
//! more. Values longer than the server's `max_payload` are cut into pieces. A store that lists keeps about 150 bytes and
//! the key of every entry in memory.

mod config;
mod error;
mod follow;
mod link;
mod list;
mod listen;
mod mirror;
mod pieces;
mod publish;
mod read;
mod rows;
mod sweep;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use terrace_store::capability::{Cursor, List, Outcome, Page, Publish, Watch, Write};
use terrace_store::{
    Clock, Durability, Entry, Error, ErrorKind, Key, Namespace, Result, Spawn, Swept, Version,
};
use tokio::sync::OnceCell;

use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy, StorageType};
pub use config::NatsConfig;
use link::{Link, reads, writes};
use mirror::Mirror;

use crate::remote::{Life, Remote, RemoteStore};

/// Its scheme.
const NAME: &str = "nats";
/// The format of what lies in the bucket.
const FORMAT: &[u8] = b"terrace 1";
/// How many turns writers of this process take.
const TURNS: usize = 64;
/// How many requests of one call are under way at once.
const TOGETHER: usize = 32;

/// A store in a NATS server. See the [module's documentation](self).
///
/// It grants no leases: nothing in a bucket ends by the server's clock before an entry's own time.
pub type NatsStore = RemoteStore<Nats>;

/// What such a store does in its server.
pub struct Nats {
    link: Arc<Link>,
    config: NatsConfig,
    life: Life,
    ready: OnceCell<()>,
    mirror: OnceCell<Arc<Mirror>>,
    /// What this store is called in the bucket.
    id: String,
    /// Writers of this process do not run into each other, only into those of others.
    turns: [tokio::sync::Mutex<()>; TURNS],
}

impl NatsStore {
    /// Prepares a store in this server. It connects at the first call, so a server that is away fails calls, not
    /// the opening.
    ///
    /// # Errors
    /// `Config` for a URL or option that makes no sense, or outside of a tokio runtime.
    pub fn open(config: NatsConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        Ok(Self::over(Nats {
            link: Arc::new(Link::open(&config)?),
            config,
            life: Life::begin(NAME, clock, spawn),
            ready: OnceCell::new(),
            mirror: OnceCell::new(),
            id: rows::hex(&crate::remote::holder()),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        }))
    }
}

impl Nats {
    /// Makes sure that the store may be used: it is open, the server is there, and the bucket is ours.
    async fn ready(&self, operation: &'static str) -> Result<()> {
        self.life.check_open(operation)?;
        self.ready.get_or_try_init(|| self.check_bucket()).await.copied()
    }

    async fn check_bucket(&self) -> Result<()> {
        let info = self.link.bucket(reads("open")).await?;
        let (bucket, subject) = (&self.config.prefix, self.link.subjects.format());
        let format = match self.link.last(reads("open"), subject.clone()).await? {
            Some(row) => Some(row.payload),
            // Only an empty one is taken; whoever was first has said what it is.
            None if info.state.messages == 0 => {
                let format = Bytes::from_static(FORMAT);
                let _ = self.link.publish(reads("open"), subject.clone(), None, format, Some(0)).await?;
                self.link.last(reads("open"), subject).await?.map(|row| row.payload)
            }
            None => None,
        };
        match format {
            None => {
                return Err(config::refused(&format!(
                    "the bucket `{bucket}` holds something else: name another with prefix"
                )));
            }
            Some(format) if format != FORMAT => {
                return Err(config::refused(&format!(
                    "what lies in the bucket `{bucket}` is of format `{}`, this release reads `{}`: use a newer \
                     release, or another prefix",
                    format.escape_ascii(),
                    FORMAT.escape_ascii()
                )));
            }
            Some(_) => {}
        }
        let found = &info.config;
        let wrong = match () {
            () if found.storage != StorageType::File => "its storage is memory, so a restart loses it",
            () if found.retention != RetentionPolicy::Limits => "it keeps messages until they are read",
            () if !found.max_age.is_zero() => "it has a max_age, which removes entries and floors",
            () if found.discard != DiscardPolicy::New => "it discards old messages when it is full",
            () if found.max_messages_per_subject != 1 => "it keeps more than the last message of a subject",
            () if !found.allow_direct || found.deny_purge => "it forbids what the store needs",
            () if found.republish.is_none() => "it tells nobody what it stores",
            () if found.num_replicas != self.config.replicas => {
                return Err(config::refused(&format!(
                    "the bucket `{bucket}` has {} replicas: say so with replicas, which decides who answers reads",
                    found.num_replicas
                )));
            }
            () => return Ok(()),
        };
        Err(config::refused(&format!("the bucket `{bucket}` is not as the store would make it: {wrong}")))
    }
}

impl Remote for Nats {
    const NAME: &'static str = NAME;
    const ATOMIC_BATCHES: bool = false;
    const TRANSACTS: bool = false;

    fn durability(&self) -> Durability {
        self.config.durability
    }

    fn check_open(&self, operation: &'static str) -> Result<()> {
        self.life.check_open(operation)
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.ready("get").await?;
        self.read("get", key).await
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        self.ready("exists").await?;
        Ok(self.live("exists", key).await?.is_some())
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.ready("get").await?;
        self.read_many(keys).await
    }

    async fn apply(&self, operation: &'static str, writes: &[Write]) -> Result<Vec<Outcome>> {
        self.write(operation, writes).await
    }

    /// Never asked for: there are no transactions.
    async fn commit(&self, _writes: &[Write], _unchanged: &[(Key, Option<Version>)]) -> Result<()> {
        let error = Error::new(ErrorKind::NotSupported, "commit").with("store", NAME);
        Err(error.because("messages of different subjects are stored one by one"))
    }

    async fn clear(&self, namespace: Option<&Namespace>) -> Result<u64> {
        self.clear_all(namespace).await
    }

    async fn list(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.page(list, cursor).await
    }

    async fn amount(&self, namespace: &Namespace) -> Result<(u64, u64)> {
        Ok(self.mirror("count").await?.amount(namespace))
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>> {
        self.mirror("namespaces").await?.namespaces()
    }

    /// A message that nobody reads: its sequence number is between those before and those after.
    async fn reserve(&self) -> Result<Version> {
        self.ready("reserve").await?;
        let sequence = self.next_sequence("reserve").await?;
        Ok(Version(self.base("reserve").await?.0.saturating_add(sequence)))
    }

    /// There is no asking the server to sync: what was acknowledged is as durable as it can make it.
    async fn flush(&self) -> Result<()> {
        self.ready("flush").await
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        self.sweep_once(limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.ready("health").await?;
        self.link.last(reads("health"), self.link.subjects.format()).await.map(drop)
    }

    async fn close(&self) {
        if self.life.end().await && self.mirror.initialized() {
            let _ = self.link.purge(writes("close"), self.link.subjects.mark(&self.id), None).await;
        }
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        Some(self)
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        Some(self)
    }
}
