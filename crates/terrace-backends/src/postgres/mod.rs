//! `postgres:` a store in a PostgreSQL database.
//!
//! Every write is one call of a function in the database: it locks the keys, judges the conditions, draws versions from
//! one sequence, and tells the change, in one transaction. Expiry is judged by the clock the store was opened with;
//! what is over goes when a [`sweep`](terrace_store::Store::sweep) takes it. The tables and functions are made at the
//! first call, in a schema of their own.
//!
//! # What it promises
//! Everything the contract asks, among all who use the same schema, on any number of machines. The ceiling is `always`:
//! a commit that waits for the disk, which PostgreSQL shares among those who wait at the same time. With less a crash
//! of the server loses at most the last 0.6 s. A write whose answer did not come is
//! [`Unknown`](terrace_store::ErrorKind::Unknown). Changes reach watchers through LISTEN and NOTIFY, as soon as the
//! server has sent them; a watcher whose connection broke is told that it
//! [`Lagged`](terrace_store::capability::Change::Lagged), as it is of a key of more than 5,000 bytes. Leases are judged
//! by the server's clock, one's own by the clock of the store; their tokens only grow.
//!
//! # Cost
//! One round trip a call. [`reserve`](terrace_store::Store::reserve) waits for the writes that are under way, since one
//! of them may have a version already and not yet be there to be read.

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

use std::sync::Arc;
use std::time::Duration;

use terrace_store::capability::{Cursor, List, Lock, Outcome, Page, Publish, Watch, Write};
use terrace_store::spawn::Tasks;
use terrace_store::{Clock, Durability, Entry, Key, Namespace, Result, Spawn, Swept, Version};
use tokio::sync::OnceCell;
use xxhash_rust::xxh3::xxh3_64;

pub use config::PostgresConfig;
use link::{Link, reads, writes};
use names::{Locks, ms};

use crate::remote::{Held, Life, Remote, RemoteStore, holder};

/// Its scheme.
const NAME: &str = "postgres";
/// The format of the tables that this release makes, and reads.
const FORMAT: i32 = 1;
/// How long connections may take to end at a close.
const GRACE: Duration = Duration::from_secs(2);

/// A store in a PostgreSQL database. See the [module's documentation](self).
pub type PostgresStore = RemoteStore<Postgres>;

/// What such a store does in its database.
pub struct Postgres {
    link: Arc<Link>,
    config: PostgresConfig,
    locks: Locks,
    /// Where changes are told.
    changes: String,
    sql: Statements,
    life: Life,
    ready: OnceCell<()>,
    drivers: Tasks,
    /// Who this is to the leases of others.
    holder: [u8; 16],
    held: Held,
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
        Ok(Self::over(Postgres {
            link: Arc::new(Link::open(&config, drivers.clone())?),
            locks: Locks::new(&config.schema),
            changes: format!("{}_changes", config.schema),
            sql: Statements::new(&config.schema),
            config,
            life: Life::begin(NAME, clock, spawn),
            ready: OnceCell::new(),
            drivers,
            holder: holder(),
            held: Held::default(),
        }))
    }
}

impl Postgres {
    /// Makes sure that the store may be used: it is open, the server is there, and the tables are what they should be.
    async fn ready(&self, operation: &'static str) -> Result<()> {
        self.life.check_open(operation)?;
        self.ready.get_or_try_init(|| self.check_server()).await.copied()
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
        ms(self.life.wall_ms())
    }

    /// The name of the channel of a channel: those of PostgreSQL are short.
    fn channel(&self, channel: &[u8]) -> String {
        format!("{}_{:016x}", self.config.schema, xxh3_64(channel))
    }
}

impl Remote for Postgres {
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
        self.ready("reserve").await?;
        let drawn = self.link.query(reads("reserve"), &self.sql.reserve, &[&self.locks.store()]).await?;
        let drawn = drawn.first().ok_or_else(|| read::corrupt("a sequence without a number"))?;
        Ok(names::version(drawn.get(0)))
    }

    /// A transaction that waits for the disk makes all before it wait for it too.
    async fn flush(&self) -> Result<()> {
        self.ready("flush").await?;
        let statements = "BEGIN; SET LOCAL synchronous_commit = on; SELECT pg_current_xact_id(); COMMIT";
        self.link.execute(reads("flush"), statements).await
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        self.sweep_once(limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.ready("health").await?;
        self.link.query(reads("health"), "SELECT 1", &[]).await.map(drop)
    }

    async fn close(&self) {
        if self.life.end().await {
            self.link.close().await;
            self.drivers.close(&*self.life.clock, GRACE).await;
        }
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
