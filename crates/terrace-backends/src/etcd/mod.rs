//! `etcd:` a store in an etcd cluster.
//!
//! Every write reads the few small rows that it depends on, judges its condition here, and commits with a transaction
//! of etcd's that compares the `mod_revision` of each of them; if one has changed it begins anew. A version is the
//! revision of the transaction that wrote it, above a base that only versions given from elsewhere move, so versions
//! come from the cluster's own order and nobody waits for a counter. Expiry is judged by the clock the store was opened
//! with; what is over goes when a [`sweep`](terrace_store::Store::sweep) takes it. Entries have no lease of etcd's: one
//! that ended would take its row without its count and without the floor that has to stay. Leases of etcd's are what
//! [`Lock`] grants.
//!
//! # What it promises
//! Everything the contract asks, among all who use the same prefix, on any number of machines: linearizable for each
//! key, without any clock. That is its ceiling of consistency; of durability it is `always`, and there is no less: a
//! write is acknowledged once a majority has synced it, and a minority answers nothing. A write whose answer did not
//! come is [`Unknown`](terrace_store::ErrorKind::Unknown). Watches go on from the revision they have seen after a
//! connection breaks, and tell that they [`Lagged`](terrace_store::capability::Change::Lagged) only if the cluster has
//! compacted it away. A lease's fencing token is the revision that granted it.
//!
//! # What it is not
//! A place for large values or many of them: a request is at most 1.5 MiB unless the members run with a larger
//! `--max-request-bytes`, and what is larger is refused in words; all of it shares a quota of 2 GiB. Batches are cut
//! into transactions of at most `max_txn_ops` operations, so only those of about twenty writes are whole or not at
//! all; a [`transaction`](terrace_store::capability::Transact) that is longer is refused. When the quota is used up
//! etcd takes no writes, deletes included, since they leave floors. The history of rows grows until the cluster
//! compacts it (`--auto-compaction-retention`).
//!
//! # Cost
//! A read is one round trip, a write two; an entry is two rows, one with a deadline three.

mod commit;
mod config;
mod error;
mod lease;
mod link;
mod list;
mod listen;
mod rows;
mod sweep;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, TxnOp};
use terrace_store::capability::{Cursor, List, Lock, Outcome, Page, Watch, Write};
use terrace_store::{Clock, Durability, Entry, Key, Namespace, Result, Spawn, Swept, Version};
use tokio::sync::OnceCell;

pub use config::EtcdConfig;
use link::{Link, reads};
use rows::{Header, Rows};

use crate::record::{self, Record};
use crate::remote::{Held, Life, Remote, RemoteStore};

/// Its scheme.
const NAME: &str = "etcd";
/// The format of what lies in the cluster.
const FORMAT: &[u8] = b"terrace 1";

/// A store in an etcd cluster. See the [module's documentation](self).
pub type EtcdStore = RemoteStore<Etcd>;

/// What such a store does in its cluster.
pub struct Etcd {
    link: Arc<Link>,
    rows: Rows,
    config: EtcdConfig,
    life: Life,
    ready: OnceCell<()>,
    held: Held,
    /// Writers of this process do not run into each other, only into those of others.
    parts: [tokio::sync::Mutex<()>; rows::PARTS],
}

impl EtcdStore {
    /// Prepares a store in this cluster. It connects at the first call, so a cluster that is away fails calls, not the
    /// opening.
    ///
    /// # Errors
    /// `Config` for a URL or option that makes no sense, or outside of a tokio runtime.
    pub fn open(config: EtcdConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        Ok(Self::over(Etcd {
            link: Arc::new(Link::open(&config)?),
            rows: Rows::new(&config.prefix),
            config,
            life: Life::begin(NAME, clock, spawn),
            ready: OnceCell::new(),
            held: Held::default(),
            parts: Default::default(),
        }))
    }
}

impl Etcd {
    /// Makes sure that the store may be used: it is open, the cluster is there, and what lies there is ours.
    async fn ready(&self, operation: &'static str) -> Result<()> {
        self.life.check_open(operation)?;
        self.ready.get_or_try_init(|| self.check_cluster()).await.copied()
    }

