//! Views of the store as it was: a copy of the table, which shares the values.
//!
//! # Cost
//! Taking one keeps all writers waiting while every key is copied, some 100 nanoseconds and 150 bytes an entry;
//! the values it shares stay in memory until it is dropped.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError};

use terrace_store::capability::{Cursor, List, Page, Snapshot, SnapshotView};
use terrace_store::{BoxFuture, Entry, Key, Result};

use super::held::Held;
use super::list::shown;
use super::table::Table;
use super::{MemoryStore, Open, done};

struct View {
    open: Arc<Open>,
    entries: Arc<BTreeMap<Key, Held>>,
}

impl View {
    fn take(open: &Arc<Open>, table: &Table) -> Self {
        let _alone = table.gate.write().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Vec::with_capacity(table.engine.len());
        let mut slot = 0;
        loop {
            slot = table.engine.scan(slot, 1024, 0, |key, held, _| entries.push((key.clone(), held.clone())));
            if slot == 0 {
                break;
            }
        }
        Self { open: Arc::clone(open), entries: Arc::new(entries.into_iter().collect()) }
    }

    fn page(&self, table: &Table, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        let start = match cursor {
            Some(cursor) => Bound::Excluded(Key::from_flat(cursor.0.clone())?),
            None => {
                let from = list.from.as_deref().unwrap_or_default().max(&list.prefix[..]);
                Bound::Included(list.namespace.key(from)?)
            }
        };
        let mut page = Page::default();
        for (key, held) in self.entries.range((start, Bound::Unbounded)) {
            if key.namespace_name() != list.namespace.name() || !key.bytes().starts_with(&list.prefix) {
                break;
            }
            if !list.covers(key.bytes()) || table.is_over(held.deadline_ms()) {
                continue;
            }
            if page.entries.len() == list.limit.max(1) {
                page.next = page.entries.last().map(|(key, _)| Cursor(key.flat_bytes().clone()));
                break;
            }
            page.entries.push((key.clone(), shown(held, list)));
        }
        Ok(page)
    }
}

impl SnapshotView for View {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        done(self.open.table("get").map(|table| {
            let held = self.entries.get(key).filter(|held| !table.is_over(held.deadline_ms()));
            held.map(Held::entry)
        }))
    }

    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        done(self.open.table("list").and_then(|table| self.page(table, list, cursor)))
    }
}

impl Snapshot for MemoryStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn SnapshotView>>> {
        done(
            self.table("snapshot").map(|table| Box::new(View::take(&self.0, table)) as Box<dyn SnapshotView>),
        )
    }
}
