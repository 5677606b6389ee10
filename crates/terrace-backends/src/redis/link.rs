//! The connections to the server: a few, each shared by any number of calls, made at the first call and anew after
//! they break.
//!
//! The client answers each call by its place in the stream, and gives up a connection whose stream broke, so no reply
//! ever reaches another call. Its tasks run on the runtime that was there when the store was opened; the calls may be
//! polled anywhere.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::{
    Client, Cmd, FromRedisValue, Pipeline, ServerErrorKind, TlsCertificates, Value, from_redis_value,
};
use terrace_store::{Error, ErrorKind, Result};
use tokio::runtime::Handle;

use super::NAME;
use super::config::RedisConfig;
use super::error::{late, translate};
use crate::remote::{InRuntime, certificates, runtime};
use crate::url::without_password;

pub(super) struct Link {
    runtime: Handle,
    client: Client,
    connections: Vec<ConnectionManager>,
    next: AtomicUsize,
    timeout: Duration,
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

impl Link {
    /// Prepares the connections. Nothing is sent yet.
    pub(super) fn open(config: &RedisConfig) -> Result<Self> {
        let runtime = runtime(NAME)?;
        let client = match &config.tls_ca {
            None => Client::open(config.url.as_str()),
            Some(path) => {
                let root_cert = Some(certificates(NAME, path)?);
                Client::build_with_tls(config.url.as_str(), TlsCertificates { client_tls: None, root_cert })
            }
        };
        let client = client.map_err(|source| {
            let error = Error::new(ErrorKind::Config, "open").with("store", NAME);
            error
                .because(format!("`{}` is no URL of a server", without_password(&config.url)))
                .caused_by(source)
        })?;
        // A call that finds no server fails soon; the next one tries again.
        let setup = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(config.timeout))
            .set_response_timeout(Some(config.timeout))
            .set_pipeline_buffer_size(1024);
        let connections = (0..config.connections)
            .map(|_| ConnectionManager::new_lazy_with_config(client.clone(), setup.clone()))
            .collect::<redis::RedisResult<_>>()
            .map_err(|source| translate("open", false, source))?;
        Ok(Self { runtime, client, connections, next: AtomicUsize::new(0), timeout: config.timeout })
    }

    fn connection(&self) -> ConnectionManager {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.connections[turn % self.connections.len()].clone()
    }

    /// Sends a command, and returns its answer.
    pub(super) async fn run<T: FromRedisValue>(&self, intent: Intent, command: &Cmd) -> Result<T> {
        let mut connection = self.connection();
        let answer = async move { connection.send_packed_command(command).await?.extract_error() };
        read(intent, self.within(intent, answer).await?)
    }

    /// As [`Link::run`]; `None` if the server does not know the script that the command names by its hash.
    pub(super) async fn run_unless_unknown<T: FromRedisValue>(
        &self,
        intent: Intent,
        command: &Cmd,
    ) -> Result<Option<T>> {
        let mut connection = self.connection();
        let answer = async move {
            match connection.send_packed_command(command).await.and_then(Value::extract_error) {
                Err(error) if error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript) => Ok(None),
                answer => answer.map(Some),
            }
        };
        self.within(intent, answer).await?.map(|answer| read(intent, answer)).transpose()
    }

    /// Sends several commands in one go, and returns their answers.
    pub(super) async fn run_all<T: FromRedisValue>(&self, intent: Intent, commands: &Pipeline) -> Result<T> {
        let mut connection = self.connection();
        let count = commands.len();
        let answers = async move {
            let answers = connection.send_packed_commands(commands, 0, count).await?;
            Value::Array(answers).extract_error()
        };
        read(intent, self.within(intent, answers).await?)
    }

    async fn within<T>(
        &self,
        intent: Intent,
        call: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T> {
        let (operation, writes) = intent.parts();
        let limit = self.timeout;
        let call = async move { tokio::time::timeout(limit, call).await };
        match InRuntime::new(&self.runtime, call).await {
            Ok(answer) => answer.map_err(|source| translate(operation, writes, source)),
            Err(_) => Err(late(operation, writes, limit)),
        }
    }

    /// A connection of its own, for messages.
    pub(super) async fn listen(&self, channel: &[u8]) -> Result<PubSub> {
        let subscribe = async {
            let mut messages = self.client.get_async_pubsub().await?;
            messages.subscribe(channel).await?;
            Ok(messages)
        };
        self.within(Intent::Read("subscribe"), subscribe).await
    }
}

fn read<T: FromRedisValue>(intent: Intent, value: Value) -> Result<T> {
    from_redis_value(value).map_err(|source| translate(intent.parts().0, false, source.into()))
}
