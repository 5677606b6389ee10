//! The connections to the server: a few, each shared by any number of calls, made at the first call and anew after
//! they break. In a cluster, one to each server, shared by all parts; each part's calls go to the owner of its slot.
//!
//! The client answers each call by its place in the stream, and gives up a connection whose stream broke, so no reply
//! ever reaches another call. Its tasks run on the runtime that was there when the store was opened; the calls may be
//! polled anywhere.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::{
    Client, Cmd, FromRedisValue, Pipeline, RedisResult, ServerErrorKind, TlsCertificates, Value,
    from_redis_value,
};
use terrace_store::{Error, ErrorKind, Result};
use tokio::runtime::Handle;

use super::NAME;
use super::config::RedisConfig;
use super::error::{late, translate, was_refused};
use super::slots::Owner;
use crate::remote::{InRuntime, certificates, runtime};
use crate::url::without_password;

pub(super) struct Link {
    runtime: Handle,
    servers: Servers,
    timeout: Duration,
}

/// Where calls go.
enum Servers {
    One { client: Client, connections: Vec<ConnectionManager>, next: AtomicUsize },
    Cluster(Owner),
}

/// What a call does, for its errors.
#[derive(Clone, Copy)]
pub(super) enum Intent {
    Read(&'static str),
    Write(&'static str),
}

impl Intent {
    fn parts(self) -> (&'static str, bool) {
        match self {
            Self::Read(operation) => (operation, false),
            Self::Write(operation) => (operation, true),
        }
    }
}

/// How long to wait before a slot's owner is looked for again.
const PAUSE: Duration = Duration::from_millis(20);

impl Link {
    /// Prepares the connections. Nothing is sent yet.
    pub(super) fn open(config: &RedisConfig) -> Result<Self> {
        let runtime = runtime(NAME)?;
        let client = client(config)?;
        // A call that finds no server fails soon; the next one tries again.
        let setup = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(config.timeout))
            .set_response_timeout(Some(config.timeout))
            .set_pipeline_buffer_size(1024);
        let connections = (0..config.connections)
            .map(|_| ConnectionManager::new_lazy_with_config(client.clone(), setup.clone()))
            .collect::<RedisResult<_>>()
            .map_err(|source| translate("open", false, source))?;
        let servers = Servers::One { client, connections, next: AtomicUsize::new(0) };
        Ok(Self { runtime, servers, timeout: config.timeout })
    }

    /// The way to the owner of a slot.
    pub(super) fn to_owner(owner: Owner, timeout: Duration) -> Result<Self> {
        Ok(Self { runtime: runtime(NAME)?, servers: Servers::Cluster(owner), timeout })
    }

    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        match &self.servers {
            Servers::One { connections, next, .. } => {
                let mut connection = one_of(connections, next);
                connection.send_packed_command(command).await?.extract_error()
            }
            Servers::Cluster(owner) => owner.send(command).await?.extract_error(),
        }
    }

    async fn send_all(&self, commands: &Pipeline) -> RedisResult<Value> {
        let answers = match &self.servers {
            Servers::One { connections, next, .. } => {
                one_of(connections, next).send_packed_commands(commands, 0, commands.len()).await?
            }
            Servers::Cluster(owner) => owner.send_all(commands).await?,
        };
        Value::Array(answers).extract_error()
    }

