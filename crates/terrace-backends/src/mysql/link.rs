//! The connections to the server: a pool of a few, made when they are needed and anew after they break.

use std::future::Future;
use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, SslOpts, TxOpts};
use terrace_store::{Error, ErrorKind, Result};
use tokio::runtime::Handle;

use super::NAME;
use super::config::MysqlConfig;
use super::error::{late, translate};
use crate::remote::{InRuntime, certificates, runtime};

pub(super) struct Link {
    runtime: Handle,
    pool: Pool,
    timeout: Duration,
}

/// What a call does, for its errors.
#[derive(Clone, Copy)]
pub(super) struct Intent {
    pub(super) operation: &'static str,
    pub(super) writes: bool,
}

pub(super) const fn reads(operation: &'static str) -> Intent {
    Intent { operation, writes: false }
}

pub(super) const fn writes(operation: &'static str) -> Intent {
    Intent { operation, writes: true }
}

/// What a transaction comes to: it is committed, or undone because of what it met.
pub(super) type Met<T> = std::result::Result<T, Error>;

impl Link {
    /// Prepares the connections. Nothing is sent yet.
    pub(super) fn open(config: &MysqlConfig) -> Result<Self> {
        let runtime = runtime(NAME)?;
        let wrong = |source: Option<mysql_async::UrlError>| {
            let url = crate::url::without_password(&config.url);
            let error = Error::new(ErrorKind::Config, "open").with("store", NAME);
            let error =
                error.because(format!("`{url}` is no URL of a database: mysql://user@host:port/database"));
            source.map_or(error.clone(), |source| error.caused_by(source))
        };
        let parsed = Opts::from_url(&config.url).map_err(|source| wrong(Some(source)))?;
        if parsed.db_name().is_none() {
            return Err(wrong(None));
        }
        let constraints = PoolConstraints::new(0, config.connections).ok_or_else(|| wrong(None))?;
        let seconds = config.timeout.as_secs().max(1);
        let tls = match &config.tls_ca {
            _ if !config.tls => None,
            None => Some(SslOpts::default()),
            Some(path) => {
                let roots = vec![certificates(NAME, path)?.into()];
                Some(SslOpts::default().with_root_certs(roots).with_disable_built_in_roots(true))
            }
        };
        let options = OptsBuilder::from_opts(parsed)
            .pool_opts(PoolOpts::default().with_constraints(constraints).with_reset_connection(false))
            .tcp_nodelay(true)
            .prefer_socket(false)
            .ssl_opts(tls)
            .setup(vec![
                "SET NAMES utf8mb4".to_owned(),
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
                format!(
                    "SET SESSION innodb_lock_wait_timeout = {seconds}, SESSION sql_mode = 'STRICT_ALL_TABLES'"
                ),
            ]);
        // The pool's own tasks run where it is made.
        let _here = runtime.enter();
        let pool = Pool::new(options);
        Ok(Self { runtime: runtime.clone(), pool, timeout: config.timeout })
    }

    /// Runs a statement, and returns the rows of its first result.
    pub(super) async fn query<T: FromRow + Send + 'static>(
        &self,
        intent: Intent,
        statement: &str,
        arguments: impl Into<Params> + Send,
    ) -> Result<Vec<T>> {
        let arguments = arguments.into();
        let call = async { self.pool.get_conn().await?.exec(statement, arguments).await };
        self.within(intent, call).await
    }

    /// Runs a statement, and returns how many rows it changed.
    pub(super) async fn run(
        &self,
        intent: Intent,
        statement: &str,
        arguments: impl Into<Params> + Send,
    ) -> Result<u64> {
        let arguments = arguments.into();
        let call = async {
            let mut connection = self.pool.get_conn().await?;
            connection.exec_drop(statement, arguments).await?;
            Ok(connection.affected_rows())
        };
        self.within(intent, call).await
    }

    /// Runs a statement that draws a number, and returns that.
    pub(super) async fn draw(&self, intent: Intent, statement: &str) -> Result<u64> {
        let call = async {
            let mut connection = self.pool.get_conn().await?;
            connection.exec_drop(statement, ()).await?;
            Ok(connection.last_insert_id().unwrap_or(0))
        };
        self.within(intent, call).await
    }

    /// Does several things in one transaction that holds the row of the sequence, and so alone.
    pub(super) async fn alone<T: Send>(
        &self,
        intent: Intent,
        lock: &str,
        work: impl AsyncAlone<T>,
    ) -> Result<T> {
        let call = async {
            let mut transaction = self.pool.start_transaction(TxOpts::default()).await?;
            let _: Option<u64> = transaction.query_first(lock).await?;
            let met = work.run(&mut transaction).await?;
            match met {
                Ok(_) => transaction.commit().await?,
                Err(_) => transaction.rollback().await?,
            }
            Ok(met)
        };
        self.within(intent, call).await?
    }

    /// Makes tables, one process at a time.
    pub(super) async fn make(&self, lock: &str, statements: Vec<String>) -> Result<()> {
        let call = async {
            let mut connection: Conn = self.pool.get_conn().await?;
            let seconds = self.timeout.as_secs().max(1);
            let _: Option<i64> = connection.exec_first("SELECT GET_LOCK(?, ?)", (lock, seconds)).await?;
            let mut made = Ok(());
            for statement in statements {
                made = connection.query_drop(statement).await;
                if made.is_err() {
                    break;
                }
            }
            connection.exec_drop("DO RELEASE_LOCK(?)", (lock,)).await?;
            made
        };
        self.within(writes("open"), call).await
    }

    async fn within<T>(
        &self,
        intent: Intent,
        call: impl Future<Output = Result<T, mysql_async::Error>>,
    ) -> Result<T> {
        let limit = self.timeout;
        let call = async move { tokio::time::timeout(limit, call).await };
        match InRuntime::new(&self.runtime, call).await {
            Ok(answer) => answer.map_err(|source| translate(intent.operation, intent.writes, source)),
            Err(_) => Err(late(intent.operation, intent.writes, limit)),
        }
    }

    /// Lets all connections go.
    pub(super) async fn close(&self) {
        let disconnect = async { tokio::time::timeout(self.timeout, self.pool.clone().disconnect()).await };
        // A server that is away has let go of them already.
        let _ = InRuntime::new(&self.runtime, disconnect).await;
    }
}

/// What is done within a transaction.
pub(super) trait AsyncAlone<T>: Send {
    fn run(
        self,
        transaction: &mut mysql_async::Transaction<'_>,
    ) -> impl Future<Output = Result<Met<T>, mysql_async::Error>> + Send;
}
