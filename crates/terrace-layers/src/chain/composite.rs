//! What takes more than one step: each is done by one member from its beginning to its end.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use terrace_store::capability::{Cursor, Iterate, List, Page, PathKind, Paths};
use terrace_store::{BoxFuture, Error, ErrorKind, Namespace, Result};

use super::Chain;

fn missing(operation: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, operation).because("no member of the chain can do it")
}

impl Chain {
    /// The first member that can list, or the one of this place.
    fn lister(&self, place: Option<usize>) -> Result<(usize, &dyn Iterate)> {
        let members = self.members.iter().enumerate();
        let mut listers = members.filter_map(|(at, member)| Some((at, member.store.as_iterate()?)));
        listers.find(|(at, _)| place.is_none_or(|place| place == *at)).ok_or_else(|| missing("list"))
    }

    fn paths(&self) -> Result<&dyn Paths> {
        self.members.iter().find_map(|member| member.store.as_paths()).ok_or_else(|| missing("path"))
    }
}

/// A member's cursor with the member's place before it.
fn bound(place: usize, cursor: &Cursor) -> Cursor {
    let mut bytes = BytesMut::with_capacity(4 + cursor.0.len());
    bytes.put_u32(place as u32);
    bytes.put_slice(&cursor.0);
    Cursor(bytes.freeze())
}

fn unbound(cursor: &Cursor) -> Result<(usize, Cursor)> {
    let mut bytes = cursor.0.clone();
    if bytes.len() < 4 {
        return Err(
            Error::new(ErrorKind::Invalid, "list").because("no listing of this chain gave this cursor")
        );
    }
    let place = bytes.get_u32() as usize;
    Ok((place, Cursor(bytes)))
}

#[deny(clippy::missing_trait_methods)]
impl Iterate for Chain {
    /// A listing is that of one member: the first that can list.
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let at = cursor.map(unbound).transpose()?;
            let (place, iterate) = self.lister(at.as_ref().map(|(place, _)| *place))?;
            let page = iterate.list(list, at.as_ref().map(|(_, cursor)| cursor)).await?;
            Ok(Page { next: page.next.as_ref().map(|next| bound(place, next)), ..page })
        })
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.lister(None)?.1.count(namespace).await })
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.lister(None)?.1.bytes(namespace).await })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        Box::pin(async move { self.lister(None)?.1.namespaces().await })
    }
}

/// Those of the first member that has paths: a link in one and what it leads to in another would be nobody's tree.
#[deny(clippy::missing_trait_methods)]
impl Paths for Chain {
    fn kind<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<PathKind>>> {
        Box::pin(async move { self.paths()?.kind(path).await })
    }

    fn list_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { self.paths()?.list_group(path).await })
    }

    fn make_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.writer("make_group")?;
            self.paths()?.make_group(path).await
        })
    }

    fn make_link<'a>(&'a self, path: &'a str, target: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.writer("make_link")?;
            self.paths()?.make_link(path, target).await
        })
    }

    fn resolve<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(async move { self.paths()?.resolve(path).await })
    }
}
