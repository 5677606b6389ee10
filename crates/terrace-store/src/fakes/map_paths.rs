//! Paths over the sorted map: groups and links in two more maps, entries where they always are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::ready;

use bytes::Bytes;

use super::MapStore;
use super::map::State;
use crate::capability::{PathKind, Paths};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::store::BoxFuture;

/// How many links are followed before it is called a circle.
const HOPS: usize = 40;

/// What was made beside the entries.
#[derive(Default)]
pub(super) struct Tree {
    groups: BTreeSet<String>,
    links: BTreeMap<String, String>,
}

fn invalid(operation: &'static str, path: &str, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, operation).because(why).with("path", path)
}

/// The parts of a path; none for the root.
fn parts(path: &str) -> Result<VecDeque<String>> {
    if path.is_empty() {
        return Ok(VecDeque::new());
    }
    if path.split('/').any(str::is_empty) {
        return Err(invalid("path", path, "a path has an empty part"));
    }
    Ok(path.split('/').map(str::to_owned).collect())
}

impl State {
    /// The path with the links in it followed; the one at its end only if asked for.
    fn walk(&self, path: &str, to_the_end: bool) -> Result<String> {
        let (mut ahead, mut hops) = (parts(path)?, 0);
        let mut here = String::new();
        while let Some(part) = ahead.pop_front() {
            let next = if here.is_empty() { part } else { format!("{here}/{part}") };
            match self.tree.links.get(&next).filter(|_| to_the_end || !ahead.is_empty()) {
                None => here = next,
                Some(target) => {
                    hops += 1;
                    if hops > HOPS {
                        return Err(invalid("resolve", path, "the links run in a circle"));
                    }
                    let mut led = parts(target)?;
                    led.append(&mut ahead);
                    (here, ahead) = (String::new(), led);
                }
            }
        }
        Ok(here)
    }

    /// What is at a path whose links were followed.
    fn kind_at(&self, path: &str, wall_ms: u64) -> Result<Option<PathKind>> {
        if self.tree.links.contains_key(path) {
            return Ok(Some(PathKind::Link));
        }
        if self.live(&Key::new("", path)?, wall_ms).is_some() {
            return Ok(Some(PathKind::Entry));
        }
        let made = path.is_empty() || self.tree.groups.contains(path);
        Ok((made || !self.names_in(path, wall_ms).is_empty()).then_some(PathKind::Group))
    }

    fn names_in(&self, path: &str, wall_ms: u64) -> BTreeSet<String> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let name = |path: &str| {
            let rest = path.strip_prefix(&prefix)?;
            rest.split('/').next().filter(|name| !name.is_empty()).map(str::to_owned)
        };
        let live = self
            .entries
            .iter()
            .filter(|(key, entry)| key.namespace_name().is_empty() && !entry.is_expired(wall_ms));
        let entries = live.filter_map(|(key, _)| std::str::from_utf8(key.bytes()).ok());
        let made = self.tree.groups.iter().chain(self.tree.links.keys()).map(String::as_str);
        entries.chain(made).filter_map(name).collect()
    }

    fn make_group(&mut self, path: &str, wall_ms: u64) -> Result<()> {
        let path = self.walk(path, false)?;
        let mut made = Vec::new();
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            match self.kind_at(&path[..end], wall_ms)? {
                None | Some(PathKind::Group) => made.push(path[..end].to_owned()),
                Some(kind) => return Err(taken("make_group", &path[..end], kind)),
            }
        }
        self.tree.groups.extend(made);
        Ok(())
    }

    fn make_link(&mut self, path: &str, target: &str, wall_ms: u64) -> Result<()> {
        parts(target)?;
        let path = self.walk(path, false)?;
        match self.kind_at(&path, wall_ms)? {
            None | Some(PathKind::Link) => {
                self.tree.links.insert(path, target.to_owned());
                Ok(())
            }
            Some(kind) => Err(taken("make_link", &path, kind)),
        }
    }

    fn list_group(&self, path: &str, wall_ms: u64) -> Result<Vec<String>> {
        let path = self.walk(path, true)?;
        match self.kind_at(&path, wall_ms)? {
            Some(PathKind::Group) => Ok(self.names_in(&path, wall_ms).into_iter().collect()),
            _ => Err(invalid("list_group", &path, "it is no group")),
        }
    }
}

fn taken(operation: &'static str, path: &str, kind: PathKind) -> Error {
    Error::new(ErrorKind::Conflict, operation).with("path", path).because(match kind {
        PathKind::Entry => "an entry is there",
        PathKind::Group => "a group is there",
        PathKind::Link => "a link is there",
    })
}

impl Paths for MapStore {
    fn kind<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<PathKind>>> {
        Box::pin(ready(self.with("kind", |state, wall| state.kind_at(&state.walk(path, false)?, wall))))
    }

    fn list_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(ready(self.with("list_group", |state, wall| state.list_group(path, wall))))
    }

    fn make_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(ready(self.with("make_group", |state, wall| state.make_group(path, wall))))
    }

    fn make_link<'a>(&'a self, path: &'a str, target: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(ready(self.with("make_link", |state, wall| state.make_link(path, target, wall))))
    }

    fn resolve<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(ready(self.with("resolve", |state, _| state.walk(path, true).map(Bytes::from))))
    }
}
