//! What the store, its tasks and its snapshots share: the open folder, and how far its writes have got.
//!
//! Everything that touches the folder does so under a read lock, so that a close waits for what is under way and
//! nothing begins after it.

use std::future::ready;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::{Cursor, List, Page};
use terrace_store::spawn::offload;
use terrace_store::{
    BoxFuture, Clock, Durability, Entry, Error, ErrorKind, Health, Key, Namespace, Result, Swept, Tasks,
};

use super::engine::Engine;
use super::folder::Folder;
use super::list::{Source, first_row};
use super::row;
use super::rows::{Rows, lookup};
use super::snapshot::Views;
use super::write::Now;
use crate::progress::{Journal, Progress, synced, unknown};
use crate::record::{self, Record};
use crate::watchers::Watchers;

/// What is shared.
pub(crate) struct Shared<E: Engine> {
    pub(super) folder: RwLock<Option<Folder<E>>>,
    pub(crate) progress: Arc<Progress>,
    /// The error after which the engine takes no more writes.
    pub(super) ended: OnceLock<Error>,
    pub(super) durability: Durability,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
    pub(super) watchers: Arc<Watchers>,
    pub(super) views: Views<E>,
}

impl<E: Engine> Journal for Shared<E> {
    fn hand_over(&self) -> Result<()> {
        self.with("commit", |folder| folder.engine.hand_over("commit"))
    }

    fn sync(&self) -> Result<()> {
        self.with("commit", |folder| folder.engine.sync("commit"))
    }
}

