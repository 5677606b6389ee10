//! Listing: keys in the order of the primary key, then the records of those on the page.

use std::num::NonZeroU64;

use bytes::Bytes;
use terrace_store::capability::{Cursor, List, Page};
use terrace_store::{Entry, ErrorKind, Key, Namespace, Result, Version};

use super::Mysql;
use super::link::reads;
use crate::remote::{HEAD, PAGE_BYTES, after};

/// How many keys are asked for at once at most.
const TOGETHER: usize = 1024;

/// A row: the beginning of the flat key, its hash, the whole of it where it is longer, version, end, bytes.
type Row = (Vec<u8>, Vec<u8>, Vec<u8>, u64, u64, u64);

/// An entry that is to be listed.
struct Found {
    key: Key,
    version: Version,
    ends: u64,
    size: u64,
}

impl Mysql {
    pub(super) async fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.ready("list").await?;
        let flat = |bytes: &[u8]| [list.namespace.flat_prefix(), bytes].concat();
        let mut from = flat(list.from.as_deref().unwrap_or_default().max(&list.prefix[..]));
        if let Some(cursor) = cursor {
            // The first place behind it.
            from = flat(&[&cursor.0[..], b"\0"].concat()).max(from);
        }
        let limit = list.limit.max(1);
        let (mut found, mut next) = (Vec::new(), Some(from));
        while let Some(from) = next.take().filter(|_| found.len() < limit) {
            next = self.keys(list, &from, &mut found).await?;
        }
        let complete = next.is_none() && found.len() <= limit;
        found.truncate(limit);
        let (entries, cut) = self.entries(list, &found).await?;
        let mut page = Page { entries, next: None };
        if !complete || cut.is_some() {
            let last = cut.or(found.last());
            page.next = last.map(|found| Cursor(found.key.shared_bytes()));
        }
        Ok(page)
    }

    /// Adds keys from a flat one on, and returns from which on there may be more.
    async fn keys(&self, list: &List, from: &[u8], found: &mut Vec<Found>) -> Result<Option<Vec<u8>>> {
        let head = &from[..from.len().min(HEAD)];
        let long = head.len() == HEAD;
        let mut rows = Vec::new();
        if long {
            // All whose first bytes are these; their order is not that of the index.
            rows = self.rows("head = ?", (head, list), 0).await?;
        }
        let rest = self.rows(if long { "head > ?" } else { "head >= ?" }, (head, list), TOGETHER).await?;
        let mut next = None;
        if rest.len() == TOGETHER {
            let last = rest.last().map(|row| row.0.clone()).unwrap_or_default();
            // Of those with the last one's first bytes there may be more.
            next = Some(if last.len() == HEAD { last.clone() } else { [&last[..], b"\0"].concat() });
            rows.extend(rest.into_iter().filter(|row| row.0.len() < HEAD || row.0 != last));
        } else {
            rows.extend(rest);
        }
        let start = found.len();
        for (head, hash, flat, version, ends, size) in rows {
            let flat = if hash.is_empty() { head } else { flat };
            if flat[..] < *from {
                continue;
            }
            let key = Key::from_flat(flat.into())?;
            if key.namespace() == list.namespace && list.covers(key.bytes()) {
                found.push(Found { key, version: Version(version), ends, size });
            }
        }
        found[start..].sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(next)
    }

    async fn rows(&self, which: &str, (head, list): (&[u8], &List), limit: usize) -> Result<Vec<Row>> {
        let limit = if limit == 0 { String::new() } else { format!("LIMIT {limit}") };
        let statement = self.sql(&format!(
            "SELECT head, hash, IF(hash = '', '', flat), version, ends, size FROM {{p}}_entries WHERE {which} \
             AND head <= ? AND (ends = 0 OR ends > ?) ORDER BY head, hash {limit}"
        ));
        let mut behind = after(list);
        behind.truncate(HEAD);
        self.link.query(reads("list"), &statement, (head.to_vec(), behind, self.life.wall_ms())).await
    }

    /// The entries of these keys, and the last of them if the page is to end there for its length.
    async fn entries<'a>(
        &self,
        list: &List,
        found: &'a [Found],
    ) -> Result<(Vec<(Key, Entry)>, Option<&'a Found>)> {
        if list.keys_only {
            let entry = |found: &Found| {
                let expires_ms = NonZeroU64::new(found.ends);
                (found.key.clone(), Entry { version: found.version, expires_ms, ..Entry::new(Bytes::new()) })
            };
            return Ok((found.iter().map(entry).collect(), None));
        }
        let (mut entries, mut done, mut bytes) = (Vec::with_capacity(found.len()), 0, 0);
        while done < found.len() && bytes <= PAGE_BYTES {
            let (mut together, mut size) = (0, 0);
            for found in &found[done..] {
                size += found.size as usize;
                together += 1;
                if size > PAGE_BYTES / 4 {
                    break;
                }
            }
            let keys: Vec<Key> = found[done..done + together].iter().map(|found| found.key.clone()).collect();
            for (key, entry) in keys.iter().zip(self.records(&keys).await?) {
                if let Some(entry) = entry {
                    bytes += entry.value.len();
                    entries.push((key.clone(), entry));
                }
            }
            done += together;
        }
        Ok((entries, if done < found.len() { found[..done].last() } else { None }))
    }

    async fn records(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        match self.read_many(keys).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            read => return read,
        }
        // One is damaged: it is left out, and the others are not.
        let mut entries = Vec::with_capacity(keys.len());
        for key in keys {
            entries.push(match self.read(key).await {
                Err(error) if error.kind() == ErrorKind::Corrupt => None,
                entry => entry?,
            });
        }
        Ok(entries)
    }

    pub(super) async fn amounts(&self, namespace: &Namespace) -> Result<(u64, u64)> {
        self.ready("count").await?;
        let statement = self.sql("SELECT count, bytes FROM {p}_amounts WHERE space = ?");
        let space = namespace.flat_prefix().to_vec();
        let rows: Vec<(u64, u64)> = self.link.query(reads("count"), &statement, (space,)).await?;
        Ok(rows.first().copied().unwrap_or_default())
    }

    pub(super) async fn spaces(&self) -> Result<Vec<Namespace>> {
        self.ready("namespaces").await?;
        let statement = self.sql("SELECT space FROM {p}_amounts ORDER BY space");
        let rows: Vec<Vec<u8>> = self.link.query(reads("namespaces"), &statement, ()).await?;
        rows.iter().map(|space| Namespace::new(space.get(1..).unwrap_or_default())).collect()
    }
}
