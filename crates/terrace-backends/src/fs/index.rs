//! What the store knows without reading a file: every key, in order, with its version, size and end.
//!
//! It is built from the heads of the files at open, and makes misses, listings of keys and counts cheap. The
//! price is memory, measured with keys of 14 bytes: 180 bytes for an entry, 250 for one that can expire, 290 for a
//! floor within its retention.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU64;
use std::ops::Bound;

use bytes::Bytes;
use terrace_store::capability::{Cursor, List};
use terrace_store::{Entry, Key, Namespace, Result, Version};

use super::cleared::Cleared;
use super::object::{Hash, Head, Kind, Name};

/// An entry's place in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) version: Version,
    pub(super) value_len: u64,
    pub(super) expires_ms: Option<NonZeroU64>,
    pub(super) deadline_ms: Option<u64>,
}

impl Slot {
    pub(super) fn of(entry: &Entry, version: Version) -> Self {
        Self {
            version,
            value_len: entry.value.len() as u64,
            expires_ms: entry.expires_ms,
            deadline_ms: entry.deadline_ms(),
        }
    }

    pub(super) fn read(head: &Head) -> Self {
        let Head { version, value_len, expires_ms, deadline_ms, .. } = *head;
        Self { version, value_len, expires_ms, deadline_ms }
    }

    pub(super) fn is_live(&self, wall_ms: u64) -> bool {
        self.deadline_ms.is_none_or(|deadline| wall_ms < deadline)
    }
}

#[derive(Clone, Copy, Debug)]
struct Floor {
    version: Version,
    /// The monotonic time, in milliseconds, from which it may be forgotten.
    end_ms: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    count: u64,
    bytes: u64,
}

/// What is there for a key.
pub(super) enum Found {
    Entry(Slot),
    /// A file whose head cannot be read, but whose name is that of this key.
    Damaged,
    Nothing,
}

/// Every key of the store.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: BTreeMap<Key, Slot>,
    deadlines: BTreeSet<(u64, Key)>,
    floors: HashMap<Key, Floor>,
    ends: BTreeSet<(u64, Key)>,
    spaces: HashMap<Namespace, Usage>,
    cleared: Cleared,
    /// Files whose heads cannot be read, by the hash in their names.
    damaged: HashMap<Hash, (Version, Kind)>,
    /// Keys whose files were found damaged when they were read.
    found_damaged: BTreeSet<Key>,
}

impl Index {
    pub(super) fn new(cleared: Cleared) -> Self {
        Self { cleared, ..Self::default() }
    }

    pub(super) fn cleared(&self) -> &Cleared {
        &self.cleared
    }

    /// What is there for this key, expired or not.
    pub(super) fn find(&self, key: &Key) -> Found {
        match self.entries.get(key) {
            Some(slot) => Found::Entry(*slot),
            None if self.damaged_name(key).is_some() => Found::Damaged,
            None => Found::Nothing,
        }
    }

    /// The damaged file named after this key. Costs a hash only while there are such files.
    fn damaged_name(&self, key: &Key) -> Option<Name> {
        if self.damaged.is_empty() {
            return None;
        }
        let hash = super::object::hash(key);
        self.damaged.get(&hash).map(|(version, kind)| Name { hash, version: *version, kind: *kind })
    }

    /// The version that a given one must be above.
    pub(super) fn floor(&self, key: &Key) -> Version {
        let stored = self.entries.get(key).map(|slot| slot.version);
        let own = stored.max(self.floors.get(key).map(|floor| floor.version));
        own.max(self.damaged_name(key).map(|name| name.version))
            .unwrap_or_default()
            .max(self.cleared.floor(key))
    }

    /// Takes a damaged file into account. Of two the later counts.
    pub(super) fn damage(&mut self, name: &Name) {
        let known = self.damaged.entry(name.hash).or_insert((name.version, name.kind));
        *known = (*known).max((name.version, name.kind));
    }

    /// Notes that reading this key's file found it damaged.
    pub(super) fn note_damage(&mut self, key: &Key, version: Version) {
        if self.entries.get(key).is_some_and(|slot| slot.version == version) {
            self.found_damaged.insert(key.clone());
        }
    }

    /// How many files are known to be damaged.
    pub(super) fn damage_count(&self) -> usize {
        self.damaged.len() + self.found_damaged.len()
    }

    /// Puts an entry in; returns the names of the files that it makes superfluous.
    pub(super) fn insert(&mut self, key: &Key, slot: Slot) -> Vec<Name> {
        let (key, names) = self.take(key);
        if let Some(deadline) = slot.deadline_ms {
            self.deadlines.insert((deadline, key.clone()));
        }
        let usage = self.spaces.entry(key.namespace()).or_default();
        usage.count += 1;
        usage.bytes += key.bytes().len() as u64 + slot.value_len;
        self.entries.insert(key, slot);
        names
    }

    /// Puts a floor in; returns the names of the files that it makes superfluous.
    pub(super) fn insert_floor(&mut self, key: &Key, version: Version, end_ms: u64) -> Vec<Name> {
        let (key, names) = self.take(key);
        self.ends.insert((end_ms, key.clone()));
        self.floors.insert(key, Floor { version, end_ms });
        names
    }

