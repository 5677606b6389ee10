//! Messages to whoever listens now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use terrace_store::capability::{Message, Publish, Subscription};
use terrace_store::{BoxFuture, Result};

use super::MemoryStore;
use crate::inbox::Inbox;

type Listeners = HashMap<Bytes, Vec<Arc<Inbox<Message>>>>;

/// Who listens to which channel. Its lock gives the messages their order.
#[derive(Default)]
pub(super) struct Channels(Mutex<Listeners>);

impl Channels {
    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, channel: &[u8], message: &Bytes) -> u64 {
        let listeners = self.listeners();
        let Some(listeners) = listeners.get(channel) else { return 0 };
        for inbox in listeners {
            inbox.push(Message::Payload(message.clone()), Message::Lagged);
        }
        listeners.len() as u64
    }

    /// Ends every subscription.
    pub(super) fn close(&self) {
        for inbox in std::mem::take(&mut *self.listeners()).into_values().flatten() {
            inbox.close();
        }
    }
}

struct Listening {
    channel: Bytes,
    inbox: Arc<Inbox<Message>>,
    channels: Arc<Channels>,
}

impl Subscription for Listening {
    fn next(&mut self) -> BoxFuture<'_, Option<Message>> {
        self.inbox.next()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = self.channels.listeners();
        if let Some(inboxes) = listeners.get_mut(&self.channel) {
            inboxes.retain(|other| !Arc::ptr_eq(other, &self.inbox));
            if inboxes.is_empty() {
                listeners.remove(&self.channel);
            }
        }
    }
}

impl Publish for MemoryStore {
    fn publish<'a>(&'a self, channel: &'a [u8], message: Bytes) -> BoxFuture<'a, Result<u64>> {
        super::done(self.table("publish").map(|table| table.channels.publish(channel, &message)))
    }

    fn subscribe<'a>(&'a self, channel: &'a [u8]) -> BoxFuture<'a, Result<Box<dyn Subscription>>> {
        super::done(self.table("subscribe").map(|table| {
            let channel = Bytes::copy_from_slice(channel);
            let inbox = Arc::new(Inbox::default());
            table.channels.listeners().entry(channel.clone()).or_default().push(Arc::clone(&inbox));
            if self.table("subscribe").is_err() {
                inbox.close();
            }
            let channels = Arc::clone(&table.channels);
            Box::new(Listening { channel, inbox, channels }) as Box<dyn Subscription>
        }))
    }
}
