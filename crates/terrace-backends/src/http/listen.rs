//! Watching: a stream of server-sent events a watcher. One that breaks, or is silent for longer than a server is, is
//! begun anew; what happened in between is lost, and told so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use terrace_store::capability::{Change, Changes, Watch};
use terrace_store::{BoxFuture, Namespace, Result};

use super::events::{Event, Events, encode};
use super::link::{Link, reads};
use super::pool::Connection;
use super::{Http, open};
use crate::remote::Feed;

/// A server says something every few seconds. One that does not for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// So much of a prefix is sent; what it leaves open is decided here.
const PREFIX_SENT: usize = 4 << 10;

/// What a server tells of a prefix.
struct Told {
    link: Arc<Link>,
    path: String,
    namespace: Namespace,
    prefix: Bytes,
    stream: Option<Stream>,
}

struct Stream {
    body: Incoming,
    events: Events,
    /// The number of the last beat.
    beat: u64,
    _connection: Connection,
}

impl Told {
    fn new(link: &Arc<Link>, namespace: &Namespace, prefix: Bytes) -> Self {
        let sent = &prefix[..prefix.len().min(PREFIX_SENT)];
        let path = format!("/watch?namespace={}&prefix={}", encode(namespace.name()), encode(sent));
        Self { link: Arc::clone(link), path, namespace: namespace.clone(), prefix, stream: None }
    }

    fn concerns(&self, change: &Change) -> bool {
        match change {
            Change::Put { key, .. } | Change::Deleted { key, .. } => key.bytes().starts_with(&self.prefix),
            _ => true,
        }
    }

    /// The changes that come next, which may be none; `None` once the stream broke.
    async fn receive(&mut self) -> Option<Vec<Change>> {
        let stream = self.stream.as_mut()?;
        let frame = tokio::time::timeout(SILENCE, stream.body.frame()).await.ok()??.ok()?;
        let Ok(data) = frame.into_data() else { return Some(Vec::new()) };
        if !stream.events.feed(&data) {
            return None;
        }
        let mut changes = Vec::new();
        for event in stream.events.take(&self.namespace)? {
            match event {
                Event::Change(change) => changes.push(change),
                Event::Beat(number) => stream.beat = number,
            }
        }
        changes.retain(|change| self.concerns(change));
        Some(changes)
    }
}

impl Feed for Told {
    type Item = Change;

    fn lagged(&self) -> Change {
        Change::Lagged
    }

    async fn connect(&mut self) -> Result<bool> {
        self.stream = None;
        let (body, connection) = self.link.stream(reads("watch"), &self.path).await?;
        self.stream = Some(Stream { body, events: Events::default(), beat: 0, _connection: connection });
        Ok(false)
    }

    async fn next(&mut self) -> Option<Vec<Change>> {
        let told = self.receive().await;
        if told.is_none() {
            self.stream = None;
        }
        told
    }

    /// Asks for a beat: what was told before comes before it.
    async fn drain(&mut self) -> Vec<Change> {
        let mut all = Vec::new();
        let Ok(answer) = self.link.tell(reads("close"), "/beat", &json!({})).await else { return all };
        let Some(last) = open::number(&answer, "number") else { return all };
        while self.stream.as_ref().is_some_and(|stream| stream.beat < last) {
            let Some(changes) = self.receive().await else { break };
            all.extend(changes);
        }
        all
    }

    async fn leave(&mut self) {
        self.stream = None;
    }
}

impl Watch for Http {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        Box::pin(async move {
            self.ready("watch").await?;
            let told = Told::new(&self.link, namespace, prefix);
            Ok(Box::new(self.life.listen("http watch", told).await?) as Box<dyn Changes>)
        })
    }
}
