//! Keeping the mirror: a consumer of the headers of everything, from the first call that needs it until the close.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use bytes::Bytes;
use futures_util::StreamExt;
use terrace_store::{Clock, Result};
use tokio::sync::watch;

use super::Nats;
use super::error::Failure;
use super::link::{Link, reads};
use super::mirror::Mirror;
use super::rows::{HEADER, Head};

/// How long to wait before a consumer is made anew.
const WAIT: Duration = Duration::from_millis(200);
/// How many marks are waited for at most, where others write all the time.
const MARKS: usize = 16;

struct Follower {
    link: Arc<Link>,
    mirror: Arc<Mirror>,
    clock: Arc<dyn Clock>,
}

impl Nats {
    /// The mirror, which has seen all that was stored before this call, or what replaced it. Only a key that was
    /// written anew before its message came in each of [`MARKS`] round trips in a row may be missing.
    ///
    /// # Cost
    /// A message that is stored, and its way back; another one where messages were replaced before they came. The first
    /// time: the headers of the bucket.
    pub(super) async fn mirror(&self, operation: &'static str) -> Result<&Mirror> {
        self.ready(operation).await?;
        let mirror = self.mirror.get_or_init(|| std::future::ready(self.follow())).await;
        let subject = self.link.subjects.mark(&self.id);
        let mut before = None;
        for _ in 0..MARKS {
            let subject = subject.clone();
            let mark =
                self.link.publish(reads(operation), subject, None, Bytes::new(), None).await?.unwrap_or(0);
            self.reached(operation, mark).await?;
            if mirror.is_settled(before, mark) {
                break;
            }
            before = Some(mark);
        }
        Ok(mirror)
    }

    /// Waits until the mirror has come so far.
    pub(super) async fn reached(&self, operation: &'static str, sequence: u64) -> Result<()> {
        let Some(mirror) = self.mirror.get() else { return Ok(()) };
        let mut position = mirror.position();
        let waits = async move {
            let _ = position.wait_for(|at| *at >= sequence).await;
            Ok(())
        };
        self.link.with(reads(operation), |_| waits).await
    }

    fn follow(&self) -> Arc<Mirror> {
        let mirror = Arc::new(Mirror::new(Arc::clone(&self.life.clock)));
        let follower = Follower {
            link: Arc::clone(&self.link),
            mirror: Arc::clone(&mirror),
            clock: Arc::clone(&self.life.clock),
        };
        self.life.task("nats mirror", |ending| follower.run(ending));
        mirror
    }
}

impl Follower {
    async fn run(self, mut ending: watch::Receiver<bool>) {
        tokio::select! {
            _ = ending.wait_for(|ending| *ending) => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&self) {
        loop {
            if let Ok(mut messages) = self.consumer().await {
                while let Some(Ok(message)) = messages.next().await {
                    self.take(&message).await;
                }
            }
            self.clock.sleep(WAIT).await;
        }
    }

    /// What comes after the last message that was seen.
    async fn consumer(&self) -> Result<Ordered> {
        let deliver_policy = match *self.mirror.position().borrow() {
            0 => DeliverPolicy::LastPerSubject,
            seen => DeliverPolicy::ByStartSequence { start_sequence: seen + 1 },
        };
        let subject = self.link.subjects.everything();
        let made = self.link.with(reads("follow"), |session| async move {
            let config = OrderedConfig {
                deliver_subject: session.client.new_inbox(),
                filter_subject: subject,
                headers_only: true,
                deliver_policy,
                ..OrderedConfig::default()
            };
            let consumer = session.stream.create_consumer(config).await?;
            consumer.messages().await.map_err(|_| {
                Failure::new(terrace_store::ErrorKind::Network, "the connection to the server failed")
            })
        });
        made.await
    }

    async fn take(&self, message: &async_nats::jetstream::Message) {
        let Ok(sequence) = message.info().map(|info| info.stream_sequence) else { return };
        let header = message.headers.as_ref().and_then(|headers| headers.get(HEADER));
        let mut head = None;
        if let Some(header) = header {
            head = loop {
                match self.link.head(reads("follow"), &message.subject, header.as_str()).await {
                    Err(error) if error.is_transient() => self.clock.sleep(WAIT).await,
                    // A damaged header is found by whoever reads the entry.
                    head => break head.ok().flatten().filter(is_of_a_key),
                }
            };
        }
        self.mirror.take(self.link.subjects.kind(&message.subject), sequence, head);
    }
}

/// Whether its flat key or prefix is as long as its first byte says.
fn is_of_a_key(head: &Head) -> bool {
    head.flat.first().is_none_or(|length| head.flat.len() > usize::from(*length))
}
