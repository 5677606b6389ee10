//! The connections to the database: a few, each carrying the calls of many one after another, made when they are
//! needed and anew after they break.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use terrace_store::spawn::Tasks;
use terrace_store::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Row, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::NAME;
use super::config::PostgresConfig;
use super::error::{is_again, late, translate};
use crate::remote::{InRuntime, runtime};

/// The half of a connection that has to be polled.
pub(super) type Driver = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

pub(super) struct Link {
    runtime: Handle,
    config: Config,
    tls: MakeRustlsConnect,
    setup: String,
    slots: Vec<tokio::sync::Mutex<Option<Arc<Session>>>>,
    next: AtomicUsize,
    timeout: Duration,
    drivers: Tasks,
}

/// A connection and the statements it has prepared.
struct Session {
    client: Client,
    statements: Mutex<HashMap<String, Statement>>,
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

impl Link {
    /// Prepares the connections. Nothing is sent yet.
    pub(super) fn open(config: &PostgresConfig, drivers: Tasks) -> Result<Self> {
        let runtime = runtime(NAME)?;
        let parsed: Config = config.url.parse().map_err(|source: tokio_postgres::Error| {
            let url = crate::url::without_password(&config.url);
            let error = Error::new(ErrorKind::Config, "open").with("store", NAME);
            error.because(format!("`{url}` is no URL of a database")).caused_by(source)
        })?;
        let synchronous = if config.is_synchronous() { "on" } else { "off" };
        let setup = format!(
            "SET synchronous_commit = {synchronous}; SET statement_timeout = {}; SET client_min_messages = warning",
            config.timeout.as_millis()
        );
        Ok(Self {
            runtime,
            config: parsed,
            tls: super::tls::connector(config.tls_ca.as_deref())?,
            setup,
            slots: (0..config.connections).map(|_| tokio::sync::Mutex::default()).collect(),
            next: AtomicUsize::new(0),
            timeout: config.timeout,
            drivers,
        })
    }

    /// Runs a statement, and returns its rows.
    pub(super) async fn query(
        &self,
        intent: Intent,
        statement: &str,
        arguments: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        let call = async {
            loop {
                let session = self.session().await?;
                let prepared = session.prepare(statement).await?;
                match session.client.query(&prepared, arguments).await {
                    // It was undone, so it may be done again.
                    Err(error) if is_again(&error) => {}
                    rows => return rows,
                }
            }
        };
        self.within(intent, call).await
    }

    /// Runs several statements that take no arguments.
    pub(super) async fn execute(&self, intent: Intent, statements: &str) -> Result<()> {
        let call = async { self.session().await?.client.batch_execute(statements).await };
        self.within(intent, call).await
    }

    /// A connection of its own, with the half that is to be polled.
    pub(super) async fn dedicated(&self, operation: &'static str) -> Result<(Client, Driver)> {
        let call = async { self.config.connect(self.tls.clone()).await };
        self.within(reads(operation), call).await
    }

    pub(super) async fn within<T>(
        &self,
        intent: Intent,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let limit = self.timeout;
        let call = async move { tokio::time::timeout(limit, call).await };
        match InRuntime::new(&self.runtime, call).await {
            Ok(answer) => answer.map_err(|source| translate(intent.operation, intent.writes, source)),
            Err(_) => Err(late(intent.operation, intent.writes, limit)),
        }
    }

    async fn session(&self) -> Result<Arc<Session>, tokio_postgres::Error> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let mut slot = self.slots[turn % self.slots.len()].lock().await;
        if let Some(session) = slot.as_ref().filter(|session| !session.client.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let (client, mut driver) = self.config.connect(self.tls.clone()).await?;
        self.drivers
            .spawn("postgres connection", async move { while let Some(Ok(_)) = next(&mut driver).await {} });
        client.batch_execute(&self.setup).await?;
        let session = Arc::new(Session { client, statements: Mutex::default() });
        *slot = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Lets all connections go.
    pub(super) async fn close(&self) {
        for slot in &self.slots {
            *slot.lock().await = None;
        }
    }
}

impl Session {
    async fn prepare(&self, statement: &str) -> Result<Statement, tokio_postgres::Error> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(statement).cloned();
        if let Some(prepared) = known {
            return Ok(prepared);
        }
        let prepared = self.client.prepare(statement).await?;
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(statements.entry(statement.to_owned()).or_insert(prepared).clone())
    }
}

/// What the server says besides answers; polling it is also what lets calls go on.
pub(super) async fn next(driver: &mut Driver) -> Option<Result<AsyncMessage, tokio_postgres::Error>> {
    std::future::poll_fn(|context| driver.poll_message(context)).await
}
