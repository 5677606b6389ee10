//! The connection to the servers, and requests over it within their time.
//!
//! The client makes its one connection anew after it breaks. A request waits for it before anything is sent, so one
//! that finds none was surely not done.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{Context, ContextBuilder};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    Config, DirectGetErrorKind, DiscardPolicy, Info, LastRawMessageErrorKind, Republish, StorageType, Stream,
};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use bytes::Bytes;
use futures_util::StreamExt;
use terrace_store::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, watch};

use super::NAME;
use super::config::NatsConfig;
use super::error::{Failure, came_late, late};
use super::rows::{HEADER, Head, Subjects};
use crate::remote::{InRuntime, certificates, runtime};
use crate::url::without_password;

/// How soon a broken connection is made anew.
const AGAIN: Duration = Duration::from_millis(50);
/// The longest message whatever the server allows: it finds damage where a stored one is longer than 32 MiB.
const LONGEST: usize = 8 << 20;
/// How long a message of a piece is at most.
const PIECE: usize = 1 << 20;
/// What a message has beside the envelope and the header of ours: names of headers, the expected sequence number.
const BESIDE: usize = 512;

pub(super) struct Link {
    runtime: Handle,
    servers: Vec<ServerAddr>,
    user: Option<(String, String)>,
    tls: bool,
    config: NatsConfig,
    credentials: Option<String>,
    pub(super) subjects: Subjects,
    session: OnceCell<Session>,
    /// How often the connection broke.
    breaks: Arc<watch::Sender<u64>>,
    /// The last sequence number seen, which the stream has passed.
    seen: AtomicU64,
}

/// What there is once a server has answered.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) stream: Stream<()>,
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

/// A message as it lies in the bucket.
pub(super) struct Row {
    pub(super) sequence: u64,
    pub(super) header: Option<String>,
    pub(super) payload: Bytes,
}

/// A message to be stored, if the last one of its subject has a sequence number.
pub(super) struct Publication {
    pub(super) subject: String,
    pub(super) header: Option<String>,
    pub(super) payload: Bytes,
    pub(super) expected: Option<u64>,
}

impl Publication {
    fn into_parts(self) -> (String, PublishMessage) {
        let mut message = PublishMessage::build().payload(self.payload);
        if let Some(header) = self.header {
            message = message.header(HEADER, header.as_str());
        }
        if let Some(expected) = self.expected {
            message = message.expected_last_subject_sequence(expected);
        }
        (self.subject, message)
    }
}

impl Row {
    /// What its header says.
    pub(super) fn head(&self) -> Result<Head> {
        let header =
            self.header.as_deref().ok_or_else(|| super::rows::corrupt("a message without a header"))?;
        let (head, ahead) = Head::parse(header)?;
        if ahead == 0 {
            return Ok(head);
        }
        let flat = self.payload.get(..ahead).ok_or_else(|| super::rows::corrupt("a key that is cut off"))?;
        Ok(Head { flat: self.payload.slice_ref(flat), ..head })
    }

    /// The envelope behind the key, if that is ahead of it.
    pub(super) fn record(&self, head: &Head) -> Bytes {
        self.payload.slice(head.ahead()..)
    }
}

