//! Changes as they happen.

use bytes::Bytes;

use crate::entry::Version;
use crate::error::Result;
use crate::key::{Key, Namespace};
use crate::store::BoxFuture;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A key was written.
    Put {
        /// Which key.
        key: Key,
        /// The version it has now.
        version: Version,
    },
    /// A key was deleted, or removed by a sweep after it had expired.
    Deleted {
        /// Which key.
        key: Key,
        /// The floor it left.
        version: Version,
    },
    /// A whole namespace, or everything, was cleared.
    Cleared(Option<Namespace>),
    /// The watcher was too slow and changes were dropped: whoever keeps copies must read again.
    Lagged,
}

/// Watching.
pub trait Watch: Send + Sync {
    /// The changes of all keys with this prefix that complete after this call has completed.
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>>;
}

/// A stream of changes. Per key they come in the order of their versions, each at the latest when the write it
/// tells of is acknowledged. At least 1,024 unread changes are kept; beyond that comes one
/// [`Change::Lagged`] in their place.
pub trait Changes: Send {
    /// The next change; `None` when the store was closed. Dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Option<Change>>;
}
