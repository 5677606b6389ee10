//! Making room when the authority is full.
//!
//! The authority has a budget and refuses what would pass it; what leaves then is decided here, a few keys at a
//! time, and the write is tried again. Candidates are sampled from a listing that goes round and round through
//! the databases, so that no key is spared for ever and none is looked at twice before the others. Of a sample
//! those go first that are not in the hot tier: they were not used lately, which is the frequency the hot tier
//! knows.
//!
//! A store that sees every read chooses better by itself. It then makes its room on its own, and refuses only where
//! it has no rule for the policy; what is done here comes after that.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use terrace_store::capability::{Cursor, List, Order};
use terrace_store::{Condition, DeleteOptions, Deleted, Entry, Key, Result};

use super::{DATABASES, Keyspace};

/// Which keys may leave when there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// None: a write that finds no room is refused.
    NoEviction,
    /// Keys with a lifetime, those that are little used first.
    #[default]
    VolatileLfu,
    /// Keys with a lifetime, those that end soonest first.
    VolatileTtl,
    /// Any key, those that are little used first.
    AllKeysLfu,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 4] = [Self::NoEviction, Self::VolatileLfu, Self::VolatileTtl, Self::AllKeysLfu];

    /// Its name, as `maxmemory-policy` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoEviction => "noeviction",
            Self::VolatileLfu => "volatile-lfu",
            Self::VolatileTtl => "volatile-ttl",
            Self::AllKeysLfu => "allkeys-lfu",
        }
    }

    /// The policy of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name().eq_ignore_ascii_case(name))
    }

    /// Whether it goes by how often a key is used.
    pub fn is_lfu(self) -> bool {
        matches!(self, Self::VolatileLfu | Self::AllKeysLfu)
    }

    fn allows(self, entry: &Entry) -> bool {
        match self {
            Self::NoEviction => false,
            Self::VolatileLfu | Self::VolatileTtl => entry.expires_ms.is_some(),
            Self::AllKeysLfu => true,
        }
    }
}

/// How many keys a sample has, and how many of them may leave at once.
const SAMPLE: usize = 64;
const AT_ONCE: usize = 16;
/// How many samples one write looks at in vain before it is refused.
const PATIENCE: usize = 256;

/// A store that decides and makes room by itself.
pub trait OwnEviction: Send + Sync {
    /// Follows this policy, as far as it can, from now on.
    ///
    /// # Errors
    /// Those of the store.
    fn follow(&self, policy: Policy) -> Result<()>;

    /// How many keys left by that, since the start.
    fn evicted(&self) -> u64;
}

/// What eviction remembers.
#[derive(Default)]
pub(super) struct Evictor {
    /// The store that decides, if it evicts by itself.
    own: OnceLock<Box<dyn OwnEviction>>,
    policy: AtomicU8,
    place: Mutex<Place>,
    evicted: AtomicU64,
    /// Until then nothing that may go is expected to be found; on the monotonic clock, in milliseconds.
    barren_until_ms: AtomicU64,
}

/// How long a search in vain saves others from searching, unless something that may go comes meanwhile.
const BARREN_MS: u64 = 100;

/// Where the next sample begins.
#[derive(Clone, Default)]
struct Place {
    database: usize,
    cursor: Option<Cursor>,
}

impl Keyspace {
    /// Which keys may leave when there is no room.
    pub fn eviction(&self) -> Policy {
        Policy::ALL.get(usize::from(self.evictor.policy.load(Ordering::Relaxed))).copied().unwrap_or_default()
    }

    /// Leaves eviction to the store that decides, as far as it can. Only the first to be named is asked.
    pub fn leave_eviction_to(&self, store: Box<dyn OwnEviction>) {
        let _ = self.evictor.own.set(store);
    }

