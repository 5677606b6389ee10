//! Listing: a range of the primary key.

use bytes::Bytes;
use terrace_store::capability::{Cursor, List, Page};
use terrace_store::{Entry, ErrorKind, Key, Namespace, Result};

use super::Postgres;
use super::link::reads;
use super::names;
use super::read::corrupt;
use crate::remote::{HEAD, PAGE_BYTES};

/// How many rows are asked for at once, so that a page of large values ends in time.
const TOGETHER: usize = 64;

impl Postgres {
    /// Rows come by the beginnings of their keys, and by their whole keys where these are alike.
    pub(super) async fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.ready("list").await?;
        let flat = |bytes: &[u8]| [list.namespace.flat_prefix(), bytes].concat();
        let mut from = flat(list.from.as_deref().unwrap_or_default().max(&list.prefix[..]));
        let mut beyond = cursor.map(|cursor| cursor.0.to_vec());
        let columns = if list.keys_only { "''::bytea" } else { "record" };
        let statement = format!(
            "SELECT flat, version, ends, {columns} FROM {}.entries WHERE head >= $1 AND flat >= $2 AND flat > $3 \
             AND space = $4 AND (ends = 0 OR ends > $5) ORDER BY head, flat LIMIT $6",
            self.config.schema
        );
        let (mut page, mut bytes) = (Page::default(), 0);
        loop {
            if let Some(beyond) = &beyond {
                from.clone_from(beyond);
            }
            let head = &from[..from.len().min(HEAD)];
            let after = beyond.as_deref().unwrap_or_default();
            let limit = (list.limit.max(1) - page.entries.len()).min(TOGETHER);
            let asked = i64::try_from(limit).unwrap_or(i64::MAX);
            let space = list.namespace.flat_prefix();
            let rows = self
                .link
                .query(reads("list"), &statement, &[&head, &from, &after, &space, &self.wall(), &asked])
                .await?;
            for row in &rows {
                let key = Key::from_flat(Bytes::copy_from_slice(row.get(0)))?;
                if !list.covers(key.bytes()) {
                    return Ok(page);
                }
                beyond = Some(key.flat().to_vec());
                let entry = if list.keys_only {
                    let ends = row.get::<_, i64>(2).cast_unsigned();
                    let version = names::version(row.get(1));
                    Some(Entry {
                        version,
                        expires_ms: std::num::NonZeroU64::new(ends),
                        ..Entry::new(Bytes::new())
                    })
                } else {
                    match self.entry(&key, row, 0) {
                        Err(error) if error.kind() == ErrorKind::Corrupt => None,
                        entry => entry?,
                    }
                };
                if let Some(entry) = entry {
                    bytes += entry.value.len();
                    page.entries.push((key, entry));
                }
            }
            if rows.len() < limit {
                return Ok(page);
            }
            if page.entries.len() >= list.limit.max(1) || bytes > PAGE_BYTES {
                page.next = beyond.map(|beyond| Cursor(beyond.into()));
                return Ok(page);
            }
        }
    }

    pub(super) async fn amounts(&self, namespace: &Namespace) -> Result<(u64, u64)> {
        self.ready("count").await?;
        let rows = self.link.query(reads("count"), &self.sql.amounts, &[&namespace.flat_prefix()]).await?;
        let row = rows.first().ok_or_else(|| corrupt("a sum that says nothing"))?;
        Ok((row.get::<_, i64>(0).cast_unsigned(), row.get::<_, i64>(1).cast_unsigned()))
    }

    pub(super) async fn spaces(&self) -> Result<Vec<Namespace>> {
        self.ready("namespaces").await?;
        let rows = self.link.query(reads("namespaces"), &self.sql.spaces, &[]).await?;
        let name =
            |row: &tokio_postgres::Row| Namespace::new(row.get::<_, &[u8]>(0).get(1..).unwrap_or_default());
        rows.iter().map(name).collect()
    }
}
