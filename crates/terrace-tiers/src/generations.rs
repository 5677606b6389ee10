//! Invalidating many keys at once, in O(1): tags, prefixes, namespaces, everything.
//!
//! There is one counter of invalidations. Every invalidation takes the next *stamp* and writes it beside the
//! tag, prefix or namespace it names. An entry carries the stamp that was current *before* its value was
//! loaded; it is dead if anything that covers it was invalidated later. So an entry carries one number however
//! many tags it has, and on a hit one load tells that nothing at all was invalidated since the entry was last
//! looked at.
//!
//! Invalidations are also *numbered*, from one on as long as the process lives. What is in memory goes by numbers,
//! which take half the room of stamps; what comes from a store has a stamp, and gets its number on the way in.
//!
//! The tables are bounded. A tag too many goes into a bucket it shares with others, a prefix too many becomes
//! its namespace: that invalidates too much, never too little. Stamps come from a hybrid logical clock, so they
//! go on growing after a restart.

mod mark;

use std::hash::BuildHasher;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use std::collections::HashMap;
use std::hash::RandomState;
use terrace_store::{Clock, Entry, Error, ErrorKind, Key, Namespace, Result, Tags, Version};

use crate::version::HybridClock;

use mark::{Last, Mark, Since};

/// Where the marks are kept in the lowest store.
const TABLE: &str = "\0generations";
const BUCKETS: usize = 1 << 16;
const PREFIX_LIMIT: usize = 1024;
const NAMESPACE_LIMIT: usize = 1 << 16;

/// Which keys an invalidation names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One.
    Key(Key),
    /// Some.
    Keys(Vec<Key>),
    /// All entries with this tag, in any namespace.
    Tag(Bytes),
    /// All keys of a namespace that begin so.
    Prefix(Namespace, Bytes),
    /// All keys of a namespace.
    Namespace(Namespace),
    /// All.
    All,
}

/// What becomes of what is invalidated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is never served again.
    #[default]
    Purge,
    /// It is stale: served only where stale values are allowed.
    Expire,
}

/// What the generations say of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that covers it was invalidated since its load began.
    Valid,
    /// Something was, with [`Mode::Expire`].
    Expired,
    /// Something was, with [`Mode::Purge`].
    Purged,
}

#[derive(Default)]
struct Table {
    all: Mark,
    namespaces: HashMap<Bytes, Mark>,
    prefixes: Vec<(Namespace, Bytes, Mark)>,
    tags: HashMap<Bytes, Mark>,
    buckets: Vec<Mark>,
}

/// The generations of all tags, prefixes and namespaces.
pub struct Generations {
    stamps: HybridClock,
    /// The last stamp given to an invalidation.
    current: AtomicU64,
    /// How many invalidations there were; it stops at the highest. Set after the stamp.
    number: AtomicU32,
    tag_limit: usize,
    hasher: RandomState,
    table: RwLock<Table>,
}

impl Generations {
    /// Nothing invalidated yet; at most `tag_limit` tags have a mark of their own.
    pub fn new(clock: Arc<dyn Clock>, tag_limit: usize) -> Self {
        Self {
            stamps: HybridClock::new(clock),
            current: AtomicU64::new(0),
            number: AtomicU32::new(0),
            tag_limit,
            hasher: RandomState::new(),
            table: RwLock::default(),
        }
    }

    /// The stamp an entry gets whose load begins now.
    pub fn stamp(&self) -> u64 {
        self.current.load(Ordering::SeqCst)
    }

