//! Floors: what a delete leaves in memory, so that no load or promotion that began before it brings the entry
//! back.
//!
//! A floor is needed only as long as something that began before the delete is still under way; so every load
//! and promotion holds a [`Ticket`], and a floor goes when the last older ticket has. The table is bounded. When
//! it is full, the floor of a whole bucket of keys rises instead: their older values are refused until the
//! tickets end. That costs misses, never a stale value.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use std::collections::HashMap;
use std::hash::RandomState;
use terrace_store::{Key, Version};

const BUCKETS: usize = 1024;

/// The floors of the hot tier.
pub struct Floors {
    hasher: RandomState,
    limit: usize,
    /// How many floors and raised buckets there are: a check costs one load when there are none.
    count: AtomicUsize,
    /// How many tickets are held: a write costs one load when there are none.
    held: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct Floor {
    version: Version,
    /// The last ticket given out before it; it goes when all up to that one have ended.
    born: u64,
}

struct State {
    floors: HashMap<Key, Floor>,
    buckets: Box<[Option<Floor>]>,
    /// How many of the buckets are raised.
    raised: usize,
    last_ticket: u64,
    tickets: BTreeSet<u64>,
}

/// Held by whatever may bring a value up. While it lives, deletes leave floors.
pub struct Ticket {
    floors: Arc<Floors>,
    number: u64,
}

impl Floors {
    /// An empty table of at most `limit` keys.
    pub fn new(limit: usize) -> Arc<Self> {
        let state = State {
            floors: HashMap::new(),
            buckets: vec![None; BUCKETS].into(),
            raised: 0,
            last_ticket: 0,
            tickets: BTreeSet::new(),
        };
        let hasher = RandomState::new();
        let (count, held) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { hasher, limit, count, held, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self, key: &Key) -> usize {
        self.hasher.hash_one(key) as usize % BUCKETS
    }

    /// Registers a load or promotion that is about to begin reading.
    pub fn ticket(self: &Arc<Self>) -> Ticket {
        let mut state = self.state();
        state.last_ticket += 1;
        let number = state.last_ticket;
        state.tickets.insert(number);
        self.held.fetch_add(1, Ordering::SeqCst);
        Ticket { floors: Arc::clone(self), number }
    }

    /// Refuses this key's values up to this version, for as long as anything older than this call may offer one.
    pub fn raise(&self, key: &Key, version: Version) {
        if self.held.load(Ordering::SeqCst) == 0 {
            return;
        }
        let bucket = self.bucket(key);
        let mut state = self.state();
        if state.tickets.is_empty() {
            return;
        }
        let floor = Floor { version, born: state.last_ticket };
        if state.floors.len() < self.limit || state.floors.contains_key(key) {
            let held = state.floors.entry(key.clone()).or_insert(floor);
            *held = Floor { version: version.max(held.version), born: floor.born };
        } else {
            state.raised += usize::from(state.buckets[bucket].is_none());
            let held = state.buckets[bucket].get_or_insert(floor);
            *held = Floor { version: version.max(held.version), born: floor.born };
        }
        self.recount(&state);
    }

    /// The greatest version that is refused for this key.
    pub fn of(&self, key: &Key) -> Version {
        if self.count.load(Ordering::SeqCst) == 0 {
            return Version::ZERO;
        }
        let state = self.state();
        let of = |floor: Option<&Floor>| floor.map_or(Version::ZERO, |floor| floor.version);
        let bucket = state.buckets[self.bucket(key)].as_ref();
        of(state.floors.get(key)).max(of(bucket))
    }

    /// How many floors there are, raised buckets included.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn end(&self, ticket: u64) {
        let mut state = self.state();
        let was_oldest = state.tickets.first() == Some(&ticket);
        state.tickets.remove(&ticket);
        self.held.fetch_sub(1, Ordering::SeqCst);
        if !was_oldest || self.is_empty() {
            return;
        }
        // What was born before the oldest ticket still held has nobody left to guard against.
        let oldest = state.tickets.first().copied().unwrap_or(u64::MAX);
        let needed = |floor: &Floor| floor.born >= oldest;
        state.floors.retain(|_, floor| needed(floor));
        if state.raised > 0 {
            state.buckets.iter_mut().for_each(|bucket| *bucket = bucket.filter(needed));
            state.raised = state.buckets.iter().flatten().count();
        }
        self.recount(&state);
    }

    fn recount(&self, state: &State) {
        self.count.store(state.floors.len() + state.raised, Ordering::SeqCst);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.floors.end(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: impl ToString) -> Key {
        Key::new("n", name.to_string()).unwrap()
    }

    #[test]
    fn a_floor_lives_exactly_as_long_as_something_older_is_under_way() {
        let floors = Floors::new(10);
        floors.raise(&key("quiet"), Version(1));
        assert!(floors.is_empty(), "nothing under way, nothing to guard against");

        let before = floors.ticket();
        floors.raise(&key("a"), Version(5));
        let after = floors.ticket();
        assert_eq!((floors.of(&key("a")), floors.of(&key("b"))), (Version(5), Version::ZERO));
        drop(after);
        assert_eq!(floors.of(&key("a")), Version(5));
        drop(before);
        assert!(floors.is_empty());
    }

    #[test]
    fn a_full_table_refuses_more_and_never_less() {
        let floors = Floors::new(4);
        let ticket = floors.ticket();
        for n in 0..100u64 {
            floors.raise(&key(n), Version(n + 1));
        }
        for n in 0..100u64 {
            assert!(floors.of(&key(n)) >= Version(n + 1), "the floor of key {n} was lost");
        }
        drop(ticket);
        assert!(floors.is_empty());
        assert_eq!(floors.of(&key(99)), Version::ZERO);
    }
}
