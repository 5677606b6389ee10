//! When a write is on the disk, and who waits for it.
//!
//! Decision: whoever comes first syncs for all who wait, and what is written meanwhile is covered by the next
//! fsync. With `group` the leader waits until as many have joined as last time, or until its time is over: so one
//! writer alone never waits for company.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::config::Durability;
use crate::error::{Error, Result};
use crate::point::{bug, point};
use crate::shared::Shared;

/// How far the log is synced.
#[derive(Default)]
pub(crate) struct Commit {
    state: Mutex<State>,
    done: Condvar,
    joined: Condvar,
}

#[derive(Default)]
struct State {
    /// Every record below this position of the log is on the disk.
    synced: u64,
    leading: bool,
    waiting: usize,
    /// How many were waiting when the last fsync ended.
    company: usize,
    failed: Option<String>,
}

impl Commit {
    /// # Errors
    /// `Failed` if something failed before.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.state.lock().failed {
            Some(why) => Err(Error::Failed(why.clone())),
            None => Ok(()),
        }
    }

    /// Nothing is written any more from here on.
    pub(crate) fn fail(&self, why: &str) {
        self.state.lock().failed.get_or_insert_with(|| why.to_owned());
        self.done.notify_all();
    }

    pub(crate) fn synced(&self) -> u64 {
        self.state.lock().synced
    }

    pub(crate) fn note_synced(&self, position: u64) {
        let mut state = self.state.lock();
        state.synced = state.synced.max(position);
        self.done.notify_all();
    }
}

impl Shared {
    /// Returns when every record below this position is on the disk.
    ///
    /// # Errors
    /// `Unknown` if that failed.
    pub(crate) fn wait_synced(&self, position: u64) -> Result<()> {
        if bug("ack_before_fsync") {
            return Ok(());
        }
        let mut state = self.commit.state.lock();
        loop {
            if state.synced >= position {
                return Ok(());
            }
            if let Some(why) = &state.failed {
                return Err(Error::Unknown(why.clone()));
            }
            if !state.leading {
                break;
            }
            state.waiting += 1;
            self.commit.joined.notify_one();
            self.commit.done.wait(&mut state);
            state.waiting = state.waiting.saturating_sub(1);
        }
        state.leading = true;
        if let Durability::Group(most) = self.config.durability {
            let (company, until) = (state.company, Instant::now() + most.min(Duration::from_secs(1)));
            while state.waiting < company {
                if self.commit.joined.wait_until(&mut state, until).timed_out() {
                    break;
                }
            }
        }
        drop(state);
        let outcome = self.sync_log();
        let mut state = self.commit.state.lock();
        state.leading = false;
        state.company = state.waiting;
        drop(state);
        self.commit.done.notify_all();
        point("commit.before_ack");
        outcome.map(drop).map_err(|error| match error {
            Error::Unknown(_) => error,
            other => Error::Unknown(other.to_string()),
        })
    }

    /// Writes out what is buffered and syncs it.
    ///
    /// # Errors
    /// `Full` if it cannot be written for want of room: it is kept and tried again. `Failed` after which nothing
    /// is written any more.
    pub(crate) fn sync_log(&self) -> Result<()> {
        let (active, position) = {
            let mut writer = self.writer.lock();
            self.flush(&mut writer)?;
            match &writer.active {
                Some(active) => (std::sync::Arc::clone(active), active.base + active.written()),
                None => return Ok(()),
            }
        };
        if self.commit.synced() < position {
            point("commit.before_sync");
            let at = active.written().min(position - active.base);
            self.sync_file(&*active.file, "the log")?;
            point("commit.after_sync");
            active.note_synced(at);
            self.commit.note_synced(position);
        }
        self.release_doomed(&mut self.writer.lock())
    }

    /// Syncs a file of the log. One failure is the end of writing: what it covered may be lost although a second
    /// attempt would succeed.
    pub(crate) fn sync_file(&self, file: &dyn crate::io::File, what: &str) -> Result<()> {
        let mut outcome = file.sync();
        if bug("retry_failed_fsync") && outcome.is_err() {
            outcome = file.sync();
        }
        outcome.map_err(|error| {
            let why = format!("an fsync of {what} failed ({error})");
            self.commit.fail(&why);
            Error::Failed(why)
        })
    }

    /// Makes creations and removals durable.
    pub(crate) fn sync_folder(&self) -> Result<()> {
        if bug("no_directory_sync") {
            return Ok(());
        }
        self.io.sync_dir().map_err(|error| {
            let why = format!("an fsync of the folder failed ({error})");
            self.commit.fail(&why);
            Error::Failed(why)
        })
    }
}
