//! A disk in memory that fails in every way that a disk may.
//!
//! It tells what a sync has covered from what it has not, sector by sector and name by name. A power cut
//! ([`SimDisk::crash`]) keeps any subset of the rest, in any order, torn anywhere between two sectors of 512
//! bytes or two pages of 4 KiB, drawn from a seed; the death of the process alone ([`SimDisk::kill`]) keeps all of it.
//! Any operation can be made to fail ([`SimDisk::fail`]), a failed sync marks what it lost as clean, a drive puts
//! sectors where others belong, bits flip, sectors go bad and the space runs out. Images share what they have in
//! common, so tens of thousands of them cost little: [`SimDisk::watch`] takes one at every operation of chosen kinds.
//!
//! Everything follows from the seeds: the same operations with the same seeds leave the same bytes.

mod chance;
mod cut;
mod fault;
mod file;
mod folder;
mod inode;
mod media;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use chance::Chance;
pub use fault::{EIO, ENOSPC, EROFS, Failure, Op};

use fault::{Fault, Faults};
use inode::Inode;
use media::{Kind, Media};

/// The disk; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    media: Media,
    handles: BTreeMap<u64, usize>,
    faults: Faults,
    chance: Chance,
    budget: Option<u64>,
    locked: bool,
    watch: Option<Watch>,
    moments: Vec<Moment>,
}

struct Watch {
    mask: u16,
    clock: Arc<AtomicU64>,
}

/// The disk as it was just before or just after an operation.
pub struct Moment {
    media: Media,
    /// The operation.
    pub op: Op,
    /// The file or folder name that it was about; empty for the folder itself.
    pub name: String,
    /// Whether the operation was done.
    pub after: bool,
    /// What the caller's clock showed.
    pub time: u64,
}

impl Moment {
    /// The disk after a power cut at this moment.
    #[must_use]
    pub fn crash(&self, seed: u64) -> SimDisk {
        SimDisk::from_media(self.media.crash(seed), seed)
    }

    /// The disk if only the process died at this moment.
    #[must_use]
    pub fn kill(&self) -> SimDisk {
        SimDisk::from_media(self.media.clone(), 0)
    }
}

fn failed(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

impl Failure {
    fn result(self) -> io::Result<()> {
        match self {
            Self::Error(errno) | Self::KeptDirty(errno) => Err(failed(errno)),
            Self::Misdirected | Self::Ignored => Ok(()),
        }
    }
}

impl State {
    fn free(&self) -> u64 {
        let Some(budget) = self.budget else { return u64::MAX };
        budget.saturating_sub(self.used())
    }

    /// A file that was removed takes its space until the last handle is closed.
    fn used(&self) -> u64 {
        let linked = |number: &u64| self.media.names.values().any(|named| named == number);
        let inodes = self.media.inodes.iter();
        let kept = inodes.filter(|(number, _)| self.handles.contains_key(number) || linked(number));
        kept.map(|(_, inode)| inode.space()).sum()
    }

    fn note(&mut self, op: Op, name: &str, after: bool) {
        let Some(watch) = self.watch.as_ref().filter(|watch| op.is_in(watch.mask)) else { return };
        let time = watch.clock.load(Ordering::Acquire);
        self.moments.push(Moment { media: self.media.clone(), op, name: name.to_owned(), after, time });
    }

    fn named(&self, name: &str) -> io::Result<u64> {
        self.media.names.get(name).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T>(
        &self,
        op: Op,
        name: &str,
        work: impl FnOnce(&mut State, Option<Failure>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        state.note(op, name, false);
        let failure = state.faults.next(op);
        let result = work(&mut state, failure);
        state.note(op, name, true);
        result
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new(0)
    }
}

impl SimDisk {
    /// An empty disk; `seed` decides what its failing operations leave half done.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::from_media(Media::default(), seed)
    }

    /// A disk with these files, all of it synced.
    #[must_use]
    pub fn with_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut media = Media::default();
        for (name, bytes) in files {
            media.create(name, Inode::of(bytes));
        }
        media.sync_names();
        Self::from_media(media, 0)
    }

    fn from_media(media: Media, seed: u64) -> Self {
        let state = State {
            media,
            handles: BTreeMap::new(),
            faults: Faults::default(),
            chance: Chance::new(seed),
            budget: None,
            locked: false,
            watch: None,
            moments: Vec::new(),
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state) }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Another disk, as this one is found after a power cut now. This one goes on.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let media = self.state().media.crash(seed);
        Self::from_media(media, seed)
    }

    /// Another disk, as this one is found if its process dies now: nothing is lost, and nothing is locked.
    #[must_use]
    pub fn kill(&self) -> Self {
        let media = self.state().media.clone();
        Self::from_media(media, 0)
    }

    /// Makes the operation of these kinds that comes after `after` others fail, that one alone or all from
    /// then on.
    pub fn fail(&self, ops: &[Op], after: u64, failure: Failure, forever: bool) {
        let fault = Fault { mask: Op::mask(ops), after, failure, forever };
        self.state().faults.add(fault);
    }

    /// Takes back the failures that still wait.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// How many operations of these kinds there were.
    #[must_use]
    pub fn count(&self, ops: &[Op]) -> u64 {
        self.state().faults.count(ops)
    }

    /// How many operations were made to fail.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.state().faults.struck()
    }

    /// Bytes that the files may take, in pages of 4 KiB; `None` is as many as they like.
    pub fn set_budget(&self, budget: Option<u64>) {
        self.state().budget = budget;
    }

    /// Bytes that the files take.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Keeps a [`Moment`] before and after each operation of these kinds, stamped with what `clock` shows.
    pub fn watch(&self, ops: &[Op], clock: &Arc<AtomicU64>) {
        self.state().watch = Some(Watch { mask: Op::mask(ops), clock: Arc::clone(clock) });
    }

    /// The moments since the last call.
    #[must_use]
    pub fn take_moments(&self) -> Vec<Moment> {
        std::mem::take(&mut self.state().moments)
    }

    /// The names of the files and what reads see in them.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let contents = |number: &u64| {
            let inode = state.media.inode_ref(*number)?;
            let mut bytes = vec![0; usize::try_from(inode.len()).ok()?];
            inode.read(&mut bytes, 0)?;
            Some(bytes)
        };
        let files = state.media.names.iter();
        files.map(|(name, number)| (name.clone(), contents(number).unwrap_or_default())).collect()
    }

    /// Changes a byte of a file behind everybody's back: flips bits, or sets any value.
    pub fn damage(&self, name: &str, at: u64, change: impl Fn(u8) -> u8) {
        let mut state = self.state();
        if let Ok(inode) = state.named(name) {
            state.media.inode(inode).damage(at, change);
        }
    }

    /// Makes the sector around a byte unreadable until it is written again.
    pub fn spoil(&self, name: &str, at: u64) {
        let mut state = self.state();
        if let Ok(inode) = state.named(name) {
            state.media.inode(inode).spoil(at);
        }
    }

    /// Puts a file there, or in the place of one of that name, all of it synced.
    pub fn put_file(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        state.media.create(name, Inode::of(bytes));
        state.media.sync_names();
    }

    /// Takes a file away, and that is synced.
    pub fn lose_file(&self, name: &str) {
        let mut state = self.state();
        state.media.change(Kind::Unlink(name.to_owned()));
        state.media.sync_names();
    }
}
