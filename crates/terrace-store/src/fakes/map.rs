//! The contract in its simplest form: a sorted map behind one lock. Slow, and plainly right; what other stores
//! are compared with, and what tests of the tiers stand on.

use std::collections::BTreeMap;
use std::future::ready;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::capability::{Batch, Cursor, Iterate, List, Outcome, Page, Paths, Write};
use crate::clock::Clock;
use crate::entry::{Entry, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::fakes::FrozenClock;
use crate::fakes::map_paths::Tree;
use crate::key::{Key, Namespace};
use crate::store::{
    BoxFuture, Capabilities, Condition, DeleteOptions, Deleted, Durability, FLOOR_RETENTION, Health,
    PutOptions, Store, Swept, Versions, Written,
};

/// A store that is a sorted map behind one lock.
pub struct MapStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    sequence: u64,
    pub(super) entries: BTreeMap<Key, Entry>,
    /// What deletes left: the version, and the monotonic time in milliseconds at which it may be forgotten.
    floors: BTreeMap<Key, (Version, u64)>,
    /// What clears left, by namespace; `None` is all of them.
    cleared: BTreeMap<Option<Namespace>, Version>,
    pub(super) tree: Tree,
    closed: bool,
}

impl Default for MapStore {
    fn default() -> Self {
        Self::new(Arc::new(FrozenClock::at_wall_ms(0)))
    }
}

impl MapStore {
    /// An empty store that reads this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    pub(super) fn with<T>(
        &self,
        operation: &'static str,
        f: impl FnOnce(&mut State, u64) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(Error::new(ErrorKind::Closed, operation).with("store", "map"));
        }
        f(&mut state, self.clock.wall_ms())
    }

    fn floor_end(&self) -> u64 {
        self.clock.now_ms() + FLOOR_RETENTION.as_millis() as u64
    }
}

impl State {
    fn next(&mut self) -> Version {
        self.sequence += 1;
        Version(self.sequence)
    }

    pub(super) fn live(&self, key: &Key, wall_ms: u64) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| !entry.is_expired(wall_ms))
    }

    fn floor(&self, key: &Key) -> Version {
        let own = self.floors.get(key).map_or(Version::ZERO, |(version, _)| *version);
        let of = |scope: &Option<Namespace>| self.cleared.get(scope).copied().unwrap_or_default();
        let stored = self.entries.get(key).map_or(Version::ZERO, |entry| entry.version);
        own.max(of(&None)).max(of(&Some(key.namespace()))).max(stored)
    }

    /// The version a write of this key gets, or the live version that stands against it.
    fn judge(&mut self, key: &Key, condition: Condition, wall_ms: u64) -> Result<Version, Option<Version>> {
        let current = self.live(key, wall_ms).map(|entry| entry.version);
        match condition {
            Condition::Any => Ok(self.next()),
            Condition::Absent if current.is_none() => Ok(self.next()),
            Condition::Match(expected) if current == Some(expected) => Ok(self.next()),
            Condition::Newer(version) if version > self.floor(key) => {
                self.sequence = self.sequence.max(version.0);
                Ok(version)
            }
            _ => Err(current),
        }
    }

    fn put(&mut self, key: &Key, mut entry: Entry, options: PutOptions, wall_ms: u64) -> Result<Written> {
        options.validate(&entry)?;
        let replaced = self.live(key, wall_ms).is_some();
        Ok(match self.judge(key, options.condition, wall_ms) {
            Ok(version) => {
                entry.version = version;
                self.entries.insert(key.clone(), entry);
                self.floors.remove(key);
                Written::Stored { version, replaced }
            }
            Err(current) => Written::Conflict { current },
        })
    }

    fn delete(&mut self, key: &Key, options: DeleteOptions, wall_ms: u64, floor_end: u64) -> Result<Deleted> {
        options.validate()?;
        let existed = self.live(key, wall_ms).is_some();
        Ok(match self.judge(key, options.condition, wall_ms) {
            Ok(version) => {
                self.entries.remove(key);
                self.floors.insert(key.clone(), (version, floor_end));
                Deleted::Done { version, existed }
            }
            Err(current) => Deleted::Conflict { current },
        })
    }

    fn sweep(&mut self, limit: usize, wall_ms: u64, now_ms: u64) -> Swept {
        let over = self.entries.iter().filter(|(_, entry)| entry.is_expired(wall_ms));
        let expired: Vec<Key> = over.map(|(key, _)| key.clone()).collect();
        let done = self.floors.iter().filter(|(_, (_, end))| *end <= now_ms);
        let floors: Vec<Key> = done.map(|(key, _)| key.clone()).collect();
        let mut swept = Swept { more: expired.len() + floors.len() > limit, ..Swept::default() };
        for key in expired.into_iter().take(limit) {
            if let Some(entry) = self.entries.remove(&key) {
                self.floors.insert(key, (entry.version, now_ms + FLOOR_RETENTION.as_millis() as u64));
                swept.expired += 1;
            }
        }
        for key in floors.into_iter().take(limit - swept.expired as usize) {
            self.floors.remove(&key);
            swept.floors += 1;
        }
        swept
    }

    fn page(&self, list: &List, cursor: Option<&Cursor>, wall_ms: u64) -> Result<Page> {
        let start = match cursor {
            Some(cursor) => Bound::Excluded(Key::from_flat(cursor.0.clone())?),
            None => Bound::Included(list.namespace.key(list.from.as_deref().unwrap_or(&list.prefix))?),
        };
        let mut page = Page::default();
        for (key, entry) in self.entries.range((start, Bound::Unbounded)) {
            if key.namespace_name() != list.namespace.name() {
                break;
            }
            if entry.is_expired(wall_ms) || !list.covers(key.bytes()) {
                continue;
            }
            if page.entries.len() == list.limit.max(1) {
                page.next = page.entries.last().map(|(key, _)| Cursor(key.flat_bytes().clone()));
                break;
            }
            let mut entry = entry.clone();
            if list.keys_only {
                entry.value = Bytes::new();
            }
            page.entries.push((key.clone(), entry));
        }
        Ok(page)
    }

    fn of<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
        self.entries.iter().filter(move |(key, _)| key.namespace_name() == namespace.name())
    }
}

