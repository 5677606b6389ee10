//! Listening: a connection a listener.
//!
//! At the end of the store each listener first unsubscribes: the server confirms that after everything it has sent
//! before, so what was told before the end is read before it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures_core::Stream;
use redis::aio::{PubSubSink, PubSubStream};
use terrace_store::capability::Change;
use terrace_store::{Namespace, Result, Version};

use super::Redis;
use super::link::Link;
use super::names;
use crate::remote::{Feed, Listening};

/// What a message says to a listener, if anything.
type Read<T> = Box<dyn Fn(Bytes) -> Option<T> + Send + Sync>;

impl Redis {
    /// Subscribes to a channel; what arrives is read by `read`, and left out where that says nothing.
    pub(super) async fn listen<T: Clone + Send + Sync + 'static>(
        &self,
        channel: &[u8],
        read: impl Fn(Bytes) -> Option<T> + Send + Sync + 'static,
        lagged: T,
    ) -> Result<Listening<T>> {
        self.ready("subscribe").await?;
        let (link, read) = (Arc::clone(&self.link), Box::new(read));
        let feed = Channel { link, channel: channel.to_vec(), connection: None, read, lagged };
        self.life.listen("redis listener", feed).await
    }
}

/// A channel of the server, and the connection that listens to it.
struct Channel<T> {
    link: Arc<Link>,
    channel: Vec<u8>,
    connection: Option<(PubSubSink, PubSubStream)>,
    read: Read<T>,
    lagged: T,
}

impl<T> Channel<T> {
    fn take(&self, message: &redis::Msg) -> Option<T> {
        (self.read)(Bytes::from(message.get_payload::<Vec<u8>>().ok()?))
    }
}

impl<T: Clone + Send + Sync + 'static> Feed for Channel<T> {
    type Item = T;

    fn lagged(&self) -> T {
        self.lagged.clone()
    }

    async fn connect(&mut self) -> Result<bool> {
        self.connection = None;
        self.connection = Some(self.link.listen(&self.channel).await?.split());
        Ok(false)
    }

    async fn next(&mut self) -> Option<Vec<T>> {
        let (_, stream) = self.connection.as_mut()?;
        let message = next(stream).await?;
        Some(self.take(&message).into_iter().collect())
    }

    /// Reads what the server sent before it confirmed that it will send no more.
    async fn drain(&mut self) -> Vec<T> {
        let mut items = Vec::new();
        let Some((mut sink, mut stream)) = self.connection.take() else { return items };
        if sink.unsubscribe(&self.channel[..]).await.is_err() {
            return items;
        }
        while let Some(Some(message)) = at_once(&mut stream).await {
            items.extend(self.take(&message));
        }
        items
    }

    async fn leave(&mut self) {
        if let Some((sink, _)) = &mut self.connection {
            let _ = sink.unsubscribe(&self.channel[..]).await;
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
