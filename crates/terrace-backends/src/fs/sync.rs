//! Making writes durable, many at a time.
//!
//! A write leaves its new file, unsynced, beside the file it replaces, and a note here. A *pass* takes all notes,
//! syncs the new files and their folders, and only then removes the old ones; so there is at every instant one
//! durable state of each key, and however many writers wait, they share one pass. With `Always` and `Group` a write
//! waits for a pass that began after it; with `Interval` a pass runs at most that much later; with `Never` the
//! old file goes at once, and only `flush` runs a pass.

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Key, Result};

use super::Shared;
use super::folder::{sync_file, sync_folder};
use super::object::Name;

/// A key whose current file may not be durable yet.
#[derive(Clone, Debug)]
struct Note {
    current: Name,
    /// What it replaced: removed once the current file is durable.
    stale: Vec<Name>,
}

/// The writes that wait for a pass, and those who wait with them.
#[derive(Debug, Default)]
pub(super) struct Unsynced(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    notes: HashMap<Key, Note>,
    started: u64,
    ended: u64,
    /// Whether a pass that others wait for is under way.
    running: bool,
    /// How many passes of any kind have notes in their hands.
    taken: usize,
    /// Why the first failed sync failed. None after it is tried: the system may have dropped the bytes.
    failed: Option<Error>,
    waiting: Vec<Waker>,
}

impl Unsynced {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The failure after which nothing is written any more.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state().failed.clone()
    }

    /// Whether something waits for a pass.
    pub(super) fn is_empty(&self) -> bool {
        self.state().notes.is_empty()
    }

    /// Takes the note of a key back: its files are gone for good. Returns the files it names, the oldest first.
    pub(super) fn forget_key(&self, key: &Key) -> Vec<Name> {
        let note = self.state().notes.remove(key);
        note.into_iter().flat_map(|note| note.stale.into_iter().chain([note.current])).collect()
    }

    /// Takes the notes of all these keys back, as [`Unsynced::forget_key`] does of one.
    pub(super) fn forget(&self, covered: impl Fn(&Key) -> bool) -> Vec<Name> {
        let gone: Vec<Note> =
            self.state().notes.extract_if(|key, _| covered(key)).map(|(_, note)| note).collect();
        gone.into_iter().flat_map(|note| note.stale.into_iter().chain([note.current])).collect()
    }
}

impl Shared {
    /// Notes that `current` is a key's file now, in the place of others. To be called under the key's stripe.
    pub(super) fn replaced(&self, key: &Key, current: Name, mut old: Vec<Name>) {
        let superfluous = {
            let mut state = self.unsynced.state();
            let keep_old = self.durability != Durability::Never;
            match state.notes.get_mut(key) {
                Some(note) => {
                    // The note's own file was never durable, and no pass has taken it: nobody will miss it.
                    // What stood before stays until the new file is durable.
                    note.current = current;
                    old.retain(|name| !note.stale.contains(name));
                    old
                }
                None if keep_old => {
                    state.notes.insert(key.clone(), Note { current, stale: old });
                    Vec::new()
                }
                None => {
                    state.notes.insert(key.clone(), Note { current, stale: Vec::new() });
                    old
                }
            }
        };
        self.remove(&superfluous);
    }

    /// Removes files that nothing needs any more. One that cannot be removed is older than another of its key,
    /// and is found so at the next open.
    pub(super) fn remove(&self, names: &[Name]) {
        for name in names {
            let _ = self.folder.remove_object(name);
        }
    }

    /// Waits until a write that just completed has the durability of the store, or sees to it that it will.
    pub(super) async fn settle(self: &Arc<Self>) -> Result<()> {
        match self.durability {
            Durability::Always | Durability::Group(_) => self.sync().await,
            Durability::Interval(interval) => {
                self.sync_within(interval);
                Ok(())
            }
            Durability::Never | Durability::Process => Ok(()),
        }
    }

