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
    BoxFuture, Clock, Durability, Entry, Error, ErrorKind, Health, Key, Namespace, Result, Tasks,
};

use super::NAME;
use super::engine::Engine;
use super::error::ends_writing;
use super::list::{Source, first_row};
use super::row;
use super::rows::{Rows, lookup};
use super::write::Now;
use crate::progress::{Journal, Progress, synced, unknown};
use crate::record::{self, Record};

/// What is shared.
pub(super) struct Shared {
    pub(super) engine: RwLock<Option<Engine>>,
    pub(super) progress: Arc<Progress>,
    /// The error after which fjall takes no more writes.
    pub(super) ended: OnceLock<Error>,
    pub(super) durability: Durability,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
}

impl Journal for Shared {
    fn hand_over(&self) -> Result<()> {
        self.with("commit", Engine::hand_over)
    }

    fn sync(&self) -> Result<()> {
        self.with("commit", Engine::sync)
    }
}

impl Shared {
    /// Does something while the store cannot be closed.
    pub(super) fn with<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Engine) -> Result<T>,
    ) -> Result<T> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        match &*engine {
            Some(engine) => work(engine),
            None => Err(closed(operation)),
        }
    }

    /// Writes something, unless writing has become pointless.
    pub(super) fn write<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Engine, Now) -> Result<T>,
    ) -> Result<T> {
        self.with(operation, |engine| {
            if let Some(failure) = self.failure() {
                return Err(Error::new(ErrorKind::Unavailable, operation)
                    .transient(false)
                    .with("store", NAME)
                    .because("an earlier write or sync could not be finished, so nothing more is written; open the store again")
                    .caused_by(failure));
            }
            let now =
                Now { wall_ms: self.clock.wall_ms(), floor_deadline_ms: engine.floor_deadline(&*self.clock) };
            let done = work(engine, now).inspect_err(|error| self.note_failure(error))?;
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
    /// A write that finds the disk full may have left half a record in the journal; fjall then takes no other, as
    /// it would stand behind a place that no recovery reads past. This lasts until the store is opened again, room
    /// or not: fjall cannot be opened anew while snapshots of ours or its own threads hold the old database, and
    /// whether everything acknowledged is in the journal's sound part is known only by reading all of it.
    fn note_failure(&self, error: &Error) {
        if ends_writing(error) {
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
            Durability::Process | Durability::Never | Durability::Interval(_) => {
                let outcome = self.progress.hand_over(&**self).inspect_err(|error| self.note_failure(error));
                return Box::pin(ready(outcome.map_err(unknown).map(|()| done)));
            }
        };
        let shared = Arc::clone(self);
        Box::pin(async move {
            synced(&shared.progress, &shared, &shared.tasks, &shared.clock, gather).await?;
            Ok(done)
        })
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
        self.with("get", |engine| {
            let Some(envelope) = self.envelope(engine, "get", key)? else { return Ok(None) };
            let record = record::open(key, &envelope).inspect_err(|_| engine.note_damage())?;
            let Record::Live(entry) = record else { return Ok(None) };
            let dead = entry.deadline_ms().is_some_and(|_| entry.is_expired(self.clock.wall_ms()))
                || engine.spaces.bury(key, entry.version);
            Ok((!dead).then_some(entry))
        })
    }

    pub(super) fn exists(&self, key: &Key) -> Result<bool> {
        self.with("exists", |engine| {
            let Some(envelope) = self.envelope(engine, "exists", key)? else { return Ok(false) };
            let summary = record::summary(key, &envelope).inspect_err(|_| engine.note_damage())?;
            Ok(summary.is_live(self.clock.wall_ms()) && !engine.spaces.bury(key, summary.version))
        })
    }

    fn envelope(&self, engine: &Engine, operation: &'static str, key: &Key) -> Result<Option<Bytes>> {
        let row = row::row(key);
        let value = lookup(engine, None, operation, &row)?;
        value.map(|value| row::envelope(key, &row, value)).transpose()
    }

    pub(super) fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.with("list", |engine| {
            let from = first_row(list, cursor)?;
            let floors = engine.spaces.floors();
            let rows = Rows::new(engine, None, &from);
            Source { engine, floors: &floors, wall_ms: self.clock.wall_ms() }.page(rows, list, cursor)
        })
    }

    pub(super) fn clear(&self, namespace: Option<&Namespace>) -> Result<u64> {
        let removed = self.write("clear", |engine, now| engine.bury(namespace, now))?;
        // From here on nobody sees the old entries; what is left is to make room. If that fails it is done when
        // the store is opened again.
        let _ = self.with("clear", |engine| {
            engine.purge(namespace.map_or(&[], Namespace::flat_prefix))?;
            engine.purges_due.fetch_sub(1, Ordering::AcqRel);
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
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        let Some(engine) = &*engine else { return Health::Down("it was closed".into()) };
        if let Some(loss) = engine.loss() {
            return Health::Degraded(loss.into());
        }
        let damaged = engine.damaged();
        if damaged != 0 {
            return Health::Degraded(format!(
                "damaged records or blocks were met {damaged} times, and are left out of listings"
            ));
        }
        match engine.capacity {
            Some(capacity) if engine.spaces.stored() >= capacity => {
                Health::Degraded(format!("its budget of {capacity} bytes is used up"))
            }
            _ => Health::Up,
        }
    }

    /// Writes everything down and lets go of the folder.
    pub(super) fn shut(&self) -> Result<()> {
        let engine = self.engine.write().unwrap_or_else(PoisonError::into_inner).take();
        match engine {
            Some(engine) => {
                let outcome = engine.shut();
                self.progress.settle(u64::MAX, outcome.clone());
                outcome
            }
            None => Ok(()),
        }
    }
}

impl Drop for Shared {
    /// As a close, as far as it can be done without waiting; what fails is counted anew at the next open.
    fn drop(&mut self) {
        let _ = self.shut();
    }
}

fn closed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, operation).with("store", NAME)
}
