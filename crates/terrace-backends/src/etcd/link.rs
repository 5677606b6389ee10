//! The connections to the members, and requests over them within their time.

use std::future::Future;
use std::time::Duration;

use etcd_client::{
    Certificate, Client, Compare, ConnectOptions, KeyValue, LeaseClient, TlsOptions, Txn, TxnOp,
    TxnOpResponse, WatchClient,
};
use terrace_store::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::NAME;
use super::config::EtcdConfig;
use super::error::{late, translate};
use crate::remote::{InRuntime, certificates, runtime};
use crate::url::without_password;

/// A row as it was read.
pub(super) type Row = KeyValue;

/// More than a page or a value with all its rows.
const LONGEST_ANSWER: usize = 512 << 20;

pub(super) struct Link {
    runtime: Handle,
    members: Vec<String>,
    user: Option<(String, String)>,
    tls: Option<TlsOptions>,
    client: OnceCell<Client>,
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

/// What a transaction gave.
pub(super) struct Answer {
    pub(super) succeeded: bool,
    /// That of the cluster when it was done.
    pub(super) revision: i64,
    /// For each operation, the rows it read or removed.
    pub(super) rows: Vec<Vec<Row>>,
}

impl Answer {
    /// The only row that an operation read.
    pub(super) fn row(&self, operation: usize) -> Option<&Row> {
        self.rows.get(operation)?.first()
    }
}

impl Link {
    /// Prepares the connections. Nothing is sent yet.
    pub(super) fn open(config: &EtcdConfig) -> Result<Self> {
        let runtime = runtime(NAME)?;
        let wrong = || {
            let url = without_password(&config.url);
            let error = Error::new(ErrorKind::Config, "open").with("store", NAME);
            error.because(format!(
                "`{url}` does not say where a cluster is: etcd://[user:password@]host:port,..."
            ))
        };
        let (scheme, rest) = config.url.split_once("://").ok_or_else(wrong)?;
        let (user, members) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((user, members)) => {
                let (name, password) = user.split_once(':').ok_or_else(wrong)?;
                (Some((crate::url::decode(name)?, crate::url::decode(password)?)), members)
            }
        };
        let members: Vec<String> = members.trim_end_matches('/').split(',').map(str::to_owned).collect();
        if members.iter().any(|member| member.is_empty() || member.contains('/')) {
            return Err(wrong());
        }
        let tls = match &config.tls_ca {
            _ if scheme != "etcds" => None,
            None => Some(TlsOptions::new().with_native_roots()),
            Some(path) => {
                let ca = Certificate::from_pem(certificates(NAME, path)?);
                Some(TlsOptions::new().ca_certificate(ca))
            }
        };
        let client = OnceCell::new();
        Ok(Self { runtime, members, user, tls, client, timeout: config.timeout })
    }

    async fn client(&self) -> Result<&Client, etcd_client::Error> {
        let connect = || {
            let mut options = ConnectOptions::new()
                .with_connect_timeout(self.timeout)
                .with_keep_alive(Duration::from_secs(5), self.timeout)
                .with_require_leader(true);
            if let Some((name, password)) = &self.user {
                options = options.with_user(name, password).with_auto_token_refresh(true);
            }
            if let Some(tls) = &self.tls {
                options = options.with_tls(tls.clone());
            }
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            let members: Vec<String> =
                self.members.iter().map(|member| format!("{scheme}://{member}")).collect();
            async move { Client::connect(&members[..], Some(options)).await }
        };
        self.client.get_or_try_init(connect).await
    }

    /// Compares, and does one thing or the other, at one instant.
    pub(super) async fn txn(
        &self,
        intent: Intent,
        compare: Vec<Compare>,
        then: Vec<TxnOp>,
        otherwise: Vec<TxnOp>,
    ) -> Result<Answer> {
        let call = async {
            let kv = self.client().await?.kv_client();
            let txn = Txn::new().when(compare).and_then(then).or_else(otherwise);
            kv.max_decoding_message_size(LONGEST_ANSWER).txn(txn).await
        };
        let answer = self.within(intent, call).await?;
        let rows = |answer| match answer {
            TxnOpResponse::Get(mut read) => read.take_kvs(),
            TxnOpResponse::Delete(mut removed) => removed.take_prev_kvs(),
            TxnOpResponse::Put(_) | TxnOpResponse::Txn(_) => Vec::new(),
        };
        Ok(Answer {
            succeeded: answer.succeeded(),
            revision: answer.header().map_or(0, |header| header.revision()),
            rows: answer.op_responses().into_iter().map(rows).collect(),
        })
    }

    /// What asks for leases.
    pub(super) async fn leases(&self) -> Result<LeaseClient, etcd_client::Error> {
        Ok(self.client().await?.lease_client())
    }

    /// What watches.
    pub(super) async fn watches(&self) -> Result<WatchClient, etcd_client::Error> {
        Ok(self.client().await?.watch_client().max_decoding_message_size(LONGEST_ANSWER))
    }

    pub(super) async fn within<T>(
        &self,
        intent: Intent,
        call: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T> {
        let limit = self.timeout;
        let call = async move { tokio::time::timeout(limit, call).await };
        match InRuntime::new(&self.runtime, call).await {
            Ok(answer) => answer.map_err(|source| translate(intent.operation, intent.writes, source)),
            Err(_) => Err(late(intent.operation, intent.writes, limit)),
        }
    }
}
