//! Listing. The engine keeps no order: a page in the order of keys looks at every entry and keeps the smallest,
//! a page in any order goes on where the last one ended among the engine's slots.

use std::collections::BTreeMap;

use bytes::Bytes;
use terrace_store::capability::{Cursor, Iterate, List, Order, Page};
use terrace_store::{BoxFuture, Entry, Error, ErrorKind, Key, Namespace, Result};

use super::held::Held;
use super::table::Table;
use super::{MemoryStore, done};

/// How many slots are looked at under one lock.
const STEP: usize = 1024;
/// How many slots a page in any order looks at, beyond which it ends early.
const PAGE_SLOTS: usize = 16 * STEP;

impl Table {
    fn wanted(&self, list: &List, key: &Key, held: &Held) -> bool {
        key.namespace_name() == list.namespace.name()
            && list.covers(key.bytes())
            && !self.is_over(held.deadline_ms())
    }

    /// # Cost
    /// A look at every entry of the store.
    fn page_by_key(&self, list: &List, cursor: Option<&Cursor>) -> Page {
        let limit = list.limit.max(1);
        // One more than fits, to know whether there is a next page.
        let mut smallest: BTreeMap<Key, Held> = BTreeMap::new();
        let mut slot = 0;
        loop {
            slot = self.engine.scan(slot, STEP, 0, |key, held, _| {
                let passed = cursor.is_some_and(|cursor| key.flat() <= &cursor.0[..]);
                let full = smallest.len() > limit;
                let late = full && smallest.last_key_value().is_some_and(|(last, _)| key >= last);
                if passed || late || !self.wanted(list, key, held) {
                    return;
                }
                smallest.insert(key.clone(), held.clone());
                if smallest.len() > limit + 1 {
                    smallest.pop_last();
                }
            });
            if slot == 0 {
                break;
            }
        }
        let more = smallest.len() > limit && smallest.pop_last().is_some();
        let last = smallest.last_key_value().map(|(key, _)| Cursor(key.flat_bytes().clone()));
        let entries = smallest.into_iter().map(|(key, held)| (key, shown(&held, list))).collect();
        Page { entries, next: last.filter(|_| more) }
    }

    fn page_in_any_order(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        let mut slot = match cursor {
            None => 0,
            Some(cursor) => cursor.0[..].try_into().map(u64::from_be_bytes).map_err(|_| {
                Error::new(ErrorKind::Invalid, "list")
                    .because("the cursor is not one of a listing in any order")
            })?,
        };
        let limit = list.limit.max(1);
        let mut entries = Vec::new();
        let mut left = PAGE_SLOTS;
        while entries.len() < limit && left > 0 {
            // As many slots as entries still fit, since each may hold one.
            let step = (limit - entries.len()).min(STEP).min(left);
            left -= step;
            slot = self.engine.scan(slot, step, 0, |key, held, _| {
                if self.wanted(list, key, held) {
                    entries.push((key.clone(), shown(held, list)));
                }
            });
            if slot == 0 {
                return Ok(Page { entries, next: None });
            }
        }
        Ok(Page { entries, next: Some(Cursor(Bytes::copy_from_slice(&slot.to_be_bytes()))) })
    }
}

/// An entry as a listing shows it.
pub(super) fn shown(held: &Held, list: &List) -> Entry {
    let mut entry = held.entry();
    if list.keys_only {
        entry.value = Bytes::new();
    }
    entry
}

impl Iterate for MemoryStore {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        done(self.table("list").and_then(|table| match list.order {
            Order::Key => Ok(table.page_by_key(list, cursor)),
            Order::Any => table.page_in_any_order(list, cursor),
        }))
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        done(self.table("count").map(|table| table.spaces.amount(namespace).count))
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        done(self.table("bytes").map(|table| table.spaces.amount(namespace).bytes))
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        done(self.table("namespaces").and_then(|table| {
            table.spaces.amounts().into_iter().map(|(prefix, _)| Namespace::new(&prefix[1..])).collect()
        }))
    }
}
