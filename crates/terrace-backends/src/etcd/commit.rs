//! What a write has read, and what it changes if nothing of that has changed.

use std::collections::{BTreeMap, HashMap};

use etcd_client::{Compare, CompareOp, TxnOp};
use terrace_store::{Key, Result};

use super::Etcd;
use super::link::{Row, reads, writes};
use super::rows::{Amount, Due, Header, part};

/// Rows as they were, absent ones included.
pub(super) struct View {
    found: HashMap<Vec<u8>, Option<Row>>,
    /// One of the cluster's before the commit.
    pub(super) revision: i64,
}

impl View {
    pub(super) fn row(&self, row: &[u8]) -> Option<&Row> {
        self.found.get(row)?.as_ref()
    }

    pub(super) fn value(&self, row: &[u8]) -> Option<&[u8]> {
        self.row(row).map(Row::value)
    }

    /// The header in a row, and the revision it was written at.
    pub(super) fn header(&self, row: &[u8]) -> Result<Option<(Header, i64)>> {
        self.row(row).map(|row| Ok((Header::parse(row.value())?, row.mod_revision()))).transpose()
    }

    fn unchanged(&self) -> Vec<Compare> {
        let same = |(name, row): (&Vec<u8>, &Option<Row>)| {
            let revision = row.as_ref().map_or(0, Row::mod_revision);
            Compare::mod_revision(&name[..], CompareOp::Equal, revision)
        };
        self.found.iter().map(same).collect()
    }
}

/// What a transaction changes.
#[derive(Default)]
pub(super) struct Changes {
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    amounts: BTreeMap<(Vec<u8>, usize), Amount>,
}

impl Changes {
    pub(super) fn put(&mut self, row: Vec<u8>, value: Vec<u8>) {
        self.rows.insert(row, Some(value));
    }

    pub(super) fn remove(&mut self, row: Vec<u8>) {
        self.rows.entry(row).or_insert(None);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Puts a header in the place of another, with all that goes with it but the entry itself.
    pub(super) fn replace(&mut self, etcd: &Etcd, key: &Key, prior: Option<Header>, header: Header) {
        let rows = &etcd.rows;
        if let Some((due, ends)) = prior.and_then(|prior| prior.due().zip(Some(prior.ends_ms))) {
            self.remove(rows.due(due, ends, key.flat()));
        }
        if let Some(due) = header.due() {
            self.put(rows.due(due, header.ends_ms, key.flat()), Vec::new());
        }
        if header.tombstone {
            self.remove(rows.data(key.flat()));
        }
        let counted = |header: Header| match header.tombstone {
            true => Amount::default(),
            false => Amount { count: 1, bytes: header.size.cast_signed() },
        };
        let (before, after) = (prior.map_or_else(Amount::default, counted), counted(header));
        if before != after {
            let amount = self.amounts.entry((key.namespace().flat_prefix().to_vec(), part(key))).or_default();
            amount.count += after.count - before.count;
            amount.bytes += after.bytes - before.bytes;
        }
        self.put(rows.head(key.flat()), header.to_row());
    }

    /// Puts a floor in the place of another.
    pub(super) fn lay_floor(&mut self, etcd: &Etcd, space: &[u8], prior: Option<Header>, floor: Header) {
        if let Some(prior) = prior {
            self.remove(etcd.rows.due(Due::Floor, prior.ends_ms, space));
        }
        self.put(etcd.rows.due(Due::Floor, floor.ends_ms, space), Vec::new());
        self.put(etcd.rows.floor(space), floor.to_row());
    }

    /// The operations, amounts included.
    pub(super) fn into_operations(mut self, etcd: &Etcd, view: &View) -> Result<Vec<TxnOp>> {
        for ((space, part), more) in std::mem::take(&mut self.amounts) {
            let row = etcd.rows.amount(&space, part);
            let was = view.value(&row).map(Amount::parse).transpose()?.unwrap_or_default();
            let is = Amount { count: was.count + more.count, bytes: was.bytes + more.bytes };
            self.rows.insert(row, (is.count > 0).then(|| is.to_row()));
        }
        let operation = |(row, value): (Vec<u8>, Option<Vec<u8>>)| match value {
            Some(value) => TxnOp::put(row, value, None),
            None => TxnOp::delete(row, None),
        };
        Ok(self.rows.into_iter().map(operation).collect())
    }
}

impl Etcd {
    /// Reads rows.
    pub(super) async fn view(&self, operation: &'static str, mut rows: Vec<Vec<u8>>) -> Result<View> {
        rows.sort_unstable();
        rows.dedup();
        let mut view = View { found: HashMap::with_capacity(rows.len()), revision: i64::MAX };
        for rows in rows.chunks(self.config.max_txn_ops) {
            let ask = rows.iter().map(|row| TxnOp::get(&row[..], None)).collect();
            let mut answer = self.link.txn(reads(operation), Vec::new(), ask, Vec::new()).await?;
            view.revision = view.revision.min(answer.revision);
            for (row, found) in rows.iter().zip(&mut answer.rows) {
                view.found.insert(row.clone(), found.pop());
            }
        }
        Ok(view)
    }

    /// Changes rows if nothing of what was read has changed, and returns at which revision.
    pub(super) async fn commit_over(
        &self,
        operation: &'static str,
        view: &View,
        operations: Vec<TxnOp>,
    ) -> Result<Option<(i64, Vec<Vec<Row>>)>> {
        let answer = self.link.txn(writes(operation), view.unchanged(), operations, Vec::new()).await?;
        Ok(answer.succeeded.then_some((answer.revision, answer.rows)))
    }
}
