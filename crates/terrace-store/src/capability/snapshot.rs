//! Reads at one point of time.

use crate::capability::{Cursor, List, Page};
use crate::entry::Entry;
use crate::error::Result;
use crate::key::Key;
use crate::store::BoxFuture;

/// Views of the store as it was.
pub trait Snapshot: Send + Sync {
    /// The store as it is now, for reading later. It holds what it needs; drop it soon.
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn SnapshotView>>>;
}

/// The store as it was when the snapshot was taken: no later write shows, of any key. Time goes on: what
/// expires meanwhile disappears here too.
pub trait SnapshotView: Send + Sync {
    /// The entry of a key.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>>;

    /// A page of a listing; all pages show the same point of time.
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>>;
}
