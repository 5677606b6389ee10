//! Reads: the last message of a key's subject, judged, and its pieces.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use terrace_store::{Entry, ErrorKind, Key, Result, Version};

use super::link::{Row, reads, writes};
use super::rows::{Head, Stamp};
use super::{Nats, TOGETHER};
use crate::record::{self, Record};

/// How often a read begins anew because its entry was replaced while its pieces were fetched.
const ATTEMPTS: usize = 100;

/// An entry that exists.
pub(super) struct Live {
    pub(super) head: Head,
    pub(super) row: Row,
}

impl Live {
    pub(super) fn version(&self) -> Version {
        self.head.stamp.version(self.row.sequence)
    }
}

impl Nats {
    /// The entry of a key, as far as its message tells.
    pub(super) async fn live(&self, operation: &'static str, key: &Key) -> Result<Option<Live>> {
        let Some(row) = self.link.last(reads(operation), self.link.subjects.head(key)).await? else {
            return Ok(None);
        };
        let head = row.head()?;
        let live = self.is_live(operation, key, &head).await?;
        Ok(live.then_some(Live { head, row }))
    }

    /// Whether it is an entry that exists. One with a version of its own may have come after a clear whose floor is
    /// above it: then it never existed.
    async fn is_live(&self, operation: &'static str, key: &Key, head: &Head) -> Result<bool> {
        Ok(head.lives(self.life.wall_ms())
            && match head.stamp {
                Stamp::Assigned { .. } => true,
                Stamp::Given(version) => version > self.floor(operation, key).await?,
            })
    }

    /// What clears left for a key.
    pub(super) async fn floor(&self, operation: &'static str, key: &Key) -> Result<Version> {
        let mut floor = Version::ZERO;
        for row in self.floors(operation, key).await? {
            floor = floor.max(row.head()?.stamp.version(row.sequence));
        }
        Ok(floor)
    }

    /// The sequence number below which clears remove what lies at a key.
    pub(super) async fn floor_sequence(&self, operation: &'static str, key: &Key) -> Result<u64> {
        Ok(self.floors(operation, key).await?.map(|row| row.sequence).max().unwrap_or(0))
    }

    async fn floors(&self, operation: &'static str, key: &Key) -> Result<impl Iterator<Item = Row> + use<>> {
        let (link, space) = (&self.link, key.namespace());
        let (all, one) = tokio::try_join!(
            link.last(reads(operation), link.subjects.floor(None)),
            link.last(reads(operation), link.subjects.floor(Some(&space))),
        )?;
        Ok([all, one].into_iter().flatten())
    }

    pub(super) async fn read(&self, operation: &'static str, key: &Key) -> Result<Option<Entry>> {
        for _ in 0..ATTEMPTS {
            let Some(live) = self.live(operation, key).await? else { return Ok(None) };
            let version = live.version();
            let record = match live.head.pieces {
                None => live.row.record(&live.head),
                Some(pieces) => match self.fetch(operation, pieces, live.head.size).await? {
                    Some(record) => record,
                    // Its pieces go once it is replaced.
                    None if self.was_replaced(operation, key, live.row.sequence).await? => continue,
                    None => return Err(super::rows::corrupt("a piece of it is missing")),
                },
            };
            return match record::open(key, &record)? {
                Record::Live(entry) => Ok(Some(Entry { version, ..entry })),
                Record::Tombstone { .. } => {
                    Err(super::rows::corrupt("an entry whose envelope is a tombstone's"))
                }
            };
        }
        Err(terrace_store::Error::new(ErrorKind::Busy, operation)
            .with("store", super::NAME)
            .because("others replace it faster than it can be read"))
    }

    async fn was_replaced(&self, operation: &'static str, key: &Key, sequence: u64) -> Result<bool> {
        let row = self.link.last(reads(operation), self.link.subjects.head(key)).await?;
        Ok(row.is_none_or(|row| row.sequence != sequence))
    }

    pub(super) async fn read_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        stream::iter(0..keys.len()).map(|n| self.read("get", &keys[n])).buffered(TOGETHER).try_collect().await
    }

    /// The base of versions, and the sequence number of what says so.
    pub(super) async fn base(&self, operation: &'static str) -> Result<(u64, u64)> {
        let Some(row) = self.link.last(reads(operation), self.link.subjects.base()).await? else {
            return Ok((0, 0));
        };
        let base = <[u8; 8]>::try_from(&row.payload[..]);
        let base = base.map_err(|_| super::rows::corrupt("a base that is no number"))?;
        Ok((u64::from_be_bytes(base), row.sequence))
    }

    /// A sequence number above all before.
    pub(super) async fn next_sequence(&self, operation: &'static str) -> Result<u64> {
        let subject = self.link.subjects.reserved();
        // Whether it was stored or not makes no difference to anybody.
        let stored = self.link.publish(reads(operation), subject, None, Bytes::new(), None).await?;
        stored.ok_or_else(|| super::rows::corrupt("a condition that nobody made"))
    }

    /// Lets all versions assigned from now on be above this one. Rare: only versions that come from elsewhere are
    /// ahead.
    pub(super) async fn raise(&self, operation: &'static str, version: Version) -> Result<()> {
        let mut fresh = false;
        loop {
            let (base, sequence) = self.base(operation).await?;
            let seen = self.link.seen();
            if version.0 <= base.saturating_add(seen) {
                return Ok(());
            }
            if !fresh {
                // Others may have moved the stream on.
                self.next_sequence(operation).await?;
                fresh = true;
                continue;
            }
            let base = Bytes::copy_from_slice(&(version.0 - seen).to_be_bytes());
            let subject = self.link.subjects.base();
            let _ = self.link.publish(writes(operation), subject, None, base, Some(sequence)).await?;
        }
    }
}
