//! Listing: a range of headers, then the envelopes of those that count, as they were at the same revision.

use std::collections::HashMap;
use std::num::NonZeroU64;

use bytes::Bytes;
use etcd_client::{GetOptions, TxnOp};
use terrace_store::capability::{Cursor, List, Page};
use terrace_store::{Entry, ErrorKind, Key, Namespace, Result};

use super::Etcd;
use super::link::{Answer, reads};
use super::rows::{Amount, Header};
use crate::remote::{PAGE_BYTES, after};

/// How many headers are asked for at once at most.
const TOGETHER: usize = 1024;

/// A header that counts.
struct Found {
    key: Key,
    head: Header,
    revision: i64,
}

impl Etcd {
    pub(super) async fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.ready("list").await?;
        let flat = |bytes: &[u8]| [list.namespace.flat_prefix(), bytes].concat();
        let start = flat(list.from.as_deref().unwrap_or_default().max(&list.prefix[..]));
        let mut from = self.rows.head(&match cursor {
            // The first place behind it.
            Some(cursor) => flat(&[&cursor.0[..], b"\0"].concat()).max(start),
            None => start,
        });
        let to = self.rows.head(&after(list));
        let mut page = Page::default();
        loop {
            if from >= to {
                return Ok(page);
            }
            let left = (list.limit.max(1) - page.entries.len()).min(TOGETHER);
            let heads = self.range("list", from.clone(), to.clone(), left, 0).await?;
            let heads_found = heads.rows.first().map_or(0, Vec::len);
            let Some(last) = heads.rows.first().and_then(|rows| rows.last()) else { return Ok(page) };
            from = [last.key(), b"\0"].concat();
            let found = self.count(&heads)?;
            let (entries, cut) = self.entries(list, found, heads.revision).await?;
            page.entries.extend(entries);
            let more = heads_found == left;
            if let Some(at) = cut {
                page.next = Some(Cursor(at.shared_bytes()));
                return Ok(page);
            }
            if !more {
                return Ok(page);
            }
            if page.entries.len() >= list.limit.max(1) {
                page.next = page.entries.last().map(|(key, _)| Cursor(key.shared_bytes()));
                return Ok(page);
            }
        }
    }

    async fn range(
        &self,
        operation: &'static str,
        from: Vec<u8>,
        to: Vec<u8>,
        limit: usize,
        revision: i64,
    ) -> Result<Answer> {
        let range = GetOptions::new().with_range(to).with_limit(limit as i64).with_revision(revision);
        let ask = vec![TxnOp::get(from, Some(range))];
        self.link.txn(reads(operation), Vec::new(), ask, Vec::new()).await
    }

    /// Those of the headers that are of entries that exist.
    fn count(&self, heads: &Answer) -> Result<Vec<Found>> {
        let wall = self.life.wall_ms();
        let mut found = Vec::new();
        for row in heads.rows.iter().flatten() {
            let head = Header::parse(row.value())?;
            let flat = self.rows.strip(b'e', row.key()).unwrap_or_default();
            if head.is_live(wall) {
                let key = Key::from_flat(Bytes::copy_from_slice(flat))?;
                found.push(Found { key, head, revision: row.mod_revision() });
            }
        }
        Ok(found)
    }

    /// The entries of these headers, and the last of them if the page is to end there for its length.
    async fn entries(
        &self,
        list: &List,
        found: Vec<Found>,
        revision: i64,
    ) -> Result<(Vec<(Key, Entry)>, Option<Key>)> {
        if list.keys_only {
            let entry = |found: Found| {
                let version = found.head.version(found.revision);
                let expires_ms = NonZeroU64::new(found.head.ends_ms);
                (found.key, Entry { version, expires_ms, ..Entry::new(Bytes::new()) })
            };
            return Ok((found.into_iter().map(entry).collect(), None));
        }
        let (mut bytes, mut fit) = (0, 0);
        for found in &found {
            fit += 1;
            bytes += found.head.size as usize;
            if bytes > PAGE_BYTES {
                break;
            }
        }
        let cut = found
            .get(fit - usize::from(fit > 0))
            .filter(|_| fit < found.len())
            .map(|found| found.key.clone());
        let Some((first, last)) = found.first().zip(found[..fit].last()) else {
            return Ok((Vec::new(), None));
        };
        let (from, to) = (self.rows.data(first.key.flat()), self.rows.data(last.key.flat()));
        let data = self.range("list", from, [&to[..], b"\0"].concat(), 0, revision).await?;
        let data: HashMap<&[u8], &[u8]> =
            data.rows.iter().flatten().map(|row| (row.key(), row.value())).collect();
        let mut entries = Vec::with_capacity(fit);
        for Found { key, head, revision } in found.into_iter().take(fit) {
            let Some(record) = data.get(&self.rows.data(key.flat())[..]) else { continue };
            match self.entry(&key, &head, revision, record) {
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                entry => entries.extend(entry?.map(|entry| (key, entry))),
            }
        }
        Ok((entries, cut))
    }

    pub(super) async fn amounts(&self, namespace: &Namespace) -> Result<(u64, u64)> {
        self.ready("count").await?;
        let all = GetOptions::new().with_prefix();
        let ask = vec![TxnOp::get(self.rows.amounts(namespace.flat_prefix()), Some(all))];
        let answer = self.link.txn(reads("count"), Vec::new(), ask, Vec::new()).await?;
        let mut sum = Amount::default();
        for row in answer.rows.iter().flatten() {
            let amount = Amount::parse(row.value())?;
            sum.count += amount.count;
            sum.bytes += amount.bytes;
        }
        Ok((sum.count.cast_unsigned(), sum.bytes.cast_unsigned()))
    }

    pub(super) async fn spaces(&self) -> Result<Vec<Namespace>> {
        self.ready("namespaces").await?;
        let all = GetOptions::new().with_prefix().with_keys_only();
        let ask = vec![TxnOp::get(self.rows.amounts(b""), Some(all))];
        let answer = self.link.txn(reads("namespaces"), Vec::new(), ask, Vec::new()).await?;
        let mut spaces = Vec::new();
        for row in answer.rows.iter().flatten() {
            let space = self.rows.strip(b'c', row.key()).and_then(|space| space.split_last());
            let space = Namespace::new(space.and_then(|(_, space)| space.get(1..)).unwrap_or_default())?;
            if spaces.last() != Some(&space) {
                spaces.push(space);
            }
        }
        Ok(spaces)
    }
}