    /// Removes what is there for a key. The key comes back in memory of its own: the caller's may be a part of a
    /// buffer much larger.
    fn take(&mut self, key: &Key) -> (Key, Vec<Name>) {
        let mut names: Vec<Name> = self.damaged_name(key).into_iter().collect();
        names.iter().for_each(|name| _ = self.damaged.remove(&name.hash));
        self.found_damaged.remove(key);
        if let Some((key, slot)) = self.entries.remove_entry(key) {
            self.uncount(&key, &slot);
            names.push(Name::new(&key, slot.version, Kind::Entry));
            return (key, names);
        }
        if let Some((key, floor)) = self.floors.remove_entry(key) {
            self.ends.remove(&(floor.end_ms, key.clone()));
            names.push(Name::new(&key, floor.version, Kind::Floor));
            return (key, names);
        }
        let own = Key::from_flat(Bytes::copy_from_slice(key.flat()));
        (own.unwrap_or_else(|_| key.clone()), names)
    }

    fn uncount(&mut self, key: &Key, slot: &Slot) {
        if let Some(deadline) = slot.deadline_ms {
            self.deadlines.remove(&(deadline, key.clone()));
        }
        let namespace = key.namespace();
        if let Some(usage) = self.spaces.get_mut(&namespace) {
            usage.count -= 1;
            usage.bytes -= key.bytes().len() as u64 + slot.value_len;
            if usage.count == 0 {
                self.spaces.remove(&namespace);
            }
        }
    }

    /// At most this many entries that are over at this wall time.
    pub(super) fn expired(&self, wall_ms: u64, limit: usize) -> Vec<(Key, Version)> {
        let over = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= wall_ms).take(limit);
        over.filter_map(|(_, key)| self.entries.get(key).map(|slot| (key.clone(), slot.version))).collect()
    }

    /// At most this many floors that may be forgotten at this monotonic time.
    pub(super) fn forgettable(&self, now_ms: u64, limit: usize) -> Vec<(Key, Version)> {
        let over = self.ends.iter().take_while(|(end, _)| *end <= now_ms).take(limit);
        over.filter_map(|(_, key)| self.floors.get(key).map(|floor| (key.clone(), floor.version))).collect()
    }

    /// Forgets a floor.
    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(floor) = self.floors.remove(key) {
            self.ends.remove(&(floor.end_ms, key.clone()));
        }
    }

    /// Removes all of a namespace, or all, for good; returns how many live entries there were, and the names of
    /// the files.
    pub(super) fn clear(
        &mut self,
        namespace: Option<&Namespace>,
        cleared: Cleared,
        wall_ms: u64,
    ) -> (u64, Vec<Name>) {
        self.cleared = cleared;
        let covered = |key: &Key| namespace.is_none_or(|namespace| key.namespace_name() == namespace.name());
        let entries: Vec<Key> = match namespace {
            Some(namespace) => self.of(namespace).map(|(key, _)| key.clone()).collect(),
            None => self.entries.keys().cloned().collect(),
        };
        let floors: Vec<Key> = self.floors.keys().filter(|key| covered(key)).cloned().collect();
        let live =
            entries.iter().filter(|key| self.entries.get(*key).is_some_and(|slot| slot.is_live(wall_ms)));
        let live = live.count() as u64;
        let mut names: Vec<Name> = entries.iter().chain(&floors).flat_map(|key| self.take(key).1).collect();
        if namespace.is_none() {
            let damaged = std::mem::take(&mut self.damaged).into_iter();
            names.extend(damaged.map(|(hash, (version, kind))| Name { hash, version, kind }));
        }
        (live, names)
    }

    fn of<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = (&'a Key, &'a Slot)> {
        let prefix = namespace.flat_prefix();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        self.entries.range::<[u8], _>(from).take_while(move |(key, _)| key.flat().starts_with(prefix))
    }

    /// The next live entries of a listing, up to its limit and to this many bytes of values, and where to go on.
    ///
    /// # Errors
    /// `Corrupt` if the cursor is none of this store's.
    pub(super) fn page(
        &self,
        list: &List,
        cursor: Option<&Cursor>,
        wall_ms: u64,
        bytes: u64,
    ) -> Result<(Vec<(Key, Slot)>, Option<Cursor>)> {
        let flat = |bytes: &[u8]| [list.namespace.flat_prefix(), bytes].concat();
        let first = flat(list.from.as_deref().unwrap_or_default().max(&list.prefix));
        let after = cursor.map(|cursor| Key::from_flat(cursor.0.clone())).transpose()?;
        let start = match &after {
            Some(key) if key.flat() >= &first[..] => Bound::Excluded(key.flat()),
            _ => Bound::Included(&first[..]),
        };
        let within = flat(&list.prefix);
        let before = list.before.as_deref().map(flat);
        let range = self.entries.range::<[u8], _>((start, Bound::Unbounded));
        let covered = range.take_while(|(key, _)| {
            key.flat().starts_with(&within) && before.as_deref().is_none_or(|before| key.flat() < before)
        });
        let (mut page, mut total) = (Vec::new(), 0);
        for (key, slot) in covered.filter(|(_, slot)| slot.is_live(wall_ms)) {
            if page.len() >= list.limit.max(1) || (total > bytes && !list.keys_only) {
                let next = page.last().map(|(key, _): &(Key, Slot)| Cursor(key.flat_bytes().clone()));
                return Ok((page, next));
            }
            total += slot.value_len;
            page.push((key.clone(), *slot));
        }
        Ok((page, None))
    }

    /// How many entries a namespace holds, and the bytes of their keys and values.
    pub(super) fn usage(&self, namespace: &Namespace) -> (u64, u64) {
        self.spaces.get(namespace).map_or((0, 0), |usage| (usage.count, usage.bytes))
    }

    pub(super) fn namespaces(&self) -> Vec<Namespace> {
        self.spaces.keys().cloned().collect()
    }
}
