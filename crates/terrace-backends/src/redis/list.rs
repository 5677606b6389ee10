//! Listing: names from a namespace's index in their order, then their records.

use bytes::Bytes;
use terrace_store::capability::{Cursor, List, Page};
use terrace_store::{Entry, ErrorKind, Key, Namespace, Result};

use super::Redis;
use super::link::Intent;
use super::names;
use crate::remote::PAGE_BYTES;

/// How many records are asked for at once.
const TOGETHER: usize = 64;

impl Redis {
    pub(super) async fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.ready("list").await?;
        let limit = list.limit.max(1);
        let mut ask = redis::cmd("ZRANGEBYLEX");
        ask.arg(self.names.index(list.namespace.flat_prefix())).arg(first(list, cursor)).arg(last(list));
        ask.arg("LIMIT").arg(0).arg(limit);
        let found: Vec<Vec<u8>> = self.link.run(Intent::Read("list"), &ask).await?;
        let complete = found.len() < limit;
        let keys: Vec<Key> = found.iter().map(|name| list.namespace.key(name)).collect::<Result<_>>()?;
        let (mut page, mut bytes, mut seen) = (Page::default(), 0, 0);
        for keys in keys.chunks(TOGETHER) {
            seen += keys.len();
            for (key, entry) in keys.iter().zip(self.records(keys, list.keys_only).await?) {
                if let Some(entry) = entry {
                    bytes += entry.value.len();
                    page.entries.push((key.clone(), entry));
                }
            }
            if bytes > PAGE_BYTES {
                break;
            }
        }
        if !complete || seen < keys.len() {
            page.next = keys.get(seen.wrapping_sub(1)).map(|key| Cursor(key.shared_bytes()));
        }
        Ok(page)
    }

    async fn records(&self, keys: &[Key], keys_only: bool) -> Result<Vec<Option<Entry>>> {
        if keys_only {
            return self.read_headers(keys).await;
        }
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
        let mut ask = redis::pipe();
        ask.cmd("ZCARD").arg(self.names.index(namespace.flat_prefix()));
        ask.cmd("HGET").arg(self.names.sizes()).arg(namespace.flat_prefix());
        let (count, bytes): (u64, Option<u64>) = self.link.run_all(Intent::Read("count"), &ask).await?;
        Ok((count, bytes.unwrap_or(0)))
    }

    pub(super) async fn spaces(&self) -> Result<Vec<Namespace>> {
        self.ready("namespaces").await?;
        let mut ask = redis::cmd("HKEYS");
        ask.arg(self.names.sizes());
        let spaces: Vec<Vec<u8>> = self.link.run(Intent::Read("namespaces"), &ask).await?;
        spaces.iter().map(|space| names::namespace(space)).collect()
    }
}

/// Where a page begins, as the server wants it.
fn first(list: &List, cursor: Option<&Cursor>) -> Vec<u8> {
    match cursor {
        Some(Cursor(after)) => [b"(", &after[..]].concat(),
        None => [b"[", list.from.as_deref().unwrap_or_default().max(&list.prefix[..])].concat(),
    }
}

/// Where the listing ends.
fn last(list: &List) -> Vec<u8> {
    let beyond = [successor(&list.prefix), list.before.clone()];
    match beyond.into_iter().flatten().min() {
        Some(end) => [b"(", &end[..]].concat(),
        None => b"+".to_vec(),
    }
}

/// The least name after all with this prefix; `None` if there is none.
fn successor(prefix: &[u8]) -> Option<Bytes> {
    let end = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = prefix[..=end].to_vec();
    next[end] += 1;
    Some(next.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_where_its_prefix_or_its_bound_does() {
        let list = |prefix: &'static [u8], before: Option<&'static [u8]>| List {
            prefix: Bytes::from_static(prefix),
            before: before.map(Bytes::from_static),
            ..List::all(Namespace::root())
        };
        assert_eq!(last(&list(b"", None)), b"+");
        assert_eq!(last(&list(b"ab", None)), b"(ac");
        assert_eq!(last(&list(b"a\xff", None)), b"(b");
        assert_eq!(last(&list(b"\xff", None)), b"+");
        assert_eq!(last(&list(b"ab", Some(b"abc"))), b"(abc");
        assert_eq!(last(&list(b"ab", Some(b"z"))), b"(ac");
        let cursor = Cursor(Bytes::from_static(b"abq"));
        assert_eq!(first(&list(b"ab", None), Some(&cursor)), b"(abq");
        assert_eq!(first(&list(b"ab", None), None), b"[ab");
    }
}
