//! What is known of each namespace: how much it holds, and the floor that clearing it left.
//!
//! A clear raises one floor: an entry at or below the floor of its namespace is *buried*, that is absent to
//! everybody, whether or not its bytes have been removed yet. Because versions only grow, an entry above the
//! highest floor of all needs no look at its namespace, which is nearly every one.
//!
//! The budget is kept here too, as one number that all namespaces share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use foldhash::quality::RandomState;
use terrace_store::{Key, Namespace, Version};

/// How much something holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Entries.
    pub(crate) count: u64,
    /// Bytes of keys and values.
    pub(crate) bytes: u64,
    /// Bytes that count against the budget.
    pub(crate) stored: u64,
}

/// One namespace.
#[derive(Debug, Default)]
pub(crate) struct Space {
    count: AtomicU64,
    bytes: AtomicU64,
    stored: AtomicU64,
    floor: AtomicU64,
}

impl Space {
    fn add(&self, amount: Amount) {
        self.count.fetch_add(amount.count, Ordering::Relaxed);
        self.bytes.fetch_add(amount.bytes, Ordering::Relaxed);
        self.stored.fetch_add(amount.stored, Ordering::Relaxed);
    }

    fn subtract(&self, amount: Amount) {
        // A record that was damaged after it was counted may subtract more than it added.
        let less = |counter: &AtomicU64, by: u64| {
            if by != 0 {
                let _ = counter
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(by)));
            }
        };
        less(&self.count, amount.count);
        less(&self.bytes, amount.bytes);
        less(&self.stored, amount.stored);
    }

    fn amount(&self) -> Amount {
        Amount {
            count: self.count.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            stored: self.stored.load(Ordering::Relaxed),
        }
    }
}

/// The floors as they are at one moment.
#[cfg(feature = "ordered")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Floors {
    highest: u64,
    all: u64,
    by_namespace: HashMap<Bytes, u64, RandomState>,
}

#[cfg(feature = "ordered")]
impl Floors {
    /// The floor of this key's namespace.
    pub(crate) fn of(&self, key: &Key) -> Version {
        let prefix = &key.flat()[..1 + key.namespace_name().len()];
        Version(self.all.max(self.by_namespace.get(prefix).copied().unwrap_or(0)))
    }

    /// Whether a clear has removed this version of the key.
    pub(crate) fn bury(&self, key: &Key, version: Version) -> bool {
        version.0 <= self.highest && version <= self.of(key)
    }
}

/// All namespaces.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    table: RwLock<HashMap<Bytes, Space, RandomState>>,
    all_floor: AtomicU64,
    highest_floor: AtomicU64,
    stored: AtomicU64,
}

