//! Views of the store as it was, by fjall's own snapshots.

use std::sync::Arc;

use terrace_store::capability::{Cursor, List, Page, SnapshotView};
use terrace_store::{BoxFuture, Entry, Key, Result};

use super::list::{Source, first_row};
use super::row;
use super::rows::{Rows, lookup};
use super::shared::Shared;
use crate::spaces::Floors;

/// The store as it was. It keeps old rows from being compacted away while it lives.
pub(super) struct View {
    shared: Arc<Shared>,
    snapshot: ::fjall::Snapshot,
    floors: Arc<Floors>,
}

impl View {
    pub(super) fn take(shared: &Arc<Shared>) -> Result<Self> {
        shared.with("snapshot", |engine| {
            // A clear changes rows and floors; while one stripe is locked, none can be between the two.
            let _stripe = engine.stripes.lock(&[]);
            let snapshot = engine.db.snapshot();
            Ok(Self { shared: Arc::clone(shared), snapshot, floors: Arc::new(engine.spaces.floors()) })
        })
    }

    fn read(&self, key: &Key) -> Result<Option<Entry>> {
        let wall_ms = self.shared.clock.wall_ms();
        self.shared.with("get", |engine| {
            let row = row::row(key);
            let value = lookup(engine, Some(&self.snapshot), "get", &row)?;
            let Some(value) = value else { return Ok(None) };
            let envelope = row::envelope(key, &row, value)?;
            Source { engine, floors: &self.floors, wall_ms }.entry(key, &envelope)
        })
    }

    fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        let wall_ms = self.shared.clock.wall_ms();
        self.shared.with("list", |engine| {
            let from = first_row(list, cursor)?;
            let rows = Rows::new(engine, Some(&self.snapshot), &from);
            Source { engine, floors: &self.floors, wall_ms }.page(rows, list, cursor)
        })
    }
}

impl SnapshotView for View {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(std::future::ready(self.read(key)))
    }

    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        if list.limit <= super::IN_PLACE_ROWS {
            return Box::pin(std::future::ready(self.page(list, cursor)));
        }
        let view = Self {
            shared: Arc::clone(&self.shared),
            snapshot: self.snapshot.clone(),
            floors: Arc::clone(&self.floors),
        };
        let (list, cursor) = (list.clone(), cursor.cloned());
        self.shared.offload("fjall list", move || view.page(&list, cursor.as_ref()))
    }
}