    /// Chooses which keys may leave when there is no room.
    ///
    /// # Errors
    /// Those of a store that evicts by itself; the policy is then as it was.
    pub fn set_eviction(&self, policy: Policy) -> Result<()> {
        if let Some(own) = self.evictor.own.get() {
            own.follow(policy)?;
        }
        let index = Policy::ALL.iter().position(|other| *other == policy).unwrap_or_default();
        self.evictor.policy.store(u8::try_from(index).unwrap_or_default(), Ordering::Relaxed);
        self.evictor.barren_until_ms.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// How many keys left to make room, since the start.
    pub fn evicted(&self) -> u64 {
        let own = self.evictor.own.get().map_or(0, |own| own.evicted());
        self.evictor.evicted.load(Ordering::Relaxed) + own
    }

    /// Removes a few keys other than this one. `false` if none may go.
    pub(super) async fn make_room(&self, wanted: &Key) -> Result<bool> {
        let policy = self.eviction();
        if policy == Policy::NoEviction
            || self.clock().now_ms() < self.evictor.barren_until_ms.load(Ordering::Relaxed)
        {
            return Ok(false);
        }
        let mut rounds = 0;
        for _ in 0..PATIENCE {
            let (sample, wrapped) = self.sample().await?;
            rounds += usize::from(wrapped);
            let mut candidates: Vec<(Key, Entry)> =
                sample.into_iter().filter(|(key, entry)| key != wanted && policy.allows(entry)).collect();
            candidates.sort_by_cached_key(|(key, entry)| self.worth(policy, key, entry));
            let mut evicted = 0;
            for (key, entry) in candidates.into_iter().take(AT_ONCE) {
                evicted += u64::from(self.evict(&key, &entry).await?);
            }
            if evicted > 0 {
                self.evictor.evicted.fetch_add(evicted, Ordering::Relaxed);
                return Ok(true);
            }
            // The round that was begun in the middle, and a whole one.
            if rounds == 2 {
                break;
            }
        }
        self.evictor.barren_until_ms.store(self.clock().now_ms() + BARREN_MS, Ordering::Relaxed);
        Ok(false)
    }

    /// Notes that something was written that may leave again.
    #[inline]
    pub(super) fn note_evictable(&self, expires: bool) {
        let barren = &self.evictor.barren_until_ms;
        if expires && barren.load(Ordering::Relaxed) != 0 {
            barren.store(0, Ordering::Relaxed);
        }
    }

    /// The next few keys, and whether the listing began anew with them.
    async fn sample(&self) -> Result<(Vec<(Key, Entry)>, bool)> {
        let place = || self.evictor.place.lock().unwrap_or_else(PoisonError::into_inner);
        let Place { database, cursor } = place().clone();
        let iterate = self.iterate()?;
        if cursor.is_none() && iterate.count(&self.namespaces[database]).await? == 0 {
            let next = (database + 1) % DATABASES;
            *place() = Place { database: next, cursor: None };
            return Ok((Vec::new(), next == 0));
        }
        let namespace = self.namespaces[database].clone();
        let list = List { order: Order::Any, keys_only: true, limit: SAMPLE, ..List::all(namespace) };
        let page = iterate.list(&list, cursor.as_ref()).await?;
        let next = match page.next {
            Some(cursor) => Place { database, cursor: Some(cursor) },
            None => Place { database: (database + 1) % DATABASES, cursor: None },
        };
        let wrapped = next.database < database;
        *place() = next;
        Ok((page.entries, wrapped))
    }

    /// What leaves last is worth most.
    fn worth(&self, policy: Policy, key: &Key, entry: &Entry) -> (bool, u64) {
        let ends = entry.expires_ms.map_or(u64::MAX, |at| at.get());
        match policy {
            Policy::VolatileTtl => (false, ends),
            _ => (self.is_hot(key), ends),
        }
    }

    /// Removes a key unless it was written meanwhile, or a command over several keys is at work with it. One that
    /// works with this key alone is no reason to spare it: it has a run of keys locked, the one for which room is
    /// made among them, and what it writes comes either before or after.
    async fn evict(&self, key: &Key, entry: &Entry) -> Result<bool> {
        let guard = self.locks.try_one(key.bytes());
        if guard.is_none() && !self.locks.is_settled(key.bytes()) {
            return Ok(false);
        }
        let options = DeleteOptions { condition: Condition::Match(entry.version), deferred: true };
        let deleted = self.tiers.delete(key, options).await?;
        self.watches.touch(key);
        Ok(matches!(deleted, Deleted::Done { existed: true, .. }))
    }
}
