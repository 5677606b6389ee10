//! Watching: a stream a watcher, which after a break goes on from the revision it has seen.

use std::sync::Arc;

use bytes::Bytes;
use etcd_client::{Event, EventType, TxnOp, WatchOptions, WatchStream};
use terrace_store::capability::{Change, Changes, Watch};
use terrace_store::{BoxFuture, Key, Namespace, Result};

use super::Etcd;
use super::link::{Link, reads, writes};
use super::rows::{Header, Rows};
use crate::remote::Feed;

/// The rows that tell of changes, and the stream over which they come.
struct Told {
    link: Arc<Link>,
    rows: Rows,
    namespace: Namespace,
    prefix: Bytes,
    stream: Option<WatchStream>,
    /// From which revision on nothing was seen yet; 0 before the first connection.
    from: i64,
}

impl Told {
    /// The change that an event tells, if it concerns this prefix of this namespace.
    fn read(&self, event: &Event) -> Option<Change> {
        let row = event.kv().filter(|_| event.event_type() == EventType::Put)?;
        if let Some(space) = self.rows.strip(b'f', row.key()) {
            let of = (!space.is_empty()).then(|| self.namespace.clone());
            return (space.is_empty() || space == self.namespace.flat_prefix())
                .then_some(Change::Cleared(of));
        }
        let flat = self.rows.strip(b'e', row.key())?;
        if !flat.strip_prefix(self.namespace.flat_prefix())?.starts_with(&self.prefix) {
            return None;
        }
        let head = Header::parse(row.value()).ok()?;
        let key = Key::from_flat(Bytes::copy_from_slice(flat)).ok()?;
        let version = head.version(row.mod_revision());
        Some(if head.tombstone { Change::Deleted { key, version } } else { Change::Put { key, version } })
    }

    /// What comes next, and up to which revision; `None` once the stream broke.
    async fn receive(&mut self) -> Option<(Vec<Change>, i64)> {
        let message = self.stream.as_mut()?.message().await.ok().flatten()?;
        if message.canceled() {
            // What was not seen yet may be compacted away.
            self.from = if message.compact_revision() > 0 { 0 } else { self.from };
            return None;
        }
        let last = message.events().iter().filter_map(Event::kv).map(|row| row.mod_revision()).max();
        let changes = message.events().iter().filter_map(|event| self.read(event)).collect();
        self.from = self.from.max(last.map_or(0, |last| last + 1));
        Some((changes, last.unwrap_or(0)))
    }
}

impl Feed for Told {
    type Item = Change;

    fn lagged(&self) -> Change {
        Change::Lagged
    }

    async fn connect(&mut self) -> Result<bool> {
        self.stream = None;
        let goes_on = self.from != 0;
        if !goes_on {
            let ask = vec![TxnOp::get(self.rows.format(), None)];
            self.from = self.link.txn(reads("watch"), Vec::new(), ask, Vec::new()).await?.revision + 1;
        }
        let (first, behind) = self.rows.told();
        let options = WatchOptions::new().with_range(behind).with_start_revision(self.from).with_fragment();
        let watch = async { self.link.watches().await?.watch(first, Some(options)).await };
        self.stream = Some(self.link.within(reads("watch"), watch).await?);
        Ok(goes_on)
    }

    async fn next(&mut self) -> Option<Vec<Change>> {
        self.receive().await.map(|(changes, _)| changes)
    }

    /// Writes a row that is watched: what was told before comes before it.
    async fn drain(&mut self) -> Vec<Change> {
        let mut all = Vec::new();
        let bye = vec![TxnOp::put(self.rows.bye(), "", None)];
        let Ok(end) = self.link.txn(writes("close"), Vec::new(), bye, Vec::new()).await else { return all };
        while let Some((changes, seen)) = self.receive().await {
            all.extend(changes);
            if seen >= end.revision {
                break;
            }
        }
        all
    }

    async fn leave(&mut self) {
        self.stream = None;
    }
}

impl Watch for Etcd {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        Box::pin(async move {
            self.ready("watch").await?;
            let told = Told {
                link: Arc::clone(&self.link),
                rows: Rows::new(&self.config.prefix),
                namespace: namespace.clone(),
                prefix,
                stream: None,
                from: 0,
            };
            Ok(Box::new(self.life.listen("etcd watch", told).await?) as Box<dyn Changes>)
        })
    }
}
