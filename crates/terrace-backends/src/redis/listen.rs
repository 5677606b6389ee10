//! Listening: a connection a listener, and a task that puts what arrives into its bounded queue.
//!
//! A connection that breaks is made anew, and the listener told that it lagged. At the end of the store each listener
//! first unsubscribes: the server confirms that after everything it has sent before, so what was told before the end
//! is read before it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use terrace_store::capability::{Change, Changes, Message, Subscription};
use terrace_store::{BoxFuture, Clock, Namespace, Result, Version};
use tokio::sync::{oneshot, watch};

use super::RedisStore;
use super::link::Link;
use super::names;
use crate::inbox::Inbox;

/// How long to wait before a connection is made anew, at first and at most.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// One who listens. Its end is the end of its task.
pub(super) struct Listening<T> {
    inbox: Arc<Inbox<T>>,
    _gone: oneshot::Sender<()>,
}

impl Changes for Listening<Change> {
    fn next(&mut self) -> BoxFuture<'_, Option<Change>> {
        self.inbox.next()
    }
}

impl Subscription for Listening<Message> {
    fn next(&mut self) -> BoxFuture<'_, Option<Message>> {
        self.inbox.next()
    }
}

impl RedisStore {
    /// Subscribes to a channel; what arrives is read by `read`, and left out where that says nothing.
    pub(super) async fn listen<T: Clone + Send + Sync + 'static>(
        &self,
        channel: &[u8],
        read: impl Fn(Bytes) -> Option<T> + Send + Sync + 'static,
        lagged: T,
    ) -> Result<Listening<T>> {
        self.ready("subscribe").await?;
        let messages = self.link.listen(channel).await?;
        let inbox = Arc::new(Inbox::default());
        let (gone, left) = oneshot::channel();
        let task = Task {
            link: Arc::clone(&self.link),
            channel: channel.to_vec(),
            inbox: Arc::clone(&inbox),
            read: Box::new(read),
            lagged,
            clock: Arc::clone(&self.clock),
            ending: self.ending.subscribe(),
            left,
        };
        self.listeners.spawn("redis listener", task.run(messages));
        // A close that came meanwhile has seen this task, or does not wait for it.
        if self.check_open("subscribe").is_err() {
            inbox.close();
        }
        Ok(Listening { inbox, _gone: gone })
    }
}

struct Task<T> {
    link: Arc<Link>,
    channel: Vec<u8>,
    inbox: Arc<Inbox<T>>,
    read: Box<dyn Fn(Bytes) -> Option<T> + Send + Sync>,
    lagged: T,
    clock: Arc<dyn Clock>,
    ending: watch::Receiver<bool>,
    left: oneshot::Receiver<()>,
}

/// Why a task stops to read.
enum Stop {
    /// The store ends.
    Ending,
    /// Nobody listens any more.
    Left,
    /// The connection broke.
    Broken,
}

impl<T: Clone + Send + Sync + 'static> Task<T> {
    async fn run(mut self, messages: PubSub) {
        let mut next = Some(messages);
        while let Some(messages) = next.take() {
            let (mut sink, mut stream) = messages.split();
            match self.forward(&mut stream).await {
                Stop::Left => return,
                Stop::Ending => {
                    self.drain(&mut sink, &mut stream).await;
                    break;
                }
                Stop::Broken => {
                    self.inbox.push(self.lagged.clone(), self.lagged.clone());
                    next = self.connect_again().await;
                }
            }
        }
        self.inbox.close();
    }

    async fn forward(&mut self, stream: &mut PubSubStream) -> Stop {
        loop {
            if *self.ending.borrow() {
                return Stop::Ending;
            }
            let message = tokio::select! {
                _ = self.ending.changed() => continue,
                _ = &mut self.left => return Stop::Left,
                message = next(stream) => message,
            };
            let Some(message) = message else { return Stop::Broken };
            self.take(message);
        }
    }

    fn take(&self, message: redis::Msg) {
        let Ok(payload) = message.get_payload::<Vec<u8>>() else { return };
        if let Some(item) = (self.read)(Bytes::from(payload)) {
            self.inbox.push(item, self.lagged.clone());
        }
    }

    /// Reads what the server sent before it confirmed that it will send no more.
    async fn drain(&self, sink: &mut PubSubSink, stream: &mut PubSubStream) {
        if sink.unsubscribe(&self.channel[..]).await.is_err() {
            return;
        }
        while let Some(Some(message)) = at_once(stream).await {
            self.take(message);
        }
    }

    async fn connect_again(&mut self) -> Option<PubSub> {
        let mut wait = WAITS.0;
        loop {
            tokio::select! {
                _ = self.ending.changed() => return None,
                _ = &mut self.left => return None,
                () = self.clock.sleep(wait) => {}
            }
            if let Ok(messages) = self.link.listen(&self.channel).await {
                // What was published between the break and now is lost.
                self.inbox.push(self.lagged.clone(), self.lagged.clone());
                return Some(messages);
            }
            wait = (wait * 2).min(WAITS.1);
        }
    }
}

async fn next(stream: &mut PubSubStream) -> Option<redis::Msg> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// The next message if it is here already.
async fn at_once(stream: &mut PubSubStream) -> Option<Option<redis::Msg>> {
    std::future::poll_fn(|context| match Pin::new(&mut *stream).poll_next(context) {
        Poll::Ready(message) => Poll::Ready(Some(message)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// The change that a message tells, if it concerns this prefix of this namespace.
pub(super) fn read_change(namespace: &Namespace, prefix: &Bytes, payload: &Bytes) -> Option<Change> {
    let (kind, rest) = payload.split_first()?;
    let (version, flat) = rest.split_at_checked(20)?;
    let version: Version = names::version(version).ok()?;
    match kind {
        b'A' => return Some(Change::Cleared(None)),
        b'C' => return (flat == namespace.flat_prefix()).then(|| Change::Cleared(Some(namespace.clone()))),
        _ => {}
    }
    let name = flat.strip_prefix(namespace.flat_prefix())?;
    if !name.starts_with(prefix) {
        return None;
    }
    let key = names::key(flat.to_vec()).ok()?;
    match kind {
        b'P' => Some(Change::Put { key, version }),
        b'D' => Some(Change::Deleted { key, version }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_store::Key;

    #[test]
    fn a_message_is_told_to_those_it_concerns() {
        let space = Namespace::new("n").unwrap();
        let key = Key::new("n", "ab").unwrap();
        let message = |kind: &str, flat: &[u8]| {
            Bytes::from([kind.as_bytes(), names::digits(7).as_bytes(), flat].concat())
        };
        let told = |prefix: &'static str, message: &Bytes| read_change(&space, &Bytes::from(prefix), message);
        let version = Version(7);
        let put = message("P", key.flat());
        assert_eq!(told("a", &put), Some(Change::Put { key: key.clone(), version }));
        assert_eq!(told("b", &put), None);
        assert_eq!(told("", &message("D", key.flat())), Some(Change::Deleted { key, version }));
        assert_eq!(told("", &message("P", Key::new("m", "ab").unwrap().flat())), None);
        assert_eq!(told("x", &message("C", space.flat_prefix())), Some(Change::Cleared(Some(space.clone()))));
        assert_eq!(told("x", &message("A", b"")), Some(Change::Cleared(None)));
        assert_eq!(told("", &message("?", b"")), None);
    }
}
