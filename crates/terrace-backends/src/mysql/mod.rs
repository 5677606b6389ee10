//! `mysql:` a store in a MariaDB or MySQL database.
//!
//! Every write calls a procedure in the database that judges its condition, draws its version and applies it, in one
//! transaction that holds the row of the sequence. So writers commit one after another, versions are in the order of the
//! commits, and no two calls ever wait for each other in a circle. Expiry is judged by the clock the store was opened
//! with; what is over goes when a [`sweep`](terrace_store::Store::sweep) takes it. The tables and procedures are made at
//! the first call, under a prefix of their own.
//!
//! # What it promises
//! Everything the contract asks, among all who use the same prefix of the same database, on any number of machines. The
//! ceiling is `always`, with `innodb_flush_log_at_trx_commit = 1`; what is asked for is compared with the server's
//! setting at the first call, since no client can change it. A write whose answer did not come is
//! [`Unknown`](terrace_store::ErrorKind::Unknown). Leases are judged by the server's clock, one's own by the clock of the
//! store; their tokens only grow.
//!
//! # What it is not
//! It tells nobody of changes and carries no messages: the server has neither. A value has to fit into the server's
//! `max_allowed_packet`, which is 16 MiB unless it was raised; what does not is refused in words. One server is the
//! authority: a replica that took over without what the other had acknowledged has lost it.
//!
//! # Cost
//! One round trip a read or write; a batch takes one for each of its writes, during which others wait. Writers wait for
//! each other's fsync: a database to which many write much is better a PostgreSQL.

mod config;
mod error;
mod lease;
mod link;
mod list;
mod read;
mod sweep;
mod write;

use std::sync::Arc;

use terrace_store::capability::{Cursor, List, Lock, Outcome, Page, Write};
use terrace_store::{Clock, Durability, Entry, Key, Namespace, Result, Spawn, Swept, Version};
use tokio::sync::OnceCell;

pub use config::MysqlConfig;
use link::{Link, reads, writes};

use crate::remote::{Held, Life, Remote, RemoteStore, holder};

/// Its scheme.
const NAME: &str = "mysql";
/// The format of the tables that this release makes, and reads.
const FORMAT: i32 = 1;

/// A store in a MariaDB or MySQL database. See the [module's documentation](self).
pub type MysqlStore = RemoteStore<Mysql>;

/// What such a store does in its database.
pub struct Mysql {
    link: Link,
    config: MysqlConfig,
    life: Life,
    ready: OnceCell<()>,
    /// Who this is to the leases of others.
    holder: [u8; 16],
    held: Held,
}

impl MysqlStore {
    /// Prepares a store in this database. It connects at the first call, so a server that is away fails calls, not the
    /// opening.
    ///
    /// # Errors
    /// `Config` for a URL or option that makes no sense, or outside of a tokio runtime.
    pub fn open(config: MysqlConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        Ok(Self::over(Mysql {
            link: Link::open(&config)?,
            config,
            life: Life::begin(NAME, clock, spawn),
            ready: OnceCell::new(),
            holder: holder(),
            held: Held::default(),
        }))
    }
}

impl Mysql {
    /// A statement, with the prefix of the tables filled in.
    fn sql(&self, text: &str) -> String {
        text.replace("{p}", &self.config.prefix)
    }

    /// Makes sure that the store may be used: it is open, the server is there, and the tables are what they should be.
    async fn ready(&self, operation: &'static str) -> Result<()> {
        self.life.check_open(operation)?;
        self.ready.get_or_try_init(|| self.check_server()).await.copied()
    }

    async fn check_server(&self) -> Result<()> {
        self.check_durability().await?;
        let there = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?";
        let table = self.sql("{p}_format");
        let found: Vec<u64> = self.link.query(reads("open"), there, (table,)).await?;
        if found.first() != Some(&1) {
            self.make_tables().await?;
        }
        let format = self.sql("SELECT version FROM {p}_format");
        let format: Vec<i32> = self.link.query(reads("open"), &format, ()).await?;
        match format.first() {
            Some(&FORMAT) => Ok(()),
            Some(other) => Err(config::refused(&format!(
                "the tables with the prefix `{}` are of format {other}, this release reads format {FORMAT}: use a newer \
                 release, or another prefix",
                self.config.prefix
            ))),
            None => Err(config::refused(&format!(
                "there is a table {}_format that this release did not make; use another prefix",
                self.config.prefix
            ))),
        }
    }

    /// The server's setting is for all who use it, so it can only be looked at.
    async fn check_durability(&self) -> Result<()> {
        let ask = "SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED)";
        let found: Vec<i64> = self.link.query(reads("open"), ask, ()).await?;
        let setting = found.first().copied().unwrap_or(0);
        let kept = match self.config.durability {
            Durability::Always | Durability::Group(_) => setting == 1 || setting == 3,
            _ => setting != 0,
        };
        if kept {
            return Ok(());
        }
        Err(config::refused(&format!(
            "durability {:?} is above what this server promises, with innodb_flush_log_at_trx_commit = {setting}; set that \
             to 1, or to 2 for durability=interval",
            self.config.durability
        )))
    }

    /// Makes the tables and procedures, one process at a time; the format comes last, so a making that was cut short is
    /// done again.
    async fn make_tables(&self) -> Result<()> {
        let mut statements: Vec<String> =
            self.sql(include_str!("schema.sql")).split(";;").map(|text| text.trim().to_owned()).collect();
        statements.retain(|statement| !statement.is_empty());
        let first =
            self.sql("INSERT INTO {p}_format SELECT 1 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM {p}_format)");
        statements.push(first);
        self.link.make(&self.sql("{p}.make"), statements).await
    }
}

impl Remote for Mysql {
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
        self.write(operation, writes).await
    }

    async fn commit(&self, writes: &[Write], unchanged: &[(Key, Option<Version>)]) -> Result<()> {
        self.transact("commit", writes, unchanged).await.map(drop)
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
        self.ready("reserve").await?;
        let statement = self.sql("UPDATE {p}_sequence SET value = LAST_INSERT_ID(value + 1) WHERE id = 1");
        self.link.draw(reads("reserve"), &statement).await.map(Version)
    }

    /// With a weaker setting the server syncs once a second; nothing can ask it for more.
    async fn flush(&self) -> Result<()> {
        self.ready("flush").await?;
        if self.durability().is_durable() {
            return Ok(());
        }
        self.link.run(writes("flush"), "FLUSH ENGINE LOGS", ()).await.map(drop)
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        self.sweep_once(limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.ready("health").await?;
        self.link.query::<u64>(reads("health"), "SELECT 1", ()).await.map(drop)
    }

    async fn close(&self) {
        if self.life.end().await {
            self.link.close().await;
        }
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        Some(self)
    }
}