    /// The number of the last invalidation.
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.number.load(Ordering::SeqCst)
    }

    /// The number that an entry may carry of which all invalidations so far are known not to cover it. After four
    /// billion of them numbers say no more which came first: then an entry never carries the last, and is judged
    /// on each read, by marks that all seem to be later than it. That is a miss too many, never one too few.
    pub(crate) fn outlived(&self) -> u32 {
        self.number().min(u32::MAX - 1)
    }

    /// What became of an entry with this key and these tags whose load began at this stamp.
    pub fn verdict(&self, key: &Key, tags: &Tags, stamp: u64) -> Verdict {
        if stamp >= self.stamp() {
            return Verdict::Valid;
        }
        self.verdict_since(key, tags, Since::Stamp(stamp))
    }

    /// The same of an entry that carries the number of an invalidation it outlived.
    pub(crate) fn verdict_after(&self, key: &Key, tags: &Tags, number: u32) -> Verdict {
        self.verdict_since(key, tags, Since::Number(number))
    }

    fn verdict_since(&self, key: &Key, tags: &Tags, since: Since) -> Verdict {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut mark = table.all;
        if let Some(namespace) = table.namespaces.get(key.namespace_name()) {
            mark.merge(*namespace);
        }
        for (namespace, prefix, of) in &table.prefixes {
            if of.verdict(since) != Verdict::Valid
                && namespace.name() == key.namespace_name()
                && key.bytes().starts_with(prefix)
            {
                mark.merge(*of);
            }
        }
        for tag in tags.iter() {
            mark.merge(table.tags.get(tag).copied().unwrap_or_default());
            mark.merge(table.buckets.get(self.bucket(tag)).copied().unwrap_or_default());
        }
        mark.verdict(since)
    }

    /// [`Generations::verdict`] of a stored entry.
    pub fn verdict_of(&self, key: &Key, entry: &Entry) -> Verdict {
        self.verdict(key, &entry.tags, entry.stamp)
    }

    fn bucket(&self, tag: &[u8]) -> usize {
        self.hasher.hash_one(tag) as usize % BUCKETS
    }

    /// Invalidates what a scope of many keys names, and returns what to keep of it in a store.
    ///
    /// # Panics
    /// For the scopes that name single keys: those are deleted, not marked.
    pub fn invalidate(&self, scope: &Scope, mode: Mode) -> Kept {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let last = Last { stamp: self.stamps.tick().0, number: self.next_number() };
        let kept = self.mark(&mut table, scope, mode, last);
        self.publish(last);
        kept
    }

    /// The number of the invalidation that is about to be marked, under the table's lock.
    fn next_number(&self) -> u32 {
        self.number().saturating_add(1)
    }

    /// Makes known what was marked, under the table's lock. The stamp first: whoever reads the number and then finds
    /// an entry's stamp current knows that the entry has outlived that number.
    fn publish(&self, last: Last) {
        self.current.fetch_max(last.stamp, Ordering::SeqCst);
        self.number.store(last.number, Ordering::SeqCst);
    }

    fn mark(&self, table: &mut Table, scope: &Scope, mode: Mode, last: Last) -> Kept {
        let (name, mark) = match scope {
            Scope::All => (name(b'a', b""), &mut table.all),
            Scope::Namespace(namespace) => namespace_mark(table, namespace),
            Scope::Prefix(namespace, prefix) => prefix_mark(table, namespace, prefix),
            Scope::Tag(tag) => self.tag_mark(table, tag),
            Scope::Key(_) | Scope::Keys(_) => unreachable!("single keys are deleted, not marked"),
        };
        mark.set(mode, last);
        Kept { name, mark: *mark }
    }

    fn tag_mark<'a>(&self, table: &'a mut Table, tag: &Bytes) -> (Vec<u8>, &'a mut Mark) {
        let name = name(b't', tag);
        if table.tags.len() < self.tag_limit || table.tags.contains_key(tag) {
            // A copy, so that a small tag does not keep a large request buffer alive.
            return (name, table.tags.entry(Bytes::copy_from_slice(tag)).or_default());
        }
        if table.buckets.is_empty() {
            table.buckets = vec![Mark::default(); BUCKETS];
        }
        (name, &mut table.buckets[self.bucket(tag)])
    }

    /// Takes back what [`Generations::invalidate`] gave to keep, when a cache is opened.
    ///
    /// # Errors
    /// `Corrupt` if it is none of ours; the caller then has to [`Generations::distrust`] everything.
    pub fn restore(&self, key: &Key, entry: &Entry) -> Result<()> {
        let mut mark = unpack(&entry.value).ok_or_else(|| damaged(key))?;
        let (&kind, rest) = key.bytes().split_first().ok_or_else(|| damaged(key))?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let held = match kind {
            b'a' => &mut table.all,
            b't' => self.tag_mark(&mut table, &Bytes::copy_from_slice(rest)).1,
            b'n' => namespace_mark(&mut table, &Namespace::new(rest)?).1,
            b'p' => {
                let flat = Key::from_flat(Bytes::copy_from_slice(rest))?;
                prefix_mark(&mut table, &flat.namespace(), &flat.shared_bytes()).1
            }
            _ => return Err(damaged(key)),
        };
        // In this process it is a new invalidation.
        let number = self.next_number();
        for last in [&mut mark.purged, &mut mark.expired] {
            last.number = if last.stamp == 0 { 0 } else { number };
        }
        held.merge(mark);
        let stamp = mark.last_stamp();
        self.stamps.observe(Version(stamp));
        self.publish(Last { stamp, number });
        Ok(())
    }

    /// Gives up everything that was stored so far: what a lost table means.
    pub fn distrust(&self) -> Kept {
        self.invalidate(&Scope::All, Mode::Purge)
    }

    /// As if there had been so many invalidations.
    #[cfg(test)]
    pub(crate) fn skip_to(&self, number: u32) {
        self.number.store(number, Ordering::SeqCst);
    }

    /// How many tags have a mark of their own.
    pub fn tags(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).tags.len()
    }

    /// The namespace of the lowest store in which marks are kept.
    pub fn namespace() -> Namespace {
        Namespace::new(TABLE).expect("the name is short")
    }
}

