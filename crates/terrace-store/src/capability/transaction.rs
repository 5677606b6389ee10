//! Reads and writes that happen all at once or not at all.

use crate::entry::Entry;
use crate::error::Result;
use crate::key::Key;
use crate::store::BoxFuture;

/// Optimistic transactions: nothing is locked; at the commit, everything read must still be as it was read.
pub trait Transact: Send + Sync {
    /// Begins one.
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>>;
}

/// A transaction. Dropping it undoes it.
///
/// # Isolation
/// Serializable: a committed transaction is equal to one that ran alone at the instant of its commit. Reads see
/// the transaction's own writes.
pub trait Transaction: Send {
    /// The live entry of a key.
    fn get<'a>(&'a mut self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>>;

    /// Writes an entry, at the commit.
    fn put(&mut self, key: Key, entry: Entry);

    /// Removes an entry, at the commit.
    fn delete(&mut self, key: Key);

    /// Makes it happen.
    ///
    /// # Errors
    /// `Conflict` if something it read was changed meanwhile: run it again from the beginning.
    fn commit<'a>(self: Box<Self>) -> BoxFuture<'a, Result<()>>
    where
        Self: 'a;
}