    /// Waits until the deferred writes that completed before have the durability of the store.
    pub(super) async fn settle_deferred(self: &Arc<Self>) -> Result<()> {
        if self.durability.is_durable() {
            return self.sync().await;
        }
        // Each has seen to it itself: it costs nothing to do so at once.
        Ok(())
    }

    /// Lets a pass run this much later, unless one is to run sooner.
    pub(super) fn sync_within(self: &Arc<Self>, interval: Duration) {
        if self.scheduled.swap(true, Ordering::AcqRel) {
            return;
        }
        let (shared, sleep) = (Arc::downgrade(self), self.clock.sleep(interval));
        self.tasks.spawn("fs-sync", async move {
            sleep.await;
            if let Some(shared) = shared.upgrade() {
                shared.scheduled.store(false, Ordering::Release);
                // A failure is kept, shown in the store's health, and refuses later writes.
                let _ = shared.sync().await;
            }
        });
    }

    /// Completes when all that was written before is durable.
    ///
    /// # Cancellation
    /// The pass goes on without those who waited for it.
    pub(super) async fn sync(self: &Arc<Self>) -> Result<()> {
        let mut wanted = None;
        poll_fn(|context| {
            loop {
                let mut state = self.unsynced.state();
                if let Some(failure) = &state.failed {
                    return Poll::Ready(Err(failure.clone()));
                }
                // What somebody else's pass has taken is awaited by a pass of our own, which comes after it.
                let needed = u64::from(!state.notes.is_empty() || (state.taken > 0 && !state.running));
                let wanted = *wanted.get_or_insert(state.started + needed);
                if state.ended >= wanted {
                    return Poll::Ready(Ok(()));
                }
                if state.running {
                    state.waiting.push(context.waker().clone());
                    return Poll::Pending;
                }
                state.running = true;
                state.started += 1;
                drop(state);
                let pass = Pass { shared: Arc::clone(self), ran: false };
                self.tasks.runtime().spawn_blocking("fs-sync", Box::new(move || pass.run()));
            }
        })
        .await
    }

    /// A pass on this thread: for a store that is going away, and for a delete that needs room.
    pub(super) fn sync_here(&self) -> Result<()> {
        let _one_at_a_time = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = {
            let mut state = self.unsynced.state();
            state.taken += 1;
            std::mem::take(&mut state.notes)
        };
        let result = self.sync_notes(&notes);
        let mut state = self.unsynced.state();
        state.taken -= 1;
        if let Err(error) = &result {
            state.failed.get_or_insert_with(|| error.clone());
        }
        result
    }

    fn sync_notes(&self, notes: &HashMap<Key, Note>) -> Result<()> {
        let mut folders = BTreeSet::new();
        for note in notes.values() {
            let path = self.folder.object(&note.current);
            match sync_file(&path) {
                // Cleared meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(sync_failed(&path, error)),
                Ok(()) => _ = folders.insert(note.current.hash[0]),
            }
        }
        for byte in folders {
            let path = self.folder.objects().join(format!("{byte:02x}"));
            sync_folder(&path).map_err(|error| sync_failed(&path, error))?;
        }
        notes.values().for_each(|note| self.remove(&note.stale));
        Ok(())
    }
}

fn sync_failed(path: &std::path::Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "sync")
        .transient(false)
        .because(
            "the disk did not take what was written; nothing more is written until the store is opened again",
        )
        .with("store", "fs")
        .with("path", path.display())
        .caused_by(error)
}

/// A pass under way. However it ends, those who wait are told.
struct Pass {
    shared: Arc<Shared>,
    ran: bool,
}

impl Pass {
    fn run(mut self) {
        // The outcome is in the state; whoever waits finds it there.
        let _ = self.shared.sync_here();
        self.ran = true;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.shared.unsynced.state();
            state.running = false;
            state.ended = state.started;
            if !self.ran {
                state.failed.get_or_insert_with(|| {
                    let error = Error::new(ErrorKind::Unavailable, "sync").with("store", "fs");
                    error
                        .transient(false)
                        .because("the runtime ended before what was written could be synced")
                });
            }
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}
