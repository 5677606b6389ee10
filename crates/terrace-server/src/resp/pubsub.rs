//! Channels, and who listens.
//!
//! A message is encoded once for each protocol and shared by all who receive it. It goes into the mailbox of
//! each; a receiver that does not empty its mailbox is disconnected rather than waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::{Buf, Bytes};

use super::clients::Client;
use super::glob::{self, Case};
use super::reply::{Output, Proto};

type Listeners = BTreeMap<u64, Arc<Client>>;

/// All channels and patterns somebody listens to.
#[derive(Debug, Default)]
pub struct Hub(RwLock<Tables>);

#[derive(Debug, Default)]
struct Tables {
    channels: BTreeMap<Bytes, Listeners>,
    patterns: BTreeMap<Bytes, Listeners>,
}

/// To what one listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A channel.
    Channel,
    /// The channels that match a pattern.
    Pattern,
}

impl Tables {
    fn of(&mut self, kind: Kind) -> &mut BTreeMap<Bytes, Listeners> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }
}

impl Hub {
    fn read<T>(&self, with: impl FnOnce(&Tables) -> T) -> T {
        with(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, with: impl FnOnce(&mut Tables) -> T) -> T {
        with(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has a client listen.
    pub fn subscribe(&self, kind: Kind, name: &Bytes, client: &Arc<Client>) {
        self.write(|tables| {
            tables.of(kind).entry(name.clone()).or_default().insert(client.id, Arc::clone(client));
        });
    }

    /// Ends that.
    pub fn unsubscribe(&self, kind: Kind, name: &Bytes, client: &Client) {
        self.write(|tables| {
            let table = tables.of(kind);
            if let Some(listeners) = table.get_mut(name) {
                listeners.remove(&client.id);
                if listeners.is_empty() {
                    table.remove(name);
                }
            }
        });
    }

    /// Sends a message to all who listen to the channel, and returns to how many it went; one who listens in
    /// several ways counts, and receives it, several times.
    pub fn publish(&self, channel: &[u8], message: &Bytes) -> usize {
        self.read(|tables| {
            let mut sent = 0;
            if let Some(listeners) = tables.channels.get(channel) {
                let parts = [&b"message"[..], channel];
                sent += send(listeners, &parts, message);
            }
            for (pattern, listeners) in &tables.patterns {
                if glob::matches(pattern, channel, Case::Sensitive) {
                    sent += send(listeners, &[b"pmessage", pattern, channel], message);
                }
            }
            sent
        })
    }

    /// The channels somebody listens to, those that match a pattern if one is given.
    pub fn channels(&self, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let fits =
            |name: &&Bytes| pattern.is_none_or(|pattern| glob::matches(pattern, name, Case::Sensitive));
        self.read(|tables| tables.channels.keys().filter(fits).cloned().collect())
    }

    /// How many listen to a channel, patterns apart.
    pub fn listeners(&self, channel: &[u8]) -> usize {
        self.read(|tables| tables.channels.get(channel).map_or(0, BTreeMap::len))
    }

    /// How many channels and how many patterns somebody listens to.
    pub fn counts(&self) -> (usize, usize) {
        self.read(|tables| (tables.channels.len(), tables.patterns.len()))
    }
}

fn send(listeners: &Listeners, parts: &[&[u8]], message: &Bytes) -> usize {
    let (mut resp2, mut resp3) = (None, None);
    for client in listeners.values() {
        let proto = client.proto();
        let encoded = match proto {
            Proto::Resp2 => &mut resp2,
            Proto::Resp3 => &mut resp3,
        };
        client.deliver(encoded.get_or_insert_with(|| encode(proto, parts, message)));
    }
    listeners.len()
}

fn encode(proto: Proto, parts: &[&[u8]], message: &Bytes) -> Bytes {
    let mut output = Output::new(usize::MAX);
    output.set_proto(proto);
    output.push(parts.len() + 1);
    parts.iter().for_each(|part| output.bulk(part));
    output.bulk_bytes(message);
    let len = output.len();
    output.copy_to_bytes(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::clients::Clients;
    use std::time::Duration;

    fn received(client: &Client) -> Vec<String> {
        client.messages().iter().map(|message| String::from_utf8_lossy(message).into_owned()).collect()
    }

    #[test]
    fn a_message_reaches_each_listener_once_for_each_way_of_listening() {
        let (clients, hub) = (Clients::default(), Hub::default());
        let address = || ([127, 0, 0, 1], 1).into();
        let new = || clients.admit((address(), address()), Duration::ZERO, 10, 1000).expect("room");
        let (a, b) = (new(), new());
        b.set_proto(Proto::Resp3);
        let (news, all) = (Bytes::from("news"), Bytes::from("n*"));
        hub.subscribe(Kind::Channel, &news, &a);
        hub.subscribe(Kind::Channel, &news, &b);
        hub.subscribe(Kind::Pattern, &all, &b);
        assert_eq!(hub.publish(b"news", &Bytes::from("x")), 3);
        assert_eq!(hub.publish(b"other", &Bytes::from("x")), 0);
        assert_eq!(received(&a), ["*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"]);
        assert_eq!(
            received(&b),
            [
                ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n",
                ">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$1\r\nx\r\n"
            ]
        );
        assert_eq!((hub.counts(), hub.listeners(b"news")), ((1, 1), 2));
        hub.unsubscribe(Kind::Channel, &news, &a);
        hub.unsubscribe(Kind::Channel, &news, &b);
        assert!(hub.channels(None).is_empty());
    }
}
