//! Views of the store as it was, by the engine's own.

use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use terrace_store::capability::{Cursor, List, Page, SnapshotView};
use terrace_store::{BoxFuture, Entry, Error, ErrorKind, Key, Result};

use super::engine::Engine;
use super::list::{Source, first_row};
use super::row;
use super::rows::{self, lookup};
use super::shared::Shared;
use crate::spaces::Floors;

/// What a view reads, until the store is closed.
type Rows<E> = Arc<RwLock<Option<<E as Engine>::View>>>;

/// The views that there are, so that a close can end them: one that is kept must not keep the folder open.
pub(crate) struct Views<E: Engine>(Mutex<Vec<Weak<RwLock<Option<E::View>>>>>);

impl<E: Engine> Default for Views<E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<E: Engine> Views<E> {
    fn add(&self, view: E::View) -> Rows<E> {
        let rows = Arc::new(RwLock::new(Some(view)));
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.retain(|view| view.strong_count() != 0);
        views.push(Arc::downgrade(&rows));
        rows
    }

    /// Ends all of them.
    pub(super) fn close(&self) {
        for view in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let Some(rows) = view.upgrade() else { continue };
            rows.write().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

/// The store as it was. It keeps the engine from using the room of old rows again while it lives.
pub(super) struct View<E: Engine> {
    shared: Arc<Shared<E>>,
    rows: Rows<E>,
    floors: Arc<Floors>,
}

impl<E: Engine> View<E> {
    pub(super) fn take(shared: &Arc<Shared<E>>) -> Result<Self> {
        shared.with("snapshot", |folder| {
            // A clear changes rows and floors; while one stripe is locked, none can be between the two.
            let _stripe = folder.stripes.lock(&[]);
            let view = folder.engine.view("snapshot")?.ok_or_else(|| {
                Error::new(ErrorKind::NotSupported, "snapshot")
                    .with("store", E::NAME)
                    .because("the engine keeps no old rows")
            })?;
            let floors = Arc::new(folder.spaces.floors());
            Ok(Self { shared: Arc::clone(shared), rows: shared.views.add(view), floors })
        })
    }

    /// Reads something while the store cannot be closed.
    fn with<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&E::View, Source<'_>) -> Result<T>,
    ) -> Result<T> {
        let wall_ms = self.shared.clock.wall_ms();
        self.shared.with(operation, |folder| {
            let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
            let Some(rows) = &*rows else { return Err(Error::new(ErrorKind::Closed, operation)) };
            work(rows, Source { damage: &folder.damage, floors: &self.floors, wall_ms })
        })
    }

    fn read(&self, key: &Key) -> Result<Option<Entry>> {
        self.with("get", |rows, source| {
            let row = row::row(key);
            let Some(value) = lookup(rows, source.damage, "get", &row)? else { return Ok(None) };
            source.entry(key, &row::envelope(key, &row, value)?)
        })
    }

    fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.with("list", |rows, source| {
            let from = first_row(list, cursor)?;
            let rows = rows::Rows::new(rows, source.damage, &from);
            source.page(rows, list, cursor)
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