impl Link {
    /// Prepares the connection. Nothing is sent yet.
    pub(super) fn open(config: &NatsConfig) -> Result<Self> {
        let runtime = runtime(NAME)?;
        let wrong = || {
            let url = without_password(&config.url);
            let error = Error::new(ErrorKind::Config, "open").with("store", NAME);
            error.because(format!(
                "`{url}` does not say where a server is: nats://[user:password@]host:port,..."
            ))
        };
        let (scheme, rest) = config.url.split_once("://").ok_or_else(wrong)?;
        let (user, hosts) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((user, hosts)) => {
                let (name, password) = user.split_once(':').ok_or_else(wrong)?;
                (Some((crate::url::decode(name)?, crate::url::decode(password)?)), hosts)
            }
        };
        let server = |host: &str| match host {
            "" => Err(wrong()),
            host => {
                format!("nats://{host}").parse::<ServerAddr>().map_err(|source| wrong().caused_by(source))
            }
        };
        let servers = hosts.trim_end_matches('/').split(',').map(server).collect::<Result<_>>()?;
        if let Some(path) = &config.tls_ca {
            certificates(NAME, path)?;
        }
        let credentials = match &config.credentials {
            None => None,
            Some(path) => Some(std::fs::read_to_string(path).map_err(|source| {
                let error = Error::new(ErrorKind::Config, "open").with("store", NAME);
                error.because(format!("the credentials {} cannot be read", path.display())).caused_by(source)
            })?),
        };
        Ok(Self {
            runtime,
            servers,
            user,
            tls: scheme == "natss",
            config: config.clone(),
            credentials,
            subjects: Subjects::new(&config.prefix),
            session: OnceCell::new(),
            breaks: Arc::new(watch::Sender::new(0)),
            seen: AtomicU64::new(0),
        })
    }

    async fn session(&self) -> Result<&Session, Failure> {
        self.session.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Session, Failure> {
        let limit = self.config.timeout;
        let breaks = Arc::clone(&self.breaks);
        let mut options = ConnectOptions::new()
            .name(format!("terrace {}", self.config.prefix))
            .connection_timeout(limit)
            .request_timeout(Some(limit))
            .ping_interval(limit.max(Duration::from_secs(1)))
            .max_reconnects(None)
            .reconnect_delay_callback(|_| AGAIN)
            .require_tls(self.tls)
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    breaks.send_modify(|count| *count += 1);
                }
                std::future::ready(())
            });
        if let Some((name, password)) = &self.user {
            options = options.user_and_password(name.clone(), password.clone());
        }
        if let Some(path) = &self.config.tls_ca {
            options = options.add_root_certificates(path.clone());
        }
        if let Some(credentials) = &self.credentials {
            options = options
                .credentials(credentials)
                .map_err(|_| Failure::new(ErrorKind::Config, "the credentials are none"))?;
        }
        let client = options.connect(&self.servers[..]).await?;
        let context = ContextBuilder::new()
            .timeout(limit)
            .ack_timeout(limit)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let stream = context.get_stream_no_info(self.subjects.stream()).await;
        let stream = stream.map_err(|_| Failure::new(ErrorKind::Config, "no name for a bucket"))?;
        Ok(Session { client, context, stream })
    }

    /// Makes a request of what there is once a connection stands.
    pub(super) async fn with<'a, T, F>(
        &'a self,
        intent: Intent,
        call: impl FnOnce(&'a Session) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let (limit, sent) = (self.config.timeout, AtomicBool::new(false));
        let whole = async {
            let session = self.session().await?;
            while session.client.connection_state() != State::Connected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            sent.store(true, Ordering::Relaxed);
            call(session).await
        };
        let answer = InRuntime::new(&self.runtime, async { tokio::time::timeout(limit, whole).await }).await;
        let sent = sent.load(Ordering::Relaxed);
        match answer {
            Ok(answer) => answer.map_err(|failure| failure.translate(intent.operation, intent.writes, sent)),
            Err(_) => Err(late(intent.operation, intent.writes, sent, limit)),
        }
    }

    /// Tells of each break from now on.
    pub(super) fn breaks(&self) -> watch::Receiver<u64> {
        self.breaks.subscribe()
    }

    /// The stream has passed this sequence number.
    pub(super) fn saw(&self, sequence: u64) {
        self.seen.fetch_max(sequence, Ordering::Relaxed);
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// How long an envelope may be in one message with this header, and a piece of one.
    pub(super) async fn room(&self, intent: Intent, header: usize) -> Result<(usize, usize)> {
        let most = self.with(intent, |session| async { Ok(session.client.max_payload()) }).await?;
        Ok((most.min(LONGEST).saturating_sub(header + BESIDE), most.min(PIECE).saturating_sub(BESIDE).max(1)))
    }

    /// What a header says that came without its payload.
    pub(super) async fn head(&self, intent: Intent, subject: &str, header: &str) -> Result<Option<Head>> {
        let (head, ahead) = Head::parse(header)?;
        if ahead == 0 {
            return Ok(Some(head));
        }
        // Whatever lies there now is the same key's.
        let row = self.last(intent, subject.to_owned()).await?;
        let flat = row.map(|row| row.head()).transpose()?.map(|found| found.flat);
        Ok(flat.map(|flat| Head { flat, ..head }))
    }

    /// The last message of a subject.
    pub(super) async fn last(&self, intent: Intent, subject: String) -> Result<Option<Row>> {
        // With one server that keeps the bucket whoever answers knows all; else the leader has to.
        let found = match self.config.replicas {
            1 => self.with(intent, |session| async move {
                match session.stream.direct_get_last_for_subject(subject).await {
                    Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                    found => Ok(Some(found?)),
                }
            }),
            _ => return self.last_of_leader(intent, subject).await,
        };
        Ok(found.await?.map(|message| self.row(message)))
    }

    async fn last_of_leader(&self, intent: Intent, subject: String) -> Result<Option<Row>> {
        let found = self.with(intent, |session| async move {
            match session.stream.get_last_raw_message_by_subject(&subject).await {
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                found => Ok(Some(found?)),
            }
        });
        Ok(found.await?.map(|message| self.row(message)))
    }

    fn row(&self, message: async_nats::jetstream::message::StreamMessage) -> Row {
        self.saw(message.sequence);
        let header = message.headers.get(HEADER).map(|value| value.as_str().to_owned());
        Row { sequence: message.sequence, header, payload: message.payload }
    }

    /// Stores a message, if the last one of its subject has this sequence number (0: there is none), and returns its
    /// own; `None` if it has another.
    pub(super) async fn publish(
        &self,
        intent: Intent,
        subject: String,
        header: Option<String>,
        payload: Bytes,
        expected: Option<u64>,
    ) -> Result<Option<u64>> {
        let stored =
            self.publish_all(intent, vec![Publication { subject, header, payload, expected }]).await?;
        Ok(stored.into_iter().next().flatten())
    }

    /// As [`Link::publish`], for several messages, which are stored in their order.
    pub(super) async fn publish_all(
        &self,
        intent: Intent,
        messages: Vec<Publication>,
    ) -> Result<Vec<Option<u64>>> {
        let stored = self.with(intent, |session| async move {
            let mut answers = Vec::with_capacity(messages.len());
            for message in messages {
                let (subject, message) = message.into_parts();
                answers.push(session.context.send_publish(subject, message).await?);
            }
            let mut stored = Vec::with_capacity(answers.len());
            for answer in answers {
                stored.push(match answer.await {
                    Err(error) if came_late(&error) => None,
                    answer => Some(answer?.sequence),
                });
            }
            Ok(stored)
        });
        let stored = stored.await?;
        stored.iter().flatten().for_each(|sequence| self.saw(*sequence));
        Ok(stored)
    }

    /// Removes the messages of these subjects, all or those before a sequence number.
    pub(super) async fn purge(&self, intent: Intent, subjects: String, before: Option<u64>) -> Result<()> {
        let purged = self.with(intent, |session| async move {
            let purge = session.stream.purge().filter(subjects);
            match before {
                Some(sequence) => purge.sequence(sequence).await?,
                None => purge.await?,
            };
            Ok(())
        });
        purged.await
    }

    /// The subjects there are of those that are asked for.
    pub(super) async fn subjects_of(&self, intent: Intent, filter: String) -> Result<Vec<String>> {
        let listed = self.with(intent, |session| async move {
            let mut found = session.stream.info_with_subjects(filter).await?;
            let mut subjects = Vec::new();
            while let Some(subject) = found.next().await {
                subjects.push(subject?.0);
            }
            Ok(subjects)
        });
        listed.await
    }

    /// Makes the bucket if there is none, and returns how it is set up.
    pub(super) async fn bucket(&self, intent: Intent) -> Result<Info> {
        let config = Config {
            name: self.subjects.stream(),
            description: Some("terrace".to_owned()),
            subjects: vec![self.subjects.everything()],
            storage: StorageType::File,
            num_replicas: self.config.replicas,
            max_bytes: self.config.capacity.map_or(-1, u64::cast_signed),
            max_messages: -1,
            max_messages_per_subject: 1,
            max_message_size: -1,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            republish: Some(Republish {
                source: self.subjects.everything(),
                destination: self.subjects.told(),
                headers_only: true,
            }),
            ..Config::default()
        };
        let made = self.with(intent, |session| async move {
            Ok(session.context.get_or_create_stream(config).await?.cached_info().clone())
        });
        made.await
    }

    /// Waits until a server has done what this connection asked before, and has sent what it had for it.
    pub(super) async fn round_trip(client: &Client) -> Result<(), Failure> {
        let inbox = client.new_inbox();
        let mut back = client.subscribe(inbox.clone()).await?;
        client.publish(inbox, Bytes::new()).await?;
        match back.next().await {
            Some(_) => Ok(()),
            None => Err(Failure::new(ErrorKind::Network, "the connection to the server failed")),
        }
    }
}
