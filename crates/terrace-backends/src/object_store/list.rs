//! Listing: names in their order, then what is in the objects that can count.

use std::num::NonZeroU64;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::path::Path;
use terrace_store::capability::{Cursor, List, Page};
use terrace_store::key::{KEY_LIMIT, NAMESPACE_LIMIT};
use terrace_store::{Entry, ErrorKind, Key, Namespace, Result};

use super::head::Head;
use super::header::{HEADER, Header, is_entry};
use super::link::Listing;
use super::names::{self, Named};
use super::{Inner, TOGETHER};
use crate::remote::PAGE_BYTES;

/// An entry that is listed: where it is, and which key it has.
struct Candidate {
    key: Key,
    object: ObjectMeta,
}

/// Whether there may be more than was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    No,
    Yes,
    /// But to go on, the listing has to begin anew behind what was found.
    Anew,
}

/// The names of a namespace from somewhere on.
struct Walk<'a> {
    list: &'a List,
    space: Path,
    from: Bytes,
    behind: bool,
    listing: Listing,
    /// One that was read too many.
    next: Option<ObjectMeta>,
}

impl Inner {
    pub(super) async fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.ready("list").await?;
        let head = self.head("list").await?;
        let flat = list.namespace.flat_prefix();
        let space = self.names.space(head.cleared(flat), flat);
        let start = list.from.clone().unwrap_or_default().max(list.prefix.clone());
        let (from, behind) = match cursor {
            Some(Cursor(last)) if *last >= start => (last.clone(), true),
            _ => (start, false),
        };
        let listing = self.link.list("list", &space, &self.names.behind(&space, &from)).await?;
        let mut walk = Walk { list, space, from, behind, listing, next: None };
        let (mut page, mut bytes, limit) = (Page::default(), 0, list.limit.max(1));
        loop {
            let (candidates, more) = self.candidates(&mut walk, limit - page.entries.len()).await?;
            let last = candidates.last().map(|candidate| candidate.key.shared_bytes());
            let mut reads = futures_util::stream::iter(candidates)
                .map(|candidate| self.listed(candidate, list.keys_only))
                .buffered(TOGETHER);
            while let Some((key, entry)) = reads.try_next().await? {
                let at = key.shared_bytes();
                if let Some(entry) = entry {
                    bytes += entry.value.len();
                    page.entries.push((key, entry));
                }
                if bytes > PAGE_BYTES && (more != More::No || Some(&at) != last.as_ref()) {
                    page.next = Some(Cursor(at));
                    return Ok(page);
                }
            }
            if more == More::No {
                return Ok(page);
            }
            if page.entries.len() >= limit || more == More::Anew {
                page.next = last.map(Cursor);
                return Ok(page);
            }
            if let Some(last) = last {
                (walk.from, walk.behind) = (last, true);
            }
        }
    }

    /// The next entries that the listing covers, at most so many, and whether there may be more.
    async fn candidates(&self, walk: &mut Walk<'_>, limit: usize) -> Result<(Vec<Candidate>, More)> {
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(object) = walk.take(self).await? else { return Ok((found, More::No)) };
            match names::named(&walk.space, &object.location) {
                Some(Named::Whole(bytes)) => {
                    if walk.is_past(&bytes) {
                        return Ok((found, More::No));
                    }
                    if is_entry(object.size) && walk.covers(&bytes) {
                        found.push(Candidate { key: walk.list.namespace.key(bytes)?, object });
                    }
                }
                Some(Named::Head(head)) => {
                    if walk.is_past(&head) {
                        return Ok((found, More::No));
                    }
                    let group = self.group(walk, &head, object).await?;
                    let room = limit - found.len();
                    let cut = group.len() > room;
                    found.extend(group.into_iter().take(room));
                    if cut {
                        return Ok((found, More::Anew));
                    }
                }
                None => {}
            }
        }
        Ok((found, More::Yes))
    }

    /// All that is covered of keys whose names are their heads, which is the same of them all: in the order of their keys.
    async fn group(&self, walk: &mut Walk<'_>, head: &[u8], first: ObjectMeta) -> Result<Vec<Candidate>> {
        let mut objects = vec![first];
        while let Some(object) = walk.take(self).await? {
            match names::named(&walk.space, &object.location) {
                Some(Named::Head(other)) if other == head => objects.push(object),
                _ => {
                    walk.next = Some(object);
                    break;
                }
            }
        }
        objects.retain(|object| is_entry(object.size));
        let reads = futures_util::stream::iter(objects).map(|object| async move {
            let key = self.key_in(&object.location).await?;
            Ok::<_, terrace_store::Error>(key.map(|key| Candidate { key, object }))
        });
        let found: Vec<Option<Candidate>> = reads.buffered(TOGETHER).try_collect().await?;
        let mut found: Vec<Candidate> =
            found.into_iter().flatten().filter(|candidate| walk.covers(candidate.key.bytes())).collect();
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// The key in an object whose name does not tell it.
    async fn key_in(&self, path: &Path) -> Result<Option<Key>> {
        let most = HEADER + 1 + NAMESPACE_LIMIT + KEY_LIMIT;
        let Some(found) = self.link.read("list", path, Some(most)).await? else { return Ok(None) };
        match Header::parse(&found.bytes).and_then(|header| header.key(&found.bytes)) {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            key => key.map(Some),
        }
    }

    /// What is in a listed object, if it counts. One that is damaged does not.
    async fn listed(&self, candidate: Candidate, keys_only: bool) -> Result<(Key, Option<Entry>)> {
        let Candidate { key, object } = candidate;
        let first = keys_only.then_some(HEADER);
        let Some(found) = self.link.read("list", &object.location, first).await? else {
            return Ok((key, None));
        };
        let open = |header: Header| {
            if !header.is_live(self.life.wall_ms()) {
                return Ok(None);
            }
            match keys_only {
                false => header.open(&key, &found.bytes).map(Some),
                true => {
                    let (version, expires_ms) = (header.version, NonZeroU64::new(header.ends_ms));
                    Ok(Some(Entry { version, expires_ms, ..Entry::new(Bytes::new()) }))
                }
            }
        };
        match Header::parse(&found.bytes).and_then(open) {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok((key, None)),
            entry => entry.map(|entry| (key, entry)),
        }
    }

    /// How many entries a namespace holds.
    pub(super) async fn count(&self, namespace: &Namespace) -> Result<u64> {
        self.ready("count").await?;
        let head = self.head("count").await?;
        let flat = namespace.flat_prefix();
        let space = self.names.space(head.cleared(flat), flat);
        let mut listing = self.link.list("count", &space, &space).await?;
        let mut count = 0;
        while let Some(object) = listing.next(&self.link).await? {
            count += u64::from(is_entry(object.size));
        }
        Ok(count)
    }

    /// How many entries that have not ended a namespace, or all, held by this head.
    pub(super) async fn count_live(&self, head: &Head, namespace: Option<&Namespace>) -> Result<u64> {
        let spaces = match namespace {
            Some(namespace) => {
                let flat = namespace.flat_prefix();
                vec![self.names.space(head.cleared(flat), flat)]
            }
            None => self.folders(head).await?.0,
        };
        let mut live = 0;
        for space in spaces {
            let mut listing = self.link.list("clear", &space, &space).await?;
            loop {
                let mut some = Vec::new();
                while some.len() < 64 * TOGETHER
                    && let Some(object) = listing.next(&self.link).await?
                {
                    some.extend(is_entry(object.size).then_some(object.location));
                }
                if some.is_empty() {
                    break;
                }
                let reads = futures_util::stream::iter(some).map(|path| async move {
                    let found = self.link.read("clear", &path, Some(HEADER)).await?;
                    let header = found.and_then(|found| Header::parse(&found.bytes).ok());
                    Ok::<_, terrace_store::Error>(
                        header.is_some_and(|header| header.is_live(self.life.wall_ms())),
                    )
                });
                let counted: Vec<bool> = reads.buffer_unordered(TOGETHER).try_collect().await?;
                live += counted.into_iter().filter(|live| *live).count() as u64;
            }
        }
        Ok(live)
    }

    /// The folders of namespaces: those that are in use, and those that were cleared.
    pub(super) async fn folders(&self, head: &Head) -> Result<(Vec<Path>, Vec<Path>)> {
        let (mut used, mut dead) = (Vec::new(), Vec::new());
        let cleared: Vec<(String, u64)> =
            head.cleared_spaces().map(|space| (names::space(space), head.cleared(space))).collect();
        for folder in self.link.folders("list", &self.names.data()).await? {
            let Some(version) = names::cleared(&folder) else { continue };
            for space in self.link.folders("list", &folder).await? {
                let own = cleared.iter().find(|(name, _)| Some(name.as_str()) == space.filename());
                let current = own.map_or(head.cleared_all(), |(_, version)| *version);
                match version.cmp(&current) {
                    std::cmp::Ordering::Equal => used.push(space),
                    std::cmp::Ordering::Less => dead.push(space),
                    // Somebody has cleared it just now.
                    std::cmp::Ordering::Greater => {}
                }
            }
        }
        Ok((used, dead))
    }

    pub(super) async fn spaces(&self) -> Result<Vec<Namespace>> {
        self.ready("namespaces").await?;
        let head = self.head("namespaces").await?;
        let mut spaces = Vec::new();
        for space in self.folders(&head).await?.0 {
            let mut listing = self.link.list("namespaces", &space, &space).await?;
            while let Some(object) = listing.next(&self.link).await? {
                if !is_entry(object.size) {
                    continue;
                }
                let told = match names::namespace(&space) {
                    Some(namespace) => Some(namespace),
                    None => self.key_in(&object.location).await?.map(|key| key.namespace()),
                };
                if let Some(namespace) = told {
                    spaces.push(namespace);
                    break;
                }
            }
        }
        Ok(spaces)
    }
}

impl Walk<'_> {
    async fn take(&mut self, inner: &Inner) -> Result<Option<ObjectMeta>> {
        match self.next.take() {
            Some(object) => Ok(Some(object)),
            None => self.listing.next(&inner.link).await,
        }
    }

    fn covers(&self, bytes: &[u8]) -> bool {
        let from = if self.behind { bytes > &self.from[..] } else { bytes >= &self.from[..] };
        from && self.list.covers(bytes)
    }

    /// Whether this key and all behind it are beyond what is listed.
    fn is_past(&self, bytes: &[u8]) -> bool {
        let before = self.list.before.as_deref().is_some_and(|before| bytes >= before);
        before || bytes > &self.list.prefix[..] && !bytes.starts_with(&self.list.prefix)
    }
}
