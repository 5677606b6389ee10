//! Several operations in one: fewer calls, one commit, and where the store says so all or nothing.

use crate::entry::Entry;
use crate::error::Result;
use crate::key::{Key, Namespace};
use crate::store::{BoxFuture, DeleteOptions, Deleted, PutOptions, Written};

/// One operation of a batch.
#[derive(Clone, Debug)]
pub enum Write {
    /// As [`Store::put`](crate::Store::put).
    Put(Key, Entry, PutOptions),
    /// As [`Store::delete`](crate::Store::delete).
    Delete(Key, DeleteOptions),
}

impl Write {
    /// The key it concerns.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, ..) | Self::Delete(key, _) => key,
        }
    }
}

/// What became of one operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of a put.
    Put(Written),
    /// Of a delete.
    Delete(Deleted),
}

/// Several operations in one call.
pub trait Batch: Send + Sync {
    /// The live entries of these keys, in their order. Each read is as [`Store::get`](crate::Store::get); the
    /// whole is no snapshot.
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>>;

    /// Applies the operations in order; of two on one key the later one sees the earlier.
    ///
    /// Conditions are judged one by one: a conflict of one does not keep the others from being applied. With
    /// [`atomic_batches`](crate::Capabilities::atomic_batches) what is applied becomes visible to readers one
    /// key after another but survives a crash wholly or not at all, and an error means nothing was applied.
    /// Without, an error means any beginning may have been.
    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>>;

    /// Removes every entry of a namespace, or of all, and returns how many live ones there were. Everything
    /// written before the call is gone once it completes, and stays gone: one floor for all is left behind.
    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>>;
}
