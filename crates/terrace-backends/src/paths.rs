//! Groups and links over any store that lists: what stands at a path beside its entry is itself an entry, in a namespace of
//! Terrace's own.
//!
//! ```text
//! namespace "\0paths", key: the path      value  "g"           a group that was made
//!                                                "l" + target  a link
//! ```
//!
//! Decision: groups and links are ordinary entries, so they are as durable as the store, outlive crashes as its writes do,
//! and are copied and cleared with everything else; nothing has to be repaired. One key holds either a group or a link, and
//! is changed by compare-and-set, so of two who make both at once one is refused. What is in a group is found by listing the
//! keys that begin with it, and what lies deeper is passed over, a page of keys at most for each name.
//!
//! # What it is not
//! Entries know nothing of it: one that is put where a group or a link is made at the same instant stands beside it.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use terrace_store::capability::{List, PathKind};
use terrace_store::{
    Condition, Entry, Error, ErrorKind, Key, Namespace, PutOptions, Result, Store, StoreExt, Version,
};

/// Where groups and links are kept.
const SPACE: &str = "\0paths";
/// How many links are followed before it is called a circle.
const HOPS: usize = 40;
/// How many keys are looked at before what lies deeper is passed over.
const PAGE: usize = 64;
/// How often a change begins anew when others change the same path.
const ATTEMPTS: usize = 64;

/// What was made at a path.
enum Made {
    Group,
    Link(String),
}

/// The kind of what is at a path, links at its end not followed.
pub(crate) async fn kind(store: &dyn Store, path: &str) -> Result<Option<PathKind>> {
    let path = walk(store, "kind", path, false).await?;
    kind_at(store, &path).await
}

/// The names in a group.
pub(crate) async fn list_group(store: &dyn Store, path: &str) -> Result<Vec<String>> {
    let path = walk(store, "list_group", path, true).await?;
    match kind_at(store, &path).await? {
        Some(PathKind::Group) => Ok(names_in(store, &path, usize::MAX).await?.into_iter().collect()),
        _ => Err(invalid("list_group", &path, "it is no group")),
    }
}

/// Makes a group, and those it stands in.
pub(crate) async fn make_group(store: &dyn Store, path: &str) -> Result<()> {
    let path = walk(store, "make_group", path, false).await?;
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for end in ends.filter(|end| *end > 0) {
        make_one_group(store, &path[..end]).await?;
    }
    Ok(())
}

async fn make_one_group(store: &dyn Store, path: &str) -> Result<()> {
    match kind_at(store, path).await? {
        None | Some(PathKind::Group) => {}
        Some(kind) => return Err(taken("make_group", path, kind)),
    }
    let options = PutOptions { condition: Condition::Absent, ..PutOptions::default() };
    if store.put(&place(path)?, Entry::new("g"), options).await?.version().is_some() {
        return Ok(());
    }
    // It was made already, or somebody made a link there just now.
    match made(store, path).await? {
        Some((Made::Link(_), _)) => Err(taken("make_group", path, PathKind::Link)),
        _ => Ok(()),
    }
}

/// Makes a link, or turns the one that is there.
pub(crate) async fn make_link(store: &dyn Store, path: &str, target: &str) -> Result<()> {
    parts("make_link", target)?;
    let path = walk(store, "make_link", path, false).await?;
    for _ in 0..ATTEMPTS {
        let found = made(store, &path).await?;
        let condition = match &found {
            Some((Made::Link(_), version)) => Condition::Match(*version),
            _ => Condition::Absent,
        };
        match kind_at(store, &path).await? {
            None | Some(PathKind::Link) => {}
            Some(kind) => return Err(taken("make_link", &path, kind)),
        }
        let options = PutOptions { condition, ..PutOptions::default() };
        let link = Entry::new(format!("l{target}"));
        if store.put(&place(&path)?, link, options).await?.version().is_some() {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::Busy, "make_link").with("path", &path).because("others change it all the time"))
}

/// The path with all links followed.
pub(crate) async fn resolve(store: &dyn Store, path: &str) -> Result<Bytes> {
    walk(store, "resolve", path, true).await.map(Bytes::from)
}

fn invalid(operation: &'static str, path: &str, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, operation).because(why).with("path", path)
}

fn taken(operation: &'static str, path: &str, kind: PathKind) -> Error {
    Error::new(ErrorKind::Conflict, operation).with("path", path).because(match kind {
        PathKind::Entry => "an entry is there",
        PathKind::Group => "a group is there",
        PathKind::Link => "a link is there",
    })
}