/// A mark to be kept in the lowest store: after a restart, what was invalidated stays so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    name: Vec<u8>,
    mark: Mark,
}

impl Kept {
    /// Its key.
    ///
    /// # Errors
    /// `Invalid` if the prefix it names is too long to be kept.
    pub fn key(&self) -> Result<Key> {
        Generations::namespace().key(&self.name)
    }

    /// Its entry.
    pub fn entry(&self) -> Entry {
        self.merged(None)
    }

    /// Its entry, merged with the one that is kept already: the later stamps of both.
    pub fn merged(&self, held: Option<&Entry>) -> Entry {
        let mut mark = self.mark;
        mark.merge(held.and_then(|held| unpack(&held.value)).unwrap_or_default());
        let mut value = [0; 16];
        value[..8].copy_from_slice(&mark.purged.stamp.to_le_bytes());
        value[8..].copy_from_slice(&mark.expired.stamp.to_le_bytes());
        Entry::new(Bytes::copy_from_slice(&value))
    }

    /// The stamp of the invalidation.
    pub fn stamp(&self) -> NonZeroU64 {
        NonZeroU64::new(self.mark.last_stamp()).unwrap_or(NonZeroU64::MIN)
    }
}

fn unpack(value: &[u8]) -> Option<Mark> {
    let (purged, expired) = value.split_at_checked(8)?;
    let last = |bytes: &[u8]| Some(Last { stamp: u64::from_le_bytes(bytes.try_into().ok()?), number: 0 });
    Some(Mark { purged: last(purged)?, expired: last(expired)? })
}

fn damaged(key: &Key) -> Error {
    Error::new(ErrorKind::Corrupt, "restore").with("key", format!("{key:?}")).because("not a kept generation")
}

fn name(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind], rest].concat()
}

fn namespace_mark<'a>(table: &'a mut Table, namespace: &Namespace) -> (Vec<u8>, &'a mut Mark) {
    if table.namespaces.len() >= NAMESPACE_LIMIT && !table.namespaces.contains_key(namespace.name()) {
        return (name(b'a', b""), &mut table.all);
    }
    let key = Bytes::copy_from_slice(namespace.name());
    (name(b'n', namespace.name()), table.namespaces.entry(key).or_default())
}

fn prefix_mark<'a>(table: &'a mut Table, namespace: &Namespace, prefix: &Bytes) -> (Vec<u8>, &'a mut Mark) {
    let known = table.prefixes.iter().position(|(ns, p, _)| ns == namespace && p == prefix);
    let index = match known {
        Some(index) => index,
        None if table.prefixes.len() >= PREFIX_LIMIT => return namespace_mark(table, namespace),
        None => {
            table.prefixes.push((namespace.clone(), Bytes::copy_from_slice(prefix), Mark::default()));
            table.prefixes.len() - 1
        }
    };
    let flat = [namespace.flat_prefix(), prefix].concat();
    (name(b'p', &flat), &mut table.prefixes[index].2)
}

#[cfg(test)]
mod tests;
