//! Groups and links, kept as entries: see [`crate::paths`].

use bytes::Bytes;
use terrace_store::capability::{PathKind, Paths};
use terrace_store::{BoxFuture, Result};

use super::FsStore;
use crate::paths;

impl Paths for FsStore {
    fn kind<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<PathKind>>> {
        Box::pin(paths::kind(self, path))
    }

    fn list_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(paths::list_group(self, path))
    }

    fn make_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(paths::make_group(self, path))
    }

    fn make_link<'a>(&'a self, path: &'a str, target: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(paths::make_link(self, path, target))
    }

    fn resolve<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(paths::resolve(self, path))
    }
}
