//! Messages to whoever listens now. Nothing is kept for those who do not.

use bytes::Bytes;

use crate::error::Result;
use crate::store::BoxFuture;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// As it was published.
    Payload(Bytes),
    /// The listener was too slow, and messages were dropped in this place.
    Lagged,
}

/// Publishing.
pub trait Publish: Send + Sync {
    /// Sends a message to all who are subscribed to this channel, and returns how many that are.
    fn publish<'a>(&'a self, channel: &'a [u8], message: Bytes) -> BoxFuture<'a, Result<u64>>;

    /// All messages published to this channel after this call has completed, in the order in which they were
    /// published.
    fn subscribe<'a>(&'a self, channel: &'a [u8]) -> BoxFuture<'a, Result<Box<dyn Subscription>>>;
}

/// A stream of messages. At least 1,024 unread ones are kept.
pub trait Subscription: Send {
    /// The next message; `None` when the store was closed. Dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Option<Message>>;
}