impl Spaces {
    fn with<T>(&self, key: &Key, then: impl FnOnce(&Space) -> T) -> T {
        let prefix = &key.flat()[..1 + key.namespace_name().len()];
        {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(space) = table.get(prefix) {
                return then(space);
            }
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        then(table.entry(Bytes::copy_from_slice(prefix)).or_default())
    }

    /// Takes this many stored bytes from the budget; `false` if there are not so many left.
    pub(crate) fn reserve(&self, stored: u64, capacity: Option<u64>) -> bool {
        let after = self.stored.fetch_add(stored, Ordering::Relaxed) + stored;
        if stored == 0 || capacity.is_none_or(|capacity| after <= capacity) {
            return true;
        }
        self.stored.fetch_sub(stored, Ordering::Relaxed);
        false
    }

    /// Gives stored bytes back to the budget.
    pub(crate) fn release(&self, stored: u64) {
        let less = |n: u64| Some(n.saturating_sub(stored));
        let _ = self.stored.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// How many stored bytes the budget counts.
    pub(crate) fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Counts that of this key `after` stands where `before` stood. The budget is the caller's to settle.
    pub(crate) fn replace(&self, key: &Key, before: Amount, after: Amount) {
        if before == after {
            return;
        }
        self.with(key, |space| {
            space.add(after);
            space.subtract(before);
        });
    }

    /// Sets a namespace's counters, when the store is opened.
    #[cfg(feature = "ordered")]
    pub(crate) fn restore(&self, prefix: Bytes, amount: Amount) {
        self.stored.fetch_add(amount.stored, Ordering::Relaxed);
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.entry(prefix).or_default().add(amount);
    }

    /// What a namespace holds.
    pub(crate) fn amount(&self, namespace: &Namespace) -> Amount {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(namespace.flat_prefix()).map(Space::amount).unwrap_or_default()
    }

    /// The namespaces that hold anything, with what they hold, in the order of keys.
    pub(crate) fn amounts(&self) -> Vec<(Bytes, Amount)> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut amounts: Vec<(Bytes, Amount)> = table
            .iter()
            .map(|(prefix, space)| (prefix.clone(), space.amount()))
            .filter(|(_, amount)| amount.count != 0)
            .collect();
        amounts.sort_by(|(a, _), (b, _)| a.cmp(b));
        amounts
    }

    /// The floor of this key's namespace.
    pub(crate) fn floor(&self, key: &Key) -> Version {
        if self.highest_floor.load(Ordering::Acquire) == 0 {
            return Version::ZERO;
        }
        let prefix = &key.flat()[..1 + key.namespace_name().len()];
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let own = table.get(prefix).map_or(0, |space| space.floor.load(Ordering::Acquire));
        Version(own.max(self.all_floor.load(Ordering::Acquire)))
    }

    /// Whether a clear has removed this version of the key.
    #[cfg(feature = "ordered")]
    pub(crate) fn bury(&self, key: &Key, version: Version) -> bool {
        version.0 <= self.highest_floor.load(Ordering::Acquire) && version <= self.floor(key)
    }

    /// Raises the floor of a namespace, or of all. Its counters are left as they are.
    pub(crate) fn raise_floor(&self, prefix: &[u8], floor: Version) {
        if prefix.is_empty() {
            self.all_floor.fetch_max(floor.0, Ordering::AcqRel);
        } else {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            table
                .entry(Bytes::copy_from_slice(prefix))
                .or_default()
                .floor
                .fetch_max(floor.0, Ordering::AcqRel);
        }
        self.highest_floor.fetch_max(floor.0, Ordering::AcqRel);
    }

    /// Counts a namespace, or all, as empty, and returns how many entries that were. Nobody may write meanwhile.
    pub(crate) fn empty(&self, prefix: &[u8]) -> u64 {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut entries = 0;
        for (_, space) in table.iter().filter(|(name, _)| prefix.is_empty() || name[..] == *prefix) {
            entries += space.count.swap(0, Ordering::Relaxed);
            space.bytes.store(0, Ordering::Relaxed);
            self.release(space.stored.swap(0, Ordering::Relaxed));
        }
        entries
    }

    /// Forgets a floor that nothing needs any more.
    pub(crate) fn drop_floor(&self, prefix: &[u8], floor: Version) {
        let reset = |floor_now: &AtomicU64| {
            let _ = floor_now.compare_exchange(floor.0, 0, Ordering::AcqRel, Ordering::Relaxed);
        };
        if prefix.is_empty() {
            return reset(&self.all_floor);
        }
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(space) = table.get(prefix) {
            reset(&space.floor);
        }
    }

    /// The floors as they are now.
    #[cfg(feature = "ordered")]
    pub(crate) fn floors(&self) -> Floors {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let set = table.iter().map(|(prefix, space)| (prefix.clone(), space.floor.load(Ordering::Acquire)));
        Floors {
            highest: self.highest_floor.load(Ordering::Acquire),
            all: self.all_floor.load(Ordering::Acquire),
            by_namespace: set.filter(|(_, floor)| *floor != 0).collect(),
        }
    }
}

#[cfg(all(test, feature = "ordered"))]
mod tests {
    use super::*;

    fn key(namespace: &str) -> Key {
        Key::new(namespace, "k").unwrap()
    }

    const ONE: Amount = Amount { count: 1, bytes: 10, stored: 60 };

    #[test]
    fn a_floor_buries_what_is_not_above_it_and_only_in_its_namespace() {
        let spaces = Spaces::default();
        assert!(!spaces.bury(&key("a"), Version::ZERO.max(Version(1))));
        spaces.raise_floor(key("a").namespace().flat_prefix(), Version(5));
        assert!(spaces.bury(&key("a"), Version(5)) && spaces.floors().bury(&key("a"), Version(5)));
        assert!(!spaces.bury(&key("a"), Version(6)) && !spaces.bury(&key("b"), Version(5)));
        spaces.raise_floor(&[], Version(7));
        assert!(spaces.bury(&key("b"), Version(7)) && spaces.floors().bury(&key("b"), Version(7)));
        spaces.drop_floor(&[], Version(7));
        assert!(!spaces.bury(&key("b"), Version(7)));
    }

    #[test]
    fn emptying_a_namespace_gives_its_bytes_back_to_the_budget() {
        let spaces = Spaces::default();
        for namespace in ["a", "b"] {
            assert!(spaces.reserve(60, Some(120)));
            spaces.replace(&key(namespace), Amount::default(), ONE);
        }
        assert!(!spaces.reserve(1, Some(120)));
        assert_eq!(spaces.empty(key("a").namespace().flat_prefix()), 1);
        assert_eq!(spaces.stored(), 60);
        assert_eq!(spaces.amounts(), [(Bytes::from_static(b"\x01b"), ONE)]);
    }
}