fn now<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(ready(value))
}

impl Store for MapStore {
    fn name(&self) -> &str {
        "map"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: Versions::Assigned,
            durability: Durability::Process,
            persistent: false,
            atomic_batches: true,
            in_place: true,
        }
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        now(self.with("get", |state, wall| Ok(state.live(key, wall).cloned())))
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        now(self.with("put", |state, wall| state.put(key, entry, options, wall)))
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        let end = self.floor_end();
        now(self.with("delete", |state, wall| state.delete(key, options, wall, end)))
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        now(self.with("exists", |state, wall| Ok(state.live(key, wall).is_some())))
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        now(self.with("reserve", |state, _| Ok(state.next())))
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        now(self.with("commit", |_, _| Ok(())))
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        now(self.with("flush", |_, _| Ok(())))
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        let monotonic = self.clock.now_ms();
        now(self.with("sweep", |state, wall| Ok(state.sweep(limit, wall, monotonic))))
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        let up = self.with("health", |_, _| Ok(())).is_ok();
        now(if up { Health::Up } else { Health::Down("closed".into()) })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        now(Ok(()))
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        Some(self)
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        Some(self)
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        Some(self)
    }
}

impl Batch for MapStore {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        now(self.with("get_many", |state, wall| {
            Ok(keys.iter().map(|key| state.live(key, wall).cloned()).collect())
        }))
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        let end = self.floor_end();
        now(self.with("apply", |state, wall| {
            // All or nothing: whatever can fail is found before anything is done.
            for write in &writes {
                match write {
                    Write::Put(_, entry, options) => options.validate(entry)?,
                    Write::Delete(_, options) => options.validate()?,
                }
            }
            let one = |write| {
                Ok(match write {
                    Write::Put(key, entry, options) => Outcome::Put(state.put(&key, entry, options, wall)?),
                    Write::Delete(key, options) => Outcome::Delete(state.delete(&key, options, wall, end)?),
                })
            };
            writes.into_iter().map(one).collect()
        }))
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        now(self.with("clear", |state, wall| {
            let version = state.next();
            state.cleared.insert(namespace.cloned(), version);
            let mut removed = 0;
            state.entries.retain(|key, entry| {
                let kept = namespace.is_some_and(|namespace| key.namespace_name() != namespace.name());
                removed += u64::from(!kept && !entry.is_expired(wall));
                kept
            });
            Ok(removed)
        }))
    }
}

impl Iterate for MapStore {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        now(self.with("list", |state, wall| state.page(list, cursor, wall)))
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        now(self.with("count", |state, _| Ok(state.of(namespace).count() as u64)))
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        let size = |(key, entry): (&Key, &Entry)| (key.bytes().len() + entry.value.len()) as u64;
        now(self.with("bytes", |state, _| Ok(state.of(namespace).map(size).sum())))
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        now(self.with("namespaces", |state, _| {
            let mut names: Vec<Namespace> = state.entries.keys().map(Key::namespace).collect();
            names.dedup();
            Ok(names)
        }))
    }
}