    /// Tries again while a slot has no owner, or another one than was thought: what was refused was not done. What may
    /// have been done is only read again, never written.
    async fn patiently<T, F>(&self, writes: bool, attempt: impl Fn() -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let began = Instant::now();
        loop {
            let error = match attempt().await {
                Err(error) if matches!(self.servers, Servers::Cluster(_)) => error,
                done => return done,
            };
            let again = was_refused(&error) || !writes && error.is_io_error();
            if !again || began.elapsed() + 2 * PAUSE > self.timeout {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends a command, and returns its answer.
    pub(super) async fn run<T: FromRedisValue>(&self, intent: Intent, command: &Cmd) -> Result<T> {
        let answer = self.patiently(intent.parts().1, move || self.send(command));
        read(intent, self.within(intent, answer).await?)
    }

    /// As [`Link::run`]; `None` if the server does not know the script that the command names by its hash.
    pub(super) async fn run_unless_unknown<T: FromRedisValue>(
        &self,
        intent: Intent,
        command: &Cmd,
    ) -> Result<Option<T>> {
        let answer = self.patiently(intent.parts().1, move || async move {
            match self.send(command).await {
                Err(error) if error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript) => Ok(None),
                answer => answer.map(Some),
            }
        });
        self.within(intent, answer).await?.map(|answer| read(intent, answer)).transpose()
    }

    /// Sends several commands in one go, and returns their answers.
    pub(super) async fn run_all<T: FromRedisValue>(&self, intent: Intent, commands: &Pipeline) -> Result<T> {
        let answers = self.patiently(intent.parts().1, move || self.send_all(commands));
        read(intent, self.within(intent, answers).await?)
    }

    /// Sends a command on every connection, for what a server keeps for each.
    pub(super) async fn run_on_each(&self, intent: Intent, command: &Cmd) -> Result<()> {
        let Servers::One { connections, .. } = &self.servers else {
            return self.run::<Value>(intent, command).await.map(drop);
        };
        for connection in connections {
            let mut connection = connection.clone();
            let answer = async move { connection.send_packed_command(command).await?.extract_error() };
            self.within(intent, answer).await?;
        }
        Ok(())
    }

    async fn within<T>(&self, intent: Intent, call: impl Future<Output = RedisResult<T>>) -> Result<T> {
        let (operation, writes) = intent.parts();
        let limit = self.timeout;
        let call = async move { tokio::time::timeout(limit, call).await };
        match InRuntime::new(&self.runtime, call).await {
            Ok(answer) => answer.map_err(|source| translate(operation, writes, source)),
            Err(_) => Err(late(operation, writes, limit)),
        }
    }

    /// A connection of its own, for messages: in a cluster to the owner of the slot, who tells of what it does itself
    /// and not by way of others.
    pub(super) async fn listen(&self, channel: &[u8]) -> Result<PubSub> {
        let subscribe = async {
            let mut messages = match &self.servers {
                Servers::One { client, .. } => client.get_async_pubsub().await?,
                Servers::Cluster(owner) => owner.client().await?.get_async_pubsub().await?,
            };
            messages.subscribe(channel).await?;
            Ok(messages)
        };
        self.within(Intent::Read("subscribe"), subscribe).await
    }
}

fn one_of(connections: &[ConnectionManager], next: &AtomicUsize) -> ConnectionManager {
    connections[next.fetch_add(1, Ordering::Relaxed) % connections.len()].clone()
}

/// A client of the server of this URL.
pub(super) fn client(config: &RedisConfig) -> Result<Client> {
    let client = match certs(config)? {
        None => Client::open(config.url.as_str()),
        Some(certs) => Client::build_with_tls(config.url.as_str(), certs),
    };
    client.map_err(|source| no_url(config, source))
}

/// Whom to trust, if not whom the system trusts.
pub(super) fn certs(config: &RedisConfig) -> Result<Option<TlsCertificates>> {
    let Some(path) = &config.tls_ca else { return Ok(None) };
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(certificates(NAME, path)?) }))
}

/// The URL makes no sense.
pub(super) fn no_url(config: &RedisConfig, source: redis::RedisError) -> Error {
    let error = Error::new(ErrorKind::Config, "open").with("store", NAME);
    error.because(format!("`{}` is no URL of a server", without_password(&config.url))).caused_by(source)
}

fn read<T: FromRedisValue>(intent: Intent, value: Value) -> Result<T> {
    from_redis_value(value).map_err(|source| translate(intent.parts().0, false, source.into()))
}
