//! What takes more than one step: each is done by one member from its beginning to its end.

use bytes::Bytes;
use terrace_store::capability::{Cursor, Iterate, List, Page, PathKind, Paths};
use terrace_store::{BoxFuture, Error, ErrorKind, Namespace, Result};

use super::Chain;

fn missing(operation: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, operation).because("no member of the chain can do it")
}

impl Chain {
    fn lister(&self) -> Result<&dyn Iterate> {
        self.primary().as_iterate().ok_or_else(|| missing("list"))
    }

    /// Where groups and links are made.
    fn maker(&self, operation: &'static str) -> Result<&dyn Paths> {
        self.writer(operation)?.as_paths().ok_or_else(|| missing(operation))
    }

    /// The first member that has something at the path, or else the one in which it would be made.
    async fn holder(&self, path: &str) -> Result<&dyn Paths> {
        for member in &*self.members {
            let Some(paths) = member.store.as_paths() else { continue };
            match paths.kind(path).await {
                Ok(Some(_)) => return Ok(paths),
                Ok(None) if self.fallback.on_miss => {}
                Err(error) if !self.fallback.on_error => return Err(error),
                Err(error) if matches!(error.kind(), ErrorKind::Closed | ErrorKind::Invalid) => {
                    return Err(error);
                }
                Ok(None) | Err(_) => {}
            }
        }
        self.primary().as_paths().ok_or_else(|| missing("path"))
    }
}

#[deny(clippy::missing_trait_methods)]
impl Iterate for Chain {
    /// A listing is that of one member: the one that takes the writes.
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move { self.lister()?.list(list, cursor).await })
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.lister()?.count(namespace).await })
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.lister()?.bytes(namespace).await })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        Box::pin(async move { self.lister()?.namespaces().await })
    }
}

/// A path is followed in one member: a link in one and what it leads to in another would be nobody's tree.
#[deny(clippy::missing_trait_methods)]
impl Paths for Chain {
    fn kind<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<PathKind>>> {
        Box::pin(async move { self.holder(path).await?.kind(path).await })
    }

    fn list_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { self.holder(path).await?.list_group(path).await })
    }

    fn make_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.maker("make_group")?.make_group(path).await })
    }

    fn make_link<'a>(&'a self, path: &'a str, target: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.maker("make_link")?.make_link(path, target).await })
    }

    fn resolve<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(async move { self.holder(path).await?.resolve(path).await })
    }
}
