//! Paths: keys that form a tree of groups, with links between them.

use bytes::Bytes;

use crate::error::Result;
use crate::store::BoxFuture;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// An entry.
    Entry,
    /// A group of further paths.
    Group,
    /// A link to another path.
    Link,
}

/// A tree of names. A path is a sequence of parts separated by `/`; parts are not empty, and `.` and `..` are
/// parts like any other; a path that breaks this is `Invalid`. An entry at a path is the entry of the key with the
/// path's bytes in the root namespace. A group is there once it was made, and while something is in it; the root,
/// whose path is empty, always.
pub trait Paths: Send + Sync {
    /// What this very path is, links not followed at its end; `None` if nothing.
    fn kind<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<PathKind>>>;

    /// The names in a group, sorted.
    ///
    /// # Errors
    /// `Invalid` if it is no group.
    fn list_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Vec<String>>>;

    /// Makes a group, and those it stands in. One that is there already is `Ok`.
    ///
    /// # Errors
    /// `Conflict` if an entry or link is at `path`.
    fn make_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Makes `path` a link to `target` (a path from the root), or turns the link that is there.
    ///
    /// # Errors
    /// `Conflict` if an entry or group is at `path`.
    fn make_link<'a>(&'a self, path: &'a str, target: &'a str) -> BoxFuture<'a, Result<()>>;

    /// The path with all links followed, of its parts too.
    ///
    /// # Errors
    /// `Invalid` if the links run in a circle.
    fn resolve<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Bytes>>;
}
