//! Views of the store as it was, by the engine's own.

use std::sync::Arc;

use terrace_store::capability::{Cursor, List, Page, SnapshotView};
use terrace_store::{BoxFuture, Entry, Error, ErrorKind, Key, Result};

use super::engine::Engine;
use super::list::{Source, first_row};
use super::row;
use super::rows::{Rows, lookup};
use super::shared::Shared;
use crate::spaces::Floors;

/// The store as it was. It keeps old rows from being compacted away while it lives.
pub(super) struct View<E: Engine> {
    shared: Arc<Shared<E>>,
    rows: Arc<E::View>,
    floors: Arc<Floors>,
}

impl<E: Engine> View<E> {
    pub(super) fn take(shared: &Arc<Shared<E>>) -> Result<Self> {
        shared.with("snapshot", |folder| {
            // A clear changes rows and floors; while one stripe is locked, none can be between the two.
            let _stripe = folder.stripes.lock(&[]);
            let rows = folder.engine.view("snapshot")?.ok_or_else(|| {
                Error::new(ErrorKind::NotSupported, "snapshot")
                    .with("store", E::NAME)
                    .because("the engine keeps no old rows")
            })?;
            let floors = Arc::new(folder.spaces.floors());
            Ok(Self { shared: Arc::clone(shared), rows: Arc::new(rows), floors })
        })
    }

    fn read(&self, key: &Key) -> Result<Option<Entry>> {
        let wall_ms = self.shared.clock.wall_ms();
        self.shared.with("get", |folder| {
            let row = row::row(key);
            let value = lookup(&*self.rows, &folder.damage, "get", &row)?;
            let Some(value) = value else { return Ok(None) };
            let envelope = row::envelope(key, &row, value)?;
            Source { damage: &folder.damage, floors: &self.floors, wall_ms }.entry(key, &envelope)
        })
    }

    fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        let wall_ms = self.shared.clock.wall_ms();
        self.shared.with("list", |folder| {
            let from = first_row(list, cursor)?;
            let rows = Rows::new(&*self.rows, &folder.damage, &from);
            Source { damage: &folder.damage, floors: &self.floors, wall_ms }.page(rows, list, cursor)
        })
    }
}

impl<E: Engine> SnapshotView for View<E> {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(std::future::ready(self.read(key)))
    }

    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        if list.limit <= super::IN_PLACE_ROWS {
            return Box::pin(std::future::ready(self.page(list, cursor)));
        }
        let view = Self {
            shared: Arc::clone(&self.shared),
            rows: Arc::clone(&self.rows),
            floors: Arc::clone(&self.floors),
        };
        let (list, cursor) = (list.clone(), cursor.cloned());
        self.shared.offload("list", move || view.page(&list, cursor.as_ref()))
    }
}
