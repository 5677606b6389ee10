//! What an ordered key-value engine has to do so that a store can stand on it.
//!
//! An engine keeps rows of bytes in three spaces, in the order of their keys. Versions, floors, expiry, counters,
//! conditions, transactions and watching are the store's, and are the same over every engine: an adapter is some two
//! hundred lines that translate calls and errors. Errors name the operation of the store that failed, so every call
//! carries it.

use bytes::Bytes;
use terrace_store::{Error, Result};

/// Where rows lie. The spaces know nothing of each other; a write may change all of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// The entries and tombstones, by key.
    Entries,
    /// What ends when, by its deadline.
    Expiry,
    /// What is known of the store as a whole.
    Meta,
}

impl Space {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Entries, Self::Expiry, Self::Meta];

    /// Its name, for engines that name their tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::Expiry => "expiry",
            Self::Meta => "meta",
        }
    }
}

/// A change of one row.
#[derive(Clone, Debug)]
pub enum Change {
    /// The row has this value from now on.
    Put(Space, Bytes, Bytes),
    /// There is no such row any more. One that is not there is no error.
    Remove(Space, Bytes),
}

/// Reading rows: as they are, or from a view as they were.
pub trait Read: Send + Sync + 'static {
    /// Rows in the order of their keys. After an error it may end; the store finds its way past damage by asking
    /// for other ranges.
    type Rows: Iterator<Item = Result<(Bytes, Bytes)>>;

    /// The value of a row.
    ///
    /// # Errors
    /// `Corrupt` if it cannot be read for damage; `Ok(None)` if there is none.
    fn get(&self, operation: &'static str, space: Space, row: &[u8]) -> Result<Option<Bytes>>;

    /// The rows from one key on, this one included, up to another one, that excluded. Those changed while it runs
    /// may be met as they were or as they are; those not changed are met once.
    fn range(&self, operation: &'static str, space: Space, from: &[u8], before: Option<&[u8]>) -> Self::Rows;
}

/// An open engine. Every method may be called by any thread at any time.
pub trait Engine: Read {
    /// What reads the rows as they were.
    type View: Read;

    /// Its name: that of the store, its feature and its URL scheme.
    const NAME: &'static str;

    /// What it keeps in the store's folder: a file or a folder of this name.
    const FILE: &'static str;

    /// Whether handing over takes no longer than a system call. Otherwise it is done where it may block, and writers
    /// who wait for it share it.
    const HANDS_OVER_IN_PLACE: bool = true;

    /// Changes rows, all of them or, whatever happens, none. Once it returns readers see the changes; they may still
    /// be in this process alone. An error means that nothing was changed.
    fn write(&self, operation: &'static str, changes: Vec<Change>) -> Result<()>;

    /// Tells what lies in these rows of [`Space::Entries`], one after another in their order, to somebody who is about to
    /// write them and lets nobody else do so: as [`Read::get`] for each, where an engine has nothing cheaper.
    fn before(
        &self,
        operation: &'static str,
        rows: &[Bytes],
        mut tell: impl FnMut(usize, Result<Option<Bytes>>),
    ) {
        for (at, row) in rows.iter().enumerate() {
            tell(at, self.get(operation, Space::Entries, row));
        }
    }

    /// As [`Engine::write`], for one row in [`Space::Entries`].
    fn insert(&self, operation: &'static str, row: Bytes, value: Bytes) -> Result<()> {
        self.write(operation, vec![Change::Put(Space::Entries, row, value)])
    }

    /// Sees to it that what was written before outlives this process, though perhaps no power cut.
    fn hand_over(&self, operation: &'static str) -> Result<()>;

    /// Sees to it that what was written before outlives a power cut.
    fn sync(&self, operation: &'static str) -> Result<()>;

    /// The rows as they are now, for reading later; `None` if the engine keeps no old rows.
    fn view(&self, operation: &'static str) -> Result<Option<Self::View>>;

    /// Whether it can give views at all.
    const VIEWS: bool = true;

    /// Gives back some of the room that removed rows took, after a sweep. By itself an engine may do so at any time.
    fn trim(&self, operation: &'static str) -> Result<()> {
        let _ = operation;
        Ok(())
    }

    /// Whether after this error no write can succeed until the engine is opened again.
    fn ends_writing(error: &Error) -> bool;

    /// Syncs, and lets go of its files as far as no view still reads them.
    fn close(self, operation: &'static str) -> Result<()>
    where
        Self: Sized;
}

/// The view of an engine that has none.
#[derive(Clone, Copy, Debug)]
pub enum NoView {}

impl Read for NoView {
    type Rows = std::iter::Empty<Result<(Bytes, Bytes)>>;

    fn get(&self, _: &'static str, _: Space, _: &[u8]) -> Result<Option<Bytes>> {
        match *self {}
    }

    fn range(&self, _: &'static str, _: Space, _: &[u8], _: Option<&[u8]>) -> Self::Rows {
        match *self {}
    }
}
