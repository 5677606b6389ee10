//! Watching: what the server tells of each message once it has stored it.
//!
//! Every message of the bucket is told, with its sequence number, so a watcher sees when it has missed one.

use std::sync::Arc;

use async_nats::Subscriber;
use async_nats::header::{NATS_SEQUENCE, NATS_SUBJECT};
use bytes::Bytes;
use futures_util::StreamExt;
use terrace_store::capability::{Change, Changes, Watch};
use terrace_store::{BoxFuture, Key, Namespace, Result};
use tokio::sync::watch;

use super::Nats;
use super::link::{Link, reads};
use super::rows::{HEADER, Head, Kind};
use crate::remote::Feed;

struct Told {
    link: Arc<Link>,
    namespace: Namespace,
    prefix: Bytes,
    /// Where it writes to learn that it has seen everything.
    mark: String,
    messages: Option<Subscriber>,
    /// What came, and is not read yet.
    taken: Option<async_nats::Message>,
    breaks: watch::Receiver<u64>,
    /// The sequence number that was told last.
    last: u64,
}

impl Told {
    /// What a message tells this watcher.
    async fn read(&mut self, message: &async_nats::Message) -> Option<Vec<Change>> {
        let headers = message.headers.as_ref()?;
        let sequence: u64 = headers.get(NATS_SEQUENCE)?.as_str().parse().ok()?;
        let mut changes = Vec::new();
        let missed = self.last != 0 && sequence > self.last + 1;
        if missed {
            changes.push(Change::Lagged);
        }
        let subject = headers.get(NATS_SUBJECT)?.as_str();
        if let Some(header) = headers.get(HEADER) {
            let head = self.link.head(reads("watch"), subject, header.as_str()).await;
            let kind = self.link.subjects.kind(subject);
            match head.ok().flatten() {
                Some(head) => changes.extend(change(kind, &head, sequence, &self.namespace, &self.prefix)),
                // It is not known whose it was.
                None => changes.push(Change::Lagged),
            }
        }
        self.last = sequence;
        Some(changes)
    }

    async fn receive(&mut self) -> Option<Vec<Change>> {
        if self.taken.is_none() {
            self.taken = tokio::select! {
                message = self.messages.as_mut()?.next() => Some(message?),
                _ = self.breaks.changed() => return None,
            };
        }
        // Kept until it is read, should this call be dropped.
        let message = self.taken.clone()?;
        let changes = self.read(&message).await;
        self.taken = None;
        Some(changes.unwrap_or_default())
    }
}

/// The change that a header tells, if it concerns this prefix of this namespace.
fn change(kind: Kind, head: &Head, sequence: u64, namespace: &Namespace, prefix: &Bytes) -> Option<Change> {
    if kind == Kind::Floor {
        let all = head.flat.is_empty();
        let told = all || head.flat == namespace.flat_prefix();
        return told.then(|| Change::Cleared((!all).then(|| namespace.clone())));
    }
    if kind != Kind::Head || !head.flat.strip_prefix(namespace.flat_prefix())?.starts_with(prefix) {
        return None;
    }
    let key = Key::from_flat(head.flat.clone()).ok()?;
    let version = head.stamp.version(sequence);
    Some(if head.tombstone { Change::Deleted { key, version } } else { Change::Put { key, version } })
}

impl Feed for Told {
    type Item = Change;

    fn lagged(&self) -> Change {
        Change::Lagged
    }

    async fn connect(&mut self) -> Result<bool> {
        (self.messages, self.taken) = (None, None);
        self.last = 0;
        self.breaks.mark_unchanged();
        let told = self.link.subjects.told();
        let listens = self.link.with(reads("watch"), |session| async move {
            let messages = session.client.subscribe(told).await?;
            Link::round_trip(&session.client).await?;
            Ok(messages)
        });
        self.messages = Some(listens.await?);
        Ok(false)
    }

    async fn next(&mut self) -> Option<Vec<Change>> {
        self.receive().await
    }

    /// Stores a message: what was stored before is told before it.
    async fn drain(&mut self) -> Vec<Change> {
        let mut all = Vec::new();
        let intent = reads("close");
        let Ok(Some(end)) = self.link.publish(intent, self.mark.clone(), None, Bytes::new(), None).await
        else {
            return all;
        };
        while self.last < end {
            let Some(changes) = self.receive().await else { break };
            all.extend(changes);
        }
        all
    }

    async fn leave(&mut self) {
        self.messages = None;
    }
}

impl Watch for Nats {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        Box::pin(async move {
            self.ready("watch").await?;
            let told = Told {
                link: Arc::clone(&self.link),
                namespace: namespace.clone(),
                prefix,
                mark: self.link.subjects.mark(&self.id),
                messages: None,
                taken: None,
                breaks: self.link.breaks(),
                last: 0,
            };
            Ok(Box::new(self.life.listen("nats watch", told).await?) as Box<dyn Changes>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::rows::Stamp;
    use terrace_store::Version;

    #[test]
    fn a_message_is_told_to_those_it_concerns() {
        let space = Namespace::new("n").unwrap();
        let key = Key::new("n", "ab").unwrap();
        let given = Stamp::Given(Version(7));
        let head = |flat: &[u8]| Head::floor(Bytes::copy_from_slice(flat), given, 0);
        let told =
            |kind, head: &Head, prefix: &'static str| change(kind, head, 1, &space, &Bytes::from(prefix));
        let deleted = Change::Deleted { key: key.clone(), version: Version(7) };
        assert_eq!(told(Kind::Head, &head(key.flat()), "a"), Some(deleted));
        assert_eq!(told(Kind::Head, &head(key.flat()), "b"), None);
        assert_eq!(told(Kind::Head, &head(Key::new("m", "ab").unwrap().flat()), ""), None);
        assert_eq!(
            told(Kind::Floor, &head(space.flat_prefix()), "x"),
            Some(Change::Cleared(Some(space.clone())))
        );
        assert_eq!(told(Kind::Floor, &head(b""), "x"), Some(Change::Cleared(None)));
        assert_eq!(told(Kind::Floor, &head(b"\x01m"), ""), None);
        assert_eq!(told(Kind::Other, &head(key.flat()), ""), None);
    }
}