impl<E: Engine> Shared<E> {
    /// Does something while the store cannot be closed.
    pub(super) fn with<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Folder<E>) -> Result<T>,
    ) -> Result<T> {
        let folder = self.folder.read().unwrap_or_else(PoisonError::into_inner);
        match &*folder {
            Some(folder) => work(folder),
            None => Err(closed::<E>(operation)),
        }
    }

    /// Writes something, unless writing has become pointless.
    pub(super) fn write<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Folder<E>, Now) -> Result<T>,
    ) -> Result<T> {
        self.with(operation, |folder| {
            if let Some(failure) = self.failure() {
                return Err(Error::new(ErrorKind::Unavailable, operation)
                    .transient(false)
                    .with("store", E::NAME)
                    .because("an earlier write or sync could not be finished, so nothing more is written; open the store again")
                    .caused_by(failure));
            }
            let now =
                Now { wall_ms: self.clock.wall_ms(), floor_deadline_ms: folder.floor_deadline(&*self.clock) };
            let done = work(folder, now).inspect_err(|error| self.note_failure(error))?;
            self.progress.wrote();
            Ok(done)
        })
    }

    /// Why nothing more is written, if that is so.
    fn failure(&self) -> Option<Error> {
        self.ended.get().cloned().or_else(|| self.progress.failure())
    }

    /// Remembers that writing has become pointless, so that [`health`](Self::health) says so at once.
    ///
    /// A write that finds the disk full may leave half a record in an engine's journal; such an engine takes no
    /// other, as it would stand behind a place that no recovery reads past. This lasts until the store is opened
    /// again, room or not: the engine cannot be opened anew while snapshots of ours or its own threads hold the old
    /// database, and whether everything acknowledged is in the journal's sound part is known only by reading all of
    /// it.
    fn note_failure(&self, error: &Error) {
        if E::ends_writing(error) {
            // The first is the cause of all later ones.
            let _ = self.ended.set(error.clone());
        }
    }

    pub(super) fn offload<'a, T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> BoxFuture<'a, T> {
        let spawn = Arc::clone(self.tasks.runtime());
        Box::pin(async move { offload(&*spawn, name, work).await })
    }

    /// Gives writes the durability the store was opened with.
    pub(super) fn acknowledge<'a, T: Send + 'a>(self: &Arc<Self>, done: T) -> BoxFuture<'a, Result<T>> {
        let gather = match self.durability {
            Durability::Group(gather) => gather,
            Durability::Always => Duration::ZERO,
            Durability::Process | Durability::Never | Durability::Interval(_) if !E::HANDS_OVER_IN_PLACE => {
                let shared = Arc::clone(self);
                let hand_over = self.offload("hand over", move || shared.hand_over_now());
                return Box::pin(async move { hand_over.await.map(|()| done) });
            }
            Durability::Process | Durability::Never | Durability::Interval(_) => {
                return Box::pin(ready(self.hand_over_now().map(|()| done)));
            }
        };
        let shared = Arc::clone(self);
        Box::pin(async move {
            synced(&shared.progress, &shared, &shared.tasks, &shared.clock, gather).await?;
            Ok(done)
        })
    }

    fn hand_over_now(&self) -> Result<()> {
        self.progress.hand_over(self).inspect_err(|error| self.note_failure(error)).map_err(unknown)
    }

    /// What a write returns: at once if the caller commits later, else when it has its durability.
    pub(super) fn finish<'a, T: Send + 'a>(
        self: &Arc<Self>,
        done: Result<T>,
        deferred: bool,
    ) -> BoxFuture<'a, Result<T>> {
        match done {
            Ok(done) if !deferred => self.acknowledge(done),
            done => Box::pin(ready(done)),
        }
    }

    pub(super) fn read(&self, key: &Key) -> Result<Option<Entry>> {
        self.with("get", |folder| {
            let Some(envelope) = self.envelope(folder, "get", key)? else { return Ok(None) };
            let record = record::open(key, &envelope).inspect_err(|_| folder.damage.note())?;
            let Record::Live(entry) = record else { return Ok(None) };
            let dead = entry.deadline_ms().is_some_and(|_| entry.is_expired(self.clock.wall_ms()))
                || folder.spaces.bury(key, entry.version);
            Ok((!dead).then_some(entry))
        })
    }

    pub(super) fn exists(&self, key: &Key) -> Result<bool> {
        self.with("exists", |folder| {
            let Some(envelope) = self.envelope(folder, "exists", key)? else { return Ok(false) };
            let summary = record::summary(key, &envelope).inspect_err(|_| folder.damage.note())?;
            Ok(summary.is_live(self.clock.wall_ms()) && !folder.spaces.bury(key, summary.version))
        })
    }

    fn envelope(&self, folder: &Folder<E>, operation: &'static str, key: &Key) -> Result<Option<Bytes>> {
        let row = row::row(key);
        let value = lookup(&folder.engine, &folder.damage, operation, &row)?;
        value.map(|value| row::envelope(key, &row, value)).transpose()
    }

    pub(super) fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.with("list", |folder| {
            let from = first_row(list, cursor)?;
            let floors = folder.spaces.floors();
            let rows = Rows::new(&folder.engine, &folder.damage, &from);
            Source { damage: &folder.damage, floors: &floors, wall_ms: self.clock.wall_ms() }
                .page(rows, list, cursor)
        })
    }

    /// Sweeps, and lets the engine give back some of the room.
    pub(super) fn sweep(&self, limit: usize) -> Result<Swept> {
        self.write("sweep", |folder, now| {
            let swept = folder.sweep(limit, now, &*self.clock)?;
            if swept != Swept::default() {
                folder.engine.trim("sweep")?;
            }
            Ok(swept)
        })
    }

    pub(super) fn clear(&self, namespace: Option<&Namespace>) -> Result<u64> {
        let removed = self.write("clear", |folder, now| folder.bury(namespace, now))?;
        // From here on nobody sees the old entries; what is left is to make room. If that fails it is done when
        // the store is opened again.
        let _ = self.with("clear", |folder| {
            folder.purge(namespace.map_or(&[], Namespace::flat_prefix))?;
            folder.purges_due.fetch_sub(1, Ordering::AcqRel);
            self.progress.wrote();
            Ok(())
        });
        Ok(removed)
    }

    pub(super) fn health(&self) -> Health {
        if let Some(failure) = self.failure() {
            return Health::Down(format!(
                "it takes no writes until it is opened again, since one could not be finished: {failure}"
            ));
        }
        let folder = self.folder.read().unwrap_or_else(PoisonError::into_inner);
        let Some(folder) = &*folder else { return Health::Down("it was closed".into()) };
        if let Some(loss) = folder.loss() {
            return Health::Degraded(loss.into());
        }
        let damaged = folder.damage.count();
        if damaged != 0 {
            return Health::Degraded(format!(
                "damaged records or blocks were met {damaged} times, and are left out of listings"
            ));
        }
        match folder.capacity {
            Some(capacity) if folder.spaces.stored() >= capacity => {
                Health::Degraded(format!("its budget of {capacity} bytes is used up"))
            }
            _ => Health::Up,
        }
    }

    /// Writes everything down and lets go of the folder.
    pub(super) fn shut(&self) -> Result<()> {
        let folder = self.folder.write().unwrap_or_else(PoisonError::into_inner).take();
        self.watchers.close();
        self.views.close();
        match folder {
            Some(folder) => {
                let outcome = folder.shut();
                self.progress.settle(u64::MAX, outcome.clone());
                outcome
            }
            None => Ok(()),
        }
    }
}

impl<E: Engine> Drop for Shared<E> {
    /// As a close, as far as it can be done without waiting; what fails is counted anew at the next open.
    fn drop(&mut self) {
        let _ = self.shut();
    }
}

fn closed<E: Engine>(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, operation).with("store", E::NAME)
}