    async fn check_cluster(&self) -> Result<()> {
        let format = self.rows.format();
        let absent = Compare::create_revision(&format[..], CompareOp::Equal, 0);
        let answer = self
            .link
            // Whether it was done or not, no write of the caller's was.
            .txn(
                reads("open"),
                vec![absent],
                vec![TxnOp::put(&format[..], FORMAT, None)],
                vec![TxnOp::get(&format[..], None)],
            )
            .await?;
        match answer.row(0) {
            _ if answer.succeeded => Ok(()),
            Some(row) if row.value() == FORMAT => Ok(()),
            found => {
                let found = found.map_or(&b"nothing"[..], |row| row.value());
                Err(config::refused(&format!(
                    "what lies under the prefix `{}` is of format `{}`, this release reads `{}`: use a newer release, or \
                     another prefix",
                    self.config.prefix,
                    found.escape_ascii(),
                    FORMAT.escape_ascii()
                )))
            }
        }
    }

    /// What its two rows say of a key, if that counts.
    fn entry(&self, key: &Key, head: &Header, revision: i64, record: &[u8]) -> Result<Option<Entry>> {
        if !head.is_live(self.life.wall_ms()) {
            return Ok(None);
        }
        match record::open(key, &Bytes::copy_from_slice(record))? {
            Record::Live(entry) => Ok(Some(Entry { version: head.version(revision), ..entry })),
            Record::Tombstone { .. } => Err(rows::corrupt("an entry whose envelope is a tombstone's")),
        }
    }

    fn entry_of(
        &self,
        key: &Key,
        head: Option<&link::Row>,
        data: Option<&link::Row>,
    ) -> Result<Option<Entry>> {
        let (Some(head), Some(data)) = (head, data) else { return Ok(None) };
        self.entry(key, &Header::parse(head.value())?, head.mod_revision(), data.value())
    }
}

impl Remote for Etcd {
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
        let (head, data) = (self.rows.head(key.flat()), self.rows.data(key.flat()));
        let ask = vec![TxnOp::get(head, None), TxnOp::get(data, None)];
        let answer = self.link.txn(reads("get"), Vec::new(), ask, Vec::new()).await?;
        self.entry_of(key, answer.row(0), answer.row(1))
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        self.ready("exists").await?;
        let ask = vec![TxnOp::get(self.rows.head(key.flat()), None)];
        let answer = self.link.txn(reads("exists"), Vec::new(), ask, Vec::new()).await?;
        let head = answer.row(0).map(|row| Header::parse(row.value())).transpose()?;
        Ok(head.is_some_and(|head| head.is_live(self.life.wall_ms())))
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.ready("get").await?;
        let mut entries = Vec::with_capacity(keys.len());
        for keys in keys.chunks((self.config.max_txn_ops / 2).max(1)) {
            let ask = keys.iter().flat_map(|key| [self.rows.head(key.flat()), self.rows.data(key.flat())]);
            let ask = ask.map(|row| TxnOp::get(row, None)).collect();
            let answer = self.link.txn(reads("get"), Vec::new(), ask, Vec::new()).await?;
            for (n, key) in keys.iter().enumerate() {
                entries.push(self.entry_of(key, answer.row(2 * n), answer.row(2 * n + 1))?);
            }
        }
        Ok(entries)
    }

    async fn apply(&self, operation: &'static str, writes: &[Write]) -> Result<Vec<Outcome>> {
        self.write(operation, writes).await
    }

    async fn commit(&self, writes: &[Write], unchanged: &[(Key, Option<Version>)]) -> Result<()> {
        self.transact(writes, unchanged).await
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

    /// A write of a row that nobody reads: its revision is between those before and those after.
    async fn reserve(&self) -> Result<Version> {
        self.ready("reserve").await?;
        let ask = vec![TxnOp::put(self.rows.reserved(), "", None), TxnOp::get(self.rows.base(), None)];
        let answer = self.link.txn(reads("reserve"), Vec::new(), ask, Vec::new()).await?;
        let base = rows::number(answer.row(1).map(|row| row.value()))?;
        Ok(rows::assigned(base, answer.revision, 0))
    }

    /// Whatever was acknowledged a majority has synced.
    async fn flush(&self) -> Result<()> {
        self.ready("flush").await
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        self.sweep_once(limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.ready("health").await?;
        let ask = vec![TxnOp::get(self.rows.format(), None)];
        self.link.txn(reads("health"), Vec::new(), ask, Vec::new()).await.map(drop)
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
}
