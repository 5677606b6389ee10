//! Listening: a connection a listener, and a task that puts what arrives into its bounded queue.
//!
//! At the end each listener first makes a call: the server sends what it was notified of before it answers that, so
//! what was told before the end is read before it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::{Change, Changes, Message, Subscription};
use terrace_store::{BoxFuture, Clock, Namespace, Result};
use tokio::sync::{oneshot, watch};
use tokio_postgres::{AsyncMessage, Client};

use super::PostgresStore;
use super::link::{Driver, Link, next, reads};
use super::names;
use crate::inbox::Inbox;
use crate::leaving::Leaving;

/// How long to wait before a connection is made anew, at first and at most.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// One who listens. Its end is the end of its task.
pub(super) struct Listening<T> {
    inbox: Arc<Inbox<T>>,
    leaving: Arc<Leaving>,
    _gone: oneshot::Sender<()>,
}

impl<T> Drop for Listening<T> {
    fn drop(&mut self) {
        self.leaving.begin();
    }
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

/// What a message says to a listener, if anything.
pub(super) type Read<T> = Box<dyn FnMut(&str) -> Option<T> + Send>;

impl PostgresStore {
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
        let (inbox, leaving) = (Arc::new(Inbox::default()), Arc::clone(&self.leaving));
        let (gone, left) = oneshot::channel();
        let mut task = Task {
            link: Arc::clone(&self.link),
            subscribe: format!("LISTEN \"{channel}\"{lock}"),
            inbox: Arc::clone(&inbox),
            leaving: Arc::clone(&leaving),
            read,
            lagged,
            clock: Arc::clone(&self.clock),
            ending: self.ending.subscribe(),
            left,
        };
        let connection = task.connect().await?;
        self.listeners.spawn("postgres listener", task.run(connection));
        // A close that came meanwhile has seen this task, or does not wait for it.
        if self.check_open("subscribe").is_err() {
            inbox.close();
        }
        Ok(Listening { inbox, leaving, _gone: gone })
    }
}

struct Task<T> {
    link: Arc<Link>,
    subscribe: String,
    inbox: Arc<Inbox<T>>,
    leaving: Arc<Leaving>,
    read: Read<T>,
    lagged: T,
    clock: Arc<dyn Clock>,
    ending: watch::Receiver<bool>,
    left: oneshot::Receiver<()>,
}

/// Why a task stops to read.
enum Stop {
    Ending,
    Left,
    Broken,
}

impl<T: Clone + Send + Sync + 'static> Task<T> {
    /// A connection that listens.
    async fn connect(&mut self) -> Result<(Client, Driver)> {
        let (client, mut driver) = self.link.dedicated("subscribe").await?;
        let subscribe = {
            let call = answered(&mut driver, client.batch_execute(&self.subscribe));
            self.link.within(reads("subscribe"), call).await
        };
        subscribe.map(|()| (client, driver))
    }

    async fn run(mut self, connection: (Client, Driver)) {
        let mut connection = Some(connection);
        while let Some((client, mut driver)) = connection.take() {
            match self.forward(&mut driver).await {
                Stop::Left => {
                    let bye = answered(&mut driver, client.batch_execute("SELECT pg_advisory_unlock_all()"));
                    let _ = tokio::time::timeout(WAITS.1, bye).await;
                    return self.leaving.end();
                }
                Stop::Ending => {
                    let _ = tokio::time::timeout(WAITS.1, self.finish(&client, &mut driver)).await;
                }
                Stop::Broken => {
                    self.inbox.push(self.lagged.clone(), self.lagged.clone());
                    connection = self.connect_again().await;
                }
            }
        }
        self.inbox.close();
    }

    async fn forward(&mut self, driver: &mut Driver) -> Stop {
        loop {
            if *self.ending.borrow() {
                return Stop::Ending;
            }
            let message = tokio::select! {
                _ = self.ending.changed() => continue,
                _ = &mut self.left => return Stop::Left,
                message = next(driver) => message,
            };
            match message {
                Some(Ok(message)) => self.take(&message),
                Some(Err(_)) | None => return Stop::Broken,
            }
        }
    }

    fn take(&mut self, message: &AsyncMessage) {
        if let AsyncMessage::Notification(note) = message
            && let Some(item) = (self.read)(note.payload())
        {
            self.inbox.push(item, self.lagged.clone());
        }
    }

    /// Reads what the server was notified of before it answers.
    async fn finish(&mut self, client: &Client, driver: &mut Driver) {
        let call = client.batch_execute("SELECT 1");
        tokio::pin!(call);
        loop {
            tokio::select! {
                biased;
                message = next(driver) => match message {
                    Some(Ok(message)) => self.take(&message),
                    _ => return,
                },
                _ = &mut call => return,
            }
        }
    }

    async fn connect_again(&mut self) -> Option<(Client, Driver)> {
        let mut wait = WAITS.0;
        loop {
            tokio::select! {
                _ = self.ending.changed() => return None,
                _ = &mut self.left => {
                    self.leaving.end();
                    return None;
                }
                () = self.clock.sleep(wait) => {}
            }
            if let Ok(connection) = self.connect().await {
                // What was told between the break and now is lost.
                self.inbox.push(self.lagged.clone(), self.lagged.clone());
                return Some(connection);
            }
            wait = (wait * 2).min(WAITS.1);
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