/// The parts of a path; none for the root.
fn parts(operation: &'static str, path: &str) -> Result<VecDeque<String>> {
    if path.is_empty() {
        return Ok(VecDeque::new());
    }
    if path.split('/').any(str::is_empty) {
        return Err(invalid(operation, path, "a path has an empty part"));
    }
    Ok(path.split('/').map(str::to_owned).collect())
}

fn place(path: &str) -> Result<Key> {
    Key::new(SPACE, path)
}

/// What was made at this very path, and the version of its making.
async fn made(store: &dyn Store, path: &str) -> Result<Option<(Made, Version)>> {
    let place = place(path)?;
    let Some(entry) = store.get(&place).await? else { return Ok(None) };
    let made = match entry.value.split_first() {
        Some((b'g', [])) => Some(Made::Group),
        Some((b'l', target)) => std::str::from_utf8(target).ok().map(|target| Made::Link(target.to_owned())),
        _ => None,
    };
    match made {
        Some(made) => Ok(Some((made, entry.version))),
        None => Err(Error::new(ErrorKind::Corrupt, "path")
            .with("path", path)
            .because("what is kept of it is neither a group nor a link")),
    }
}

/// The path with the links in it followed; the one at its end only if asked for.
async fn walk(store: &dyn Store, operation: &'static str, path: &str, to_the_end: bool) -> Result<String> {
    let (mut ahead, mut hops, mut here) = (parts(operation, path)?, 0, String::new());
    while let Some(part) = ahead.pop_front() {
        let next = if here.is_empty() { part } else { format!("{here}/{part}") };
        let found = match to_the_end || !ahead.is_empty() {
            true => made(store, &next).await?,
            false => None,
        };
        let Some((Made::Link(target), _)) = found else {
            here = next;
            continue;
        };
        hops += 1;
        if hops > HOPS {
            return Err(invalid(operation, path, "the links run in a circle"));
        }
        let mut led = parts(operation, &target)?;
        led.append(&mut ahead);
        (here, ahead) = (String::new(), led);
    }
    Ok(here)
}

/// What is at a path whose links were followed.
async fn kind_at(store: &dyn Store, path: &str) -> Result<Option<PathKind>> {
    if path.is_empty() {
        return Ok(Some(PathKind::Group));
    }
    let made = made(store, path).await?;
    if let Some((Made::Link(_), _)) = made {
        return Ok(Some(PathKind::Link));
    }
    if store.exists(&Namespace::root().key(path)?).await? {
        return Ok(Some(PathKind::Entry));
    }
    let is_group = made.is_some() || !names_in(store, path, 1).await?.is_empty();
    Ok(is_group.then_some(PathKind::Group))
}

/// The names in a group, sorted; some of them if no more than `most` are wanted.
async fn names_in(store: &dyn Store, path: &str, most: usize) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for space in [Namespace::root(), Namespace::new(SPACE)?] {
        gather(store, space, path, most, &mut names).await?;
    }
    Ok(names)
}

async fn gather(
    store: &dyn Store,
    space: Namespace,
    path: &str,
    most: usize,
    names: &mut BTreeSet<String>,
) -> Result<()> {
    let prefix = if path.is_empty() { Vec::new() } else { format!("{path}/").into_bytes() };
    let mut list = List {
        prefix: Bytes::from(prefix.clone()),
        keys_only: true,
        limit: PAGE.min(most),
        ..List::all(space)
    };
    while names.len() < most {
        let found = some(store, &list).await?;
        if found.is_empty() {
            return Ok(());
        }
        for key in found {
            if list.from.as_deref().is_none_or(|from| key.bytes() >= from) {
                list.from = Some(note(&key, &prefix, names));
            }
        }
    }
    Ok(())
}

/// The first keys of a listing. A page may be empty though more follows.
async fn some(store: &dyn Store, list: &List) -> Result<Vec<Key>> {
    let mut cursor = None;
    loop {
        let page = store.list(list, cursor.as_ref()).await?;
        cursor = page.next;
        if !page.entries.is_empty() || cursor.is_none() {
            return Ok(page.entries.into_iter().map(|(key, _)| key).collect());
        }
    }
}

/// Notes the name that a key has in a group, and says where the next one can be.
fn note(key: &Key, prefix: &[u8], names: &mut BTreeSet<String>) -> Bytes {
    let rest = &key.bytes()[prefix.len()..];
    let deeper = rest.iter().position(|byte| *byte == b'/');
    let name = &rest[..deeper.unwrap_or(rest.len())];
    if let Ok(name) = std::str::from_utf8(name)
        && !name.is_empty()
    {
        names.insert(name.to_owned());
    }
    match deeper {
        // Behind everything that lies in it: `0` comes after `/`.
        Some(_) => [prefix, name, b"0"].concat().into(),
        None => [key.bytes(), &[0]].concat().into(),
    }
}
