//! Listening: a connection a listener, and a task that puts what arrives into its bounded queue.
//!
//! At the end each listener first makes a call: the server sends what it was notified of before it answers that, so
//! what was told before the end is read before it.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use terrace_store::capability::Change;
use terrace_store::{Namespace, Result};
use tokio_postgres::{AsyncMessage, Client};

use super::Postgres;
use super::link::{Driver, Link, next, reads};
use super::names;
use crate::remote::{Feed, Listening};

/// What a message says to a listener, if anything.
pub(super) type Read<T> = Box<dyn FnMut(&str) -> Option<T> + Send>;

impl Postgres {
    /// Listens to a channel. `counted` is the lock by which those who listen are counted.
    pub(super) async fn listen<T: Clone + Send + Sync + 'static>(
        &self,
        channel: &str,
        counted: Option<i64>,
        read: Read<T>,
        lagged: T,
    ) -> Result<Listening<T>> {
        self.ready("subscribe").await?;
        let lock =
            counted.map_or_else(String::new, |lock| format!("; SELECT pg_advisory_lock_shared({lock})"));
        let subscribe = format!("LISTEN \"{channel}\"{lock}");
        let feed = Channel { link: Arc::clone(&self.link), subscribe, connection: None, read, lagged };
        self.life.listen("postgres listener", feed).await
    }
}

/// A channel of the database, and the connection that listens to it.
struct Channel<T> {
    link: Arc<Link>,
    subscribe: String,
    connection: Option<(Client, Driver)>,
    read: Read<T>,
    lagged: T,
}

impl<T> Channel<T> {
    fn take(&mut self, message: &AsyncMessage, items: &mut Vec<T>) {
        if let AsyncMessage::Notification(note) = message {
            items.extend((self.read)(note.payload()));
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Feed for Channel<T> {
    type Item = T;

    fn lagged(&self) -> T {
        self.lagged.clone()
    }

    async fn connect(&mut self) -> Result<bool> {
        self.connection = None;
        let (client, mut driver) = self.link.dedicated("subscribe").await?;
        {
            let call = answered(&mut driver, client.batch_execute(&self.subscribe));
            self.link.within(reads("subscribe"), call).await?;
        }
        self.connection = Some((client, driver));
        Ok(false)
    }

    async fn next(&mut self) -> Option<Vec<T>> {
        let (_, driver) = self.connection.as_mut()?;
        let message = next(driver).await?.ok()?;
        let mut items = Vec::new();
        self.take(&message, &mut items);
        Some(items)
    }

    /// Reads what the server was notified of before it answers.
    async fn drain(&mut self) -> Vec<T> {
        let mut items = Vec::new();
        let Some((client, mut driver)) = self.connection.take() else { return items };
        let call = client.batch_execute("SELECT 1");
        tokio::pin!(call);
        loop {
            tokio::select! {
                biased;
                message = next(&mut driver) => match message {
                    Some(Ok(message)) => self.take(&message, &mut items),
                    _ => return items,
                },
                _ = &mut call => return items,
            }
        }
    }

    async fn leave(&mut self) {
        if let Some((client, driver)) = &mut self.connection {
            let _ = answered(driver, client.batch_execute("SELECT pg_advisory_unlock_all()")).await;
        }
    }
}

/// Waits for an answer on a connection, and polls that meanwhile. What the server is notified of meanwhile is left out:
/// before a subscription there is nothing, and after its end nobody reads it.
async fn answered(
    driver: &mut Driver,
    call: impl Future<Output = Result<(), tokio_postgres::Error>>,
) -> Result<(), tokio_postgres::Error> {
    tokio::pin!(call);
    loop {
        tokio::select! {
            biased;
            answer = &mut call => return answer,
            message = next(driver) => {
                if !matches!(message, Some(Ok(_))) {
                    return call.await;
                }
            }
        }
    }
}

/// The change that a message tells, if it concerns this prefix of this namespace: kind and signed version, a space,
/// the flat key in base64, or nothing where that is too long.
pub(super) fn read_change(namespace: &Namespace, prefix: &Bytes, message: &str) -> Option<Change> {
    let (kind, rest) = message.split_at_checked(1)?;
    let (version, flat) = rest.split_once(' ')?;
    let version = names::version(version.parse().ok()?);
    let flat = decode(flat)?;
    match kind {
        "A" => return Some(Change::Cleared(None)),
        "C" => return (flat == namespace.flat_prefix()).then(|| Change::Cleared(Some(namespace.clone()))),
        _ if flat.is_empty() => return Some(Change::Lagged),
        _ => {}
    }
    if !flat.strip_prefix(namespace.flat_prefix())?.starts_with(prefix) {
        return None;
    }
    let key = terrace_store::Key::from_flat(flat.into()).ok()?;
    match kind {
        "P" => Some(Change::Put { key, version }),
        "D" => Some(Change::Deleted { key, version }),
        _ => None,
    }
}

/// Base64 as PostgreSQL writes it, in lines.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    let text: String = text.split('\n').collect();
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use terrace_store::{Key, Version};

    #[test]
    fn a_message_is_told_to_those_it_concerns() {
        let space = Namespace::new("n").unwrap();
        let key = Key::new("n", "ab").unwrap();
        let message = |kind: &str, flat: &[u8]| {
            let flat = base64::engine::general_purpose::STANDARD.encode(flat);
            format!("{kind}{} {flat}", names::signed(Version(7)))
        };
        let told = |prefix: &'static str, message: &str| read_change(&space, &Bytes::from(prefix), message);
        let version = Version(7);
        let put = message("P", key.flat());
        assert_eq!(told("a", &put), Some(Change::Put { key: key.clone(), version }));
        assert_eq!(told("b", &put), None);
        assert_eq!(told("", &message("D", key.flat())), Some(Change::Deleted { key, version }));
        assert_eq!(told("", &message("P", Key::new("m", "ab").unwrap().flat())), None);
        assert_eq!(told("x", &message("P", b"")), Some(Change::Lagged));
        assert_eq!(told("x", &message("C", space.flat_prefix())), Some(Change::Cleared(Some(space.clone()))));
        assert_eq!(told("x", &message("A", b"")), Some(Change::Cleared(None)));
        assert_eq!(told("", "?"), None);
    }
}
